import {
  type AtsEndpoint,
  type AtsPort,
  DMA_ABORT,
  DMA_PENDING,
  type DmaPort,
  type DmaRequest,
  type DmaStatus,
  IommuError,
  NO_SUBSTREAM,
  type PrgResponse,
  type Scheduler,
  type Trace,
} from '@smmu/platform';
import { AddressTranslationCache, ATC_ABORTED, ATC_FAULT, ATC_STALE, type Fill, needOf } from './atc.ts';
import type { PciFunction } from './function.ts';
import type { FunctionPart } from './functionPart.ts';
import { type PageOutcome, PageRequester } from './pageRequests.ts';
import { findJoinable, Transaction, type Waiting, waitingFor } from './transaction.ts';
import { ATC_EXECUTE, ATC_READ, ATC_WRITE } from './translationStore.ts';

export interface AtsDmaOptions {
  /** The function that the DMA engine belongs to. Requests leave through it. */
  readonly function: PciFunction;
  /** Who translates and takes page requests: the SMMU that the function is behind. */
  readonly ats: AtsPort;
  readonly scheduler: Scheduler;
  /** Size of the translation cache; see {@link AddressTranslationCache}. */
  readonly entries?: number;
  /** How long a translation takes to come, in nanoseconds; 0, at once, if left out. */
  readonly translationNs?: number;
  /** From an answer to a page request until the access is tried again; doubled each time it did not help. */
  readonly retryNs?: number;
  /** Answers to page requests that one transaction takes before it is aborted; 16 if left out. */
  readonly maxFaults?: number;
  /** Translation requests in a row that invalidations may overtake before one goes untranslated; 8 if left out. */
  readonly maxAsks?: number;
  readonly trace?: Trace | undefined;
}

/** What became of the transactions so far. */
export interface AtsDmaStats {
  /** Transactions by how their address was found. */
  hits: number;
  misses: number;
  /** Sent with the address untranslated: ATS is off, or U said so, or invalidations overtook every answer. */
  untranslated: number;
  /** Page faults, of which those that joined a page request on its way. */
  pageFaults: number;
  joined: number;
  /** Transactions aborted here: no translation, no page, or their PASID is being stopped. */
  aborted: number;
}

interface WaitingFill extends Waiting {
  readonly fill: Fill;
}

interface Stop {
  readonly substreamId: number;
  readonly done: () => void;
  pagesDone: boolean;
}

/**
 * The DMA of an endpoint with ATS: a port that its engine submits untranslated requests to, and the endpoint that an
 * SMMU sends invalidations and page responses to. PCI Express Base §10.1; IHI 0070 §3.9.
 *
 * A request whose translation is cached goes up translated, without its PASID. Else the translation is asked for. If
 * there is none, the page is asked for when the function has PRI, and the request waits; it is tried again after an
 * answer Success and aborted after any other. While ATS is off, requests go up as they are.
 */
export class AtsDma implements DmaPort, AtsEndpoint, FunctionPart {
  readonly atc: AddressTranslationCache;
  /** Where the function has PRI. */
  readonly pages: PageRequester | undefined;
  readonly stats: AtsDmaStats = { hits: 0, misses: 0, untranslated: 0, pageFaults: 0, joined: 0, aborted: 0 };
  readonly #function: PciFunction;
  readonly #scheduler: Scheduler;
  readonly #translationNs: number;
  readonly #retryNs: number;
  readonly #maxFaults: number;
  readonly #maxAsks: number;
  readonly #idle: Transaction[] = [];
  readonly #pending: Set<Transaction> = new Set();
  readonly #fills: WaitingFill[] = [];
  readonly #faults: Waiting[] = [];
  readonly #stops: Stop[] = [];

  /** @throws {@link IommuError} `EINVAL` if the function has no ATS capability, or for a size that cannot be. */
  constructor(options: AtsDmaOptions) {
    const { function: owner, ats: port, scheduler, entries, trace } = options;
    this.#function = owner;
    this.#scheduler = scheduler;
    this.#translationNs = options.translationNs ?? 0;
    this.#retryNs = options.retryNs ?? 100;
    this.#maxFaults = options.maxFaults ?? 16;
    this.#maxAsks = options.maxAsks ?? 8;
    this.atc = new AddressTranslationCache({ function: owner, port, ...(entries !== undefined && { entries }) });
    this.pages = owner.pri && new PageRequester({ function: owner, port, trace });
    owner.attach(this);
  }

