import { readFileSync } from 'node:fs';
import { DMA_OK, type DmaPort, DmaRequest } from '@smmu/platform';
import { expect, it } from 'vitest';
import { PciDevice, PciFunction } from './index.ts';

it('the example of the README runs', () => {
  const seen: number[][] = [];
  const address = { segment: 0, bus: 0, device: 1, function: 0 };
  const bus: DmaPort = {
    submit: ({ streamId, substreamId }) => {
      seen.push([streamId, substreamId]);
      return DMA_OK;
    },
  };
  const hardware = new PciFunction({
    ...address,
    vendorId: 0x1af4,
    deviceId: 0x0001,
    classCode: 0x120000,
    pasid: { bits: 16 },
    streamId: 8,
    upstream: bus,
  });

  const device = new PciDevice(hardware, address);
  device.setMaster();
  device.enablePasid();

  const request = new DmaRequest(new Uint8Array(64));
  request.substreamId = 5;
  request.length = 64;
  expect(hardware.submit(request)).toBe(DMA_OK);
  expect(seen).toEqual([[8, 5]]);
});

it('the README shows the example that was run', () => {
  const statements = (text: string): string[] =>
    text
      .split('\n')
      .map((line) => line.replace(/\/\/.*/, '').trim())
      .filter((line) => /^(hardware|device|request)\.|PciDevice\(|classCode|pasid:|streamId: 8/.test(line));
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8').split('```')[1]!;
  const test = readFileSync(new URL(import.meta.url), 'utf8');
  for (const line of statements(readme)) expect(test).toContain(line.replace(/;$/, ''));
});
