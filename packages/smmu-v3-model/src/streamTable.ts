/**
 * From a StreamID to its STE: linear and two-level tables. IHI 0070 §3.3, §5.1, §6.3.24, §6.3.25; Linux
 * arm_smmu_init_strtab, arm_smmu_get_step_for_sid.
 */
import type { PhysicalMemory } from '@smmu/platform';
import { CR2, EVENT, L1STD, STRTAB_BASE, STRTAB_BASE_CFG } from '@smmu/spec';
import type { ConfigCache } from './configCache.ts';
import type { Fault } from './fault.ts';
import type { ModelFeatures } from './features.ts';
import { alignDown } from './powers.ts';
import { decodeSte, type StreamConfig } from './ste.ts';
import { type TagNumbers, WORLD_S2 } from './tagNumbers.ts';

const FMT_TWO_LEVEL = 1; // others act as linear
const SPLITS: readonly number[] = [6, 8, 10]; // others act as 6

export class StreamTable {
  readonly #memory: PhysicalMemory;
  readonly #registers: Uint32Array;
  readonly #features: ModelFeatures;
  readonly #cache: ConfigCache;
  readonly #fault: Fault;
  readonly #numbers: TagNumbers;
  readonly #words: Uint32Array = new Uint32Array(16);
  // The base registers, worked out when SMMUEN was set: they are locked while it is.
  #base = 0;
  #log2Size = 0;
  #twoLevel = false;
  #split = 0;
  #e2h = false;

  constructor(
    memory: PhysicalMemory,
    registers: Uint32Array,
    features: ModelFeatures,
    cache: ConfigCache,
    fault: Fault,
    numbers: TagNumbers,
  ) {
    this.#memory = memory;
    this.#registers = registers;
    this.#features = features;
    this.#cache = cache;
    this.#fault = fault;
    this.#numbers = numbers;
  }

  /** Takes STRTAB_BASE, STRTAB_BASE_CFG and CR2.E2H in. */
  configure(): void {
    const f = this.#features;
    const cfg = this.#registers[STRTAB_BASE_CFG.offset / 4]!;
    const { FMT, SPLIT, LOG2SIZE } = STRTAB_BASE_CFG.fields;
    this.#twoLevel = f.twoLevelStreamTable && FMT.of(cfg) === FMT_TWO_LEVEL;
    const split = SPLIT.of(cfg);
    this.#split = SPLITS.includes(split) ? split : 6;
    this.#cache.splitBits = this.#split;
    this.#log2Size = Math.min(LOG2SIZE.of(cfg), f.sidBits);
    const log2Bytes = this.#twoLevel ? Math.max(6, this.#log2Size - this.#split + 3) : this.#log2Size + 6;
    this.#base = alignDown(STRTAB_BASE.fields.ADDR.get(this.#registers, STRTAB_BASE.offset / 4), log2Bytes);
    const e2h = CR2.fields.E2H.of(this.#registers[CR2.offset / 4]!);
    if (e2h !== this.#e2h) this.#cache.clear(); // what was read says which of the two EL2 worlds it is in
    this.#e2h = e2h;
  }

  /** The STE of a stream, from the cache or memory, legal or not. Null: the fault says why there is none. */
  lookup(sid: number): StreamConfig | null {
    return this.#cache.ste(sid) ?? this.#fetch(sid);
  }

  #fetch(sid: number): StreamConfig | null {
    if (sid >= 2 ** this.#log2Size) return this.#bad(`StreamID beyond the table of 2^${this.#log2Size}`);
    if (!this.#twoLevel) return this.#read(sid, this.#base + sid * 64);
    const index = Math.floor(sid / 2 ** this.#split);
    const low = sid - index * 2 ** this.#split;
    const entry = this.#cache.l1std(index) ?? this.#readLevel1(index);
    if (entry === null) return null;
    l1stdWords[0] = entry.lo;
    l1stdWords[1] = entry.hi;
    const span = L1STD.Span.get(l1stdWords, 0);
    if (span === 0 || span > 11) return this.#bad(`L1STD.Span=${span}: no leaf table`);
    if (span > this.#split + 1) return this.#bad(`L1STD.Span=${span} above SPLIT+1=${this.#split + 1}`);
    if (low >= 2 ** (span - 1)) return this.#bad(`StreamID beyond the leaf table of 2^${span - 1}`);
    const leaf = alignDown(L1STD.L2Ptr.get(l1stdWords, 0), 5 + span);
    return this.#read(sid, leaf + low * 64);
  }

  #readLevel1(index: number): { lo: number; hi: number } | null {
    const pa = this.#base + index * 8;
    if (!this.#reachable(pa) || !this.#memory.read64(pa)) {
      this.#fault.setFetch(EVENT.F_STE_FETCH, pa);
      return null;
    }
    const entry = { lo: this.#memory.lo, hi: this.#memory.hi };
    l1stdWords[0] = entry.lo;
    if (this.#features.cacheInvalidConfig || L1STD.Span.get(l1stdWords, 0) !== 0) this.#cache.keepL1std(index, entry);
    return entry;
  }

  #read(sid: number, pa: number): StreamConfig | null {
    const words = this.#words;
    for (let i = 0; i < 8; i++) {
      if (!this.#reachable(pa) || !this.#memory.read64(pa + i * 8)) {
        this.#fault.setFetch(EVENT.F_STE_FETCH, pa);
        return null;
      }
      words[i * 2] = this.#memory.lo;
      words[i * 2 + 1] = this.#memory.hi;
    }
    const ste = decodeSte(sid, words, this.#features, this.#e2h);
    if (ste.stage2) ste.s2Number = this.#numbers.of(WORLD_S2, 0, ste.vmid);
    if (this.#features.cacheInvalidConfig || ste.illegal === '') this.#cache.keepSte(sid, ste);
    return ste;
  }

  /** A structure's address above the output size is not truncated but answered as an abort (§3.4.3 leaves the choice). */
  #reachable(pa: number): boolean {
    return pa < 2 ** this.#features.oasBits;
  }

  #bad(reason: string): null {
    this.#fault.set(EVENT.C_BAD_STREAMID, reason);
    return null;
  }
}

const l1stdWords = new Uint32Array(2);
