/**
 * A set-associative cache in typed arrays: what the IOTLB and the walk caches are made of. IHI 0070 §3.17 says what a
 * tag holds; an entry stays until an invalidation that covers it, or until its set needs the room.
 *
 * A tag is two words. `page`: input address [43:12], cut to the entry's size. `meta`: the number that stands for stream
 * world, ASID and VMID (tagNumbers.ts), input address [52:44], the size class, a global mark. Addresses beyond 52 bits
 * are sign extensions or faults, so bit 52 stands for all above it. A set of four entries is one cache line, ordered
 * page ×4, meta ×4, frame ×4, bits ×4: a hit touches nothing else.
 */

/** Address bits that the entries of a class leave open: granules, blocks, contiguous runs and table reaches. */
export const CLASS_SHIFT: readonly number[] = [12, 14, 16, 21, 25, 29, 30, 34, 36, 39, 42, 47, 48];

/** Class by the number of address bits; a shift that no class has is the caller's mistake and gives class 0. */
export const CLASS_OF_SHIFT: Uint8Array = new Uint8Array(64);
/** Masks for `page`, and for the address bits in `meta`, by class. */
export const PAGE_MASK: Int32Array = new Int32Array(16);
export const TOP_MASK: Int32Array = new Int32Array(16);
for (const [index, shift] of CLASS_SHIFT.entries()) {
  CLASS_OF_SHIFT[shift] = index;
  PAGE_MASK[index] = shift >= 44 ? 0 : -(2 ** (shift - 12));
  TOP_MASK[index] = shift > 44 ? 0x1ff & -(2 ** (shift - 44)) : 0x1ff;
}

/** In `meta`, from the bottom: the tag number, address [52:44], the class. */
export const META_NUMBER = 0xffff;
export const META_TOP_SHIFT = 16;
export const META_CLASS_SHIFT = 25;
/** Marks an entry that every ASID of its ASID set may use. Its tag number is that of ASID 0. */
export const META_GLOBAL: number = 1 << 29;
/** CD.ASET of a global entry: global entries are shared only inside one ASID set. */
export const META_ASET: number = 1 << 30;
const META_VALID = 1 << 31;

/** Frame bits [39:32] lie in `bits`, whose other bits are the owner's. */
export const FRAME_HI_SHIFT = 12;
const FRAME_HI: number = 0xff << FRAME_HI_SHIFT;
/** The part of an address that an entry keeps in its bits, from the address's upper word; and the rest, as a frame. */
export const frameHi = (hi: number): number => hi & FRAME_HI;
export const frameLo = (lo: number, hi: number): number => (lo >>> 12) | (hi << 20);

/** Whether an invalidation covers the entry with that handle. */
export type EntryFilter = (handle: number) => boolean;

/** The address part of `meta`, from the upper word of an input address. */
export const topOf = (hi: number): number => (hi >>> 12) & 0x1ff;

/** Whether the address fits a tag: below 2^52, or the sign extension of such. */
export const fitsTag = (hi: number): boolean => (hi + 0x10_0000) >>> 0 < 0x20_0000;

export class TagCache {
  /** Sixteen words a set. A handle is the index of an entry's `page`; `meta`, `frame`, `bits` follow at +4, +8, +12. */
  readonly tags: Int32Array;
  /** Beside the sets, by {@link indexOf}: what only misses and faults look at. */
  readonly ipas: Float64Array;
  readonly attributes: Uint16Array;
  /** One bit for each class that has entries, those of global ones 16 higher. */
  present = 0;
  /** Entries in use. */
  count = 0;
  /** Entries whose bits have the flag that the cache was made with. */
  flagged = 0;
  readonly #flag: number;
  readonly #shift: number;
  readonly #live: Int32Array = new Int32Array(32);
  /** Entries by tag number: an invalidation of an ASID that has none does not look further. */
  #byNumber: Int32Array = new Int32Array(256);
  readonly #victim: Uint8Array;

  /**
   * @param entries - A power of two, at least 8.
   * @param flag - Bits to count in {@link flagged}.
   */
  constructor(entries: number, flag = 0) {
    const sets = entries / 4;
    this.#flag = flag;
    this.#shift = 32 - Math.log2(sets);
    this.tags = new Int32Array(sets * 16);
    this.ipas = new Float64Array(entries);
    this.attributes = new Uint16Array(entries);
    this.#victim = new Uint8Array(sets);
  }

