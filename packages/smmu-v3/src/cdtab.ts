/**
 * A device's CD table: a descriptor for each SubstreamID, in one array or in leaf tables that appear when they are
 * needed. IHI 0070 §5.3 and §5.4, STE.S1Fmt; Linux arm-smmu-v3.c `arm_smmu_alloc_cd_tables`, `arm_smmu_alloc_cd_ptr`.
 *
 * The descriptor at index 0 is that of traffic without SubstreamID.
 */
import type { IommuPages } from '@smmu/iommu-pages';
import { type DmaCoherence, IommuError, type Pa, type SystemMemory } from '@smmu/platform';
import { CD, cdLayout, L1CD } from '@smmu/spec';

const CD_BYTES = cdLayout.byteLength;
const L1CD_BYTES = 8;
/** Values of STE.S1Fmt. */
export const S1FMT_LINEAR = 0;
export const S1FMT_4K_LEAF = 1;
export const S1FMT_64K_LEAF = 2;
/** Log2 of the descriptors of a leaf table. */
const LOG2_LEAF = { '4k': 6, '64k': 10 } as const;
/** Log2 of the descriptors of a linear table, where the SMMU has no two-level ones, at most (Linux CTXDESC_LINEAR_CDMAX). */
export const MAX_LOG2_LINEAR_CDS = 10;

/** What a CD table is made with. */
export interface CdTableOptions {
  readonly memory: SystemMemory;
  readonly pages: IommuPages;
  readonly coherence: DmaCoherence;
  /** SubstreamID bits that the device uses; 0 for one descriptor and no more. */
  readonly ssidBits: number;
  readonly twoLevel: boolean;
  /** Size of leaf tables; Linux uses 64 KiB ones. Small ones cost a device with few processes less memory. */
  readonly leaf?: '4k' | '64k';
  readonly node?: number | undefined;
}

/** One CD table. */
export class CdTable {
  readonly base: Pa;
  /** STE.S1CDMax: log2 of its descriptors. */
  readonly s1cdMax: number;
  /** STE.S1Fmt. */
  readonly format: number;
  readonly #memory: SystemMemory;
  readonly #pages: IommuPages;
  readonly #coherence: DmaCoherence;
  readonly #node: number | undefined;
  readonly #log2Leaf: number;

  /** @throws {@link IommuError} `ENOMEM` if there is no memory for it. */
  constructor(options: CdTableOptions) {
    const { memory, pages, coherence, ssidBits, twoLevel, leaf = '4k', node } = options;
    this.#memory = memory;
    this.#pages = pages;
    this.#coherence = coherence;
    this.#node = node;
    const log2Leaf = LOG2_LEAF[leaf];
    if (ssidBits <= log2Leaf || !twoLevel) {
      this.format = S1FMT_LINEAR;
      this.s1cdMax = twoLevel ? ssidBits : Math.min(ssidBits, MAX_LOG2_LINEAR_CDS);
      this.#log2Leaf = this.s1cdMax;
    } else {
      this.format = leaf === '4k' ? S1FMT_4K_LEAF : S1FMT_64K_LEAF;
      this.s1cdMax = ssidBits;
      this.#log2Leaf = log2Leaf;
    }
    this.base = this.#alloc(this.linear ? 2 ** this.s1cdMax * CD_BYTES : this.#l1Bytes);
  }

  /** Descriptors that it has room for. */
  get entries(): number {
    return 1 << this.s1cdMax;
  }

  get linear(): boolean {
    return this.format === S1FMT_LINEAR;
  }

  /**
   * Makes sure that an index has a descriptor.
   * @returns Whether a leaf table was hung in: the SMMU may have cached that there was none.
   * @throws {@link IommuError} `ERANGE` if the table does not reach so far, `ENOMEM` if there is no memory.
   */
  prepare(ssid: number): boolean {
    if (ssid >= this.entries)
      throw new IommuError('ERANGE', `SubstreamID ${ssid}: the CD table has ${this.entries} entries`);
    if (this.linear) return false;
    const l1 = this.#l1Address(ssid);
    const at = this.#memory.at(l1);
    if (L1CD.V.get(this.#memory.words, at)) return false;
    const leaf = this.#alloc(2 ** this.#log2Leaf * CD_BYTES);
    const words = new Uint32Array(2);
    L1CD.V.set(words, 0, true);
    L1CD.L2Ptr.set(words, 0, leaf);
    this.#memory.write64(l1, words[0]!, words[1]!);
    if (!this.#coherence.coherent) this.#coherence.syncForDevice(l1, L1CD_BYTES);
    return true;
  }

  /** Where a descriptor is, or -1 if there is none (Linux `arm_smmu_get_cd_ptr`). */
  entryAddress(ssid: number): Pa {
    if (ssid >= this.entries) return -1;
    if (this.linear) return this.base + ssid * CD_BYTES;
    const at = this.#memory.at(this.#l1Address(ssid));
    const { words } = this.#memory;
    if (!L1CD.V.get(words, at)) return -1;
    return L1CD.L2Ptr.get(words, at) + (ssid & ((1 << this.#log2Leaf) - 1)) * CD_BYTES;
  }

  /** Whether the descriptor at an index is there and valid. */
  valid(ssid: number): boolean {
    const pa = this.entryAddress(ssid);
    if (pa < 0) return false;
    const at = this.#memory.at(pa);
    return CD.V.get(this.#memory.words, at);
  }

  /** Gives all memory back. No STE may name the table any more. */
  free(): void {
    if (!this.linear)
      for (let l1 = this.base; l1 < this.base + this.#l1Bytes; l1 += L1CD_BYTES) {
        const at = this.#memory.at(l1);
        const { words } = this.#memory;
        if (L1CD.V.get(words, at)) this.#pages.freePages(L1CD.L2Ptr.get(words, at));
      }
    this.#pages.freePages(this.base);
  }

  get #l1Bytes(): number {
    return 2 ** (this.s1cdMax - this.#log2Leaf) * L1CD_BYTES;
  }

  #l1Address(ssid: number): Pa {
    return this.base + (ssid >>> this.#log2Leaf) * L1CD_BYTES;
  }

  #alloc(bytes: number): Pa {
    const pa = this.#pages.allocPages(bytes, this.#node);
    if (!this.#coherence.coherent) this.#coherence.syncForDevice(pa, bytes);
    return pa;
  }
}
