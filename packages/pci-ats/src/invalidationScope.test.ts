import { describe, expect, it } from 'vitest';
import { NO_SUBSTREAM } from '../test/rig.ts';
import { InvalidationScope, TAG_GLOBAL, TAG_VALID, tagOf } from './invalidationScope.ts';

const PLAIN = tagOf(NO_SUBSTREAM, false);
const GLOBAL = TAG_GLOBAL | TAG_VALID;

function scope(substreamId: number, global: boolean, lo = 0, hi = 0, size = 64): InvalidationScope {
  const made = new InvalidationScope();
  made.set(substreamId, global, lo, hi, size);
  return made;
}

describe('an invalidation drops the translations of (PCIe §10.3.8)', () => {
  it.each([
    { who: 'a PASID', made: scope(5, false), plain: false, five: true, six: false, global: false },
    {
      who: 'every PASID with Global Invalidate',
      made: scope(5, true),
      plain: false,
      five: true,
      six: true,
      global: true,
    },
    {
      who: 'everybody without a PASID',
      made: scope(NO_SUBSTREAM, false),
      plain: true,
      five: true,
      six: true,
      global: true,
    },
    {
      who: 'everybody without a PASID, whatever Global says',
      made: scope(NO_SUBSTREAM, true),
      plain: true,
      five: true,
      six: true,
      global: true,
    },
  ])('$who', ({ made, plain, five, six, global }) => {
    const covers = (tag: number) => made.covers(tag, 0x1000, 0, 12);
    expect([PLAIN, tagOf(5, false), tagOf(6, false), GLOBAL].map(covers)).toEqual([plain, five, six, global]);
    expect(covers(tagOf(5, true))).toBe(five); // whatever its privilege
  });

  it('every PASID at all addresses if it has none itself, but others only in its range', () => {
    const made = scope(NO_SUBSTREAM, false, 0x4000, 0, 12);
    expect(made.covers(PLAIN, 0x4000, 0, 12)).toBe(true);
    expect(made.covers(PLAIN, 0x5000, 0, 12)).toBe(false);
    expect(made.covers(tagOf(5, false), 0x5000, 0, 12)).toBe(true);
    expect(made.covers(GLOBAL, 0x5000, 0, 12)).toBe(true);
  });

  it('PASID 0 is a PASID', () => {
    expect(scope(0, false).covers(tagOf(0, false), 0, 0, 12)).toBe(true);
    expect(scope(0, false).covers(PLAIN, 0, 0, 12)).toBe(false);
  });
});

describe('ranges overlap if the larger holds the smaller (PCIe §10.3.1)', () => {
  it.each([
    { rule: 'the page itself', at: [0x5000, 0, 12], inv: [0x5000, 0, 12], hit: true },
    { rule: 'the next page', at: [0x6000, 0, 12], inv: [0x5000, 0, 12], hit: false },
    { rule: 'a page inside 2 MiB', at: [0x0020_0000, 0, 21], inv: [0x003f_f000, 0, 12], hit: true },
    { rule: 'a page beside 2 MiB', at: [0x0020_0000, 0, 21], inv: [0x0040_0000, 0, 12], hit: false },
    { rule: '2 MiB around a page', at: [0x003f_f000, 0, 12], inv: [0x0020_0000, 0, 21], hit: true },
    { rule: 'the same page 4 GiB higher', at: [0x5000, 1, 12], inv: [0x5000, 0, 12], hit: false },
    { rule: '4 GiB', at: [0xffff_f000, 7, 12], inv: [0, 7, 32], hit: true },
    { rule: '4 GiB, from the next', at: [0, 8, 12], inv: [0, 7, 32], hit: false },
    { rule: '2^40 bytes', at: [0x1000, 0xff, 12], inv: [0, 0, 40], hit: true },
    { rule: '2^40 bytes, from the next', at: [0, 0x100, 12], inv: [0, 0, 40], hit: false },
    { rule: 'the upper half', at: [0xffff_f000, 0xffff_ffff, 12], inv: [0, 0x8000_0000, 63], hit: true },
    { rule: 'the upper half, from below', at: [0xffff_f000, 0x7fff_ffff, 12], inv: [0, 0x8000_0000, 63], hit: false },
    { rule: 'everything', at: [0xffff_f000, 0xffff_ffff, 12], inv: [0, 0, 64], hit: true },
  ] as const)('$rule', ({ at, inv, hit }) => {
    const [lo, hi, size] = at;
    expect(scope(5, false, ...inv).covers(tagOf(5, false), lo | 0, hi | 0, size)).toBe(hit);
  });
});
