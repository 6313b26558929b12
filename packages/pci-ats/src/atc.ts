import {
  ATS_ABORT,
  ATS_SUCCESS,
  type AtsPort,
  AtsRequest,
  type AtsStatus,
  type DmaRequest,
  IommuError,
  NO_SUBSTREAM,
} from '@smmu/platform';
import { type Flight, Flights } from './flights.ts';
import type { PciFunction } from './function.ts';
import type { FunctionPart } from './functionPart.ts';
import { InvalidationScope, MASK_HI, MASK_LO, TAG_GLOBAL, TAG_PRIVILEGED, tagOf } from './invalidationScope.ts';
import { ATC_EXECUTE, ATC_READ, ATC_SNOOP, ATC_UNTRANSLATED, ATC_WRITE, TranslationStore } from './translationStore.ts';

/** The completion grants less than was needed: the device has a page fault. */
export const ATC_FAULT = -2;
/** An invalidation overtook the completion, which was discarded. Ask again. */
export const ATC_STALE = -3;
/** ATS is off, or the answer was Unsupported Request and the cache is off until ATS is enabled anew. */
export const ATC_OFF = -4;
/** The answer was Completer Abort, or no completion that PCIe allows. */
export const ATC_ABORTED = -5;
/** Software has not allowed the function to ask so: PASID, execute, privilege or bus mastering. */
export const ATC_REFUSED = -6;

/** A translation request from when it is sent until its completion is taken in. */
export class Fill {
  readonly request: AtsRequest = new AtsRequest();
  /** Permissions that the transaction behind it needs. */
  need = 0;
  /** The answer is there, though perhaps still on its way back. */
  answered = false;
  status: AtsStatus = ATS_SUCCESS;
  /** An invalidation came in between that covers the answer. */
  stale = false;
}

/** What the cache did since it was made. */
export interface AtcStats {
  /** Translation requests sent. */
  fills: number;
  /** Completions that granted nothing, or not what was needed. */
  faults: number;
  /** Completions discarded because an invalidation overtook them. */
  stale: number;
  /** Answers Unsupported Request (or what counts as such), Completer Abort, and completions that cannot be. */
  unsupported: number;
  aborts: number;
  unexpected: number;
  invalidations: number;
  /** Invalidations that came when the queue that ATS Capability announces was full. */
  beyondDepth: number;
}

export interface AtcOptions {
  /** Whose cache it is: its registers say what may be asked and cached. */
  readonly function: PciFunction;
  /** Who translates. */
  readonly port: AtsPort;
  /** Translations that it holds at most: a power of two from 8 to 65,536; 512 if left out. */
  readonly entries?: number;
}

/** The permissions that a memory request needs: {@link ATC_READ}, {@link ATC_WRITE}, {@link ATC_EXECUTE}. */
export const needOf = (request: DmaRequest): number =>
  request.write ? ATC_WRITE : request.instruction ? ATC_READ | ATC_EXECUTE : ATC_READ;

/**
 * An endpoint's Address Translation Cache (ATC): keeps what translation requests were answered, until an invalidation
 * takes it. PCI Express Base §10.2 (requests and completions), §10.3 (invalidation); IHI 0070 §3.9.1.
 *
 * A translation is used as long as: it came in a completion, ATS has been enabled ever since, and no invalidation that
 * covers it has arrived. An invalidation completes when no transaction that used such a translation is on its way
 * ({@link begin}, {@link end}) and no completion on its way can bring it back.
 */
export class AddressTranslationCache implements FunctionPart {
  readonly store: TranslationStore;
  readonly stats: AtcStats = {
    fills: 0,
    faults: 0,
    stale: 0,
    unsupported: 0,
    aborts: 0,
    unexpected: 0,
    invalidations: 0,
    beyondDepth: 0,
  };
  readonly #function: PciFunction;
  readonly #port: AtsPort;
  readonly #flights: Flights = new Flights();
  readonly #fills: Fill[] = [];
  readonly #idle: Fill[] = [];
  readonly #scope: InvalidationScope = new InvalidationScope();
  #off = false;

  /** @throws {@link IommuError} `EINVAL` for a size that cannot be, or if the function has no ATS capability. */
  constructor(options: AtcOptions) {
    if (options.function.invalidateQueueDepth === 0)
      throw new IommuError('EINVAL', `${options.function.name}: has no ATS capability`);
    this.#function = options.function;
    this.#port = options.port;
    this.store = new TranslationStore(options.entries ?? 512);
    this.#function.attach(this);
  }

  /** Whether translation requests and translated requests may be sent: ATS is enabled and was not refused. */
  get enabled(): boolean {
    return this.#function.rights.ats && !this.#off;
  }

  /** Translated transactions on their way. */
  get inFlight(): number {
    return this.#flights.count;
  }

