import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ADDRESS_LAYOUTS, FieldRangeError, GRANULES } from '../index.ts';

const layouts = Object.values(ADDRESS_LAYOUTS).flatMap((modes) => Object.values(modes));
const top = (mode: string): number => (mode === '48-bit' ? 47 : 51);

/** The address's bits in an entry, as Linux's paddr_to_iopte and Arm DDI 0487 place them. */
function reference(mode: string, address: bigint): bigint {
  const inPlace = address & 0x0000_ffff_ffff_f000n;
  if (mode === 'LPA') return inPlace | (((address >> 48n) & 0xfn) << 12n);
  if (mode === 'DS') return inPlace | (address & 0x0003_0000_0000_0000n) | (((address >> 50n) & 3n) << 8n);
  return inPlace;
}

describe.each(layouts)('address in a descriptor: $granule $mode', (one) => {
  const { shift } = GRANULES[one.granule];
  const address = fc
    .bigInt({ min: 0n, max: 2n ** BigInt(top(one.mode) + 1 - shift) - 1n })
    .map((page) => page << BigInt(shift));

  it('is placed as Linux places it, and read back', () => {
    fc.assert(
      fc.property(address, (pa) => {
        const number = Number(pa);
        const [lo, hi] = [one.loOf(number), one.hiOf(number)];
        expect((BigInt(hi) << 32n) | BigInt(lo)).toBe(reference(one.mode, pa));
        expect(one.addressOf(lo, hi)).toBe(number);
        one.check(number);
      }),
    );
  });

  it('is read back whatever else the entry holds, and its masks are its bits', () => {
    fc.assert(
      fc.property(address, fc.nat(0xffff_ffff), fc.nat(0xffff_ffff), (pa, lo, hi) => {
        const number = Number(pa);
        const entryLo = ((lo & ~one.maskLo) | one.loOf(number)) >>> 0;
        const entryHi = ((hi & ~one.maskHi) | one.hiOf(number)) >>> 0;
        expect(one.addressOf(entryLo, entryHi)).toBe(number);
      }),
    );
    const all = BigInt(2 ** (top(one.mode) + 1)) - BigInt(2 ** shift);
    expect((BigInt(one.maskHi) << 32n) | BigInt(one.maskLo)).toBe(reference(one.mode, all));
  });

  it('is described by its map, bit by bit', () => {
    for (const { oa, descriptor } of one.map) expect(oa[0] - oa[1]).toBe(descriptor[0] - descriptor[1]);
    for (let bit = shift; bit <= top(one.mode); bit++) {
      const run = one.map.find(({ oa }) => oa[1] <= bit && bit <= oa[0])!;
      const at = BigInt(run.descriptor[1] + bit - run.oa[1]);
      expect(reference(one.mode, 1n << BigInt(bit)), `bit ${bit}`).toBe(1n << at);
    }
  });

  it.each([
    ['misaligned', 2 ** 11],
    ['negative', -(2 ** 16)],
    ['too large', 2 ** (top(one.mode) + 1)],
    ['not a number', Number.NaN],
  ])('refuses an address that is %s', (_, value) => {
    expect(() => one.check(value)).toThrow(FieldRangeError);
  });
});
