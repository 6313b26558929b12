import { describe, expect, it } from 'vitest';
import {
  Board,
  countingFile,
  Device,
  diskFull,
  error,
  load,
  NOTHING_LEFT,
  READ,
  RO,
  RW,
  WRITE,
  walk,
} from '../test/board.ts';
import type { MmapOptions } from './mmap.ts';

const setUp = (options: ConstructorParameters<typeof Board>[0] = {}) => {
  const board = new Board({ dataPages: 2048, ...options });
  return { board, mm: board.mmu.createProcess('p'), page: board.granule };
};
const maps = (mm: ReturnType<typeof setUp>['mm']) =>
  [...mm.maps()].map(({ start, end, kind, write }) => [start, end, kind, write]);
const NONE = { read: false, write: false };

describe('mmap chooses the highest gap, below room for a stack (mm/mmap.c)', () => {
  it('from the top down, filling holes', () => {
    const { mm, page } = setUp();
    const top = 2 ** 48 - 2 ** 27;
    const first = mm.mmap({ ...RW, bytes: 2 * page, kind: 'anonymous' });
    const second = mm.mmap({ ...RO, bytes: page, kind: 'anonymous' });
    expect([first, second]).toEqual([top - 2 * page, top - 3 * page]);
    mm.munmap(first, page);
    expect(mm.mmap({ ...RO, bytes: 2 * page, kind: 'anonymous' })).toBe(top - 5 * page);
    expect(mm.mmap({ ...RO, bytes: page, kind: 'anonymous' })).toBe(first);
  });
  it('sizes are rounded up to the granule', () => {
    const { mm, page } = setUp({ granuleShift: 16, dataPages: 8 });
    const va = mm.mmap({ ...RW, bytes: 1, kind: 'anonymous' });
    expect(maps(mm)).toEqual([[va, va + page, 'anonymous', true]]);
  });
  it('until there is no room', () => {
    const { mm } = setUp();
    const all = 2 ** 48 - 2 ** 27 - 2 ** 16;
    expect(() => mm.mmap({ ...RW, bytes: all + 1, kind: 'guard' })).toThrow(error('ENOMEM'));
    mm.mmap({ ...RW, bytes: all, kind: 'guard' });
    expect(() => mm.mmap({ ...RW, bytes: 1, kind: 'guard' })).toThrow(error('ENOMEM'));
    expect(mm.mmap({ ...RW, bytes: 1, kind: 'guard', address: 2 ** 48 - 4096 })).toBe(2 ** 48 - 4096);
  });
  it('neighbours that could be one area are one', () => {
    const { mm, page } = setUp();
    const file = countingFile('f', 4 * page);
    const base = 2 ** 32;
    for (const [i, offset] of [0, 1, 3].entries())
      mm.mmap({ ...RW, bytes: page, kind: 'shared', file, address: base + i * page, fileOffset: offset * page });
    expect(maps(mm)).toEqual([
      [base, base + 2 * page, 'shared', true],
      [base + 2 * page, base + 3 * page, 'shared', true],
    ]);
    expect([...mm.maps()].map(({ fileName, fileOffset }) => [fileName, fileOffset])).toEqual([
      ['f', 0],
      ['f', 3 * page],
    ]);
  });
});

