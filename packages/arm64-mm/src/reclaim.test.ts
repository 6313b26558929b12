import { Random } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { Board, countingFile, Device, diskFull, load, NOTHING_LEFT, READ, RO, RW, WRITE, walk } from '../test/board.ts';

const setUp = (dataPages = 256, options: ConstructorParameters<typeof Board>[0] = {}) => {
  const board = new Board({ dataPages, ...options });
  return { board, mm: board.mmu.createProcess('p'), page: board.granule };
};

describe('reclaim gives a used page a second chance (mm/vmscan.c)', () => {
  it('takes pages in the order in which they came, but not those used since the hand came by', () => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', 8 * page);
    const va = mm.mmap({ ...RO, bytes: 8 * page, kind: 'shared', file });
    load(mm, va, 8 * page);
    const resident = () => [0, 1, 2, 3, 4, 5, 6, 7].filter((i) => walk(board, mm, va + i * page) !== undefined);
    expect(board.mmu.reclaim(2)).toBe(2); // all were used: the first round only clears flags
    expect(resident()).toEqual([2, 3, 4, 5, 6, 7]);
    load(mm, va + 2 * page, 1);
    load(mm, va + 4 * page, 1);
    expect(board.mmu.reclaim(3)).toBe(3);
    expect(resident()).toEqual([2, 4, 7]);
  });
  it('a page whose flag was cleared makes CPU and device fault again, without being read again', () => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', 2 * page);
    const va = mm.mmap({ ...RO, bytes: 2 * page, kind: 'shared', file });
    const device = new Device(board, mm);
    const bytes = new Uint8Array(1);
    device.access(va, bytes, false);
    device.access(va + page, bytes, false);
    board.mmu.reclaim(1);
    expect(device.tlb.size).toBe(0);
    expect(device.access(va + page, bytes, false)).toBe('done');
    expect([device.faults, file.reads.length]).toEqual([3, 2]);
  });
  it('a page that was used and unmapped counts as used', () => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', 2 * page);
    const keep = mm.mmap({ ...RO, bytes: 2 * page, kind: 'shared', file });
    const va = mm.mmap({ ...RO, bytes: page, kind: 'shared', file });
    load(mm, va, 1);
    load(mm, keep + page, 1);
    board.mmu.reclaim(0);
    mm.munmap(va, page);
    const { entry, lo, hi } = walk(board, mm, keep + page)!;
    board.memory.write64(entry, lo & ~0x400, hi);
    expect(board.mmu.reclaim(1)).toBe(1);
    expect(walk(board, mm, keep + page)).toBeUndefined(); // the other one was spared
  });
  it('clears all entries of a page, tells all who hold them, then writes, then frees', () => {
    const { board, mm, page } = setUp();
    const other = board.mmu.createProcess('q');
    const file = countingFile('f', page);
    const maps = [mm, mm, mm, other, other].map(
      (p) => [p, p.mmap({ ...RW, bytes: page, kind: 'shared', file })] as const,
    );
    for (const [p, va] of maps) p.handleFault(va, WRITE);
    const order: string[] = [];
    const spy = (name: string) => ({
      invalidateSecondaryTlbs: () => {
        const entries = maps.filter(([p, va]) => walk(board, p, va) !== undefined).length;
        order.push(`${name} told, ${entries} entries, ${board.left.data} frames`);
      },
      release() {},
    });
    mm.registerNotifier(spy('p'));
    other.registerNotifier(spy('q'));
    file.refuse = () => {
      order.push(`written, ${board.left.data} frames`);
      return undefined;
    };
    expect(board.mmu.reclaimRandom(1, new Random(1))).toBe(1);
    expect(order).toEqual(['p told, 0 entries, 1 frames', 'q told, 0 entries, 1 frames', 'written, 1 frames']);
    expect([board.left.data, mm.residentPages, other.residentPages]).toEqual([0, 0, 0]);
    mm.exit();
    other.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('tells of neighbouring pages in one call', () => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', 64 * page);
    const va = mm.mmap({ ...RO, bytes: 64 * page, kind: 'shared', file });
    const device = new Device(board, mm);
    for (let i = 63; i >= 0; i--) device.access(va + i * page, new Uint8Array(1), false); // downwards too
    board.mmu.reclaim(64);
    expect(device.calls.length).toBeLessThanOrEqual(4);
    expect(device.tlb.size).toBe(0);
  });
  it('tells of pages that lie apart one by one, and keeps what it owes short', () => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', 200 * page);
    const va = mm.mmap({ ...RO, bytes: 200 * page, kind: 'shared', file });
    const device = new Device(board, mm);
    for (let i = 0; i < 200; i += 2) device.access(va + i * page, new Uint8Array(1), false);
    expect(board.mmu.reclaim(1)).toBe(1);
    expect(device.calls.length).toBe(100); // a hundred flags; the page taken had none any more
    expect(device.calls.every(([start, last]) => last - start === page - 1)).toBe(true);
  });
  it('is through when there is nothing left', () => {
    const { board, mm, page } = setUp();
    const va = mm.mmap({ ...RO, bytes: 64 * page, kind: 'shared', file: countingFile('f', 64 * page) });
    load(mm, va, 64 * page);
    for (let i = 0; i < 64; i++) {
      const { entry, lo, hi } = walk(board, mm, va + i * page)!;
      board.memory.write64(entry, lo & ~0x400, hi);
    }
    expect(board.mmu.reclaim(1000)).toBe(64);
    expect(board.mmu.reclaim(1)).toBe(0);
  });
  it('does not take anonymous pages: there is no swap', () => {
    const { board, mm, page } = setUp();
    const va = mm.mmap({ ...RW, bytes: 4 * page, kind: 'anonymous' });
    mm.writeBytes(va, new Uint8Array(4 * page).fill(1));
    expect([board.mmu.reclaim(100), board.mmu.reclaimRandom(100, new Random(1))]).toEqual([0, 0]);
    expect(mm.residentPages).toBe(4);
  });
  it('does not write clean pages', () => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', 4 * page);
    const va = mm.mmap({ ...RW, bytes: 4 * page, kind: 'shared', file });
    load(mm, va, 4 * page);
    expect(board.mmu.reclaim(4)).toBe(4);
    expect(file.writes).toEqual([]);
    expect(load(mm, va, 4 * page)).toEqual(file.bytes);
  });
  it('takes time in proportion to what it takes', () => {
    const { board, mm, page } = setUp(8192);
    const file = countingFile('f', 8000 * page);
    const va = mm.mmap({ ...RO, bytes: 8000 * page, kind: 'shared', file });
    load(mm, va, 8000 * page);
    let stores = 0;
    board.memory.observer = () => {
      stores += 1;
    };
    expect(board.mmu.reclaim(8000)).toBe(8000);
    expect(stores).toBe(16_000); // a flag and an entry each
    board.memory.observer = null;
  });
});

