/**
 * Which pages were written: hardware marks a writable entry dirty by clearing AP[2], or at stage 2 by setting S2AP[1],
 * where DBM allows it (Arm DDI 0487 §D8.5.2; Linux io-pgtable-arm.c `arm_lpae_read_and_clear_dirty`, which has stage 1
 * only).
 */
import type { Iova } from '@smmu/platform';
import type { TableCore } from './core.ts';
import { PTE_AP_RDONLY_LO, PTE_DBM_HI, PTE_S2_WRITE_LO } from './descriptors.ts';
import type { IotlbGather } from './gather.ts';

export interface DirtyOptions {
  /** Leave the entries dirty (Linux `IOMMU_DIRTY_NO_CLEAR`). */
  readonly keep?: boolean;
  /** Where what was cleared is noted. Until that is invalidated, a write through a TLB may leave no mark. */
  readonly gather?: IotlbGather;
}

/** Calls `record` for each dirty leaf that meets `[start, end)`. Returns how many there were. */
export function readAndClearDirty(
  core: TableCore,
  start: number,
  end: number,
  record: (iova: Iova, bytes: number) => void,
  { keep = false, gather }: DirtyOptions,
): number {
  const { memory, coherence } = core;
  const stage1 = core.options.stage === 1;
  let dirty = 0;
  for (let va = start; va < end; ) {
    const level = core.descend(va, 3);
    const entry = core.entry;
    const span = core.spanOf(level);
    const first = va - (va % span);
    if (!coherence.coherent) {
      coherence.syncForCpu(entry, 8);
      memory.read64(entry);
    }
    const { lo, hi } = memory;
    const writable = stage1 ? (lo & PTE_AP_RDONLY_LO) === 0 : (lo & PTE_S2_WRITE_LO) !== 0;
    if (core.isLeaf(level) && (hi & PTE_DBM_HI) !== 0 && writable) {
      dirty += 1;
      if (!keep) {
        core.store(entry, level, first, stage1 ? lo | PTE_AP_RDONLY_LO : lo & ~PTE_S2_WRITE_LO, hi);
        gather?.add(core.base + first, span, span);
      }
      record(core.base + first, span);
    }
    va = first + span;
  }
  return dirty;
}
