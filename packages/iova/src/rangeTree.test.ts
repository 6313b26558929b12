import { Random } from '@smmu/platform';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RangeTree } from './rangeTree.ts';

/** The same by looking at every range: slow and plain. */
class Naive {
  ranges: { low: number; last: number }[] = []; // descending
  readonly first: number;
  readonly top: number;
  constructor(first: number, top: number) {
    this.first = first;
    this.top = top;
  }
  takeTopmost(pages: number, sizeAligned: boolean, limit: number): number {
    let align = 1;
    while (sizeAligned && align < pages) align *= 2;
    let end = Math.min(limit, this.top) + 1;
    for (const range of [...this.ranges, { low: -1, last: this.first - 1 }]) {
      const page = end - pages - ((((end - pages) % align) + align) % align);
      if (page > range.last) {
        this.take(page, page + pages - 1);
        return page;
      }
      end = Math.min(end, range.low);
    }
    return -1;
  }
  take(low: number, last: number): void {
    const at = this.ranges.findIndex((range) => range.low < low);
    this.ranges.splice(at < 0 ? this.ranges.length : at, 0, { low, last });
  }
  free(low: number, last: number): boolean {
    const at = this.ranges.findIndex((range) => range.low === low && range.last === last);
    if (at >= 0) this.ranges.splice(at, 1);
    return at >= 0;
  }
}

const request = fc.record({
  pages: fc.oneof(fc.constantFrom(1, 1, 2, 4, 8, 16), fc.integer({ min: 1, max: 40 })),
  sizeAligned: fc.boolean(),
  limit: fc.nat(700),
  pick: fc.nat(),
  free: fc.constantFrom(0, 0, 1, 2, 30),
  repeat: fc.constantFrom(1, 1, 2, 5), // the same again goes on from where it was
});

describe('RangeTree: the highest gap that fits', () => {
  it.each([
    { top: 511, first: 1, runs: 300, length: 150 },
    { top: 2 ** 40 + 511, first: 2 ** 40, runs: 100, length: 100 },
    { top: 8191, first: 0, runs: 20, length: 1500 },
  ])('agrees with a plain list in [$first, $top]', ({ first, top, runs, length }) => {
    fc.assert(
      fc.property(fc.array(request, { maxLength: length }), (requests) => {
        const tree = new RangeTree(first, top);
        const naive = new Naive(first, top);
        for (const { pages, sizeAligned, limit, pick, free, repeat } of requests) {
          const at = top > 1000 && limit > 350 ? top : first + limit;
          for (let i = 0; i < repeat; i++)
            expect(tree.takeTopmost(pages, sizeAligned, at)).toBe(naive.takeTopmost(pages, sizeAligned, at));
          for (let i = 0; i < free && naive.ranges.length > 0; i++) {
            const { low, last } = naive.ranges[(pick + i * 7) % naive.ranges.length]!;
            expect(tree.find(Math.floor((low + last) / 2))).toEqual({ low, last });
            expect(tree.free(low, last + 1)).toBe(false);
            expect(tree.free(low, last)).toBe(naive.free(low, last));
            expect(tree.free(low, last)).toBe(false);
            expect(tree.find(low)).toBeUndefined();
          }
          expect(tree.size).toBe(naive.ranges.length);
        }
        expect([...tree.ranges()]).toEqual(naive.ranges);
      }),
      { numRuns: runs },
    );
  });

  it('grows to 100,000 ranges and back to none, in any order, and ends as it began', () => {
    const tree = new RangeTree(1, 2 ** 36 - 1);
    const pages: number[] = [];
    for (let i = 0; i < 100_000; i++) pages.push(tree.takeTopmost(1, true, 2 ** 36 - 1));
    expect(pages[0]).toBe(2 ** 36 - 1);
    expect(pages.at(-1)).toBe(2 ** 36 - 100_000);
    expect(tree.size).toBe(100_000);
    let freed = 0;
    for (let i = 0; i < pages.length; i++) {
      const page = pages[(i * 40_503) % pages.length]!; // coprime: each once
      if (tree.free(page, page)) freed += 1;
    }
    expect(freed).toBe(100_000);
    expect([...tree.ranges()]).toEqual([]);
    expect(tree.takeTopmost(2 ** 35, true, 2 ** 36 - 1)).toBe(2 ** 35);
    expect(tree.takeTopmost(2 ** 35 - 1, false, 2 ** 36 - 1)).toBe(1);
    expect(tree.takeTopmost(1, true, 2 ** 36 - 1)).toBe(-1);
  });

  it('takes ranges at given places, in the middle of leaves, at both ends', () => {
    const tree = new RangeTree(10, 9999);
    const naive = new Naive(10, 9999);
    for (let i = 0; i < 4000; i++) {
      const page = 10 + ((i * 7) % 9990);
      tree.take(page, page);
      naive.ranges.push({ low: page, last: page });
    }
    naive.ranges.sort((a, b) => b.low - a.low);
    expect([...tree.ranges()]).toEqual(naive.ranges);
    for (let i = 0; i < 300; i++) {
      const pages = 1 + (i % 6);
      expect(tree.takeTopmost(pages, i % 2 === 0, 9999 - i)).toBe(naive.takeTopmost(pages, i % 2 === 0, 9999 - i));
    }
    expect([...tree.ranges()]).toEqual(naive.ranges);
  });

  it.each([1, 2, 3])(
    'agrees with a plain list of thousands of ranges that come and go in swathes (seed %i)',
    (seed) => {
      const random = new Random(seed);
      const top = 2 ** 14;
      const tree = new RangeTree(1, top);
      const naive = new Naive(1, top);
      for (let round = 0; round < 60; round++) {
        const results: [unknown, unknown][] = [];
        const takeBoth = (pages: number, sizeAligned: boolean, limit: number) =>
          results.push([tree.takeTopmost(pages, sizeAligned, limit), naive.takeTopmost(pages, sizeAligned, limit)]);
        // Fill up below some limit, in ones to threes, ...
        const limit = random.below(top);
        for (let i = random.below(400); i > 0; i--) takeBoth(1 + random.below(3), false, limit);
        // ... free a stretch, all of it or every other one, so that leaves lose their first entries or all of them, ...
        const at = random.below(naive.ranges.length + 1);
        const stretch = naive.ranges.slice(at, at + random.below(300));
        const every = 1 + random.below(3);
        for (const [i, { low, last }] of stretch.entries())
          if (i % every === 0) results.push([tree.free(low, last), naive.free(low, last)]);
        // ... and fill its gaps from their lower ends.
        for (const { low } of stretch.slice(0, 20)) takeBoth(1, true, low);
        expect(results.map(([ours]) => ours)).toEqual(results.map(([, plain]) => plain));
      }
      expect([...tree.ranges()]).toEqual(naive.ranges);
      expect(naive.ranges.every(({ low, last }) => tree.free(low, last))).toBe(true);
      expect(tree.takeTopmost(top, false, top)).toBe(1);
    },
  );

  it('does not give its anchor away', () => {
    const tree = new RangeTree(0, 15);
    expect(tree.free(16, 16)).toBe(false);
    expect(tree.find(16)).toBeUndefined();
    expect(tree.takeTopmost(16, true, 100)).toBe(0);
    expect(tree.takeTopmost(1, true, 100)).toBe(-1);
  });
});
