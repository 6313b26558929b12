/**
 * Memory for what an IOMMU reads: page tables, queues, stream tables. Everything goes by size, as in
 * "iommu: Further abstract iommu-pages" (Linux iommu-pages.c, iommu-pages.h).
 *
 * Invariants: an allocation is live from {@link IommuPages.allocPages} until it is freed, directly or through one list;
 * a frame counts while any part of it is live; what a walker has been given as incoherent memory is stopped before it
 * is freed. Whatever throws has changed nothing.
 */
import {
  coherentDma,
  FRAME_BYTES,
  type FrameAllocator,
  hex,
  IommuError,
  type Pa,
  type SystemMemory,
} from '@smmu/platform';
import {
  Descriptors,
  INCOHERENT,
  LISTED,
  LIVE,
  NONE,
  ORDER_MASK,
  SLAB,
  UNIT_BYTES,
  UNITS_PER_FRAME,
} from './descriptors.ts';
import { Epoch, type ReaderToken } from './epoch.ts';
import type { WalkerDma } from './incoherent.ts';
import { IommuPagesList } from './list.ts';
import { Slabs } from './slabs.ts';

/** The most that one allocation can have: a buddy allocator's largest block. */
const MAX_BYTES = 2 ** 30;
/** Memory is cleared in pieces of at most this size: RAM of a sparse region is contiguous no further. */
const ZERO_BYTES = 2 ** 21;
/** No preference: the first node is tried first. */
export const NO_NODE = -1;

export interface IommuPagesOptions {
  /** Where the frames are. */
  readonly memory: SystemMemory;
  /** Who owns them, nearest first: one allocator per NUMA node and region. */
  readonly frames: readonly FrameAllocator[];
  /** How walkers see the memory; coherently if left out. */
  readonly coherence?: WalkerDma;
}

/** Decides that an allocation fails; `nth` counts from 0. For tests. */
export type PagesFailure = (nth: number, bytes: number) => boolean;

/** Allocates by size: a power of two, aligned to its size, zeroed, freed by address alone. */
export class IommuPages {
  readonly memory: SystemMemory;
  readonly coherence: WalkerDma;
  /** Consulted before each allocation while set; {@link FrameAllocator.fail} decides about frames one level below. */
  fail: PagesFailure | null = null;
  /** Allocations asked for so far. */
  allocations = 0;
  /** State and links of every allocation; for {@link IommuPagesList}. */
  readonly descriptors: Descriptors;

  readonly #frames: readonly FrameAllocator[];
  /** By place in `#frames`: what to take from a frame number to get its index. */
  readonly #deltas: readonly number[];
  readonly #live: number[];
  readonly #slabs: Slabs;
  readonly #epoch: Epoch;
  // The allocator of the last look-up. Nearly all are in one.
  #place = 0;
  #delta = 0;
  #firstIndex = 0;
  #endIndex = 0;
  #livePages = 0;
  #peakPages = 0;
  /** Frames that are cut up, and bytes of them in use. */
  #slabPages = 0;
  #slotBytes = 0;

  /** @throws {@link IommuError} `EINVAL` without frames, or if some of them are not RAM of `memory`. */
  constructor({ memory, frames, coherence = coherentDma }: IommuPagesOptions) {
    if (frames.length === 0) throw new IommuError('EINVAL', 'no frame allocator: at least one is needed');
    let total = 0;
    const deltas: number[] = [];
    for (const { firstFrame, totalFrames } of frames) {
      const first = firstFrame * FRAME_BYTES;
      const end = first + totalFrames * FRAME_BYTES;
      if (!memory.regions.some(({ base, size }) => first >= base && end <= base + size))
        throw new IommuError('EINVAL', `frames [${hex(first)}, ${hex(end)}) are not inside one region of RAM`);
      deltas.push(firstFrame - total);
      total += totalFrames;
    }
    this.memory = memory;
    this.coherence = coherence;
    this.#frames = frames;
    this.#deltas = deltas;
    this.#live = frames.map(() => 0);
    this.descriptors = new Descriptors(total);
    this.#slabs = new Slabs(this.descriptors, frames.length);
    this.#epoch = new Epoch(new IommuPagesList(this), new IommuPagesList(this), (list) => this.putPagesList(list));
    this.#select(0);
  }

