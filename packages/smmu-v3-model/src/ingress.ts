/**
 * Transactions from arrival to answer: translated and carried out, terminated, or stalled, with the record that tells
 * of it. IHI 0070 §3.4, §3.12, §6.3.14, §7.3.2.
 */
import {
  type AtsRequest,
  DMA_ABORT,
  DMA_OK,
  DMA_PENDING,
  type DmaRequest,
  type DmaStatus,
  IommuError,
  type PageRequestMessage,
  type PhysicalMemory,
  type Scheduler,
} from '@smmu/platform';
import { CR2, EVENT, eventByCode, GBPA } from '@smmu/spec';
import { type AtsUnit, TRANSLATED_OK } from './ats.ts';
import type { Checker } from './checker.ts';
import { END_STALL, END_ZERO, endOf, isRecorded } from './context.ts';
import type { Control } from './control.ts';
import type { EventQueue } from './eventQueue.ts';
import { fillRecord } from './eventRecord.ts';
import type { ModelFeatures } from './features.ts';
import { POWER } from './powers.ts';
import { word } from './registers.ts';
import type { StallBuffer } from './stall.ts';
import { accessOf, type Translator } from './transaction.ts';

/** A transaction is at most this long and does not leave its naturally aligned 4 KiB. */
const LARGEST = 4096;

/** What it works with. */
export interface IngressParts {
  readonly memory: PhysicalMemory;
  readonly words: Uint32Array;
  readonly features: ModelFeatures;
  readonly scheduler: Scheduler;
  readonly translator: Translator;
  readonly events: EventQueue;
}

export class Ingress {
  /** SMMUEN as acknowledged. */
  enabled = false;
  transactions = 0;
  bytes = 0;
  /** Translated, and then aborted by memory. */
  externalAborts = 0;
  /** Aborted, or answered with zeros, without a record. */
  silent = 0;
  // Set once, after construction: they need this one.
  control!: Control;
  stalls!: StallBuffer;
  ats!: AtsUnit;
  /** Looks at every translation a second time, where somebody wants it to. */
  checker: Checker | null = null;
  readonly #parts: IngressParts;
  readonly #memory: PhysicalMemory;
  readonly #translator: Translator;
  /** The SMMU is storing to memory: a store observer must not find it half way. */
  #busy = false;

  constructor(parts: IngressParts) {
    this.#parts = parts;
    this.#memory = parts.memory;
    this.#translator = parts.translator;
  }

  /** @throws {@link IommuError} `EINVAL` if the request's bytes lie outside its own buffer. */
  submit(request: DmaRequest): DmaStatus {
    if (request.dataStart < 0 || request.dataStart + request.length > request.data.length)
      throw new IommuError(
        'EINVAL',
        `DMA of ${request.length} bytes from ${request.dataStart} of a buffer of ${request.data.length}`,
      );
    this.transactions++;
    return this.run(request);
  }

