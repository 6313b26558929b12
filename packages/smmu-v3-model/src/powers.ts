/**
 * Powers of two on addresses. Shifts keep 32 bits, `%` and `**` on numbers this large cost more than a memory access;
 * a table and a multiplication are exact up to 2^53 and cost next to nothing.
 */

/** 2^n, for n from 0 to 63. */
export const POWER: Float64Array = Float64Array.from({ length: 64 }, (_, n) => 2 ** n);
const INVERSE = Float64Array.from({ length: 64 }, (_, n) => 2 ** -n);

/** `address` with the bits below `shift` zero. */
export const alignDown = (address: number, shift: number): number =>
  Math.floor(address * INVERSE[shift]!) * POWER[shift]!;

/** The bits of `address` below `shift`. */
export const lowBits = (address: number, shift: number): number =>
  address - Math.floor(address * INVERSE[shift]!) * POWER[shift]!;

/** The bits below `shift` of an address in two words. */
export function offsetOf(lo: number, hi: number, shift: number): number {
  if (shift < 32) return lo & ((1 << shift) - 1);
  return (lo >>> 0) + (hi & ((1 << (shift - 32)) - 1)) * 2 ** 32;
}
