/**
 * Recoverable I/O page faults, from the driver's event handler to the answer.
 * Linux drivers/iommu/io-pgfault.c; PCIe 10.4 for page request groups.
 *
 * Who answers: every last fault that is reported gets exactly one answer, on every path. If the queue cannot take it,
 * the queue answers `invalid` at once. Otherwise it becomes a group, which the domain's handler answers, now or later;
 * if the device is removed or flushed, or time runs out, the queue answers in the handler's place.
 */

import type { Device, Domain, FaultSink, Iommu, IommuDriver, IopfFault } from '@smmu/iommu';
import { IommuError, type Scheduler, type Task, WorkQueue } from '@smmu/platform';
import { IopfGroup } from './group.ts';
import { Producer, type Shared } from './producer.ts';
import { type IopfStats, noCounters } from './stats.ts';

export interface IopfQueueOptions {
  /** Virtual nanoseconds after which an unanswered group is answered `invalid`; never if left out. */
  readonly responseTimeout?: number;
  /** Faults of one device that may be held, partial ones included; 65,536 if left out. More are "out of memory". */
  readonly maxFaults?: number;
  /** Told of PCIe stop markers: the function has sent its last request for this PASID. */
  readonly onStopMarker?: (device: Device, pasid: number) => void;
}

const MAX_FAULTS = 65536;

/** Takes the faults of some devices, usually all those behind one IOMMU (Linux `struct iopf_queue`). */
export class IopfQueue implements FaultSink {
  readonly name: string;
  /** Decides that there is no memory for one more fault of a device: a test's way to have it run out. */
  fail: ((held: number) => boolean) | null = null;
  readonly #scheduler: Scheduler;
  readonly #work: WorkQueue;
  readonly #timeout: number;
  readonly #maxFaults: number;
  readonly #onStopMarker: ((device: Device, pasid: number) => void) | undefined;
  readonly #producers: Map<Device, Producer> = new Map();
  // Who was here: hardware may still deliver faults of a device that was removed, and they need an answer.
  readonly #former: WeakMap<Device, Producer> = new WeakMap();
  readonly #groups: Set<IopfGroup> = new Set(); // not answered yet, oldest first
  readonly #shared: Shared = { newest: 0, counters: noCounters(), answered: (group) => this.#answered(group) };
  #timer: Task | undefined;
  #freed = false;

  /** @param name - Names the work queue, as in `iopf_queue/arm-smmu-v3.0.auto`. */
  constructor(scheduler: Scheduler, name: string, options: IopfQueueOptions = {}) {
    this.name = name;
    this.#scheduler = scheduler;
    // Unordered: groups are independent of each other, and within a group one handler goes through the faults.
    this.#work = new WorkQueue(scheduler, `iopf_queue/${name}`);
    this.#timeout = options.responseTimeout ?? Number.POSITIVE_INFINITY;
    this.#maxFaults = options.maxFaults ?? MAX_FAULTS;
    this.#onStopMarker = options.onStopMarker;
  }

  /** Groups not answered yet. */
  get pending(): number {
    return this.#groups.size;
  }

