/**
 * What an IOMMU driver reports about its devices' faults: recoverable ones (page requests and stalls), which are
 * answered, and unrecoverable ones, which are told (Linux `struct iommu_fault`, include/linux/iommu.h).
 */
import type { Iova } from '@smmu/platform';
import type { Device } from './device.ts';
import type { Domain } from './domain.ts';

/** `pasid` of a fault whose transaction carried none. (Zero is a PASID: the one that Linux keeps for itself.) */
export const NO_PASID = -1;

/**
 * One recoverable fault: a stalled transaction, or a page request of a PCI function.
 * `last` with neither read, write nor exec is PCIe's stop marker (10.4.1.2.1): no answer is expected.
 */
export interface IopfFault {
  /** PASID of the transaction, or {@link NO_PASID}. */
  readonly pasid: number;
  /** What the answer names: the STAG of a stall, the index of a page request group. */
  readonly groupId: number;
  /** Faulting page: input address, 4 KiB aligned. */
  readonly address: Iova;
  readonly read: boolean;
  readonly write: boolean;
  readonly exec: boolean;
  readonly privileged: boolean;
  /** The last of its group; only then is the group handled and answered. A stall is always one. */
  readonly last: boolean;
}

/**
 * The answer to a group. `success`: try again. `invalid`: this address will not work (Linux `IOMMU_PAGE_RESP_INVALID`).
 * `failure`: page requests of this device do not work at all; a PCI function then stops asking.
 */
export type PageResponse = 'success' | 'invalid' | 'failure';

/** A group of recoverable faults on its way to be handled, as `@smmu/io-pgfault` makes them. */
export interface IopfGroupLike {
  readonly device: Device;
  /** In the order of arrival; all of one PASID. The last one has `last` set. */
  readonly faults: readonly IopfFault[];
  /** The domain that was attached when the last fault arrived. */
  readonly domain: Domain;
  /** Counts the groups of a queue, from 1. */
  readonly sequence: number;
  /** `sequence` of the newest group of the same queue: what has arrived until now. */
  readonly newest: number;
  /** Whether an answer is still wanted: false once it was given, by whomever. */
  readonly pending: boolean;
  /** Answers the group. Returns false if it was answered already; the answer is then dropped. */
  respond(response: PageResponse): boolean;
}

/** Who takes a device's recoverable faults (Linux `dev->iommu->fault_param`). `@smmu/io-pgfault`'s queue is one. */
export interface FaultSink {
  readonly name: string;
  /** Takes a fault. Returns false if it could not: a last fault has then been answered `invalid`. */
  report(device: Device, fault: IopfFault): boolean;
}

/** One unrecoverable fault: the transaction was aborted and nothing will bring it back. */
export interface DeviceFault {
  /** PASID of the transaction, or {@link NO_PASID}. */
  readonly pasid: number;
  /** Input address. */
  readonly address: Iova;
  readonly read: boolean;
  readonly write: boolean;
  readonly exec: boolean;
  readonly privileged: boolean;
  /** The hardware's name for it, such as `F_TRANSLATION`. */
  readonly reason: string;
}

/** Takes unrecoverable faults of a domain (Linux `iommu_fault_handler_t`). Returns whether it knew what to do. */
export type DeviceFaultHandler = (device: Device, fault: DeviceFault) => boolean;
