/**
 * Which IDs are free: a bitmap with three summaries above it, so that the lowest free ID of any range is a few words
 * away however many are taken. Plays the part of the kernel's xarray with `XA_FREE_MARK` (lib/xarray.c).
 */

/** IDs that four levels of 32 hold: the 20 bits of a PASID (PCIe 6.20.2.2) or SubstreamID (IHI 0070). */
export const ID_LIMIT: number = 2 ** 20;
const ALL = -1;

// All levels stand in one array, the smallest first, each with a word that stays 0 behind it as a stopper.
const ROOT = 0; // 1 word
const GROUPS = 2; // up to 32
const WORDS = GROUPS + 33; // up to 1,024
const IDS = WORDS + 1025;

/** How many of the lowest free IDs are remembered. */
const NEAR = 8;

/** Index of the lowest set bit of a word that is not 0. */
const lowestBit = (word: number): number => 31 - Math.clz32(word & -word);

/**
 * A set bit is a free ID; in a summary, a word below that is not 0.
 *
 * Most requests begin at one same ID, and an ID that was just freed is often the lowest again. So the free IDs of
 * `[from, knownTo)` are also kept in `#near`: all of them, whichever those are at the moment. A search, which waits for
 * four words one after the other, is for when that is empty.
 */
export class IdBitmap {
  readonly #bits: Int32Array;
  #from = 0;
  #knownTo = 0;
  readonly #near: Int32Array = new Int32Array(NEAR); // descending, so the lowest is the last
  #nearCount = 0;

  /** @param count - IDs 0 to `count` − 1 exist and are free; from 1 to {@link ID_LIMIT}. */
  constructor(count: number) {
    this.#bits = new Int32Array(IDS + Math.ceil(count / 32) + 2);
    let start = IDS;
    for (const below of [WORDS, GROUPS, ROOT, ROOT]) {
      this.#bits.fill(ALL, start, start + (count >>> 5));
      if (count % 32 !== 0) this.#bits[start + (count >>> 5)] = 2 ** (count % 32) - 1;
      count = Math.ceil(count / 32);
      start = below;
    }
  }

  isFree(id: number): boolean {
    return (this.#bits[IDS + (id >>> 5)]! & (1 << (id & 31))) !== 0;
  }

  /** Takes the lowest free ID of `[from, last]`. Returns it, or -1. Both must be IDs that exist. */
  takeLowest(from: number, last: number): number {
    if (from !== this.#from) this.#forget(from);
    let id: number;
    if (this.#nearCount > 0) {
      id = this.#near[this.#nearCount - 1]!;
      if (id > last) return -1;
      this.#nearCount -= 1;
    } else {
      id = this.#search(this.#knownTo);
      if (id < 0 || id > last) return -1;
      this.#knownTo = id + 1;
    }
    this.#clear(id);
    return id;
  }

  /** {@link takeLowest} for a `from` that will not be asked for again, as in a cyclic search. */
  takeNext(from: number, last: number): number {
    const id = this.#search(from);
    if (id < 0 || id > last) return -1;
    this.take(id);
    return id;
  }

  /** Marks a free ID as taken. */
  take(id: number): void {
    if (id >= this.#from && id < this.#knownTo) this.#forget(this.#from);
    this.#clear(id);
  }

  /** Marks a taken ID as free. */
  release(id: number): void {
    if (id >= this.#from && id < this.#knownTo) this.#remember(id);
    const bits = this.#bits;
    const word = id >>> 5;
    const before = bits[IDS + word]!;
    bits[IDS + word] = before | (1 << (id & 31));
    if (before !== 0) return; // the summaries say so already
    const group = word >>> 5;
    const top = group >>> 5;
    bits[WORDS + group]! |= 1 << (word & 31);
    bits[GROUPS + top]! |= 1 << (group & 31);
    bits[ROOT]! |= 1 << top;
  }

  #forget(from: number): void {
    this.#from = from;
    this.#knownTo = from;
    this.#nearCount = 0;
  }

  /** Puts an ID of `[from, knownTo)` in its place among the near ones. Where one is too many, less is known. */
  #remember(id: number): void {
    const near = this.#near;
    if (this.#nearCount === NEAR) {
      const highest = near[0]!;
      this.#knownTo = Math.max(id, highest);
      if (id > highest) return;
      near.copyWithin(0, 1);
      this.#nearCount -= 1;
    }
    let place = this.#nearCount++;
    for (; place > 0 && near[place - 1]! < id; place--) near[place] = near[place - 1]!;
    near[place] = id;
  }

  #clear(id: number): void {
    const bits = this.#bits;
    const word = id >>> 5;
    if ((bits[IDS + word]! &= ~(1 << (id & 31))) !== 0) return;
    const group = word >>> 5;
    if ((bits[WORDS + group]! &= ~(1 << (word & 31))) !== 0) return;
    const top = group >>> 5;
    if ((bits[GROUPS + top]! &= ~(1 << (group & 31))) !== 0) return;
    bits[ROOT]! &= ~(1 << top);
  }

  /** The lowest free ID from `from` on, or -1: up until a summary shows one, then straight down to it. */
  #search(from: number): number {
    const bits = this.#bits;
    let word = from >>> 5;
    let found = bits[IDS + word]! & (ALL << (from & 31));
    if (found === 0) {
      let next = word + 1;
      let group = next >>> 5;
      found = bits[WORDS + group]! & (ALL << (next & 31));
      if (found === 0) {
        next = group + 1;
        let top = next >>> 5;
        found = bits[GROUPS + top]! & (ALL << (next & 31));
        if (found === 0) {
          next = top + 1;
          found = next < 32 ? bits[ROOT]! & (ALL << next) : 0;
          if (found === 0) return -1;
          top = lowestBit(found);
          found = bits[GROUPS + top]!;
        }
        group = (top << 5) | lowestBit(found);
        found = bits[WORDS + group]!;
      }
      word = (group << 5) | lowestBit(found);
      found = bits[IDS + word]!;
    }
    return (word << 5) | lowestBit(found);
  }
}