  /** Transactions that wait, for a translation, a page or their end. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Carries out a transaction of the device. The request stays as the device filled it. */
  submit(request: DmaRequest): DmaStatus {
    const { substreamId, addressLo, addressHi, privileged } = request;
    if (this.#stops.length > 0 && this.#stopping(substreamId)) {
      this.stats.aborted += 1;
      request.status = DMA_ABORT;
      return DMA_ABORT;
    }
    // What the gate would refuse it refuses; what a device calls translated is its own affair and the SMMU's.
    if (request.translated || !this.#function.rights.allows(request)) return this.#function.submit(request);
    const transaction = this.#idle.pop() ?? this.#create();
    transaction.request = request;
    transaction.need = needOf(request);
    const handle = this.atc.lookup(substreamId, addressLo, addressHi, transaction.need, privileged);
    if (handle >= 0) {
      this.stats.hits += 1;
      return this.#send(transaction, handle);
    }
    this.stats.misses += 1;
    return this.#translate(transaction);
  }

  invalidate(
    substreamId: number,
    global: boolean,
    addressLo: number,
    addressHi: number,
    log2Bytes: number,
    complete: () => void,
  ): void {
    this.atc.invalidate(substreamId, global, addressLo, addressHi, log2Bytes, complete);
  }

  pageResponse(substreamId: number, group: number, response: PrgResponse): void {
    this.pages?.respond(substreamId, group, response);
  }

  /**
   * Stops the use of a PASID: what is submitted with it from now on is aborted, and so is what has no page yet and faults
   * again. PCI Express Base §6.20.1, §10.4.1.2.
   * @param marker - Do not wait for pages that were asked for: abort what needs them and send a Stop Marker.
   * @param done - Called when no transaction with that PASID is left and its translations are gone.
   * @throws {@link IommuError} `EINVAL` without a PASID, `EBUSY` if it is being stopped.
   */
  stopPasid(substreamId: number, marker: boolean, done: () => void): void {
    if (substreamId === NO_SUBSTREAM) throw new IommuError('EINVAL', `${this.#function.name}: no PASID to stop`);
    if (this.#stopping(substreamId))
      throw new IommuError('EBUSY', `${this.#function.name}: PASID ${substreamId} is being stopped`);
    const stop: Stop = { substreamId, done, pagesDone: this.pages === undefined };
    this.#stops.push(stop);
    this.pages?.stopPasid(substreamId, marker, () => {
      stop.pagesDone = true;
      this.#settle();
    });
    this.#settle();
  }

  /** What waits here is aborted when its turn comes; what is on the bus ends as it ends. */
  reset(): void {
    for (const transaction of this.#pending) transaction.dead = true;
  }

  /** Finds the translation of a transaction, and goes on with it. */
  #translate(transaction: Transaction): DmaStatus {
    const { request, need } = transaction;
    const { substreamId, addressLo, addressHi, privileged } = request;
    for (;;) {
      if (transaction.dead || !this.#function.rights.allows(request)) return this.#abort(transaction);
      if (!this.atc.enabled) return this.#send(transaction, -1);
      let handle = this.atc.lookup(substreamId, addressLo, addressHi, need, privileged);
      if (handle < 0) {
        if (transaction.asks === this.#maxAsks) return this.#send(transaction, -1);
        transaction.asks += 1;
        if (this.#translationNs > 0) return this.#awaitTranslation(transaction);
        handle = this.atc.accept(this.atc.ask(substreamId, addressLo, addressHi, need, privileged));
      }
      if (handle !== ATC_STALE) return this.#proceed(transaction, handle);
    }
  }

  /** Goes on after a translation request. @param handle - What `accept` returned; not `ATC_STALE`. */
  #proceed(transaction: Transaction, handle: number): DmaStatus {
    if (handle === ATC_FAULT) return this.#fault(transaction);
    if (handle === ATC_ABORTED) return this.#abort(transaction);
    return this.#send(transaction, handle);
  }

  /** Sends a transaction, translated if there is a translation that may be used so. */
  #send(transaction: Transaction, handle: number): DmaStatus {
    const { request, sent } = transaction;
    const { addressLo, addressHi } = request;
    sent.length = request.length;
    sent.write = request.write;
    sent.data = request.data;
    sent.dataStart = request.dataStart;
    if (handle >= 0 && !this.atc.untranslatedOnly(handle)) {
      sent.translated = true;
      sent.substreamId = NO_SUBSTREAM;
      sent.instruction = false;
      sent.privileged = false;
      sent.addressLo = this.atc.translatedLo(handle, addressLo);
      sent.addressHi = this.atc.translatedHi(handle, addressHi);
      this.atc.begin(transaction, handle, addressLo, addressHi);
    } else {
      this.stats.untranslated += 1;
      sent.translated = false;
      sent.substreamId = request.substreamId;
      sent.instruction = request.instruction;
      sent.privileged = request.privileged;
      sent.addressLo = addressLo;
      sent.addressHi = addressHi;
    }
    const status = this.#function.submit(sent);
    return status === DMA_PENDING ? this.#hold(transaction) : this.#finish(transaction, status);
  }

  /** The transaction ends later: tells the device so, if it is still on the line. */
  #hold(transaction: Transaction): DmaStatus {
    if (!transaction.pending) {
      transaction.pending = true;
      transaction.request.status = DMA_PENDING;
      this.#pending.add(transaction);
    }
    return DMA_PENDING;
  }

  #abort(transaction: Transaction): DmaStatus {
    this.stats.aborted += 1;
    return this.#finish(transaction, DMA_ABORT);
  }

  /** Ends a transaction: by the return value, or by a call if the device was told to wait. */
  #finish(transaction: Transaction, status: DmaStatus): DmaStatus {
    const { request, pending } = transaction;
    if (transaction.place >= 0) this.atc.end(transaction);
    request.status = status;
    transaction.asks = 0;
    transaction.faults = 0;
    transaction.dead = false;
    transaction.pending = false;
    this.#idle.push(transaction);
    if (pending) {
      this.#pending.delete(transaction);
      request.complete?.(request);
      this.#settle();
    }
    return status;
  }

