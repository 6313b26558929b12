/**
 * Allocations smaller than a frame, packed: a frame is cut into slots of one size, 64 bytes to 2 KiB. The kernel takes
 * such sizes too but spends a whole page on each (Linux `iommu_alloc_pages_node_sz`, iommu-pages.c).
 *
 * A slab with a free slot is on the list of its node and size; a slab whose last slot went gives its frame back at once.
 */
import { type Descriptors, LIVE, NONE, UNITS_PER_FRAME } from './descriptors.ts';

/** 64, 128, 256, 512, 1,024 and 2,048 bytes. */
export const SLOT_CLASSES = 6;

export class Slabs {
  readonly #descriptors: Descriptors;
  /** First slab with a free slot, by node place and class. */
  readonly #partial: Int32Array;
  // By slab: the frame it cuts up, its class, its list, its neighbours there, and one bit per taken slot.
  #frame: Int32Array = new Int32Array(0);
  #class: Uint8Array = new Uint8Array(0);
  #list: Int32Array = new Int32Array(0);
  #previous: Int32Array = new Int32Array(0);
  #next: Int32Array = new Int32Array(0);
  #taken: Uint32Array = new Uint32Array(0);
  /** Slots taken. */
  #used: Uint8Array = new Uint8Array(0);
  /** Head of the unused slab numbers, threaded through `#next`. */
  #unused = NONE;

  constructor(descriptors: Descriptors, places: number) {
    this.#descriptors = descriptors;
    this.#partial = new Int32Array(places * SLOT_CLASSES).fill(NONE);
  }

  /** Index of the frame that a slab cuts up. */
  frameOf(slab: number): number {
    return this.#frame[slab]!;
  }

  /** Takes the lowest slot of a slab that has one free. Returns its unit, or -1 if there is no such slab. */
  alloc(place: number, sizeClass: number): number {
    const slab = this.#partial[place * SLOT_CLASSES + sizeClass]!;
    if (slab === NONE) return NONE;
    const half = this.#taken[slab * 2] === 0xffff_ffff ? 1 : 0;
    const free = ~this.#taken[slab * 2 + half]!;
    const bit = 31 - Math.clz32(free & -free);
    this.#taken[slab * 2 + half]! |= 1 << bit;
    if (++this.#used[slab]! === UNITS_PER_FRAME >>> sizeClass) this.#unlink(slab);
    const unit = slab * UNITS_PER_FRAME + ((half * 32 + bit) << sizeClass);
    this.#descriptors.unitState[unit] = LIVE | sizeClass;
    return unit;
  }

  /** Cuts `frame` up for slots of `sizeClass`. Returns the slab's number. */
  add(place: number, sizeClass: number, frame: number): number {
    if (this.#unused === NONE) this.#grow();
    const slab = this.#unused;
    this.#unused = this.#next[slab]!;
    this.#frame[slab] = frame;
    this.#class[slab] = sizeClass;
    this.#list[slab] = place * SLOT_CLASSES + sizeClass;
    // Slots beyond the slab's own count as taken, so that the search for a free bit needs no bound.
    const slots = UNITS_PER_FRAME >>> sizeClass;
    this.#taken[slab * 2] = slots >= 32 ? 0 : -(2 ** slots);
    this.#taken[slab * 2 + 1] = slots === 64 ? 0 : 0xffff_ffff;
    this.#link(slab);
    return slab;
  }

  /** Gives a slot back. Returns the frame's index if the slab is now empty and gone, else -1. */
  free(unit: number): number {
    const slab = Math.floor(unit / UNITS_PER_FRAME);
    const sizeClass = this.#class[slab]!;
    const slot = (unit % UNITS_PER_FRAME) >>> sizeClass;
    this.#descriptors.unitState[unit] = 0;
    this.#taken[slab * 2 + (slot >>> 5)]! &= ~(1 << (slot & 31));
    if (this.#used[slab]!-- === UNITS_PER_FRAME >>> sizeClass) this.#link(slab);
    if (this.#used[slab] !== 0) return NONE;
    this.#unlink(slab);
    this.#next[slab] = this.#unused;
    this.#unused = slab;
    return this.#frame[slab]!;
  }

  #link(slab: number): void {
    const head = this.#partial[this.#list[slab]!]!;
    this.#next[slab] = head;
    this.#previous[slab] = NONE;
    if (head !== NONE) this.#previous[head] = slab;
    this.#partial[this.#list[slab]!] = slab;
  }

  #unlink(slab: number): void {
    const next = this.#next[slab]!;
    const previous = this.#previous[slab]!;
    if (previous === NONE) this.#partial[this.#list[slab]!] = next;
    else this.#next[previous] = next;
    if (next !== NONE) this.#previous[next] = previous;
  }

  #grow(): void {
    const old = this.#frame.length;
    const size = Math.max(8, old * 2);
    this.#frame = copied(new Int32Array(size), this.#frame);
    this.#class = copied(new Uint8Array(size), this.#class);
    this.#list = copied(new Int32Array(size), this.#list);
    this.#previous = copied(new Int32Array(size), this.#previous);
    this.#next = copied(new Int32Array(size), this.#next);
    this.#taken = copied(new Uint32Array(size * 2), this.#taken);
    this.#used = copied(new Uint8Array(size), this.#used);
    for (let slab = size - 1; slab >= old; slab--) {
      this.#next[slab] = this.#unused;
      this.#unused = slab;
    }
    this.#descriptors.growUnits(size);
  }
}

function copied<T extends Int32Array | Uint32Array | Uint8Array>(larger: T, from: T): T {
  larger.set(from);
  return larger;
}
