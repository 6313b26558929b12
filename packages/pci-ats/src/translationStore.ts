import { IommuError } from '@smmu/platform';
import {
  type InvalidationScope,
  MASK_HI,
  MASK_LO,
  TAG_GLOBAL,
  TAG_PRIVILEGED,
  TAG_VALID,
  tagOf,
} from './invalidationScope.ts';

/** What a translation permits, as bits; {@link needOf} of a request is made of the first three. */
export const ATC_READ = 1;
export const ATC_WRITE = 2;
export const ATC_EXECUTE = 4;
/** U: only untranslated requests may go there. */
export const ATC_UNTRANSLATED = 8;
/** N: requests must not set No Snoop. */
export const ATC_SNOOP = 16;

/** No translation that permits what is needed. All other results below 0 are failures of a translation request. */
export const ATC_MISS = -1;

// An entry is eight words: range (page address and size), upper word, tag, permissions, translation (two words), two spare.
const HI = 1;
const TAG = 2;
const BITS = 3;
const TO_LO = 4;
const TO_HI = 5;
const ENTRY = 8;
const WAYS = 4;
const SET = WAYS * ENTRY;
const SIZE = 0x3f; // in the low bits of the page address, which are zero
const MAX_ENTRIES = 2 ** 16;

/**
 * Translations by address, PASID and privilege in sets of four, in one typed array: what an ATC is made of.
 *
 * A translation is never changed: it goes when an invalidation covers it, when its set needs the room (the ways of a set
 * in turn), or when a newer completion for the same address replaces it. PCI Express Base §10.2.3.1.
 */
export class TranslationStore {
  /** Translations held. */
  count = 0;
  /** Translations that had to make room. */
  evictions = 0;
  readonly capacity: number;
  readonly #words: Int32Array;
  readonly #shift: number;
  readonly #victim: Uint8Array;
  /** Translations of each size, and the sizes that have any, in the order in which they are tried. */
  readonly #ofSize: Int32Array = new Int32Array(64);
  readonly #sizes: Uint8Array = new Uint8Array(64);
  #sizeCount = 0;
  #globals = 0;

  /** @throws {@link IommuError} `EINVAL` unless `entries` is a power of two from 8 to 65,536. */
  constructor(entries: number) {
    if (!(entries >= 2 * WAYS && entries <= MAX_ENTRIES && Number.isInteger(Math.log2(entries))))
      throw new IommuError(
        'EINVAL',
        `a cache of ${entries} translations: must be a power of two from 8 to ${MAX_ENTRIES}`,
      );
    this.capacity = entries;
    this.#words = new Int32Array(entries * ENTRY);
    this.#shift = 32 - Math.log2(entries / WAYS);
    this.#victim = new Uint8Array(entries / WAYS);
  }

  /**
   * Finds a translation. Returns its handle, or {@link ATC_MISS}. Handles hold until the store is next changed.
   * @param need - Permissions that it must have.
   */
  find(substreamId: number, lo: number, hi: number, need: number, privileged: boolean): number {
    const handle = this.#find(tagOf(substreamId, privileged), lo, hi, need);
    if (handle >= 0 || this.#globals === 0 || substreamId < 0) return handle;
    return this.#find(privileged ? TAG_VALID | TAG_GLOBAL | TAG_PRIVILEGED : TAG_VALID | TAG_GLOBAL, lo, hi, need);
  }

  #find(tag: number, lo: number, hi: number, need: number): number {
    const words = this.#words;
    for (let i = 0; i < this.#sizeCount; i++) {
      const size = this.#sizes[i]!;
      const page = (lo & MASK_LO[size]!) | size;
      const top = hi & MASK_HI[size]!;
      let at = this.#set(page, top, tag);
      for (const end = at + SET; at < end; at += ENTRY)
        if (words[at] === page && words[at + TAG] === tag && words[at + HI] === top) {
          if ((words[at + BITS]! & need) === need) return at;
          break;
        }
    }
    return ATC_MISS;
  }

  /** Words of the translated address that an untranslated one becomes. */
  translatedLo(handle: number, lo: number): number {
    const words = this.#words;
    return (words[handle + TO_LO]! | (lo & ~MASK_LO[words[handle]! & SIZE]!)) >>> 0;
  }
  translatedHi(handle: number, hi: number): number {
    const words = this.#words;
    return (words[handle + TO_HI]! | (hi & ~MASK_HI[words[handle]! & SIZE]!)) >>> 0;
  }

