import { hex, type Pa } from './address.ts';
import { IommuError } from './errors.ts';

/** Bytes of a frame, the unit of physical memory. Larger granules take aligned runs of frames. */
export const FRAME_BYTES = 4096;
const MAX_ORDER = 18; // 1 GiB
const FREE = 0x40; // state: first frame of a free block, low bits its order
const USED = 0x80; // state: first frame of an allocated block, low bits its order
const HOT_ORDERS = 5; // orders 0 to 4, the table sizes of all granules, are kept hot
const HOT_BLOCKS = 32; // of each such order, at most
const NONE = -1;

/** Decides that an allocation fails: a test's way to have memory run out at a chosen place. `nth` counts from 0. */
export type FrameFailure = (nth: number, order: number) => boolean;

/**
 * Hands out physical frames in naturally aligned powers of two (a buddy allocator, as Linux mm/page_alloc.c).
 * It keeps its state beside the memory, so that a stray DMA cannot break it. Contents are not cleared.
 *
 * The last few small blocks that came back are not merged at once but handed out again first, as by the kernel's
 * per-CPU lists: a block that comes and goes would otherwise be split and merged through every order each time. They
 * are free like any other, and are merged before a request for something larger fails.
 */
export class FrameAllocator {
  /** First frame number and count of frames that it manages. */
  readonly firstFrame: number;
  readonly totalFrames: number;
  readonly node: number;
  freeFrames: number;
  /** Consulted before each allocation while set. */
  fail: FrameFailure | null = null;
  /** Allocations asked for so far. */
  allocations = 0;
  readonly #state: Uint8Array;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #heads: Int32Array = new Int32Array(MAX_ORDER + 1).fill(NONE);
  /** By order: a stack of blocks that are free but not merged. Their state byte is 0, so no buddy takes them. */
  readonly #hot: Int32Array = new Int32Array(HOT_ORDERS * HOT_BLOCKS);
  readonly #hotCount: Int32Array = new Int32Array(HOT_ORDERS);
  /** `firstFrame` modulo the largest block: enough to tell what is aligned. */
  readonly #skew: number;

  /**
   * @param base - First byte, 4 KiB aligned.
   * @param size - Bytes, a multiple of 4 KiB.
   * @throws {@link IommuError} `EINVAL` if misaligned or empty.
   */
  constructor(base: Pa, size: number, node = 0) {
    if (base % FRAME_BYTES !== 0 || size % FRAME_BYTES !== 0 || size <= 0)
      throw new IommuError('EINVAL', `frames at ${hex(base)}+${hex(size)}: must be multiples of 4 KiB`);
    this.firstFrame = base / FRAME_BYTES;
    this.totalFrames = size / FRAME_BYTES;
    this.node = node;
    this.freeFrames = this.totalFrames;
    this.#skew = this.firstFrame % (1 << MAX_ORDER);
    this.#state = new Uint8Array(this.totalFrames);
    this.#next = new Int32Array(this.totalFrames);
    this.#previous = new Int32Array(this.totalFrames);
    for (let index = 0; index < this.totalFrames; ) {
      let order = 0;
      while (order < MAX_ORDER && this.#aligned(index, order + 1) && index + (2 << order) <= this.totalFrames)
        order += 1;
      this.#insert(index, order);
      index += 1 << order;
    }
  }

  /**
   * Takes 2^`order` frames, aligned to their size. Returns the first frame number, or -1 if there are none.
   * @throws {@link IommuError} `EINVAL` if `order` is no whole number from 0.
   */
  alloc(order: number): number {
    const nth = this.allocations++;
    if (this.fail?.(nth, order)) return NONE;
    let index: number = NONE;
    if (order < HOT_ORDERS && this.#hotCount[order]! > 0)
      index = this.#hot[order * HOT_BLOCKS + --this.#hotCount[order]!]!;
    else {
      index = this.#split(order);
      if (index === NONE && this.#mergeHot()) index = this.#split(order);
      if (index === NONE) return NONE;
    }
    this.#state[index] = USED | order;
    this.freeFrames -= 1 << order;
    return this.firstFrame + index;
  }

  /**
   * Gives back a block by its first frame number.
   * @throws {@link IommuError} `EINVAL` if no allocated block starts there: freed twice, or never allocated.
   */
  free(frame: number): void {
    const index = frame - this.firstFrame;
    const state = index >= 0 && index < this.totalFrames ? this.#state[index]! : 0;
    if ((state & USED) === 0)
      throw new IommuError('EINVAL', `free of frame ${hex(frame)}: no allocated block starts there`);
    const order = state & 0x3f;
    this.freeFrames += 1 << order;
    this.#state[index] = 0;
    if (order < HOT_ORDERS && this.#hotCount[order]! < HOT_BLOCKS)
      this.#hot[order * HOT_BLOCKS + this.#hotCount[order]!++] = index;
    else this.#merge(index, order);
  }

  /** Order of the allocated block that starts at `frame`, or -1 if none does. */
  orderOf(frame: number): number {
    const state = this.#state[frame - this.firstFrame] ?? 0;
    return (state & USED) === 0 ? NONE : state & 0x3f;
  }

  /** Cuts a block out of the smallest one that is large enough. Returns its index, or -1. */
  #split(order: number): number {
    if (order >>> 0 !== order)
      throw new IommuError('EINVAL', `2^${order} frames: the order must be a whole number from 0`);
    let from = order;
    while (from <= MAX_ORDER && this.#heads[from] === NONE) from += 1;
    if (from > MAX_ORDER) return NONE;
    const index = this.#heads[from]!;
    this.#remove(index, from);
    while (from > order) {
      from -= 1;
      this.#insert(index + (1 << from), from);
    }
    return index;
  }

  /** Joins a block with its buddy as often as that one is free too. */
  #merge(index: number, order: number): void {
    while (order < MAX_ORDER) {
      const buddy = this.#aligned(index, order + 1) ? index + (1 << order) : index - (1 << order);
      if (buddy < 0 || buddy + (1 << order) > this.totalFrames || this.#state[buddy] !== (FREE | order)) break;
      this.#remove(buddy, order);
      index = Math.min(index, buddy);
      order += 1;
    }
    this.#insert(index, order);
  }

  /** Merges all hot blocks. Returns whether there were any. */
  #mergeHot(): boolean {
    let any = false;
    for (let order = 0; order < HOT_ORDERS; order++)
      while (this.#hotCount[order]! > 0) {
        this.#merge(this.#hot[order * HOT_BLOCKS + --this.#hotCount[order]!]!, order);
        any = true;
      }
    return any;
  }

  #aligned(index: number, order: number): boolean {
    return ((index + this.#skew) & ((1 << order) - 1)) === 0;
  }

  #insert(index: number, order: number): void {
    const head = this.#heads[order]!;
    this.#state[index] = FREE | order;
    this.#next[index] = head;
    this.#previous[index] = NONE;
    if (head !== NONE) this.#previous[head] = index;
    this.#heads[order] = index;
  }

  #remove(index: number, order: number): void {
    const next = this.#next[index]!;
    const previous = this.#previous[index]!;
    if (previous === NONE) this.#heads[order] = next;
    else this.#next[previous] = next;
    if (next !== NONE) this.#previous[next] = previous;
    this.#state[index] = 0;
  }
}
