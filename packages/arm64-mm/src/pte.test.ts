import { describe, expect, it } from 'vitest';
import { isWritable, mayBeCached, PteFormat } from './pte.ts';

// The second source: bit numbers typed in from Linux arch/arm64/include/asm/pgtable-hwdef.h and pgtable-prot.h.
const BIT = {
  valid: 1n << 0n, // PTE_VALID
  page: 1n << 1n, // with it, PTE_TYPE_PAGE
  normal: 1n << 2n, // PTE_ATTRINDX(1)
  user: 1n << 6n, // PTE_USER
  readOnly: 1n << 7n, // PTE_RDONLY
  inner: 3n << 8n, // PTE_SHARED
  accessed: 1n << 10n, // PTE_AF
  notGlobal: 1n << 11n, // PTE_NG
  writable: 1n << 51n, // PTE_DBM
  pxn: 1n << 53n, // PTE_PXN
  uxn: 1n << 54n, // PTE_UXN
};
const ALWAYS = BIT.page | BIT.normal | BIT.user | BIT.inner | BIT.accessed | BIT.notGlobal | BIT.pxn;
const dword = (lo: number, hi: number) => (BigInt(hi) << 32n) | BigInt(lo);

describe('an entry of a process (Arm DDI 0487 §D8.3)', () => {
  const format = new PteFormat(12, 48);
  const entry = (accessible: boolean, readOnly: boolean, mayWrite: boolean, exec: boolean, pa = 0x1234_5678_9000) =>
    dword(format.lo(pa, accessible, readOnly), format.hi(pa, mayWrite, exec));
  it.each([
    ['read-only', [true, true, false, false], BIT.valid | BIT.readOnly | BIT.uxn],
    ['executable', [true, true, false, true], BIT.valid | BIT.readOnly],
    ['writable, clean', [true, true, true, false], BIT.valid | BIT.readOnly | BIT.writable | BIT.uxn],
    ['writable, dirty', [true, false, true, false], BIT.valid | BIT.writable | BIT.uxn],
    ['inaccessible', [false, true, false, false], BIT.readOnly | BIT.uxn],
  ] as const)('%s', (_, [accessible, readOnly, mayWrite, exec], bits) => {
    expect(entry(accessible, readOnly, mayWrite, exec)).toBe(0x1234_5678_9000n | ALWAYS | bits);
  });
  it.each([
    { granuleShift: 12, paBits: 48, pa: 0xffff_ffff_f000, placed: 0xffff_ffff_f000n },
    { granuleShift: 14, paBits: 48, pa: 0xffff_ffff_c000, placed: 0xffff_ffff_c000n },
    { granuleShift: 16, paBits: 48, pa: 0xffff_ffff_0000, placed: 0xffff_ffff_0000n },
    { granuleShift: 16, paBits: 52, pa: 0xf_8765_4321_0000, placed: 0x8765_4321_f000n }, // PA 51:48 in bits 15:12
    { granuleShift: 12, paBits: 52, pa: 0xd_8765_4321_0000, placed: 0x0001_8765_4321_0300n }, // 51:50 in bits 9:8
    { granuleShift: 14, paBits: 52, pa: 0x9_8765_4321_0000, placed: 0x0001_8765_4321_0200n },
  ] as const)('granule 2^$granuleShift, $paBits bits of address', ({ granuleShift, paBits, pa, placed }) => {
    const wide = new PteFormat(granuleShift, paBits);
    const [lo, hi] = [wide.lo(pa, true, true), wide.hi(pa, false, true)];
    const shareability = paBits === 52 && granuleShift < 16 ? ALWAYS & ~BIT.inner : ALWAYS;
    expect(dword(lo, hi)).toBe(placed | shareability | BIT.valid | BIT.readOnly);
    expect(wide.pa(lo, hi)).toBe(pa);
  });
  it('is writable for everyone with DBM and without the read-only bit', () => {
    const of = (readOnly: boolean, mayWrite: boolean) =>
      isWritable(format.lo(0x1000, true, readOnly), format.hi(0x1000, mayWrite, false));
    expect([of(false, true), of(true, true), of(true, false)]).toEqual([true, false, false]);
  });
  it('can be in a TLB when it is valid and accessed', () => {
    expect([0x401, 0x400, 0x001, 0].map((lo) => mayBeCached(lo))).toEqual([true, false, false, false]);
  });
});
