import { describe, expect, it } from 'vitest';
import { board, RW, tableOn } from '../test/board.ts';
import { BreakBeforeMakeError } from './errors.ts';
import type { ArmPageTable } from './pageTable.ts';

const M2 = 2 ** 21;
const tlb = { flushAll() {}, flushWalk() {} };

function checked(bbmLevel: 0 | 1 | 2 = 0): ArmPageTable {
  const table = tableOn(board(), { checkBreakBeforeMake: true, bbmLevel, tlb });
  table.mapPages(0, 0, 4096, 1, RW);
  table.mapPages(M2, M2, M2, 1, RW);
  return table;
}

/** Stores over the leaf or table entry at the end of the walk to `iova`. */
function store(table: ArmPageTable, iova: number, change: (lo: number, hi: number) => [number, number], up = 1): void {
  const { entryPa, level, lo, hi } = table.walk(iova).at(-up)!;
  const span = table.spanOf(level);
  table.store(entryPa, level, iova - (iova % span), ...change(lo, hi));
}

describe('a store over a valid entry', () => {
  it.each<[string, number, (lo: number, hi: number) => [number, number]]>([
    ['changes the output of a page', 0, (lo, hi) => [lo + 0x1000, hi]],
    ['changes the upper bits of the output', 0, (lo, hi) => [lo, hi + 1]],
    ['changes the memory type', 0, (lo, hi) => [lo ^ 4, hi]],
    ['changes the shareability', 0, (lo, hi) => [lo ^ 0x100, hi]],
    ['makes a run', 0, (lo, hi) => [lo, hi | 0x10_0000]],
    ['puts a table where a block is', M2, (lo, hi) => [lo | 2, hi]],
  ])('that %s is refused', (_, iova, change) => {
    const table = checked();
    const before = table.walk(iova);
    expect(() => store(table, iova, change)).toThrow(BreakBeforeMakeError);
    expect(table.walk(iova)).toEqual(before);
  });

  it.each<[string, (lo: number, hi: number) => [number, number]]>([
    ['the access flag', (lo, hi) => [lo & ~0x400, hi]],
    ['writing', (lo, hi) => [lo | 0x80, hi]],
    ['who may', (lo, hi) => [lo & ~0x40, hi]],
    ['executing', (lo, hi) => [lo, hi | 0x60_0000]],
    ['the dirty modifier', (lo, hi) => [lo, hi | 0x8_0000]],
    ["software's bits", (lo, hi) => [lo, hi | 0x0780_0000]],
    ['nothing at all', (lo, hi) => [lo, hi]],
  ])('may change %s', (_, change) => {
    const table = checked();
    store(table, 0, change);
    store(table, M2, change);
  });

  it('a table may not become another, nor a block, nor lead on with other limits', () => {
    const table = checked();
    expect(() => store(table, 0, (lo, hi) => [lo + 0x1000, hi], 2)).toThrow(BreakBeforeMakeError);
    expect(() => store(table, 0, (lo, hi) => [lo & ~2, hi], 2)).toThrow(BreakBeforeMakeError);
    expect(() => store(table, 0, (lo, hi) => [lo, hi | 0x4000_0000], 2)).toThrow(BreakBeforeMakeError);
    store(table, 0, (lo, hi) => [lo, hi | 0x80_0000], 2); // the sync bit
  });

  it('at level 1 a mark may be set, and then the size may change', () => {
    const table = checked(1);
    expect(() => store(table, M2, (lo, hi) => [lo | 2, hi])).toThrow(BreakBeforeMakeError);
    store(table, M2, (lo, hi) => [lo | 0x1_0000, hi]);
    store(table, M2, (lo, hi) => [lo | 2, hi]);
    expect(() => store(checked(1), 0, (lo, hi) => [lo, hi | 0x10_0000])).toThrow(BreakBeforeMakeError);
    expect(() => store(checked(1), 0, (lo, hi) => [lo | 0x1_0000, hi])).toThrow(BreakBeforeMakeError); // of a page it is address
  });

  it('at level 2 size and run may change, the output not', () => {
    const table = checked(2);
    store(table, M2, (lo, hi) => [lo | 2, hi]);
    store(table, 0, (lo, hi) => [lo, hi | 0x10_0000]);
    expect(() => store(table, 0, (lo, hi) => [lo + 0x1000, hi])).toThrow(BreakBeforeMakeError);
  });
});

describe('an entry that was broken', () => {
  it('may be made again after the invalidation only', () => {
    const table = checked();
    const gather = table.newGather();
    table.unmapPages(0, 4096, 1, gather);
    expect(() => table.mapPages(0, 0x9000, 4096, 1, RW)).toThrow(BreakBeforeMakeError);
    gather.reset();
    table.mapPages(0, 0x9000, 4096, 1, RW);
  });

  it('is remembered by range: an invalidation of a part does not do', () => {
    const table = checked();
    table.unmapPages(M2, M2, 1);
    table.tlb!.flushWalk(M2, 4096, 4096);
    expect(() => table.mapPages(M2 + 8192, 0, 4096, 1, RW)).toThrow(BreakBeforeMakeError);
    table.tlb!.flushAll();
    table.mapPages(M2 + 8192, 0, 4096, 1, RW);
  });

  it('each page of a run counts for itself', () => {
    const table = tableOn(board(), { checkBreakBeforeMake: true, tlb });
    table.mapPages(0, 0, 4096, 4, RW);
    table.unmapPages(0, 4096, 4);
    table.tlb!.flushWalk(4096, 2 * 4096, 4096);
    table.mapPages(4096, 0, 4096, 2, RW);
    expect(() => table.mapPages(0, 0, 4096, 1, RW)).toThrow(BreakBeforeMakeError);
    expect(() => table.mapPages(3 * 4096, 0, 4096, 2, RW)).toThrow(BreakBeforeMakeError);
    table.mapPages(4 * 4096, 0, 4096, 2, RW);
    table.tlb!.flushWalk(0, 4095, 4096); // not its last byte
    expect(() => table.mapPages(0, 0, 4096, 1, RW)).toThrow(BreakBeforeMakeError);
    table.tlb!.flushWalk(0, 4096, 4096);
    table.mapPages(0, 0, 4096, 1, RW);
  });

  it('is not in the way of its neighbours', () => {
    const table = checked();
    table.unmapPages(0, 4096, 1);
    table.mapPages(4096, 0, 4096, 1, RW);
    table.mapPages(2 * M2, 0, M2, 1, RW);
    expect(() => table.mapPages(0, 0, 4096, 1, RW)).toThrow(/made before what it replaces was invalidated/);
  });

  it('is checked without a port to invalidate, too', () => {
    const table = tableOn(board(), { checkBreakBeforeMake: true });
    table.mapPages(0, 0, 4096, 1, RW);
    table.unmapPages(0, 4096, 1);
    table.tlb!.flushAll();
    table.tlb!.flushWalk(0, 4096, 4096);
    table.mapPages(0, 0, 4096, 1, RW);
  });
});

it('names the entry', () => {
  const table = checked();
  const { entryPa } = table.walk(0).at(-1)!;
  try {
    store(table, 0, (lo, hi) => [lo + 0x1000, hi]);
    expect.unreachable();
  } catch (error) {
    expect(error).toMatchObject({ name: 'BreakBeforeMakeError', code: 'EINVAL', entryPa });
    expect((error as Error).message).toMatch(/^level 3 entry at 0x4\w+: output, type or run changed in place$/);
  }
});
