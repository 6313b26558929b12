/**
 * VMSAv8-64 page tables: mapping, unmapping, looking up (Arm DDI 0487 §D8; Linux io-pgtable-arm.c).
 *
 * One page at a time goes a short way: the last level 3 table is remembered, and the store goes to the words themselves
 * unless somebody observes stores, the walker does not snoop, or stores are checked. All else takes the long way, which
 * does the same with every case looked at.
 */
import type { IommuPagesList } from '@smmu/iommu-pages';
import { hex, IommuError, type Iova, type Pa } from '@smmu/platform';
import { PROT_COMBINATIONS } from './attributes.ts';
import { TableCore } from './core.ts';
import { addressLo, PTE_CONT_HI, PTE_PAGE_LO, PTE_TABLE_LO, PTE_TYPE_MASK_LO, PTE_VALID_LO } from './descriptors.ts';
import { detachTables } from './detach.ts';
import { type DirtyOptions, readAndClearDirty } from './dirty.ts';
import { IotlbGather } from './gather.ts';
import { mapMany } from './map.ts';
import { bestPages, beyond, offsetOf } from './range.ts';
import { type Stage1Config, type Stage2Config, stage1Config, stage2Config } from './registers.ts';
import { countPages, fillRun } from './runs.ts';
import type { PgtableOptions } from './types.ts';
import { unmapMany } from './unmap.ts';
import { type WalkLevel, walk } from './walk.ts';

/** Bits of an address in a page's lower word; those below the granule are 0 in it. */
const ADDRESS_MASK = -4096;
const PROT_MASK = PROT_COMBINATIONS - 1;
// Constants of this module are folded into compiled code, imported ones are read each time.
const VALID = PTE_VALID_LO;
const TYPE_MASK = PTE_TYPE_MASK_LO;
const PAGE = PTE_PAGE_LO;
const TABLE = PTE_TABLE_LO;
const CONTIGUOUS = PTE_CONT_HI;

/**
 * Makes an empty page table (Linux `alloc_io_pgtable_ops`).
 * @throws {@link IommuError} `EINVAL` if the format has no such table or the options contradict each other, `ENOMEM`.
 */
export function allocPgtable(options: PgtableOptions): ArmPageTable {
  return new ArmPageTable(options);
}

/**
 * A page table. Made by {@link allocPgtable}, ended by {@link ArmPageTable.free}.
 *
 * Input addresses are those that the walker sees: from 0 on, or with the `ttbr1` quirk from 2^64 − 2^iasBits on, where
 * a number is exact for page-aligned addresses only.
 */
export class ArmPageTable extends TableCore {
  /** Sizes that a mapping may have, ascending, in bytes. */
  readonly pageSizes: readonly number[];
  /** The sum of {@link pageSizes}: a bit for each (Linux `pgsize_bitmap`). */
  readonly pageSizeBitmap: number;
  readonly #stage1: Stage1Config | undefined;
  readonly #stage2: Stage2Config | undefined;

  /** Use {@link allocPgtable}. */
  constructor(options: PgtableOptions) {
    super(options);
    this.pageSizes = this.geometry.pageSizes;
    this.pageSizeBitmap = this.pageSizes.reduce((sum, bytes) => sum + bytes, 0);
    const { coherent } = this.coherence;
    if (options.stage === 1) this.#stage1 = stage1Config(options, this.geometry, this.rootPa, coherent);
    else this.#stage2 = stage2Config(options, this.geometry, this.rootPa, coherent);
  }

