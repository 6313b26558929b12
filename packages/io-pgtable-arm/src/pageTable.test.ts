/**
 * The kernel's self-test (Linux io-pgtable-arm-selftests.c `arm_lpae_do_selftests`) in our own words, and every way in
 * which a call can fail.
 */
import type { IommuPagesList } from '@smmu/iommu-pages';
import { describe, expect, it } from 'vitest';
import { baseOf, board, RW, SHAPES, shapeName, tableOn } from '../test/board.ts';
import { leaves, regimeOf } from '../test/walker.ts';
import { MapConflictError } from './errors.ts';
import { allocPgtable } from './pageTable.ts';
import { type PgtableOptions, PROT } from './types.ts';

const GIB = 2 ** 30;
const code = (name: string) => expect.objectContaining({ code: name });

describe('the self-test of Linux, for each granule, input, output and stage', () => {
  const sizes = [32, 36, 40, 42, 44, 48, 52];
  const cases = [12, 14, 16].flatMap((granuleShift) =>
    sizes.flatMap((oasBits) =>
      sizes
        .filter((iasBits) => iasBits <= oasBits)
        .flatMap((iasBits) => [1, 2].map((stage) => ({ granuleShift, iasBits, oasBits, stage }) as PgtableOptions)),
    ),
  );
  it.each(cases)('2^$granuleShift bytes, $iasBits to $oasBits bits, stage $stage', (options) => {
    const { pages, memory } = board();
    const table = allocPgtable({ ...options, pages, memory });
    const regime = regimeOf(table, options.stage);

    // Nothing is mapped in an empty table.
    for (const iova of [42, GIB + 42, 2 * GIB + 42]) expect(table.iovaToPhys(iova)).toBe(-1);

    // One of each size, a GiB apart or more, and none over another.
    let iova = 0;
    const placed: { iova: number; size: number }[] = [];
    for (const size of table.pageSizes) {
      if (iova + size > 2 ** options.iasBits) break;
      expect(table.mapPages(iova, iova, size, 1, PROT.READ | PROT.WRITE | PROT.NOEXEC | PROT.CACHE)).toBe(size);
      expect(() => table.mapPages(iova, iova + size, size, 1, PROT.READ | PROT.NOEXEC)).toThrow(MapConflictError);
      expect(table.iovaToPhys(iova + 42)).toBe(iova + 42);
      placed.push({ iova, size });
      iova = Math.ceil((iova + Math.max(size, GIB)) / table.pageSizes.at(-1)!) * table.pageSizes.at(-1)!;
    }
    expect(leaves(memory, regime).leaves.map(({ va, bytes }) => [Number(va), Number(bytes)])).toEqual(
      placed.map(({ iova: at, size }) => [at, size]),
    );

    // All of it goes, and comes back.
    for (const { iova: at, size } of placed) {
      expect(table.unmapPages(at, size, 1)).toBe(size);
      expect(table.iovaToPhys(at + 42)).toBe(-1);
      expect(table.mapPages(at, at, size, 1, PROT.WRITE)).toBe(size);
      expect(table.iovaToPhys(at + 42)).toBe(at + 42);
    }

    // The largest page at the very top of the input.
    const largest = table.pageSizes.at(-1)!;
    const top = 2 ** options.iasBits - largest;
    if (top >= iova) {
      expect(table.mapPages(top, top, largest, 1, RW)).toBe(largest);
      expect(table.iovaToPhys(top + 42)).toBe(top + 42);
      expect(table.iovaToPhys(2 ** options.iasBits - 1)).toBe(2 ** options.iasBits - 1);
    }
    table.free();
    expect(pages.livePages).toBe(0);
  });
});

