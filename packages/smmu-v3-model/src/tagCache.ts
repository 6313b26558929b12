/**
 * A set-associative cache in typed arrays: what the IOTLB and the walk caches are made of. IHI 0070 §3.17 says what a
 * tag holds; an entry stays until an invalidation that covers it, or until its set needs the room.
 *
 * An entry's tag is three words. `page`: input address [43:12], cut to the entry's size. `meta`: input address [63:44],
 * the size class, the stream world, a global mark. `id`: ASID and VMID. A set of four entries is one cache line, ordered
 * page ×4, meta ×4, id ×4, bits ×4, so that a look-up touches little memory. The bits and the frame are the owner's.
 */

/** Address bits that the entries of a class leave open: granules, blocks, contiguous runs and table reaches. */
export const CLASS_SHIFT: readonly number[] = [12, 14, 16, 21, 25, 29, 30, 34, 36, 39, 42, 47, 48];

/** Class by the number of address bits; a shift that no class has is the caller's mistake and gives class 0. */
export const CLASS_OF_SHIFT: Uint8Array = new Uint8Array(64);
/** Masks for the words `page` and `meta` of a tag, by class. */
export const PAGE_MASK: Int32Array = new Int32Array(16);
export const TOP_MASK: Int32Array = new Int32Array(16);
for (const [index, shift] of CLASS_SHIFT.entries()) {
  CLASS_OF_SHIFT[shift] = index;
  PAGE_MASK[index] = shift >= 44 ? 0 : -(2 ** (shift - 12));
  TOP_MASK[index] = shift > 44 ? 0xfffff & -(2 ** (shift - 44)) : 0xfffff;
}

/** In `meta`: address [63:44]. */
export const META_TOP = 0xfffff;
export const META_CLASS_SHIFT = 20;
export const META_CLASS: number = 0xf << META_CLASS_SHIFT;
export const META_WORLD_SHIFT = 24;
export const META_WORLD: number = 7 << META_WORLD_SHIFT;
/** Marks an entry that every ASID of its ASID set may use. */
export const META_GLOBAL: number = 1 << 27;
/** CD.ASET of a global entry: global entries are shared only inside one ASID set. */
export const META_ASET: number = 1 << 28;
const META_VALID = 1 << 30;

/** Whose translations an entry holds. IHI 0070 §3.17: part of every tag. */
export const WORLD_EL1 = 0;
/** Stage 2 alone: the input is an IPA. */
export const WORLD_S2 = 1;
export const WORLD_EL2 = 2;
export const WORLD_E2H = 3;

/** Whether an invalidation covers the entry with that handle. */
export type EntryFilter = (handle: number) => boolean;

const ID_BUCKETS = 4096;

export class TagCache {
  /** Sixteen words a set. A handle is the index of an entry's `page`; `meta`, `id`, `bits` follow at +4, +8, +12. */
  readonly tags: Int32Array;
  /** 4 KiB frame numbers. */
  readonly frames: Float64Array;
  /** For entries of both stages the IPA, which a stage 2 permission fault reports. */
  readonly ipas: Float64Array;
  /** One bit for each class that has entries, those of global ones 16 higher. */
  present = 0;
  /** Entries in use. */
  count = 0;
  /** Entries whose bits have the flag that the cache was made with. */
  flagged = 0;
  readonly #flag: number;
  readonly #shift: number;
  readonly #live: Int32Array = new Int32Array(32);
  /** Entries by ASID and VMID, hashed: an invalidation of an ASID that has none does not look further. */
  readonly #byId: Int32Array = new Int32Array(ID_BUCKETS);
  readonly #victim: Uint8Array;

  /**
   * @param entries - A power of two, at least 8.
   * @param flag - Bits to count in {@link flagged}.
   */
  constructor(entries: number, flag = 0) {
    this.#flag = flag;
    const sets = entries / 4;
    this.#shift = 32 - Math.log2(sets);
    this.tags = new Int32Array(sets * 16);
    this.frames = new Float64Array(entries);
    this.ipas = new Float64Array(entries);
    this.#victim = new Uint8Array(sets);
  }

  /** The handle of the entry with that tag, or -1. `meta` without the valid mark. */
  find(page: number, meta: number, id: number): number {
    const tags = this.tags;
    meta |= META_VALID;
    const at = this.#set(page, meta, id);
    if (tags[at] === page && tags[at + 4] === meta && tags[at + 8] === id) return at;
    if (tags[at + 1] === page && tags[at + 5] === meta && tags[at + 9] === id) return at + 1;
    if (tags[at + 2] === page && tags[at + 6] === meta && tags[at + 10] === id) return at + 2;
    if (tags[at + 3] === page && tags[at + 7] === meta && tags[at + 11] === id) return at + 3;
    return -1;
  }

