/**
 * Page faults, of CPUs and devices alike (Linux mm/memory.c `handle_mm_fault`; drivers/iommu/iommu-sva.c for what a
 * device may ask).
 *
 * A fault that succeeds leaves an entry that allows the access, unless reclaim takes it away again at once. One that
 * does not succeed leaves the mapping as it was; empty tables may stay behind until the area is unmapped.
 */
import { PTE_AF_LO, PTE_AP_RDONLY_LO, PTE_DBM_HI } from '@smmu/io-pgtable-arm/descriptors';
import { IommuError, type Pa, type Va } from '@smmu/platform';
import type { Area } from './area.ts';
import { dropMapping, entryHi, entryLo } from './entries.ts';
import type { Mm } from './mm.ts';
import type { Page } from './page.ts';
import { mayBeCached } from './pte.ts';
import { addMapping } from './rmap.ts';
import { flushTlb, TlbGather } from './tlb.ts';

/** An access that needs a page. */
export interface Access {
  readonly read: boolean;
  readonly write: boolean;
  readonly exec: boolean;
  /** Unprivileged. A process's pages are never executable with privilege. */
  readonly user: boolean;
}

/**
 * How a fault ended (Linux `vm_fault_t`): `badAddress` no area or a guard (SEGV_MAPERR), `badAccess` the area forbids it
 * (SEGV_ACCERR), `busError` beyond the end of the file or unreadable (SIGBUS), `outOfMemory` nothing can be reclaimed.
 */
export type FaultResult = 'done' | 'badAddress' | 'badAccess' | 'busError' | 'outOfMemory';

/** Does what {@link Mm.handleFault} says. */
export function handleFault(mm: Mm, address: Va, access: Access): FaultResult {
  const { zone, areas } = mm;
  zone.counters.faults += 1;
  const area = areas.find(address);
  if (area === undefined || area.kind === 'guard') return 'badAddress';
  if (!area.accessible || (access.write && !area.write) || (access.exec && !(area.exec && access.user)))
    return 'badAccess';
  const va = address - (address % zone.granuleBytes);
  const entry = entryFor(mm, va);
  if (entry < 0) return 'outOfMemory';
  const { memory } = zone;
  memory.read64(entry);
  const { lo, hi } = memory;
  if (lo === 0) return fillEntry(mm, area, va, entry, access.write);
  if (access.write && (lo & PTE_AP_RDONLY_LO) !== 0) return makeWritable(mm, area, va, entry, lo, hi);
  // Somebody was faster, or only the access flag is missing, which no TLB can hold against us.
  if ((lo & PTE_AF_LO) === 0) memory.write64(entry, lo | PTE_AF_LO, hi);
  return 'done';
}

/** The entry of `va`, with the tables on the way to it; -1 if there is no memory for one. */
export function entryFor(mm: Mm, va: Va): Pa {
  const entry = mm.entryAt(va, false);
  if (entry >= 0) return entry;
  try {
    return mm.zone.withReclaim(() => mm.entryAt(va, true));
  } catch (error) {
    if (error instanceof IommuError && error.code === 'ENOMEM') return -1;
    throw error;
  }
}

/** A page for an entry that names none (Linux `do_pte_missing`). */
function fillEntry(mm: Mm, area: Area, va: Va, entry: Pa, write: boolean): FaultResult {
  const { zone } = mm;
  let page: Page | null;
  if (area.cache === null) {
    if (write) {
      if ((page = zone.allocate()) === null) return 'outOfMemory';
      zone.clear(page);
    } else if ((page = zeroPage(mm)) === null) return 'outOfMemory';
  } else {
    const offset = area.offsetOf(va);
    if (area.cache.isBeyondEnd(offset)) return 'busError';
    const cached = area.cache.read(offset);
    if (cached === undefined) return 'busError';
    if (cached === null) return 'outOfMemory';
    page = cached;
    if (write && area.kind === 'shared') page.dirty = true;
    if (write && area.kind === 'private' && (page = copyOf(mm, page)) === null) return 'outOfMemory';
  }
  mm.residentPages += 1;
  addMapping(page, mm, va);
  zone.memory.write64(entry, entryLo(zone, area, page), entryHi(zone, area, page));
  return 'done';
}

/** The page that untouched memory reads from: one for all, until it is written to. */
function zeroPage(mm: Mm): Page | null {
  const { zone } = mm;
  if (zone.zeroPage !== null) return zone.zeroPage;
  const page = zone.allocate();
  if (page !== null) zone.clear(page);
  return (zone.zeroPage = page);
}

/** A private copy of a page, which stays while memory for the copy is looked for. */
function copyOf(mm: Mm, page: Page): Page | null {
  const { zone } = mm;
  page.pins += 1;
  const copy = zone.allocate();
  page.pins -= 1;
  if (copy === null) return null;
  if (page === zone.zeroPage) zone.clear(copy);
  else zone.copy(page, copy);
  zone.counters.pagesCopied += 1;
  return copy;
}

/** A write to a page that is mapped read-only (Linux `do_wp_page`). */
function makeWritable(mm: Mm, area: Area, va: Va, entry: Pa, lo: number, hi: number): FaultResult {
  const { zone } = mm;
  const { memory, granuleBytes } = zone;
  const page = zone.pageOf(lo, hi);
  const own = page.cache === null && page !== zone.zeroPage && page.mapCount === 1;
  if (area.kind === 'shared' || own) {
    page.dirty = page.cache !== null;
    memory.write64(entry, (lo & ~PTE_AP_RDONLY_LO) | PTE_AF_LO, hi | PTE_DBM_HI);
    // A device that has the read-only entry in its TLB would fault for ever (Linux `__ptep_set_access_flags`).
    if (mayBeCached(lo)) flushTlb(mm, va, va + granuleBytes - 1);
    return 'done';
  }
  const copy = copyOf(mm, page);
  if (copy === null) return 'outOfMemory';
  // Break before make: at no time may one address lead to two pages (Arm DDI 0487 §D8.16.1; Linux `wp_page_copy`).
  memory.read64(entry); // again: hardware went on while memory was looked for, and may have set the access flag
  const cached = mayBeCached(memory.lo);
  memory.write64(entry, 0, 0);
  const gather = new TlbGather();
  if (cached) gather.touch(va, va + granuleBytes);
  dropMapping(mm, va, page, gather);
  gather.finish(mm);
  mm.residentPages += 1;
  addMapping(copy, mm, va);
  memory.write64(entry, entryLo(zone, area, copy), entryHi(zone, area, copy));
  return 'done';
}
