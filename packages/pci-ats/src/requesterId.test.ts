import { describe, expect, it } from 'vitest';
import { formatPciAddress, requesterId, StreamIdMap } from './index.ts';

const at = (bus: number, device: number, fn: number) => ({ segment: 0, bus, device, function: fn });

describe('requester ID: bus in 15:8, device in 7:3, function in 2:0 (PCIe §2.2.6.2)', () => {
  it.each([
    [at(0, 1, 0), 0x0008, '0000:00:01.0'],
    [at(0x75, 0, 0), 0x7500, '0000:75:00.0'],
    [at(0xff, 31, 7), 0xffff, '0000:ff:1f.7'],
  ])('%o', (address, id, name) => {
    expect(requesterId(address)).toBe(id);
    expect(formatPciAddress(address)).toBe(name);
  });

  it.each([at(256, 0, 0), at(0, 32, 0), at(0, 0, 8), at(-1, 0, 0), at(0.5, 0, 0)])('EINVAL for %o', (address) => {
    expect(() => requesterId(address)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });
});

describe('StreamIdMap: the firmware says which StreamID a requester ID becomes', () => {
  const map = new StreamIdMap([
    { requesterId: 0, streamId: 0x1_0000, count: 0x100 },
    { requesterId: 0x7500, streamId: 0x40, count: 1 },
  ]);

  it('maps both ways', () => {
    expect(map.toStreamId(8)).toBe(0x1_0008);
    expect(map.toStreamId(0x7500)).toBe(0x40);
    expect(map.toRequesterId(0x1_00ff)).toBe(0xff);
    expect(map.toRequesterId(0x1_0100)).toBe(-1);
  });

  it('ENODEV for a function outside every range', () => {
    expect(() => map.toStreamId(0x100)).toThrow(expect.objectContaining({ code: 'ENODEV' }));
  });

  it.each([
    ['empty', [{ requesterId: 0, streamId: 0, count: 0 }]],
    ['beyond 16 bits', [{ requesterId: 0xff00, streamId: 0, count: 0x101 }]],
    ['beyond 32 bits', [{ requesterId: 0, streamId: 2 ** 32 - 1, count: 2 }]],
    [
      'one requester ID twice',
      [
        { requesterId: 0, streamId: 0, count: 8 },
        { requesterId: 7, streamId: 100, count: 8 },
      ],
    ],
    [
      'one StreamID twice',
      [
        { requesterId: 0, streamId: 0, count: 8 },
        { requesterId: 100, streamId: 7, count: 8 },
      ],
    ],
  ])('EINVAL: %s', (_, ranges) => {
    expect(() => new StreamIdMap(ranges)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });
});
