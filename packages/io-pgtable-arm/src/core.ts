/**
 * What all operations on a table share: its shape, its memory, single stores, and the way down from the root
 * (Linux io-pgtable-arm.c `struct arm_lpae_io_pgtable`, `arm_lpae_install_table`, `__arm_lpae_sync_pte`).
 *
 * Invariants. A walker that looks between any two stores finds a table as it was, or as it will be, and in between only
 * entries that are invalid: a table is zeroed and visible before an entry leads to it, and is unlinked and forgotten by
 * all walkers before it is freed. The remembered tables are linked ones; all are forgotten when any table goes.
 *
 * Inside, an input address is an offset from the start of the table's range (`va`), and a table is the number of its
 * first 4 KiB frame where speed counts, because those stay small integers.
 */
import type { IommuPages, IommuPagesList, WalkerDma } from '@smmu/iommu-pages';
import { IommuError, type Iova, type Pa, type SystemMemory } from '@smmu/platform';
import { leafBits, tableBits } from './attributes.ts';
import { BreakBeforeMakeChecker } from './breakBeforeMake.ts';
import {
  addressHi,
  addressLo,
  addressOf,
  PTE_PAGE_LO,
  PTE_TABLE_LO,
  PTE_TYPE_MASK_LO,
  PTE_VALID_LO,
  type PteAddress,
  pteAddress,
  TABLE_SW_SYNC_HI,
} from './descriptors.ts';
import { MapConflictError } from './errors.ts';
import type { IotlbGather } from './gather.ts';
import { type Geometry, geometryOf } from './geometry.ts';
import { checkQuirks } from './registers.ts';
import type { PgtableOptions, TlbOps } from './types.ts';

/** Tag of no table: an offset's tag is never negative. */
const NO_TABLE = -1;

export class TableCore {
  readonly options: PgtableOptions;
  readonly geometry: Geometry;
  readonly pages: IommuPages;
  readonly memory: SystemMemory;
  readonly coherence: WalkerDma;
  readonly tlb: TlbOps | undefined;
  readonly checker: BreakBeforeMakeChecker | undefined;
  /** Stores need neither a sync nor a check: they may go to the words themselves while nobody observes. */
  readonly direct: boolean;

  /** Whether runs of entries carry the contiguous hint. */
  readonly hints: boolean;

  /** First input address, and how many there are. */
  readonly base: number;
  readonly limit: number;
  readonly outputLimit: number;
  readonly granuleBytes: number;
  readonly startLevel: number;
  readonly bits: number;
  /** Entries of a table below the root, and that less one. */
  readonly entries: number;
  readonly mask: number;
  /** Bytes of a page less one. */
  readonly offsetMask: number;
  /** Frames of a table below the root. */
  readonly tableFrames: number;
  /** Bytes of a page and of a level 2 block; 0 if the table may not have them. */
  readonly pageBytes: number;
  readonly blockBytes: number;
  // Factors from an offset to a page number, and to the number of the level 3 table, its tag.
  readonly pageScale: number;
  readonly leafScale: number;
  /** Bytes that an entry covers, by level + 1. */
  readonly spans: readonly number[];

  readonly rootPa: Pa;
  readonly rootFrame: number;
  /** Words from the start of its frame: a small root shares one. */
  readonly rootWord: number;
  readonly address: PteAddress;
  readonly maskHi: number;
  /** Whether entries keep a part of an address elsewhere. */
  readonly wide: boolean;
  // Bits of table entries and, by protection, of leaves.
  readonly tableLo: number;
  readonly tableHi: number;
  readonly leafLo: Int32Array;
  readonly leafHi: Int32Array;

  /** The level 3 table used last: the offset divided by what it covers, its first frame, its words and where they start. */
  leafTag: number = NO_TABLE;
  leafFrame = 0;
  leafWords: Uint32Array;
  leafStart = 0;
  /** The level 3 table that was looked up last without being remembered. */
  readTag: number = NO_TABLE;
  /** The level 2 table used last, likewise. */
  directoryTag: number = NO_TABLE;
  directoryWords: Uint32Array;
  directoryStart = 0;
  /** Where {@link descend} ended. */
  entry: Pa = 0;
  freed = false;

