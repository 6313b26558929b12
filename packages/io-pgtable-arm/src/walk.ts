/** The way that a walker takes, entry by entry (Linux io-pgtable-arm.c `arm_lpae_pgtable_walk`). */
import type { Pa } from '@smmu/platform';
import { type DescriptorKind, descriptorKind } from '@smmu/spec';
import type { TableCore } from './core.ts';

/** One entry on the way. */
export interface WalkLevel {
  readonly level: number;
  readonly tablePa: Pa;
  readonly index: number;
  readonly entryPa: Pa;
  readonly lo: number;
  readonly hi: number;
  readonly kind: DescriptorKind;
  /** The next table, or what the leaf maps; -1 if the entry is invalid. */
  readonly pa: Pa;
}

export function walk(core: TableCore, va: number): WalkLevel[] {
  const { memory } = core;
  const levels: WalkLevel[] = [];
  let tablePa = core.rootPa;
  for (let level = core.startLevel; ; level++) {
    const index = core.indexAt(va, level);
    const entryPa = tablePa + index * 8;
    memory.read64(entryPa);
    const { lo, hi } = memory;
    const kind = descriptorKind(lo, level);
    const pa = kind === 'invalid' ? -1 : kind === 'table' ? core.loadedAddress() : core.outputOf(lo, hi, level);
    levels.push({ level, tablePa, index, entryPa, lo, hi, kind, pa });
    if (kind !== 'table') return levels;
    tablePa = pa;
  }
}
