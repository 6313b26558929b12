import { IommuPages } from '@smmu/iommu-pages';
import { FrameAllocator, Scheduler, SystemMemory, Trace } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { Board, countingFile, error, load, NOTHING_LEFT, RO, RW, WRITE } from '../test/board.ts';
import { MemoryManager } from './manager.ts';

describe('a memory manager', () => {
  const make = (more: object = {}) => {
    const memory = new SystemMemory([{ base: 0x8000_0000, size: 2 ** 22 }]);
    const frames = new FrameAllocator(0x8000_0000, 2 ** 22);
    const pages = new IommuPages({ memory, frames: [frames] });
    return new MemoryManager({
      ...{ memory, frames, pages, scheduler: new Scheduler(), granuleShift: 12, vaBits: 48, paBits: 48 },
      ...{ asidBits: 16, cpus: 4, ...more },
    });
  };
  it.each<[string, object]>([
    ['frames beyond the physical addresses', { paBits: 31 }],
    ['frames that are not RAM', { frames: new FrameAllocator(0x9000_0000, 4096) }],
    ['frames that reach out of a region', { frames: new FrameAllocator(0x8030_0000, 2 ** 21) }],
    ['a negative reserve', { reserveFrames: -1 }],
    ['a reserve that is no number', { reserveFrames: Number.NaN }],
    ['no CPU', { cpus: 0 }],
    ['more CPUs than ASIDs', { asidBits: 8, cpus: 255 }],
    ['more CPUs than pairs of ASIDs', { asidBits: 8, cpus: 127, kernelUnmapped: true }],
  ])('refuses %s', (_, options) => {
    expect(() => make(options)).toThrow(error('EINVAL'));
  });
  it('says at the first process what the tables cannot be', () => {
    expect(() => make({ vaBits: 60 }).createProcess('p')).toThrow(error('EINVAL'));
  });
  it('flushes nothing on a rollover if nobody models the TLBs', () => {
    const mmu = make({ asidBits: 8 });
    const mm = mmu.createProcess('p');
    for (let i = 0; i < 300; i++) mmu.asids.checkAndSwitch({ context: { asid: 0, generation: 0, pins: 0 } }, 0);
    expect(mmu.asids.checkAndSwitch(mm, 0)).toBeGreaterThan(0);
  });
  it('lists its processes and counts what happens', () => {
    const board = new Board({ dataPages: 32 });
    const [p, q] = ['p', 'q'].map((name) => board.mmu.createProcess(name));
    expect([...board.mmu.processes()].map(({ name }) => name)).toEqual(['p', 'q']);
    const file = countingFile('f', 4 * board.granule);
    const va = p!.mmap({ ...RW, bytes: 4 * board.granule, kind: 'shared', file });
    load(p!, va, 4 * board.granule);
    p!.handleFault(va, WRITE);
    board.mmu.reclaimRandom(4, board.scheduler.random);
    expect(board.mmu.counters).toEqual({
      ...{ faults: 5, pagesRead: 4, pagesWritten: 1, pagesCopied: 0, pagesReclaimed: 4 },
      ...{ directReclaims: 0, writeErrors: 0, pagesLost: 0 },
    });
    p!.exit();
    expect([board.mmu.liveProcesses, [...board.mmu.processes()].length]).toEqual([1, 1]);
    q!.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('has no memory for a process: ENOMEM, nothing taken', () => {
    const board = new Board({ dataPages: 1, oneZone: true });
    const first = board.mmu.createProcess('first');
    expect(() => board.mmu.createProcess('second')).toThrow(error('ENOMEM'));
    expect(board.mmu.liveProcesses).toBe(1);
    first.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
});

describe('the trace, in the lane of the process', () => {
  it('has a span for each fault and each direct reclaim, and the exit', () => {
    let text = '';
    const board = new Board({
      dataPages: 4,
      trace: (scheduler) =>
        new Trace(scheduler, (piece) => {
          text += piece;
        }),
    });
    const mm = board.mmu.createProcess('gzip');
    const va = mm.mmap({
      ...RO,
      exec: true,
      bytes: 5 * board.granule,
      kind: 'shared',
      file: countingFile('f', 99_999),
    });
    mm.handleFault(va, { read: true, write: false, exec: true, user: true });
    load(mm, va, 5 * board.granule);
    mm.handleFault(0x1000, WRITE);
    mm.exit();
    const events = (JSON.parse(`${text}]`) as { name: string; tid: number; args: object }[]).filter(
      ({ name }) => !name.startsWith('thread'),
    );
    expect(events.every(({ tid }) => tid === 1)).toBe(true);
    expect(events[0]).toMatchObject({
      name: 'page fault',
      args: { process: 'gzip', address: `0x${va.toString(16)}`, access: 'read exec', result: 'done' },
    });
    expect(events.at(-2)).toMatchObject({ args: { address: '0x1000', access: 'write', result: 'badAddress' } });
    expect(events.filter(({ name }) => name === 'direct reclaim')).toMatchObject([{ args: { pages: 4 } }]);
    expect(events.at(-1)).toMatchObject({ name: 'exit', args: { process: 'gzip' } });
  });
});
