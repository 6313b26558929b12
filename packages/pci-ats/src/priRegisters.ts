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
  get responseFailure(): boolean {
    return this.#get(PRI.RF);
  }
  set responseFailure(on: boolean) {
    this.#set(PRI.RF, on);
  }

  /** UPRGI: a response named a group that is not outstanding. */
  get unexpectedGroup(): boolean {
    return this.#get(PRI.UPRGI);
  }
  set unexpectedGroup(on: boolean) {
    this.#set(PRI.UPRGI, on);
  }

  /** Disabled, and nothing is outstanding. */
  get stopped(): boolean {
    return this.#get(PRI.STOPPED);
  }
  set stopped(on: boolean) {
    this.#set(PRI.STOPPED, on);
  }

  /** Clears the three flags, as enabling does. */
  clear(): void {
    this.responseFailure = false;
    this.unexpectedGroup = false;
    this.stopped = false;
  }

  #get(field: FlagField): boolean {
    return field.get(this.#words, this.#base);
  }

  #set(field: FlagField, on: boolean): void {
    field.set(this.#words, this.#base, on);
  }
}
