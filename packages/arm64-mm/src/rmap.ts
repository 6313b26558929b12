/**
 * From a page to the entries that name it (Linux mm/rmap.c). Only pages of files keep the way back: an anonymous page
 * is never taken away, so a count of its mappings is enough for it.
 */
import { PTE_AF_LO, PTE_AP_RDONLY_LO } from '@smmu/io-pgtable-arm/descriptors';
import type { Va } from '@smmu/platform';
import type { Mm } from './mm.ts';
import type { Page } from './page.ts';
import { isWritable, mayBeCached } from './pte.ts';
import type { TlbBatch } from './tlb.ts';

/** Notes that the entry of `mm` at `va` names `page` (Linux `folio_add_file_rmap_ptes`). */
export function addMapping(page: Page, mm: Mm, va: Va): void {
  page.mapCount += 1;
  if (page.cache === null) return;
  if (page.mm === null) {
    page.mm = mm;
    page.va = va;
    return;
  }
  page.others ??= new Map();
  const vas = page.others.get(mm);
  if (vas === undefined) page.others.set(mm, new Set([va]));
  else vas.add(va);
}

/** Undoes {@link addMapping} (Linux `folio_remove_rmap_ptes`). */
export function removeMapping(page: Page, mm: Mm, va: Va): void {
  page.mapCount -= 1;
  if (page.cache === null) return;
  if (page.mm === mm && page.va === va) {
    page.mm = null;
    return;
  }
  const vas = page.others!.get(mm)!;
  vas.delete(va);
  if (vas.size === 0) page.others!.delete(mm);
  if (page.others!.size === 0) page.others = null;
}

/** Calls `visit` for each entry that names a page of a file; `visit` may remove the mapping that it is shown. */
function forEachMapping(page: Page, visit: (mm: Mm, va: Va) => void): void {
  const { others } = page;
  if (page.mm !== null) visit(page.mm, page.va);
  if (others === null) return;
  for (const [mm, vas] of others) for (const va of vas) visit(mm, va);
}

/**
 * Whether a page was used since the last time, through any entry or one that is gone; forgets it (Linux
 * `folio_referenced`). The next use sets the access flag again, by a fault or by hardware that does so itself.
 */
export function testAndClearReferenced(page: Page, batch: TlbBatch): boolean {
  let referenced = page.referenced;
  page.referenced = false;
  forEachMapping(page, (mm, va) => {
    const { memory, granuleBytes } = mm.zone;
    const entry = mm.entryAt(va, false);
    memory.read64(entry);
    const { lo, hi } = memory;
    if ((lo & PTE_AF_LO) === 0) return;
    referenced = true;
    memory.write64(entry, lo & ~PTE_AF_LO, hi);
    if (mayBeCached(lo)) batch.add(mm, va, granuleBytes);
  });
  return referenced;
}

/** Takes every entry of a page away (Linux `try_to_unmap`). The page may only be touched after the batch is flushed. */
export function unmapEverywhere(page: Page, batch: TlbBatch): void {
  forEachMapping(page, (mm, va) => {
    const { memory, granuleBytes } = mm.zone;
    const entry = mm.entryAt(va, false);
    memory.read64(entry);
    const { lo, hi } = memory;
    memory.write64(entry, 0, 0);
    if (isWritable(lo, hi)) page.dirty = true; // hardware may know before software
    if (mayBeCached(lo)) batch.add(mm, va, granuleBytes);
    mm.residentPages -= 1;
    removeMapping(page, mm, va);
  });
}

/**
 * Makes every entry of a page read-only, so that the next write is noticed (Linux `folio_mkclean`).
 * @returns Whether the page has to be written.
 */
export function protectEverywhere(page: Page, batch: TlbBatch): boolean {
  forEachMapping(page, (mm, va) => {
    const { memory, granuleBytes } = mm.zone;
    const entry = mm.entryAt(va, false);
    memory.read64(entry);
    const { lo, hi } = memory;
    if (!isWritable(lo, hi)) return;
    page.dirty = true;
    memory.write64(entry, lo | PTE_AP_RDONLY_LO, hi);
    if (mayBeCached(lo)) batch.add(mm, va, granuleBytes);
  });
  return page.dirty;
}
