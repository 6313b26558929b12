/** Mapping the long way: any size, any number, every case looked at (Linux io-pgtable-arm.c `__arm_lpae_map`). */
import { hex, IommuError, type Iova, type Pa } from '@smmu/platform';
import { entriesBeforeRun, runEntries } from './contiguous.ts';
import type { TableCore } from './core.ts';
import { PTE_CONT_HI, PTE_VALID_LO } from './descriptors.ts';
import { writeLeaves } from './leaves.ts';
import { checkRange, levelOf } from './range.ts';

/** Maps all or nothing: see {@link ArmPageTable.mapPages}. */
export function mapMany(core: TableCore, iova: Iova, pa: Pa, pageBytes: number, count: number, prot: number): number {
  const level = levelOf(core, pageBytes);
  const va = checkRange(core, iova, pageBytes, count);
  const bytes = pageBytes * count;
  if (pa % pageBytes !== 0) throw new IommuError('EINVAL', `output ${hex(pa)} is not aligned to ${hex(pageBytes)}`);
  if (!(pa >= 0 && pa + bytes <= core.outputLimit))
    throw new IommuError('ERANGE', `output ${hex(pa)}+${hex(bytes)} is beyond ${core.options.oasBits} bits`);
  const leafLo = core.leafLo[prot] ?? 0;
  if (leafLo === 0) throw new IommuError('EINVAL', `protection ${prot}: reading or writing must be allowed`);
  const lo = leafLo | core.leafType(level);
  const hi = core.leafHi[prot]!;
  let done = 0;
  try {
    while (done < bytes) {
      const at = va + done;
      const entry = core.tableAt(at, level, true) + core.indexAt(at, level) * 8;
      const most = Math.min((bytes - done) / pageBytes, core.entriesLeft(at, level));
      const clear = level === 3 ? most : clearWay(core, entry, at, most, level);
      const written = mapEntries(core, entry, at, pa + done, clear, level, lo, hi);
      done += written * pageBytes;
      if (written < most) {
        core.memory.read64(entry + written * 8);
        throw core.conflict(at + written * pageBytes, entry + written * 8, level);
      }
    }
  } catch (error) {
    takeBack(core, va, done, level);
    throw error;
  }
  return bytes;
}

/** Writes leaves inside one table, whole runs with the contiguous hint. Returns how many could be written. */
function mapEntries(
  core: TableCore,
  entry: Pa,
  va: number,
  pa: Pa,
  count: number,
  level: number,
  lo: number,
  hi: number,
): number {
  const before = entriesBeforeRun(core, va, pa, count, level);
  if (before < 0) return writeLeaves(core, entry, level, va, pa, count, lo, hi);
  const span = core.spanOf(level);
  const inRuns = count - before - ((count - before) % runEntries(core, level));
  let done = 0;
  for (const [length, hint] of [
    [before, 0],
    [inRuns, PTE_CONT_HI],
    [count - before - inRuns, 0],
  ] as const) {
    const first = entry + done * 8;
    const written = writeLeaves(core, first, level, va + done * span, pa + done * span, length, lo, hi | hint);
    done += written;
    if (written < length) break;
  }
  return done;
}

/** Unlinks empty tables where blocks shall go. Returns how many of `count` entries are then free, up to the first that is not. */
function clearWay(core: TableCore, entry: Pa, va: number, count: number, level: number): number {
  const span = core.spanOf(level);
  for (let i = 0; i < count; i++) {
    const one = entry + i * 8;
    core.memory.read64(one);
    if ((core.memory.lo & PTE_VALID_LO) === 0) continue;
    if (!core.isTable(level)) return i;
    const table = core.loadedAddress();
    if (!core.isEmpty(table, level + 1)) return i;
    core.store(one, level, va + i * span, 0, 0);
    core.flushWalk(va + i * span, span);
    core.freeTree(table, level + 1);
  }
  return count;
}

/** Unmaps what a failed call has mapped so far. */
function takeBack(core: TableCore, va: number, bytes: number, level: number): void {
  const span = core.spanOf(level);
  for (let at = va; at < va + bytes; at += span) {
    core.descend(at, level);
    core.store(core.entry, level, at, 0, 0);
  }
  if (bytes > 0) core.flushWalk(va, bytes);
}
