import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { board, RW, tableOn } from '../test/board.ts';
import { leaves, regimeOf } from '../test/walker.ts';
import { bestPages } from './range.ts';

const M2 = 2 ** 21;
const GIB = 2 ** 30;
const SIZES = [4096, M2, GIB];
const code = (name: string) => expect.objectContaining({ code: name });

describe('bestPages: the largest first, and as many as fit before larger ones do', () => {
  it.each([
    [0, 0, 4096, 4096, 1],
    [0, 0, M2, M2, 1],
    [0, 0, M2 + 4096, M2, 1],
    [0, 0, GIB * 2 + 4096, GIB, 2],
    [4096, 4096, M2 * 2, 4096, 511], // up to where a block fits
    [4096, 4096, M2 - 4096, 4096, 511], // nothing beyond
    [4096, 4096, M2, 4096, 512], // a block would fit only in part
    [4096, 8192, M2 * 2, 4096, 1024], // never aligned to each other
    [M2, GIB + M2, GIB * 2, M2, 511],
    [M2, M2 * 5, GIB, M2, 512],
    [GIB, M2, GIB, M2, 512],
  ])('%i to %i, %i bytes: %i bytes a page, %i of them', (iova, pa, bytes, pageBytes, count) => {
    expect(bestPages(SIZES, iova, pa, bytes)).toEqual({ pageBytes, count });
  });

  it('never goes beyond the range, nor against the alignment', () => {
    const page = fc.integer({ min: 0, max: 2 ** 20 }).map((n) => n * 4096);
    fc.assert(
      fc.property(page, page, page, (iova, pa, bytes) => {
        const run = bestPages(SIZES, iova, pa, bytes + 4096);
        expect(run.count).toBeGreaterThan(0);
        expect(run.pageBytes * run.count).toBeLessThanOrEqual(bytes + 4096);
        expect([iova % run.pageBytes, pa % run.pageBytes]).toEqual([0, 0]);
      }),
    );
  });
});

describe('map and unmap take a range of any size', () => {
  it('with the fewest leaves', () => {
    const b = board();
    const table = tableOn(b);
    const iova = GIB - M2 - 4096;
    const bytes = 4096 + M2 + GIB + M2 + 8192;
    expect(table.map(iova, iova + GIB, bytes, RW)).toBe(bytes);
    const found = leaves(b.memory, regimeOf(table, 1)).leaves;
    expect(found.map(({ bytes: size }) => Number(size))).toEqual([4096, M2, GIB, M2, 4096, 4096]);
    expect(table.iovaToPhys(iova + bytes - 1)).toBe(iova + GIB + bytes - 1);
    const gather = table.newGather();
    expect(table.unmap(iova, bytes, gather)).toBe(bytes);
    expect(gather).toMatchObject({ start: iova, last: iova + bytes - 1, pageBytes: 4096, uniform: false });
    expect(leaves(b.memory, regimeOf(table, 1)).leaves).toEqual([]);
  });

  it('in the upper half', () => {
    const table = tableOn(board(), { quirks: { ttbr1: true } });
    const iova = 2 ** 64 - M2 - 4096;
    expect(table.map(iova, M2 - 4096, M2 + 4096, RW)).toBe(M2 + 4096);
    expect(table.walk(2 ** 64 - M2).at(-1)).toMatchObject({ kind: 'block', pa: M2 });
    expect(table.unmap(iova, M2 + 4096)).toBe(M2 + 4096);
  });

  it('all or nothing: what was mapped before a conflict is gone and flushed', () => {
    const flushed: number[][] = [];
    const b = board();
    const tlb = { flushAll() {}, flushWalk: (iova: number, bytes: number) => flushed.push([iova, bytes]) };
    const table = tableOn(b, { tlb });
    table.mapPages(2 * M2 + 4096, 0, 4096, 1, RW);
    expect(() => table.map(M2 - 4096, M2 - 4096, 2 * M2, RW)).toThrow(code('EEXIST'));
    expect(flushed).toEqual([
      [2 * M2, 4096], // of the run in which it failed
      [M2 - 4096, M2 + 4096], // of those before
    ]);
    expect(leaves(b.memory, regimeOf(table, 1)).leaves.length).toBe(1);
    table.mapPages(GIB, 0, 4096, 1, RW);
    expect(() => table.map(GIB, 0, 4096, RW)).toThrow(code('EEXIST'));
  });

  it.each([0, -4096, 100, Number.NaN])('%d bytes are refused', (bytes) => {
    const table = tableOn(board());
    expect(() => table.map(0, 0, bytes, RW)).toThrow(code('EINVAL'));
    expect(() => table.unmap(0, bytes)).toThrow(code('EINVAL'));
  });

  it.each([
    [100, 0],
    [0, 100],
  ])('%i to %i is refused', (iova, pa) => {
    const b = board();
    const table = tableOn(b);
    expect(() => table.map(iova, pa, M2, RW)).toThrow(code('EINVAL'));
    expect(leaves(b.memory, regimeOf(table, 1)).leaves).toEqual([]);
  });
});

describe("tables may come from the caller's own allocator", () => {
  it.each([true, false])('coherent %s', (coherent) => {
    const { pages, memory, frames } = board();
    const live = new Map<number, number>();
    const nodes: (number | undefined)[] = [];
    const synced: number[] = [];
    const allocator = {
      alloc: (bytes: number, node: number | undefined) => {
        const pa = pages.allocPages(bytes);
        live.set(pa, bytes);
        nodes.push(node);
        return pa;
      },
      free: (pa: number, bytes: number) => {
        expect(live.get(pa)).toBe(bytes);
        live.delete(pa);
        pages.freePages(pa);
      },
    };
    const coherence = {
      coherent,
      syncForDevice: (_: number, bytes: number) => void synced.push(bytes),
      syncForCpu() {},
    };
    const flushed: number[] = [];
    const tlb = { flushAll() {}, flushWalk: (iova: number) => void flushed.push(iova) };
    const table = tableOn({ pages, memory, frames }, { allocator, coherence, tlb, node: 3, iasBits: 40, oasBits: 40 });
    expect([...live.values()]).toEqual([64]);
    table.mapPages(0, 0, 4096, 1, RW);
    table.mapPages(M2, 0, 4096, 1, RW);
    expect(synced.filter((bytes) => bytes > 8).length).toBe(coherent ? 0 : 5);
    expect(live.size).toBe(5);
    expect(new Set(nodes)).toEqual(new Set([3]));
    const gather = table.newGather();
    table.unmapPages(0, M2, 1, gather);
    expect([gather.freelist.empty, live.size, flushed.length]).toEqual([true, 4, 1]);
    table.unmapPages(M2, 4096, 1);
    expect(table.detachTables(0, GIB - 1, gather.freelist)).toBe(true);
    expect([gather.freelist.empty, live.size, flushed.length]).toEqual([true, 2, 2]);
    table.free();
    expect(live.size).toBe(0);
  });
});
