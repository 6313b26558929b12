/**
 * Address translation operations: software asks where an address would lead. IHI 0070 §9.1, §6.3.37 to §6.3.40.
 * The answer is in GATOS_PAR; no event is recorded, nothing stalls, and fault bits do not count.
 */
import { NO_SUBSTREAM } from '@smmu/platform';
import { CR0, CR0ACK, EVENT, GATOS_ADDR, GATOS_CTRL, GATOS_PAR, GATOS_SID } from '@smmu/spec';
import { type Context, KIND_BYPASS, KIND_S2 } from './context.ts';
import { ACCESS_EXECUTE, ACCESS_NO_UPDATE, ACCESS_PRIVILEGED, ACCESS_WRITE, CLASS_IN, NO_FAULT } from './fault.ts';
import type { ModelFeatures } from './features.ts';
import { alignDown } from './powers.ts';
import { word } from './registers.ts';
import { CONFIG_NESTED, CONFIG_S1, type StreamConfig } from './ste.ts';
import type { TagCache } from './tagCache.ts';
import type { Translator } from './transaction.ts';

const TYPE_STAGE1 = 1;
const TYPE_STAGE2 = 2;
const TYPE_BOTH = 3;
const PAGE_LOG2 = 12;
/** Where stage 1 is skipped: what comes in by default (§13.1.3), which is write-back and non-shareable. */
const WRITE_BACK = 0xff;
const NON_SHAREABLE = 0;
const INTERNAL_ERR = 0xfd;
const INV_STAGE = 0xfe;
const INV_REQ = 0xff;
/** REASON: where a fault of stage 2 came from, by fault class. */
const REASONS: readonly number[] = [1, 2, 3];

export class Atos {
  readonly #features: ModelFeatures;
  readonly #words: Uint32Array;
  readonly #translator: Translator;
  readonly #iotlb: TagCache;

  constructor(features: ModelFeatures, words: Uint32Array, translator: Translator, iotlb: TagCache) {
    this.#features = features;
    this.#words = words;
    this.#translator = translator;
    this.#iotlb = iotlb;
  }

  /** Carries out the request that the registers hold, and clears RUN. */
  run(): void {
    const words = this.#words;
    words[word(GATOS_PAR)] = 0;
    words[word(GATOS_PAR) + 1] = 0;
    const fault = this.#answer();
    if (fault !== NO_FAULT) this.#fault(fault);
    GATOS_CTRL.fields.RUN.set(words, word(GATOS_CTRL), false);
  }