describe('every shape maps its first and last page and nothing beyond', () => {
  it.each(SHAPES.map((shape) => [shapeName(shape), shape] as const))('%s', (_, shape) => {
    const { pages, memory } = board();
    const table = allocPgtable({ ...shape, pages, memory });
    const size = table.pageSizes[0]!;
    const base = baseOf(shape);
    const last = base + (2 ** shape.iasBits - size);
    const output = 2 ** shape.oasBits - size;
    for (const iova of [base, last]) {
      expect(table.mapPages(iova, output, size, 1, RW)).toBe(size);
      expect(table.iovaToPhys(iova)).toBe(output);
      expect(table.unmapPages(iova, size, 1)).toBe(size);
    }
    const beyond = base === 0 ? 2 ** shape.iasBits : base - size;
    expect(table.iovaToPhys(beyond)).toBe(-1);
    for (const call of [
      () => table.mapPages(beyond, 0, size, 1, RW),
      () => table.mapPages(last, 0, size, 2, RW),
      () => table.mapPages(base, output, size, 2, RW),
      () => table.mapPages(base, output + size, size, 1, RW),
      () => table.unmapPages(beyond, size, 1),
      () => table.unmapPages(last, size, 2),
      () => table.walk(beyond),
      () => table.entryAt(beyond, false),
      () => table.tableSpanAt(beyond),
      () => table.readAndClearDirty(beyond, size, () => {}),
      () => table.readAndClearDirty(last, 2 * size, () => {}),
    ])
      expect(call).toThrow(code('ERANGE'));
    table.free();
    expect(pages.livePages).toBe(0);
  });
});

describe('mapPages refuses', () => {
  const table = tableOn(board());
  const M2 = 2 ** 21;
  it.each([
    ['a size that the table has not', 0, 0, 8192, 1, RW, 'EINVAL'],
    ['an input that is not aligned', 0x800, 0, 4096, 1, RW, 'EINVAL'],
    ['an input that is not aligned to the block', 4096, 0, M2, 1, RW, 'EINVAL'],
    ['an output that is not aligned', 0, 0x800, 4096, 1, RW, 'EINVAL'],
    ['an output that is not aligned to the block', 0, 4096, M2, 1, RW, 'EINVAL'],
    ['several pages to an output that is not aligned', 0, 0x800, 4096, 3, RW, 'EINVAL'],
    ['several pages from an input that is not aligned', 0x800, 0, 4096, 3, RW, 'EINVAL'],
    ['no pages', 0, 0, 4096, 0, RW, 'EINVAL'],
    ['a negative count', 0, 0, 4096, -1, RW, 'EINVAL'],
    ['half a page', 0, 0, 4096, 0.5, RW, 'EINVAL'],
    ['more than one and a half pages', 0, 0, 4096, 1.5, RW, 'EINVAL'],
    ['no access', 0, 0, 4096, 1, PROT.CACHE, 'EINVAL'],
    ['several pages without access', 0, 0, 4096, 2, 0, 'EINVAL'],
    ['protection bits that there are not', 0, 0, 4096, 1, 64 | RW, 'EINVAL'],
    ['negative protection bits', 0, 0, 4096, 1, -1, 'EINVAL'],
    ['a negative input', -4096, 0, 4096, 1, RW, 'ERANGE'],
    ['a negative input of several pages', -4096, 0, 4096, 2, RW, 'ERANGE'],
    ['a negative output', 0, -4096, 4096, 1, RW, 'ERANGE'],
    ['an output beyond the output size', 0, 2 ** 48, 4096, 1, RW, 'ERANGE'],
    ['an output that is no number', 0, Number.NaN, 4096, 1, RW, 'EINVAL'],
    ['an input that is no number', Number.NaN, 0, 4096, 1, RW, 'ERANGE'],
    ['a block beyond the output size', 0, 2 ** 48, M2, 1, RW, 'ERANGE'],
  ] as const)('%s', (_, iova, pa, bytes, count, prot, error) => {
    expect(() => table.mapPages(iova, pa, bytes, count, prot)).toThrow(code(error));
    expect(table.iovaToPhys(0)).toBe(-1);
  });
});

