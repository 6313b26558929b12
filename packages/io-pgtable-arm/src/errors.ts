import { hex, IommuError, type Iova, type Pa } from '@smmu/platform';

/** An entry that is in the way of a mapping. */
export interface ExistingEntry {
  /** Input address that was to be mapped. */
  readonly iova: Iova;
  readonly level: number;
  /** Address of the entry, and its words. */
  readonly entryPa: Pa;
  readonly lo: number;
  readonly hi: number;
  readonly kind: 'table' | 'block' | 'page';
  /** Where the entry leads: its output, or the next table. */
  readonly pa: Pa;
}

/** Something is mapped there already (Linux `arm_lpae_init_pte` returns -EEXIST and warns). */
export class MapConflictError extends IommuError {
  override readonly name = 'MapConflictError';
  readonly existing: ExistingEntry;
  constructor(existing: ExistingEntry) {
    const { iova, level, kind, lo, hi, pa } = existing;
    const entry = `0x${hi.toString(16).padStart(8, '0')}_${lo.toString(16).padStart(8, '0')}`;
    super('EEXIST', `${hex(iova)} is mapped: a level ${level} ${kind} to ${hex(pa)} (${entry}) is in the way`);
    this.existing = existing;
  }
}

/** A store that a walker must not see: an entry changed size or output without having been invalid in between. */
export class BreakBeforeMakeError extends IommuError {
  override readonly name = 'BreakBeforeMakeError';
  readonly entryPa: Pa;
  constructor(entryPa: Pa, level: number, why: string) {
    super('EINVAL', `level ${level} entry at ${hex(entryPa)}: ${why}`);
    this.entryPa = entryPa;
  }
}
