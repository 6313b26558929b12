/**
 * The event queue: records written in order, the overflow flag's protocol, merging, and what happens when it cannot be
 * written. IHI 0070 §3.5, §7.2, §7.3.1, §7.4; Linux arm_smmu_evtq_thread.
 */
import type { PhysicalMemory } from '@smmu/platform';
import {
  CR0,
  CR0ACK,
  EVENT_BYTES,
  EVENT_HEADER,
  EVENTQ_BASE,
  EVENTQ_CONS,
  EVENTQ_PROD,
  F_UUT,
  GERROR,
} from '@smmu/spec';
import { RECORD_WORDS } from './eventRecord.ts';
import type { ModelFeatures } from './features.ts';
import type { GlobalErrors } from './gerror.ts';
import type { Interrupts } from './interrupts.ts';
import { alignDown, lowBits } from './powers.ts';
import { isEmpty, isFull, next, slot } from './queue.ts';
import { word } from './registers.ts';

const PROD = word(EVENTQ_PROD);
const CONS = word(EVENTQ_CONS);
const BASE = word(EVENTQ_BASE);
const OVERFLOW = EVENTQ_PROD.fields.OVFLG.mask;
const ABORT_ERROR = GERROR.fields.EVENTQ_ABT_ERR.mask;

export class EventQueue {
  /** The record to be put, filled by the caller. */
  readonly record: Uint32Array = new Uint32Array(RECORD_WORDS);
  /** Records written, by code. */
  readonly counts: Uint32Array = new Uint32Array(256);
  /** Events that no record tells of: dropped while the queue was full, off or broken. */
  unrecorded = 0;
  /** Records that an equal one before them already told. */
  merged = 0;
  readonly #memory: PhysicalMemory;
  readonly #words: Uint32Array;
  readonly #features: ModelFeatures;
  readonly #errors: GlobalErrors;
  readonly #interrupts: Interrupts;
  readonly #bytes: Uint8Array = new Uint8Array(this.record.buffer);
  readonly #last: Uint32Array = new Uint32Array(RECORD_WORDS);
  #lastIndex = -1;
  #base = 0;
  #log2Size = 0;

  constructor(
    memory: PhysicalMemory,
    words: Uint32Array,
    features: ModelFeatures,
    errors: GlobalErrors,
    interrupts: Interrupts,
  ) {
    this.#memory = memory;
    this.#words = words;
    this.#features = features;
    this.#errors = errors;
    this.#interrupts = interrupts;
  }

  /** Enabled, not full, and no write of it was aborted and not acknowledged. */
  get writable(): boolean {
    return this.#enabled && !this.#full && !this.#errors.isActive(ABORT_ERROR);
  }

  /** Writes {@link record}, which tells of a stalled transaction. False if it could not: the caller keeps the stall. */
  putStall(): boolean {
    return this.writable && this.#write();
  }

  /**
   * Writes {@link record}, which tells of a terminated transaction, or drops it.
   * @param merge - STE.MEV: an equal record that is not read yet may stand for it.
   */
  put(merge: boolean): void {
    if (this.writable) {
      if (merge && this.#repeats()) this.merged++;
      else this.#write();
      return;
    }
    this.unrecorded++;
    // Only a full, working queue overflows; an overflow that is not acknowledged stays one.
    if (!this.#enabled || this.#errors.isActive(ABORT_ERROR)) return;
    if (((this.#words[PROD]! ^ this.#words[CONS]!) & OVERFLOW) === 0) this.#words[PROD]! ^= OVERFLOW;
  }

  get #enabled(): boolean {
    return CR0.fields.EVENTQEN.of(this.#words[word(CR0ACK)]!);
  }

  get #full(): boolean {
    return isFull(this.#words[PROD]!, this.#words[CONS]!, this.#log2Size);
  }

  /** EVENTQEN was set: takes EVENTQ_BASE in, which is locked from now on. */
  configure(): void {
    const words = this.#words;
    const log2Size = Math.min(EVENTQ_BASE.fields.LOG2SIZE.of(words[BASE]!), this.#features.evtqLog2Max);
    this.#log2Size = log2Size;
    // Beyond the output size addresses are truncated (§3.4.3).
    this.#base = lowBits(alignDown(EVENTQ_BASE.fields.ADDR.get(words, BASE), log2Size + 5), this.#features.oasBits);
    this.#lastIndex = -1;
  }

  #write(): boolean {
    const words = this.#words;
    const log2Size = this.#log2Size;
    const prod = words[PROD]!;
    const wasEmpty = isEmpty(prod, words[CONS]!, log2Size);
    // The index moves first: a store in memory may set off another transaction, which must find its own place.
    words[PROD] = (prod & OVERFLOW) | next(prod, log2Size);
    const code = EVENT_HEADER.Code.get(this.record, 0);
    this.#last.set(this.record);
    this.#lastIndex = words[PROD]!;
    if (!this.#memory.writeBytes(this.#base + EVENT_BYTES * slot(prod, log2Size), this.#bytes, 0, EVENT_BYTES)) {
      words[PROD] = prod;
      this.#lastIndex = -1;
      this.unrecorded++;
      this.#errors.activate(ABORT_ERROR);
      return false;
    }
    this.counts[code]!++;
    if (wasEmpty) this.#interrupts.eventq();
    return true;
  }

  /** Whether the newest record is unread and equal, but for the offset in a page of its input address. */
  #repeats(): boolean {
    const words = this.#words;
    if (words[PROD] !== this.#lastIndex || isEmpty(words[PROD]!, words[CONS]!, this.#log2Size)) return false;
    for (let i = 0; i < RECORD_WORDS; i++) {
      const mask = i === F_UUT.InputAddr.word ? ~0xfff : ~0;
      if (((this.record[i]! ^ this.#last[i]!) & mask) !== 0) return false;
    }
    return true;
  }
}
