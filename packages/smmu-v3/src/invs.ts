/**
 * What has to be invalidated when a domain's tables change: the TLB tags that it uses and the devices that cache its
 * translations themselves, each once however many attachments need it.
 * Linux arm-smmu-v3.c, "Invalidation array": `arm_smmu_invs_merge`, `arm_smmu_invs_unref`, `arm_smmu_invs_purge`.
 *
 * The list is sorted by kind, then ID, then SubstreamID, so that TLB entries go before the ATCs that could fetch them
 * again. An attachment merges its entries before the hardware may use them, and takes them off after it no longer can.
 * Merging and purging make a new list, so that one who is walking the old one is not disturbed; taking off counts down
 * in place.
 */
import { IommuError } from '@smmu/platform';

/** Kinds, in the order in which they are invalidated. */
export const INV_ASID = 0;
export const INV_VMID = 1;
/** Drops all of a VMID's stage 1 entries: for nested tables, after their stage 2 changed. */
export const INV_VMID_S1_CLEAR = 2;
export const INV_ATS = 3;
/** The device's whole cache: for tables whose input address is not what the device cached. */
export const INV_ATS_FULL = 4;

/** One thing to invalidate. */
export interface Inv {
  readonly kind: number;
  /** ASID, VMID, or StreamID for the ATS kinds. */
  readonly id: number;
  /** SubstreamID, for the ATS kinds; else 0. */
  readonly ssid: number;
  /** Attachments that need it; 0 marks one that is no longer needed. */
  users: number;
}

const compare = (a: Inv, b: Inv): number => a.kind - b.kind || a.id - b.id || a.ssid - b.ssid;

const copy = ({ kind, id, ssid, users }: Inv, more: number): Inv => ({ kind, id, ssid, users: users + more });

/** A sorted list of them. */
export class Invs {
  /** Those with no users among them, the last entry excepted, are trash that {@link purge} would take away. */
  readonly entries: readonly Inv[];
  readonly hasAts: boolean;
  #length: number;
  #trash = 0;

  /** The list of one TLB tag. */
  static tag(kind: number, id: number): Invs {
    return new Invs([{ kind, id, ssid: 0, users: 1 }]);
  }

  /** @param entries - Sorted; the list takes them over. */
  constructor(entries: readonly Inv[] = []) {
    this.entries = entries;
    this.#length = entries.length;
    this.hasAts = entries.length > 0 && entries[entries.length - 1]!.kind >= INV_ATS;
  }

  /** Entries that count: those at the end that nobody needs are cut off. */
  get length(): number {
    return this.#length;
  }

  /** Entries among them that nobody needs. */
  get trash(): number {
    return this.#trash;
  }

  /**
   * A list with the entries of both; what is in both counts one more user. What nobody needs is left out. If all of `more`
   * is in this list already it only counts up, and is itself the result.
   */
  merge(more: Invs): Invs {
    if (this.#countUp(more)) return this;
    const merged: Inv[] = [];
    let i = 0;
    let j = 0;
    while (i < this.#length || j < more.#length) {
      const mine = this.entries[i];
      if (i < this.#length && mine!.users === 0) {
        i += 1;
        continue;
      }
      const order = i >= this.#length ? 1 : j >= more.#length ? -1 : compare(mine!, more.entries[j]!);
      if (order < 0) merged.push(copy(this.entries[i++]!, 0));
      else if (order > 0) merged.push(copy(more.entries[j++]!, 0));
      else {
        merged.push(copy(mine!, 1));
        i += 1;
        j += 1;
      }
    }
    return new Invs(merged);
  }

  /** Counts one user more of each entry of `more`, if all of them are there. */
  #countUp(more: Invs): boolean {
    for (let j = 0; j < more.#length; j++) if (this.#find(more.entries[j]!) === undefined) return false;
    for (let j = 0; j < more.#length; j++) this.#find(more.entries[j]!)!.users += 1;
    return true;
  }

  /** The entry that is wanted and means the same. */
  #find(inv: Inv): Inv | undefined {
    for (let i = 0; i < this.#length; i++) {
      const mine = this.entries[i]!;
      if (compare(mine, inv) === 0) return mine.users > 0 ? mine : undefined;
    }
    return undefined;
  }

  /**
   * Counts one user less of each entry of `less`.
   * @param last - Told of each entry that nobody needs any more.
   * @throws {@link IommuError} `EINVAL` if an entry is not in the list: attaching and detaching do not pair.
   */
  unref(less: Invs, last?: (inv: Inv) => void): void {
    let i = 0;
    for (const inv of less.entries) {
      while (i < this.#length && compare(this.entries[i]!, inv) < 0) i += 1;
      const mine = this.entries[i];
      if (i >= this.#length || compare(mine!, inv) !== 0 || mine!.users === 0)
        throw new IommuError('EINVAL', `kind ${inv.kind} id ${inv.id} ssid ${inv.ssid} is not to be invalidated`);
      mine!.users -= 1;
      if (mine!.users === 0) {
        this.#trash += 1;
        last?.(mine!);
      }
    }
    while (this.#length > 0 && this.entries[this.#length - 1]!.users === 0) {
      this.#length -= 1;
      this.#trash -= 1;
    }
  }

  /** The list without what nobody needs, or itself if there is nothing of the kind. */
  purge(): Invs {
    if (this.#trash === 0 && this.#length === this.entries.length) return this;
    return new Invs(this.entries.slice(0, this.#length).filter(({ users }) => users > 0));
  }
}
