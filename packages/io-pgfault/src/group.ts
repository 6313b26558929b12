/**
 * A group of recoverable faults: what is handled together and gets one answer.
 * Linux `struct iopf_group` and `iopf_group_response`, drivers/iommu/io-pgfault.c.
 *
 * Several may want to answer: the handler, a timeout, a device that goes away, somebody who flushes. The first one does;
 * whoever comes later is told so, and the hardware never hears twice.
 */
import type { Device, Domain, IopfFault, IopfGroupLike, PageResponse } from '@smmu/iommu';

/** Where a group's faults come from and its answer goes to. */
export interface GroupOwner {
  readonly device: Device;
  /** `sequence` of the newest group. */
  readonly newest: number;
  /** Sends the one answer of a group. */
  answer(group: IopfGroup, response: PageResponse): void;
  /** Counts an answer that came too late. */
  late(): void;
}

export class IopfGroup implements IopfGroupLike {
  readonly device: Device;
  readonly faults: readonly IopfFault[];
  readonly domain: Domain;
  readonly sequence: number;
  /** Virtual time at which its last fault was reported. */
  readonly reportedAt: number;
  /** How far its handler has come; `done` does not mean that there is an answer yet. */
  state: 'queued' | 'running' | 'done' = 'queued';
  #pending = true;
  readonly #owner: GroupOwner;

  constructor(owner: GroupOwner, domain: Domain, faults: readonly IopfFault[], sequence: number, reportedAt: number) {
    this.#owner = owner;
    this.device = owner.device;
    this.domain = domain;
    this.faults = faults;
    this.sequence = sequence;
    this.reportedAt = reportedAt;
  }

  /** The fault that completed the group; its answer names the whole group. */
  get lastFault(): IopfFault {
    return this.faults[this.faults.length - 1]!;
  }

  /** `sequence` of the newest group of the same queue: what has arrived until now. */
  get newest(): number {
    return this.#owner.newest;
  }

  /** Whether an answer is still wanted. */
  get pending(): boolean {
    return this.#pending;
  }

  /**
   * Answers the group.
   * @returns False if it was answered already, by whomever; this answer is then dropped.
   * @see Linux `iopf_group_response`, drivers/iommu/io-pgfault.c
   */
  respond(response: PageResponse): boolean {
    if (!this.#pending) {
      this.#owner.late();
      return false;
    }
    this.#pending = false; // before the driver is called: it may let others run, who must not answer again
    this.#owner.answer(this, response);
    return true;
  }
}