  /** Invalidations that wait for transactions on their way. */
  get draining(): number {
    return this.#flights.draining;
  }

  /**
   * Finds a cached translation. Allocates nothing.
   * @param need - Permissions that it must have, of {@link needOf}.
   * @returns A handle (0 or more) for {@link translatedLo} and its like, good until the cache next changes; else
   *   {@link ATC_MISS}.
   */
  lookup(substreamId: number, lo: number, hi: number, need: number, privileged: boolean): number {
    return this.store.find(substreamId, lo, hi, need, privileged);
  }

  /** Words of the translated address. @param lo - Lower word of the address that was looked up. */
  translatedLo(handle: number, lo: number): number {
    return this.store.translatedLo(handle, lo);
  }
  /** @param hi - Upper word of the address that was looked up. */
  translatedHi(handle: number, hi: number): number {
    return this.store.translatedHi(handle, hi);
  }

  /** U: the translation permits untranslated requests only, its address means nothing. */
  untranslatedOnly(handle: number): boolean {
    return (this.store.bits(handle) & ATC_UNTRANSLATED) !== 0;
  }

  /** N: requests there must leave No Snoop clear. */
  mustSnoop(handle: number): boolean {
    return (this.store.bits(handle) & ATC_SNOOP) !== 0;
  }

