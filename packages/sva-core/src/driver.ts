/** What an IOMMU driver adds so that its devices can share address spaces (Linux `struct iommu_ops`, its SVA part). */
import type { Mm } from '@smmu/arm64-mm';
import type { Device, Domain, IommuDriver } from '@smmu/iommu';

/** The device's faults are recoverable: nothing has to be pinned (`IOMMU_SVA_FEAT_IOPF`). */
export const SVA_IOPF = 1;

export interface SvaDriver extends IommuDriver {
  /** Why `device` cannot share address spaces, as a sentence with values; `undefined` if it can. */
  svaSupport(device: Device): string | undefined;
  /** Prepares `device` for `features`. Throws with everything given back if it cannot. */
  enableSva(device: Device, features: number): void;
  disableSva(device: Device): void;
  /** A domain on the process's own page tables. It registers its own notifier with `mm`. */
  allocSvaDomain(device: Device, mm: Mm): Domain;
}

/** The driver as one that can share address spaces, or `undefined`. */
export const asSvaDriver = (driver: IommuDriver | undefined): SvaDriver | undefined =>
  driver !== undefined && 'allocSvaDomain' in driver ? (driver as SvaDriver) : undefined;
