/**
 * Ranges that were freed and will be asked for again, kept per CPU number and size, so that the common alloc and free
 * touch no tree: magazines after Bonwick and Adams, as in Linux iova.c (`iova_rcache_get`, `iova_rcache_insert`).
 * A cached range stays taken in the tree. `holders` says who has it, so that a range can be freed once only.
 */
import { IommuError, type Iova, type Scheduler, type Task } from '@smmu/platform';
import { ceilLog2 } from './gap.ts';
import { CACHED, type Holders, holdsOrder } from './holders.ts';

/** Sizes of 1, 2, 4 … 32 pages are cached (Linux `IOVA_RANGE_CACHE_MAX_SIZE`). */
const CACHED_ORDERS = 6;
/** Order of all other sizes. It has a magazine too, which stays empty. */
export const UNCACHED: number = CACHED_ORDERS;
const MAGAZINE_SIZE = 127;
const DEPOT_DELAY_NS = 100_000_000; // Linux IOVA_DEPOT_DELAY

/** A stack of ranges of one size, by their first addresses. */
interface Magazine {
  size: number;
  readonly iovas: Float64Array;
  /** From the first byte of a range to its last. */
  readonly span: number;
  /** What `holders` says of a range of this size that is in use. */
  readonly held: number;
}

/** What the caches of a domain are made of. */
export interface MagazinesOptions {
  readonly granuleBytes: number;
  readonly cpus: number;
  readonly holders: Holders;
  /** Trims depots that are larger than one magazine a CPU, one each 100 ms; without it they never get larger. */
  readonly scheduler: Scheduler | undefined;
  /** What becomes of a range that leaves the cache unused. */
  readonly evict: (iova: Iova, order: number) => void;
}

/** The caches of one domain. */
export class Magazines {
  /** By CPU times 8 plus order: two each, so that a run of frees and allocs at the border of one stays in them. */
  private readonly loaded: Magazine[] = [];
  readonly #previous: Magazine[] = [];
  /** Full magazines by order, for all CPUs. */
  readonly #depots: Magazine[][] = [];
  readonly #trims: (Task | undefined)[] = [];
  readonly #options: MagazinesOptions;
  private readonly granuleBytes: number;
  private readonly holders: Holders;