describe('a file that refuses a dirty page keeps it in memory', () => {
  it('where it can be mapped again, and is written when the file takes it', () => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', 2 * page);
    const va = mm.mmap({ ...RW, bytes: 2 * page, kind: 'shared', file });
    mm.writeBytes(va, new Uint8Array([11]));
    file.refuse = (what) => (what === 'write' ? diskFull() : undefined);
    expect([board.mmu.reclaim(2), board.mmu.reclaimRandom(2, new Random(3))]).toEqual([0, 0]);
    expect(board.fileErrors.length).toBeGreaterThan(0);
    expect([walk(board, mm, va), board.mmu.livePages]).toEqual([undefined, 1]);
    expect(load(mm, va, 1)[0]).toBe(11);
    file.refuse = undefined;
    mm.msync(va, page);
    expect(file.bytes[0]).toBe(11);
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('and gives up after a batch of refusals', () => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', 200 * page);
    const va = mm.mmap({ ...RW, bytes: 200 * page, kind: 'shared', file });
    mm.writeBytes(va, new Uint8Array(200 * page).fill(1));
    file.refuse = diskFull;
    expect(board.mmu.reclaim(200)).toBe(0);
    expect(board.mmu.counters.writeErrors).toBe(32);
  });
});

describe('direct reclaim: a fault that finds no frame takes one from a file', () => {
  it.each([12, 14, 16] as const)('a file of 64 pages goes through 8 frames (granule 2^%i)', (granuleShift) => {
    const { board, mm, page } = setUp(8, { granuleShift });
    const file = countingFile('in', 64 * page);
    const out = countingFile('out', 64 * page);
    const source = mm.mmap({ ...RO, bytes: 64 * page, kind: 'shared', file });
    const target = mm.mmap({ ...RW, bytes: 64 * page, kind: 'shared', file: out });
    const device = new Device(board, mm);
    const buffer = new Uint8Array(256);
    for (let at = 0; at < 64 * page; at += page / 2) {
      expect(device.access(source + at, buffer, false)).toBe('done');
      expect(device.access(target + at, buffer, true)).toBe('done');
    }
    expect(board.mmu.counters.directReclaims).toBeGreaterThan(0);
    mm.msync(target, 64 * page);
    for (let at = 0; at < 64 * page; at += page / 2)
      expect(out.bytes.subarray(at, at + 256)).toEqual(file.bytes.subarray(at, at + 256));
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('for tables as well', () => {
    const { board, mm, page } = setUp(9, { oneZone: true }); // 1 root
    const file = countingFile('f', 7 * page);
    const va = mm.mmap({ ...RO, bytes: 7 * page, kind: 'shared', file, address: 2 ** 40 });
    load(mm, va, 5 * page); // 3 more tables, 5 pages
    expect(board.frames.freeFrames).toBe(0);
    const far = mm.mmap({ ...RW, bytes: page, kind: 'anonymous', address: 2 ** 41 });
    expect(mm.handleFault(far, WRITE)).toBe('done');
    const other = board.mmu.createProcess('q');
    mm.exit();
    other.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('never the page that is being copied', () => {
    const { mm, page } = setUp(2);
    const file = countingFile('f', 2 * page);
    const va = mm.mmap({ ...RW, bytes: 2 * page, kind: 'private', file });
    load(mm, va + page, 1);
    load(mm, va, 1);
    mm.writeBytes(va, new Uint8Array([1]));
    expect(load(mm, va, 4)).toEqual(new Uint8Array([1, file.bytes[1]!, file.bytes[2]!, file.bytes[3]!]));
  });
  it('leaves the reserve to tables and drivers while it can', () => {
    const { board, mm, page } = setUp(64, { reserveFrames: 16 });
    const file = countingFile('f', 128 * page);
    const va = mm.mmap({ ...RO, bytes: 128 * page, kind: 'shared', file });
    for (let i = 0; i < 128; i++) {
      mm.handleFault(va + i * page, READ);
      expect(board.frames.freeFrames).toBeGreaterThanOrEqual(16);
    }
    const anonymous = mm.mmap({ ...RW, bytes: 64 * page, kind: 'anonymous' });
    mm.writeBytes(anonymous, new Uint8Array(64 * page)); // but not when there is nothing to reclaim
    expect(board.frames.freeFrames).toBe(0);
  });
});

describe('reclaimRandom takes pages away under whoever uses them', () => {
  it('as many as asked for, each once, whichever the generator says', () => {
    const run = (seed: number) => {
      const { board, mm, page } = setUp();
      const va = mm.mmap({ ...RO, bytes: 100 * page, kind: 'shared', file: countingFile('f', 100 * page) });
      load(mm, va, 100 * page);
      expect(board.mmu.reclaimRandom(40, new Random(seed))).toBe(40);
      return Array.from({ length: 100 }, (_, i) => walk(board, mm, va + i * page) !== undefined);
    };
    expect(run(1)).toEqual(run(1));
    expect(run(1)).not.toEqual(run(2));
    expect(run(1).filter(Boolean).length).toBe(60);
  });
  it('all there are if asked for more', () => {
    const { board, mm, page } = setUp();
    const va = mm.mmap({ ...RO, bytes: 40 * page, kind: 'shared', file: countingFile('f', 40 * page) });
    load(mm, va, 40 * page);
    expect(board.mmu.reclaimRandom(1000, new Random(1))).toBe(40);
    expect(board.mmu.reclaimRandom(1, new Random(1))).toBe(0);
    expect(load(mm, va, page)[3]).toBe(3);
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
});
