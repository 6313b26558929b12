/**
 * A device whose faults a queue takes: its incomplete groups, and the way of its answers.
 * Linux `struct iommu_fault_param`, include/linux/iommu.h.
 */

import type { PageResponse } from '@smmu/iommu';
import { type Device, type Domain, type Iommu, type IommuDriver, type IopfFault, NO_PASID } from '@smmu/iommu';
import type { GroupOwner, IopfGroup } from './group.ts';
import type { Counters } from './stats.ts';

/** What the devices of one queue have in common. */
export interface Shared {
  /** `sequence` of the newest group. */
  newest: number;
  readonly counters: Counters;
  /** Called once for each group when its answer is known, before it is sent. */
  readonly answered: (group: IopfGroup) => void;
}

export class Producer implements GroupOwner {
  readonly device: Device;
  readonly #driver: IommuDriver;
  readonly #iommu: Iommu;
  readonly #shared: Shared;
  #partial: IopfFault[] = [];
  /** Faults held: partial ones, and those of groups not answered yet. */
  held = 0;

  constructor(device: Device, driver: IommuDriver, iommu: Iommu, shared: Shared) {
    this.device = device;
    this.#driver = driver;
    this.#iommu = iommu;
    this.#shared = shared;
  }

  get newest(): number {
    return this.#shared.newest;
  }

  get partial(): number {
    return this.#partial.length;
  }

  /** Stops being the one whom the IOMMU API tells of the device's faults. */
  disconnect(): void {
    if (this.#iommu.findDriver(this.device) !== undefined) this.#iommu.setFaultSink(this.device, undefined);
  }

  /** The domain that handles faults of a PASID: the one attached, or the guest's whose own PASID table it is. */
  domainFor(pasid: number): Domain | undefined {
    let domain = this.#iommu.domainForPasid(this.device, pasid);
    if (domain === undefined && this.#driver.userPasidTable) {
      domain = this.#iommu.domainForPasid(this.device, NO_PASID);
      if (domain?.type !== 'nested') return undefined;
    }
    return domain?.iopfHandler ? domain : undefined;
  }

  /** Keeps a fault until the last one of its group comes. */
  keep(fault: IopfFault): void {
    this.held += 1;
    this.#partial.push(fault);
  }

  /** Takes the faults of the group that `last` completes, in order of arrival. */
  complete(last: IopfFault): readonly IopfFault[] {
    this.held += 1;
    if (this.#partial.length === 0) return [last];
    const faults: IopfFault[] = [];
    const left: IopfFault[] = [];
    for (const fault of this.#partial) {
      if (fault.groupId !== last.groupId) left.push(fault);
      else if (fault.pasid === last.pasid) faults.push(fault);
      else this.#dropped(1); // a group has one PASID: this one would be handled in the wrong address space
    }
    this.#partial = left;
    faults.push(last);
    return faults;
  }

  /** Throws partial faults away. */
  discard(concerned: (fault: IopfFault) => boolean): void {
    if (this.#partial.length === 0) return;
    const left = this.#partial.filter((fault) => !concerned(fault));
    this.#dropped(this.#partial.length - left.length);
    this.#partial = left;
  }

  answer(group: IopfGroup, response: PageResponse): void {
    this.held -= group.faults.length;
    this.#shared.answered(group);
    this.#send(group.lastFault, response);
  }

  /** Answers a last fault that never became a group, and forgets what came before it. */
  refuse(last: IopfFault): void {
    this.discard(({ groupId }) => groupId === last.groupId);
    this.#send(last, 'invalid');
  }

  late(): void {
    this.#shared.counters.late += 1;
  }

  #send(last: IopfFault, response: PageResponse): void {
    this.#shared.counters[response] += 1;
    this.#driver.pageResponse(this.device, last, response);
  }

  #dropped(count: number): void {
    this.held -= count;
    this.#shared.counters.discarded += count;
  }
}
