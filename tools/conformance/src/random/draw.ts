/** Choices of a random scenario, all from one seeded generator. */
import { Random } from '@smmu/platform';

export class Draw {
  readonly #random: Random;
  constructor(seed: number, index: number) {
    this.#random = new Random((seed >>> 0) + (index % 2 ** 21) * 2 ** 32);
  }
  /** From 0 up to, not including, `limit`. */
  below(limit: number): number {
    return this.#random.below(limit);
  }
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }
  /** Whether something that happens `percent` times in a hundred happens. */
  chance(percent: number): boolean {
    return this.below(10_000) < percent * 100;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  /** A number of `bits` bits. */
  bits(bits: number): bigint {
    const whole = (BigInt(this.#random.next()) << 32n) | BigInt(this.#random.next());
    return BigInt.asUintN(bits, whole);
  }
}
