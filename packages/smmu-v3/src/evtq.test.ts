import type { Device, DeviceFault, IopfFault } from '@smmu/iommu';
import { NonCoherentDma, Trace } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { fakeDevice } from '../test/fakeDevice.ts';
import { fakeBoard, REG } from '../test/fakeSmmu.ts';
import { EventQueue } from './evtq.ts';
import { Master } from './master.ts';

const device: Device = { name: '0000:00:01.0', bus: 'pci', streamIds: [8], pasidBits: 16, canStall: true };
// Records as dwords typed in from §7.3: code 7:0, SSV 11, SSID 31:12, SID 63:32; STAG 15:0, Stall 31, PnU 33, InD 34, RnW 35, S2 39
const words = (...dwords: bigint[]) => {
  const list = new BigUint64Array(4);
  list.set(dwords);
  return [...new Uint32Array(list.buffer)];
};
const stall = (sid: number, ssid: number, stag: number, address = 0x1234_5678n, flags = 0x8n << 32n) =>
  words((BigInt(sid) << 32n) | (BigInt(ssid) << 12n) | 0x810n, flags | (1n << 31n) | BigInt(stag), address);
const plain = (sid: number) => words((BigInt(sid) << 32n) | 0x10n, 0x8n << 32n, 0x5000n);
const badCd = (sid: number) => words((BigInt(sid) << 32n) | 0xan);

function make(
  options: { log2?: number; refuse?: boolean; handled?: boolean; trace?: boolean; coherence?: boolean } = {},
) {
  let text = '';
  const board = fakeBoard(
    options.coherence === false ? { coherence: (cpu, other) => new NonCoherentDma(cpu, other) } : {},
  );
  const trace = options.trace ? new Trace(board.scheduler, (piece) => (text += piece)) : undefined;
  const { smmu } = fakeDevice({ board, ...(trace && { trace }) });
  const master = new Master(smmu, device, false);
  master.sva = true;
  const reports: IopfFault[] = [];
  const told: DeviceFault[] = [];
  const aborts: [number, number][] = [];
  const evtq = new EventQueue(smmu, options.log2 ?? 3, {
    find: (sid) => (sid === 8 ? master : undefined),
    report: (_master, fault) => {
      reports.push(fault);
      return !options.refuse;
    },
    unrecoverable: (_master, fault) => {
      told.push(fault);
      return options.handled ?? false;
    },
    abort: (sid, stag) => aborts.push([sid, stag]),
  });
  board.registers.write64(REG.EVENTQ_BASE, evtq.queue.base + evtq.queue.log2Entries, 0);
  const { hardware } = board;
  hardware.lines.eventq.connect(() => evtq.drain());
  return { board, hardware, evtq, master, reports, told, aborts, text: () => text };
}

