import { type AtsPort, IommuError, NO_SUBSTREAM, PRG_INVALID, PRG_SUCCESS, type Trace } from '@smmu/platform';
import type { PciFunction } from './function.ts';
import type { FunctionPart } from './functionPart.ts';
import type { PriRegisters } from './priRegisters.ts';

/** A page that a device wants, and what for. */
export interface PageWanted {
  /** The address as two unsigned words; bits 11:0 do not count. */
  readonly addressLo: number;
  readonly addressHi: number;
  readonly read: boolean;
  readonly write: boolean;
  /** Only with a PASID, and with `read`. */
  readonly execute?: boolean;
}

/** `success`: all pages are there. `invalid`: some cannot be had so. `failure`: no answer will come. */
export type PageOutcome = 'success' | 'invalid' | 'failure';

/** A group of pages that are asked for, and answered, together. */
export interface PageGroup {
  /** PASID, or `NO_SUBSTREAM`. */
  readonly substreamId: number;
  readonly privileged: boolean;
  readonly pages: readonly PageWanted[];
  /** Called once, later or from inside {@link PageRequester.request}. */
  readonly done: (outcome: PageOutcome) => void;
}

/** What became of the page requests so far. */
export interface PageRequestStats {
  /** Groups and page requests sent, stop markers. */
  groups: number;
  requests: number;
  stopMarkers: number;
  /** Groups not taken, for want of permission, of room in the queue, or being larger than the allocation. */
  refused: number;
  /** Answers by code, and those of groups whose PASID had been stopped with a marker. */
  success: number;
  invalid: number;
  failure: number;
  stale: number;
  /** Answers to groups that are not outstanding (UPRGI), and those that came after a Response Failure. */
  unexpected: number;
  ignored: number;
}

export interface PageRequesterOptions {
  /** Whose interface it is. */
  readonly function: PciFunction;
  /** Who takes the requests. */
  readonly port: AtsPort;
  /** Groups that may wait for allocation; 512 if left out. */
  readonly maxQueued?: number;
  readonly trace?: Trace | undefined;
}

/** A group that was sent and not answered yet. */
interface Outstanding {
  readonly group: PageGroup;
  readonly index: number;
  /** The request marked Last is on its way: from here on an answer may come. */
  complete: boolean;
  /** Its PASID was stopped: the answer gives back what the group holds and means nothing else. */
  stale: boolean;
}

interface Stop {
  readonly substreamId: number;
  readonly done: () => void;
}

const GROUPS = 512; // a PRG index has 9 bits

/**
 * An endpoint's Page Request Interface (PRI): asks for pages in groups, and knows which are outstanding.
 * PCI Express Base §10.4 (messages), §10.5.2 (registers); Linux drivers/pci/ats.c; IHI 0070 §8.
 *
 * A group is sent only when the allocation has room for all of it; groups wait for that in order. An index is free
 * again when its group is answered, and the next group takes the next free one, so that a late answer hits none.
 */
export class PageRequester implements FunctionPart {
  readonly stats: PageRequestStats = {
    groups: 0,
    requests: 0,
    stopMarkers: 0,
    refused: 0,
    success: 0,
    invalid: 0,
    failure: 0,
    stale: 0,
    unexpected: 0,
    ignored: 0,
  };
  readonly #function: PciFunction;
  readonly #registers: PriRegisters;
  readonly #port: AtsPort;
  readonly #trace: Trace | undefined;
  readonly #maxQueued: number;
  readonly #byIndex: (Outstanding | undefined)[] = new Array(GROUPS).fill(undefined);
  readonly #queue: PageGroup[] = [];
  readonly #stops: Stop[] = [];
  #next = 0;
  #groups = 0;
  #used = 0;
  #allocation = 0;
  #failed = false;
  #pumping = false;

