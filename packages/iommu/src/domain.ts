/** An address space that devices can be attached to (Linux `struct iommu_domain` and `iommu_domain_ops`). */
import type { Iova, Pa } from '@smmu/platform';
import type { Device } from './device.ts';
import type { IopfGroupLike } from './fault.ts';

/**
 * `blocked`: every transaction aborts. `identity`: addresses pass unchanged. `dma`: the DMA API hands out addresses.
 * `unmanaged`: the caller maps. `sva`: a process's own page table. `nested`: a guest's stage 1 on the host's stage 2.
 */
export type DomainType = 'blocked' | 'identity' | 'dma' | 'unmanaged' | 'sva' | 'nested';

/** Protection bits of a mapping, as Linux's `IOMMU_*` in include/linux/iommu.h. */
export const PROT: {
  readonly READ: 1;
  readonly WRITE: 2;
  /** The device snoops the CPU's caches. */
  readonly CACHE: 4;
  readonly NOEXEC: 8;
  /** Device memory, such as an interrupt doorbell. */
  readonly MMIO: 16;
  /** Only for privileged transactions. */
  readonly PRIV: 32;
} = { READ: 1, WRITE: 2, CACHE: 4, NOEXEC: 8, MMIO: 16, PRIV: 32 };

/**
 * What unmapping leaves to be done at the next {@link Domain.iotlbSync} (Linux `struct iommu_iotlb_gather`).
 * A domain makes its own with {@link Domain.newGather}: `freelist` is the page table code's.
 */
export interface Gather {
  /** First and last byte of what has been unmapped so far; `start > last` if nothing has. */
  start: Iova;
  last: Iova;
  /** Bytes of the pages gathered; 0 if nothing has been. */
  pageBytes: number;
  /** Tables that may be freed only after the sync. */
  readonly freelist: unknown;
  reset(): void;
}

/**
 * Implemented by IOMMU drivers. A method that is missing is one that the domain cannot do (`EOPNOTSUPP`).
 * All calls for one domain come from {@link Iommu}, which keeps the group's members together.
 */
export interface Domain {
  readonly type: DomainType;
  /** Page sizes that `mapPages` takes, in bytes, any order. */
  readonly pageSizes?: readonly number[] | undefined;
  /** Input addresses that it can map, `last` inclusive. */
  readonly geometry?: { readonly start: Iova; readonly last: Iova } | undefined;
  /** Puts `device` into this domain, out of whichever it was in. Throws with nothing changed if it cannot. */
  attachDevice(device: Device): void;
  /**
   * Puts the transactions of `device` with `pasid` into this domain. `old` is the domain that they leave, if any;
   * the change must have no moment in between. Throws with nothing changed if it cannot.
   */
  attachPasid?(device: Device, pasid: number, old: Domain | undefined): void;
  /**
   * Takes `pasid` of `device` out of this domain; cannot fail. On return no transaction of it is translated any more, and
   * no fault of it is on its way: the driver has emptied its own fault records and flushed the fault queue.
   */
  detachPasid?(device: Device, pasid: number): void;
  /**
   * Maps `count` pages of `pageBytes` bytes. Returns the bytes mapped, which may be fewer: it is then called again for
   * the rest. Throws with nothing of this call left mapped if it cannot (`EEXIST`, `ENOMEM`, `ERANGE`).
   */
  mapPages?(iova: Iova, pa: Pa, pageBytes: number, count: number, prot: number): number;
  /** Unmaps up to `count` pages. Returns the bytes unmapped (a block may be more than one page); 0 ends the run. */
  unmapPages?(iova: Iova, pageBytes: number, count: number, gather: Gather): number;
  /** Invalidates what was gathered, then frees the tables in it, and resets it. */
  iotlbSync?(gather: Gather): void;
  /** Called after new mappings were made, for hardware that caches their absence. */
  iotlbSyncMap?(iova: Iova, bytes: number): void;
  /** Invalidates everything that is cached of this domain. */
  flushIotlbAll?(): void;
  newGather?(): Gather;
  /** Where `iova` leads, or -1 if it is not mapped. */
  iovaToPhys?(iova: Iova): Pa | -1;
  /** Handles recoverable faults of this domain's transactions; runs later, in process context. Must see to an answer. */
  iopfHandler?: ((group: IopfGroupLike) => void) | undefined;
  /** Gives everything back. Called with no device attached. */
  free(): void;
}
