/**
 * Recoverable faults on a process's address space: each page is brought in as for the process itself.
 * Linux `iommu_sva_handle_iopf` and `iommu_sva_handle_mm`, drivers/iommu/iommu-sva.c.
 */
import type { IopfFault, IopfGroupLike } from '@smmu/iommu';
import type { Bond } from './bond.ts';

/** What became of the faults of SVA domains. */
export interface SvaFaultStats {
  /** Pages brought in, or found to be there already. */
  resolved: number;
  /** Refused, as the process itself would have been: no area, no permission, beyond the end of a file. */
  refused: number;
  /** Refused because there was no memory. */
  outOfMemory: number;
  /** Refused because the process had exited, or the device was not bound to it any more. */
  exited: number;
  /** Refused because the device faulted on the same page again and again. */
  repeated: number;
}

/** Why a fault could not be resolved. */
type Verdict = keyof SvaFaultStats;

/**
 * Handles a group and answers it. The first fault that cannot be resolved decides for the whole group: a device cannot
 * use half an answer.
 * @param bond - Whose fault it is; `undefined` if it was unbound meanwhile.
 * @param maxRepeats - Faults in a row on one page, each after the last one's answer, that are still answered "try again".
 */
export function handleGroup(
  group: IopfGroupLike,
  bond: Bond | undefined,
  maxRepeats: number,
  stats: SvaFaultStats,
): void {
  if (bond === undefined || !bond.mm.tryGet()) {
    stats.exited += group.faults.length;
    group.respond('invalid');
    return;
  }
  let verdict: Verdict = 'resolved';
  try {
    for (const fault of group.faults) {
      verdict = handleOne(bond, fault, group, maxRepeats);
      stats[verdict] += 1;
      if (verdict !== 'resolved') break;
    }
  } finally {
    // Before the answer: the device may fault again as soon as it hears, and the count must know what came before.
    if (verdict === 'resolved') for (const { address } of group.faults) bond.repeats.answered(address, group.newest);
    bond.mm.put();
  }
  group.respond(verdict === 'resolved' ? 'success' : 'invalid');
}

function handleOne(bond: Bond, fault: IopfFault, group: IopfGroupLike, maxRepeats: number): Verdict {
  if (bond.repeats.count(fault.address, group.sequence) > maxRepeats) {
    bond.repeats.forget(fault.address);
    return 'repeated';
  }
  const { read, write, exec, privileged } = fault;
  const va: number = fault.address; // under SVA a device's address is the process's
  const result = bond.mm.handleFault(va, { read, write, exec, user: !privileged });
  if (result === 'done') return 'resolved';
  return result === 'outOfMemory' ? 'outOfMemory' : 'refused';
}
