import { describe, expect, it } from 'vitest';
import { Board, countingFile, Device, error, load, NOTHING_LEFT, READ, RO, RW, WRITE, walk } from '../test/board.ts';

const setUp = (options: ConstructorParameters<typeof Board>[0] = {}) => {
  const board = new Board({ dataPages: 256, ...options });
  return { board, mm: board.mmu.createProcess('parent'), page: board.granule };
};

describe.each([12, 14, 16] as const)(
  'fork shares anonymous pages until one side writes (granule 2^%i)',
  (granuleShift) => {
    it('each keeps what it had', () => {
      const { board, mm, page } = setUp({ granuleShift, dataPages: 16 });
      const va = mm.mmap({ ...RW, bytes: 3 * page, kind: 'anonymous' });
      mm.writeBytes(va, new Uint8Array(2 * page).fill(1));
      const child = mm.fork('child');
      const grandchild = child.fork('grandchild');
      expect([board.mmu.livePages, child.name, child.residentPages]).toEqual([2, 'child', 2]);
      mm.writeBytes(va, new Uint8Array([2]));
      child.writeBytes(va, new Uint8Array([3]));
      expect([mm, child, grandchild].map((p) => load(p, va, 1)[0])).toEqual([2, 3, 1]);
      expect([mm, child, grandchild].map((p) => load(p, va + page, 1)[0])).toEqual([1, 1, 1]);
      expect(board.mmu.livePages).toBe(4);
      child.exit();
      mm.exit();
      grandchild.writeBytes(va, new Uint8Array([4])); // its own by now: no copy
      expect(board.mmu.counters.pagesCopied).toBe(2);
      expect(load(grandchild, va, page).subarray(0, 2)).toEqual(new Uint8Array([4, 1]));
      grandchild.exit();
      expect(board.left).toEqual(NOTHING_LEFT);
    });
  },
);

describe('fork', () => {
  it('tells the parent’s devices, in one call, that its pages are read-only now', () => {
    const { board, mm, page } = setUp();
    const va = mm.mmap({ ...RW, bytes: 4 * page, kind: 'anonymous' });
    const device = new Device(board, mm);
    for (let i = 0; i < 4; i++) device.access(va + i * page, new Uint8Array([1]), true);
    const child = mm.fork('child');
    expect(device.calls).toEqual([[va, va + 4 * page - 1]]);
    device.access(va, new Uint8Array([9]), true);
    expect(load(child, va, 1)[0]).toBe(1);
    const again = mm.fork('second child'); // only the page written since is writable
    expect(device.calls.at(-1)).toEqual([va, va + page - 1]);
    child.exit();
    again.exit();
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('shares files, copies private changes, and leaves pages of files to faults', () => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', 2 * page);
    const shared = mm.mmap({ ...RW, bytes: 2 * page, kind: 'shared', file });
    const copy = mm.mmap({ ...RW, bytes: 2 * page, kind: 'private', file });
    mm.mmap({ ...RW, bytes: page, kind: 'guard' });
    load(mm, copy, 2 * page);
    mm.writeBytes(copy, new Uint8Array([77]));
    const child = mm.fork('child');
    expect(child.residentPages).toBe(1);
    expect([...child.maps()].map(({ kind }) => kind)).toEqual([...mm.maps()].map(({ kind }) => kind));
    child.writeBytes(shared, new Uint8Array([88]));
    mm.writeBytes(copy, new Uint8Array([99]));
    expect([load(mm, shared, 1)[0], load(child, copy, 1)[0], load(child, copy + page, 1)[0]]).toEqual([
      88,
      77,
      file.bytes[page],
    ]);
    mm.exit();
    expect(load(child, shared, 1)[0]).toBe(88);
    child.exit();
    expect(file.bytes[0]).toBe(88);
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('of an inaccessible page keeps it inaccessible, and there', () => {
    const { board, mm, page } = setUp();
    const va = mm.mmap({ ...RW, bytes: page, kind: 'anonymous' });
    mm.writeBytes(va, new Uint8Array([5]));
    mm.mprotect(va, page, { read: false, write: false });
    const child = mm.fork('child');
    expect([walk(board, child, va), child.handleFault(va, READ)]).toEqual([undefined, 'badAccess']);
    child.mprotect(va, page, RW);
    expect(load(child, va, 1)[0]).toBe(5);
    child.writeBytes(va, new Uint8Array([6]));
    mm.mprotect(va, page, RO);
    expect(load(mm, va, 1)[0]).toBe(5);
  });
  it('says nothing of a page that no TLB can hold', () => {
    const { board, mm, page } = setUp();
    const va = mm.mmap({ ...RW, bytes: page, kind: 'anonymous' });
    mm.handleFault(va, WRITE);
    const { entry, lo, hi } = walk(board, mm, va)!;
    board.memory.write64(entry, lo & ~0x400, hi);
    const device = new Device(board, mm);
    const child = mm.fork('child');
    expect(device.calls).toEqual([]);
    child.writeBytes(va, new Uint8Array([1]));
    expect(load(mm, va, 1)[0]).toBe(0);
  });
  it('shares the page of zeros', () => {
    const { board, mm, page } = setUp();
    const va = mm.mmap({ ...RW, bytes: page, kind: 'anonymous' });
    mm.handleFault(va, READ);
    const child = mm.fork('child');
    expect(walk(board, child, va)!.pa).toBe(walk(board, mm, va)!.pa);
    child.writeBytes(va, new Uint8Array([1]));
    expect([load(mm, va, 1)[0], load(child, va, 1)[0]]).toEqual([0, 1]);
    mm.exit();
    child.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('takes no notifiers and no ASID along', () => {
    const { board, mm } = setUp();
    const device = new Device(board, mm);
    mm.pinAsid();
    const child = mm.fork('child');
    expect(child.context).toMatchObject({ asid: 0, generation: 0, pins: 0 });
    child.exit();
    expect(device.released).toBe(0);
  });
  it('that runs out of table memory leaves nothing, and the parent works on', () => {
    const { board, mm, page } = setUp({ dataPages: 6, oneZone: true }); // root, 3 tables, 1 page: one frame is left
    const va = mm.mmap({ ...RW, bytes: page, kind: 'anonymous' });
    const device = new Device(board, mm);
    device.access(va, new Uint8Array([1]), true);
    const before = { ...board.left };
    expect(() => mm.fork('child')).toThrow(error('ENOMEM'));
    expect(board.left).toEqual(before);
    expect(device.access(va, new Uint8Array([2]), true)).toBe('done');
    expect(load(mm, va, 1)[0]).toBe(2);
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('makes room by reclaim', () => {
    const { board, mm, page } = setUp({ dataPages: 10, oneZone: true });
    const va = mm.mmap({ ...RW, bytes: page, kind: 'anonymous' });
    mm.handleFault(va, WRITE);
    const file = mm.mmap({ ...RO, bytes: 5 * page, kind: 'shared', file: countingFile('f', 5 * page) });
    load(mm, file, 5 * page);
    expect(board.frames.freeFrames).toBe(0);
    const child = mm.fork('child');
    expect(child.residentPages).toBe(1);
    child.exit();
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
});
