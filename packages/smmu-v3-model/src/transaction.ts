/**
 * From a transaction to a physical address or a fault, in the order of checks of IHI 0070 §7.3.22, §3.3 and §3.4.
 * Results lie in the translator's own members: a record a transaction would cost as much as the look-up.
 */
import { EVENT } from '@smmu/spec';
import type { ConfigCache } from './configCache.ts';
import { Context, KIND_ABORT, KIND_BYPASS, KIND_S2, NO_CONTEXT } from './context.ts';
import { type ContextTable, INDEX_BYPASS, INDEX_FAULT } from './contextTable.ts';
import { BITS_NESTED, BITS_S1_CLEAN, BITS_S2_CLEAN, BITS_S2_SHIFT, NEEDS, PERM_WRITE } from './entryBits.ts';
import { ACCESS_EXECUTE, ACCESS_KIND, ACCESS_PRIVILEGED, ACCESS_WRITE, type Fault } from './fault.ts';
import type { ModelFeatures } from './features.ts';
import { offsetOf } from './powers.ts';
import { type Stage2, UPDATE_DIRTY } from './stage2.ts';
import type { StreamConfig } from './ste.ts';
import type { StreamTable } from './streamTable.ts';
import { fitsTag, META_TOP_SHIFT, type TagCache, topOf } from './tagCache.ts';
import type { TagNumbers } from './tagNumbers.ts';
import { type Stage1, updatesOf } from './walk.ts';
import type { WalkStats } from './walkStats.ts';

/** Context cache: direct mapped, a power of two. */
const SLOTS = 256;
/** Tag numbers that a new context may need. */
const TAGS_OF_CONTEXT = 3;

/** What a translator works with. */
export interface TranslatorParts {
  readonly features: ModelFeatures;
  readonly fault: Fault;
  readonly configCache: ConfigCache;
  readonly streamTable: StreamTable;
  readonly contextTable: ContextTable;
  readonly iotlb: TagCache;
  readonly stage1: Stage1;
  readonly stage2: Stage2;
  readonly walkStats: WalkStats;
  readonly numbers: TagNumbers;
}

export class Translator {
  /** Physical address of the last translation that succeeded. */
  pa = 0;
  /** The access bits after the stream's overrides: what an event reports. */
  access = 0;
  hits = 0;
  misses = 0;
  readonly fault: Fault;
  /** The stream's STE, and its context, as far as the last translation got: null if it did not get there. */
  ste: StreamConfig | null = null;
  context: Context | null = null;
  readonly #features: ModelFeatures;
  readonly #outputLimit: number;
  readonly #cache: ConfigCache;
  readonly #streamTable: StreamTable;
  readonly #contextTable: ContextTable;
  readonly #iotlb: TagCache;
  readonly stage1: Stage1;
  readonly #stage2: Stage2;
  readonly #walkStats: WalkStats;
  readonly #numbers: TagNumbers;
  readonly #slots: Context[] = new Array<Context>(SLOTS).fill(NO_CONTEXT);
  #generation = -1;

  constructor(parts: TranslatorParts) {
    this.#features = parts.features;
    this.#outputLimit = 2 ** parts.features.oasBits;
    this.fault = parts.fault;
    this.#cache = parts.configCache;
    this.#streamTable = parts.streamTable;
    this.#contextTable = parts.contextTable;
    this.#iotlb = parts.iotlb;
    this.stage1 = parts.stage1;
    this.#stage2 = parts.stage2;
    this.#walkStats = parts.walkStats;
    this.#numbers = parts.numbers;
  }