  /** Faults that wait for the last one of their group. */
  get partial(): number {
    let partial = 0;
    for (const producer of this.#producers.values()) partial += producer.partial;
    return partial;
  }

  get stats(): IopfStats {
    return this.#shared.counters;
  }

  /**
   * Starts to take a device's faults.
   * @param driver - Sends the answers.
   * @param iommu - Knows the device's domains.
   * @throws {@link IommuError} `EBUSY` if a queue takes them already, `ENODEV` if the device is behind no IOMMU or the
   *   queue was freed.
   * @see Linux `iopf_queue_add_device`, drivers/iommu/io-pgfault.c
   */
  addDevice(device: Device, driver: IommuDriver, iommu: Iommu): void {
    if (this.#freed) throw new IommuError('ENODEV', `fault queue ${this.name} was freed`);
    iommu.setFaultSink(device, this);
    this.#producers.set(device, new Producer(device, driver, iommu, this.#shared));
    this.#former.delete(device);
  }

  /**
   * Stops taking a device's faults. What is outstanding is answered `invalid`, and so is what may still be reported.
   * Handlers that are at work find their answers dropped.
   * @throws {@link IommuError} `ENODEV` if the device is not on this queue.
   * @see Linux `iopf_queue_remove_device`, drivers/iommu/io-pgfault.c
   */
  removeDevice(device: Device): void {
    const producer = this.#producer(device);
    this.#producers.delete(device);
    this.#former.set(device, producer);
    producer.disconnect();
    producer.discard(() => true);
    this.#abort((group) => group.device === device);
  }

  /**
   * Takes a fault from the driver's event handler. A last one completes its group, which is handled later on the work
   * queue. Stop markers (PCIe 10.4.1.2.1) need no answer; partial faults of their PASID can no longer be completed.
   * @returns Whether the fault was taken. A last one that was not has been answered `invalid`.
   * @throws {@link IommuError} `ENODEV` if the device never was on this queue.
   * @see Linux `iommu_report_device_fault`, drivers/iommu/io-pgfault.c
   */
  report(device: Device, fault: IopfFault): boolean {
    const producer = this.#producers.get(device);
    if (fault.last && !fault.read && !fault.write && !fault.exec)
      return this.#stopMarker(device, producer, fault.pasid);
    this.#shared.counters.faults += 1;
    if (producer === undefined) return this.#refuse(this.#formerProducer(device), fault, 'unhandled');
    const { held } = producer;
    if (held >= this.#maxFaults || this.fail?.(held)) return this.#refuse(producer, fault, 'outOfMemory');
    if (!fault.last) {
      producer.keep(fault);
      return true;
    }
    const domain = producer.domainFor(fault.pasid);
    if (domain === undefined) return this.#refuse(producer, fault, 'unhandled');
    this.#queue(producer, domain, producer.complete(fault));
    return true;
  }

  /**
   * Waits until the handlers of everything reported so far have run. What is unanswered then, because a handler put it
   * off, or is itself waiting for us to return, is answered `invalid`: on return nothing is outstanding.
   * A driver calls this when a PASID was detached and its own event queue is empty; the PASID can then be used again.
   * @param pasid - Flush only this one (`NO_PASID`: transactions without); all if left out.
   * @throws {@link IommuError} `ENODEV` if the device is not on this queue.
   * @see Linux `iopf_queue_flush_dev`, drivers/iommu/io-pgfault.c
   */
  flushDevice(device: Device, pasid?: number): void {
    const producer = this.#producer(device);
    const flushed = (fault: IopfFault): boolean => pasid === undefined || fault.pasid === pasid;
    producer.discard(flushed);
    if (this.#groups.size === 0) return;
    const until = this.#shared.newest; // what comes later is not ours to wait for
    const concerned = (group: IopfGroup): boolean =>
      group.device === device && group.sequence <= until && flushed(group.lastFault);
    const queued = [...this.#groups].filter((group) => concerned(group) && group.state === 'queued');
    this.#scheduler.wait(() => queued.every(({ pending, state }) => !pending || state === 'done'));
    this.#abort(concerned);
  }

  /**
   * Throws partial faults away: the hardware queue overflowed, and the last faults of their groups may be lost. Devices
   * ask again. Groups that are complete are not touched.
   * @see Linux `iopf_queue_discard_partial`, drivers/iommu/io-pgfault.c
   */
  discardPartial(): void {
    for (const producer of this.#producers.values()) producer.discard(() => true);
  }

  /** Removes all devices (Linux `iopf_queue_free`). None can be added afterwards. */
  free(): void {
    this.#freed = true;
    for (const device of [...this.#producers.keys()]) this.removeDevice(device);
  }

  #producer(device: Device): Producer {
    const producer = this.#producers.get(device);
    if (producer === undefined) throw new IommuError('ENODEV', `${device.name} is not on fault queue ${this.name}`);
    return producer;
  }

  #formerProducer(device: Device): Producer {
    return this.#former.get(device) ?? this.#producer(device);
  }

  #stopMarker(device: Device, producer: Producer | undefined, pasid: number): false {
    this.#shared.counters.stopMarkers += 1;
    producer?.discard((fault) => fault.pasid === pasid);
    this.#onStopMarker?.(device, pasid);
    return false;
  }

  #refuse(producer: Producer, fault: IopfFault, why: 'unhandled' | 'outOfMemory'): false {
    this.#shared.counters[why] += 1;
    if (fault.last) producer.refuse(fault);
    else this.#shared.counters.discarded += 1;
    return false;
  }

  #queue(producer: Producer, domain: Domain, faults: readonly IopfFault[]): void {
    const shared = this.#shared;
    shared.counters.groups += 1;
    shared.newest += 1;
    const group = new IopfGroup(producer, domain, faults, shared.newest, this.#scheduler.now);
    this.#groups.add(group);
    if (this.#timeout < Number.POSITIVE_INFINITY && this.#timer === undefined) this.#arm();
    this.#work.queue(() => this.#handle(group, producer));
  }

  #handle(group: IopfGroup, producer: Producer): void {
    if (!group.pending) return; // removed, flushed or timed out meanwhile
    group.state = 'running';
    try {
      if (producer.domainFor(group.lastFault.pasid) === group.domain) group.domain.iopfHandler!(group);
      else {
        this.#shared.counters.unhandled += 1; // detached without a flush: the PASID may mean another address space
        group.respond('invalid');
      }
    } catch (error) {
      if (group.pending) group.respond('invalid');
      throw error;
    } finally {
      group.state = 'done';
    }
  }

  #answered(group: IopfGroup): void {
    this.#groups.delete(group);
    if (this.#groups.size > 0 || this.#timer === undefined) return;
    this.#scheduler.cancel(this.#timer);
    this.#timer = undefined;
  }

  /** Answers in the place of handlers. */
  #abort(concerned: (group: IopfGroup) => boolean): void {
    for (const group of [...this.#groups]) if (group.pending && concerned(group)) group.respond('invalid');
  }

  /** One timer for all: it is set for the oldest group. */
  #arm(): void {
    if (this.#timer !== undefined) this.#scheduler.cancel(this.#timer);
    const [oldest] = this.#groups;
    this.#timer =
      oldest &&
      this.#scheduler.post(
        'software',
        () => this.#expire(),
        Math.max(0, oldest.reportedAt + this.#timeout - this.#scheduler.now),
      );
  }

  #expire(): void {
    const expired = this.#scheduler.now - this.#timeout;
    try {
      for (const group of [...this.#groups]) {
        if (group.reportedAt > expired || !group.pending) continue;
        this.#shared.counters.timeouts += 1;
        group.respond('invalid');
      }
    } finally {
      this.#arm(); // an answer may have taken its time, and others may have come and gone meanwhile
    }
  }
}
