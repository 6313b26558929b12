/**
 * The contiguous hint: an aligned run of entries that a TLB may keep as one (Arm DDI 0487 §D8.7.1; what Linux does for
 * processes in arch/arm64/mm/contpte.c). It is set when a whole run is mapped at once and goes for the whole run.
 */
import type { TableCore } from './core.ts';
import { PTE_CONT_HI, PTE_VALID_LO } from './descriptors.ts';

/**
 * Where whole runs are among `count` entries from `va` to `pa` on.
 * @returns Entries before the first run, or -1 if there is no whole run.
 */
export function entriesBeforeRun(core: TableCore, va: number, pa: number, count: number, level: number): number {
  if (core.options.contiguous !== true) return -1;
  const run = runEntries(core, level);
  const span = core.spanOf(level);
  const bytes = run * span;
  if (run === 1 || bytes > core.limit || va % bytes !== pa % bytes) return -1;
  const before = (run - (va % bytes) / span) % run;
  return before + run <= count ? before : -1;
}

/** Entries of a run, 1 where the hint does not exist. */
export const runEntries = (core: TableCore, level: number): number => core.geometry.runEntries[Math.max(level, 0)]!;

/**
 * Takes the hint off the runs of which `[start, end)` has only a part; their entries stay.
 * Entries of a run that are valid must be told apart in all TLBs before one of them changes.
 */
export function leaveRuns(core: TableCore, start: number, end: number, level: number): void {
  if (core.options.contiguous !== true) return;
  const bytes = runEntries(core, level) * core.spanOf(level);
  if (start % bytes !== 0) leaveRun(core, start, level);
  if (end % bytes !== 0) leaveRun(core, end - core.spanOf(level), level);
}

function leaveRun(core: TableCore, va: number, level: number): void {
  const { memory } = core;
  const table = core.tableAt(va, level, false);
  if (table < 0) return;
  memory.read64(table + core.indexAt(va, level) * 8);
  if ((memory.lo & PTE_VALID_LO) === 0 || (memory.hi & PTE_CONT_HI) === 0) return;
  const run = runEntries(core, level);
  const span = core.spanOf(level);
  const start = va - (va % (run * span));
  const first = table + core.indexAt(start, level) * 8;
  if (core.options.bbmLevel === 2) {
    for (let i = 0; i < run; i++) {
      memory.read64(first + i * 8);
      core.store(first + i * 8, level, start + i * span, memory.lo, memory.hi & ~PTE_CONT_HI);
    }
    core.flushWalk(start, run * span);
    return;
  }
  const kept = new Uint32Array(run * 2); // hardware may set AF or dirty state until the moment an entry is cleared
  for (let i = 0; i < run; i++) {
    memory.read64(first + i * 8);
    kept[i * 2] = memory.lo;
    kept[i * 2 + 1] = memory.hi & ~PTE_CONT_HI;
    core.store(first + i * 8, level, start + i * span, 0, 0);
  }
  core.flushWalk(start, run * span);
  for (let i = 0; i < run; i++) core.store(first + i * 8, level, start + i * span, kept[i * 2]!, kept[i * 2 + 1]!);
}