  /**
   * A translation from the cache, or else from whoever translates, at once.
   * @returns A handle as {@link lookup} gives, or {@link ATC_FAULT}, {@link ATC_STALE}, {@link ATC_OFF},
   *   {@link ATC_ABORTED}, {@link ATC_REFUSED}.
   */
  translate(substreamId: number, lo: number, hi: number, need: number, privileged: boolean): number {
    if (!this.enabled) return ATC_OFF;
    if (!this.#allows(substreamId, need, privileged)) return ATC_REFUSED;
    const handle = this.lookup(substreamId, lo, hi, need, privileged);
    return handle >= 0 ? handle : this.accept(this.ask(substreamId, lo, hi, need, privileged));
  }

  /**
   * Sends a translation request. Give its completion to {@link accept}, at once or when it has travelled back.
   * @throws {@link IommuError} `EPERM` if software has not allowed it: ATS, bus mastering, PASID, execute, privilege.
   */
  ask(substreamId: number, lo: number, hi: number, need: number, privileged: boolean): Fill {
    if (!this.enabled || !this.#allows(substreamId, need, privileged))
      throw new IommuError(
        'EPERM',
        `${this.#function.name}: translation request (PASID ${substreamId}, need ${need}, privileged ${privileged}) is not allowed by its registers`,
      );
    // What is there already for that address will be replaced: ask for as much again.
    const old = this.lookup(substreamId, lo, hi, 0, privileged);
    const wanted = old >= 0 ? need | this.store.bits(old) : need;
    const { stuShift } = this.#function.rights;
    const fill = this.#idle.pop() ?? new Fill();
    const { request } = fill;
    request.streamId = this.#function.streamId;
    request.substreamId = substreamId;
    request.addressLo = (lo & MASK_LO[stuShift]!) >>> 0;
    request.addressHi = (hi & MASK_HI[stuShift]!) >>> 0;
    request.noWrite = (wanted & ATC_WRITE) === 0;
    request.instruction = (wanted & ATC_EXECUTE) !== 0;
    request.privileged = privileged;
    fill.need = need;
    fill.answered = false;
    fill.stale = false;
    clearCompletion(request);
    this.#fills.push(fill);
    this.stats.fills += 1;
    fill.status = this.#port.translate(request);
    fill.answered = true;
    return fill;
  }

  /**
   * Takes in the completion of a translation request, which is then done with.
   * @returns As {@link translate}.
   */
  accept(fill: Fill): number {
    this.#fills.splice(this.#fills.indexOf(fill), 1);
    this.#idle.push(fill);
    const { request, status } = fill;
    if (fill.stale || !this.enabled) {
      this.stats.stale += 1;
      return this.enabled ? ATC_STALE : ATC_OFF;
    }
    if (status === ATS_ABORT) {
      this.stats.aborts += 1;
      return ATC_ABORTED;
    }
    // A range smaller than STU counts as Unsupported Request, as every status that PCIe does not define.
    if (status !== ATS_SUCCESS || !(request.log2Bytes >= this.#function.rights.stuShift)) return this.#refused();
    if (!request.read && !request.write) {
      this.stats.faults += 1; // never cached: that a page appears is not announced
      return ATC_FAULT;
    }
    if (!fits(request)) {
      this.stats.unexpected += 1;
      return ATC_ABORTED;
    }
    return this.#enter(fill);
  }

  /**
   * A transaction that uses a translation is about to be sent. Pair with {@link end}.
   * @param flight - Not on its way yet.
   * @param handle - What {@link lookup} or {@link translate} returned.
   */
  begin(flight: Flight, handle: number, lo: number, hi: number): void {
    this.#flights.begin(flight, this.store.tag(handle), lo | 0, hi | 0);
  }

  /** The transaction has ended. */
  end(flight: Flight): void {
    this.#flights.end(flight);
  }

  /** Takes an invalidation, as `AtsEndpoint.invalidate`; ATS need not be enabled. */
  invalidate(
    substreamId: number,
    global: boolean,
    addressLo: number,
    addressHi: number,
    log2Bytes: number,
    complete: () => void,
  ): void {
    this.stats.invalidations += 1;
    if (this.draining >= this.#function.invalidateQueueDepth) this.stats.beyondDepth += 1;
    const scope = this.#scope;
    const all = global && this.#function.globalInvalidate; // else the function ignores the bit
    const size = Math.min(64, Math.max(log2Bytes, this.#function.rights.stuShift));
    scope.set(substreamId, all, addressLo, addressHi, size);
    this.#drop(scope);
    this.#flights.drain(scope, complete);
  }

  /** A PASID is not used any more: its translations go, without a word to anybody (PCIe §10.3.7). */
  dropPasid(substreamId: number): void {
    this.#scope.set(substreamId, false, 0, 0, 64);
    this.#drop(this.#scope);
  }

  /** Enabled anew the cache is empty, and no earlier refusal counts (PCIe §10.3.7). */
  atsChanged(): void {
    this.#off = false;
    this.#clear();
  }

  reset(): void {
    this.atsChanged();
  }

  #drop(scope: InvalidationScope): void {
    this.store.invalidate(scope);
    for (const fill of this.#fills) {
      const { substreamId, privileged, addressLo, addressHi, log2Bytes } = fill.request;
      const tag = fill.answered && fill.request.global ? TAG_GLOBAL : 0;
      // What is not answered yet may turn out to be a range of any size.
      const size = fill.answered ? log2Bytes : 64;
      if (scope.covers(tagOf(substreamId, privileged) | tag, addressLo, addressHi, size)) fill.stale = true;
    }
  }

  #clear(): void {
    this.store.clear();
    for (const fill of this.#fills) fill.stale = true;
  }

  #refused(): number {
    this.stats.unsupported += 1;
    this.#off = true;
    this.#clear();
    return ATC_OFF;
  }

  #enter({ request, need }: Fill): number {
    const global = request.global && request.substreamId !== NO_SUBSTREAM && this.#function.globalInvalidate;
    const substreamId = global ? NO_SUBSTREAM : request.substreamId;
    const tag = tagOf(substreamId, request.privilegedGranted) | (global ? TAG_GLOBAL : 0);
    const bits =
      (request.read ? ATC_READ : 0) |
      (request.write ? ATC_WRITE : 0) |
      (request.execute ? ATC_EXECUTE : 0) |
      (request.untranslatedOnly ? ATC_UNTRANSLATED : 0) |
      (request.nonSnooped ? ATC_SNOOP : 0);
    const { addressLo, addressHi, log2Bytes, translated } = request;
    const handle = this.store.insert(
      tag,
      addressLo,
      addressHi,
      log2Bytes,
      bits,
      bits & ATC_UNTRANSLATED ? 0 : translated,
    );
    // Permissions that were answered for the other privilege say nothing about this one.
    if ((need & ~bits) === 0 && request.privileged === ((tag & TAG_PRIVILEGED) !== 0)) return handle;
    this.stats.faults += 1;
    return ATC_FAULT;
  }

  #allows(substreamId: number, need: number, privileged: boolean): boolean {
    const { rights } = this.#function;
    return rights.master && rights.allowsPasid(substreamId, (need & ATC_EXECUTE) !== 0, privileged);
  }
}

/** An answer tells all; what it does not mention must not stay from the last one. */
function clearCompletion(request: AtsRequest): void {
  request.translated = 0;
  request.log2Bytes = 12;
  request.read = false;
  request.write = false;
  request.execute = false;
  request.privilegedGranted = false;
  request.global = false;
  request.untranslatedOnly = false;
  request.nonSnooped = false;
}

/** Whether a completion that grants something is one that PCIe allows as an answer (§10.2.3.2, §10.2.3.6-8). */
function fits(request: AtsRequest): boolean {
  const { log2Bytes, translated } = request;
  return (
    log2Bytes <= 63 &&
    Number.isInteger(log2Bytes) &&
    (request.untranslatedOnly || (translated >= 0 && Number.isInteger(translated * 2 ** -log2Bytes))) &&
    (!request.execute || (request.instruction && request.read)) &&
    (!request.privilegedGranted || request.privileged)
  );
}
