/**
 * Passes over the entries of a range of addresses: taking pages away, changing what is allowed (Linux mm/memory.c
 * `unmap_page_range`, mm/mprotect.c `change_pte_range`). Entries change one at a time; the caller flushes afterwards.
 */
import { PTE_AF_LO } from '@smmu/io-pgtable-arm/descriptors';
import type { Pa, Va } from '@smmu/platform';
import type { Area } from './area.ts';
import type { Mm } from './mm.ts';
import type { Page } from './page.ts';
import { isWritable, mayBeCached } from './pte.ts';
import { removeMapping } from './rmap.ts';
import type { TlbGather } from './tlb.ts';
import type { Zone } from './zone.ts';

/** Calls `visit` for each entry of `[start, end)` that names a page; the entry's words are in `memory.lo` and `hi`. */
export function forEachEntry(mm: Mm, start: Va, end: Va, visit: (entry: Pa, va: Va) => void): void {
  const { zone } = mm;
  const { memory, granuleBytes } = zone;
  const tableSpan = granuleBytes * (granuleBytes / 8);
  for (let va = start; va < end; ) {
    let entry = mm.entryAt(va, false);
    const span = entry < 0 ? mm.tables.tableSpanAt(va as number) : tableSpan;
    const stop = Math.min(end, va - (va % span) + span);
    if (entry < 0) va = stop;
    for (; va < stop; va += granuleBytes, entry += 8) {
      memory.read64(entry);
      if (memory.lo !== 0) visit(entry, va);
    }
  }
}

/** Takes the pages of `[start, end)` away (Linux `zap_page_range_single`). Pages of files stay cached. */
export function zapRange(mm: Mm, start: Va, end: Va, gather: TlbGather): void {
  if (mm.residentPages === 0) return;
  const { zone } = mm;
  const { memory, granuleBytes } = zone;
  forEachEntry(mm, start, end, (entry, va) => {
    const { lo, hi } = memory;
    memory.write64(entry, 0, 0);
    if (mayBeCached(lo)) gather.touch(va, va + granuleBytes);
    const page = zone.pageOf(lo, hi);
    if (page.cache !== null) {
      if (isWritable(lo, hi)) page.dirty = true;
      if ((lo & PTE_AF_LO) !== 0) page.referenced = true;
    }
    dropMapping(mm, va, page, gather);
  });
}

/** Notes that an entry no longer names `page`, which goes with the gather if it is nobody's now. */
export function dropMapping(mm: Mm, va: Va, page: Page, gather: TlbGather): void {
  mm.residentPages -= 1;
  removeMapping(page, mm, va);
  if (page.mapCount > 0 || page.cache !== null) return;
  if (page === mm.zone.zeroPage) mm.zone.zeroPage = null;
  gather.free(page);
}

/** Makes the entries of a part of an area follow the area's protection (Linux `change_protection`). */
export function protectRange(mm: Mm, area: Area, gather: TlbGather): void {
  if (mm.residentPages === 0) return;
  const { zone } = mm;
  const { memory, granuleBytes } = zone;
  forEachEntry(mm, area.start, area.end, (entry, va) => {
    const { lo, hi } = memory;
    const page = zone.pageOf(lo, hi);
    if (page.cache !== null && isWritable(lo, hi)) page.dirty = true;
    const young = (lo & PTE_AF_LO) !== 0;
    const newLo = entryLo(zone, area, page);
    const newHi = entryHi(zone, area, page);
    const keptLo = young ? newLo : (newLo & ~PTE_AF_LO) >>> 0;
    if (keptLo === lo && newHi === hi) return;
    memory.write64(entry, keptLo, newHi);
    if (mayBeCached(lo)) gather.touch(va, va + granuleBytes);
  });
}

/** Whether a page may be written where it is: it is the file's own, or nobody else's. */
const mayWrite = (zone: Zone, area: Area, page: Page): boolean =>
  area.write && (area.kind === 'shared' || (page.cache === null && page.mapCount <= 1 && page !== zone.zeroPage));

/** Low word of the entry for `page` in `area`: a clean page of a file stays read-only until it is written. */
export const entryLo = (zone: Zone, area: Area, page: Page): number =>
  zone.pte.lo(page.pa, area.accessible, !mayWrite(zone, area, page) || (page.cache !== null && !page.dirty));

/** High word of that entry. */
export const entryHi = (zone: Zone, area: Area, page: Page): number =>
  zone.pte.hi(page.pa, mayWrite(zone, area, page), area.exec);
