/**
 * From a SubstreamID to its context descriptor: single CDs, linear and two-level tables, and what traffic without a
 * SubstreamID gets (S1DSS). A nested stream's tables lie in intermediate memory. IHI 0070 §3.3.2, §5.2, §5.3, §7.3.9.
 */
import { NO_SUBSTREAM, type PhysicalMemory } from '@smmu/platform';
import { EVENT, L1CD } from '@smmu/spec';
import { type ContextConfig, decodeCd } from './cd.ts';
import type { ConfigCache } from './configCache.ts';
import { BITS_S2_DEVICE } from './entryBits.ts';
import { CLASS_CD, type Fault } from './fault.ts';
import type { ModelFeatures } from './features.ts';
import { type Stage2, UPDATE_AF } from './stage2.ts';
import { CONFIG_NESTED, S1DSS_BYPASS, S1DSS_SSID0, S1DSS_TERMINATE, type StreamConfig } from './ste.ts';

/** A CD fetch is a privileged data read. */
export const FETCH_NEED = 0b001000;
/** What {@link ContextTable.select} answers instead of a table index. */
export const INDEX_FAULT = -1;
export const INDEX_BYPASS = -2;

const LEAF_64 = 1; // STE.S1Fmt: 4 KiB leaves of 64 CDs
const L1CD_WORDS = new Uint32Array(2);

export class ContextTable {
  readonly #memory: PhysicalMemory;
  readonly #features: ModelFeatures;
  readonly #cache: ConfigCache;
  readonly #stage2: Stage2;
  readonly #fault: Fault;
  readonly #words: Uint32Array = new Uint32Array(16);

  constructor(memory: PhysicalMemory, features: ModelFeatures, cache: ConfigCache, stage2: Stage2, fault: Fault) {
    this.#memory = memory;
    this.#features = features;
    this.#cache = cache;
    this.#stage2 = stage2;
    this.#fault = fault;
  }

  /** Index of the CD that a transaction uses, {@link INDEX_BYPASS} if it skips stage 1, or {@link INDEX_FAULT}. */
  select(ste: StreamConfig, ssid: number): number {
    if (ssid === NO_SUBSTREAM) {
      if (!ste.stage1 || ste.s1CdMax === 0) return 0;
      if (ste.s1Dss === S1DSS_TERMINATE)
        return this.#refuse(EVENT.F_STREAM_DISABLED, 'no SubstreamID, and S1DSS=0 terminates such traffic');
      return ste.s1Dss === S1DSS_BYPASS ? INDEX_BYPASS : 0;
    }
    if (!ste.stage1) return this.#refuse(EVENT.C_BAD_SUBSTREAMID, `SubstreamID on a stream with Config=${ste.config}`);
    if (ste.s1CdMax === 0) return this.#refuse(EVENT.C_BAD_SUBSTREAMID, 'SubstreamID on a stream with S1CDMax=0');
    if (ssid >= 2 ** ste.s1CdMax)
      return this.#refuse(EVENT.C_BAD_SUBSTREAMID, `SubstreamID beyond S1CDMax=${ste.s1CdMax}`);
    if (ssid === 0 && ste.s1Dss === S1DSS_SSID0)
      return this.#refuse(EVENT.F_STREAM_DISABLED, 'SubstreamID 0, which S1DSS=2 gives to traffic without one');
    return ssid;
  }

  /** The CD at an index, from the cache or memory, legal or not. Null: the fault says why there is none. */
  lookup(ste: StreamConfig, index: number): ContextConfig | null {
    return this.#cache.cd(ste.sid, index) ?? this.#fetch(ste, index);
  }