  /** The handle of the entry with that tag, or -1. `meta` without the valid mark. */
  find(page: number, meta: number): number {
    const tags = this.tags;
    const at = (Math.imul(page ^ (meta << 14), 0x9e3779b1) >>> this.#shift) << 4;
    meta |= META_VALID;
    if (tags[at] === page && tags[at + 4] === meta) return at;
    if (tags[at + 1] === page && tags[at + 5] === meta) return at + 1;
    if (tags[at + 2] === page && tags[at + 6] === meta) return at + 2;
    if (tags[at + 3] === page && tags[at + 7] === meta) return at + 3;
    return -1;
  }

  /**
   * The handle of an entry for an address, of another size than `tried` or global, or -1.
   * @param page - Input address [43:12].
   * @param number - Tag number, and that of ASID 0 for global entries.
   * @param aset - META_ASET if the ASID set is 1.
   */
  findOther(page: number, hi: number, number: number, globalNumber: number, aset: number, tried: number): number {
    const top = topOf(hi);
    for (let rest = this.present & ~(1 << tried); rest !== 0; rest &= rest - 1) {
      const bit = 31 - Math.clz32(rest & -rest);
      const size = bit & 15;
      const key = ((top & TOP_MASK[size]!) << META_TOP_SHIFT) | (size << META_CLASS_SHIFT);
      const handle = this.find(
        page & PAGE_MASK[size]!,
        bit < 16 ? key | number : key | globalNumber | META_GLOBAL | aset,
      );
      if (handle >= 0) return handle;
    }
    return -1;
  }

  /**
   * Puts an entry in, over one with the same tag or else over the set's next victim. Returns its handle.
   * @param bits - The owner's, and {@link frameHi} of the frame.
   * @param frame - {@link frameLo} of the address that the entry leads to.
   */
  insert(page: number, meta: number, bits: number, frame: number): number {
    const tags = this.tags;
    const at = (Math.imul(page ^ (meta << 14), 0x9e3779b1) >>> this.#shift) << 4;
    meta |= META_VALID;
    let handle = at + (this.#victim[at >>> 4]! & 3);
    for (let entry = at; entry < at + 4; entry++) {
      if (tags[entry + 4] === 0) handle = entry;
      else if (tags[entry] === page && tags[entry + 4] === meta) {
        handle = entry;
        break;
      }
    }
    this.#victim[at >>> 4] = handle + 1;
    const before = tags[handle + 4]!;
    tags[handle] = page;
    tags[handle + 4] = meta;
    tags[handle + 8] = frame;
    const old = tags[handle + 12]!;
    tags[handle + 12] = bits;
    // Kind and number mostly stay what they were: only a change has to be counted.
    if (((before ^ meta) & COUNTED) !== 0 || ((old ^ bits) & this.#flag) !== 0) this.#count(before, old, meta, bits);
    return handle;
  }

  /** Number of the entry for {@link ipas} and {@link attributes}. */
  indexOf(handle: number): number {
    return ((handle >>> 4) << 2) | (handle & 3);
  }

  /** An address in the entry's page: its upper word, and its lower one given the bits inside the page. */
  hiOf(handle: number): number {
    return (this.tags[handle + 8]! >>> 20) | (this.tags[handle + 12]! & FRAME_HI);
  }
  loOf(handle: number, offset: number): number {
    return (this.tags[handle + 8]! << 12) | offset;
  }

  /** The entry's first byte. */
  baseOf(handle: number): number {
    return this.hiOf(handle) * 2 ** 32 + (this.loOf(handle, 0) >>> 0);
  }

  shiftOf(handle: number): number {
    return CLASS_SHIFT[(this.tags[handle + 4]! >>> META_CLASS_SHIFT) & 15]!;
  }

  /**
   * Whether an entry of a tag number, smaller than 2^`shift` bytes, lies in the naturally aligned 2^`shift` bytes around
   * an address: what makes two translations of one address.
   */
  hasInside(number: number, page: number, hi: number, shift: number): boolean {
    const size = CLASS_OF_SHIFT[shift]!;
    const tags = this.tags;
    const topMask = TOP_MASK[size]! << META_TOP_SHIFT;
    const top = topOf(hi) << META_TOP_SHIFT;
    for (let set = 0; set < tags.length; set += 16)
      for (let entry = set; entry < set + 4; entry++) {
        const meta = tags[entry + 4]!;
        if (meta === 0 || (meta & META_NUMBER) !== number || ((meta ^ top) & topMask) !== 0) continue;
        if (((tags[entry]! ^ page) & PAGE_MASK[size]!) === 0 && this.shiftOf(entry) < shift) return true;
      }
    return false;
  }

  /** Drops one entry. */
  remove(handle: number): void {
    const tags = this.tags;
    const meta = tags[handle + 4]!;
    tags[handle + 4] = 0;
    this.#count(meta, tags[handle + 12]!, 0, 0);
  }

  /** Entries of a tag number. */
  holds(number: number): number {
    return this.#byNumber[number] ?? 0;
  }

  /** Drops every entry that `covers` says yes to. */
  removeIf(covers: EntryFilter): void {
    const tags = this.tags;
    let left = this.count;
    for (let set = 0; set < tags.length && left > 0; set += 16)
      for (let handle = set; handle < set + 4; handle++) {
        if (tags[handle + 4] === 0) continue;
        left--;
        if (covers(handle)) this.remove(handle);
      }
  }

  clear(): void {
    this.tags.fill(0);
    this.#live.fill(0);
    this.#byNumber.fill(0);
    this.present = 0;
    this.count = 0;
    this.flagged = 0;
  }

  /** Keeps the counters when an entry's place changes hands. A `meta` of 0 is no entry. */
  #count(before: number, oldBits: number, after: number, newBits: number): void {
    if (before !== 0) {
      const kind = kindOf(before);
      if (--this.#live[kind]! === 0) this.present &= ~(1 << kind);
      this.#byNumber[before & META_NUMBER]!--;
      this.count--;
      if ((oldBits & this.#flag) !== 0) this.flagged--;
    }
    if (after === 0) return;
    const kind = kindOf(after);
    this.#live[kind]!++;
    this.present |= 1 << kind;
    const number = after & META_NUMBER;
    if (number >= this.#byNumber.length) this.#grow(number);
    this.#byNumber[number]!++;
    this.count++;
    if ((newBits & this.#flag) !== 0) this.flagged++;
  }

  #grow(number: number): void {
    const larger = new Int32Array(2 * 2 ** Math.ceil(Math.log2(number + 1)));
    larger.set(this.#byNumber);
    this.#byNumber = larger;
  }
}

/** What of `meta` the counters go by: validity, kind, number. */
const COUNTED = META_VALID | META_GLOBAL | (15 << META_CLASS_SHIFT) | META_NUMBER;
const kindOf = (meta: number): number => ((meta >>> META_CLASS_SHIFT) & 15) | ((meta & META_GLOBAL) === 0 ? 0 : 16);