describe('unmapPages refuses', () => {
  const table = tableOn(board());
  it.each([
    ['a size that the table has not', 0, 8192, 1, 'EINVAL'],
    ['an input that is not aligned', 0x800, 4096, 1, 'EINVAL'],
    ['several pages from an input that is not aligned', 0x800, 4096, 2, 'EINVAL'],
    ['no pages', 0, 4096, 0, 'EINVAL'],
    ['half a page', 0, 4096, 0.5, 'EINVAL'],
    ['one and a half pages', 0, 4096, 1.5, 'EINVAL'],
    ['a negative input', -4096, 4096, 1, 'ERANGE'],
    ['what is beyond the input size', 2 ** 48 - 4096, 4096, 2, 'ERANGE'],
  ] as const)('%s', (_, iova, bytes, count, error) => {
    table.mapPages(0, 0x5000, 4096, 2, RW);
    expect(() => table.unmapPages(iova, bytes, count)).toThrow(code(error));
    expect(table.unmapPages(0, 4096, 2)).toBe(8192);
  });
});

describe('an overlap is refused, and the entry in the way is named', () => {
  it('a page', () => {
    const table = tableOn(board());
    table.mapPages(0x7000, 0x1_2345_6000, 4096, 1, RW);
    const [entry] = table.walk(0x7000).slice(-1);
    try {
      table.mapPages(0x6000, 0, 4096, 4, RW);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(MapConflictError);
      expect((error as MapConflictError).existing).toEqual({
        iova: 0x7000,
        level: 3,
        kind: 'page',
        entryPa: entry!.entryPa,
        lo: entry!.lo,
        hi: entry!.hi,
        pa: 0x1_2345_6000,
      });
      expect((error as Error).message).toMatch(
        /^0x7000 is mapped: a level 3 page to 0x123456000 \(0x00000001_23456\w+\)/,
      );
    }
    expect(table.iovaToPhys(0x6000)).toBe(-1);
    expect(table.iovaToPhys(0x7000)).toBe(0x1_2345_6000);
  });

  it.each([
    ['a block under a page', 2 ** 21, 4096],
    ['a block under a block', 2 ** 30, 2 ** 21],
    ['the same block', 2 ** 21, 2 ** 21],
  ])('%s', (_, first, second) => {
    const table = tableOn(board());
    table.mapPages(0, 2 ** 32, first, 1, RW);
    try {
      table.mapPages(0, 0, second, 1, RW);
      expect.unreachable();
    } catch (error) {
      expect((error as MapConflictError).existing).toMatchObject({ iova: 0, kind: 'block', pa: 2 ** 32 });
    }
  });

  it('a block over a table that is not empty', () => {
    const table = tableOn(board());
    table.mapPages(0x3000, 0x3000, 4096, 1, RW);
    try {
      table.mapPages(0, 0, 2 ** 21, 3, RW);
      expect.unreachable();
    } catch (error) {
      expect((error as MapConflictError).existing).toMatchObject({ iova: 0, level: 2, kind: 'table' });
    }
    expect(table.iovaToPhys(0x3000)).toBe(0x3000);
    expect(table.iovaToPhys(2 ** 21)).toBe(-1);
  });

  it('what was mapped before the conflict is unmapped and flushed', () => {
    const flushed: number[][] = [];
    const tlb = { flushAll() {}, flushWalk: (iova: number, bytes: number) => flushed.push([iova, bytes]) };
    const table = tableOn(board(), { tlb });
    const M2 = 2 ** 21;
    table.mapPages(3 * M2, 0, M2, 1, RW);
    expect(() => table.mapPages(0, 0, M2, 5, RW)).toThrow(code('EEXIST'));
    expect(flushed).toEqual([[0, 3 * M2]]);
    // Across two tables, the short way and the long way alike.
    table.mapPages(M2 * 8 + 5 * 4096, 0, 4096, 1, RW);
    expect(() => table.mapPages(M2 * 8 - 2 * 4096, 0, 4096, 10, RW)).toThrow(code('EEXIST'));
    expect(flushed.at(-1)).toEqual([M2 * 8 - 2 * 4096, 7 * 4096]);
    expect(() => table.mapPages(M2 * 8, 0, 4096, 10, RW)).toThrow(code('EEXIST'));
    for (let page = -2; page < 10; page++) expect(table.iovaToPhys(M2 * 8 + page * 4096)).toBe(page === 5 ? 0 : -1);
  });

  it('the first entry in the way leaves nothing to flush', () => {
    let flushes = 0;
    const table = tableOn(board(), { tlb: { flushAll() {}, flushWalk: () => void flushes++ } });
    table.mapPages(0, 0, 4096, 1, RW);
    expect(() => table.mapPages(0, 0, 4096, 2, RW)).toThrow(code('EEXIST'));
    expect(flushes).toBe(0);
  });
});