  #fetch(ste: StreamConfig, index: number): ContextConfig | null {
    if (ste.s1CdMax === 0 || ste.s1Fmt === 0) {
      // A linear table is aligned to its size.
      const bytes = 2 ** (ste.s1CdMax + 6);
      return this.#read(ste, index, ste.s1ContextPtr - (ste.s1ContextPtr % bytes) + index * 64);
    }
    const leafCds = ste.s1Fmt === LEAF_64 ? 64 : 1024;
    const leafIndex = Math.floor(index / leafCds);
    const entry = this.#cache.l1cd(ste.sid, leafIndex * leafCds) ?? this.#readLevel1(ste, leafIndex, leafCds);
    if (entry === null) return null;
    L1CD_WORDS[0] = entry.lo;
    L1CD_WORDS[1] = entry.hi;
    if (!L1CD.V.get(L1CD_WORDS, 0)) {
      this.#refuse(EVENT.C_BAD_SUBSTREAMID, 'L1CD.V=0');
      return null;
    }
    const pointer = L1CD.L2Ptr.get(L1CD_WORDS, 0);
    if (ste.config !== CONFIG_NESTED && pointer >= 2 ** this.#features.oasBits) {
      this.#refuse(EVENT.C_BAD_SUBSTREAMID, 'L1CD.L2Ptr beyond the output size');
      return null;
    }
    const leaf = pointer - (pointer % (leafCds * 64));
    return this.#read(ste, index, leaf + (index % leafCds) * 64);
  }

  #readLevel1(ste: StreamConfig, leafIndex: number, leafCds: number): { lo: number; hi: number } | null {
    const log2Entries = ste.s1CdMax - Math.log2(leafCds);
    const bytes = Math.max(64, 2 ** (Math.max(0, log2Entries) + 3));
    const pa = this.#locate(ste, ste.s1ContextPtr - (ste.s1ContextPtr % bytes) + leafIndex * 8);
    if (pa < 0 || !this.#load(pa)) return null;
    const entry = { lo: this.#memory.lo, hi: this.#memory.hi };
    L1CD_WORDS[0] = entry.lo;
    if (this.#features.cacheInvalidConfig || L1CD.V.get(L1CD_WORDS, 0))
      this.#cache.keepL1cd(ste.sid, leafIndex * leafCds, entry);
    return entry;
  }

  #read(ste: StreamConfig, index: number, address: number): ContextConfig | null {
    const pa = this.#locate(ste, address);
    if (pa < 0) return null;
    for (let i = 0; i < 8; i++) {
      if (!this.#load(pa + i * 8)) {
        this.#fault.fetchAddress = pa;
        return null;
      }
      this.#words[i * 2] = this.#memory.lo;
      this.#words[i * 2 + 1] = this.#memory.hi;
    }
    const cd = decodeCd(this.#words, ste, this.#features);
    if (this.#features.cacheInvalidConfig || cd.illegal === '') this.#cache.keepCd(ste.sid, index, cd);
    return cd;
  }

  /** Physical address of a structure: itself, or what stage 2 makes of it. -1 with a fault of class CD. */
  #locate(ste: StreamConfig, address: number): number {
    if (ste.config !== CONFIG_NESTED) return address;
    if (!this.#stage2.translate(ste, address | 0, (address / 2 ** 32) | 0, FETCH_NEED, true, UPDATE_AF)) {
      this.#fault.klass = CLASS_CD;
      return -1;
    }
    if (ste.s2Ptw && (this.#stage2.bits & BITS_S2_DEVICE) !== 0) {
      this.#fault.setStage2(EVENT.F_PERMISSION, address, 'S2PTW=1 and stage 2 maps the CD as Device');
      this.#fault.klass = CLASS_CD;
      return -1;
    }
    return this.#stage2.pa;
  }

  #load(pa: number): boolean {
    if (pa < 2 ** this.#features.oasBits && this.#memory.read64(pa)) return true;
    this.#fault.setFetch(EVENT.F_CD_FETCH, pa);
    return false;
  }

  #refuse(code: number, reason: string): typeof INDEX_FAULT {
    this.#fault.set(code, reason);
    return INDEX_FAULT;
  }
}
