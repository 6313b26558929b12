/** What an IOMMU driver implements (Linux `struct iommu_ops`, include/linux/iommu.h). */
import type { Device } from './device.ts';
import type { Domain, DomainType } from './domain.ts';
import type { IopfFault, PageResponse } from './fault.ts';
import type { ReservedRegion } from './reservedRegions.ts';

/** One IOMMU: a driver instance per hardware instance. */
export interface IommuDriver {
  /** Instance, as the kernel names it: `arm-smmu-v3.0.auto`. */
  readonly name: string;
  /** Every transaction aborts. Devices are attached to it when they are released. */
  readonly blockedDomain: Domain;
  /** Addresses pass unchanged. */
  readonly identityDomain: Domain;
  /** Whether the firmware tables put `device` behind this IOMMU. */
  claims(device: Device): boolean;
  /** Prepares for `device`. Throws with everything given back if it cannot. */
  probeDevice(device: Device): void;
  /** Forgets `device`; it is attached to the blocked domain. */
  releaseDevice(device: Device): void;
  /** Which devices cannot be told apart: those with the same answer share a group. Default: {@link Device.isolation}. */
  deviceGroup?(device: Device): string | undefined;
  /** The type that `device` must have by default, where the hardware leaves no choice. */
  defaultDomainType?(device: Device): DomainType | undefined;
  allocDomain(type: 'dma' | 'unmanaged', device: Device): Domain;
  /** PASIDs that `device` can use behind this IOMMU, 0 included; 0 or 1: none. */
  maxPasids(device: Device): number;
  /** Address ranges that are not for ordinary mappings of `device`. */
  reservedRegions?(device: Device): ReservedRegion[];
  /** Faults of unknown PASIDs belong to the nested domain of the device: its guest owns the PASID table. */
  readonly userPasidTable?: boolean;
  /** Sends the answer of a group to the hardware. `fault` is the group's last. */
  pageResponse(device: Device, fault: IopfFault, response: PageResponse): void;
}