  /** @throws {@link IommuError} as `allocPgtable`. */
  constructor(options: PgtableOptions) {
    const { pages, memory = pages.memory, coherence = pages.coherence, tlb, quirks, iasBits } = options;
    if (memory !== pages.memory) throw new IommuError('EINVAL', 'the tables are not in the memory of `pages`');
    checkQuirks(options, coherence.coherent);
    const geometry = geometryOf(options);
    const { granule, startLevel } = geometry;
    this.options = options;
    this.geometry = geometry;
    this.pages = pages;
    this.memory = memory;
    this.coherence = coherence;
    this.checker = options.checkBreakBeforeMake ? new BreakBeforeMakeChecker(memory, options.bbmLevel ?? 0) : undefined;
    this.tlb = this.checker === undefined ? tlb : this.#watched(this.checker, tlb);
    this.direct = coherence.coherent && this.checker === undefined && tlb?.addPage === undefined;

    this.hints = options.contiguous === true;
    this.limit = 2 ** iasBits;
    this.base = quirks?.ttbr1 ? 2 ** 64 - this.limit : 0;
    this.outputLimit = 2 ** options.oasBits;
    this.granuleBytes = 2 ** granule.shift;
    this.startLevel = startLevel;
    this.bits = granule.bitsPerLevel;
    this.entries = 2 ** this.bits;
    this.mask = this.entries - 1;
    this.offsetMask = this.granuleBytes - 1;
    this.spans = [-1, 0, 1, 2, 3].map((level) => 2 ** (granule.shift + this.bits * (3 - level)));
    this.pageScale = 1 / this.granuleBytes;
    this.leafScale = 1 / this.spanOf(2);
    this.tableFrames = this.granuleBytes / 4096;
    this.pageBytes = geometry.pageSizes.includes(this.granuleBytes) ? this.granuleBytes : 0;
    this.blockBytes = geometry.pageSizes.includes(this.spanOf(2)) ? this.spanOf(2) : 0;

    this.address = pteAddress(options.granuleShift, geometry.wide);
    this.maskHi = this.address.maskHi;
    this.wide = geometry.wide;
    const table = tableBits(options);
    this.tableLo = table.lo;
    this.tableHi = table.hi;
    const leaf = leafBits(options, geometry.ds);
    this.leafLo = leaf.lo;
    this.leafHi = leaf.hi;
    this.rootPa = this.allocTable(geometry.rootBytes);
    this.rootFrame = Math.floor(this.rootPa / 4096);
    this.rootWord = (this.rootPa % 4096) / 4;
    this.leafWords = memory.words;
    this.directoryWords = memory.words;
  }

  /** Bytes that one entry of a level covers. */
  spanOf(level: number): number {
    return this.spans[level + 1]!;
  }

  /** Bytes that a table of a level covers. */
  tableSpan(level: number): number {
    return level === this.startLevel ? this.limit : this.spanOf(level - 1);
  }

  /** Index of `va` in a table of `level`. */
  indexAt(va: number, level: number): number {
    const index = Math.floor(va / this.spanOf(level));
    return level === this.startLevel ? index : index & this.mask; // `&` takes the low 32 bits of any integer
  }

  /** Entries from `va` to the end of its table. */
  entriesLeft(va: number, level: number): number {
    const entries = level === this.startLevel ? this.geometry.rootEntries : this.entries;
    return entries - this.indexAt(va, level);
  }

  /** A table's memory, zeroed and seen so by the walker. */
  allocTable(bytes: number): Pa {
    const { allocator, node } = this.options;
    const { coherence, pages } = this;
    if (allocator !== undefined) {
      const table = allocator.alloc(bytes, node);
      if (!coherence.coherent) coherence.syncForDevice(table, bytes);
      return table;
    }
    const table = pages.allocPages(bytes, node);
    if (coherence.coherent) return table;
    try {
      pages.startIncoherent(table, coherence);
    } catch (error) {
      pages.freePages(table);
      throw error;
    }
    return table;
  }

  /** Gives a table back that no walker can reach any more, or puts it on a list for when none can. */
  freeTable(table: Pa, bytes: number, list?: IommuPagesList): void {
    const { allocator } = this.options;
    if (allocator !== undefined) {
      allocator.free(table, bytes);
      return;
    }
    if (!this.coherence.coherent) this.pages.stopIncoherent(table, this.coherence);
    if (list === undefined) this.pages.freePages(table);
    else list.add(table);
  }