  #create(): Transaction {
    const transaction = new Transaction();
    transaction.sent.complete = ({ status }) => void this.#finish(transaction, status);
    return transaction;
  }

  /** Waits for a translation that takes its time; joins a request for the same one. */
  #awaitTranslation(transaction: Transaction): DmaStatus {
    const waiting = findJoinable(this.#fills, transaction, this.#function.rights.stuShift);
    if (waiting) waiting.transactions.push(transaction);
    else {
      const { substreamId, addressLo, addressHi, privileged } = transaction.request;
      const fill = this.atc.ask(substreamId, addressLo, addressHi, transaction.need, privileged);
      const asked: WaitingFill = { ...waitingFor(transaction, this.#function.rights.stuShift), fill };
      this.#fills.push(asked);
      this.#scheduler.post('hardware', () => this.#arrived(asked), this.#translationNs);
    }
    return this.#hold(transaction);
  }

  #arrived(asked: WaitingFill): void {
    this.#fills.splice(this.#fills.indexOf(asked), 1);
    const handle = this.atc.accept(asked.fill);
    for (const transaction of asked.transactions)
      if (handle >= 0 || handle === ATC_STALE) this.#translate(transaction);
      else this.#proceed(transaction, handle);
  }

  /** A transaction has no translation: asks for its page, or gives up. */
  #fault(transaction: Transaction): DmaStatus {
    this.stats.pageFaults += 1;
    const { pages } = this;
    const { request, need } = transaction;
    const { substreamId, privileged } = request;
    if (!pages?.enabled || transaction.faults === this.#maxFaults || this.#stopping(substreamId))
      return this.#abort(transaction);
    transaction.faults += 1;
    const other = findJoinable(this.#faults, transaction, this.#function.rights.stuShift);
    if (other) {
      this.stats.joined += 1;
      other.transactions.push(transaction);
      return this.#hold(transaction);
    }
    const waiting = waitingFor(transaction, this.#function.rights.stuShift);
    this.#faults.push(waiting);
    const access = {
      read: (need & ATC_READ) !== 0,
      write: (need & ATC_WRITE) !== 0,
      execute: (need & ATC_EXECUTE) !== 0,
    };
    const taken = pages.request({
      substreamId,
      privileged,
      pages: [{ addressLo: waiting.lo, addressHi: waiting.hi, ...access }],
      done: (outcome) => this.#answered(waiting, outcome),
    });
    if (taken) return this.#hold(transaction);
    this.#faults.splice(this.#faults.indexOf(waiting), 1);
    return this.#abort(transaction);
  }

  /** Never acts at once: an answer may come while the request for it is still being sent. */
  #answered(waiting: Waiting, outcome: PageOutcome): void {
    this.#faults.splice(this.#faults.indexOf(waiting), 1);
    const tries = waiting.transactions.reduce((most, { faults }) => Math.max(most, faults), 1);
    const delay = outcome === 'success' ? this.#retryNs * 2 ** (tries - 1) : 0;
    this.#scheduler.post(
      'hardware',
      () => {
        for (const transaction of waiting.transactions) {
          transaction.asks = 0;
          if (outcome === 'success') this.#translate(transaction);
          else this.#abort(transaction);
        }
      },
      delay,
    );
  }

  #stopping(substreamId: number): boolean {
    return this.#stops.some((stop) => stop.substreamId === substreamId);
  }

  /** Ends the stops whose PASID nobody uses any more. */
  #settle(): void {
    if (this.#stops.length === 0) return;
    for (const stop of [...this.#stops]) {
      if (!stop.pagesDone || !this.#stops.includes(stop)) continue;
      let used = false;
      for (const { request } of this.#pending) used ||= request.substreamId === stop.substreamId;
      if (used) continue;
      this.#stops.splice(this.#stops.indexOf(stop), 1);
      this.atc.dropPasid(stop.substreamId);
      stop.done();
    }
  }
}
