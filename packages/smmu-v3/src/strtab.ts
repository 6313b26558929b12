/**
 * The stream table: an entry for each StreamID, in one array or in leaf tables that appear when they are needed.
 * IHI 0070 §3.3.1, §5.1, §6.3.24 and §6.3.25; Linux arm-smmu-v3.c, "Stream table initialization functions".
 *
 * An entry that nobody asked for aborts, silently.
 */
import type { IommuPages } from '@smmu/iommu-pages';
import { type DmaCoherence, hex, IommuError, type Pa, type SystemMemory } from '@smmu/platform';
import { L1STD, STRTAB_BASE, STRTAB_BASE_CFG, steLayout } from '@smmu/spec';
import type { Log } from './internal/log.ts';
import { makeAbortSte, newSte } from './ste.ts';

const STE_BYTES = steLayout.byteLength;
const L1STD_BYTES = 8;
/** StreamID bits that a leaf table resolves: 256 entries, 16 KiB (Linux STRTAB_SPLIT). */
export const STRTAB_SPLIT = 8;
/** Level 1 entries at most: 1 MiB of them (Linux STRTAB_MAX_L1_ENTRIES). */
const MAX_LOG2_L1 = 17;
/** StreamID bits of a linear table at most: 2^15 entries are 2 MiB. */
const MAX_LOG2_LINEAR = 15;
const FMT_LINEAR = 0;
const FMT_TWO_LEVEL = 1;

/** What a stream table is made with. */
export interface StreamTableOptions {
  readonly memory: SystemMemory;
  readonly pages: IommuPages;
  readonly coherence: DmaCoherence;
  readonly sidBits: number;
  readonly twoLevel: boolean;
  readonly log: Log;
}

/** The table and its place in the registers. */
export class StreamTable {
  readonly base: Pa;
  /** StreamIDs that it reaches are below two to this. */
  readonly log2Size: number;
  readonly twoLevel: boolean;
  readonly #memory: SystemMemory;
  readonly #pages: IommuPages;
  readonly #coherence: DmaCoherence;
  readonly #leafSplit: number;

  /** @throws {@link IommuError} `ENOMEM` if there is no memory for it. */
  constructor({ memory, pages, coherence, sidBits, twoLevel, log }: StreamTableOptions) {
    this.#memory = memory;
    this.#pages = pages;
    this.#coherence = coherence;
    // A table whose leaves would be its only entry is not worth two levels.
    this.twoLevel = twoLevel && sidBits > STRTAB_SPLIT;
    this.log2Size = Math.min(sidBits, this.twoLevel ? STRTAB_SPLIT + MAX_LOG2_L1 : MAX_LOG2_LINEAR);
    if (this.log2Size < sidBits)
      log(`${this.twoLevel ? '2-level' : 'linear'} strtab only covers ${this.log2Size}/${sidBits} bits of SID`);
    this.#leafSplit = this.twoLevel ? STRTAB_SPLIT : this.log2Size;
    if (this.twoLevel) {
      const bytes = 2 ** (this.log2Size - STRTAB_SPLIT) * L1STD_BYTES;
      this.base = pages.allocPages(bytes);
      if (!coherence.coherent) coherence.syncForDevice(this.base, bytes);
    } else this.base = this.#newLeaf();
  }

  /** STRTAB_BASE and STRTAB_BASE_CFG: low word, high word, configuration. */
  get registers(): { readonly baseLo: number; readonly baseHi: number; readonly config: number } {
    const words = new Uint32Array(2);
    STRTAB_BASE.encode({ RA: true, ADDR: this.base }, words);
    const config = new Uint32Array(1);
    STRTAB_BASE_CFG.encode(
      {
        FMT: this.twoLevel ? FMT_TWO_LEVEL : FMT_LINEAR,
        SPLIT: this.twoLevel ? STRTAB_SPLIT : 0,
        LOG2SIZE: this.log2Size,
      },
      config,
    );
    return { baseLo: words[0]!, baseHi: words[1]!, config: config[0]! };
  }

  /** Whether the table reaches `sid` at all. */
  reaches(sid: number): boolean {
    return Number.isInteger(sid) && sid >= 0 && sid < 2 ** this.log2Size;
  }

  /**
   * Makes sure that a stream has an entry (Linux `arm_smmu_init_sid_strtab`).
   * @returns Whether a leaf table was hung in: the SMMU may have cached that there was none.
   * @throws {@link IommuError} `ERANGE` if the table does not reach so far, `ENOMEM` if there is no memory.
   */
  prepare(sid: number): boolean {
    if (!this.reaches(sid))
      throw new IommuError('ERANGE', `StreamID ${hex(sid)}: the stream table ends at ${hex(2 ** this.log2Size)}`);
    if (!this.twoLevel) return false;
    const l1 = this.#l1Address(sid);
    const at = this.#memory.at(l1);
    if (L1STD.Span.get(this.#memory.words, at) !== 0) return false;
    const leaf = this.#newLeaf();
    const words = new Uint32Array(2);
    L1STD.L2Ptr.set(words, 0, leaf);
    L1STD.Span.set(words, 0, STRTAB_SPLIT + 1);
    this.#memory.write64(l1, words[0]!, words[1]!);
    if (!this.#coherence.coherent) this.#coherence.syncForDevice(l1, L1STD_BYTES);
    return true;
  }

  /** Where a stream's entry is, or -1 if it has none. */
  entryAddress(sid: number): Pa {
    if (!this.reaches(sid)) return -1;
    if (!this.twoLevel) return this.base + sid * STE_BYTES;
    const at = this.#memory.at(this.#l1Address(sid));
    if (L1STD.Span.get(this.#memory.words, at) === 0) return -1;
    return L1STD.L2Ptr.get(this.#memory.words, at) + (sid % 2 ** STRTAB_SPLIT) * STE_BYTES;
  }

  /** Gives all memory back. The SMMU must be disabled. */
  free(): void {
    if (this.twoLevel)
      for (let index = 0; index < 2 ** (this.log2Size - STRTAB_SPLIT); index++) {
        const at = this.#memory.at(this.base + index * L1STD_BYTES);
        const { words } = this.#memory;
        if (L1STD.Span.get(words, at) !== 0) this.#pages.freePages(L1STD.L2Ptr.get(words, at));
      }
    this.#pages.freePages(this.base);
  }

  #l1Address(sid: number): Pa {
    return this.base + Math.floor(sid / 2 ** STRTAB_SPLIT) * L1STD_BYTES;
  }

  /** An array of entries that abort (Linux `arm_smmu_init_initial_stes`). */
  #newLeaf(): Pa {
    const bytes = 2 ** this.#leafSplit * STE_BYTES;
    const leaf = this.#pages.allocPages(bytes);
    const ste = newSte();
    makeAbortSte(ste);
    // The rest of an aborting entry is zero, as the memory is.
    for (let offset = 0; offset < bytes; offset += STE_BYTES) this.#memory.write64(leaf + offset, ste[0]!, ste[1]!);
    if (!this.#coherence.coherent) this.#coherence.syncForDevice(leaf, bytes);
    return leaf;
  }
}
