/**
 * Address Translation Services: translation requests of PCIe endpoints, transactions with the addresses that they were
 * given, and who is told to drop them. IHI 0070 §3.9.1, §3.9.2, §13.6, §13.7; PCIe 6.0 §10; Linux arm_smmu_enable_ats.
 */
import {
  ATS_ABORT,
  ATS_SUCCESS,
  ATS_UNSUPPORTED,
  type AtsEndpoint,
  type AtsRequest,
  type AtsStatus,
  type DmaRequest,
  NO_SUBSTREAM,
} from '@smmu/platform';
import { CR0, CR0ACK, CR2, EVENT } from '@smmu/spec';
import { type Context, KIND_BYPASS, KIND_NESTED } from './context.ts';
import { NEEDS } from './entryBits.ts';
import { ACCESS_EXECUTE, ACCESS_KEEPS_CLEAN, ACCESS_PRIVILEGED, ACCESS_WRITE, CLASS_IN } from './fault.ts';
import type { ModelFeatures } from './features.ts';
import { alignDown, POWER } from './powers.ts';
import { word } from './registers.ts';
import { type Stage2, UPDATE_DIRTY } from './stage2.ts';
import { CONFIG_BYPASS, type StreamConfig } from './ste.ts';
import type { TagCache } from './tagCache.ts';
import type { Translator } from './transaction.ts';

const EATS_OFF = 0;
const EATS_SPLIT = 2;
const PAGE_LOG2 = 12;

/** How a Translated transaction goes on. */
export const TRANSLATED_OK = 0;
/** Aborted, recorded if the fault has a code. */
export const TRANSLATED_REFUSED = 1;

/** Records the translator's fault: for which request, with which access bits. */
export type FaultRecorder = (request: AtsRequest, access: number) => void;

export class AtsUnit {
  /** Endpoints that invalidations and page responses go to, by StreamID. */
  readonly endpoints: Map<number, AtsEndpoint> = new Map();
  /** Translation requests answered, by PCIe status. */
  readonly answers: Uint32Array = new Uint32Array(8);
  /** Where a Translated transaction leads. */
  pa = 0;
  readonly #features: ModelFeatures;
  readonly #words: Uint32Array;
  readonly #translator: Translator;
  readonly #iotlb: TagCache;
  readonly #stage2: Stage2;
  readonly #record: FaultRecorder;

  constructor(
    features: ModelFeatures,
    words: Uint32Array,
    translator: Translator,
    iotlb: TagCache,
    stage2: Stage2,
    record: FaultRecorder,
  ) {
    this.#features = features;
    this.#words = words;
    this.#translator = translator;
    this.#iotlb = iotlb;
    this.#stage2 = stage2;
    this.#record = record;
  }

  /**
   * Answers a translation request.
   * @param busy - The SMMU is in the middle of something: nothing is granted, and the endpoint may ask again.
   */
  translate(request: AtsRequest, busy: boolean): AtsStatus {
    request.translated = 0;
    request.log2Bytes = PAGE_LOG2;
    request.read = request.write = request.execute = false;
    request.privilegedGranted = request.privileged && request.substreamId !== NO_SUBSTREAM;
    request.global = request.untranslatedOnly = request.nonSnooped = false;
    const status = busy ? ATS_SUCCESS : this.#answer(request);
    this.answers[status]!++;
    return (request.status = status);
  }

  #answer(request: AtsRequest): AtsStatus {
    const translator = this.#translator;
    const enabled = CR0.fields.SMMUEN.of(this.#words[word(CR0ACK)]!);
    if (!enabled || !this.#features.ats) return this.#forbidden(request, 'ATS request while SMMUEN=0 or without ATS');
    const context = translator.resolve(request.streamId >>> 0, request.substreamId);
    if (context === null) return this.#answerFault(request);
    const { ste } = context;
    if (ste.config === 0) return ATS_UNSUPPORTED;
    if (ste.config === CONFIG_BYPASS || this.#eats(ste) === EATS_OFF)
      return this.#forbidden(request, `ATS request of a stream with Config=${ste.config}, EATS=${ste.eats}`);
    if (context.kind === KIND_BYPASS) return this.#identity(request);
    return this.#grant(request, context);
  }

  /** STE.EATS as it counts: split-stage needs CR0.ATSCHK. */
  #eats(ste: StreamConfig): number {
    return ste.eats === EATS_SPLIT && !this.#checks ? EATS_OFF : ste.eats;
  }

  get #checks(): boolean {
    return CR0.fields.ATSCHK.of(this.#words[word(CR0ACK)]!);
  }

  get #recordsConfiguration(): boolean {
    return CR2.fields.REC_CFG_ATS.of(this.#words[word(CR2)]!);
  }

  #forbidden(request: AtsRequest, reason: string): AtsStatus {
    this.#translator.ste = null;
    this.#translator.fault.set(EVENT.F_BAD_ATS_TREQ, reason);
    this.#record(request, 0);
    return ATS_UNSUPPORTED;
  }

