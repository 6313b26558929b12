/**
 * Index arithmetic of the circular queues: an index and above it a wrap bit, in one number. IHI 0070 §3.5.1; Linux
 * "Low-level queue manipulation functions".
 */

/** The indexes and wrap bits that count, for a queue of 2^`log2Size` entries. */
export const indexMask = (log2Size: number): number => (2 << log2Size) - 1;

export const isEmpty = (prod: number, cons: number, log2Size: number): boolean =>
  ((prod ^ cons) & indexMask(log2Size)) === 0;

/** Indexes equal, wraps differ. */
export const isFull = (prod: number, cons: number, log2Size: number): boolean =>
  ((prod ^ cons) & indexMask(log2Size)) === 1 << log2Size;

export const next = (index: number, log2Size: number): number => (index + 1) & indexMask(log2Size);

/** Position in memory. */
export const slot = (index: number, log2Size: number): number => index & ((1 << log2Size) - 1);
