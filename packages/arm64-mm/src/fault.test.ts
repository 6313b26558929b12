import { describe, expect, it } from 'vitest';
import {
  Board,
  countingFile,
  Device,
  EXEC,
  load,
  NOTHING_LEFT,
  READ,
  RO,
  RW,
  same,
  WRITE,
  walk,
} from '../test/board.ts';

const GRANULES = [12, 14, 16] as const;
const setUp = (granuleShift: 12 | 14 | 16 = 12, dataPages = 64) => {
  const board = new Board({ granuleShift, dataPages });
  return { board, mm: board.mmu.createProcess('p'), page: board.granule };
};
const bits = (found: ReturnType<typeof walk>) =>
  found && { readOnly: (found.lo & 0x80) !== 0, dbm: (found.hi & 0x8_0000) !== 0, uxn: (found.hi & 0x40_0000) !== 0 };

describe.each(GRANULES)('demand paging with a granule of 2^%i', (granuleShift) => {
  it('nothing is resident before the first access', () => {
    const { board, mm, page } = setUp(granuleShift);
    const file = countingFile('f', 4 * page);
    const va = mm.mmap({ ...RW, bytes: 4 * page, kind: 'shared', file });
    expect([board.mmu.livePages, mm.residentPages, file.reads.length]).toEqual([0, 0, 0]);
    expect(walk(board, mm, va)).toBeUndefined();
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('untouched anonymous memory reads from one page of zeros', () => {
    const { board, mm, page } = setUp(granuleShift);
    const va = mm.mmap({ ...RW, bytes: 3 * page, kind: 'anonymous' });
    for (let i = 0; i < 3; i++) expect(mm.handleFault(va + i * page, READ)).toBe('done');
    expect(board.mmu.livePages).toBe(1);
    expect(new Set([0, 1, 2].map((i) => walk(board, mm, va + i * page)!.pa)).size).toBe(1);
    expect(bits(walk(board, mm, va))).toEqual({ readOnly: true, dbm: false, uxn: true });
    expect(load(mm, va, 3 * page).every((byte) => byte === 0)).toBe(true);
    mm.writeBytes(va + page, new Uint8Array([7]));
    expect(bits(walk(board, mm, va + page))).toEqual({ readOnly: false, dbm: true, uxn: true });
    expect([load(mm, va, 1)[0], load(mm, va + page, 1)[0], load(mm, va + 2 * page, 1)[0]]).toEqual([0, 7, 0]);
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('a written anonymous page is zero elsewhere, whatever its frame held before', () => {
    const { board, mm, page } = setUp(granuleShift, 1);
    for (let round = 0; round < 2; round++) {
      const va = mm.mmap({ ...RW, bytes: page, kind: 'anonymous' });
      expect(load(mm, va, page).every((byte) => byte === 0)).toBe(true);
      mm.munmap(va, page);
      const again = mm.mmap({ ...RW, bytes: page, kind: 'anonymous' });
      mm.writeBytes(again + 5, new Uint8Array([255]));
      expect(load(mm, again, page).reduce((sum, byte) => sum + byte, 0)).toBe(255);
      mm.munmap(again, page);
    }
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('a page of a file is read once, for all mappings and processes', () => {
    const { board, mm, page } = setUp(granuleShift);
    const other = board.mmu.createProcess('q');
    const file = countingFile('f', 2 * page);
    const vas = [
      [mm, mm.mmap({ ...RO, bytes: 2 * page, kind: 'shared', file })],
      [mm, mm.mmap({ ...RW, bytes: 2 * page, kind: 'private', file })],
      [other, other.mmap({ ...RO, bytes: page, kind: 'private', file, fileOffset: page })],
    ] as const;
    expect(same(load(...vas[0], 2 * page), file.bytes)).toBe(true);
    expect(same(load(...vas[1], 2 * page), file.bytes)).toBe(true);
    expect(same(load(...vas[2], page), file.bytes.subarray(page))).toBe(true);
    expect(file.reads).toEqual([0, page]);
    expect(board.mmu.livePages).toBe(2);
    mm.exit();
    other.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('what a private mapping writes stays its own', () => {
    const { board, mm, page } = setUp(granuleShift);
    const file = countingFile('f', 2 * page);
    const before = file.bytes.slice();
    const shared = mm.mmap({ ...RO, bytes: 2 * page, kind: 'shared', file });
    const va = mm.mmap({ ...RW, bytes: 2 * page, kind: 'private', file });
    load(mm, va, page); // first page: read, then written; second: written at once
    mm.writeBytes(va + page - 1, new Uint8Array([1, 2]));
    expect([...load(mm, va + page - 1, 2)]).toEqual([1, 2]);
    expect(same(load(mm, va, page - 1), before.subarray(0, page - 1))).toBe(true);
    expect(same(load(mm, va + page + 1, page - 1), before.subarray(page + 1))).toBe(true);
    expect(same(load(mm, shared, 2 * page), before)).toBe(true);
    mm.exit();
    expect(file.writes).toEqual([]);
    expect(same(file.bytes, before)).toBe(true);
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('the bytes after the end of a file are zeros, and never written to it', () => {
    const { board, mm, page } = setUp(granuleShift);
    const file = countingFile('f', page + 3);
    const va = mm.mmap({ ...RW, bytes: 2 * page, kind: 'shared', file });
    const bytes = load(mm, va, 2 * page);
    expect(same(bytes.subarray(0, page + 3), file.bytes)).toBe(true);
    expect(bytes.subarray(page + 3).every((byte) => byte === 0)).toBe(true);
    mm.writeBytes(va + page, new Uint8Array([9, 9, 9, 9, 9]));
    mm.exit();
    expect(file.bytes.length).toBe(page + 3);
    expect([...file.bytes.subarray(page)]).toEqual([9, 9, 9]);
    expect(board.left).toEqual(NOTHING_LEFT);
  });
});

describe('how a fault can end (vm_fault_t)', () => {
  const cases = () => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', 2 * page - 1);
    const at = {
      rw: mm.mmap({ ...RW, bytes: page, kind: 'anonymous' }),
      ro: mm.mmap({ ...RO, bytes: page, kind: 'anonymous' }),
      none: mm.mmap({ read: false, write: false, bytes: page, kind: 'anonymous' }),
      wo: mm.mmap({ read: false, write: true, bytes: page, kind: 'anonymous' }),
      x: mm.mmap({ ...RO, exec: true, bytes: page, kind: 'private', file }),
      guard: mm.mmap({ ...RW, exec: true, bytes: page, kind: 'guard' }),
      file: mm.mmap({ ...RW, bytes: 4 * page, kind: 'shared', file }),
      copy: mm.mmap({ ...RW, bytes: 4 * page, kind: 'private', file }),
    };
    return { board, mm, page, at };
  };
  it.each([
    ['rw', 0, READ, 'done'],
    ['rw', 0, WRITE, 'done'],
    ['rw', 0, EXEC, 'badAccess'],
    ['ro', 0, READ, 'done'],
    ['ro', 0, WRITE, 'badAccess'],
    ['ro', 0, { ...READ, write: true }, 'badAccess'],
    ['none', 0, READ, 'badAccess'],
    ['none', 0, WRITE, 'badAccess'],
    ['wo', 0, READ, 'done'], // no EPAN: what may be written may be read
    ['x', 0, EXEC, 'done'],
    ['x', 0, { ...EXEC, user: false }, 'badAccess'], // PXN
    ['x', 0, { ...READ, user: false }, 'done'],
    ['guard', 0, READ, 'badAddress'],
    ['guard', 0, WRITE, 'badAddress'],
    ['file', 1, WRITE, 'done'],
    ['file', 2, READ, 'busError'],
    ['file', 3, WRITE, 'busError'],
    ['copy', 2, WRITE, 'busError'],
  ] as const)('%s + %i pages, %o: %s', (name, pages, access, expected) => {
    const { board, mm, page, at } = cases();
    const va = at[name] + pages * page;
    expect(mm.handleFault(va, access)).toBe(expected);
    expect(walk(board, mm, va) !== undefined).toBe(expected === 'done');
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it.each([0, 0x1000, 2 ** 47, 2 ** 48 - 4096, 2 ** 48, 2 ** 52, 2 ** 64 - 4096, -4096, Number.NaN])(
    'an address where nothing is, %d: badAddress',
    (va) => {
      const { mm } = cases();
      expect(mm.handleFault(va, READ)).toBe('badAddress');
    },
  );
  it('any byte of a page stands for the page', () => {
    const { board, mm, at } = cases();
    expect(mm.handleFault(at.file + 4097, WRITE)).toBe('done');
    expect(walk(board, mm, at.file)).toBeUndefined();
    expect(walk(board, mm, at.file + 4096)).toBeDefined();
  });
  it('a file that cannot be read is a bus error, and nothing is kept', () => {
    const { board, mm, page } = setUp();
    const file = countingFile('bad', page);
    const va = mm.mmap({ ...RW, bytes: page, kind: 'shared', file });
    for (const thrown of [new Error('EIO: i/o error'), new TypeError('not yours')]) {
      file.refuse = () => thrown;
      expect(mm.handleFault(va, READ)).toBe('busError');
      expect([board.mmu.livePages, mm.residentPages]).toEqual([0, 0]);
    }
    expect(board.fileErrors).toEqual(['bad: EIO', 'bad: EIO']);
    file.refuse = undefined;
    expect(mm.handleFault(va, READ)).toBe('done');
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('no frame and nothing to reclaim: outOfMemory, the mapping as before', () => {
    const { board, mm, page } = setUp(12, 2);
    const va = mm.mmap({ ...RW, bytes: 3 * page, kind: 'anonymous' });
    mm.writeBytes(va, new Uint8Array(2 * page).fill(5));
    const before = [0, 1].map((i) => walk(board, mm, va + i * page));
    expect(mm.handleFault(va + 2 * page, WRITE)).toBe('outOfMemory');
    expect(mm.handleFault(va + 2 * page, READ)).toBe('outOfMemory'); // the page of zeros needs a frame too
    expect([0, 1, 2].map((i) => walk(board, mm, va + i * page))).toEqual([...before, undefined]);
    mm.munmap(va, page);
    expect(mm.handleFault(va + 2 * page, WRITE)).toBe('done');
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it.each(['zero page', 'page of a file', 'forked page'])('no frame for the copy of a %s: outOfMemory', (what) => {
    const { board, mm, page } = setUp(12, 1);
    const file = countingFile('f', page);
    const va = mm.mmap({
      ...RW,
      bytes: page,
      kind: what === 'page of a file' ? 'private' : 'anonymous',
      ...(what === 'page of a file' && { file }),
    });
    if (what === 'forked page') mm.writeBytes(va, new Uint8Array([3]));
    const child = what === 'forked page' ? mm.fork('child') : undefined;
    expect(mm.handleFault(va, READ)).toBe('done');
    const before = walk(board, mm, va);
    expect(mm.handleFault(va, WRITE)).toBe('outOfMemory');
    expect(walk(board, mm, va)).toEqual(before);
    expect(mm.residentPages).toBe(1);
    child?.exit();
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('no frame for the copy of a page of a file that was not there: outOfMemory', () => {
    const { board, mm, page } = setUp(12, 1);
    const va = mm.mmap({ ...RW, bytes: page, kind: 'private', file: countingFile('f', page) });
    expect(mm.handleFault(va, WRITE)).toBe('outOfMemory');
    expect(walk(board, mm, va)).toBeUndefined();
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('what is wrong with table memory itself is not taken for a lack of it', () => {
    const { board, mm, page } = setUp();
    const va = mm.mmap({ ...RW, bytes: page, kind: 'anonymous' });
    board.pages.fail = () => {
      throw new TypeError('broken');
    };
    expect(() => mm.handleFault(va, READ)).toThrow('broken');
    board.pages.fail = null;
    expect(mm.handleFault(va, READ)).toBe('done');
  });
  it('no frame for a page of a file: outOfMemory', () => {
    const { mm, page } = setUp(12, 1);
    const anonymous = mm.mmap({ ...RW, bytes: page, kind: 'anonymous' });
    mm.writeBytes(anonymous, new Uint8Array([1]));
    const va = mm.mmap({ ...RO, bytes: page, kind: 'shared', file: countingFile('f', page) });
    expect(mm.handleFault(va, READ)).toBe('outOfMemory');
  });
});

describe('dirty tracking', () => {
  it('a clean shared page is mapped read-only with DBM; its first write makes it dirty', () => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', page);
    const va = mm.mmap({ ...RW, bytes: page, kind: 'shared', file });
    mm.handleFault(va, READ);
    expect(bits(walk(board, mm, va))).toEqual({ readOnly: true, dbm: true, uxn: true });
    mm.handleFault(va, WRITE);
    expect(bits(walk(board, mm, va))).toEqual({ readOnly: false, dbm: true, uxn: true });
    mm.exit();
    expect(file.writes).toEqual([0]);
  });
  it('a page that is dirty already is writable at once for others', () => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', page);
    const va = mm.mmap({ ...RW, bytes: page, kind: 'shared', file });
    const other = mm.mmap({ ...RW, bytes: page, kind: 'shared', file });
    mm.handleFault(va, WRITE);
    mm.handleFault(other, READ);
    expect(bits(walk(board, mm, other))!.readOnly).toBe(false);
  });
  it('a read-only mapping of it never has DBM', () => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', page);
    const va = mm.mmap({ ...RO, bytes: page, kind: 'shared', file });
    mm.handleFault(va, READ);
    expect(bits(walk(board, mm, va))).toEqual({ readOnly: true, dbm: false, uxn: true });
  });
  it.each(['msync', 'munmap', 'reclaim', 'mprotect'] as const)('hardware’s dirty state is seen by %s', (by) => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', page);
    const va = mm.mmap({ ...RW, bytes: page, kind: 'shared', file });
    const device = new Device(board, mm, true);
    expect(device.access(va, new Uint8Array(1), false)).toBe('done');
    expect(device.access(va, new Uint8Array([77]), true)).toBe('done');
    expect(device.faults).toBe(1); // the write did not fault
    if (by === 'msync') mm.msync(va, page);
    else if (by === 'munmap') mm.munmap(va, page);
    else if (by === 'mprotect') {
      mm.mprotect(va, page, RO);
      mm.munmap(va, page);
    } else while (board.mmu.reclaim(1) === 0);
    expect(file.bytes[0]).toBe(77);
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
});

describe('the access flag', () => {
  it('of a page that lost it is set again by the next fault, without a word to the notifiers', () => {
    const { board, mm, page } = setUp();
    const va = mm.mmap({ ...RO, bytes: page, kind: 'shared', file: countingFile('f', page) });
    const device = new Device(board, mm);
    mm.handleFault(va, READ);
    const { entry, lo, hi } = walk(board, mm, va)!;
    board.memory.write64(entry, lo & ~0x400, hi);
    expect(mm.handleFault(va, READ)).toBe('done');
    expect(walk(board, mm, va)).toEqual({ ...walk(board, mm, va), lo, hi });
    expect(device.calls).toEqual([]);
  });
  it('comes with the permission when a write needs both', () => {
    const { board, mm, page } = setUp();
    const va = mm.mmap({ ...RW, bytes: page, kind: 'shared', file: countingFile('f', page) });
    const device = new Device(board, mm);
    mm.handleFault(va, READ);
    const { entry, lo, hi } = walk(board, mm, va)!;
    board.memory.write64(entry, lo & ~0x400, hi);
    expect(mm.handleFault(va, WRITE)).toBe('done');
    expect(walk(board, mm, va)!.lo & 0x480).toBe(0x400);
    expect(device.calls).toEqual([]); // an entry without access flag is in no TLB
  });
  it('that hardware sets while memory is looked for is not overlooked', () => {
    const { board, mm, page } = setUp(12, 2);
    const file = countingFile('f', 2 * page);
    const cached = mm.mmap({ ...RO, bytes: page, kind: 'shared', file, fileOffset: page });
    const va = mm.mmap({ ...RW, bytes: page, kind: 'private', file });
    const device = new Device(board, mm, true);
    mm.handleFault(cached, READ);
    mm.handleFault(va, READ);
    const { entry, lo, hi } = walk(board, mm, va)!;
    board.memory.write64(entry, lo & ~0x400, hi);
    // The copy takes the other page's frame: the notifier call for that is when the device gets its translation.
    const invalidate = device.invalidateSecondaryTlbs.bind(device);
    device.invalidateSecondaryTlbs = (...args) => {
      invalidate(...args);
      if (device.calls.length === 1) device.prefetch(va);
    };
    mm.writeBytes(va, new Uint8Array([42]));
    const bytes = new Uint8Array(1);
    expect(device.access(va, bytes, false)).toBe('done');
    expect(bytes[0]).toBe(42);
  });
});

describe('notifiers are told of every entry that a TLB may hold', () => {
  const mapped = () => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', 4 * page);
    const device = new Device(board, mm);
    return { board, mm, page, file, device };
  };
  it('not when a page comes in', () => {
    const { mm, page, file, device } = mapped();
    const va = mm.mmap({ ...RW, bytes: 4 * page, kind: 'shared', file });
    for (let i = 0; i < 4; i++) mm.handleFault(va + i * page, i % 2 ? WRITE : READ);
    expect(device.calls).toEqual([]);
  });
  it('when a page is copied: between the break and the make', () => {
    const { board, mm, page, file, device } = mapped();
    const va = mm.mmap({ ...RW, bytes: page, kind: 'private', file });
    mm.handleFault(va, READ);
    device.prefetch(va);
    const seen: unknown[] = [];
    const invalidate = device.invalidateSecondaryTlbs.bind(device);
    device.invalidateSecondaryTlbs = (...args) => {
      seen.push(walk(board, mm, va));
      invalidate(...args);
    };
    mm.handleFault(va, WRITE);
    expect([seen, device.calls]).toEqual([[undefined], [[va, va + page - 1]]]);
  });
  it('when a read-only entry becomes writable, or the device would fault for ever', () => {
    const { mm, page, file, device } = mapped();
    const va = mm.mmap({ ...RW, bytes: page, kind: 'shared', file });
    expect(device.access(va, new Uint8Array(1), false)).toBe('done');
    expect(device.access(va, new Uint8Array(1), true)).toBe('done');
    expect(device.calls).toEqual([[va, va + page - 1]]);
    expect(device.faults).toBe(2);
  });
  it('not when somebody was faster', () => {
    const { mm, page, file, device } = mapped();
    const va = mm.mmap({ ...RW, bytes: page, kind: 'shared', file });
    mm.handleFault(va, WRITE);
    mm.handleFault(va, WRITE);
    mm.handleFault(va, READ);
    expect(device.calls).toEqual([]);
  });
});

describe('callbacks must not come back (EDEADLK)', () => {
  it.each(['notifier', 'file read', 'file write'] as const)('from inside a %s', (where) => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', page);
    const va = mm.mmap({ ...RW, bytes: page, kind: 'shared', file });
    const codes: string[] = [];
    const attempt = () => {
      for (const call of [
        () => mm.handleFault(va, READ),
        () => mm.mmap({ ...RW, bytes: page, kind: 'anonymous' }),
        () => mm.munmap(va, page),
        () => mm.mprotect(va, page, RO),
        () => mm.msync(va, page),
        () => load(mm, va, 1),
        () => mm.writeBytes(va, new Uint8Array(1)),
        () => mm.fork('child'),
        () => mm.exit(),
        () => board.mmu.createProcess('new'),
        () => board.mmu.reclaim(1),
        () => board.mmu.reclaimRandom(1, board.scheduler.random),
      ])
        try {
          call();
          codes.push('none');
        } catch (error) {
          codes.push((error as { code: string }).code);
        }
    };
    if (where === 'notifier') mm.registerNotifier({ invalidateSecondaryTlbs: attempt, release() {} });
    else
      file.refuse = (what) => {
        if (where === `file ${what}`) attempt();
        return undefined;
      };
    mm.handleFault(va, READ);
    mm.handleFault(va, WRITE);
    mm.msync(va, page);
    expect(codes.length).toBeGreaterThanOrEqual(12);
    expect(new Set(codes)).toEqual(new Set(['EDEADLK']));
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('with the last put, while any other put is fine', () => {
    const { board, mm, page } = setUp();
    const va = mm.mmap({ ...RW, bytes: page, kind: 'anonymous' });
    mm.handleFault(va, WRITE);
    mm.registerNotifier({
      invalidateSecondaryTlbs: () => {
        mm.tryGet();
        mm.put();
        if (mm.users === 1) expect(() => mm.put()).toThrow(expect.objectContaining({ code: 'EDEADLK' }));
      },
      release: () => mm.exit(), // twice does nothing
    });
    const user = board.mmu.createProcess('holder');
    mm.tryGet();
    mm.exit();
    expect(mm.users).toBe(1);
    mm.munmap(va, page);
    mm.put();
    user.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
});