  /** Permissions and marks of a translation. */
  bits(handle: number): number {
    return this.#words[handle + BITS]!;
  }
  tag(handle: number): number {
    return this.#words[handle + TAG]!;
  }
  /** log2 of its bytes. */
  size(handle: number): number {
    return this.#words[handle]! & SIZE;
  }

  /**
   * Enters a translation of the naturally aligned range of 2^`size` bytes around an address. Returns its handle.
   * @param to - Translated address of the first byte of the range.
   */
  insert(tag: number, lo: number, hi: number, size: number, bits: number, to: number): number {
    // Another one for that address is older; if it were of another size both would be found, in whichever order.
    for (let old = this.#find(tag, lo, hi, 0); old >= 0; old = this.#find(tag, lo, hi, 0)) this.#remove(old);
    const words = this.#words;
    const page = (lo & MASK_LO[size]!) | size;
    const top = hi & MASK_HI[size]!;
    const set = this.#set(page, top, tag);
    let at = set;
    while (at < set + SET && words[at + TAG] !== 0) at += ENTRY;
    if (at === set + SET) {
      const way = this.#victim[set / SET]!;
      this.#victim[set / SET] = (way + 1) % WAYS;
      at = set + way * ENTRY;
      this.evictions += 1;
      this.#remove(at);
    }
    words[at] = page;
    words[at + HI] = top;
    words[at + TAG] = tag;
    words[at + BITS] = bits;
    words[at + TO_LO] = (to % 2 ** 32) | 0;
    words[at + TO_HI] = Math.floor(to / 2 ** 32);
    this.count += 1;
    if ((tag & TAG_GLOBAL) !== 0) this.#globals += 1;
    if (this.#ofSize[size]!++ === 0) this.#sizes[this.#sizeCount++] = size;
    return at;
  }

  /** Drops what an invalidation covers. */
  invalidate(scope: InvalidationScope): void {
    if (this.count === 0) return;
    if (scope.pasid !== 0 && !scope.global && this.#allAtLeast(scope.size)) {
      // The common one, a page of one PASID: at most one translation of each size holds it.
      this.#drop(scope.pasid | TAG_VALID, scope);
      this.#drop(scope.pasid | TAG_VALID | TAG_PRIVILEGED, scope);
      return;
    }
    const words = this.#words;
    let left = this.count;
    for (let at = 0; left > 0; at += ENTRY) {
      const tag = words[at + TAG]!;
      if (tag === 0) continue;
      left -= 1;
      if (scope.covers(tag, words[at]! & ~SIZE, words[at + HI]!, words[at]! & SIZE)) this.#remove(at);
    }
  }

  clear(): void {
    this.#words.fill(0);
    this.#ofSize.fill(0);
    this.#sizeCount = 0;
    this.#globals = 0;
    this.count = 0;
  }

  #drop(tag: number, { lo, hi }: InvalidationScope): void {
    for (let at = this.#find(tag, lo, hi, 0); at >= 0; at = this.#find(tag, lo, hi, 0)) this.#remove(at);
  }

  #allAtLeast(size: number): boolean {
    for (let i = 0; i < this.#sizeCount; i++) if (this.#sizes[i]! < size) return false;
    return true;
  }

  #remove(at: number): void {
    const words = this.#words;
    const size = words[at]! & SIZE;
    if ((words[at + TAG]! & TAG_GLOBAL) !== 0) this.#globals -= 1;
    words[at] = 0;
    words[at + TAG] = 0;
    this.count -= 1;
    if (--this.#ofSize[size]! > 0) return;
    const place = this.#sizes.indexOf(size);
    this.#sizes.copyWithin(place, place + 1, this.#sizeCount);
    this.#sizeCount -= 1;
  }

  /** First word of the set of a range. */
  #set(page: number, top: number, tag: number): number {
    return (Math.imul(page ^ (tag << 12) ^ Math.imul(top, 0x85eb_ca6b), 0x9e37_79b1) >>> this.#shift) * SET;
  }
}