  /** Fills PAR, or returns the fault code to put there. */
  #answer(): number {
    const words = this.#words;
    const { TYPE, PnU, RnW, InD, HTTUI, ADDR } = GATOS_ADDR.fields;
    const at = word(GATOS_ADDR);
    const type = TYPE.get(words, at);
    const f = this.#features;
    if (type === 0 || (type !== TYPE_STAGE2 && !f.stage1) || (type !== TYPE_STAGE1 && !f.stage2)) return INV_REQ;
    if (!CR0.fields.SMMUEN.of(words[word(CR0ACK)]!)) return INTERNAL_ERR;
    const { SSID_VALID, SUBSTREAMID, STREAMID } = GATOS_SID.fields;
    const sid = STREAMID.get(words, word(GATOS_SID));
    const ssid = SSID_VALID.get(words, word(GATOS_SID)) ? SUBSTREAMID.get(words, word(GATOS_SID)) : NO_SUBSTREAM;
    const translator = this.#translator;
    const ste = translator.stream(sid);
    if (ste === null) return translator.fault.code;
    if (!fitsType(ste, type)) return INV_STAGE;
    const access =
      (PnU.get(words, at) ? ACCESS_PRIVILEGED : 0) |
      (RnW.get(words, at) ? 0 : ACCESS_WRITE) |
      (InD.get(words, at) ? ACCESS_EXECUTE : 0) |
      (HTTUI.get(words, at) ? ACCESS_NO_UPDATE : 0);
    const lo = ADDR.getLo(words, at);
    const hi = ADDR.getHi(words, at);
    if (type === TYPE_STAGE2) {
      if (!translator.lookupStage2(ste, lo, hi, access)) return this.#report(type);
      return this.#entry(translator.stage2Entry(ste, lo, hi));
    }
    const context = translator.resolve(sid, ssid);
    if (context === null)
      return type === TYPE_STAGE1 && translator.fault.stage2 ? EVENT.F_CD_FETCH : this.#report(type);
    const skipped = context.kind === KIND_BYPASS || context.kind === KIND_S2;
    if (type === TYPE_STAGE1 && skipped)
      return this.#success((hi >>> 0) * 2 ** 32 + lo, PAGE_LOG2, WRITE_BACK, NON_SHAREABLE);
    if (type === TYPE_STAGE1 && context.nested) return this.#firstHalf(context, lo, hi, access);
    if (!translator.lookup(sid, ssid, lo, hi, access, false)) return this.#report(type);
    return this.#entry(translator.entry(lo, hi));
  }

  /** Stage 1 of a nested stream: its output is an IPA, and what stage 2 says of that does not matter. */
  #firstHalf(context: Context, lo: number, hi: number, access: number): number {
    const { fault, stage1 } = this.#translator;
    if (this.#translator.walkStage1(context, lo, hi, access) || (fault.stage2 && fault.klass === CLASS_IN)) {
      const { ipa, ipaShift, ipaAttributes } = stage1;
      return this.#success(alignDown(ipa, ipaShift), ipaShift, ipaAttributes & 0xff, ipaAttributes >>> 8);
    }
    // Trouble of stage 2 on the way shows as an abort of the walk: whoever asks for stage 1 need not know of stage 2.
    return fault.stage2 ? EVENT.F_WALK_EABT : fault.code;
  }

  /** The fault, and where it was. */
  #report(type: number): number {
    const { fault } = this.#translator;
    const words = this.#words;
    if (fault.stage2) {
      GATOS_PAR.fields.REASON.set(words, word(GATOS_PAR), REASONS[fault.klass]!);
      if (type === TYPE_BOTH)
        GATOS_PAR.fields.FADDR.set(words, word(GATOS_PAR), alignDown(fault.ipa, PAGE_LOG2) % 2 ** 56);
    }
    return fault.code;
  }

  #entry(handle: number): number {
    const iotlb = this.#iotlb;
    const attributes = iotlb.attributes[iotlb.indexOf(handle)]!;
    return this.#success(iotlb.baseOf(handle), iotlb.shiftOf(handle), attributes & 0xff, attributes >>> 8);
  }

  /** A range larger than 4 KiB shows its size as the lowest address bit that is set. */
  #success(base: number, log2Bytes: number, type: number, shareability: number): number {
    const words = this.#words;
    const at = word(GATOS_PAR);
    const { ADDR, ATTR, SH, Size } = GATOS_PAR.fields;
    ADDR.set(words, at, log2Bytes > PAGE_LOG2 ? base + 2 ** (log2Bytes - 1) : base % 2 ** 56);
    Size.set(words, at, log2Bytes > PAGE_LOG2);
    ATTR.set(words, at, type);
    SH.set(words, at, shareability);
    return NO_FAULT;
  }

  #fault(code: number): void {
    const at = word(GATOS_PAR);
    GATOS_PAR.fields.FAULT.set(this.#words, at, true);
    GATOS_PAR.fields.FAULTCODE.set(this.#words, at, code);
  }
}

/** Whether a stream has the stages that a request is for. Skipping stage 1 by S1DSS does not count. */
function fitsType(ste: StreamConfig, type: number): boolean {
  if (type === TYPE_STAGE1) return ste.config === CONFIG_S1 || ste.config === CONFIG_NESTED;
  if (type === TYPE_STAGE2) return ste.stage2;
  return ste.config === CONFIG_NESTED;
}
