/**
 * The Page Request Interface: requests of endpoints as records of the PRI queue, and the answers that the SMMU itself
 * gives when it cannot take them. IHI 0070 §3.9.2, §8; PCIe 6.0 §10.4; Linux arm_smmu_handle_ppr.
 */
import {
  type AtsEndpoint,
  NO_SUBSTREAM,
  type PageRequestMessage,
  type PhysicalMemory,
  PRG_FAILURE,
  PRG_SUCCESS,
} from '@smmu/platform';
import {
  CR0,
  CR0ACK,
  CR2,
  EVENT,
  GERROR,
  PRIQ_BASE,
  PRIQ_CONS,
  PRIQ_ENTRY,
  PRIQ_IRQ_CFG2,
  PRIQ_PROD,
} from '@smmu/spec';
import type { ModelFeatures } from './features.ts';
import type { GlobalErrors } from './gerror.ts';
import type { Interrupts } from './interrupts.ts';
import { alignDown, lowBits } from './powers.ts';
import { isEmpty, isFull, next, slot } from './queue.ts';
import { word } from './registers.ts';
import type { Translator } from './transaction.ts';

const PROD = word(PRIQ_PROD);
const CONS = word(PRIQ_CONS);
const BASE = word(PRIQ_BASE);
const OVERFLOW = PRIQ_PROD.fields.OVFLG.mask;
const ABORT_ERROR = GERROR.fields.PRIQ_ABT_ERR.mask;
const RECORD_BYTES = 16;

/** What the queue works with. */
export interface PriQueueParts {
  readonly memory: PhysicalMemory;
  readonly words: Uint32Array;
  readonly features: ModelFeatures;
  readonly errors: GlobalErrors;
  readonly interrupts: Interrupts;
  readonly translator: Translator;
  readonly endpoints: ReadonlyMap<number, AtsEndpoint>;
  /** Records the translator's fault, found while an automatic answer was made. */
  readonly record: (message: PageRequestMessage) => void;
}

export class PriQueue {
  /** Requests written to the queue. */
  received = 0;
  /** Requests that were not, and those of them that the SMMU answered. */
  dropped = 0;
  answered = 0;
  readonly #parts: PriQueueParts;
  readonly #entry: Uint32Array = new Uint32Array(RECORD_BYTES / 4);
  readonly #bytes: Uint8Array = new Uint8Array(this.#entry.buffer);
  #base = 0;
  #log2Size = 0;

  constructor(parts: PriQueueParts) {
    this.#parts = parts;
  }

  /** PRIQEN was set: takes PRIQ_BASE in, which is locked from now on. */
  configure(): void {
    const { words, features } = this.#parts;
    const log2Size = Math.min(PRIQ_BASE.fields.LOG2SIZE.of(words[BASE]!), features.priqLog2Max);
    this.#log2Size = log2Size;
    this.#base = lowBits(
      alignDown(PRIQ_BASE.fields.ADDR.get(words, BASE), Math.max(5, log2Size + 4)),
      features.oasBits,
    );
  }

  /** Takes a page request, or answers it. */
  request(message: PageRequestMessage): void {
    const { words, errors } = this.#parts;
    const cr0 = words[word(CR0ACK)]!;
    if (!CR0.fields.PRIQEN.of(cr0) || !CR0.fields.SMMUEN.of(cr0) || errors.isActive(ABORT_ERROR)) {
      this.#drop(message, PRG_FAILURE, false);
      return;
    }
    const prod = words[PROD]!;
    const cons = words[CONS]!;
    const overflown = ((prod ^ cons) & OVERFLOW) !== 0;
    if (overflown || isFull(prod, cons, this.#log2Size)) {
      // Unlike the event queue, it stays shut until software acknowledged the overflow.
      if (!overflown) words[PROD]! ^= OVERFLOW;
      this.#overflow(message);
      return;
    }
    this.#write(message, prod, cons);
  }

  #write(message: PageRequestMessage, prod: number, cons: number): void {
    const { memory, words, errors, interrupts } = this.#parts;
    const entry = this.#entry.fill(0);
    PRIQ_ENTRY.StreamID.set(entry, 0, message.streamId >>> 0);
    if (message.substreamId !== NO_SUBSTREAM) {
      PRIQ_ENTRY.SSV.set(entry, 0, true);
      PRIQ_ENTRY.SubstreamID.set(entry, 0, message.substreamId);
    }
    PRIQ_ENTRY.R.set(entry, 0, message.read);
    PRIQ_ENTRY.W.set(entry, 0, message.write);
    PRIQ_ENTRY.X.set(entry, 0, message.execute);
    PRIQ_ENTRY.Priv.set(entry, 0, message.privileged);
    PRIQ_ENTRY.Last.set(entry, 0, message.last);
    PRIQ_ENTRY.PRGIndex.set(entry, 0, message.group);
    PRIQ_ENTRY.Addr.set(entry, 0, message.addressLo, message.addressHi);
    const wasEmpty = isEmpty(prod, cons, this.#log2Size);
    words[PROD] = (prod & OVERFLOW) | next(prod, this.#log2Size);
    if (!memory.writeBytes(this.#base + RECORD_BYTES * slot(prod, this.#log2Size), this.#bytes, 0, RECORD_BYTES)) {
      words[PROD] = prod;
      errors.activate(ABORT_ERROR);
      this.#drop(message, PRG_FAILURE, false);
      return;
    }
    this.received++;
    const perLast = PRIQ_IRQ_CFG2.fields.LO.of(words[word(PRIQ_IRQ_CFG2)]!);
    if (perLast ? message.last : wasEmpty) interrupts.priq();
  }

  /** A queue that overflows says "success", so that the endpoint asks again. */
  #overflow(message: PageRequestMessage): void {
    const { features, translator, words, record } = this.#parts;
    if (features.pasidOnAutoResponse || message.substreamId === NO_SUBSTREAM) {
      this.#drop(message, PRG_SUCCESS, true);
      return;
    }
    const ste = translator.stream(message.streamId >>> 0);
    if (ste !== null) {
      this.#drop(message, PRG_SUCCESS, ste.ppar);
      return;
    }
    // Whether the answer may carry the PASID cannot be known.
    const cr2 = words[word(CR2)]!;
    const silent = translator.fault.code === EVENT.C_BAD_STREAMID && !CR2.fields.RECINVSID.of(cr2);
    if (CR2.fields.REC_CFG_ATS.of(cr2) && !silent) record(message);
    this.#drop(message, PRG_FAILURE, false);
  }

  /** Only the last request of a group is answered, and a stop marker never. */
  #drop(message: PageRequestMessage, response: typeof PRG_FAILURE | typeof PRG_SUCCESS, withPasid: boolean): void {
    this.dropped++;
    const isStopMarker = !message.read && !message.write && message.substreamId !== NO_SUBSTREAM;
    if (!message.last || isStopMarker) return;
    this.answered++;
    const endpoint = this.#parts.endpoints.get(message.streamId);
    endpoint?.pageResponse(withPasid ? message.substreamId : NO_SUBSTREAM, message.group, response);
  }
}