describe('mmap refuses', () => {
  const file = countingFile('f', 8192);
  const readonly = countingFile('r', 8192, true);
  const base: MmapOptions = { ...RW, bytes: 4096, kind: 'anonymous' };
  it.each<[string, object, string]>([
    ['no bytes', { bytes: 0 }, 'EINVAL'],
    ['negative bytes', { bytes: -4096 }, 'EINVAL'],
    ['half a byte', { bytes: 0.5 }, 'EINVAL'],
    ['bytes that are no number', { bytes: Number.NaN }, 'EINVAL'],
    ['an unknown kind', { kind: 'stack' }, 'EINVAL'],
    ['anonymous memory with a file', { file }, 'EINVAL'],
    ['a guard with a file', { kind: 'guard', file }, 'EINVAL'],
    ['a shared mapping without a file', { kind: 'shared' }, 'EINVAL'],
    ['a private mapping without a file', { kind: 'private' }, 'EINVAL'],
    ['a misaligned file offset', { kind: 'shared', file, fileOffset: 100 }, 'EINVAL'],
    ['a negative file offset', { kind: 'shared', file, fileOffset: -4096 }, 'EINVAL'],
    ['a file offset beyond 2^53', { kind: 'shared', file, fileOffset: 2 ** 53 - 4096, bytes: 8192 }, 'EOVERFLOW'],
    ['a writable shared mapping of a read-only file', { kind: 'shared', file: readonly }, 'EPERM'],
    ['a misaligned address', { address: 0x10_0001 }, 'EINVAL'],
    ['a negative address', { address: -4096 }, 'EINVAL'],
    ['the null page', { address: 0 }, 'EPERM'],
    ['an address below 64 KiB', { address: 0xf000 }, 'EPERM'],
    ['an address beyond the last', { address: 2 ** 48 }, 'ENOMEM'],
    ['a range that passes the last', { address: 2 ** 48 - 4096, bytes: 8192 }, 'ENOMEM'],
    ['an address that is taken', { address: 2 ** 32, bytes: 8192 }, 'EEXIST'],
  ])('%s', (_, options, code) => {
    const { board, mm } = setUp();
    mm.mmap({ ...base, address: 2 ** 32 + 4096 });
    const before = maps(mm);
    expect(() => mm.mmap({ ...base, ...options } as MmapOptions)).toThrow(error(code));
    expect(maps(mm)).toEqual(before);
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('more areas than the maximum', () => {
    const { mm, page } = setUp({ maxAreas: 2 });
    mm.mmap({ ...base, address: 2 ** 32 });
    mm.mmap({ ...base, address: 2 ** 33, bytes: 3 * page });
    expect(() => mm.mmap({ ...base, address: 2 ** 34 })).toThrow(error('ENOMEM'));
    expect(() => mm.munmap(2 ** 33 + page, page)).toThrow(error('ENOMEM'));
    expect(() => mm.mprotect(2 ** 33 + page, page, RO)).toThrow(error('ENOMEM'));
    expect(() => mm.mprotect(2 ** 33, page, RO)).toThrow(error('ENOMEM'));
    expect(maps(mm).length).toBe(2);
    mm.munmap(2 ** 33, page);
    expect(maps(mm)).toEqual([
      [2 ** 32, 2 ** 32 + page, 'anonymous', true],
      [2 ** 33 + page, 2 ** 33 + 3 * page, 'anonymous', true],
    ]);
  });
  it('but allows a private, or read-only shared, mapping of a read-only file', () => {
    const { mm } = setUp();
    const copy = mm.mmap({ ...base, kind: 'private', file: readonly });
    const shared = mm.mmap({ ...base, ...RO, kind: 'shared', file: readonly });
    mm.writeBytes(copy, new Uint8Array([1]));
    expect(() => mm.mprotect(shared, 4096, RW)).toThrow(error('EPERM'));
    mm.mprotect(copy, 4096, RW);
  });
});

describe('munmap', () => {
  it('of 1,000 pages is one call to each notifier, and gives back every frame and table', () => {
    const { board, mm, page } = setUp();
    const devices = [new Device(board, mm), new Device(board, mm)];
    const emptyTables = board.pages.livePages;
    const va = mm.mmap({ ...RW, bytes: 1100 * page, kind: 'anonymous' });
    mm.writeBytes(va, new Uint8Array(1000 * page).fill(1));
    mm.munmap(va, 1100 * page);
    for (const { calls } of devices) expect(calls.length).toBe(1);
    // Up to the last page that was there; the tables reach over the whole area.
    expect(devices[0]!.calls).toEqual([[va, va + 1100 * page - 1]]);
    expect([board.mmu.livePages, board.pages.livePages]).toEqual([0, emptyTables]);
    expect(mm.residentPages).toBe(0);
  });
  it('cuts areas where it has to', () => {
    const { mm, page } = setUp();
    const va = 2 ** 32;
    mm.mmap({ ...RW, bytes: 8 * page, kind: 'anonymous', address: va });
    mm.writeBytes(va, new Uint8Array(8 * page).fill(6));
    mm.munmap(va + 2 * page, 1); // rounded up
    mm.munmap(va + 5 * page, 9 * page);
    expect(maps(mm)).toEqual([
      [va, va + 2 * page, 'anonymous', true],
      [va + 3 * page, va + 5 * page, 'anonymous', true],
    ]);
    expect(mm.residentPages).toBe(4);
    expect(load(mm, va + 4 * page, page).every((byte) => byte === 6)).toBe(true);
    expect(mm.handleFault(va + 2 * page, READ)).toBe('badAddress');
  });
  it('of nothing does nothing', () => {
    const { board, mm, page } = setUp();
    const device = new Device(board, mm);
    mm.munmap(2 ** 32, 100 * page);
    const va = mm.mmap({ ...RW, bytes: page, kind: 'anonymous' });
    mm.munmap(va, page);
    expect(device.calls).toEqual([]);
  });
  it('frees a frame only after the notifiers have been told', () => {
    const { board, mm, page } = setUp();
    const va = mm.mmap({ ...RW, bytes: page, kind: 'anonymous' });
    mm.handleFault(va, WRITE);
    let seen: unknown;
    mm.registerNotifier({
      invalidateSecondaryTlbs: () => (seen = [walk(board, mm, va), board.left.data, board.pages.livePages]),
      release() {},
    });
    mm.munmap(va, page);
    expect(seen).toEqual([undefined, 1, 4]); // no entry any more, frame and all four tables still there
    expect([board.left.data, board.pages.livePages]).toEqual([0, 1]);
  });
  it('tells the notifiers of tables that go, even if every page below has gone before', () => {
    const { board, mm, page } = setUp();
    const device = new Device(board, mm);
    const va = mm.mmap({ ...RO, bytes: page, kind: 'shared', file: countingFile('f', page) });
    mm.handleFault(va, READ);
    while (board.mmu.reclaim(1) === 0);
    const { length } = device.calls;
    mm.munmap(va, page);
    expect(device.calls.slice(length)).toEqual([[va, va + page - 1]]);
  });
  it('keeps the tables that a neighbour uses', () => {
    const { board, mm, page } = setUp();
    const va = 2 ** 32;
    mm.mmap({ ...RW, bytes: 2 * page, kind: 'anonymous', address: va });
    mm.writeBytes(va, new Uint8Array(2 * page));
    const tables = board.pages.livePages;
    mm.munmap(va, page);
    expect(board.pages.livePages).toBe(tables);
    mm.munmap(va + page, page);
    expect(board.pages.livePages).toBe(1);
  });
  it('of the last area of a file writes back and forgets it; of another keeps it cached', () => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', 4 * page);
    const first = mm.mmap({ ...RW, bytes: 4 * page, kind: 'shared', file });
    const second = mm.mmap({ ...RO, bytes: page, kind: 'private', file });
    mm.writeBytes(first + 2 * page, new Uint8Array([200]));
    load(mm, second, 1);
    mm.munmap(first, 4 * page);
    expect([board.mmu.cachedPages, file.writes]).toEqual([2, []]);
    mm.munmap(second, page);
    expect([board.mmu.cachedPages, board.mmu.livePages, file.writes]).toEqual([0, 0, [2 * page]]);
    expect(file.bytes[2 * page]).toBe(200);
  });
  it('counts pages that the file refuses at the very end as lost', () => {
    const { board, mm, page } = setUp();
    const file = countingFile('full', page);
    const va = mm.mmap({ ...RW, bytes: page, kind: 'shared', file });
    mm.handleFault(va, WRITE);
    file.refuse = diskFull;
    mm.munmap(va, page);
    expect([board.mmu.counters.pagesLost, board.mmu.livePages]).toEqual([1, 0]);
    expect(board.fileErrors).toEqual(['full: ENOSPC']);
  });
  it('of a file that has become shorter writes what is left of it', () => {
    const { mm, page } = setUp();
    const file = countingFile('f', 2 * page);
    const va = mm.mmap({ ...RW, bytes: 2 * page, kind: 'shared', file });
    mm.writeBytes(va, new Uint8Array(2 * page).fill(8));
    file.bytes = file.bytes.slice(0, 10);
    mm.munmap(va, 2 * page);
    expect([file.writes, [...file.bytes]]).toEqual([[0], new Array(10).fill(8)]);
  });
  it.each<[string, number, number]>([
    ['a misaligned address', 1, 4096],
    ['a negative address', -4096, 4096],
    ['no bytes', 2 ** 32, 0],
    ['more than there is', 2 ** 48 - 4096, 8192],
  ])('refuses %s', (_, va, bytes) => {
    const { mm } = setUp();
    for (const call of [() => mm.munmap(va, bytes), () => mm.mprotect(va, bytes, RO), () => mm.msync(va, bytes)])
      expect(call).toThrow(error('EINVAL'));
  });
  it('of 64 TiB that hold one page is quick', () => {
    const { board, mm } = setUp();
    const va = mm.mmap({ ...RW, bytes: 2 ** 46, kind: 'anonymous' });
    mm.handleFault(va + 2 ** 45, WRITE);
    mm.munmap(va, 2 ** 46);
    expect([board.mmu.livePages, board.pages.livePages]).toEqual([0, 1]);
  });
});

describe('mprotect', () => {
  const written = (kind: 'anonymous' | 'shared' = 'anonymous') => {
    const { board, mm, page } = setUp();
    const file = kind === 'shared' ? { file: countingFile('f', 4 * page) } : {};
    const va = mm.mmap({ ...RW, bytes: 4 * page, kind, ...file });
    mm.writeBytes(va, new Uint8Array(4 * page).fill(3));
    return { board, mm, page, va, device: new Device(board, mm) };
  };
  const flags = (found: ReturnType<typeof walk>) =>
    found && `${found.lo & 0x80 ? 'RO' : 'RW'}${found.hi & 0x8_0000 ? ' DBM' : ''}${found.hi & 0x40_0000 ? '' : ' X'}`;
  it.each(['anonymous', 'shared'] as const)('narrows entries at once, in one call (%s)', (kind) => {
    const { board, mm, page, va, device } = written(kind);
    mm.mprotect(va + page, 2 * page, RO);
    expect(device.calls).toEqual([[va + page, va + 3 * page - 1]]);
    expect([0, 1, 2, 3].map((i) => flags(walk(board, mm, va + i * page)))).toEqual(['RW DBM', 'RO', 'RO', 'RW DBM']);
    expect(device.access(va + page, new Uint8Array(1), true)).toBe('badAccess');
    mm.mprotect(va + page, 2 * page, RW);
    expect(flags(walk(board, mm, va + page))).toBe('RW DBM');
    expect([...mm.maps()].length).toBe(1);
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('to no access hides pages from hardware and keeps them', () => {
    const { board, mm, page, va, device } = written();
    mm.mprotect(va, page, NONE);
    expect(walk(board, mm, va)).toBeUndefined();
    expect(mm.handleFault(va, READ)).toBe('badAccess');
    expect(mm.residentPages).toBe(4);
    const { length } = device.calls;
    mm.mprotect(va, page, RW);
    expect(device.calls.length).toBe(length); // nothing can have cached it
    expect(load(mm, va, page).every((byte) => byte === 3)).toBe(true);
    mm.mprotect(va, page, NONE);
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('to no access keeps a clean page of a file reclaimable', () => {
    const { board, mm, page } = setUp();
    const va = mm.mmap({ ...RO, bytes: page, kind: 'shared', file: countingFile('f', page) });
    const device = new Device(board, mm);
    mm.handleFault(va, READ);
    mm.mprotect(va, page, NONE);
    expect(device.calls.length).toBe(1);
    expect(board.mmu.reclaimRandom(1, board.scheduler.random)).toBe(1);
    expect(device.calls.length).toBe(1);
  });
  it('adds and takes execution', () => {
    const { board, mm, page, va } = written();
    mm.mprotect(va, page, { ...RO, exec: true });
    expect(flags(walk(board, mm, va))).toBe('RO X');
    mm.mprotect(va, page, RO);
    expect(flags(walk(board, mm, va))).toBe('RO');
  });
  it('does not make a page writable that a child shares', () => {
    const { board, mm, page, va } = written();
    const child = mm.fork('child');
    mm.mprotect(va, 4 * page, RO);
    mm.mprotect(va, 4 * page, RW);
    expect(flags(walk(board, mm, va))).toBe('RO');
    mm.writeBytes(va, new Uint8Array([4]));
    expect(load(child, va, 1)[0]).toBe(3);
  });
  it('leaves what does not change alone', () => {
    const { mm, page, va, device } = written();
    mm.mprotect(va, 4 * page, RW);
    mm.mprotect(va, page, { read: false, write: true });
    expect(device.calls).toEqual([]);
    const untouched = mm.mmap({ ...RW, bytes: page, kind: 'anonymous' });
    mm.mprotect(untouched, page, RO);
    expect(device.calls).toEqual([]);
    const fresh = setUp();
    const empty = fresh.mm.mmap({ ...RW, bytes: page, kind: 'anonymous' });
    fresh.mm.mprotect(empty, page, RO);
    expect(fresh.mm.handleFault(empty, WRITE)).toBe('badAccess');
  });
  it('keeps an old page old', () => {
    const { board, mm, page } = setUp();
    const va = mm.mmap({ ...RW, bytes: page, kind: 'shared', file: countingFile('f', page) });
    mm.handleFault(va, READ);
    board.mmu.reclaim(0);
    const { entry, lo, hi } = walk(board, mm, va)!;
    board.memory.write64(entry, lo & ~0x400, hi);
    mm.mprotect(va, page, RO);
    expect(walk(board, mm, va)!.lo & 0x400).toBe(0);
  });
  it('refuses what is not mapped, and guards', () => {
    const { mm, page } = setUp();
    const va = 2 ** 32;
    mm.mmap({ ...RW, bytes: 2 * page, kind: 'anonymous', address: va });
    mm.mmap({ ...RW, bytes: page, kind: 'guard', address: va + 2 * page });
    const before = maps(mm);
    expect(() => mm.mprotect(va, 3 * page, RO)).toThrow(error('EINVAL'));
    expect(() => mm.mprotect(va, 5 * page, RO)).toThrow(error('ENOMEM'));
    expect(() => mm.mprotect(va - page, 2 * page, RO)).toThrow(error('ENOMEM'));
    expect(maps(mm)).toEqual(before);
  });
});

describe('msync', () => {
  it('writes dirty pages of shared mappings in the range, and the next write faults again', () => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', 8 * page);
    const va = mm.mmap({ ...RW, bytes: 8 * page, kind: 'shared', file });
    const copy = mm.mmap({ ...RW, bytes: page, kind: 'private', file });
    mm.writeBytes(copy, new Uint8Array([1]));
    const device = new Device(board, mm);
    for (const i of [1, 2, 5]) device.access(va + i * page, new Uint8Array([100 + i]), true);
    mm.msync(va, 4 * page);
    expect(file.writes).toEqual([page, 2 * page]);
    expect(device.calls).toEqual([[va + page, va + 3 * page - 1]]); // neighbours in one call
    mm.msync(va, 4 * page);
    expect(file.writes.length).toBe(2);
    device.access(va + page, new Uint8Array([55]), true);
    mm.msync(va, 8 * page);
    expect(file.writes).toEqual([page, 2 * page, page, 5 * page]);
    expect([file.bytes[page], file.bytes[2 * page], file.bytes[5 * page]]).toEqual([55, 102, 105]);
    mm.exit();
    expect(file.writes.length).toBe(4);
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('cleans the page for all who map it', () => {
    const { board, mm, page } = setUp();
    const other = board.mmu.createProcess('q');
    const file = countingFile('f', page);
    const vas = [mm, mm, other].map((p) => p.mmap({ ...RW, bytes: page, kind: 'shared', file }));
    const devices = [new Device(board, mm), new Device(board, other)];
    mm.writeBytes(vas[0]!, new Uint8Array([1]));
    mm.writeBytes(vas[1]!, new Uint8Array([2]));
    other.writeBytes(vas[2]!, new Uint8Array([3]));
    mm.msync(vas[0]!, page);
    for (const [i, p] of [mm, mm, other].entries()) expect(walk(board, p, vas[i]!)!.lo & 0x80).toBe(0x80);
    expect(devices.map(({ calls }) => calls.length)).toEqual([1, 1]);
    other.writeBytes(vas[2]!, new Uint8Array([4]));
    mm.exit();
    other.exit();
    expect([file.writes, file.bytes[0]]).toEqual([[0, 0], 4]);
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('writes a page once that is in the range twice', () => {
    const { mm, page } = setUp();
    const file = countingFile('f', page);
    const va = 2 ** 32;
    for (const address of [va, va + page]) mm.mmap({ ...RW, bytes: page, kind: 'shared', file, address });
    mm.writeBytes(va, new Uint8Array([1]));
    mm.writeBytes(va + page, new Uint8Array([2]));
    mm.msync(va, 2 * page);
    expect([file.writes, file.bytes[0]]).toEqual([[0], 2]);
  });
  it('makes an old page read-only without a word', () => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', page);
    const va = mm.mmap({ ...RW, bytes: page, kind: 'shared', file });
    mm.handleFault(va, WRITE);
    const { entry, lo, hi } = walk(board, mm, va)!;
    board.memory.write64(entry, lo & ~0x400, hi);
    const device = new Device(board, mm);
    mm.msync(va, page);
    expect([device.calls, file.writes, walk(board, mm, va)!.lo & 0x80]).toEqual([[], [0], 0x80]);
  });
  it('goes on after a refusal, says it, and keeps those pages dirty', () => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', 3 * page);
    const va = mm.mmap({ ...RW, bytes: 3 * page, kind: 'shared', file });
    mm.writeBytes(va, new Uint8Array(3 * page).fill(9));
    file.refuse = (_, offset) => (offset === page ? diskFull() : undefined);
    expect(() => mm.msync(va, 3 * page)).toThrow(error('ENOSPC'));
    expect(file.writes).toEqual([0, 2 * page]);
    file.refuse = undefined;
    mm.msync(va, 3 * page);
    expect(file.writes).toEqual([0, 2 * page, page]);
    expect(file.bytes.every((byte) => byte === 9)).toBe(true);
    expect(board.mmu.counters).toMatchObject({ writeErrors: 1, pagesWritten: 3 });
  });
  it('takes the cheaper way through a file that is much larger than what is in memory', () => {
    const { mm, page } = setUp();
    const file = {
      name: 'sparse',
      size: 2 ** 50,
      written: [] as number[],
      readPage() {},
      writePage(offset: number) {
        this.written.push(offset);
      },
    };
    const va = mm.mmap({ ...RW, bytes: 2 ** 45, kind: 'shared', file, fileOffset: 2 ** 46 });
    mm.handleFault(va + 2 ** 44, WRITE);
    mm.handleFault(va, WRITE);
    mm.msync(va + page, 2 ** 45 - page);
    expect(file.written).toEqual([2 ** 46 + 2 ** 44]);
  });
  it('refuses a range with holes', () => {
    const { mm, page } = setUp();
    const va = mm.mmap({ ...RW, bytes: page, kind: 'anonymous' });
    mm.msync(va, page);
    expect(() => mm.msync(va, 2 * page)).toThrow(error('ENOMEM'));
  });
});
