import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ceilLog2, type Fit, floorLog2, gapOrder, place, setFit } from './gap.ts';

const fitOf = (pages: number, sizeAligned: boolean): Fit => {
  const fit = { pages: 0, alignShift: 0, minOrder: 0 };
  setFit(fit, pages, sizeAligned);
  return fit;
};

describe('exponents, also beyond 32 bits', () => {
  it.each([
    [1, 0, 0],
    [2, 1, 1],
    [3, 1, 2],
    [4, 2, 2],
    [2 ** 31 - 1, 30, 31],
    [2 ** 31, 31, 31],
    [2 ** 31 + 1, 31, 32],
    [2 ** 32 - 1, 31, 32],
    [2 ** 32, 32, 32],
    [2 ** 40 - 1, 39, 40],
    [2 ** 52 - 1, 51, 52],
    [2 ** 52, 52, 52],
  ])('of %i: floor %i, ceiling %i', (pages, floor, ceil) => {
    expect([floorLog2(pages), ceilLog2(pages)]).toEqual([floor, ceil]);
  });
});

describe('gapOrder: the largest aligned power of two in a gap', () => {
  it.each([
    { start: 5, end: 5, order: 0, rule: 'an empty gap has none' },
    { start: 6, end: 5, order: 0, rule: 'a gap that ends before it begins has none' },
    { start: 5, end: 6, order: 1, rule: 'one page' },
    { start: 5, end: 7, order: 1, rule: 'two pages that straddle a boundary hold one' },
    { start: 6, end: 8, order: 2, rule: 'two aligned pages' },
    { start: 1, end: 7, order: 2, rule: 'six pages around 4 hold two' },
    { start: 1, end: 8, order: 3, rule: 'seven pages hold four' },
    { start: 2 ** 40, end: 2 ** 41, order: 41, rule: 'beyond 32 bits, aligned' },
    { start: 2 ** 40 + 1, end: 2 ** 41, order: 40, rule: 'beyond 32 bits, not aligned' },
  ])('$rule', ({ start, end, order }) => {
    expect(gapOrder(start, end)).toBe(order);
  });

  it('is what trying every exponent finds, and never wrong about a request', () => {
    const gap = fc.tuple(fc.nat(300), fc.nat(300), fc.constantFrom(0, 2 ** 33));
    fc.assert(
      fc.property(gap, fc.integer({ min: 1, max: 80 }), fc.boolean(), ([a, length, base], pages, sizeAligned) => {
        const [start, end] = [base + a, base + a + length];
        let order = 0;
        for (let e = 0; e < 12; e++) if (Math.ceil(start / 2 ** e) * 2 ** e + 2 ** e <= end) order = e + 1;
        expect(gapOrder(start, end)).toBe(order);

        const fit = fitOf(pages, sizeAligned);
        let align = 1;
        while (sizeAligned && align < pages) align *= 2;
        let page = -1;
        for (let each = end - pages; each >= start; each--)
          if (each % align === 0) {
            page = each;
            break;
          }
        expect(place(fit, start, end)).toBe(page);
        if (page >= 0) expect(order).toBeGreaterThanOrEqual(fit.minOrder);
        if (sizeAligned && align === pages) expect(order >= fit.minOrder).toBe(page >= 0); // then the order is exact
      }),
      { numRuns: 3000 },
    );
  });
});
