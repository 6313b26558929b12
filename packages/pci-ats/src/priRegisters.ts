import type { FlagField } from '@smmu/spec';
import { PRI } from './capabilities.ts';

/** The page request registers as the hardware behind them sees them: flags to set, numbers to obey. PCIe §10.5.2. */
export class PriRegisters {
  readonly #words: Uint32Array;
  readonly #base: number;

  /**
   * @param words - The configuration space.
   * @param offset - Offset of the PRI capability.
   */
  constructor(words: Uint32Array, offset: number) {
    this.#words = words;
    this.#base = offset / 4;
  }

  /** Page requests that may be outstanding: what software allocated, at most what the function can. */
  get allocation(): number {
    return Math.min(PRI.ALLOC_REQ.get(this.#words, this.#base), PRI.MAX_REQ.get(this.#words, this.#base));
  }

  /** A response carries the PASID if its requests did. */
  get pasidRequired(): boolean {
    return PRI.PASID_REQUIRED.get(this.#words, this.#base);
  }

  /** RF: a response said Response Failure. */
  setResponseFailure(on: boolean): void {
    this.#set(PRI.RF, on);
  }

  /** UPRGI: a response named a group that is not outstanding. */
  setUnexpectedGroup(on: boolean): void {
    this.#set(PRI.UPRGI, on);
  }

  /** Disabled, and nothing is outstanding. */
  setStopped(on: boolean): void {
    this.#set(PRI.STOPPED, on);
  }

  /** Clears the three flags, as enabling does. */
  clear(): void {
    this.setResponseFailure(false);
    this.setUnexpectedGroup(false);
    this.setStopped(false);
  }

  #set(field: FlagField, on: boolean): void {
    field.set(this.#words, this.#base, on);
  }
}