describe('a block takes the place of empty tables', () => {
  it.each([
    [2 ** 21, 1],
    [2 ** 30, 513],
  ])('a block of %i bytes', (bytes, tables) => {
    const { pages, memory } = board();
    const calls: string[] = [];
    const tlb = { flushAll() {}, flushWalk: (iova: number, size: number) => calls.push(`${iova}+${size}`) };
    const table = tableOn({ pages, memory, frames: pages as never }, { tlb });
    table.mapPages(0, 0, 4096, bytes / 4096, RW);
    expect(table.unmapPages(0, 4096, bytes / 4096)).toBe(bytes);
    const before = pages.livePages;
    table.mapPages(0, bytes, bytes, 1, RW);
    expect(pages.livePages).toBe(before - tables);
    expect(calls).toEqual([`0+${bytes}`]);
    expect(table.iovaToPhys(42)).toBe(bytes + 42);
  });

  it('but not if a table below them maps something', () => {
    const table = tableOn(board());
    table.mapPages(2 ** 29, 0, 4096, 1, RW);
    expect(() => table.mapPages(0, 0, 2 ** 30, 1, RW)).toThrow(code('EEXIST'));
    table.mapPages(0, 0, 2 ** 21, 1, RW);
    table.unmapPages(2 ** 29, 4096, 1);
    expect(() => table.mapPages(0, 0, 2 ** 30, 1, RW)).toThrow(code('EEXIST'));
    table.unmapPages(0, 2 ** 21, 1);
    // An empty table beside one that is not.
    table.entryAt(5 * 2 ** 21, true);
    table.mapPages(6 * 2 ** 21, 0, 4096, 1, RW);
    expect(() => table.mapPages(0, 0, 2 ** 30, 1, RW)).toThrow(code('EEXIST'));
    table.unmapPages(6 * 2 ** 21, 4096, 1);
    table.mapPages(0, 0, 2 ** 30, 1, RW);
  });
});

