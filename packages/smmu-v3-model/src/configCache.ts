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

/** First in, first out, so that a stranger's StreamIDs cannot make it grow. */
class Cache<V> {
  readonly map: Map<number, V> = new Map();
  readonly #limit: number;
  constructor(limit: number) {
    this.#limit = limit;
  }
  get(key: number): V | undefined {
    return this.map.get(key);
  }
  set(key: number, value: V): V {
    if (this.map.size >= this.#limit && !this.map.has(key)) this.map.delete(this.map.keys().next().value!);
    this.map.set(key, value);
    return value;
  }
  /** Drops all keys in [first, last]. */
  drop(first: number, last: number): void {
    if (last - first < this.map.size) for (let key = first; key <= last; key++) this.map.delete(key);
    else for (const key of this.map.keys()) if (key >= first && key <= last) this.map.delete(key);
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
    this.#stes.map.clear();
    this.#l1stds.map.clear();
    this.#cds.map.clear();
    this.#l1cds.map.clear();
  }

  /** Entries in use, by kind. */
  get sizes(): { readonly stes: number; readonly l1stds: number; readonly cds: number; readonly l1cds: number } {
    return {
      stes: this.#stes.map.size,
      l1stds: this.#l1stds.map.size,
      cds: this.#cds.map.size,
      l1cds: this.#l1cds.map.size,
    };
  }
}
