import type { Device, IopfFault } from '@smmu/iommu';
import { describe, expect, it } from 'vitest';
import { fakeDevice } from '../test/fakeDevice.ts';
import { REG } from '../test/fakeSmmu.ts';
import { Master } from './master.ts';
import { PriQueue } from './priq.ts';

const device: Device = { name: '0000:00:02.0', bus: 'pci', streamIds: [16], pasidBits: 16, canStall: false };
// §8, bits typed in: SID 31:0, SSID 51:32, Priv 58, X 59, R 60, W 61, Last 62, SSV 63; PRGIndex 8:0, address 63:12
const LAST = 1n << 62n;
const SSV = 1n << 63n;
const R = 1n << 60n;
const W = 1n << 61n;
const request = (sid: number, flags: bigint, index = 5, address = 0x1234_5000n) => {
  const dwords = new BigUint64Array(2);
  dwords[0] = flags | (7n << 32n) | BigInt(sid);
  dwords[1] = address | BigInt(index);
  return [...new Uint32Array(dwords.buffer)];
};

function make(pri = false) {
  const { board, smmu } = fakeDevice();
  const master = new Master(smmu, device, false);
  master.pri = pri;
  const reports: IopfFault[] = [];
  const answers: number[][] = [];
  let lost = 0;
  const priq = new PriQueue(smmu, 2, {
    find: (sid) => (sid === 16 ? master : undefined),
    report: (_master, fault) => reports.push(fault),
    respond: (...answer) => answers.push(answer),
    lost: () => (lost += 1),
  });
  board.registers.write64(REG.PRIQ_BASE, priq.queue.base + 2, 0);
  board.hardware.lines.priq.connect(() => priq.drain());
  return { board, hardware: board.hardware, priq, reports, answers, lost: () => lost };
}

describe('PriQueue', () => {
  it('requests of a device with page requests are reported', () => {
    const { board, hardware, reports } = make(true);
    hardware.put('priq', request(16, SSV | R | W | (1n << 58n) | (1n << 59n)));
    hardware.put('priq', request(16, R | LAST, 6, 0xffff_8000_0000_1000n));
    board.scheduler.run();
    expect(reports[0]).toEqual({
      pasid: 7,
      groupId: 5,
      address: 0x1234_5000,
      read: true,
      write: true,
      exec: true,
      privileged: true,
      last: false,
    });
    expect(reports[1]).toMatchObject({ pasid: -1, groupId: 6, read: true, write: false, last: true });
    expect(BigInt(reports[1]!.address)).toBe(0xffff_8000_0000_1000n);
    expect(hardware.at(REG.PRIQ_CONS)).toBe(2);
  });
  it('all others are logged and denied, once a group', () => {
    const { board, hardware, answers } = make(false);
    hardware.put('priq', request(16, SSV | R));
    hardware.put('priq', request(16, SSV | R | W | LAST));
    hardware.put('priq', request(17, SSV | (1n << 59n) | (1n << 58n) | R | LAST));
    board.scheduler.run();
    expect(answers).toEqual([
      [16, -1, 5, 0], // the function expects no PASID in answers
      [17, 7, 5, 0], // who that is nobody knows
    ]);
    expect(board.lines.slice(2, 6)).toEqual([
      'unexpected PRI request received:',
      '\tsid 0x00000010.0x00007: [5L] unprivileged RW access at iova 0x12345000',
      'unexpected PRI request received:',
      '\tsid 0x00000011.0x00007: [5L] privileged RX access at iova 0x12345000',
    ]);
  });
  it('a stop marker expects no answer (PCIe 10.4.1.2.1)', () => {
    const { board, hardware, answers } = make(false);
    hardware.put('priq', request(16, SSV | LAST));
    board.scheduler.run();
    expect(answers).toEqual([]);
  });
  it('the log is limited, the answers are not', () => {
    const { board, hardware, answers } = make(false);
    for (let i = 0; i < 30; i++) {
      hardware.put('priq', request(16, SSV | R | LAST, i));
      board.scheduler.run();
    }
    expect(answers.length).toBe(30);
    expect(board.lines.length).toBe(20);
    board.scheduler.advance(5_000_000_001);
    hardware.put('priq', request(16, SSV | R | LAST));
    board.scheduler.run();
    expect(board.lines).toContain('page requests: 20 callbacks suppressed');
  });
  it('after an overflow incomplete groups are forgotten, and the queue is let go on (§8.2)', () => {
    const { board, hardware, priq, lost } = make(true);
    for (let i = 0; i < 5; i++) hardware.put('priq', request(16, SSV | R));
    board.scheduler.run();
    expect(board.lines).toEqual(['PRIQ overflow detected -- requests lost']);
    expect(lost()).toBe(1);
    expect(priq.overflows).toBe(1);
    expect(hardware.at(REG.PRIQ_CONS)).toBe(hardware.at(REG.PRIQ_PROD));
    priq.free();
  });
});
