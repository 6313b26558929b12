/**
 * The allocator of I/O address space IDs: which numbers are out, to whom, and how many references keep each.
 * After Linux 5.x drivers/iommu/ioasid.c, with the quota of sets that was posted for it, and a quarantine of our own.
 *
 * An ID is free, in use (one reference or more), or in quarantine. All its state is one word in `#state`; private data
 * and sets cost nothing where they are not used. Only one ID space is live at a time: see customAllocators.ts.
 */
import { IommuError } from '@smmu/platform';
import { type CustomAllocator, CustomAllocators, INVALID_IOASID } from './customAllocators.ts';
import { IdTooWideError, QuotaReachedError, RangeExhaustedError } from './errors.ts';
import { ID_LIMIT, IdBitmap } from './idBitmap.ts';
import { type IoasidSet, MemberSet } from './ioasidSet.ts';

/** What {@link IoasidAllocator.alloc} is asked for. Hot code may keep one and fill it anew. */
export interface IoasidRequest<Data = unknown> {
  /** First ID that will do. */
  readonly min: number;
  /** Last ID that will do, inclusive. */
  readonly max: number;
  /** Whose quota it counts against. */
  readonly set?: IoasidSet | undefined;
  /** Stored with the ID, for {@link IoasidAllocator.find}. */
  readonly data?: Data | undefined;
  /** Go on after the ID that the last cyclic request got, and wrap; without it, the lowest free ID. */
  readonly cyclic?: boolean | undefined;
  /** Keep the ID back after its last reference until {@link IoasidAllocator.endQuarantine}. */
  readonly quarantine?: boolean | undefined;
}

/** How an allocator is made. */
export interface IoasidOptions {
  /** Largest ID of the system, inclusive; 2^20 − 1 if left out (Linux `ioasid_install_capacity`). */
  readonly max?: number;
  /** What a request means that does not say whether its ID goes through quarantine; false if left out. */
  readonly quarantine?: boolean;
}

// The state of one ID. Nothing set: free, or taken by nobody we know of.
const REFERENCES = 2 ** 24 - 1;
const HAS_DATA = 1 << 24;
const IN_SET = 1 << 25;
const KEEP_BACK = 1 << 26; // goes into quarantine with its last reference
const WAITING = 1 << 27; // is in quarantine

// Private data lives in pages: one array that grows is copied again and again, and is one the collector must walk whole.
const DATA_SHIFT = 12;
const DATA_MASK = 2 ** DATA_SHIFT - 1;
const NO_DATA: undefined[] = new Array(2 ** DATA_SHIFT).fill(undefined);

/** Hands out IDs in `[0, max]`. Every operation costs the same whether one ID is out or 2^20. */
export class IoasidAllocator<Data = unknown> {
  /** Largest ID, inclusive. */
  readonly max: number;
  readonly #quarantine: boolean;
  readonly #free: IdBitmap;
  readonly #state: Int32Array;
  readonly #data: (Data | undefined)[][] = []; // in pages, up to the highest ID that ever had data
  readonly #custom: CustomAllocators = new CustomAllocators();
  #active: CustomAllocator | undefined;
  #sets: (MemberSet | undefined)[] = [];
  #setOf: Int32Array = new Int32Array(0);
  #slots: Int32Array = new Int32Array(0);
  #liveCount = 0;
  #quarantinedCount = 0;
  #next = 0; // where the next cyclic search begins

  /** @throws {@link IommuError} `EINVAL` if `max` is not a whole number in `[0, 2^20 − 1]`. */
  constructor(options: IoasidOptions = {}) {
    const max = options.max ?? ID_LIMIT - 1;
    if (max >>> 0 !== max || max >= ID_LIMIT)
      throw new IommuError('EINVAL', `largest ID ${max}: must be a whole number in [0, ${ID_LIMIT - 1}]`);
    this.max = max;
    this.#quarantine = options.quarantine ?? false;
    this.#free = new IdBitmap(max + 1);
    this.#state = new Int32Array(max + 1);
  }

  /** IDs in use. */
  get liveCount(): number {
    return this.#liveCount;
  }

