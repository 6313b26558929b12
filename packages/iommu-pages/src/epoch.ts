/**
 * When those who may still read a table have left it: the wish of the kernel's authors for freelists that wait for RCU
 * (cover letter of "iommu: Further abstract iommu-pages", 2025; Linux `synchronize_rcu` for the idea).
 *
 * Readers are counted in two groups. What is deferred waits in `pending`; when nothing waits in `leaving`, the two swap
 * and newcomers join the other group. A reader that entered before the deferral keeps its group from becoming empty.
 */
import { IommuError } from '@smmu/platform';
import type { IommuPagesList } from './list.ts';

/** What {@link IommuPages.enterReader} returns and {@link IommuPages.leaveReader} takes. */
export type ReaderToken = 0 | 1;

export class Epoch {
  /** Deferred since the last swap. */
  readonly #pending: IommuPagesList;
  /** Free when the group `1 - #current` has left. */
  readonly #leaving: IommuPagesList;
  readonly #free: (list: IommuPagesList) => void;
  readonly #readers: [number, number] = [0, 0];
  #current: ReaderToken = 0;

  constructor(pending: IommuPagesList, leaving: IommuPagesList, free: (list: IommuPagesList) => void) {
    this.#pending = pending;
    this.#leaving = leaving;
    this.#free = free;
  }

  get idle(): boolean {
    return this.#pending.empty && this.#leaving.empty;
  }

  enter(): ReaderToken {
    this.#readers[this.#current] += 1;
    return this.#current;
  }

  leave(token: ReaderToken): void {
    if (this.#readers[token] === 0) throw new IommuError('EINVAL', `reader ${token} leaves, but none has entered`);
    this.#readers[token] -= 1;
    this.#advance();
  }

  defer(list: IommuPagesList): void {
    this.#pending.splice(list);
    this.#advance();
  }

  #advance(): void {
    // Twice at most: what waited in `leaving`, then what has just become `leaving`.
    for (;;) {
      const old: ReaderToken = this.#current === 0 ? 1 : 0;
      if (this.#readers[old] !== 0) return;
      this.#free(this.#leaving);
      if (this.#pending.empty) return;
      this.#leaving.splice(this.#pending);
      this.#current = old;
    }
  }
}
