/**
 * A circular queue in memory that the driver shares with the SMMU, and the arithmetic of its two pointers.
 * IHI 0070 §3.5; Linux arm-smmu-v3.c, "Low-level queue manipulation functions".
 *
 * A pointer counts entries with one bit more than the index needs, the wrap bit: equal index and equal wrap is empty,
 * equal index and different wrap is full. Bit 31 of the event and PRI queue's pointers is the overflow flag.
 */

import type { IommuPages } from '@smmu/iommu-pages';
import { type DmaCoherence, hex, IommuError, type Pa, type SystemMemory } from '@smmu/platform';

/** OVFLG in PROD, OVACKFLG in CONS. */
export const OVERFLOW = 0x8000_0000;
const PAGE_BYTES = 4096;

// Shifts, not powers: a queue has at most 2^19 entries, and `2 ** n` costs as much as the rest of a command together.

/** Index of the entry that a pointer names. */
export const queueIndex = (pointer: number, log2Entries: number): number => pointer & ((1 << log2Entries) - 1);
/** The wrap bit of a pointer, in place. */
export const queueWrap = (pointer: number, log2Entries: number): number => pointer & (1 << log2Entries);
/** The overflow flag of a pointer, in place and unsigned. */
export const queueOverflow = (pointer: number): number => (pointer & OVERFLOW) >>> 0;

/** Whether nothing is waiting between the two pointers. Overflow flags do not count. */
export const queueEmpty = (prod: number, cons: number, log2Entries: number): boolean =>
  ((prod ^ cons) & ((2 << log2Entries) - 1)) === 0;

/** Whether no entry is free. */
export const queueFull = (prod: number, cons: number, log2Entries: number): boolean =>
  ((prod ^ cons) & ((2 << log2Entries) - 1)) === 1 << log2Entries;

/** Entries between `cons` and `prod`: what waits to be read. */
export const queueUsed = (prod: number, cons: number, log2Entries: number): number =>
  (prod - cons) & ((2 << log2Entries) - 1);

/** The pointer `count` entries further, with its overflow flag kept. */
export const queueAdvance = (pointer: number, count: number, log2Entries: number): number =>
  (((pointer + count) & ((2 << log2Entries) - 1)) | (pointer & OVERFLOW)) >>> 0;

/** What a queue is made with. */
export interface QueueOptions {
  /** Names it in messages: `cmdq`, `evtq`, `priq`. */
  readonly name: string;
  readonly memory: SystemMemory;
  readonly pages: IommuPages;
  readonly coherence: DmaCoherence;
  /** As many entries as one would like, as a power of two. */
  readonly log2Entries: number;
  /** Bytes of an entry: 16 or 32. */
  readonly entryBytes: number;
}

/** A queue's memory and the driver's copies of its pointers. */
export class Queue {
  readonly name: string;
  /** First byte, aligned to the size of the queue. */
  readonly base: Pa;
  readonly log2Entries: number;
  readonly entryBytes: number;
  /** Where the producer stands, as far as the driver knows. */
  prod = 0;
  /** Where the consumer stands, as far as the driver knows. */
  cons = 0;
  readonly #memory: SystemMemory;
  readonly #pages: IommuPages;
  readonly #coherence: DmaCoherence;
  readonly #entryWords: number;
  readonly #indexMask: number;

  /**
   * Takes memory for a queue; with half the entries, and half again, where there is not enough (Linux
   * `arm_smmu_init_one_queue`).
   * @throws {@link IommuError} `ENOMEM` if there is not even one page.
   */
  constructor(options: QueueOptions) {
    this.name = options.name;
    this.entryBytes = options.entryBytes;
    this.#entryWords = options.entryBytes / 4;
    this.#memory = options.memory;
    this.#pages = options.pages;
    this.#coherence = options.coherence;
    let log2Entries = options.log2Entries;
    let base: Pa | undefined;
    while (base === undefined) {
      const bytes = (1 << log2Entries) * options.entryBytes;
      try {
        base = options.pages.allocPages(Math.max(bytes, 32));
      } catch (error) {
        if (!(error instanceof IommuError) || error.code !== 'ENOMEM') throw error;
        if (bytes <= PAGE_BYTES)
          throw new IommuError('ENOMEM', `no memory for ${options.name}: not even for ${1 << log2Entries} entries`);
        log2Entries -= 1;
      }
    }
    this.base = base;
    this.log2Entries = log2Entries;
    this.#indexMask = (1 << log2Entries) - 1;
    this.#coherence.syncForDevice(base, (1 << log2Entries) * options.entryBytes);
  }

  /** Entries that it has room for. */
  get entries(): number {
    return 1 << this.log2Entries;
  }

  get empty(): boolean {
    return queueEmpty(this.prod, this.cons, this.log2Entries);
  }

  get full(): boolean {
    return queueFull(this.prod, this.cons, this.log2Entries);
  }

  /** Physical address of the entry that a pointer names. */
  entryAddress(pointer: number): Pa {
    return this.base + (pointer & this.#indexMask) * this.entryBytes;
  }

  /** Index in `memory.words` of the entry's first word. Good until the memory is asked for another address. */
  entryAt(pointer: number): number {
    return this.#memory.at(this.base + (pointer & this.#indexMask) * this.entryBytes);
  }

  /** Copies an entry out of memory, after making what the SMMU wrote visible (Linux `queue_read`). */
  read(pointer: number, target: Uint32Array): void {
    const pa = this.entryAddress(pointer);
    if (!this.#coherence.coherent) this.#coherence.syncForCpu(pa, this.entryBytes);
    const at = this.#memory.at(pa);
    const { words } = this.#memory;
    for (let i = 0; i < this.#entryWords; i++) target[i] = words[at + i]!;
  }

  /** Writes an entry into memory and makes it visible to the SMMU (Linux `queue_write`). */
  write(pointer: number, source: Uint32Array): void {
    const pa = this.entryAddress(pointer);
    for (let i = 0; i < this.#entryWords; i += 2) this.#memory.write64(pa + i * 4, source[i]!, source[i + 1]!);
    if (!this.#coherence.coherent) this.#coherence.syncForDevice(pa, this.entryBytes);
  }

  /** Makes `count` entries from `pointer` on, which were written in place, visible to the SMMU. */
  flush(pointer: number, count: number): void {
    if (this.#coherence.coherent) return;
    const first = Math.min(count, this.entries - (pointer & this.#indexMask));
    this.#coherence.syncForDevice(this.entryAddress(pointer), first * this.entryBytes);
    if (count > first) this.#coherence.syncForDevice(this.base, (count - first) * this.entryBytes);
  }

  /** Gives the memory back. */
  free(): void {
    this.#pages.freePages(this.base);
  }

  /** For messages: name, place and pointers. */
  toString(): string {
    return `${this.name} of ${this.entries} entries at ${hex(this.base)} (prod ${hex(this.prod)}, cons ${hex(this.cons)})`;
  }
}