  /** @throws {@link IommuError} `EINVAL` if the function has no PRI capability. */
  constructor(options: PageRequesterOptions) {
    const { pri } = options.function;
    if (pri === undefined) throw new IommuError('EINVAL', `${options.function.name}: has no PRI capability`);
    this.#function = options.function;
    this.#registers = pri;
    this.#port = options.port;
    this.#trace = options.trace;
    this.#maxQueued = options.maxQueued ?? GROUPS;
    this.#function.attach(this);
    if (this.#function.rights.pri) this.priChanged(true);
  }

  /** Whether pages can be asked for: PRI is enabled and no answer said Response Failure since. */
  get enabled(): boolean {
    return this.#function.rights.pri && !this.#failed;
  }

  /** Groups sent and not answered, and the page requests in them. */
  get outstandingGroups(): number {
    return this.#groups;
  }
  get outstandingRequests(): number {
    return this.#used;
  }

  /** Groups that wait for allocation. */
  get queued(): number {
    return this.#queue.length;
  }

  /**
   * Asks for a group of pages, or queues it until the allocation has room.
   * @returns Whether it was taken. If not (PRI is off or has failed, the PASID is not allowed or being stopped, the group
   *   is larger than the allocation, too many wait), `done` is never called.
   * @throws {@link IommuError} `EINVAL` for a group without pages, or a page wanted for nothing or for execution alone.
   */
  request(group: PageGroup): boolean {
    const { pages, substreamId, privileged } = group;
    if (pages.length === 0)
      throw new IommuError('EINVAL', `${this.#function.name}: a page request group without pages`);
    for (const { read, write, execute } of pages)
      if ((!read && !write) || (execute && !read))
        throw new IommuError(
          'EINVAL',
          `${this.#function.name}: a page must be wanted for read or write, and read if executed`,
        );
    const execute = pages.some((page) => page.execute);
    const taken =
      this.enabled &&
      pages.length <= this.#allocation &&
      this.#queue.length < this.#maxQueued &&
      this.#function.rights.allowsPasid(substreamId, execute, privileged) &&
      !this.#stops.some((stop) => stop.substreamId === substreamId);
    if (!taken) {
      this.stats.refused += 1;
      return false;
    }
    this.#queue.push(group);
    this.#pump();
    return true;
  }

  /** Takes an answer, as `AtsEndpoint.pageResponse`. Codes that PCIe does not define count as Response Failure. */
  respond(substreamId: number, index: number, response: number): void {
    if (this.#failed) {
      this.stats.ignored += 1;
      return;
    }
    if (response !== PRG_SUCCESS && response !== PRG_INVALID) {
      this.stats.failure += 1;
      this.#fail();
      return;
    }
    const outstanding = this.#byIndex[index];
    if (outstanding === undefined || !outstanding.complete || !this.#answers(outstanding.group, substreamId)) {
      this.stats.unexpected += 1;
      this.#registers.setUnexpectedGroup(true);
      return;
    }
    const outcome = response === PRG_SUCCESS ? 'success' : 'invalid';
    this.stats[outstanding.stale ? 'stale' : outcome] += 1;
    this.#trace?.instant('device', 'page response', { group: index, pasid: outstanding.group.substreamId, outcome });
    this.#retire(outstanding);
    if (!outstanding.stale) outstanding.group.done(outcome);
    this.#settle();
    this.#pump();
  }

  /**
   * Stops the use of a PASID (PCIe §10.4.1.2). Groups that still wait to be sent end in `failure`.
   * @param marker - Do not wait for answers: groups outstanding end in `failure` now, and a Stop Marker tells the other
   *   side that later requests with this PASID are a new user's. Without, `done` waits for the answers.
   * @param done - The PASID may be used anew.
   * @throws {@link IommuError} `EINVAL` without a PASID, `EBUSY` if it is being stopped.
   */
  stopPasid(substreamId: number, marker: boolean, done: () => void): void {
    if (substreamId === NO_SUBSTREAM) throw new IommuError('EINVAL', `${this.#function.name}: no PASID to stop`);
    if (this.#stops.some((stop) => stop.substreamId === substreamId))
      throw new IommuError('EBUSY', `${this.#function.name}: PASID ${substreamId} is being stopped`);
    this.#stops.push({ substreamId, done }); // nothing new from here on, not even from inside what is told below
    const told = this.#queue.filter((group) => group.substreamId === substreamId);
    keep(this.#queue, (group) => group.substreamId !== substreamId);
    if (marker) {
      for (const outstanding of this.#byIndex) {
        if (outstanding === undefined || outstanding.stale || outstanding.group.substreamId !== substreamId) continue;
        outstanding.stale = true;
        told.push(outstanding.group);
      }
      if (this.enabled) this.#sendMarker(substreamId);
    }
    for (const group of told) group.done('failure');
    this.#settle();
    this.#pump();
  }

  priChanged(enabled: boolean): void {
    if (enabled) {
      this.#failed = false;
      this.#allocation = this.#registers.allocation; // fixed until enabled anew
      // Enabled before it had stopped: PCIe leaves open what happens. Here what was outstanding is forgotten.
      this.#forget();
      return;
    }
    if (this.#groups > 0) this.#registers.setStopped(false);
    for (const group of this.#queue.splice(0)) group.done('failure');
  }

  priReset(): void {
    this.#forget();
  }

  reset(): void {
    this.#forget();
    this.#failed = false;
  }

  /** Whether an answer with that PASID, or without one, can be this group's (PCIe §10.4.2.2). */
  #answers(group: PageGroup, substreamId: number): boolean {
    return !this.#registers.pasidRequired || group.substreamId === substreamId;
  }

  /** Sends what the allocation has room for, in order. */
  #pump(): void {
    if (this.#pumping) return; // an answer came from inside a request
    this.#pumping = true;
    while (this.#queue.length > 0 && this.enabled) {
      if (this.#used + this.#queue[0]!.pages.length > this.#allocation || this.#groups === GROUPS) break;
      this.#send(this.#queue.shift()!);
    }
    this.#pumping = false;
  }

  #send(group: PageGroup): void {
    while (this.#byIndex[this.#next] !== undefined) this.#next = (this.#next + 1) % GROUPS;
    const index = this.#next;
    this.#next = (index + 1) % GROUPS;
    const outstanding: Outstanding = { group, index, complete: false, stale: false };
    this.#byIndex[index] = outstanding;
    this.#groups += 1;
    this.#used += group.pages.length;
    this.stats.groups += 1;
    const { substreamId, privileged, pages } = group;
    this.#trace?.instant('device', 'page request', { group: index, pasid: substreamId, pages: pages.length });
    for (const [i, page] of pages.entries()) {
      outstanding.complete = i === pages.length - 1;
      this.stats.requests += 1;
      this.#port.requestPage({
        streamId: this.#function.streamId,
        substreamId,
        addressLo: (page.addressLo & ~0xfff) >>> 0,
        addressHi: page.addressHi,
        read: page.read,
        write: page.write,
        execute: page.execute === true,
        privileged,
        last: outstanding.complete,
        group: index,
      });
      if (this.#byIndex[index] !== outstanding) return; // failed, or forgotten, from inside
    }
  }

  #sendMarker(substreamId: number): void {
    this.stats.stopMarkers += 1;
    const nothing = { read: false, write: false, execute: false, privileged: false };
    const { streamId } = this.#function;
    this.#port.requestPage({ streamId, substreamId, addressLo: 0, addressHi: 0, ...nothing, last: true, group: 0 });
  }

  /** A Response Failure ends the interface until it is enabled anew: nothing is answered any more (PCIe §10.4.2.1). */
  #fail(): void {
    this.#failed = true;
    this.#registers.setResponseFailure(true);
    this.#forget();
    if (!this.#function.rights.pri) this.#registers.setStopped(true);
  }

  /** Forgets all groups; those that wait for them are told. */
  #forget(): void {
    const told = this.#byIndex.filter((outstanding) => outstanding !== undefined && !outstanding.stale);
    this.#byIndex.fill(undefined);
    this.#groups = 0;
    this.#used = 0;
    const queued = this.#queue.splice(0);
    for (const outstanding of told) outstanding!.group.done('failure');
    for (const group of queued) group.done('failure');
    this.#settle();
  }

  #retire({ index, group }: Outstanding): void {
    this.#byIndex[index] = undefined;
    this.#groups -= 1;
    this.#used -= group.pages.length;
    if (this.#groups === 0 && !this.#function.rights.pri) this.#registers.setStopped(true);
  }

  /** Ends the stops whose PASID has nothing outstanding any more. */
  #settle(): void {
    for (const stop of [...this.#stops]) {
      const waits = this.#byIndex.some(
        (it) => it !== undefined && !it.stale && it.group.substreamId === stop.substreamId,
      );
      if (waits || !this.#stops.includes(stop)) continue;
      keep(this.#stops, (other) => other !== stop);
      stop.done();
    }
  }
}

/** Keeps the elements that `wanted` says yes to, in place. */
function keep<T>(list: T[], wanted: (element: T) => boolean): void {
  const kept = list.filter(wanted);
  list.splice(0, list.length, ...kept);
}
