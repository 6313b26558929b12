import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as pte from './descriptors.ts';

// The second source: Linux arch/arm64/include/asm/pgtable-hwdef.h and pgtable-prot.h, by bit number.
describe('each mask is the bit that Linux uses', () => {
  it.each([
    ['PTE_VALID', pte.PTE_VALID_LO, 0],
    ['PTE_USER', pte.PTE_AP_USER_LO, 6],
    ['PTE_RDONLY', pte.PTE_AP_RDONLY_LO, 7],
    ['PTE_AF', pte.PTE_AF_LO, 10],
    ['PTE_NG', pte.PTE_NG_LO, 11],
    ['PTE_NS', pte.PTE_NS_LO, 5],
    ['nT', pte.PTE_NT_LO, 16],
    ['S2AP read', pte.PTE_S2_READ_LO, 6],
    ['S2AP write', pte.PTE_S2_WRITE_LO, 7],
    ['PTE_DBM', pte.PTE_DBM_HI, 51],
    ['PTE_CONT', pte.PTE_CONT_HI, 52],
    ['PTE_PXN', pte.PTE_PXN_HI, 53],
    ['PTE_UXN', pte.PTE_UXN_HI, 54],
    ['PTE_DIRTY', pte.PTE_SW_DIRTY_HI, 55],
    ['PTE_SPECIAL', pte.PTE_SW_SPECIAL_HI, 56],
    ['ARM_LPAE_PTE_SW_SYNC', pte.TABLE_SW_SYNC_HI, 55],
  ] as const)('%s', (_, mask, bit) => {
    expect(mask).toBe(2 ** (bit % 32));
  });

  it('fields', () => {
    expect(pte.PTE_TYPE_MASK_LO).toBe(3);
    expect([pte.PTE_BLOCK_LO, pte.PTE_TABLE_LO, pte.PTE_PAGE_LO]).toEqual([1, 3, 3]);
    expect([pte.PTE_ATTR_SHIFT_LO, pte.PTE_ATTR_MASK_LO]).toEqual([2, 0x1c]);
    expect([pte.PTE_SH_SHIFT_LO, pte.PTE_SH_MASK_LO]).toEqual([8, 0x300]);
    expect([pte.PTE_SH_OUTER_LO, pte.PTE_SH_INNER_LO]).toEqual([0x200, 0x300]);
    expect(pte.PTE_SW_MASK_HI).toBe(0x0780_0000);
  });
});

describe('an address goes into an entry and comes out again', () => {
  it.each([
    // granule, wide, address, low, high; by hand from §D8.3.1
    [12, false, 0xffff_ffff_f000, 0xffff_f000, 0xffff],
    [12, true, 0xf_ffff_ffff_f000, 0xffff_f300, 0x3_ffff],
    [12, true, 0x4_0000_0000_0000, 0x100, 0],
    [12, true, 0x1_0000_0000_0000, 0, 0x1_0000],
    [14, true, 0xf_ffff_ffff_c000, 0xffff_c300, 0x3_ffff],
    [14, false, 0xffff_ffff_c000, 0xffff_c000, 0xffff],
    [16, false, 0xffff_ffff_0000, 0xffff_0000, 0xffff],
    [16, true, 0xf_ffff_ffff_0000, 0xffff_f000, 0xffff],
    [16, true, 0x1_0000_0000_0000, 0x1000, 0],
  ] as const)('2^%i bytes, wide %s: %i', (granuleShift, wide, address, lo, hi) => {
    const layout = pte.pteAddress(granuleShift, wide);
    expect([pte.addressLo(address, layout), pte.addressHi(address, layout)]).toEqual([lo, hi]);
    expect(pte.addressOf(lo, hi, layout)).toBe(address);
    expect(pte.addressOf(lo | (wide && granuleShift !== 16 ? 0xcff : 0xfff), (hi | 0xfff0_0000) >>> 0, layout)).toBe(
      address,
    );
  });

  it('for any page', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(12, 14, 16),
        fc.boolean(),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (granuleShift, wide, fraction) => {
          const address = Math.floor(fraction * 2 ** ((wide ? 52 : 48) - granuleShift)) * 2 ** granuleShift;
          const layout = pte.pteAddress(granuleShift as 12, wide);
          expect(pte.addressOf(pte.addressLo(address, layout), pte.addressHi(address, layout), layout)).toBe(address);
        },
      ),
    );
    expect(pte.pteAddress(12)).toEqual(pte.pteAddress(12, false));
  });
});
