/** The step of the machine on which the goals were written down, in nanoseconds. */
export const GOAL_STEP = 1.7;

const words = new Int32Array(1 << 18);

function run(steps: number): number {
  let x = 0x9e3779b9 | 0;
  for (let i = 0; i < steps; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[x & 0x3ffff]! += x;
  }
  return x;
}

/**
 * Nanoseconds per step of a loop that any machine can run: one xorshift32 and one read-modify-write of a random word
 * of 1 MiB. Goals scale by it, so that figures of a slower or a busy machine can be compared.
 */
export function yardstick(rounds = 9, steps = 2_000_000): number {
  run(steps);
  const times = Array.from({ length: rounds }, () => {
    const start = process.hrtime.bigint();
    run(steps);
    return Number(process.hrtime.bigint() - start) / steps;
  });
  return times.sort((a, b) => a - b)[rounds >> 1]!;
}
