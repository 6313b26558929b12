/** Unmapping the long way: any size, any number, every case looked at (Linux io-pgtable-arm.c `__arm_lpae_unmap`). */
import { hex, type Iova } from '@smmu/platform';
import { leaveRuns } from './contiguous.ts';
import type { TableCore } from './core.ts';
import type { IotlbGather } from './gather.ts';
import { clearPages } from './leaves.ts';
import { checkRange, levelOf } from './range.ts';
import { splitBlock } from './split.ts';

/** Unmaps up to the first hole: see {@link ArmPageTable.unmapPages}. */
export function unmapMany(
  core: TableCore,
  iova: Iova,
  pageBytes: number,
  count: number,
  gather: IotlbGather | undefined,
): number {
  const level = levelOf(core, pageBytes);
  const va = checkRange(core, iova, pageBytes, count);
  const end = va + pageBytes * count;
  const { checker } = core;
  if (checker !== undefined && gather !== undefined) gather.onReset = (start, last) => checker.flushed(start, last);
  let at = va;
  while (at < end) {
    const found = core.descend(at, level);
    const span = core.spanOf(found);
    const { entry } = core;
    if (!core.isTable(found) && !core.isLeaf(found)) {
      if (!core.options.quirks?.noWarn) core.options.warn?.(`unmap of ${hex(core.base + at)}: nothing is mapped there`);
      break;
    }
    if (found < level && (at % span !== 0 || end - at < span)) {
      if (core.options.partialUnmap !== 'split') {
        core.options.warn?.(`unmap of ${hex(core.base + at)}: part of a block of ${hex(span)} bytes; it stays`);
        break;
      }
      splitBlock(core, entry, found, at - (at % span));
      continue;
    }
    if (core.isTable(found)) {
      const table = core.loadedAddress();
      core.store(entry, found, at, 0, 0);
      core.flushWalk(at, span);
      gather?.add(core.base + at, span, span); // before the table is listed: it may sync what it has
      core.freeTree(table, found + 1, gather?.freelist);
      at += span;
      continue;
    }
    const most = found === level ? Math.min((end - at) / span, core.entriesLeft(at, found)) : 1;
    leaveRuns(core, at, at + most * span, found);
    let cleared = 1;
    if (found === 3) cleared = clearPages(core, entry, at, most);
    else core.store(entry, found, at, 0, 0);
    gathered(core, gather, core.base + at, cleared, span);
    at += cleared * span;
  }
  return at - va;
}

function gathered(core: TableCore, gather: IotlbGather | undefined, iova: Iova, count: number, span: number): void {
  if (gather === undefined) return;
  gather.add(iova, count * span, span);
  if (core.tlb?.addPage !== undefined) for (let i = 0; i < count; i++) core.tlb.addPage(gather, iova + i * span, span);
}
