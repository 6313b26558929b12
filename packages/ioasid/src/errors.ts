/** Why no ID was given. Linux logs one line for all three causes, and its users ask which limit they hit. */
import { IommuError } from '@smmu/platform';

/** No ID of the asked range is left (Linux `ioasid_alloc` → `INVALID_IOASID`, `iommu_alloc_global_pasid` → `-ENOSPC`). */
export class RangeExhaustedError extends IommuError {
  override readonly name = 'RangeExhaustedError';
  /** First ID that would have done. */
  readonly min: number;
  /** Last ID that would have done. */
  readonly max: number;
  /** IDs of the whole allocator that only wait for the end of their quarantine. */
  readonly quarantined: number;
  constructor(min: number, max: number, quarantined: number) {
    const waiting = quarantined > 0 ? `; ${quarantined} wait in quarantine, endQuarantine gives them back` : '';
    super('ENOSPC', `every ID in [${min}, ${max}] is in use${waiting}`);
    this.min = min;
    this.max = max;
    this.quarantined = quarantined;
  }
}

/** The set holds as many IDs as it may, whether or not the range has free ones. */
export class QuotaReachedError extends IommuError {
  override readonly name = 'QuotaReachedError';
  /** Name of the set. */
  readonly set: string;
  readonly quota: number;
  constructor(set: string, quota: number) {
    super('ENOSPC', `set ${set} holds its quota of ${quota} IDs; put one back or raise the quota`);
    this.set = set;
    this.quota = quota;
  }
}

/** An ID is asked for, or was given, that needs more bits than allowed (Linux `iommu_sva_alloc_pasid` → `-EOVERFLOW`). */
export class IdTooWideError extends IommuError {
  override readonly name = 'IdTooWideError';
  /** The ID in question. */
  readonly id: number;
  /** Largest ID allowed there. */
  readonly max: number;
  constructor(id: number, max: number) {
    super('EOVERFLOW', `ID ${id} is above ${max}, the largest that is allowed here`);
    this.id = id;
    this.max = max;
  }
}