  /** {@link freeTable} for a table of `level` and all below it. */
  freeTree(table: Pa, level: number, list?: IommuPagesList): void {
    this.forget();
    if (level < 3) {
      const entries = level === this.startLevel ? this.geometry.rootEntries : this.entries;
      for (let i = this.nextValid(table, 0, entries); i < entries; i = this.nextValid(table, i + 1, entries)) {
        this.memory.read64(table + i * 8);
        if (this.isTable(level)) this.freeTree(this.loadedAddress(), level + 1, list);
      }
    }
    this.freeTable(table, table === this.rootPa ? this.geometry.rootBytes : this.granuleBytes, list);
  }

  /** Whether a table below the root and all below it map nothing. */
  isEmpty(table: Pa, level: number): boolean {
    const { entries } = this;
    for (let i = this.nextValid(table, 0, entries); i < entries; i = this.nextValid(table, i + 1, entries)) {
      this.memory.read64(table + i * 8);
      if (!this.isTable(level) || !this.isEmpty(this.loadedAddress(), level + 1)) return false;
    }
    return true;
  }

  /** Index of the first valid entry from `index` on, `entries` if there is none. */
  nextValid(table: Pa, index: number, entries: number): number {
    const at = this.memory.at(table);
    const { words } = this.memory;
    while (index < entries && (words[at + index * 2]! & PTE_VALID_LO) === 0) index += 1;
    return index;
  }

  /** Whether the entry that was read last leads to a table. */
  isTable(level: number): boolean {
    return level < 3 && (this.memory.lo & PTE_TYPE_MASK_LO) === PTE_TABLE_LO;
  }

  /** Whether the entry that was read last is a leaf: a page, or above level 3 a block. */
  isLeaf(level: number): boolean {
    return (this.memory.lo & PTE_TYPE_MASK_LO) === this.leafType(level);
  }

  /** The address in the entry that was read last. */
  loadedAddress(): Pa {
    return addressOf(this.memory.lo, this.memory.hi, this.address);
  }

  /** Where a leaf of `level` leads. A block's low address bits are no part of it. */
  outputOf(lo: number, hi: number, level: number): Pa {
    const pa = addressOf(lo, hi, this.address);
    return pa - (pa % this.spanOf(level));
  }

  /**
   * Changes one entry, visibly at once.
   * @param va - First offset that it covers.
   */
  store(entry: Pa, level: number, va: number, lo: number, hi: number): void {
    this.checker?.check(entry, level, this.base + va, this.spanOf(level), lo, hi);
    this.memory.write64(entry, lo >>> 0, hi >>> 0);
    if (!this.coherence.coherent) this.coherence.syncForDevice(entry, 8);
  }

  /** Forgets what walkers may hold of `[va, va + bytes)`, at once. */
  flushWalk(va: number, bytes: number): void {
    this.tlb?.flushWalk(this.base + va, bytes, this.granuleBytes);
  }

  /**
   * The table of `level` around `va`, with those above it made as needed.
   * @returns Its first byte, or -1 if there is none and `allocate` is false, or something else is in the way.
   * @throws {@link IommuError} `ENOMEM`; {@link MapConflictError} if a block is in the way and `allocate` is set.
   */
  tableAt(va: number, level: number, allocate: boolean): Pa {
    let table = this.rootPa;
    for (let at = this.startLevel; at < level; at++) {
      const entry = table + this.indexAt(va, at) * 8;
      this.memory.read64(entry);
      if (this.isTable(at)) {
        // Whoever linked it may not have come to the sync yet; one more does no harm (arm_lpae_install_table).
        if (allocate && !this.coherence.coherent && (this.memory.hi & TABLE_SW_SYNC_HI) === 0)
          this.coherence.syncForDevice(entry, 8);
        table = this.loadedAddress();
      } else if (!allocate) return -1;
      else if (this.isLeaf(at)) throw this.conflict(va, entry, at);
      else table = this.#installTable(entry, at, va - (va % this.spanOf(at)));
    }
    return table;
  }

  /**
   * Goes down from the root until an entry of `level`, or one that leads no further. It is the one that was read last.
   * @returns Its level. Its address is in {@link entry}.
   */
  descend(va: number, level: number): number {
    let table = this.rootPa;
    for (let at = this.startLevel; ; at++) {
      this.entry = table + this.indexAt(va, at) * 8;
      this.memory.read64(this.entry);
      if (at === level || !this.isTable(at)) return at;
      table = this.loadedAddress();
    }
  }

