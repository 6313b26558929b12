import { NO_SUBSTREAM } from '@smmu/platform';

/**
 * Which cached translations an invalidation means: whose, and of which naturally aligned range.
 * PCI Express Base §10.3.1 (range), §10.3.8 (PASID and Global Invalidate).
 */

/** Address bits that a naturally aligned range of 2^n bytes leaves fixed, in both words of an address, by n. */
export const MASK_LO: Int32Array = Int32Array.from({ length: 65 }, (_, n) => (n >= 32 ? 0 : -(2 ** n)));
export const MASK_HI: Int32Array = Int32Array.from({ length: 65 }, (_, n) =>
  n <= 32 ? -1 : n >= 64 ? 0 : -(2 ** (n - 32)),
);

/** Whose a translation is, in one word: PASID + 1 or 0 for none, and these marks. No word is 0. */
export const TAG_VALID: number = 1 << 31;
export const TAG_PRIVILEGED: number = 1 << 30;
/** Good for every PASID; its PASID is 0. */
export const TAG_GLOBAL: number = 1 << 29;
const TAG_PASID = 0x1f_ffff;

export const tagOf = (substreamId: number, privileged: boolean): number =>
  (substreamId + 1) | (privileged ? TAG_VALID | TAG_PRIVILEGED : TAG_VALID);

/** A scope is filled again for each invalidation. */
export class InvalidationScope {
  /** PASID + 1, as in a tag; 0 for an invalidation without one. */
  pasid = 0;
  /** Every PASID's, and global ones. */
  global = false;
  lo = 0;
  hi = 0;
  /** log2 of the bytes of the range. */
  size = 64;

  /** @param size - 12 to 64; 64 is everything. */
  set(substreamId: number, global: boolean, lo: number, hi: number, size: number): void {
    this.pasid = substreamId + 1;
    this.global = global && substreamId !== NO_SUBSTREAM; // reserved without a PASID
    this.lo = lo | 0;
    this.hi = hi | 0;
    this.size = size;
  }

  /** Whether a translation with that tag, of the range of 2^`size` bytes at an address, has to go. */
  covers(tag: number, lo: number, hi: number, size: number): boolean {
    const pasid = tag & TAG_PASID;
    const anyPasid = pasid !== 0 || (tag & TAG_GLOBAL) !== 0;
    if (this.pasid === 0) {
      if (anyPasid) return true; // one without PASID drops those of every PASID, wherever they are
    } else if (this.global) {
      if (!anyPasid) return false;
    } else if (pasid !== this.pasid) return false;
    // Of two naturally aligned ranges that overlap the larger holds the smaller.
    const larger = size > this.size ? size : this.size;
    return ((lo ^ this.lo) & MASK_LO[larger]!) === 0 && ((hi ^ this.hi) & MASK_HI[larger]!) === 0;
  }
}
