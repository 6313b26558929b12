/**
 * Level 3 entries of a process's tables: stage 1 page descriptors of an EL1&0 regime (Arm DDI 0487 §D8.3; Linux
 * arch/arm64/include/asm/pgtable-prot.h), as two unsigned words.
 *
 * An entry has one of four states. Nothing: both words 0. Inaccessible (mprotect to no access): the page is there, the
 * valid bit is not, so that hardware sees nothing. Read-only. Writable: DBM says that writing is allowed, and the
 * read-only bit that the page is still clean; a write then faults, or hardware with dirty updates clears the bit.
 * A page that must be copied before it is written has no DBM.
 */
import { MAIR_CACHE_INDEX } from '@smmu/io-pgtable-arm';
import {
  addressHi,
  addressLo,
  addressOf,
  PTE_AF_LO,
  PTE_AP_RDONLY_LO,
  PTE_AP_USER_LO,
  PTE_ATTR_SHIFT_LO,
  PTE_DBM_HI,
  PTE_NG_LO,
  PTE_PAGE_LO,
  PTE_PXN_HI,
  PTE_SH_INNER_LO,
  PTE_UXN_HI,
  PTE_VALID_LO,
  type PteAddress,
  pteAddress,
} from '@smmu/io-pgtable-arm/descriptors';
import type { Pa } from '@smmu/platform';

/** How the entries of one board's processes are built. */
export class PteFormat {
  readonly #address: PteAddress;
  readonly #baseLo: number;

  /** @param paBits - 52 gives the 52-bit layout, as it does to the tables above. */
  constructor(granuleShift: 12 | 14 | 16, paBits: number) {
    const wide = paBits > 48;
    this.#address = pteAddress(granuleShift, wide);
    // With LPA2 two address bits stand where shareability would, which then comes from the CD or TCR.
    const shareable = wide && granuleShift < 16 ? 0 : PTE_SH_INNER_LO;
    const page = PTE_PAGE_LO & ~PTE_VALID_LO;
    this.#baseLo = page | (MAIR_CACHE_INDEX << PTE_ATTR_SHIFT_LO) | PTE_AP_USER_LO | shareable | PTE_AF_LO | PTE_NG_LO;
  }

  /** Low word of an entry for the page at `pa`. */
  lo(pa: Pa, accessible: boolean, readOnly: boolean): number {
    const flags = (accessible ? PTE_VALID_LO : 0) | (readOnly ? PTE_AP_RDONLY_LO : 0);
    return (addressLo(pa, this.#address) | this.#baseLo | flags) >>> 0;
  }

  /** High word of that entry. */
  hi(pa: Pa, mayWrite: boolean, exec: boolean): number {
    return addressHi(pa, this.#address) | PTE_PXN_HI | (mayWrite ? PTE_DBM_HI : 0) | (exec ? 0 : PTE_UXN_HI);
  }

  /** First byte of the page that an entry names. */
  pa(lo: number, hi: number): Pa {
    return addressOf(lo, hi, this.#address);
  }
}

/** Whether an entry lets everyone who walks the tables write. */
export const isWritable = (lo: number, hi: number): boolean => (hi & PTE_DBM_HI) !== 0 && (lo & PTE_AP_RDONLY_LO) === 0;

/**
 * Whether a TLB may hold an entry: it is valid and its access flag is set (Arm DDI 0487 §D8.5.1). A CD must therefore
 * not treat a clear flag as set (AFFD = 0).
 */
export const mayBeCached = (lo: number): boolean => (lo & CACHEABLE) === CACHEABLE;
const CACHEABLE: number = PTE_VALID_LO | PTE_AF_LO;