describe('unmapPages', () => {
  it('stops at the first page that is not mapped', () => {
    const table = tableOn(board());
    table.mapPages(0, 0, 4096, 3, RW);
    table.mapPages(4 * 4096, 0, 4096, 3, RW);
    expect(table.unmapPages(0, 4096, 7)).toBe(3 * 4096);
    expect(table.unmapPages(0, 4096, 7)).toBe(0);
    expect(table.unmapPages(2 ** 40, 4096, 7)).toBe(0);
    expect(table.iovaToPhys(4 * 4096)).toBe(0);
  });

  it('warns of that unless told not to', () => {
    const warnings: string[] = [];
    const warn = (message: string): void => void warnings.push(message);
    tableOn(board(), { warn }).unmapPages(0x5000, 4096, 1);
    tableOn(board(), { warn, quirks: { noWarn: true } }).unmapPages(0x5000, 4096, 1);
    expect(warnings).toEqual(['unmap of 0x5000: nothing is mapped there']);
  });

  it('leaves a block alone of which it is to take a part, and says so', () => {
    const warnings: string[] = [];
    const table = tableOn(board(), { warn: (message) => warnings.push(message) });
    table.mapPages(0, 0, 2 ** 21, 2, RW);
    expect(table.unmapPages(0x5000, 4096, 1)).toBe(0);
    expect(table.unmapPages(0, 4096, 700)).toBe(2 ** 21); // the first whole, of the second a part
    expect(warnings).toEqual([
      'unmap of 0x5000: part of a block of 0x200000 bytes; it stays',
      'unmap of 0x200000: part of a block of 0x200000 bytes; it stays',
    ]);
    expect(table.iovaToPhys(2 ** 21)).toBe(2 ** 21);
  });

  it('takes a table and all below with the entry that leads to it, and frees it after the flush only', () => {
    const { pages, memory, frames } = board();
    const calls: string[] = [];
    const tlb = { flushAll() {}, flushWalk: (iova: number, size: number) => calls.push(`${iova}+${size}`) };
    const table = tableOn({ pages, memory, frames }, { tlb });
    table.mapPages(0x5000, 0, 4096, 1, RW);
    table.mapPages(2 ** 29, 0, 4096, 1, RW);
    const gather = table.newGather();
    const before = pages.livePages;
    expect(table.unmapPages(0, 2 ** 30, 1, gather)).toBe(2 ** 30);
    expect(calls).toEqual([`0+${2 ** 30}`]);
    expect(pages.livePages).toBe(before);
    expect([gather.start, gather.last, gather.pageBytes]).toEqual([0, 2 ** 30 - 1, 2 ** 30]);
    pages.putPagesList(gather.freelist);
    expect(pages.livePages).toBe(before - 3);
    table.mapPages(0x5000, 0, 4096, 1, RW);
    expect(table.unmapPages(0, 2 ** 21, 1)).toBe(2 ** 21); // without a gather at once
    expect(pages.livePages).toBe(before - 2);
  });

  it('stops at an entry that is no page, though its valid bit is set', () => {
    const table = tableOn(board());
    table.mapPages(0, 0, 4096, 3, RW);
    const { entryPa, lo, hi } = table.walk(4096).at(-1)!;
    table.memory.write64(entryPa, lo & ~2, hi); // reserved at level 3: a walker faults on it
    expect(table.unmapPages(0, 4096, 3)).toBe(4096);
    expect(table.unmapPages(4096, 4096, 1)).toBe(0);
    expect(table.iovaToPhys(4096)).toBe(-1);
    expect(table.readAndClearDirty(0, 2 ** 21, () => {})).toBe(0);
  });

  it('a gather that syncs when it must never frees a table before its own range is in', () => {
    const { pages, memory, frames } = board();
    const table = tableOn({ pages, memory, frames });
    const synced: number[][] = [];
    const gather = table.newGather((full) => {
      synced.push([full.start, pages.livePages]);
      pages.putPagesList(full.freelist);
      full.reset();
      synced.at(-1)!.push(pages.livePages);
    });
    table.mapPages(0, 0, 4096, 1, RW);
    table.mapPages(2 ** 30, 0, 4096, 1, RW);
    table.unmapPages(0, 2 ** 21, 1, gather);
    table.unmapPages(2 ** 30, 2 ** 21, 1, gather); // far from the first: that one is synced
    expect(synced).toEqual([[0, 6, 5]]);
    expect(gather.freelist.empty).toBe(false);
    pages.putPagesList(gather.freelist);
    expect(pages.livePages).toBe(4);
  });

  it('gathers what it unmapped, page by page and in bulk', () => {
    const table = tableOn(board());
    table.mapPages(0, 0, 4096, 1024, RW);
    const gather = table.newGather();
    table.unmapPages(0, 4096, 1, gather);
    table.unmapPages(4096, 4096, 9, gather);
    table.unmapPages(10 * 4096, 4096, 1014, gather);
    expect(gather).toMatchObject({ start: 0, last: 2 ** 22 - 1, pageBytes: 4096, uniform: true });
  });

  it('tells the port of each page, if it wants to know', () => {
    const told: number[] = [];
    const tlb = { flushAll() {}, flushWalk() {}, addPage: (_: unknown, iova: number) => void told.push(iova) };
    for (const checkBreakBeforeMake of [false, true]) {
      told.length = 0;
      const table = tableOn(board(), { tlb, checkBreakBeforeMake });
      table.mapPages(0, 0, 4096, 4, RW);
      const gather = table.newGather();
      table.unmapPages(0, 4096, 1, gather);
      table.unmapPages(4096, 4096, 3, gather);
      expect(told).toEqual([0, 4096, 8192, 12288]);
      table.mapPages(2 ** 21, 0, 4096, 1, RW);
      table.unmapPages(2 ** 21, 4096, 1);
      expect(told.length).toBe(4);
    }
  });
});