  /** Everything after a transaction's arrival; a retry begins here. */
  run(request: DmaRequest): DmaStatus {
    if (this.#busy) return this.#defer(request);
    const { length, addressLo } = request;
    if (!(length >= 0 && (addressLo & (LARGEST - 1)) + length <= LARGEST)) return this.#unsupported(request);
    if (!this.enabled || request.translated) return this.#unusual(request);
    const translator = this.#translator;
    const access = accessOf(request.write, request.instruction, request.privileged);
    this.#busy = true;
    const found = translator.translate(
      request.streamId >>> 0,
      request.substreamId,
      addressLo,
      request.addressHi,
      access,
    );
    if (this.checker !== null)
      this.checker.check(
        translator,
        found,
        request.streamId >>> 0,
        request.substreamId,
        addressLo,
        request.addressHi,
        access,
      );
    this.#busy = false;
    return found ? this.#move(request, translator.pa) : this.#failed(request, false);
  }

  get busy(): boolean {
    return this.#busy;
  }

  /** Runs something of the SMMU that is no transaction. Whatever arrives meanwhile waits. */
  exclusively<T>(what: () => T): T {
    const before = this.#busy;
    this.#busy = true;
    const result = what();
    this.#busy = before;
    return result;
  }

  /** Records the translator's fault for somebody who is no transaction: an ATS request, a page request. */
  record(subject: AtsRequest | PageRequestMessage, access: number): void {
    const { events } = this.#parts;
    fillRecord(events.record, this.#translator.fault, subject, access, -1);
    events.put(this.#translator.ste?.mev ?? false);
  }

  /** Moves the data. What memory answers is the device's to know, not the SMMU's to record. */
  #move(request: DmaRequest, pa: number): DmaStatus {
    const { data, dataStart, length } = request;
    const moved = request.write
      ? this.#memory.writeBytes(pa, data, dataStart, length)
      : this.#memory.readBytes(pa, data, dataStart, length);
    if (!moved) {
      this.externalAborts++;
      return (request.status = DMA_ABORT);
    }
    this.bytes += length;
    return (request.status = DMA_OK);
  }

  /** SMMUEN=0, or an address that ATS translated. */
  #unusual(request: DmaRequest): DmaStatus {
    if (request.translated) {
      const access = accessOf(request.write, request.instruction, request.privileged);
      const verdict = this.exclusively(() => this.ats.translated(request, access));
      return verdict === TRANSLATED_OK ? this.#move(request, this.ats.pa) : this.#failed(request, true);
    }
    const address = (request.addressHi >>> 0) * 2 ** 32 + (request.addressLo >>> 0);
    if (GBPA.fields.ABORT.of(this.control.gbpa) || address >= POWER[this.#parts.features.oasBits]!) {
      this.silent++;
      return (request.status = DMA_ABORT);
    }
    return this.#move(request, address);
  }

  #unsupported(request: DmaRequest): DmaStatus {
    const translator = this.#translator;
    translator.ste = null;
    translator.context = null;
    translator.access = accessOf(request.write, request.instruction, request.privileged);
    translator.fault.set(
      request.translated ? 0 : EVENT.F_UUT, // of a Translated transaction it is silent (§3.9.1.3)
      'the transaction leaves its naturally aligned 4 KiB',
    );
    return this.#failed(request, false);
  }

  /**
   * Ends or stalls a transaction as the stream's fault bits say, and records it.
   * @param always - Whether C_BAD_STREAMID is recorded was decided already.
   */
  #failed(request: DmaRequest, always: boolean): DmaStatus {
    const { fault, ste, context, access } = this.#translator;
    const { events, words } = this.#parts;
    const cd = context?.cd ?? null;
    const end = endOf(fault, ste, cd);
    this.#busy = true;
    if (end === END_STALL) this.#stall(request, access);
    else {
      if (!isRecorded(fault, ste, cd, always || CR2.fields.RECINVSID.of(words[word(CR2)]!))) this.silent++;
      else {
        fillRecord(events.record, fault, request, access, -1);
        events.put(ste?.mev ?? false);
      }
      request.status = DMA_ABORT;
      if (end === END_ZERO) {
        if (!request.write) request.data.fill(0, request.dataStart, request.dataStart + request.length);
        request.status = DMA_OK;
      }
    }
    this.#busy = false;
    return request.status;
  }

  #stall(request: DmaRequest, access: number): void {
    const { stalls } = this;
    const { events } = this.#parts;
    const { fault } = this.#translator;
    request.status = DMA_PENDING;
    const tag = stalls.freeTag();
    if (tag >= 0) {
      fillRecord(events.record, fault, request, access, tag);
      if (events.putStall()) {
        stalls.hold(request, tag, eventByCode(fault.code)!.name);
        return;
      }
    }
    stalls.wait(request);
  }

  #defer(request: DmaRequest): DmaStatus {
    this.#parts.scheduler.post('hardware', () => {
      if (this.run(request) !== DMA_PENDING) request.complete?.(request);
    });
    return (request.status = DMA_PENDING);
  }
}
