import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { atcSpan } from './atcInv.ts';

describe('atcSpan: CMD_ATC_INV names one naturally aligned power of two (§4.5.1)', () => {
  it.each([
    { start: 0x5000, last: 0x5fff, address: 0x5000, log2Pages: 0, rule: 'one page is exact' },
    { start: 0x5123, last: 0x5456, address: 0x5000, log2Pages: 0, rule: 'part of a page is the page' },
    { start: 0x5000, last: 0x6fff, address: 0x4000, log2Pages: 2, rule: 'two pages that straddle cost four' },
    { start: 0x7000, last: 0x8fff, address: 0, log2Pages: 4, rule: 'eight and a half: sixteen' },
    {
      start: 2 ** 51,
      last: 2 ** 52 - 1,
      address: 2 ** 51,
      log2Pages: 39,
      rule: 'the top half, where 32-bit maths fails',
    },
    { start: 0, last: 2 ** 52 - 1, address: 0, log2Pages: 40, rule: 'all that a number can name' },
  ])('$rule', ({ start, last, address, log2Pages }) => {
    expect(atcSpan(start, last)).toEqual({ address, log2Pages });
  });
  it('a range that ends before it starts is a mistake', () => {
    expect(() => atcSpan(0x5000, 0x4fff)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });
  it('covers the range, is aligned, and half of it would not do', () => {
    const address = fc.double({ min: 0, max: 2 ** 52 - 1, noNaN: true }).map(Math.floor);
    fc.assert(
      fc.property(address, address, (a, b) => {
        const [start, last] = [Math.min(a, b), Math.max(a, b)];
        const span = atcSpan(start, last);
        const bytes = 2 ** span.log2Pages * 4096;
        expect(span.address % bytes).toBe(0);
        expect(span.address <= start && last < span.address + bytes).toBe(true);
        if (span.log2Pages > 0) {
          const half = bytes / 2;
          expect(Math.floor(start / half)).not.toBe(Math.floor(last / half));
        }
      }),
    );
  });
});