  /** The error that names the entry that was read last, at `entry`. */
  conflict(va: number, entry: Pa, level: number): MapConflictError {
    const { lo, hi } = this.memory;
    const kind = this.isTable(level) ? 'table' : level === 3 ? 'page' : 'block';
    const pa = kind === 'table' ? this.loadedAddress() : this.outputOf(lo, hi, level);
    return new MapConflictError({ iova: this.base + va, level, entryPa: entry, lo, hi, kind, pa });
  }

  /** Words of a leaf of `level` but for the address, by protection; the caller has checked that. */
  leafType(level: number): number {
    return level === 3 ? PTE_PAGE_LO : PTE_VALID_LO;
  }

  /**
   * Makes a level 3 table the remembered one.
   * @param tag - Offset divided by what such a table covers.
   * @returns Whether there is one.
   */
  findLeaf(tag: number): boolean {
    let frame = this.rootFrame + tag * this.tableFrames; // if the root is of level 3
    if (this.startLevel < 3) {
      if (tag >>> this.bits !== this.directoryTag && !this.findDirectory(tag)) return false;
      const words = this.directoryWords;
      const word = this.directoryStart + (tag & this.mask) * 2;
      const lo = words[word]!;
      if ((lo & PTE_TYPE_MASK_LO) !== PTE_TABLE_LO) return false;
      frame = this.frameOf(lo, words[word + 1]!);
    }
    const { memory } = this;
    this.leafTag = tag;
    this.leafFrame = frame;
    this.leafStart = memory.atFrame(frame);
    if (this.leafWords !== memory.words) this.leafWords = memory.words; // a store of an object costs a write barrier
    return true;
  }

  /** Makes the level 2 table around a level 3 table's tag the remembered one. Returns whether there is one. */
  findDirectory(tag: number): boolean {
    const { memory, bits, mask } = this;
    const directory = tag >>> bits;
    let frame = this.rootFrame + directory * this.tableFrames; // if the root is of level 2
    let shift = bits * (2 - this.startLevel);
    if (shift > 0) {
      let word = memory.atFrame(this.rootFrame) + this.rootWord + (tag >>> shift) * 2;
      for (;;) {
        const lo = memory.words[word]!;
        if ((lo & PTE_TYPE_MASK_LO) !== PTE_TABLE_LO) return false;
        frame = this.frameOf(lo, memory.words[word + 1]!);
        shift -= bits;
        if (shift === 0) break;
        word = memory.atFrame(frame) + ((tag >>> shift) & mask) * 2;
      }
    } else if (shift < 0) return false;
    this.directoryTag = directory;
    this.directoryStart = memory.atFrame(frame) + (this.startLevel === 2 ? this.rootWord : 0);
    this.directoryWords = memory.words;
    return true;
  }

  /** First frame of the table that an entry leads to. */
  frameOf(lo: number, hi: number): number {
    if (this.wide) return addressOf(lo, hi, this.address) / 4096;
    return (hi & this.maskHi) * 0x10_0000 + (lo >>> 12);
  }

  /** Forgets the remembered tables, because one is about to go. */
  forget(): void {
    this.leafTag = NO_TABLE;
    this.readTag = NO_TABLE;
    this.directoryTag = NO_TABLE;
  }

  /** Leads `entry` to a new table. */
  #installTable(entry: Pa, level: number, va: number): Pa {
    const table = this.allocTable(this.granuleBytes);
    const lo = addressLo(table, this.address) | this.tableLo;
    const hi = addressHi(table, this.address) | this.tableHi;
    this.store(entry, level, va, lo, hi);
    if (!this.coherence.coherent) this.memory.write64(entry, lo >>> 0, (hi | TABLE_SW_SYNC_HI) >>> 0);
    return table;
  }

  /** The invalidations, with the checker told of them. */
  #watched(checker: BreakBeforeMakeChecker, tlb: TlbOps | undefined): TlbOps {
    return {
      flushAll: () => {
        tlb?.flushAll();
        checker.flushed(this.base, this.base + this.limit);
      },
      flushWalk: (iova, bytes, granuleBytes) => {
        tlb?.flushWalk(iova, bytes, granuleBytes);
        checker.flushed(iova, iova + (bytes - 1));
      },
      ...(tlb?.addPage && {
        addPage: (gather: IotlbGather, iova: Iova, bytes: number) => tlb.addPage!(gather, iova, bytes),
      }),
    };
  }
}
