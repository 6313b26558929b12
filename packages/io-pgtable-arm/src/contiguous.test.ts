import { describe, expect, it } from 'vitest';
import { board, RW, tableOn } from '../test/board.ts';
import { leaves, regimeOf } from '../test/walker.ts';
import type { ArmPageTable } from './pageTable.ts';
import type { PgtableOptions } from './types.ts';

const HINT = 1n << 52n;

/** Page numbers, in units of `size`, of the leaves that carry the hint. */
function hinted(table: ArmPageTable, size: number): number[] {
  return leaves(table.memory, regimeOf(table, table.options.stage))
    .leaves.filter(({ descriptor }) => (descriptor & HINT) !== 0n)
    .map(({ va }) => Number(va) / size);
}

const range = (first: number, end: number): number[] => Array.from({ length: end - first }, (_, i) => first + i);
const contiguous = (options: Partial<PgtableOptions> = {}): ArmPageTable =>
  tableOn(board(2 ** 25), { contiguous: true, ...options });

describe('the hint is set on whole runs, aligned in input and output', () => {
  // Runs by granule and level: Arm DDI 0487 §D8.7.1.
  it.each([
    [12, 0, 16],
    [12, 1, 16],
    [12, 2, 16],
    [14, 0, 128],
    [14, 1, 32],
    [16, 0, 32],
    [16, 1, 32],
  ] as const)('2^%i bytes, size %i: runs of %i', (granuleShift, which, run) => {
    const table = contiguous({ granuleShift });
    const size = table.pageSizes[which]!;
    table.mapPages(0, 0, size, run, RW);
    expect(hinted(table, size)).toEqual(range(0, run));
    expect(table.unmapPages(0, size, run)).toBe(run * size);
    expect(leaves(table.memory, regimeOf(table, 1)).leaves).toEqual([]);
    table.mapPages(size, size, size, run, RW);
    expect(hinted(table, size)).toEqual([]);
    table.unmapPages(size, size, run);
    table.mapPages(size * 3, size * 3, size, run * 3, RW);
    expect(hinted(table, size)).toEqual(range(run, run * 3));
    expect(table.iovaToPhys(size * run * 2 + 5)).toBe(size * run * 2 + 5);
  });

  it('not where the output is aligned to something else', () => {
    const table = contiguous();
    table.mapPages(0, 0x1000, 4096, 64, RW);
    expect(hinted(table, 4096)).toEqual([]);
    table.mapPages(0x10_0000, 0x3_0000, 4096, 16, RW);
    expect(hinted(table, 4096)).toEqual(range(256, 272));
  });

  it('not without the option, not for single pages, not for blocks of level 0', () => {
    const without = tableOn(board());
    without.mapPages(0, 0, 4096, 64, RW);
    expect(hinted(without, 4096)).toEqual([]);
    const table = contiguous({ oasBits: 52, iasBits: 52 });
    for (const page of range(0, 16)) table.mapPages(page * 4096, page * 4096, 4096, 1, RW);
    table.mapPages(2 ** 48, 0, 2 ** 39, 32, RW);
    expect(hinted(table, 4096)).toEqual([]);
  });

  it('not where the whole table is smaller than a run', () => {
    const table = contiguous({ iasBits: 32, oasBits: 40 });
    table.mapPages(0, 0, 2 ** 30, 4, RW);
    expect(hinted(table, 2 ** 30)).toEqual([]);
  });
});

describe('unmapping a part of a run takes the hint off its rest', () => {
  it.each([
    ['one page in the middle', 21, 1, range(32, 48)],
    ['the first', 16, 1, range(32, 48)],
    ['the last', 31, 1, range(32, 48)],
    ['the end of one and the start of the next', 30, 4, []],
    ['one whole', 16, 16, range(32, 48)],
    ['one whole and a part', 16, 17, []],
    ['a part and one whole', 31, 17, []],
  ])('%s', (_, first, count, kept) => {
    for (const bbmLevel of [0, 1, 2] as const) {
      const flushed: number[][] = [];
      const tlb = { flushAll() {}, flushWalk: (iova: number, bytes: number) => flushed.push([iova, bytes]) };
      const table = contiguous({ bbmLevel, tlb, checkBreakBeforeMake: true });
      table.mapPages(16 * 4096, 16 * 4096, 4096, 32, RW);
      expect(table.unmapPages(first * 4096, 4096, count)).toBe(count * 4096);
      expect(hinted(table, 4096)).toEqual(kept);
      for (const page of range(16, 48))
        expect(table.iovaToPhys(page * 4096)).toBe(page >= first && page < first + count ? -1 : page * 4096);
      for (const [iova, bytes] of flushed) expect([iova! % 0x1_0000, bytes]).toEqual([0, 0x1_0000]);
    }
  });

  it('of blocks too, whose rest may then be split', () => {
    const table = contiguous({ partialUnmap: 'split', checkBreakBeforeMake: true });
    const M2 = 2 ** 21;
    table.mapPages(0, 0, M2, 16, RW);
    expect(hinted(table, M2).length).toBe(16);
    expect(table.unmapPages(3 * M2, 4096, 1)).toBe(4096);
    expect(hinted(table, M2)).toEqual([]);
    expect(table.iovaToPhys(3 * M2)).toBe(-1);
    expect(table.iovaToPhys(3 * M2 + 4096)).toBe(3 * M2 + 4096);
    expect(table.unmapPages(0, M2, 16)).toBe(16 * M2);
  });

  it('a page that is no part of a run is left as it is', () => {
    const table = contiguous();
    table.mapPages(4096, 4096, 4096, 3, RW);
    expect(table.unmapPages(4096 * 2, 4096, 1)).toBe(4096);
    expect(table.unmapPages(4096 * 3, 4096, 5)).toBe(4096);
    expect(table.iovaToPhys(4096)).toBe(4096);
  });

  it('access flag and dirty state of the rest survive', () => {
    const table = contiguous({ quirks: { hd: true } });
    table.mapPages(0, 0, 4096, 16, RW);
    const { entryPa, lo, hi } = table.walk(5 * 4096).at(-1)!;
    table.memory.write64(entryPa, lo | 0x80, hi); // hardware, or the driver, made it clean
    table.unmapPages(0, 4096, 1);
    expect(table.walk(5 * 4096).at(-1)!.lo & 0x80).toBe(0x80);
    expect(table.walk(6 * 4096).at(-1)!.lo & 0x80).toBe(0);
  });
});

it('a run that meets something on the way is taken back whole', () => {
  const table = contiguous();
  table.mapPages(24 * 4096, 0, 4096, 1, RW);
  expect(() => table.mapPages(0, 0, 4096, 64, RW)).toThrow(expect.objectContaining({ code: 'EEXIST' }));
  expect(leaves(table.memory, regimeOf(table, 1)).leaves.length).toBe(1);
});
