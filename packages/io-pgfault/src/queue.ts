/** Recoverable I/O page faults (Linux drivers/iommu/io-pgfault.c). */
import type { Device, Domain, Iommu, IommuDriver, IopfFault, IopfGroupLike, PageResponse } from '@smmu/iommu';
import { IommuError, type Scheduler } from '@smmu/platform';

const todo = (): never => {
  throw new IommuError('EOPNOTSUPP', 'not written yet');
};

export interface IopfQueueOptions {
  /** Virtual nanoseconds after which a group is answered `failure` by the queue itself; never if left out. */
  readonly responseTimeout?: number;
  /** Faults that may be held at once, partial ones included; 65,536 if left out. */
  readonly maxFaults?: number;
  /** Told of PCIe stop markers: no request of this PASID is on its way any more. */
  readonly onStopMarker?: (device: Device, pasid: number) => void;
}

/** Counters since the queue was made. */
export interface IopfStats {
  /** Groups handed in. */
  groups: number;
  faults: number;
  success: number;
  invalid: number;
  failure: number;
  /** Answers that came after the group had one already, and were dropped. */
  late: number;
  timeouts: number;
  /** Partial faults thrown away. */
  discarded: number;
  /** Faults refused for want of memory. */
  outOfMemory: number;
  /** Faults for which there was no domain with a handler. */
  unhandled: number;
  stopMarkers: number;
}

export class IopfGroup implements IopfGroupLike {
  readonly device: Device;
  readonly faults: readonly IopfFault[];
  readonly domain: Domain;
  readonly sequence: number;
  constructor(device: Device, faults: readonly IopfFault[], domain: Domain, sequence: number) {
    this.device = device;
    this.faults = faults;
    this.domain = domain;
    this.sequence = sequence;
  }
  get newest(): number {
    return todo();
  }
  get pending(): boolean {
    return todo();
  }
  respond(_response: PageResponse): boolean {
    return todo();
  }
}

export class IopfQueue {
  readonly name: string;
  readonly stats: IopfStats;
  constructor(_scheduler: Scheduler, name: string, _options: IopfQueueOptions = {}) {
    this.name = name;
    this.stats = todo();
  }
  /** Groups not answered yet. */
  get pending(): number {
    return todo();
  }
  /** Faults waiting for the last one of their group. */
  get partial(): number {
    return todo();
  }
  addDevice(_device: Device, _driver: IommuDriver, _iommu: Iommu): void {
    todo();
  }
  removeDevice(_device: Device): void {
    todo();
  }
  /** Returns whether the fault was taken; a last one that was not has been answered `invalid`. */
  report(_device: Device, _fault: IopfFault): boolean {
    return todo();
  }
  flushDevice(_device: Device): void {
    todo();
  }
  discardPartial(): void {
    todo();
  }
  free(): void {
    todo();
  }
}