describe('page sizes', () => {
  it.each([
    [12, 48, [4096, 2 ** 21, 2 ** 30]],
    [12, 52, [4096, 2 ** 21, 2 ** 30, 2 ** 39]],
    [14, 48, [2 ** 14, 2 ** 25]],
    [14, 52, [2 ** 14, 2 ** 25, 2 ** 36]],
    [16, 48, [2 ** 16, 2 ** 29]],
    [16, 52, [2 ** 16, 2 ** 29, 2 ** 42]],
  ] as const)('with 2^%i bytes and %i bits of output', (granuleShift, oasBits, sizes) => {
    const table = tableOn(board(), { granuleShift, oasBits });
    expect(table.pageSizes).toEqual(sizes);
    expect(table.pageSizeBitmap).toBe(sizes.reduce((sum: number, size) => sum + size, 0));
  });

  it('may be restricted', () => {
    const table = tableOn(board(), { pageSizes: [2 ** 21, 2 ** 30, 2 ** 33] });
    expect(table.pageSizes).toEqual([2 ** 21, 2 ** 30]);
    expect(() => table.mapPages(0, 0, 4096, 1, RW)).toThrow(code('EINVAL'));
    expect(() => table.mapPages(0, 0, 4096, 2, RW)).toThrow(code('EINVAL'));
    table.mapPages(0, 0, 2 ** 21, 1, RW);
    expect(() => table.unmapPages(0, 4096, 1)).toThrow(code('EINVAL'));
    const pagesOnly = tableOn(board(), { pageSizes: [4096] });
    expect(() => pagesOnly.mapPages(0, 0, 2 ** 21, 1, RW)).toThrow(code('EINVAL'));
  });
});

describe('walk names each entry on the way', () => {
  it('to a page, to a block, and to nothing', () => {
    const table = tableOn(board());
    const iova = 2 ** 39 + 2 ** 30 * 2 + 2 ** 21 * 3 + 4096 * 4;
    table.mapPages(iova, 0x5000, 4096, 1, RW);
    table.mapPages(0, 2 ** 30, 2 ** 30, 1, RW);
    const way = table.walk(iova + 42);
    expect(way.map(({ level, index, kind }) => [level, index, kind])).toEqual([
      [0, 1, 'table'],
      [1, 2, 'table'],
      [2, 3, 'table'],
      [3, 4, 'page'],
    ]);
    expect(way[0]!.tablePa).toBe(table.rootPa);
    for (const [i, one] of way.entries()) {
      expect(one.entryPa).toBe(one.tablePa + one.index * 8);
      if (i > 0) expect(one.tablePa).toBe(way[i - 1]!.pa);
      table.memory.read64(one.entryPa);
      expect([one.lo, one.hi]).toEqual([table.memory.lo, table.memory.hi]);
    }
    expect(way[3]!.pa).toBe(0x5000);
    expect(table.walk(12345).map(({ kind, pa }) => [kind, pa])).toEqual([
      ['table', table.walk(0)[1]!.tablePa],
      ['block', 2 ** 30],
    ]);
    expect(table.walk(2 ** 47).map(({ kind, pa }) => [kind, pa])).toEqual([['invalid', -1]]);
  });
});

describe('entryAt finds the level 3 entry', () => {
  it.each([12, 14, 16] as const)('with pages of 2^%i bytes', (granuleShift) => {
    const table = tableOn(board(), { granuleShift });
    const size = 2 ** granuleShift;
    const iova = 2 ** 40 + 7 * size;
    expect(table.entryAt(iova, false)).toBe(-1);
    const entry = table.entryAt(iova, true);
    expect(table.entryAt(iova, false)).toBe(entry);
    expect(table.entryAt(iova + size, false)).toBe(entry + 8);
    table.mapPages(iova, 0, size, 1, RW);
    expect(table.walk(iova).at(-1)).toMatchObject({ entryPa: entry, level: 3 });
  });

  it('not through a block', () => {
    const table = tableOn(board());
    table.mapPages(0, 0, 2 ** 21, 1, RW);
    expect(table.entryAt(0, false)).toBe(-1);
    expect(() => table.entryAt(0, true)).toThrow(code('EEXIST'));
  });

  it('in a table whose root is of level 3', () => {
    const table = tableOn(board(), { stage: 2, granuleShift: 16, iasBits: 32, concatenate: true });
    expect(table.startLevel).toBe(3);
    expect(table.entryAt(2 ** 32 - 2 ** 16, false)).toBe(table.rootPa + 8 * (2 ** 16 - 1));
    expect(table.tableSpanAt(0)).toBe(2 ** 32);
  });
});