  /**
   * Translates the address of a transaction, SMMUEN being set. True: {@link pa} holds the result. False: {@link fault}
   * says why not, with code 0 for a stream that aborts silently.
   *
   * @param ssid - SubstreamID, or NO_SUBSTREAM.
   * @param lo - Input address, bits [31:0].
   * @param hi - Input address, bits [63:32].
   * @param access - Sum of ACCESS_WRITE, ACCESS_EXECUTE, ACCESS_PRIVILEGED.
   */
  translate(sid: number, ssid: number, lo: number, hi: number, access: number): boolean {
    if (this.#generation !== this.#cache.generation) this.#flushContexts();
    const context = this.#slots[(sid ^ Math.imul(ssid, 5)) & (SLOTS - 1)]!;
    if (context.sid !== sid || context.ssid !== ssid || context.special) return this.lookup(sid, ssid, lo, hi, access);
    const iotlb = this.#iotlb;
    const page = (lo >>> 12) | (hi << 20);
    const handle = iotlb.find(page & context.pageMask, context.meta | (topOf(hi) << META_TOP_SHIFT));
    if (handle >= 0 && fitsTag(hi)) {
      const bits = iotlb.tags[handle + 12]!;
      if ((bits & (bits >>> BITS_S2_SHIFT) & NEEDS[access]!) !== 0) {
        this.hits++;
        this.pa = iotlb.hiOf(handle) * 2 ** 32 + (iotlb.loOf(handle, lo & context.offsetMask) >>> 0);
        return true;
      }
    }
    this.access = access;
    this.ste = context.ste;
    this.context = context;
    if (context.cd === null) return this.#stage2Only(context, lo, hi, access);
    return this.#other(context, lo, hi, access, handle);
  }

  /**
   * As {@link translate}, and any of fault.ts's ACCESS bits. Streams out of the ordinary, those not seen before, and
   * whoever asks without being a transaction.
   * @param overrides - Apply STE.PRIVCFG and INSTCFG.
   */
  lookup(sid: number, ssid: number, lo: number, hi: number, access: number, overrides = true): boolean {
    this.access = access;
    this.ste = null;
    this.context = null;
    const context = this.resolve(sid, ssid);
    if (context === null) return false;
    if (overrides) this.access = access = (access & context.accessAnd) | context.accessOr;
    if (context.kind === KIND_ABORT) {
      this.fault.set(0, 'STE.Config=0xx aborts without a record');
      return false;
    }
    if (context.kind === KIND_BYPASS) return this.#bypass(lo, hi);
    if (context.kind === KIND_S2) return this.#stage2Only(context, lo, hi, access);
    return this.#stage1Input(context, lo, hi, access);
  }

  /** The context of a stream and substream as the last transaction used it, or null if nothing is known of it. */
  known(sid: number, ssid: number): Context | null {
    const context = this.#slots[(sid ^ Math.imul(ssid, 5)) & (SLOTS - 1)]!;
    return context.sid === sid && context.ssid === ssid ? context : null;
  }

  /** The legal STE of a stream, or null with the fault set. */
  stream(sid: number): StreamConfig | null {
    this.#numbers.reserve(TAGS_OF_CONTEXT);
    const ste = this.#streamTable.lookup(sid);
    this.ste = ste;
    return ste === null || ste.illegal === '' ? ste : this.#refuse(EVENT.C_BAD_STE, ste.illegal);
  }

  /** Stage 1 of a nested stream, from its tables whatever is cached; {@link stage1} holds what came of it. */
  walkStage1(context: Context, lo: number, hi: number, access: number): boolean {
    return !this.#isBarred(context, hi, access) && this.stage1.translate(context, lo, context.strip(hi), access);
  }

  /** E0PD keeps unprivileged accesses out of a half, whatever is mapped or cached there. */
  #isBarred(context: Context, hi: number, access: number): boolean {
    const upper = (hi & 0x80_0000) !== 0 && context.twoRanges;
    if (!(upper ? context.cd!.range1 : context.cd!.range0).e0pd || (access & ACCESS_PRIVILEGED) !== 0) return false;
    this.fault.set(EVENT.F_TRANSLATION, 'E0PD=1 and the access is unprivileged');
    return true;
  }

