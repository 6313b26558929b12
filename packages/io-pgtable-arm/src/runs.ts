/**
 * The two bulk loops. Each is a function of its own with small integers only: the same loop inside a larger function
 * runs less than half as fast.
 */

/**
 * Writes `count` leaves from `words[at]` on, the low word growing by `step` each time, until one is in the way.
 * The low words must not wrap. Returns how many were written.
 */
export function fillRun(words: Uint32Array, at: number, count: number, lo: number, hi: number, step: number): number {
  const end = at + count * 2;
  for (let i = at; i < end; i += 2) {
    if ((words[i]! & 1) !== 0) return (i - at) >> 1;
    words[i] = lo;
    words[i + 1] = hi;
    lo = (lo + step) | 0;
  }
  return count;
}

/** How many of `count` entries from `words[at]` on are pages, one after another. */
export function countPages(words: Uint32Array, at: number, count: number): number {
  let i = at;
  for (const end = at + (count & ~3) * 2; i < end; i += 8)
    if ((words[i]! & words[i + 2]! & words[i + 4]! & words[i + 6]! & 3) !== 3) break;
  for (const end = at + count * 2; i < end; i += 2) if ((words[i]! & 3) !== 3) break;
  return (i - at) >> 1;
}
