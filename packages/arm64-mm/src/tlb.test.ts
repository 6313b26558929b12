import { describe, expect, it } from 'vitest';
import { Board, countingFile, load, RO, RW } from '../test/board.ts';
import { TlbBatch } from './tlb.ts';

describe('the CPUs’ TLBs are told what notifiers are told, by ASID', () => {
  const setUp = () => {
    const log: string[] = [];
    const board = new Board({
      dataPages: 64,
      cpuTlb: {
        flushCpu: (cpu) => log.push(`all of CPU ${cpu}`),
        flushRange: (asid, start, last) => log.push(`ASID ${asid}: ${last - start + 1} bytes`),
      },
    });
    return { board, log, mm: board.mmu.createProcess('p'), page: board.granule };
  };
  it('before the notifiers, so that a broadcast that an SMMU hears is not later than its own command', () => {
    const { board, log, mm, page } = setUp();
    board.mmu.asids.checkAndSwitch(mm, 1);
    mm.registerNotifier({ invalidateSecondaryTlbs: () => log.push('notifier'), release() {} });
    const va = mm.mmap({ ...RW, bytes: 3 * page, kind: 'anonymous' });
    mm.writeBytes(va, new Uint8Array(2 * page));
    mm.munmap(va, page);
    expect(log).toEqual(['ASID 1: 4096 bytes', 'notifier']);
    mm.exit();
    expect(log.slice(2)).toEqual(['ASID 1: 4096 bytes']);
  });
  it('not for a process that never ran', () => {
    const { log, mm, page } = setUp();
    const va = mm.mmap({ ...RW, bytes: page, kind: 'anonymous' });
    mm.writeBytes(va, new Uint8Array(1));
    mm.munmap(va, page);
    expect(log).toEqual([]);
  });
  it('all of a CPU’s at its first switch after a rollover', () => {
    const { board, log } = setUp();
    for (let i = 0; i < 256; i++) {
      const process = board.mmu.createProcess(`${i}`);
      board.mmu.asids.checkAndSwitch(process, 0);
      process.exit();
    }
    expect(log).toEqual(['all of CPU 0']);
  });
});

describe('a batch of many address spaces', () => {
  it('joins ranges that touch, of each, in either direction', () => {
    const board = new Board({ dataPages: 64 });
    const calls: unknown[] = [];
    const [a, b] = ['a', 'b'].map((name) => {
      const mm = board.mmu.createProcess(name);
      mm.registerNotifier({
        invalidateSecondaryTlbs: (_, start, last) => calls.push([name, start, last]),
        release() {},
      });
      return mm;
    }) as [ReturnType<typeof board.mmu.createProcess>, ReturnType<typeof board.mmu.createProcess>];
    const batch = new TlbBatch();
    for (let i = 0; i < 4; i++) {
      batch.add(a, 0x1000 * i, 0x1000);
      batch.add(b, 0x9000 - 0x1000 * i, 0x1000);
    }
    batch.add(a, 0x8000, 0x1000);
    expect(batch.size).toBe(3);
    batch.flush();
    expect(calls).toEqual([
      ['a', 0, 0x3fff],
      ['b', 0x6000, 0x9fff],
      ['a', 0x8000, 0x8fff],
    ]);
    batch.flush();
    batch.add(a, 0x9000, 0x1000); // touches a range of before
    expect(batch.size).toBe(1);
    expect(calls.length).toBe(3);
  });
  it('one page that many address spaces map goes from all of them', () => {
    const board = new Board({ dataPages: 64 });
    const file = countingFile('f', board.granule);
    const told: string[] = [];
    const processes = Array.from({ length: 20 }, (_, i) => {
      const mm = board.mmu.createProcess(`${i}`);
      mm.registerNotifier({ invalidateSecondaryTlbs: () => told.push(mm.name), release() {} });
      for (let j = 0; j < 2; j++) load(mm, mm.mmap({ ...RO, bytes: 1, kind: 'shared', file }), 1);
      return mm;
    });
    for (const i of [3, 0, 17]) processes[i]!.exit();
    expect(board.mmu.reclaimRandom(1, board.scheduler.random)).toBe(1);
    expect(told.length).toBe(17);
    expect(processes.map(({ residentPages }) => residentPages)).toEqual(new Array(20).fill(0));
  });
});
