/**
 * A block becomes a table of smaller entries that map the same (what Linux io-pgtable-arm.c
 * `arm_lpae_split_blk_unmap` did until 6.13). How depends on what the walker tolerates: FEAT_BBM, IDR3.BBML.
 */
import type { Pa } from '@smmu/platform';
import { leaveRuns } from './contiguous.ts';
import type { TableCore } from './core.ts';
import { addressHi, addressLo, PTE_CONT_HI, PTE_NT_LO, PTE_TYPE_MASK_LO } from './descriptors.ts';
import { writeLeaves } from './leaves.ts';

/**
 * Splits the block at `entry`, which covers `va` on.
 * @throws {@link IommuError} `ENOMEM`, with nothing changed.
 */
export function splitBlock(core: TableCore, entry: Pa, level: number, va: number): void {
  const { memory, address } = core;
  const bytes = core.spanOf(level);
  const table = core.allocTable(core.granuleBytes);
  const tableLo = addressLo(table, address) | core.tableLo;
  const tableHi = addressHi(table, address) | core.tableHi;
  const bbmLevel = core.options.bbmLevel ?? 0;
  leaveRuns(core, va, va + bytes, level);
  memory.read64(entry);
  let { lo, hi } = memory;
  if (bbmLevel === 0) {
    core.store(entry, level, va, 0, 0);
    core.flushWalk(va, bytes);
    fillFrom(core, table, level, va, lo, hi);
    core.store(entry, level, va, tableLo, tableHi);
    return;
  }
  if (bbmLevel === 1) {
    core.store(entry, level, va, lo | PTE_NT_LO, hi);
    core.flushWalk(va, bytes);
  }
  for (;;) {
    memory.read64(entry);
    ({ lo, hi } = memory);
    fillFrom(core, table, level, va, lo, hi);
    // Meanwhile hardware may have set AF or dirty state in the block: then what was filled in is old.
    memory.read64(entry);
    if (memory.lo === lo && memory.hi === hi) break;
    memory.zero(table, core.granuleBytes);
  }
  core.store(entry, level, va, tableLo, tableHi);
  core.flushWalk(va, bytes);
}

/** Fills a table that nobody sees yet with what a block maps. */
function fillFrom(core: TableCore, table: Pa, level: number, va: number, lo: number, hi: number): void {
  const { address } = core;
  const pa = core.outputOf(lo, hi, level);
  const attributesLo = lo & ~(address.placedLo | (address.movedMax << address.movedShift) | PTE_TYPE_MASK_LO);
  const attributesHi = hi & ~(address.maskHi | PTE_CONT_HI);
  const below = level + 1;
  writeLeaves(core, table, below, va, pa, core.entries, attributesLo | core.leafType(below), attributesHi);
}
