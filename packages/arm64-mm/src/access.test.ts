import { Random } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { Board, countingFile, error, load, NOTHING_LEFT, RO, RW } from '../test/board.ts';
import { AccessError } from './access.ts';

const setUp = (options: ConstructorParameters<typeof Board>[0] = {}) => {
  const board = new Board({ dataPages: 64, ...options });
  return { board, mm: board.mmu.createProcess('p'), page: board.granule };
};
const failure = (call: () => void): AccessError => {
  try {
    call();
  } catch (error) {
    return error as AccessError;
  }
  throw new Error('nothing was thrown');
};

describe('a CPU’s loads and stores', () => {
  it.each([12, 14, 16] as const)('cross pages at any alignment (granule 2^%i)', (granuleShift) => {
    const { board, mm, page } = setUp({ granuleShift });
    const file = countingFile('f', 4 * page);
    const va = mm.mmap({ ...RW, bytes: 4 * page, kind: 'private', file });
    const bytes = new Uint8Array(2 * page + 10);
    mm.readBytes(va + 5, bytes, 3, 2 * page);
    expect(bytes.subarray(3, 2 * page + 3)).toEqual(file.bytes.subarray(5, 2 * page + 5));
    expect([bytes[2], bytes[2 * page + 3]]).toEqual([0, 0]);
    mm.writeBytes(va + page - 2, new Uint8Array([0, 1, 2, 3, 4, 5]), 1, 4);
    expect([...load(mm, va + page - 3, 6)]).toEqual([file.bytes[page - 3], 1, 2, 3, 4, file.bytes[page + 2]]);
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('of no bytes do nothing, wherever', () => {
    const { mm } = setUp();
    mm.readBytes(0, new Uint8Array(0));
    mm.writeBytes(2 ** 60, new Uint8Array(4), 4);
  });
  it.each([
    ['guard', 'badAddress'],
    ['read-only', 'badAccess'],
    ['beyond the file', 'busError'],
    ['nothing', 'badAddress'],
  ] as const)('that may not be say where and why: %s, %s', (what, result) => {
    const { mm, page } = setUp();
    const file = countingFile('f', page);
    const base = 2 ** 32;
    mm.mmap({ ...RW, bytes: 2 * page, kind: 'shared', file, address: base });
    if (what !== 'beyond the file') mm.munmap(base + page, page);
    if (what === 'guard') mm.mmap({ ...RW, bytes: page, kind: 'guard', address: base + page });
    if (what === 'read-only') mm.mmap({ ...RO, bytes: page, kind: 'anonymous', address: base + page });
    const thrown = failure(() => mm.writeBytes(base + page - 3, new Uint8Array([9, 8, 7, 6])));
    expect(thrown).toBeInstanceOf(AccessError);
    expect(thrown).toMatchObject({ name: 'AccessError', code: 'EFAULT', va: base + page, write: true, result });
    expect(thrown.message).toBe(`p: write to 0x${(base + page).toString(16)}: ${result}`);
    expect([...load(mm, base + page - 3, 3)]).toEqual([9, 8, 7]); // what was before it, was written
    if (what !== 'read-only') {
      const read = failure(() => load(mm, base + page, 1));
      expect([read.message.startsWith('p: read of'), read.write]).toEqual([true, false]);
    }
  });
  it('that find no memory say ENOMEM', () => {
    const { mm, page } = setUp({ dataPages: 1 });
    const va = mm.mmap({ ...RW, bytes: 2 * page, kind: 'anonymous' });
    expect(failure(() => mm.writeBytes(va, new Uint8Array(2 * page)))).toMatchObject({
      ...{ code: 'ENOMEM', result: 'outOfMemory', va: va + page },
    });
  });
  it('need an array that is large enough', () => {
    const { mm } = setUp();
    for (const [start, length] of [
      [0, 5],
      [3, 2],
      [-1, 2],
      [0, -1],
      [Number.NaN, 1],
    ] as const) {
      expect(() => mm.readBytes(2 ** 32, new Uint8Array(4), start, length)).toThrow(error('EINVAL'));
      expect(() => mm.writeBytes(2 ** 32, new Uint8Array(4), start, length)).toThrow(error('EINVAL'));
    }
  });
  it('work while somebody takes pages away at every store, and stop when none ever stays', () => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', 8 * page);
    const va = mm.mmap({ ...RW, bytes: 8 * page, kind: 'shared', file });
    const random = new Random(5);
    let every = 3;
    let stores = 0;
    board.memory.observer = () => {
      if (++stores % every !== 0) return;
      every = 3 + random.below(5);
      const { observer } = board.memory;
      board.memory.observer = null;
      board.mmu.reclaimRandom(2, random);
      board.memory.observer = observer;
    };
    const data = new Uint8Array(8 * page).map((_, i) => i % 251);
    for (let at = 0; at < data.length; at += 100) mm.writeBytes(va + at, data, at, Math.min(100, data.length - at));
    expect(load(mm, va, 8 * page)).toEqual(data);
    board.memory.observer = () => {
      const { observer } = board.memory;
      board.memory.observer = null;
      board.mmu.reclaimRandom(8, random);
      board.memory.observer = observer;
    };
    expect(() => load(mm, va, 1)).toThrow(error('EAGAIN'));
    board.memory.observer = null;
    mm.exit();
    expect(file.bytes).toEqual(data);
    expect(board.left).toEqual(NOTHING_LEFT);
  });
});
