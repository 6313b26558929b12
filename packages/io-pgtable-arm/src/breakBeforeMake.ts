/**
 * A watch over the stores to a table: does each change of an entry go the way that walkers can stand?
 * (Arm DDI 0487 §D8.16 "break-before-make", FEAT_BBM; IHI 0070 IDR3.BBML.)
 *
 * An entry that walkers may hold must be gone, from memory and from every TLB, before another stands in its place, if it
 * leads elsewhere, has another size or another memory type. Permissions, access flag and dirty state may change in place.
 */
import type { Iova, Pa, SystemMemory } from '@smmu/platform';
import {
  PTE_AF_LO,
  PTE_AP_RDONLY_LO,
  PTE_AP_USER_LO,
  PTE_CONT_HI,
  PTE_DBM_HI,
  PTE_NT_LO,
  PTE_PXN_HI,
  PTE_SW_MASK_HI,
  PTE_TYPE_MASK_LO,
  PTE_UXN_HI,
  PTE_VALID_LO,
} from './descriptors.ts';
import { BreakBeforeMakeError } from './errors.ts';

/** What may change in place. S2AP and S2XN are in the same bits as AP and XN. */
const FREE_LO = PTE_AF_LO | PTE_AP_RDONLY_LO | PTE_AP_USER_LO;
const FREE_HI = PTE_DBM_HI | PTE_PXN_HI | PTE_UXN_HI | PTE_SW_MASK_HI;

/** Something that was valid and may still be in a TLB. */
interface Broken {
  readonly start: Iova;
  readonly last: Iova;
}

export class BreakBeforeMakeChecker {
  readonly #memory: SystemMemory;
  readonly #bbmLevel: 0 | 1 | 2;
  readonly #broken: Set<Broken> = new Set();

  constructor(memory: SystemMemory, bbmLevel: 0 | 1 | 2) {
    this.#memory = memory;
    this.#bbmLevel = bbmLevel;
  }

  /**
   * Judges a store before it is made.
   * @param start - First input address that the entry covers; `bytes` of them.
   * @throws {@link BreakBeforeMakeError} if walkers must not see it.
   */
  check(entryPa: Pa, level: number, start: Iova, bytes: number, lo: number, hi: number): void {
    this.#memory.read64(entryPa);
    const { lo: oldLo, hi: oldHi } = this.#memory;
    const last = start + (bytes - 1);
    const valid = (lo & PTE_VALID_LO) !== 0;
    if ((oldLo & PTE_VALID_LO) !== 0) {
      if (!valid) this.#broken.add({ start, last });
      else {
        const why = this.#inPlace(level, oldLo, oldHi, lo, hi);
        if (why !== undefined) throw new BreakBeforeMakeError(entryPa, level, why);
      }
    } else if (valid)
      for (const old of this.#broken)
        if (old.start <= last && start <= old.last)
          throw new BreakBeforeMakeError(entryPa, level, 'made before what it replaces was invalidated');
  }

  /** TLBs hold nothing of `[start, last]` any more. */
  flushed(start: Iova, last: Iova): void {
    for (const old of this.#broken) if (old.start >= start && old.last <= last) this.#broken.delete(old);
  }

  /** Why a valid entry may not become another valid one; undefined if it may. */
  #inPlace(level: number, oldLo: number, oldHi: number, lo: number, hi: number): string | undefined {
    const wasTable = level < 3 && (oldLo & PTE_TYPE_MASK_LO) === PTE_TYPE_MASK_LO;
    const isTable = level < 3 && (lo & PTE_TYPE_MASK_LO) === PTE_TYPE_MASK_LO;
    if (wasTable !== isTable) {
      const marked = ((wasTable ? lo : oldLo) & PTE_NT_LO) !== 0;
      return this.#bbmLevel === 2 || (this.#bbmLevel === 1 && marked) ? undefined : 'table and block swapped in place';
    }
    const differLo = (oldLo ^ lo) & ~(wasTable ? 0 : FREE_LO | (this.#bbmLevel > 0 && level < 3 ? PTE_NT_LO : 0));
    const differHi = (oldHi ^ hi) & ~(FREE_HI | (this.#bbmLevel === 2 ? PTE_CONT_HI : 0));
    return differLo === 0 && differHi === 0 ? undefined : 'output, type or run changed in place';
  }
}