  /**
   * What the CD of this table holds.
   * @throws {@link IommuError} `EINVAL` if it is of stage 2.
   */
  get stage1(): Stage1Config {
    if (this.#stage1 === undefined) throw new IommuError('EINVAL', 'a stage 2 table has no stage 1 configuration');
    return this.#stage1;
  }

  /**
   * What the STE of this table holds.
   * @throws {@link IommuError} `EINVAL` if it is of stage 1.
   */
  get stage2(): Stage2Config {
    if (this.#stage2 === undefined) throw new IommuError('EINVAL', 'a stage 1 table has no stage 2 configuration');
    return this.#stage2;
  }

  /**
   * Maps `count` pages in a row (Linux `map_pages`). All or nothing: if one cannot be mapped, those before it are
   * unmapped again and invalidated by {@link TlbOps.flushWalk}; tables made on the way stay, empty.
   *
   * An empty table in the way of a block is unlinked, invalidated and freed first.
   * @param iova - First input address, aligned to `pageBytes`.
   * @param pa - First output address, aligned to `pageBytes`.
   * @param pageBytes - One of {@link pageSizes}.
   * @param prot - {@link PROT} bits. Reading or writing must be among them.
   * @returns Bytes mapped, `pageBytes * count`.
   * @throws {@link IommuError} `EINVAL` for a size, alignment, count or protection that cannot be; `ERANGE` beyond the
   * table's input or output; `ENOMEM`. {@link MapConflictError} (`EEXIST`) names what is mapped there already.
   */
  mapPages(iova: Iova, pa: Pa, pageBytes: number, count: number, prot: number): number {
    const { memory } = this;
    if (count === 1 && pageBytes === this.pageBytes && this.direct && memory.observer === null) {
      const va = iova - this.base;
      const tag = (va * this.leafScale) | 0;
      const page = va * this.pageScale;
      const output = pa * this.pageScale;
      const lo = this.leafLo[prot & PROT_MASK]!;
      if (
        va >= 0 &&
        va < this.limit &&
        pa >= 0 &&
        pa < this.outputLimit &&
        Math.floor(page) === page &&
        Math.floor(output) === output &&
        prot === (prot & PROT_MASK) &&
        lo !== 0 &&
        (tag === this.leafTag || this.findLeaf(tag))
      ) {
        const words = this.leafWords;
        const word = this.leafStart + (page & this.mask) * 2;
        if ((words[word]! & VALID) === 0) {
          words[word] = this.#addressLo(pa) | lo | PAGE;
          words[word + 1] = ((pa * 2 ** -32) & this.maskHi) | this.leafHi[prot]!;
          return pageBytes;
        }
      }
    }
    return this.#mapMore(iova, pa, pageBytes, count, prot);
  }

  /**
   * Maps a range with the largest pages that fit (Linux `iommu_map`). All or nothing, as {@link mapPages}.
   * @param iova - First input address. It, `pa` and `bytes` are multiples of the smallest page size.
   * @returns `bytes`.
   * @throws {@link IommuError} as {@link mapPages}.
   */
  map(iova: Iova, pa: Pa, bytes: number, prot: number): number {
    const va = iova - this.base;
    const smallest = this.pageSizes[0]!;
    let done = 0;
    if (!(bytes > 0) || bytes % smallest !== 0)
      throw new IommuError('EINVAL', `${bytes} bytes: it must be a multiple of ${smallest}`);
    try {
      while (done < bytes) {
        const { pageBytes, count } = bestPages(this.pageSizes, va + done, pa + done, bytes - done);
        done += this.mapPages(iova + done, pa + done, pageBytes, count, prot);
      }
    } catch (error) {
      if (done > 0) {
        unmapMany(this, iova, smallest, done / smallest, undefined);
        this.flushWalk(va, done);
      }
      throw error;
    }
    return bytes;
  }

  /**
   * Unmaps a range, whatever the sizes of its pages (Linux `iommu_unmap`): {@link unmapPages} by the smallest size.
   * @returns Bytes unmapped.
   * @throws {@link IommuError} as {@link unmapPages}.
   */
  unmap(iova: Iova, bytes: number, gather?: IotlbGather): number {
    const smallest = this.pageSizes[0]!;
    return this.unmapPages(iova, smallest, bytes / smallest, gather);
  }

  /**
   * Unmaps `count` pages in a row (Linux `unmap_pages`), up to the first that is not mapped.
   *
   * A larger block that the range covers whole goes as one; of one that it covers in part, the rest stays as the
   * `partialUnmap` option says. A table below an entry of `pageBytes` goes with all that it maps.
   * @param iova - First input address, aligned to `pageBytes`.
   * @param pageBytes - One of {@link pageSizes}.
   * @param gather - Takes the range that must be invalidated, and the tables to be freed after that. Without it the
   * caller invalidates the range himself; tables are then invalidated and freed at once.
   * @returns Bytes unmapped: fewer than asked if something was not mapped, or is part of a block that stays.
   * @throws {@link IommuError} `EINVAL` for a size, alignment or count that cannot be; `ERANGE` beyond the table's
   * input; `ENOMEM` if a block cannot be split.
   */
  unmapPages(iova: Iova, pageBytes: number, count: number, gather?: IotlbGather): number {
    const { memory } = this;
    const va = iova - this.base;
    if (this.direct && memory.observer === null && pageBytes === this.pageBytes && va >= 0 && va < this.limit) {
      const tag = (va * this.leafScale) | 0;
      const page = va * this.pageScale;
      if (Math.floor(page) === page && (tag === this.leafTag || this.findLeaf(tag))) {
        const index = page & this.mask;
        const words = this.leafWords;
        const word = this.leafStart + index * 2;
        if (count === 1) {
          if ((words[word]! & TYPE_MASK) === PAGE && (words[word + 1]! & CONTIGUOUS) === 0) {
            words[word] = 0;
            words[word + 1] = 0;
            if (gather !== undefined) gather.add(iova, pageBytes, pageBytes);
            return pageBytes;
          }
        } else if (
          !this.hints &&
          count === (count | 0) &&
          count > 0 &&
          index + count <= this.entries &&
          countPages(words, word, count) === count
        ) {
          words.fill(0, word, word + count * 2);
          if (gather !== undefined) gather.add(iova, pageBytes * count, pageBytes);
          return pageBytes * count;
        }
      }
    }
    return unmapMany(this, iova, pageBytes, count, gather);
  }

  /**
   * Looks an address up (Linux `iova_to_phys`). Permissions play no part.
   * @returns Where it leads, or -1 if nowhere.
   */
  iovaToPhys(iova: Iova): Pa | -1 {
    const va = iova - this.base;
    if (!(va >= 0 && va < this.limit)) return -1;
    if (this.wide) return this.#lookUp(va);
    // Kept small, so that it is inlined where it is called: the result is then no object on the heap.
    const tag = (va * this.leafScale) | 0;
    let words = this.leafWords;
    let word = this.leafStart;
    if (tag !== this.leafTag) {
      if (tag === this.readTag)
        this.findLeaf(tag); // twice in a row: worth remembering
      else this.readTag = tag;
      if (tag >>> this.bits !== this.directoryTag && !this.findDirectory(tag)) return this.#lookUp(va);
      words = this.directoryWords;
      word = this.directoryStart + (tag & this.mask) * 2;
      const table = words[word]!;
      if ((table & TYPE_MASK) !== TABLE) return this.#lookUp(va);
      word = this.memory.atFrame((words[word + 1]! & this.maskHi) * 0x10_0000 + (table >>> 12));
      words = this.memory.words;
    }
    word += ((va * this.pageScale) & this.mask) * 2;
    const lo = words[word]!;
    if ((lo & TYPE_MASK) !== PAGE) return -1;
    return (words[word + 1]! & this.maskHi) * 2 ** 32 + ((lo & ADDRESS_MASK) >>> 0) + (va & this.offsetMask);
  }

  /**
   * Every entry that a walker reads for an address, from the root on (Linux `pgtable_walk`). The last is a leaf or
   * invalid.
   * @throws {@link IommuError} `ERANGE` beyond the table's input.
   */
  walk(iova: Iova): WalkLevel[] {
    return walk(this, offsetOf(this, iova));
  }

  /**
   * Finds the level 3 entry of a page, for whoever writes entries itself.
   * @param allocate - Make the tables on the way.
   * @returns Address of the entry; -1 if there is no table for it and `allocate` is false, or a block is there.
   * @throws {@link IommuError} `ERANGE` beyond the table's input; with `allocate`, `ENOMEM` (tables made so far stay,
   * empty), or {@link MapConflictError} (`EEXIST`) if a block is in the way.
   */
  entryAt(iova: Iova, allocate: boolean): Pa | -1 {
    const va = offsetOf(this, iova);
    const tag = (va * this.leafScale) | 0;
    if (tag !== this.leafTag && !this.findLeaf(tag)) {
      if (!allocate) return -1;
      this.tableAt(va, 3, true);
      this.findLeaf(tag);
    }
    return this.leafFrame * 4096 + ((va * this.pageScale) & this.mask) * 8;
  }

  /**
   * Bytes of the aligned span around an address that has one level 3 table, or else none: where there is no entry, the
   * search may go on behind it.
   * @throws {@link IommuError} `ERANGE` beyond the table's input.
   */
  tableSpanAt(iova: Iova): number {
    const level = this.descend(offsetOf(this, iova), 3);
    return level === 3 ? this.tableSpan(3) : this.spanOf(level);
  }

  /**
   * Takes out the tables that cover nothing outside `[start, last]` (Linux `free_pgtables`). The caller has cleared the
   * entries there and lets nobody use them; he invalidates, and then frees the list. The root stays.
   * @param start - First input address.
   * @param last - Last input address, inclusive.
   * @returns Whether there was any such table.
   * @throws {@link IommuError} `ERANGE` beyond the table's input.
   */
  detachTables(start: Iova, last: Iova, list: IommuPagesList): boolean {
    const first = offsetOf(this, start);
    const end = offsetOf(this, last) + 1;
    return detachTables(this, this.rootPa, this.startLevel, 0, first, end, list);
  }

  /**
   * Reports which leaves were written since they were last clean, and makes them clean (Linux `read_and_clear_dirty`).
   * Only leaves with DBM count, that is, writable ones mapped under the `hd` quirk.
   * @param bytes - Size of the range; leaves that it meets in part count.
   * @param record - Called with each dirty leaf's first input address and size.
   * @returns How many there were.
   * @throws {@link IommuError} `ERANGE` beyond the table's input.
   */
  readAndClearDirty(
    iova: Iova,
    bytes: number,
    record: (iova: Iova, bytes: number) => void,
    options: DirtyOptions = {},
  ): number {
    const va = offsetOf(this, iova);
    if (bytes > this.limit - va) throw beyond(this, iova, bytes);
    return readAndClearDirty(this, va, va + bytes, record, options);
  }

  /** A gather for this table; `sync` as for {@link IotlbGather}. */
  newGather(sync?: (gather: IotlbGather) => void): IotlbGather {
    return new IotlbGather(this.pages, sync);
  }

  /**
   * Frees all tables (Linux `free_io_pgtable_ops`). No walker may use them any more: their STE or CD is gone, and what
   * TLBs held of them is invalidated.
   * @throws {@link IommuError} `EINVAL` if it was freed before.
   */
  free(): void {
    if (this.freed) throw new IommuError('EINVAL', `page table at ${hex(this.rootPa)} is freed twice`);
    this.freed = true;
    this.freeTree(this.rootPa, this.startLevel);
  }

  /** The lower word of an address. */
  #addressLo(pa: Pa): number {
    return this.wide ? addressLo(pa, this.address) : pa | 0;
  }

  /** The short way for one block of level 2, or for many pages that are in one table. */
  #mapMore(iova: Iova, pa: Pa, pageBytes: number, count: number, prot: number): number {
    const { memory } = this;
    const va = iova - this.base;
    const end = pa + pageBytes * count;
    const lo = this.leafLo[prot & PROT_MASK]!;
    if (
      this.direct &&
      memory.observer === null &&
      !this.hints &&
      va >= 0 &&
      va < this.limit &&
      pa >= 0 &&
      end <= this.outputLimit &&
      prot === (prot & PROT_MASK) &&
      lo !== 0
    ) {
      const tag = (va * this.leafScale) | 0;
      if (pageBytes === this.blockBytes && count === 1) {
        const output = pa * this.leafScale;
        if (
          tag === va * this.leafScale &&
          Math.floor(output) === output &&
          (tag >>> this.bits === this.directoryTag || this.findDirectory(tag))
        ) {
          const words = this.directoryWords;
          const word = this.directoryStart + (tag & this.mask) * 2;
          if ((words[word]! & VALID) === 0) {
            words[word] = this.#addressLo(pa) | lo | VALID;
            words[word + 1] = ((pa * 2 ** -32) & this.maskHi) | this.leafHi[prot]!;
            return pageBytes;
          }
        }
      } else if (pageBytes === this.pageBytes && count === (count | 0) && count > 0) {
        const page = va * this.pageScale;
        const output = pa * this.pageScale;
        const high = Math.floor(pa * 2 ** -32);
        const index = page & this.mask;
        if (
          index + count <= this.entries &&
          end - high * 2 ** 32 <= 2 ** 32 && // the lower word does not wrap
          Math.floor(page) === page &&
          Math.floor(output) === output
        ) {
          if (tag !== this.leafTag && !this.findLeaf(tag)) this.#makeLeaf(va, tag);
          const words = this.leafWords;
          const word = this.leafStart + index * 2;
          const hi = (high & this.maskHi) | this.leafHi[prot]!;
          const written = fillRun(words, word, count, this.#addressLo(pa) | lo | PAGE, hi, pageBytes);
          if (written === count) return pageBytes * count;
          words.fill(0, word, word + written * 2); // the long way finds it again, and says what is in the way
        }
      }
    }
    return mapMany(this, iova, pa, pageBytes, count, prot);
  }

  /** Makes the level 3 table around `va`, which is not there, and remembers it. Throws as {@link mapPages}. */
  #makeLeaf(va: number, tag: number): void {
    const word = this.directoryStart + (tag & this.mask) * 2;
    if (tag >>> this.bits === this.directoryTag && (this.directoryWords[word]! & VALID) === 0) {
      const table = this.allocTable(this.granuleBytes);
      this.directoryWords[word] = this.#addressLo(table) | this.tableLo;
      this.directoryWords[word + 1] = ((table * 2 ** -32) & this.maskHi) | this.tableHi;
    } else this.tableAt(va, 3, true);
    this.findLeaf(tag);
  }

  /** The long way of {@link iovaToPhys}: blocks, and 52-bit entries. */
  #lookUp(va: number): Pa | -1 {
    const { memory } = this;
    const level = this.descend(va, 3);
    if (!this.isLeaf(level)) return -1;
    return this.outputOf(memory.lo, memory.hi, level) + (va % this.spanOf(level));
  }
}