  /** IDs that have no reference any more and are not free yet. */
  get quarantinedCount(): number {
    return this.#quarantinedCount;
  }

  /**
   * Takes an ID out of `[min, max]` with one reference (Linux `ioasid_alloc`). While a custom allocator is registered it
   * chooses the number, and `cyclic` does not matter.
   *
   * @throws {@link QuotaReachedError} `ENOSPC` if the set holds as many as it may.
   * @throws {@link RangeExhaustedError} `ENOSPC` if the range has no free ID.
   * @throws {@link IdTooWideError} `EOVERFLOW` if `max` is above the allocator's, or a custom one answered above `max`.
   * @throws {@link IommuError} `EINVAL` if the range is empty or not of whole numbers, or the set is not one of this
   * allocator; `EEXIST` if a custom allocator answered an ID that is in use.
   */
  alloc(request: IoasidRequest<Data>): number {
    const { min, max, data, set } = request;
    if (min >>> 0 !== min || max >>> 0 !== max || min > max || max > this.max) refuseRange(min, max, this.max);
    if (set !== undefined) this.#checkQuota(set);
    let id: number;
    if (this.#active !== undefined) id = this.#ask(this.#active, min, max);
    else if (request.cyclic === true) id = this.#takeCyclic(min, max);
    else id = this.#free.takeLowest(min, max);
    if (id < 0) throw new RangeExhaustedError(min, max, this.#quarantinedCount);

    let state = 1;
    if (request.quarantine ?? this.#quarantine) state |= KEEP_BACK;
    if (data !== undefined) {
      this.#store(id, data);
      state |= HAS_DATA;
    }
    if (set !== undefined) {
      this.#charge(id, set);
      state |= IN_SET;
    }
    this.#state[id] = state;
    this.#liveCount += 1;
    return id;
  }

  /**
   * Takes one more reference (Linux `ioasid_get`).
   * @throws {@link IommuError} `ENOENT` if the ID is not in use; `EOVERFLOW` at 2^24 − 1 references.
   */
  get(id: number): void {
    const state = this.#inUse(id);
    if ((state & REFERENCES) === REFERENCES)
      throw new IommuError('EOVERFLOW', `ID ${id} has ${REFERENCES} references: somebody takes and does not put`);
    this.#state[id] = state + 1;
  }

  /**
   * Gives one reference back (Linux `ioasid_put`). With the last one the ID and its data are gone; the ID itself is free,
   * or in quarantine if it was asked for so.
   * @returns Whether that was the last reference.
   * @throws {@link IommuError} `ENOENT` if the ID is not in use.
   */
  put(id: number): boolean {
    const state = this.#inUse(id);
    if ((state & REFERENCES) > 1) {
      this.#state[id] = state - 1;
      return false;
    }
    if ((state & HAS_DATA) !== 0) this.#store(id, undefined);
    this.#liveCount -= 1;
    if ((state & KEEP_BACK) !== 0) {
      this.#state[id] = WAITING | (state & IN_SET);
      this.#quarantinedCount += 1;
    } else this.#release(id, state);
    return true;
  }

  /**
   * Frees an ID whose last reference went, once no late fault of it can arrive any more.
   * @throws {@link IommuError} `ENOENT` if the ID is not in quarantine.
   */
  endQuarantine(id: number): void {
    if (!this.isQuarantined(id)) throw new IommuError('ENOENT', `ID ${id} is not in quarantine`);
    this.#quarantinedCount -= 1;
    this.#release(id, this.#state[id]!);
  }

  /** Whether the ID waits for {@link endQuarantine}. */
  isQuarantined(id: number): boolean {
    return ((this.#state[id] ?? 0) & WAITING) !== 0;
  }

  /** Whether the ID is in use. */
  has(id: number): boolean {
    return this.references(id) > 0;
  }

  /** References that keep the ID; 0 if it is not in use. */
  references(id: number): number {
    return (this.#state[id] ?? 0) & REFERENCES;
  }

  /** The set that an ID in use or in quarantine is charged to. */
  setOf(id: number): IoasidSet | undefined {
    return ((this.#state[id] ?? 0) & IN_SET) === 0 ? undefined : this.#sets[this.#setOf[id]!];
  }

  /**
   * Looks an ID's private data up (Linux `ioasid_find`). An ID that a device made up is no mistake of the caller, so an
   * unknown one is an answer and not an error.
   *
   * @param getter - Takes a reference to what was found; if it returns false, that is on its way out and not returned.
   * @param set - Only an ID of this set counts: for an ID that a guest named.
   * @returns The data; undefined if the ID is unknown, of another set, has no data, or the getter refused.
   */
  find(id: number, getter?: (data: Data) => boolean, set?: IoasidSet): Data | undefined {
    const state = this.#state[id] ?? 0;
    if ((state & HAS_DATA) === 0) return undefined;
    if (set !== undefined && this.setOf(id) !== set) return undefined;
    const data = this.#data[id >>> DATA_SHIFT]![id & DATA_MASK] as Data;
    return getter === undefined || getter(data) ? data : undefined;
  }

  /**
   * Stores private data with an ID in use, or with `undefined` takes it away (Linux `ioasid_set_data`).
   * @throws {@link IommuError} `ENOENT` if the ID is not in use.
   */
  setData(id: number, data: Data | undefined): void {
    const state = this.#inUse(id);
    if (data === undefined && (state & HAS_DATA) === 0) return;
    this.#store(id, data);
    this.#state[id] = data === undefined ? state & ~HAS_DATA : state | HAS_DATA;
  }

  /**
   * {@link setData} that returns what was there, so that its owner can free it.
   * @throws {@link IommuError} `ENOENT` if the ID is not in use.
   */
  replaceData(id: number, data: Data | undefined): Data | undefined {
    const previous = this.find(id);
    this.setData(id, data);
    return previous;
  }

  /**
   * Makes a set (Linux `DECLARE_IOASID_SET`; the quota is that of the `ioasid_alloc_set` once posted). Quotas are upper
   * limits: together they may exceed what there is.
   * @param quota - IDs that it may hold at most; all if left out.
   * @throws {@link IommuError} `EINVAL` if the quota is not a whole number from 0.
   */
  createSet(name: string, quota: number = this.max + 1): IoasidSet {
    checkQuota(name, quota);
    if (this.#sets.length === 0) {
      this.#sets.push(undefined); // sets count from 1
      this.#setOf = new Int32Array(this.max + 1);
      this.#slots = new Int32Array(this.max + 1);
    }
    const gap = this.#sets.indexOf(undefined, 1);
    const set = new MemberSet(name, gap < 0 ? this.#sets.length : gap, quota, this.#slots);
    this.#sets[set.index] = set;
    return set;
  }

  /**
   * Changes a set's quota (the posted `ioasid_adjust_set`).
   * @throws {@link IommuError} `EINVAL` if not a whole number from 0, or not a set of this allocator; `EBUSY` if the set
   * holds more already.
   */
  setQuota(set: IoasidSet, quota: number): void {
    const own = this.#memberSet(set);
    checkQuota(set.name, quota);
    if (own.size > quota) throw new IommuError('EBUSY', `set ${set.name} holds ${own.size} IDs, more than ${quota}`);
    own.quota = quota;
  }

  /**
   * Ends a set.
   * @throws {@link IommuError} `EINVAL` if it is not a set of this allocator; `EBUSY` if IDs are charged to it.
   */
  destroySet(set: IoasidSet): void {
    const own = this.#memberSet(set);
    if (own.size > 0) throw new IommuError('EBUSY', `set ${set.name} holds ${own.size} IDs; put them back first`);
    this.#sets[own.index] = undefined;
  }

  /**
   * Lets somebody else choose the numbers (Linux `ioasid_register_allocator`). The first one registered is active. One
   * with the same two functions as another shares its ID space. IDs are freed through the one that is active then.
   * @throws {@link IommuError} `EEXIST` if registered already; `EAGAIN` if the default allocator is active and has IDs in
   * use or in quarantine.
   */
  registerAllocator<Context>(custom: CustomAllocator<Context>): void {
    this.#custom.register(custom as CustomAllocator, this.#outstanding);
    this.#active = this.#custom.active;
  }

  /**
   * Takes a custom allocator away (Linux `ioasid_unregister_allocator`). The next one takes over in the order of
   * registration, after the last the default one.
   * @throws {@link IommuError} `ENOENT` if not registered; `EBUSY` if its ID space ends with it and has IDs in use or in
   * quarantine.
   */
  unregisterAllocator<Context>(custom: CustomAllocator<Context>): void {
    this.#custom.unregister(custom as CustomAllocator, this.#outstanding);
    this.#active = this.#custom.active;
  }

  get #outstanding(): number {
    return this.#liveCount + this.#quarantinedCount;
  }

  /** Takes the first free ID from behind the last cyclic one on, once round. Returns it, or -1. */
  #takeCyclic(min: number, max: number): number {
    const from = this.#next >= min && this.#next <= max ? this.#next : min;
    let id = this.#free.takeNext(from, max);
    if (id < 0 && from > min) id = this.#free.takeNext(min, from - 1);
    if (id >= 0) this.#next = id + 1;
    return id;
  }

  /** Takes what a custom allocator chooses, if it is right. Returns it, or -1. */
  #ask(custom: CustomAllocator, min: number, max: number): number {
    const id = custom.alloc(min, max, custom.context);
    if (id === INVALID_IOASID) return id;
    if (id >>> 0 !== id || id < min || id > max) {
      custom.free(id, custom.context);
      if (id > max) throw new IdTooWideError(id, max);
      throw new IommuError('EINVAL', `the custom allocator answered ID ${id} for [${min}, ${max}]`);
    }
    // Not given back: the one who has it still uses it.
    if (!this.#free.isFree(id))
      throw new IommuError('EEXIST', `the custom allocator answered ID ${id}, which is in use`);
    this.#free.take(id);
    return id;
  }

  #inUse(id: number): number {
    const state = this.#state[id];
    return state === undefined || (state & REFERENCES) === 0 ? refuseId(id) : state;
  }

  /** The last trace of an ID goes. */
  #release(id: number, state: number): void {
    this.#state[id] = 0;
    if ((state & IN_SET) !== 0) this.#sets[this.#setOf[id]!]!.remove(id);
    this.#free.release(id);
    const custom = this.#active;
    if (custom !== undefined) custom.free(id, custom.context);
  }

  #store(id: number, data: Data | undefined): void {
    // Never a hole, neither in a page nor among them: V8 reads an array that has had one more slowly.
    while (this.#data.length <= id >>> DATA_SHIFT) this.#data.push([]);
    const page = this.#data[id >>> DATA_SHIFT]!;
    if (page.length === 0) page.push(...NO_DATA);
    page[id & DATA_MASK] = data;
  }

  #checkQuota(set: IoasidSet): void {
    const { name, size, quota } = this.#memberSet(set);
    if (size >= quota) throw new QuotaReachedError(name, quota);
  }

  #charge(id: number, set: IoasidSet): void {
    const own = this.#memberSet(set);
    this.#setOf[id] = own.index;
    own.add(id);
  }

  #memberSet(set: IoasidSet): MemberSet {
    if (!(set instanceof MemberSet) || this.#sets[set.index] !== set)
      throw new IommuError('EINVAL', `set ${set.name} is not a set of this allocator`);
    return set;
  }
}

// Apart from the functions that check, which stay small enough to be inlined.
function refuseRange(min: number, max: number, largest: number): never {
  if (min >>> 0 !== min || max >>> 0 !== max || min > max)
    throw new IommuError('EINVAL', `IDs [${min}, ${max}]: must be whole numbers from 0, the first not above the last`);
  throw new IdTooWideError(max, largest);
}

function refuseId(id: number): never {
  throw new IommuError('ENOENT', `ID ${id} is not in use`);
}

function checkQuota(name: string, quota: number): void {
  if (quota >>> 0 !== quota)
    throw new IommuError('EINVAL', `quota ${quota} of set ${name}: must be a whole number from 0`);
}
