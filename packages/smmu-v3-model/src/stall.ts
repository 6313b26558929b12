/**
 * Stalled transactions: each held under a tag (STAG) until CMD_RESUME, CMD_STALL_TERM or SMMUEN=0. IHI 0070 §3.12.2,
 * §4.7; Linux arm_smmu_handle_event, arm_smmu_page_response.
 *
 * A transaction stalls only with its record written. While every tag is taken or the event queue cannot be written, it
 * waits before the SMMU and is looked at afresh when that changes, so that nothing is lost and no stale record appears.
 */
import {
  DMA_ABORT,
  DMA_OK,
  DMA_PENDING,
  type DmaRequest,
  type DmaStatus,
  type Scheduler,
  type Trace,
} from '@smmu/platform';
import type { EventQueue } from './eventQueue.ts';
import type { ModelFeatures } from './features.ts';

/** Virtual nanoseconds until a resumed transaction arrives again. */
const RETRY_NS = 100;
const NONE = -1;

/** Runs a transaction as a new arrival. */
export type Rerun = (request: DmaRequest) => DmaStatus;

export class StallBuffer {
  /** Transactions under a tag. */
  held = 0;
  readonly #scheduler: Scheduler;
  readonly #events: EventQueue;
  readonly #trace: Trace | undefined;
  readonly #rerun: Rerun;
  readonly #requests: (DmaRequest | null)[];
  readonly #arrows: number[];
  #nextTag = 0;
  #arrow = 0;
  #waiting: DmaRequest[] = [];
  #waitingHead = 0;
  #kicked = false;

  constructor(
    features: ModelFeatures,
    scheduler: Scheduler,
    events: EventQueue,
    trace: Trace | undefined,
    rerun: Rerun,
  ) {
    this.#scheduler = scheduler;
    this.#events = events;
    this.#trace = trace;
    this.#rerun = rerun;
    const tags = features.stallModel === 1 ? 0 : features.stallMax;
    this.#requests = new Array<DmaRequest | null>(tags).fill(null);
    this.#arrows = new Array<number>(tags).fill(0);
  }

  /** Transactions that wait for a tag or for room in the event queue. */
  get waiting(): number {
    return this.#waiting.length - this.#waitingHead;
  }

  /** A tag that is free while the event queue takes a record, or -1. */
  freeTag(): number {
    const tags = this.#requests.length;
    if (this.held === tags || !this.#events.writable) return NONE;
    while (this.#requests[this.#nextTag] !== null) this.#nextTag = (this.#nextTag + 1) % tags;
    return this.#nextTag;
  }

  /** Keeps a transaction under a tag from {@link freeTag}; its record is in the event queue. */
  hold(request: DmaRequest, tag: number, name: string): void {
    this.#requests[tag] = request;
    this.held++;
    this.#nextTag = (tag + 1) % this.#requests.length;
    if (this.#trace === undefined) return;
    this.#arrows[tag] = ++this.#arrow;
    const { streamId, substreamId, addressLo, addressHi } = request;
    const address = `0x${((addressHi >>> 0) * 2 ** 32 + (addressLo >>> 0)).toString(16)}`;
    this.#trace.arrowFrom('SMMU', `stall ${name}`, this.#arrow, { streamId, substreamId, address, stag: tag });
  }

  /** Keeps a transaction that cannot stall yet. */
  wait(request: DmaRequest): void {
    this.#waiting.push(request);
  }

  /** CMD_RESUME. A tag that is not in use, or not with that stream, is ignored. */
  resume(streamId: number, tag: number, retry: boolean, abort: boolean): void {
    const request = this.#requests[tag];
    if (!request || request.streamId >>> 0 !== streamId) return;
    this.#release(tag, retry ? 'retry' : 'terminate');
    if (retry) this.#scheduler.post('hardware', () => this.#again(request), RETRY_NS);
    else this.#terminate(request, abort);
    this.kick();
  }

  /** CMD_STALL_TERM: aborts everything that a stream has stalled. */
  terminateStream(streamId: number): void {
    for (const [tag, request] of this.#requests.entries()) {
      if (request === null || request.streamId >>> 0 !== streamId) continue;
      this.#release(tag, 'terminate');
      this.#terminate(request, true);
    }
    const waiting = this.#takeWaiting();
    for (const request of waiting) {
      if (request.streamId >>> 0 === streamId) this.#terminate(request, true);
      else this.#waiting.push(request);
    }
    this.kick();
  }

  /** SMMUEN was cleared: what is stalled is aborted, what waits arrives anew and finds the SMMU off. */
  terminateAll(): void {
    for (const [tag, request] of this.#requests.entries()) {
      if (request === null) continue;
      this.#release(tag, 'terminate');
      this.#terminate(request, true);
    }
    for (const request of this.#takeWaiting()) this.#scheduler.post('hardware', () => this.#again(request));
  }

  /** Something changed that may let a waiting transaction stall: a tag, room in the queue, its enable bit. */
  kick(): void {
    if (this.#kicked || this.waiting === 0 || this.freeTag() === NONE) return;
    this.#kicked = true;
    this.#scheduler.post('hardware', () => {
      this.#kicked = false;
      // Each is looked at once: one that stalls takes a tag, one that does not is done.
      for (let left = this.waiting; left > 0 && this.freeTag() !== NONE; left--) this.#again(this.#takeFirst());
      this.kick();
    });
  }

  #again(request: DmaRequest): void {
    if (this.#rerun(request) !== DMA_PENDING) request.complete?.(request);
  }

  #terminate(request: DmaRequest, abort: boolean): void {
    if (!abort && !request.write) request.data.fill(0, request.dataStart, request.dataStart + request.length);
    this.#scheduler.post('hardware', () => {
      request.status = abort ? DMA_ABORT : DMA_OK;
      request.complete?.(request);
    });
  }

  #release(tag: number, how: string): void {
    this.#requests[tag] = null;
    this.held--;
    this.#trace?.arrowTo('SMMU', how, this.#arrows[tag]!, { stag: tag });
  }

  #takeFirst(): DmaRequest {
    const request = this.#waiting[this.#waitingHead++]!;
    if (this.#waitingHead > 1024 || this.#waitingHead === this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#waitingHead);
      this.#waitingHead = 0;
    }
    return request;
  }

  #takeWaiting(): DmaRequest[] {
    const all = this.#waiting.slice(this.#waitingHead);
    this.#waiting = [];
    this.#waitingHead = 0;
    return all;
  }
}