  /** Stage 2 of a stream alone, for an address that is an IPA. */
  lookupStage2(ste: StreamConfig, lo: number, hi: number, access: number): boolean {
    this.context = null;
    const done = this.#stage2.translate(ste, lo | 0, hi | 0, NEEDS[access & ACCESS_KIND]!, true, updatesOf(access));
    this.pa = this.#stage2.pa;
    return done;
  }

  /** The IOTLB's entry of stage 2 alone for an IPA, or -1. After {@link lookupStage2} succeeded there is one. */
  stage2Entry(ste: StreamConfig, lo: number, hi: number): number {
    const { pageClass, pageMask, pageMeta } = ste.range2;
    const page = (lo >>> 12) | (hi << 20);
    const handle = this.#iotlb.find(page & pageMask, ste.s2Number | (topOf(hi) << META_TOP_SHIFT) | pageMeta);
    return handle >= 0 ? handle : this.#iotlb.findOther(page, hi, ste.s2Number, ste.s2Number, 0, pageClass);
  }

  /** The context of a stream and substream, or null with the fault set. Priority: STE, then substream, then CD. */
  resolve(sid: number, ssid: number): Context | null {
    if (this.#generation !== this.#cache.generation) this.#flushContexts();
    const slot = (sid ^ Math.imul(ssid, 5)) & (SLOTS - 1);
    const known = this.#slots[slot]!;
    if (known.sid === sid && known.ssid === ssid) {
      this.ste = known.ste;
      this.context = known;
      return known;
    }
    const ste = this.stream(sid);
    if (ste === null) return null;
    let context: Context;
    if (ste.config === 0) context = new Context(sid, ssid, ste, null, this.#numbers);
    else {
      const index = this.#contextTable.select(ste, ssid);
      if (index === INDEX_FAULT) return null;
      if (!ste.stage1 || index === INDEX_BYPASS) context = new Context(sid, ssid, ste, null, this.#numbers);
      else {
        const cd = this.#contextTable.lookup(ste, index);
        if (cd === null) return null;
        if (cd.illegal !== '') return this.#refuse(EVENT.C_BAD_CD, cd.illegal);
        context = new Context(sid, ssid, ste, cd, this.#numbers);
      }
    }
    this.context = context;
    return (this.#slots[slot] = context);
  }

  /** Neither stage: the address itself, if the output can hold it. */
  #bypass(lo: number, hi: number): boolean {
    const address = (hi >>> 0) * 2 ** 32 + (lo >>> 0);
    if (address < this.#outputLimit) {
      this.pa = address;
      return true;
    }
    this.fault.set(EVENT.F_ADDR_SIZE, `bypass of an address beyond ${this.#features.oasBits} bits`);
    this.fault.bypass = true;
    return false;
  }

  #stage2Only(context: Context, lo: number, hi: number, access: number): boolean {
    const ipa = (hi >>> 0) * 2 ** 32 + (lo >>> 0);
    if (ipa >= this.#outputLimit) {
      // Stage 1 is bypassed, so what exceeds the IPA size is a stage 1 fault (§3.4).
      this.fault.set(EVENT.F_ADDR_SIZE, `address beyond the intermediate size of ${this.#features.oasBits} bits`);
      this.fault.bypass = true;
      return false;
    }
    const walks = this.#walkStats.walks;
    const done = this.#stage2.translate(context.ste, lo, hi, NEEDS[access & ACCESS_KIND]!, true, updatesOf(access));
    if (this.#walkStats.walks === walks) this.hits++;
    else this.misses++;
    this.pa = this.#stage2.pa;
    return done;
  }

  #stage1Input(context: Context, lo: number, hi: number, access: number): boolean {
    if (this.#isBarred(context, hi, access)) return false;
    hi = context.strip(hi);
    const page = ((lo >>> 12) | (hi << 20)) & context.pageMask;
    return this.#other(context, lo, hi, access, this.#iotlb.find(page, context.meta | (topOf(hi) << META_TOP_SHIFT)));
  }

  /** An address whose page has no entry that allows the access at `handle`: other sizes, then the tables. */
  #other(context: Context, lo: number, hi: number, access: number, handle: number): boolean {
    const iotlb = this.#iotlb;
    if ((iotlb.present & ~(1 << context.pageClass)) !== 0 && handle < 0)
      handle = iotlb.findOther(
        (lo >>> 12) | (hi << 20),
        hi,
        context.number,
        context.globalNumber,
        context.aset,
        context.pageClass,
      );
    if (handle >= 0 && fitsTag(hi)) {
      const bits = iotlb.tags[handle + 12]!;
      const need = NEEDS[access & ACCESS_KIND]!;
      if ((bits & (bits >>> BITS_S2_SHIFT) & need) !== 0) {
        this.hits++;
        this.pa = iotlb.baseOf(handle) + offsetOf(lo, hi, iotlb.shiftOf(handle));
        return true;
      }
      if (!this.#mayBecomeWritable(bits, need) || updatesOf(access) !== UPDATE_DIRTY) {
        this.hits++;
        return this.#denied(bits, need, handle, lo, hi);
      }
      iotlb.remove(handle); // writable once hardware marks it dirty: look at the descriptor
    }
    this.misses++;
    if (!this.stage1.translate(context, lo, hi, access)) return false;
    this.pa = this.stage1.pa;
    return true;
  }

  /**
   * The IOTLB's entry for an address of the last look-up's context, which must have gone through a stage, or -1. After a
   * look-up that succeeded there is one.
   */
  entry(lo: number, hi: number): number {
    const context = this.context!;
    const iotlb = this.#iotlb;
    hi = context.strip(hi);
    const page = (lo >>> 12) | (hi << 20);
    const handle = iotlb.find(page & context.pageMask, context.meta | (topOf(hi) << META_TOP_SHIFT));
    if (handle >= 0) return handle;
    return iotlb.findOther(page, hi, context.number, context.globalNumber, context.aset, context.pageClass);
  }

  /** Whether a write that an entry refuses would be allowed after hardware marked the page dirty. */
  #mayBecomeWritable(bits: number, need: number): boolean {
    if ((need & PERM_WRITE) === 0) return false;
    const stage1 = (bits & need) !== 0 || (bits & BITS_S1_CLEAN) !== 0;
    const stage2 = ((bits >>> BITS_S2_SHIFT) & need) !== 0 || (bits & BITS_S2_CLEAN) !== 0;
    return stage1 && stage2;
  }

  /** A permission fault that a cached translation answers: of stage 1 first, else of stage 2 with its address. */
  #denied(bits: number, need: number, handle: number, lo: number, hi: number): false {
    if ((bits & need) === 0 || (bits & BITS_NESTED) === 0)
      this.fault.set(EVENT.F_PERMISSION, 'cached: AP, XN, PAN or WXN');
    else {
      const offset = offsetOf(lo, hi, this.#iotlb.shiftOf(handle));
      const ipa = this.#iotlb.ipas[this.#iotlb.indexOf(handle)]! + offset;
      this.fault.setStage2(EVENT.F_PERMISSION, ipa, 'cached: S2AP or XN');
    }
    return false;
  }

  /** Forgets what was worked out from the configuration caches. */
  #flushContexts(): void {
    this.#slots.fill(NO_CONTEXT);
    this.#generation = this.#cache.generation;
  }

  #refuse(code: number, reason: string): null {
    this.fault.set(code, reason);
    return null;
  }
}

/** The access bits of a request. */
export const accessOf = (write: boolean, instruction: boolean, privileged: boolean): number =>
  (write ? ACCESS_WRITE : 0) | (instruction ? ACCESS_EXECUTE : 0) | (privileged ? ACCESS_PRIVILEGED : 0);
