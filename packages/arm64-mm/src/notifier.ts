/**
 * MMU notifiers: who else holds translations of an address space, and is told when they change
 * (Linux mm/mmu_notifier.c; the SMMU's user is arm-smmu-v3-sva.c).
 *
 * `invalidateSecondaryTlbs` runs where the kernel holds the page table lock: it may spin, so hardware goes on, but it
 * must not wait, and it must not call back into the address spaces (`EDEADLK`). `release` may do both. Neither may
 * throw: the caller has changed the tables already and could only leave the pages of a half-done change behind.
 */
import { IommuError, type Va } from '@smmu/platform';
import type { Mm } from './mm.ts';

/** Somebody who caches an address space's translations: an SMMU's driver. */
export interface MmuNotifier {
  /**
   * Entries of the page table in `[start, last]` have changed so that a cached translation would now be wrong: one was
   * removed or lost a permission or its access flag, or a read-only one became writable and would fault for ever.
   * On return, nothing may be left of what was cached.
   */
  invalidateSecondaryTlbs(mm: Mm, start: Va, last: Va): void;
  /** The address space ends: on return nobody may walk its tables. Called once, before the first page is freed. */
  release(mm: Mm): void;
}

/** The notifiers of one address space. Either call may be made from inside a callback. */
export class MmuNotifierList {
  readonly #list: (MmuNotifier | undefined)[] = [];
  #depth = 0;

  get empty(): boolean {
    return this.#list.length === 0;
  }

  /** @throws {@link IommuError} `EEXIST` if it is registered already. */
  add(notifier: MmuNotifier): void {
    if (this.#list.includes(notifier)) throw new IommuError('EEXIST', 'the notifier is registered already');
    this.#list.push(notifier);
  }

  /** @throws {@link IommuError} `ENOENT` if it is not registered. */
  remove(notifier: MmuNotifier): void {
    const at = this.#list.indexOf(notifier);
    if (at < 0) throw new IommuError('ENOENT', 'the notifier is not registered');
    // A pass over the list counts on its indices: leave a hole, which the end of the pass closes.
    this.#list[at] = undefined;
    this.#compact();
  }

  invalidate(mm: Mm, start: Va, last: Va): void {
    const registered = this.#list.length; // one that registers meanwhile has cached nothing that is stale
    if (registered === 0) return;
    this.#depth += 1;
    try {
      for (let i = 0; i < registered; i++) this.#list[i]?.invalidateSecondaryTlbs(mm, start, last);
    } finally {
      this.#depth -= 1;
      this.#compact();
    }
  }

  /** Calls and forgets each. One that is taken off by an earlier one's callback is not called. */
  release(mm: Mm): void {
    this.#depth += 1;
    try {
      for (let i = 0; i < this.#list.length; i++) {
        const notifier = this.#list[i];
        this.#list[i] = undefined;
        notifier?.release(mm);
      }
    } finally {
      this.#depth -= 1;
      this.#compact();
    }
  }

  #compact(): void {
    if (this.#depth > 0) return;
    let kept = 0;
    for (const notifier of this.#list) if (notifier !== undefined) this.#list[kept++] = notifier;
    this.#list.length = kept;
  }
}
