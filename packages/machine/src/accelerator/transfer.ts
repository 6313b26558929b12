import { DMA_ABORT, DMA_PENDING, type DmaPort, DmaRequest, type Scheduler } from '@smmu/platform';

/** Requests end where a naturally aligned 4 KiB does, as PCI Express wants (Base §2.2.7). */
const SPLIT_BYTES = 4096;

/** What the DMA engine does, in nanoseconds and numbers. */
export interface DmaTiming {
  /** From one request to the next of the same transfer. */
  readonly requestNs: number;
}

/**
 * One run of bytes between the device and an address space: cut into requests, many of them under way at once, each
 * answered in its own time. A page that is missing stalls its own request and no other.
 *
 * A transfer ends when its last request is answered. It then knows the lowest address that was aborted. One that is
 * stopped early issues nothing more but still waits for what is under way: a request cannot be called back.
 */
export class Transfer {
  /** What the addresses belong to: a PASID, or NO_SUBSTREAM. */
  substreamId = 0;
  /** Whether any request was aborted, and where the lowest began. */
  aborted = false;
  abortedLo = 0;
  abortedHi = 0;
  write = false;
  readonly #port: DmaPort;
  readonly #scheduler: Scheduler;
  readonly #requestNs: number;
  readonly #idle: DmaRequest[] = [];
  #data: Uint8Array = new Uint8Array(0);
  #addressLo = 0;
  #addressHi = 0;
  #offset = 0;
  #bytes = 0;
  #outstanding = 0;
  #stopped = false;
  #waiting = false; // a task for the next request is posted
  #done: (() => void) | null = null;

  constructor(port: DmaPort, scheduler: Scheduler, timing: DmaTiming) {
    this.#port = port;
    this.#scheduler = scheduler;
    this.#requestNs = timing.requestNs;
  }

  /** Where it goes on, or would: the first byte that no request has been issued for. */
  get nextLo(): number {
    return (this.#addressLo + this.#offset) >>> 0;
  }
  get nextHi(): number {
    return (this.#addressHi + (this.#addressLo + this.#offset >= 2 ** 32 ? 1 : 0)) >>> 0;
  }

  /** Whether requests are under way or still to be issued. */
  get busy(): boolean {
    return this.#done !== null;
  }

  /**
   * Starts a transfer of `bytes` bytes between `data` and the address. `done` is called once, never from here.
   * @param addressLo - Low word of the 64-bit address. The range must not wrap beyond 2^64.
   */
  start(write: boolean, addressLo: number, addressHi: number, data: Uint8Array, bytes: number, done: () => void): void {
    this.write = write;
    this.#addressLo = addressLo;
    this.#addressHi = addressHi;
    this.#data = data;
    this.#bytes = bytes;
    this.#offset = 0;
    this.#stopped = false;
    this.aborted = false;
    this.#done = done;
    this.#post();
  }

  /** Issues no more requests. `done` is called when the last one is answered. */
  stop(): void {
    this.#stopped = true;
  }

  #post(): void {
    this.#waiting = true;
    this.#scheduler.post('hardware', this.#issue, this.#requestNs);
  }

  readonly #issue = (): void => {
    this.#waiting = false;
    if (this.#goesOn()) {
      const request = this.#idle.pop() ?? this.#makeRequest();
      const start = this.#offset;
      request.addressLo = this.nextLo;
      request.addressHi = this.nextHi;
      request.length = Math.min(this.#bytes - start, SPLIT_BYTES - (request.addressLo % SPLIT_BYTES));
      request.substreamId = this.substreamId;
      request.write = this.write;
      request.data = this.#data;
      request.dataStart = start;
      this.#offset = start + request.length;
      this.#outstanding += 1;
      if (this.#port.submit(request) !== DMA_PENDING) this.#answered(request);
      if (this.#goesOn()) this.#post();
    }
    this.#finish();
  };

  #goesOn(): boolean {
    return this.#offset < this.#bytes && !this.#stopped && !this.aborted;
  }

  #makeRequest(): DmaRequest {
    const request = new DmaRequest(this.#data);
    request.complete = (answered) => {
      this.#answered(answered);
      this.#finish();
    };
    return request;
  }

  #answered(request: DmaRequest): void {
    this.#outstanding -= 1;
    if (request.status === DMA_ABORT) {
      const { addressLo: lo, addressHi: hi } = request;
      const lower = hi < this.abortedHi || (hi === this.abortedHi && lo < this.abortedLo);
      if (!this.aborted || lower) {
        this.abortedLo = lo;
        this.abortedHi = hi;
      }
      this.aborted = true;
    }
    this.#idle.push(request);
  }

  /** Ends the transfer if nothing is under way and no task will issue more (a posted one comes back here). */
  #finish(): void {
    if (this.#outstanding > 0 || this.#waiting || this.#done === null) return;
    const done = this.#done;
    this.#done = null;
    done();
  }
}