  /** Stage 1 is skipped and stage 2 is not in use: the address itself. */
  #identity(request: AtsRequest): AtsStatus {
    const address = (request.addressHi >>> 0) * 2 ** 32 + (request.addressLo >>> 0);
    if (address >= POWER[this.#features.oasBits]!) return ATS_SUCCESS; // an F_ADDR_SIZE: nothing is granted
    request.translated = alignDown(address, PAGE_LOG2);
    request.read = request.write = true;
    request.execute = request.instruction && request.substreamId !== NO_SUBSTREAM;
    return ATS_SUCCESS;
  }

  /** Reading, writing and executing each by itself: a permission that one lacks the others may have. */
  #grant(request: AtsRequest, context: Context): AtsStatus {
    const hasPasid = request.substreamId !== NO_SUBSTREAM;
    const base = hasPasid && request.privileged ? ACCESS_PRIVILEGED : 0;
    const readable = this.#probe(request, base | ACCESS_KEEPS_CLEAN);
    if (readable === NOT_MAPPED || readable === FAILED)
      return readable === FAILED ? this.#answerFault(request) : ATS_SUCCESS;
    request.read = readable === GRANTED;
    const writable = this.#probe(request, base | ACCESS_WRITE | (request.noWrite ? ACCESS_KEEPS_CLEAN : 0));
    if (writable === FAILED) return this.#answerFault(request);
    request.write = writable === GRANTED;
    if (request.read && request.instruction && hasPasid)
      request.execute = this.#probe(request, base | ACCESS_EXECUTE | ACCESS_KEEPS_CLEAN) === GRANTED;
    if (!request.read && !request.write) return ATS_SUCCESS;
    this.#describe(request, context);
    return ATS_SUCCESS;
  }

  #probe(request: AtsRequest, access: number): number {
    const translator = this.#translator;
    if (translator.lookup(request.streamId >>> 0, request.substreamId, request.addressLo, request.addressHi, access))
      return GRANTED;
    const { fault } = translator;
    if (!fault.configurable && !fault.bypass) return FAILED;
    return fault.code === EVENT.F_PERMISSION && fault.klass === CLASS_IN ? REFUSED : NOT_MAPPED;
  }

  /** The naturally aligned range that the cached translation holds for, and where it leads. */
  #describe(request: AtsRequest, context: Context): void {
    const handle = this.#translator.entry(request.addressLo, request.addressHi);
    request.log2Bytes = this.#iotlb.shiftOf(handle);
    // Split-stage: the endpoint gets the intermediate address and every use of it takes stage 2.
    const split = context.kind === KIND_NESTED && this.#eats(context.ste) === EATS_SPLIT;
    request.translated = split ? this.#iotlb.ipas[this.#iotlb.indexOf(handle)]! : this.#iotlb.baseOf(handle);
  }

  /** Configuration errors and aborts on the way: Completer Abort, recorded only if software asked for it. */
  #answerFault(request: AtsRequest): AtsStatus {
    const { fault } = this.#translator;
    if (fault.configurable || fault.bypass) return ATS_SUCCESS; // of stage 2 on the way to the CD: nothing is granted
    if (this.#recordsConfiguration && (fault.code !== EVENT.C_BAD_STREAMID || this.#recordsStreamIds))
      this.#record(request, 0);
    return ATS_ABORT;
  }

  get #recordsStreamIds(): boolean {
    return CR2.fields.RECINVSID.of(this.#words[word(CR2)]!);
  }

  /**
   * What becomes of a transaction whose address was translated by ATS. Where the fault has no code, nothing is recorded.
   * @param access - Bits of the transaction, to be reported and, in split-stage use, checked.
   */
  translated(request: DmaRequest, access: number): number {
    const translator = this.#translator;
    const { fault } = translator;
    translator.ste = null;
    translator.context = null;
    translator.access = access;
    const enabled = CR0.fields.SMMUEN.of(this.#words[word(CR0ACK)]!);
    if (!enabled || !this.#features.ats) {
      fault.set(EVENT.F_TRANSL_FORBIDDEN, 'Translated transaction while SMMUEN=0 or without ATS');
      return TRANSLATED_REFUSED;
    }
    const address = (request.addressHi >>> 0) * 2 ** 32 + (request.addressLo >>> 0);
    this.pa = address;
    if (!this.#checks) return this.#fits(address);
    const ste = translator.stream(request.streamId >>> 0);
    if (ste === null) {
      if (!this.#recordsConfiguration) fault.code = 0;
      return TRANSLATED_REFUSED;
    }
    if (ste.config === 0) {
      fault.set(0, 'STE.Config=0xx aborts without a record');
      return TRANSLATED_REFUSED;
    }
    if (ste.config === CONFIG_BYPASS || ste.eats === EATS_OFF) {
      fault.set(
        EVENT.F_TRANSL_FORBIDDEN,
        `Translated transaction of a stream with Config=${ste.config}, EATS=${ste.eats}`,
      );
      return TRANSLATED_REFUSED;
    }
    if (ste.eats !== EATS_SPLIT) return this.#fits(address);
    if (address >= POWER[this.#features.oasBits]!) {
      fault.set(EVENT.F_ADDR_SIZE, 'Translated address beyond the intermediate size');
      fault.bypass = true;
      return TRANSLATED_REFUSED;
    }
    const need = NEEDS[access & 7]!;
    if (!this.#stage2.translate(ste, request.addressLo | 0, request.addressHi | 0, need, true, UPDATE_DIRTY))
      return TRANSLATED_REFUSED;
    this.pa = this.#stage2.pa;
    return TRANSLATED_OK;
  }

  #fits(address: number): number {
    if (address < POWER[this.#features.oasBits]!) return TRANSLATED_OK;
    this.#translator.fault.set(0, 'Translated address beyond the output size');
    return TRANSLATED_REFUSED;
  }
}

const GRANTED = 0;
const REFUSED = 1;
/** Translation, address size and access faults, and permission faults on the way: the completion grants nothing. */
const NOT_MAPPED = 2;
const FAILED = 3;
