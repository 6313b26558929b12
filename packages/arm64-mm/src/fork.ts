/**
 * A copy of an address space (Linux kernel/fork.c `dup_mmap`, mm/memory.c `copy_page_range`). Anonymous pages are
 * shared until either side writes; pages of files are found again in the page cache by a fault.
 */
import { PTE_AF_LO, PTE_AP_RDONLY_LO, PTE_DBM_HI } from '@smmu/io-pgtable-arm/descriptors';
import { IommuError } from '@smmu/platform';
import { forEachEntry } from './entries.ts';
import { entryFor } from './fault.ts';
import type { Mm } from './mm.ts';
import { isWritable, mayBeCached } from './pte.ts';
import { addMapping } from './rmap.ts';
import { TlbGather } from './tlb.ts';

/**
 * Gives `child`, which is new and empty, what `parent` has.
 * @throws {@link IommuError} `ENOMEM` if there is no memory for its tables; the caller drops the child then.
 */
export function copyMappings(parent: Mm, child: Mm): void {
  const { zone } = parent;
  const { memory, granuleBytes } = zone;
  const gather = new TlbGather();
  try {
    for (let i = 0; i < parent.areas.count; i++) {
      const area = parent.areas.at(i)!;
      child.areas.insert(area.part(area.start, area.end));
      if (area.kind === 'shared' || parent.residentPages === 0) continue;
      forEachEntry(parent, area.start, area.end, (entry, va) => {
        const page = zone.pageOf(memory.lo, memory.hi);
        if (page.cache !== null) return;
        const childEntry = entryFor(child, va);
        if (childEntry < 0) throw new IommuError('ENOMEM', `fork of ${parent.name}: no memory for tables`);
        memory.read64(entry); // again: hardware went on while memory was looked for
        const { lo, hi } = memory;
        const readOnly = (lo | PTE_AP_RDONLY_LO) >>> 0;
        const unwritable = (hi & ~PTE_DBM_HI) >>> 0;
        if (isWritable(lo, hi)) {
          memory.write64(entry, readOnly, unwritable);
          if (mayBeCached(lo)) gather.touch(va, va + granuleBytes);
        }
        addMapping(page, child, va);
        child.residentPages += 1;
        memory.write64(childEntry, readOnly | PTE_AF_LO, unwritable);
      });
    }
  } finally {
    gather.finish(parent); // also for a fork that failed: what is read-only now must be so for devices
  }
}