  /**
   * The handle of an entry of any size for an address, or -1. `meta` holds world and ASID set only.
   * @param first - The class to try first.
   */
  findAny(page: number, top: number, meta: number, id: number, first: number): number {
    const world = meta & META_WORLD;
    let handle = this.find(
      page & PAGE_MASK[first]!,
      (top & TOP_MASK[first]!) | (first << META_CLASS_SHIFT) | world,
      id,
    );
    if (handle >= 0) return handle;
    let rest = this.present & ~(1 << first);
    while (rest !== 0) {
      const bit = 31 - Math.clz32(rest & -rest);
      rest &= rest - 1;
      const size = bit & 15;
      const key = (top & TOP_MASK[size]!) | (size << META_CLASS_SHIFT) | (bit >= 16 ? meta | META_GLOBAL : world);
      handle = this.find(page & PAGE_MASK[size]!, key, bit >= 16 ? id & 0xffff : id);
      if (handle >= 0) return handle;
    }
    return -1;
  }

  /** Puts an entry in, over one with the same tag or else over the set's next victim. Returns its handle. */
  insert(page: number, meta: number, id: number, bits: number, frame: number): number {
    const tags = this.tags;
    meta |= META_VALID;
    const at = this.#set(page, meta, id);
    let way = -1;
    for (let i = 0; i < 4; i++) {
      if (tags[at + 4 + i] === 0) way = i;
      else if (tags[at + i] === page && tags[at + 4 + i] === meta && tags[at + 8 + i] === id) {
        this.flagged += this.#isFlagged(bits) - this.#isFlagged(tags[at + 12 + i]!);
        tags[at + 12 + i] = bits;
        this.frames[(at >>> 2) + i] = frame;
        return at + i;
      }
    }
    if (way < 0) {
      way = this.#victim[at >>> 4]! & 3;
      this.#victim[at >>> 4] = way + 1;
      this.remove(at + way);
    }
    const handle = at + way;
    tags[handle] = page;
    tags[handle + 4] = meta;
    tags[handle + 8] = id;
    tags[handle + 12] = bits;
    this.frames[(at >>> 2) + way] = frame;
    const kind = kindOf(meta);
    this.#live[kind]!++;
    this.present |= 1 << kind;
    this.#byId[bucket(id)]!++;
    this.count++;
    this.flagged += this.#isFlagged(bits);
    return handle;
  }

  frameOf(handle: number): number {
    return this.frames[((handle >>> 4) << 2) | (handle & 3)]!;
  }

  ipaOf(handle: number): number {
    return this.ipas[((handle >>> 4) << 2) | (handle & 3)]!;
  }

  setIpa(handle: number, ipa: number): void {
    this.ipas[((handle >>> 4) << 2) | (handle & 3)] = ipa;
  }

  /** Drops one entry. */
  remove(handle: number): void {
    const tags = this.tags;
    const kind = kindOf(tags[handle + 4]!);
    tags[handle + 4] = 0;
    if (--this.#live[kind]! === 0) this.present &= ~(1 << kind);
    this.#byId[bucket(tags[handle + 8]!)]!--;
    this.count--;
    this.flagged -= this.#isFlagged(tags[handle + 12]!);
  }

  /** Entries whose ASID and VMID may be these: an upper bound, 0 if there are none. */
  mayHold(id: number): number {
    return this.#byId[bucket(id)]!;
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
    this.#byId.fill(0);
    this.present = 0;
    this.count = 0;
    this.flagged = 0;
  }

  #isFlagged(bits: number): number {
    return (bits & this.#flag) === 0 ? 0 : 1;
  }

  #set(page: number, meta: number, id: number): number {
    const mixed = Math.imul((page + Math.imul(id, 0x2c1b3c6d)) ^ (meta >>> META_CLASS_SHIFT), 0x9e3779b1);
    return (mixed >>> this.#shift) << 4;
  }
}

const kindOf = (meta: number): number => ((meta >>> META_CLASS_SHIFT) & 15) | ((meta & META_GLOBAL) === 0 ? 0 : 16);
const bucket = (id: number): number => (id ^ (id >>> 16)) & (ID_BUCKETS - 1);
