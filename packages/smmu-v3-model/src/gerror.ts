/**
 * Global errors: a bit is active while it differs between GERROR and GERRORN; hardware toggles the one, software copies
 * it to the other. IHI 0070 §7.5, §6.3.19, §6.3.20; Linux arm_smmu_gerror_handler.
 */
import { GERROR, GERRORN } from '@smmu/spec';
import { word } from './registers.ts';

export class GlobalErrors {
  readonly #words: Uint32Array;
  /** Told that a bit became active: raises the interrupt. */
  onActive: (mask: number) => void = () => {};

  constructor(words: Uint32Array) {
    this.#words = words;
  }

  isActive(mask: number): boolean {
    return ((this.#words[word(GERROR)]! ^ this.#words[word(GERRORN)]!) & mask) !== 0;
  }

  /** Makes an error active. One that already is stays so: there is no second toggle before the acknowledge. */
  activate(mask: number): void {
    if (this.isActive(mask)) return;
    this.#words[word(GERROR)]! ^= mask;
    this.onActive(mask);
  }
}
