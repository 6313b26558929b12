/** Takes one line of the driver's log, without the time and without a line feed. */
export type Log = (line: string) => void;

/**
 * Lets a burst of messages through in each interval and counts the rest (Linux `struct ratelimit_state`, with its
 * default of ten messages in five seconds).
 */
export class RateLimit {
  readonly intervalNs: number;
  readonly burst: number;
  /** Messages held back since the last interval began. */
  suppressed = 0;
  readonly #clock: { readonly now: number };
  #begin = Number.NEGATIVE_INFINITY;
  #passed = 0;

  /** @param clock - Virtual time in nanoseconds. */
  constructor(clock: { readonly now: number }, intervalNs = 5_000_000_000, burst = 10) {
    this.#clock = clock;
    this.intervalNs = intervalNs;
    this.burst = burst;
  }

  /**
   * Whether one more message may pass.
   * @param onSuppressed - Told, when a new interval begins, how many the last one held back.
   */
  allow(onSuppressed: (count: number) => void): boolean {
    if (this.#clock.now - this.#begin > this.intervalNs) {
      if (this.suppressed > 0) onSuppressed(this.suppressed);
      this.#begin = this.#clock.now;
      this.#passed = 0;
      this.suppressed = 0;
    }
    if (this.#passed < this.burst) {
      this.#passed += 1;
      return true;
    }
    this.suppressed += 1;
    return false;
  }
}