describe('EventQueue', () => {
  it('stalls of a device with SVA are reported, with all that the record says', () => {
    const { board, hardware, reports } = make();
    hardware.put('eventq', stall(8, 5, 0xabcd, 0xfff8_1234_5678n, 0xen << 32n));
    board.scheduler.run();
    expect(reports).toEqual([
      {
        pasid: 5,
        groupId: 0xabcd,
        address: 0xfff8_1234_5000,
        read: true,
        write: false,
        exec: true,
        privileged: true,
        last: true,
      },
    ]);
    expect(board.lines).toEqual([]);
    expect(hardware.at(REG.EVENTQ_CONS)).toBe(1);
  });
  it('addresses of the upper half are exact to the page', () => {
    const { board, hardware, reports } = make();
    hardware.put('eventq', stall(8, 5, 1, 0xffff_8000_1234_5fffn));
    board.scheduler.run();
    expect(BigInt(reports[0]!.address)).toBe(0xffff_8000_1234_5000n);
  });
  it('a stall without SubstreamID has no PASID', () => {
    const { board, hardware, reports } = make();
    hardware.put('eventq', words((8n << 32n) | 0x12n, (1n << 31n) | 3n));
    board.scheduler.run();
    expect(reports[0]).toMatchObject({ pasid: -1, groupId: 3, read: false, write: true });
  });
  it('a stall that the fault queue refused has been answered there, and is logged', () => {
    const { board, hardware, aborts } = make({ refuse: true });
    hardware.put('eventq', stall(8, 5, 3));
    board.scheduler.run();
    expect(aborts).toEqual([]);
    expect(board.lines.at(-2)).toMatch(/F_TRANSLATION client: 0000:00:01.0 sid: 0x8 ssid: 0x5/);
  });
  it('a stall of a stranger, of a device without SVA, or at stage 2 is aborted and logged', () => {
    const { board, hardware, aborts, reports, master } = make();
    hardware.put('eventq', stall(9, 5, 3));
    hardware.put('eventq', stall(8, 5, 4, 0n, 1n << 39n));
    board.scheduler.run();
    master.sva = false;
    hardware.put('eventq', stall(8, 5, 5));
    board.scheduler.run();
    expect(aborts).toEqual([
      [9, 3],
      [8, 4],
      [8, 5],
    ]);
    expect(reports).toEqual([]);
    expect(board.lines.filter((line) => line.startsWith('event:')).length).toBe(3);
  });
  it('an unrecoverable fault is told before it is logged', () => {
    const deaf = make();
    deaf.hardware.put('eventq', plain(8));
    deaf.board.scheduler.run();
    expect(deaf.told).toEqual([
      { pasid: -1, address: 0x5000, read: true, write: false, exec: false, privileged: false, reason: 'F_TRANSLATION' },
    ]);
    expect(deaf.board.lines.length).toBe(7);
    const handled = make({ handled: true });
    handled.hardware.put('eventq', plain(8));
    handled.hardware.put('eventq', plain(9)); // nobody’s
    handled.board.scheduler.run();
    expect(handled.told.length).toBe(1);
    expect(handled.board.lines.length).toBe(7);
  });
  it('configuration errors are logged, ten in five seconds (§7.3, Linux DEFAULT_RATELIMIT)', () => {
    const { board, hardware } = make({ log2: 5 });
    for (let i = 0; i < 25; i++) hardware.put('eventq', badCd(8));
    board.scheduler.run();
    expect(board.lines.filter((line) => line.startsWith('event:')).length).toBe(10);
    board.scheduler.advance(5_000_000_001);
    hardware.put('eventq', badCd(8));
    board.scheduler.run();
    expect(board.lines).toContain('events: 15 callbacks suppressed');
    expect(board.lines.filter((line) => line.startsWith('event:')).length).toBe(11);
  });
  it('wraps, and an interrupt may stand for many records', () => {
    const { board, hardware, reports, evtq } = make();
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 7; i++) expect(hardware.put('eventq', stall(8, 5, round * 7 + i), i === 6)).toBe(true);
      board.scheduler.run();
    }
    expect(reports.map(({ groupId }) => groupId)).toEqual(Array.from({ length: 35 }, (_, i) => i));
    expect(evtq.queue.empty).toBe(true);
    expect(hardware.lines.eventq.raised).toBe(5);
  });
  it('tells the SMMU of free places every 64 records, not only at the end', () => {
    const { board, hardware } = make({ log2: 7 });
    for (let i = 0; i < 128; i++) hardware.put('eventq', stall(8, 5, i));
    hardware.writes = [];
    board.scheduler.run();
    expect(hardware.writes.filter(({ offset }) => offset === REG.EVENTQ_CONS).map(({ value }) => value)).toEqual([
      64, 128, 128,
    ]);
  });
  it('an overflow is told and acknowledged by copying the flag (§3.5.4)', () => {
    const { board, hardware, evtq, reports } = make({ log2: 2 });
    for (let i = 0; i < 6; i++) hardware.put('eventq', stall(8, 5, i));
    expect(hardware.at(REG.EVENTQ_PROD) >>> 31).toBe(1);
    board.scheduler.run();
    expect(reports.length).toBe(4);
    expect(board.lines).toEqual(['EVTQ overflow detected -- events lost']);
    expect(hardware.at(REG.EVENTQ_CONS) >>> 31).toBe(1);
    expect(evtq.overflows).toBe(1);
    for (let i = 0; i < 6; i++) hardware.put('eventq', stall(8, 5, i)); // toggles back to 0
    board.scheduler.run();
    expect(hardware.at(REG.EVENTQ_CONS) >>> 31).toBe(0);
    expect(evtq.overflows).toBe(2);
    hardware.set(REG.EVENTQ_PROD, (hardware.at(REG.EVENTQ_PROD) ^ 0x8000_0000) >>> 0); // with nothing in the queue
    evtq.drain();
    expect(evtq.overflows).toBe(3);
  });
  it('takes records that arrive while it is at work', () => {
    const { hardware, reports, evtq } = make();
    const push = reports.push.bind(reports);
    reports.push = (fault) => {
      if (reports.length < 3) hardware.put('eventq', stall(8, 5, 100 + reports.length), false);
      return push(fault);
    };
    hardware.put('eventq', stall(8, 5, 1), false);
    evtq.drain();
    expect(reports.length).toBe(4);
  });
  it('reads what an SMMU wrote that does not snoop', () => {
    const { board, hardware, reports } = make({ coherence: false });
    hardware.put('eventq', stall(8, 5, 7));
    board.scheduler.run();
    expect(reports[0]).toMatchObject({ groupId: 7 });
  });
  it('traces each event by name', () => {
    const { board, hardware, text } = make({ trace: true });
    hardware.put('eventq', badCd(8));
    board.scheduler.run();
    expect(text()).toContain('"event C_BAD_CD"');
  });
  it('gives its memory back', () => {
    const { board, evtq } = make();
    const before = board.pages.livePages;
    evtq.free();
    expect(board.pages.livePages).toBe(before - 1);
  });
});