  constructor(options: MagazinesOptions) {
    this.#options = options;
    this.granuleBytes = options.granuleBytes;
    this.holders = options.holders;
    for (let cpu = 0; cpu < options.cpus; cpu++)
      for (let order = 0; order < 8; order++) {
        this.loaded.push(this.#magazine(order));
        this.#previous.push(this.#magazine(order));
      }
    for (let order = 0; order < CACHED_ORDERS; order++) {
      this.#depots.push([]);
      this.#trims.push(undefined);
    }
  }

  /** Ranges in the cache. */
  get size(): number {
    const all = [...this.loaded, ...this.#previous, ...this.#depots.flat()];
    return all.reduce((sum, magazine) => sum + magazine.size, 0);
  }

  /** Exponent of the power of two that a size is rounded up to, in pages, if it is cached; else {@link UNCACHED}. */
  orderOf(bytes: number): number {
    const pages = Math.ceil(bytes / this.granuleBytes);
    return pages <= 2 ** (CACHED_ORDERS - 1) && pages > 0 ? ceilLog2(pages) : UNCACHED;
  }

  /**
   * Takes a range out of the cache.
   * @param limit - Highest byte that will do.
   * @returns Its first address, or -1 if there is none.
   * @throws {@link IommuError} `EINVAL` if there is no such CPU.
   */
  get(bytes: number, limit: Iova, cpu: number): Iova {
    const order = bytes <= this.granuleBytes && bytes > 0 ? 0 : this.orderOf(bytes);
    const magazine = this.loaded[(cpu << 3) | order] ?? refuseCpu(cpu);
    const top = magazine.size - 1;
    if (top < 0) return this.#reload(order, cpu) ? this.get(bytes, limit, cpu) : -1;
    const iova = magazine.iovas[top]!;
    if (iova + magazine.span > limit) return this.#getBelow(magazine, limit);
    magazine.size = top;
    this.holders.set(iova, magazine.held);
    return iova;
  }

  /**
   * Puts a range into the cache, if it has a cached size and is in use.
   * @returns Whether it did.
   * @throws {@link IommuError} `EINVAL` if there is no such CPU.
   */
  put(iova: Iova, bytes: number, cpu: number): boolean {
    const order = bytes <= this.granuleBytes && bytes > 0 ? 0 : this.orderOf(bytes);
    let magazine = this.loaded[(cpu << 3) | order] ?? refuseCpu(cpu);
    if (this.holders.get(iova) !== magazine.held) return false;
    if (magazine.size === MAGAZINE_SIZE) magazine = this.#unload(order, cpu);
    this.holders.set(iova, CACHED);
    magazine.iovas[magazine.size++] = iova;
    return true;
  }

  /** Gives everything in the cache to `evict`. */
  drain(): void {
    for (const [i, magazine] of this.loaded.entries()) {
      this.#empty(magazine, i & 7);
      this.#empty(this.#previous[i]!, i & 7);
    }
    for (const [order, depot] of this.#depots.entries())
      for (const magazine of depot.splice(0)) this.#empty(magazine, order);
  }

  /** Nothing happens later any more. */
  stop(): void {
    for (const trim of this.#trims) if (trim !== undefined) this.#options.scheduler!.cancel(trim);
    this.#trims.fill(undefined);
  }

  #magazine(order: number): Magazine {
    return {
      size: 0,
      iovas: new Float64Array(order < CACHED_ORDERS ? MAGAZINE_SIZE : 0),
      span: this.granuleBytes * 2 ** order - 1,
      held: holdsOrder(order),
    };
  }

  /** The newest that lies low enough; the top of the stack takes its place. */
  #getBelow(magazine: Magazine, limit: Iova): Iova {
    const { iovas, size, span, held } = magazine;
    for (let i = size - 2; i >= 0; i--) {
      const iova = iovas[i]!;
      if (iova + span > limit) continue;
      iovas[i] = iovas[size - 1]!;
      magazine.size = size - 1;
      this.holders.set(iova, held);
      return iova;
    }
    return -1;
  }

  /** Puts a magazine with something in it into the place of the empty loaded one. */
  #reload(order: number, cpu: number): boolean {
    if (order === UNCACHED) return false;
    const index = (cpu << 3) | order;
    const previous = this.#previous[index]!;
    if (previous.size > 0) {
      this.#previous[index] = this.loaded[index]!;
      this.loaded[index] = previous;
      return true;
    }
    const full = this.#depots[order]!.pop();
    if (full === undefined) return false;
    this.loaded[index] = full;
    return true;
  }

  /** Puts a magazine with room into the place of the full loaded one. */
  #unload(order: number, cpu: number): Magazine {
    const index = (cpu << 3) | order;
    const full = this.loaded[index]!;
    let roomy = this.#previous[index]!;
    if (roomy.size < MAGAZINE_SIZE) this.#previous[index] = full;
    else {
      roomy = this.#magazine(order);
      this.#depots[order]!.push(full);
      this.#trimLater(order);
    }
    this.loaded[index] = roomy;
    return roomy;
  }

  #trimLater(order: number): void {
    const { cpus, scheduler } = this.#options;
    const depot = this.#depots[order]!;
    if (depot.length <= cpus) return;
    if (scheduler === undefined) this.#empty(depot.pop()!, order);
    else
      this.#trims[order] ??= scheduler.post(
        'software',
        () => {
          this.#trims[order] = undefined;
          if (depot.length > cpus) this.#empty(depot.pop()!, order);
          this.#trimLater(order);
        },
        DEPOT_DELAY_NS,
      );
  }

  #empty(magazine: Magazine, order: number): void {
    for (; magazine.size > 0; magazine.size--) this.#options.evict(magazine.iovas[magazine.size - 1]!, order);
  }
}

// Apart from the functions that check, which stay small enough to be inlined.
function refuseCpu(cpu: number): never {
  throw new IommuError('EINVAL', `CPU ${cpu}: the domain has no cache for it`);
}