  /** 4 KiB frames in use now (Linux NR_SECONDARY_PAGETABLE). */
  get livePages(): number {
    return this.#livePages;
  }

  /** The most that {@link livePages} has been. */
  get peakPages(): number {
    return this.#peakPages;
  }

  /** Bytes in allocations, each counted with its rounded size. Less than the frames in use when slots are packed. */
  get liveBytes(): number {
    return (this.#livePages - this.#slabPages) * FRAME_BYTES + this.#slotBytes;
  }

  /** 4 KiB frames in use now on one NUMA node (Linux NR_IOMMU_PAGES, a counter per node). */
  nodePages(node: number): number {
    return this.#live.reduce((sum, live, place) => (this.#frames[place]!.node === node ? sum + live : sum), 0);
  }

  /**
   * Allocates zeroed memory (Linux `iommu_alloc_pages_node_sz`).
   * @param bytes - Rounded up to a power of two, 64 bytes at least. The result is aligned to the rounded size.
   * @param node - NUMA node to prefer; another is taken when it is full.
   * @returns The first byte.
   * @throws {@link IommuError} `EINVAL` for a size that is no positive integer, `ENOMEM` if there is no such block.
   */
  allocPages(bytes: number, node: number = NO_NODE): Pa {
    if (
      bytes > FRAME_BYTES / 2 &&
      bytes <= MAX_BYTES &&
      node === NO_NODE &&
      this.fail === null &&
      Number.isInteger(bytes)
    ) {
      const index = this.#allocFrames(0, orderOf(bytes));
      if (index === NONE) return this.#allocAnywhere(bytes, node, 1);
      this.allocations += 1;
      return (index + this.#delta) * FRAME_BYTES;
    }
    return this.#allocAnywhere(bytes, node, 0);
  }

  /**
   * Frees by address alone (Linux `iommu_free_pages`).
   * @param pa - The first byte, as {@link allocPages} returned it.
   * @throws {@link IommuError} `EINVAL` if no allocation starts there: freed twice, or never allocated. `EBUSY` if it is
   * on a list, or a non-coherent walker may still use it.
   */
  freePages(pa: Pa): void {
    const offset = pa / FRAME_BYTES - this.#delta;
    const index = offset | 0;
    if (index === offset && index >= this.#firstIndex && index < this.#endIndex) {
      const state = this.descriptors.frameState[index]!;
      if ((state & ~ORDER_MASK) === LIVE && state !== (LIVE | SLAB)) {
        this.#giveBack(index, state & ORDER_MASK);
        return;
      }
    }
    const handle = this.handleOf(pa);
    if ((this.descriptors.state(handle) & INCOHERENT) !== 0) throw inUse(pa);
    this.#free(handle);
  }

  /**
   * Frees everything on a list, which is empty afterwards (Linux `iommu_put_pages_list`).
   * @throws {@link IommuError} `EBUSY` if a non-coherent walker may still use one of them, `EINVAL` if it is the list of
   * another allocator. Nothing is freed then.
   */
  putPagesList(list: IommuPagesList): void {
    this.checkOwner(list);
    const { descriptors } = this;
    for (let handle = list.head; handle !== NONE; handle = descriptors.next(handle))
      if ((descriptors.state(handle) & INCOHERENT) !== 0) throw inUse(this.addressOf(handle));
    let handle = list.head;
    list.head = NONE;
    list.tail = NONE;
    while (handle !== NONE) {
      const next = descriptors.next(handle);
      this.#free(handle);
      handle = next;
    }
  }

  /**
   * Bytes of the allocation at `pa`: its size after rounding.
   * @throws {@link IommuError} `EINVAL` if no allocation starts there.
   */
  sizeOf(pa: Pa): number {
    return this.#bytesOf(this.#find(pa));
  }

  /** Whether an allocation starts at `pa`. */
  isLive(pa: Pa): boolean {
    return this.#lookUp(pa) !== NONE;
  }

  /**
   * A reader begins: nothing that is freed {@link freeDeferred later} from now on goes before it {@link leaveReader leaves}.
   * @returns What to leave with.
   */
  enterReader(): ReaderToken {
    return this.#epoch.enter();
  }

  /**
   * A reader has let go of every table it saw.
   * @throws {@link IommuError} `EINVAL` if nobody entered with this token.
   */
  leaveReader(token: ReaderToken): void {
    this.#epoch.leave(token);
  }

  /**
   * Frees everything on a list once all readers that are inside now have left; at once if there are none. The list is
   * empty afterwards and may be used again.
   * @throws {@link IommuError} `EBUSY` if a non-coherent walker may still use one of them, `EINVAL` if it is the list of
   * another allocator.
   */
  freeDeferred(list: IommuPagesList): void {
    this.checkOwner(list);
    list.forEach((pa) => {
      if (this.isIncoherent(pa)) throw inUse(pa);
    });
    this.#epoch.defer(list);
  }

  /** Whether nothing waits for readers to leave. */
  get settled(): boolean {
    return this.#epoch.idle;
  }

  /**
   * Hands an allocation to a walker that does not snoop: cleans all of it (Linux `iommu_pages_start_incoherent`).
   * @param pa - First byte of the allocation.
   * @param dma - The walker's view; the allocator's own if left out.
   * @throws {@link IommuError} `EINVAL` if no allocation starts there, it is in such use already, or the walker cannot
   * reach it; `EOPNOTSUPP` if the walker would find it at another address, because tables hold physical addresses.
   */
  startIncoherent(pa: Pa, dma: WalkerDma = this.coherence): void {
    const handle = this.#find(pa);
    const state = this.descriptors.state(handle);
    if ((state & INCOHERENT) !== 0)
      throw new IommuError('EINVAL', `${hex(pa)} is already used by a non-coherent walker`);
    const bytes = this.#bytesOf(handle);
    const seen = dma.map === undefined ? pa : dma.map(pa, bytes);
    if (seen === -1) throw new IommuError('EINVAL', `the walker cannot reach ${hex(pa)}+${hex(bytes)}`);
    if (seen !== pa) {
      dma.unmap?.(pa, bytes);
      throw new IommuError('EOPNOTSUPP', `the walker finds ${hex(pa)} at ${hex(seen)}; a table needs equal addresses`);
    }
    dma.syncForDevice(pa, bytes);
    this.descriptors.setState(handle, state | INCOHERENT);
  }

  /**
   * {@link startIncoherent} for each allocation of a list that is not in such use yet
   * (Linux `iommu_pages_start_incoherent_list`). If one fails, those that it started are stopped again.
   * @throws {@link IommuError} as {@link startIncoherent}.
   */
  startIncoherentList(list: IommuPagesList, dma: WalkerDma = this.coherence): void {
    this.checkOwner(list);
    const started: Pa[] = [];
    try {
      list.forEach((pa) => {
        if (this.isIncoherent(pa)) return;
        this.startIncoherent(pa, dma);
        started.push(pa);
      });
    } catch (error) {
      for (const pa of started) this.stopIncoherent(pa, dma);
      throw error;
    }
  }

  /** Makes stores to `bytes` bytes from `pa` visible to a walker (Linux `iommu_pages_flush_incoherent`). */
  flushIncoherent(pa: Pa, bytes: number, dma: WalkerDma = this.coherence): void {
    dma.syncForDevice(pa, bytes);
  }

  /**
   * Ends non-coherent use; an allocation that is not in such use is left alone.
   * @throws {@link IommuError} `EINVAL` if no allocation starts there.
   */
  stopIncoherent(pa: Pa, dma: WalkerDma = this.coherence): void {
    const handle = this.#find(pa);
    const state = this.descriptors.state(handle);
    if ((state & INCOHERENT) === 0) return;
    dma.unmap?.(pa, this.#bytesOf(handle));
    this.descriptors.setState(handle, state & ~INCOHERENT);
  }

  /** {@link stopIncoherent} for a list (Linux `iommu_pages_stop_incoherent_list`). */
  stopIncoherentList(list: IommuPagesList, dma: WalkerDma = this.coherence): void {
    this.checkOwner(list);
    list.forEach((pa) => {
      this.stopIncoherent(pa, dma);
    });
  }

  /**
   * Ends non-coherent use and frees (Linux `iommu_pages_free_incoherent`).
   * @throws {@link IommuError} as {@link freePages}.
   */
  freeIncoherent(pa: Pa, dma: WalkerDma = this.coherence): void {
    this.handleOf(pa);
    this.stopIncoherent(pa, dma);
    this.freePages(pa);
  }

  /**
   * Whether a non-coherent walker uses the allocation at `pa`.
   * @throws {@link IommuError} `EINVAL` if no allocation starts there.
   */
  isIncoherent(pa: Pa): boolean {
    return (this.descriptors.state(this.#find(pa)) & INCOHERENT) !== 0;
  }

  /**
   * Handle of an allocation that is on no list; for {@link IommuPagesList}.
   * @throws {@link IommuError} `EINVAL` if no allocation starts at `pa`, `EBUSY` if it is on a list.
   */
  handleOf(pa: Pa): number {
    const handle = this.#find(pa);
    if ((this.descriptors.state(handle) & LISTED) !== 0)
      throw new IommuError('EBUSY', `${hex(pa)} is on a list and is freed with it`);
    return handle;
  }

  /** First byte of an allocation by its handle; for {@link IommuPagesList}. */
  addressOf(handle: number): Pa {
    if (handle >= 0) {
      this.#selectIndex(handle);
      return (handle + this.#delta) * FRAME_BYTES;
    }
    const unit = -2 - handle;
    const frame = this.#slabs.frameOf(Math.floor(unit / UNITS_PER_FRAME));
    return this.addressOf(frame) + (unit % UNITS_PER_FRAME) * UNIT_BYTES;
  }

  /** @throws {@link IommuError} `EINVAL` if `list` is not one of this allocator's. */
  checkOwner(list: IommuPagesList): void {
    if (list.pages !== this) throw new IommuError('EINVAL', 'the list belongs to another allocator');
  }

  /** The long way of {@link allocPages}: any size, any node, from the `first` allocator on. */
  #allocAnywhere(bytes: number, node: number, first: number): Pa {
    if (!Number.isSafeInteger(bytes) || bytes <= 0)
      throw new IommuError('EINVAL', `allocation of ${bytes} bytes: the size must be a positive integer`);
    const nth = this.allocations++;
    let handle: number = NONE;
    if (bytes <= MAX_BYTES && this.fail?.(nth, bytes) !== true)
      for (const preferred of [true, false])
        for (let place = first; place < this.#frames.length && handle === NONE; place++)
          if ((node === NO_NODE || this.#frames[place]!.node === node) === preferred)
            handle = this.#allocAt(place, bytes);
    if (handle === NONE)
      throw new IommuError('ENOMEM', `no ${bytes} bytes of table memory; ${this.#livePages} pages are in use`);
    return this.addressOf(handle);
  }

  #allocAt(place: number, bytes: number): number {
    if (bytes > FRAME_BYTES / 2) return this.#allocFrames(place, orderOf(bytes));
    return this.#allocSlot(place, bytes <= UNIT_BYTES ? 0 : 26 - Math.clz32(bytes - 1));
  }

  #allocFrames(place: number, order: number): number {
    const index = this.#take(place, order);
    if (index === NONE) return NONE;
    const { memory } = this;
    const frame = index + this.#delta;
    if (order === 0 && memory.observer === null) {
      const word = memory.atFrame(frame);
      memory.words.fill(0, word, word + FRAME_BYTES / 4);
    } else {
      const end = (frame + (1 << order)) * FRAME_BYTES;
      const piece = Math.min(FRAME_BYTES * (1 << order), ZERO_BYTES);
      for (let pa = frame * FRAME_BYTES; pa < end; pa += piece) memory.zero(pa, piece);
    }
    this.descriptors.frameState[index] = LIVE | order;
    return index;
  }

  #allocSlot(place: number, sizeClass: number): number {
    let unit = this.#slabs.alloc(place, sizeClass);
    if (unit === NONE) {
      const index = this.#take(place, 0);
      if (index === NONE) return NONE;
      this.#slabPages += 1;
      this.descriptors.frameState[index] = LIVE | SLAB;
      this.descriptors.frameNext[index] = this.#slabs.add(place, sizeClass, index);
      unit = this.#slabs.alloc(place, sizeClass);
    }
    const handle = -2 - unit;
    this.memory.zero(this.addressOf(handle), UNIT_BYTES << sizeClass);
    this.#slotBytes += UNIT_BYTES << sizeClass;
    return handle;
  }

  /** Takes frames from one allocator and counts them. Returns the first one's index, or NONE. */
  #take(place: number, order: number): number {
    const frame = this.#frames[place]!.alloc(order);
    if (frame === NONE) return NONE;
    if (place !== this.#place) this.#select(place);
    const count = 1 << order;
    this.#live[place]! += count;
    this.#livePages += count;
    if (this.#livePages > this.#peakPages) this.#peakPages = this.#livePages;
    return frame - this.#delta;
  }

  /** Returns the frames of an allocation of the current allocator. */
  #giveBack(index: number, order: number): void {
    this.descriptors.frameState[index] = 0;
    const count = 1 << order;
    this.#live[this.#place]! -= count;
    this.#livePages -= count;
    this.#frames[this.#place]!.free(index + this.#delta);
  }

  #free(handle: number): void {
    if (handle >= 0) {
      this.#selectIndex(handle);
      this.#giveBack(handle, this.descriptors.frameState[handle]! & ORDER_MASK);
      return;
    }
    this.#slotBytes -= this.#bytesOf(handle);
    const emptied = this.#slabs.free(-2 - handle);
    if (emptied === NONE) return;
    this.#slabPages -= 1;
    this.#selectIndex(emptied);
    this.#giveBack(emptied, 0);
  }

  #bytesOf(handle: number): number {
    const order = this.descriptors.state(handle) & ORDER_MASK;
    return (handle >= 0 ? FRAME_BYTES : UNIT_BYTES) * (1 << order);
  }

  #find(pa: Pa): number {
    const handle = this.#lookUp(pa);
    if (handle === NONE) throw new IommuError('EINVAL', `no allocation starts at ${hex(pa)}`);
    return handle;
  }

  /** Handle of the live allocation that starts at `pa`, or NONE. */
  #lookUp(pa: Pa): number {
    const frame = Math.floor(pa / FRAME_BYTES);
    let index = frame - this.#delta;
    if (!(index >= this.#firstIndex && index < this.#endIndex)) {
      const place = this.#frames.findIndex((f) => frame >= f.firstFrame && frame < f.firstFrame + f.totalFrames);
      if (place < 0) return NONE;
      this.#select(place);
      index = frame - this.#delta;
    }
    const offset = pa - frame * FRAME_BYTES;
    const state = this.descriptors.frameState[index]!;
    if (state !== (LIVE | SLAB)) return offset === 0 && (state & LIVE) !== 0 ? index : NONE;
    if (offset % UNIT_BYTES !== 0) return NONE;
    const unit = this.descriptors.frameNext[index]! * UNITS_PER_FRAME + offset / UNIT_BYTES;
    return (this.descriptors.unitState[unit]! & LIVE) !== 0 ? -2 - unit : NONE;
  }

  #selectIndex(index: number): void {
    if (index >= this.#firstIndex && index < this.#endIndex) return;
    this.#select(this.#deltas.findLastIndex((delta, place) => index >= this.#frames[place]!.firstFrame - delta));
  }

  /** Makes one allocator the current one. */
  #select(place: number): void {
    const { firstFrame, totalFrames } = this.#frames[place]!;
    this.#place = place;
    this.#delta = this.#deltas[place]!;
    this.#firstIndex = firstFrame - this.#delta;
    this.#endIndex = this.#firstIndex + totalFrames;
  }
}

/** log2 of the frames that an allocation of more than half a frame takes. */
const orderOf = (bytes: number): number => 32 - Math.clz32((bytes - 1) >>> 12);

function inUse(pa: Pa): IommuError {
  return new IommuError('EBUSY', `a non-coherent walker may still use ${hex(pa)}; stop that first`);
}
