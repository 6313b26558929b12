/**
 * The two bulk loops. Each is a function of its own with small integers only: the same loop inside a larger function
 * runs less than half as fast.
 */

/**
 * Writes `count` leaves from `words[at]` on, the low word growing by `step` each time, until one is in the way.
 * The low words must not wrap. Returns how many were written.
 */
export function fillRun(words: Uint32Array, at: number, count: number, lo: number, hi: number, step: number): number {
  let i = at;
  // Eight at a time: one test for all of them, and no carried addition in between.
  for (const end = at + (count & ~7) * 2; i < end; i += 16) {
    const valid =
      words[i]! |
      words[i + 2]! |
      words[i + 4]! |
      words[i + 6]! |
      words[i + 8]! |
      words[i + 10]! |
      words[i + 12]! |
      words[i + 14]!;
    if ((valid & 1) !== 0) break;
    words[i] = lo;
    words[i + 1] = hi;
    words[i + 2] = lo + step;
    words[i + 3] = hi;
    words[i + 4] = lo + step * 2;
    words[i + 5] = hi;
    words[i + 6] = lo + step * 3;
    words[i + 7] = hi;
    words[i + 8] = lo + step * 4;
    words[i + 9] = hi;
    words[i + 10] = lo + step * 5;
    words[i + 11] = hi;
    words[i + 12] = lo + step * 6;
    words[i + 13] = hi;
    words[i + 14] = lo + step * 7;
    words[i + 15] = hi;
    lo = (lo + step * 8) | 0;
  }
  for (const end = at + count * 2; i < end; i += 2) {
    if ((words[i]! & 1) !== 0) break;
    words[i] = lo;
    words[i + 1] = hi;
    lo = (lo + step) | 0;
  }
  return (i - at) >> 1;
}

/** How many of `count` entries from `words[at]` on are pages, one after another. */
export function countPages(words: Uint32Array, at: number, count: number): number {
  let i = at;
  for (const end = at + (count & ~3) * 2; i < end; i += 8)
    if ((words[i]! & words[i + 2]! & words[i + 4]! & words[i + 6]! & 3) !== 3) break;
  for (const end = at + count * 2; i < end; i += 2) if ((words[i]! & 3) !== 3) break;
  return (i - at) >> 1;
}
