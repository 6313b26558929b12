/** Taking tables out that hold nothing any more (Linux mm/memory.c `free_pgtables`, for the tables of a process). */
import type { IommuPagesList } from '@smmu/iommu-pages';
import type { Pa } from '@smmu/platform';
import type { TableCore } from './core.ts';

/**
 * Unlinks the tables below `table` that cover nothing outside `[start, end)` and puts them on `list`.
 * @param first - First offset that `table` covers.
 * @returns Whether there was any.
 */
export function detachTables(
  core: TableCore,
  table: Pa,
  level: number,
  first: number,
  start: number,
  end: number,
  list: IommuPagesList,
): boolean {
  if (level === 3) return false;
  const { memory } = core;
  const span = core.spanOf(level);
  let any = false;
  // From the entry that `start` is in; `first` if that lies before the table.
  for (let va = Math.max(first, start - (start % span)); va < end; va += span) {
    if (va - first >= core.tableSpan(level)) break;
    const entry = table + core.indexAt(va, level) * 8;
    memory.read64(entry);
    if (!core.isTable(level)) continue;
    const below = core.loadedAddress();
    if (va >= start && va + span <= end) {
      core.store(entry, level, va, 0, 0);
      if (core.options.allocator !== undefined) core.flushWalk(va, span); // it takes tables back at once
      core.freeTree(below, level + 1, list);
      any = true;
    } else any = detachTables(core, below, level + 1, va, start, end, list) || any;
  }
  return any;
}
