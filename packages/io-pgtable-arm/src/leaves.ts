/**
 * Writing and clearing leaves in a row, inside one table (Linux io-pgtable-arm.c `__arm_lpae_init_pte`,
 * `__arm_lpae_clear_pte`). While somebody observes, each entry is one 64-bit store; else the bulk loops run.
 */
import type { Pa } from '@smmu/platform';
import type { TableCore } from './core.ts';
import { addressHi, addressLo, PTE_VALID_LO } from './descriptors.ts';
import { countPages, fillRun } from './runs.ts';

const GIB_4 = 2 ** 32;

/**
 * Writes `count` leaves that lead to `pa` and on, until one entry is in the way.
 * @param entry - First entry; all are in one table.
 * @param va - Offset that it covers first.
 * @param lo - Bits of the leaves but for the address, with the type.
 * @returns How many were written.
 */
export function writeLeaves(
  core: TableCore,
  entry: Pa,
  level: number,
  va: number,
  pa: Pa,
  count: number,
  lo: number,
  hi: number,
): number {
  const { memory, address, coherence } = core;
  const bytes = core.spanOf(level);
  if (memory.observer !== null || core.checker !== undefined) {
    for (let i = 0; i < count; i++) {
      memory.read64(entry + i * 8);
      if ((memory.lo & PTE_VALID_LO) !== 0) return i;
      const output = pa + i * bytes;
      core.store(
        entry + i * 8,
        level,
        va + i * bytes,
        addressLo(output, address) | lo,
        addressHi(output, address) | hi,
      );
    }
    return count;
  }
  const at = memory.at(entry);
  let done = 0;
  let output = pa;
  while (done < count) {
    // Up to where the low word would wrap; the upper word changes there.
    const room = bytes >= GIB_4 ? 1 : (GIB_4 - (output - Math.floor(output / GIB_4) * GIB_4)) / bytes;
    const most = Math.min(count - done, room);
    const first = addressLo(output, address) | lo;
    const written = fillRun(memory.words, at + done * 2, most, first, addressHi(output, address) | hi, bytes | 0);
    done += written;
    if (written < most) break;
    output += most * bytes;
  }
  if (!coherence.coherent && done > 0) coherence.syncForDevice(entry, done * 8);
  return done;
}

/** Clears the pages among `count` level 3 entries up to the first that is none. Returns how many were cleared. */
export function clearPages(core: TableCore, entry: Pa, va: number, count: number): number {
  const { memory, coherence } = core;
  const at = memory.at(entry);
  const pages = countPages(memory.words, at, count);
  if (memory.observer === null && core.checker === undefined) {
    memory.words.fill(0, at, at + pages * 2);
    if (!coherence.coherent && pages > 0) coherence.syncForDevice(entry, pages * 8);
  } else for (let i = 0; i < pages; i++) core.store(entry + i * 8, 3, va + i * core.granuleBytes, 0, 0);
  return pages;
}