describe('tableSpanAt tells how far a table or a hole goes', () => {
  it('with 4 KiB pages', () => {
    const table = tableOn(board());
    expect(table.tableSpanAt(2 ** 47)).toBe(2 ** 39);
    table.mapPages(2 ** 30, 0, 2 ** 30, 1, RW);
    table.entryAt(2 ** 21, true);
    expect(table.tableSpanAt(2 ** 21 + 4096)).toBe(2 ** 21);
    expect(table.tableSpanAt(0)).toBe(2 ** 21);
    expect(table.tableSpanAt(2 ** 30 + 5)).toBe(2 ** 30);
    expect(table.tableSpanAt(2 ** 31)).toBe(2 ** 30);
  });
});

describe('detachTables takes out what covers nothing else', () => {
  const M2 = 2 ** 21;
  it.each([
    ['a part of a table', 0, M2 - 4097, 0],
    ['one table', 0, M2 - 1, 1],
    ['one table and a part', 0, M2 * 2 - 2, 1],
    ['from the middle of one', 4096, M2 * 2 - 1, 1],
    ['all of level 3 that are there', 0, M2 * 4 - 1, 3],
    ['a table of level 2 with those below', 0, 2 ** 30 - 1, 4],
    ['the whole lower GiB and a bit', 0, 2 ** 30 + M2 - 1, 5],
    ['everything', 0, 2 ** 48 - 1, 10],
    ['a place without tables', 2 ** 46, 2 ** 47, 0],
  ])('%s', (_, start, last, gone) => {
    const { pages, memory, frames } = board();
    const table = tableOn({ pages, memory, frames });
    for (const iova of [0, M2, 3 * M2, 2 ** 30, 2 ** 39]) table.entryAt(iova, true);
    expect(pages.livePages).toBe(10 + 1);
    const list: IommuPagesList = table.newGather().freelist;
    expect(table.detachTables(start, last, list)).toBe(gone > 0);
    const before = pages.livePages;
    expect(before).toBe(11); // not freed yet
    pages.putPagesList(list);
    expect(pages.livePages).toBe(before - gone);
    table.free();
    expect(pages.livePages).toBe(0);
  });

  it('leaves blocks, and forgets the tables it took', () => {
    const { pages, memory, frames } = board();
    const table = tableOn({ pages, memory, frames });
    table.mapPages(M2, 0, M2, 1, RW);
    const entry = table.entryAt(0, true);
    const list = table.newGather().freelist;
    expect(table.detachTables(0, M2 * 2 - 1, list)).toBe(true);
    expect(table.iovaToPhys(M2)).toBe(0);
    expect(table.entryAt(0, false)).toBe(-1);
    expect(table.entryAt(0, true)).not.toBe(entry);
    pages.putPagesList(list);
  });

  it('refuses what is beyond the input', () => {
    const table = tableOn(board());
    expect(() => table.detachTables(0, 2 ** 48, table.newGather().freelist)).toThrow(code('ERANGE'));
  });
});

describe('free', () => {
  it('gives every table back, once', () => {
    const { pages, memory, frames } = board();
    const table = tableOn({ pages, memory, frames });
    for (let i = 0; i < 20; i++) table.mapPages(2 ** 30 * i + i * 2 ** 21, 0, 4096, 1, RW);
    table.free();
    expect(pages.livePages).toBe(0);
    expect(frames.freeFrames).toBe(frames.totalFrames);
    expect(() => table.free()).toThrow(code('EINVAL'));
  });
});

describe('stage1 and stage2', () => {
  it('exist of the table that is of the stage', () => {
    const one = tableOn(board());
    const two = tableOn(board(), { stage: 2 });
    expect(one.stage1.ttbr).toBe(one.rootPa);
    expect(two.stage2.vttbr).toBe(two.rootPa);
    expect(() => one.stage2).toThrow(code('EINVAL'));
    expect(() => two.stage1).toThrow(code('EINVAL'));
  });
});
