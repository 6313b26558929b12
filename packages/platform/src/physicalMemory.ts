import type { Pa } from './address.ts';

/**
 * Physical memory as a bus master sees it: an SMMU's table walker, a device's DMA engine, a dump of somebody else's
 * machine. Nothing throws: an address that nobody answers is an external abort, and the method returns false.
 *
 * Values are little-endian. A dword is handed over as two unsigned 32-bit halves in `lo` and `hi`, because a `bigint`
 * would cost more than the access.
 */
export interface PhysicalMemory {
  /** Low word of the dword, or the word, that the last read or compare-and-swap found. */
  lo: number;
  /** High word of the dword that the last read or compare-and-swap found. */
  hi: number;
  /** Reads the word at `pa` (4-byte aligned) into `lo`. Returns false on an external abort. */
  read32(pa: Pa): boolean;
  /** Writes a word at `pa` (4-byte aligned). Returns false on an external abort. */
  write32(pa: Pa, value: number): boolean;
  /** Reads the dword at `pa` (8-byte aligned) into `lo` and `hi`, single-copy atomic. Returns false on an external abort. */
  read64(pa: Pa): boolean;
  /** Writes a dword at `pa` (8-byte aligned), single-copy atomic. Returns false on an external abort. */
  write64(pa: Pa, lo: number, hi: number): boolean;
  /**
   * Atomically replaces the dword at `pa` (8-byte aligned) if it equals the expected one. `lo` and `hi` hold what was
   * there before, so the swap happened if they equal the expected halves. Returns false on an external abort.
   */
  compareExchange64(pa: Pa, expectedLo: number, expectedHi: number, lo: number, hi: number): boolean;
  /** Copies `length` bytes from `pa` into `target` at `start`. Returns false on an external abort, having copied a part. */
  readBytes(pa: Pa, target: Uint8Array, start: number, length: number): boolean;
  /** Copies `length` bytes of `source` from `start` to `pa`. Returns false on an external abort, having copied a part. */
  writeBytes(pa: Pa, source: Uint8Array, start: number, length: number): boolean;
}
