/**
 * The configuration caches: what was read of stream tables and context descriptor tables, until a CFGI command covers
 * it. IHI 0070 §4.3, §3.21.3, §16.2. Fetches that were aborted are never kept; invalid structures are.
 */
import type { ContextConfig } from './cd.ts';
import type { StreamConfig } from './ste.ts';

/** A level-1 descriptor as read: two words. */
export interface Level1 {
  readonly lo: number;
  readonly hi: number;
}

/** Substream indexes fit below this, so that stream and index make one number. */
const INDEX_LIMIT = 2 ** 20;

const WAYS = 8;
const EMPTY = -1;

/**
 * Sets of eight, so that a stranger's StreamIDs cannot make it grow. Not a Map: V8 keeps deleted keys in their hash
 * chain until the next rehash, so one key that comes and goes among many gets slower each time.
 */
class Cache<V> {
  count = 0;
  readonly #keys: Float64Array;
  readonly #values: (V | undefined)[];
  readonly #sets: number;
  #victim = 0;

  constructor(entries: number) {
    this.#sets = 2 ** Math.ceil(Math.log2(Math.max(1, entries / WAYS)));
    this.#keys = new Float64Array(this.#sets * WAYS).fill(EMPTY);
    this.#values = new Array<V | undefined>(this.#sets * WAYS).fill(undefined);
  }

  get(key: number): V | undefined {
    const at = this.#find(key);
    return at < 0 ? undefined : this.#values[at];
  }

  set(key: number, value: V): void {
    let at = this.#find(key);
    if (at < 0) at = this.#find(EMPTY, this.#setOf(key));
    if (at < 0) at = this.#setOf(key) + (this.#victim++ & (WAYS - 1));
    if (this.#keys[at] === EMPTY) this.count++;
    this.#keys[at] = key;
    this.#values[at] = value;
  }

  /** Drops all keys in [first, last]. */
  drop(first: number, last: number): void {
    if (this.count === 0) return;
    if (last - first < WAYS) for (let key = first; key <= last; key++) this.#clear(this.#find(key));
    else
      for (let at = 0; at < this.#keys.length; at++)
        if (this.#keys[at]! >= first && this.#keys[at]! <= last) this.#clear(at);
  }

  clear(): void {
    this.count = 0;
    this.#keys.fill(EMPTY);
    this.#values.fill(undefined);
  }

  #setOf(key: number): number {
    // The lower 32 bits, and the StreamID above the substream index.
    const mixed = Math.imul((key | 0) ^ Math.imul((key * 2 ** -20) | 0, 0x2c1b3c6d), 0x9e3779b1);
    return ((mixed >>> 8) & (this.#sets - 1)) * WAYS;
  }

  #find(key: number, set: number = this.#setOf(key)): number {
    for (let at = set; at < set + WAYS; at++) if (this.#keys[at] === key) return at;
    return -1;
  }

  #clear(at: number): void {
    if (at < 0) return;
    this.#keys[at] = EMPTY;
    this.#values[at] = undefined;
    this.count--;
  }
}

export class ConfigCache {
  readonly #stes: Cache<StreamConfig>;
  readonly #l1stds: Cache<Level1>;
  readonly #cds: Cache<ContextConfig>;
  readonly #l1cds: Cache<Level1>;
  /** Changes with every invalidation, so that whoever copied something out can tell. */
  generation = 0;
  /** How many StreamIDs a level-1 stream table entry covers, as log2: keys of the L1STD cache. */
  splitBits = 0;

  constructor(entries: number) {
    this.#stes = new Cache(entries);
    this.#l1stds = new Cache(entries);
    this.#cds = new Cache(entries);
    this.#l1cds = new Cache(entries);
  }

  ste(sid: number): StreamConfig | undefined {
    return this.#stes.get(sid);
  }
  keepSte(sid: number, ste: StreamConfig): void {
    this.#stes.set(sid, ste);
  }
  /** @param index - StreamID >> SPLIT. */
  l1std(index: number): Level1 | undefined {
    return this.#l1stds.get(index);
  }
  keepL1std(index: number, entry: Level1): void {
    this.#l1stds.set(index, entry);
  }
  cd(sid: number, index: number): ContextConfig | undefined {
    return this.#cds.get(sid * INDEX_LIMIT + index);
  }
  keepCd(sid: number, index: number, cd: ContextConfig): void {
    this.#cds.set(sid * INDEX_LIMIT + index, cd);
  }
  /** @param index - Of the first CD that the level-1 entry leads to. */
  l1cd(sid: number, index: number): Level1 | undefined {
    return this.#l1cds.get(sid * INDEX_LIMIT + index);
  }
  keepL1cd(sid: number, index: number, entry: Level1): void {
    this.#l1cds.set(sid * INDEX_LIMIT + index, entry);
  }

  /** CMD_CFGI_STE: the STEs of [first, last] with everything fetched through them; level 1 as well unless `leaf`. */
  dropSte(first: number, last: number, leaf: boolean): void {
    this.generation++;
    this.#stes.drop(first, last);
    this.#cds.drop(first * INDEX_LIMIT, (last + 1) * INDEX_LIMIT - 1);
    this.#l1cds.drop(first * INDEX_LIMIT, (last + 1) * INDEX_LIMIT - 1);
    if (!leaf) this.#l1stds.drop(Math.floor(first / 2 ** this.splitBits), Math.floor(last / 2 ** this.splitBits));
  }

  /** CMD_CFGI_CD: one CD by its index; the L1CD that led to it as well unless `leaf`. */
  dropCd(sid: number, index: number, leaf: boolean): void {
    this.generation++;
    this.#cds.drop(sid * INDEX_LIMIT + index, sid * INDEX_LIMIT + index);
    if (leaf) return;
    // The entry's reach depends on the STE's leaf size, 64 or 1024 CDs: an entry for either is dropped.
    for (const reach of [64, 1024]) {
      const key = sid * INDEX_LIMIT + index - (index % reach);
      this.#l1cds.drop(key, key);
    }
  }

  /** CMD_CFGI_CD_ALL. */
  dropAllCds(sid: number): void {
    this.generation++;
    this.#cds.drop(sid * INDEX_LIMIT, (sid + 1) * INDEX_LIMIT - 1);
    this.#l1cds.drop(sid * INDEX_LIMIT, (sid + 1) * INDEX_LIMIT - 1);
  }

  /** CMD_CFGI_ALL. */
  clear(): void {
    this.generation++;
    for (const cache of [this.#stes, this.#l1stds, this.#cds, this.#l1cds]) cache.clear();
  }

  /** Entries in use, by kind. */
  get sizes(): { readonly stes: number; readonly l1stds: number; readonly cds: number; readonly l1cds: number } {
    return {
      stes: this.#stes.count,
      l1stds: this.#l1stds.count,
      cds: this.#cds.count,
      l1cds: this.#l1cds.count,
    };
  }
}
