/**
 * The I/O virtual addresses of one domain: which are taken, and by whom. After Linux drivers/iommu/iova.c, with the same
 * placement (the highest range below the limit) found in a few steps, and with every free checked.
 *
 * Addresses and sizes are bytes at the surface and pages of one granule inside. A range is in one of these states: free;
 * reserved; taken by {@link IovaDomain.alloc}; taken by {@link IovaDomain.allocFast}; retired, that
 * is unmapped but perhaps still known to an IOTLB; freed and cached.
 */
import { hex, IommuError, type Iova, type Scheduler } from '@smmu/platform';
import { ceilLog2 } from './gap.ts';
import { CACHED, Holders, holdsOrder, RETIRED, UNKNOWN } from './holders.ts';
import { Magazines, UNCACHED } from './magazines.ts';
import { RangeTree } from './rangeTree.ts';

const ADDRESS_LIMIT = 2 ** 52;
const LAST_32_BIT = 2 ** 32 - 1;

/** How a domain is made. */
export interface IovaDomainOptions {
  /** Bytes of a page, a power of two of at least 64: the smallest that the page table maps. */
  readonly granuleBytes: number;
  /** First page that may be given; at least 1 keeps address 0 an error, as the DMA API wants it. */
  readonly startPfn: number;
  /** Last byte that may be given; 2^52 − 1 if left out. */
  readonly last?: Iova;
  /** CPU numbers that have a cache; 1 if left out. */
  readonly cpus?: number;
  /** Trims the caches as time goes by. */
  readonly scheduler?: Scheduler;
}

/** What an allocation wants beside its size. */
export interface IovaRequest {
  /** Highest byte that will do; the domain's last if left out. */
  readonly limit?: Iova;
  /** Aligned to the next power of two of its size, as block mappings need it; true if left out. */
  readonly sizeAligned?: boolean;
}

/** Whether a device still gets addresses below 4 GiB first (Linux `pci_32bit_workaround`). One record a device. */
export interface Below4G {
  /** Set to false when there was no room below once: the device has proved that it takes more than 32 bits. */
  preferred: boolean;
}

/** One range of a domain, for reports. Both ends are inclusive. */
export interface IovaRange {
  readonly start: Iova;
  readonly last: Iova;
  readonly state: 'taken' | 'retired' | 'cached' | 'reserved';
}

/** The address space of one domain. */
export class IovaDomain {
  readonly granuleBytes: number;
  /** First byte that may be given. */
  readonly first: Iova;
  /** Last byte that may be given. */
  readonly last: Iova;
  readonly cpus: number;
  readonly #pagesPerByte: number;
  readonly #topPage: number;
  readonly #tree: RangeTree;
  readonly #magazines: Magazines;
  readonly #holders: Holders;
  readonly #reserved: { readonly low: number; readonly last: number }[] = [];

  /** @throws {@link IommuError} `EINVAL` if the granule is no power of two, the range is empty, or there is no CPU. */
  constructor(options: IovaDomainOptions) {
    const { granuleBytes, startPfn, last = ADDRESS_LIMIT - 1, cpus = 1, scheduler } = options;
    if (granuleBytes < 64 || 2 ** Math.round(Math.log2(granuleBytes)) !== granuleBytes)
      throw new IommuError('EINVAL', `granule of ${granuleBytes} bytes: must be a power of two from 64`);
    this.granuleBytes = granuleBytes;
    this.#pagesPerByte = 1 / granuleBytes;
    this.#topPage = Math.floor((last + 1) / granuleBytes) - 1;
    if (!(Number.isInteger(startPfn) && startPfn >= 0 && startPfn <= this.#topPage && last < ADDRESS_LIMIT))
      throw new IommuError(
        'EINVAL',
        `pages ${startPfn} to ${this.#topPage} of ${granuleBytes} bytes: must be a range below 2^52`,
      );
    if (!Number.isInteger(cpus) || cpus < 1) throw new IommuError('EINVAL', `${cpus} CPUs: must be 1 or more`);
    this.first = startPfn * granuleBytes;
    this.last = (this.#topPage + 1) * granuleBytes - 1;
    this.cpus = cpus;
    this.#tree = new RangeTree(startPfn, this.#topPage);
    this.#holders = new Holders(granuleBytes);
    this.#magazines = new Magazines({
      granuleBytes,
      cpus,
      holders: this.#holders,
      scheduler,
      evict: (iova, order) => {
        this.#holders.set(iova, UNKNOWN);
        this.#freePages(iova, 1 << order);
      },
    });
  }

  /** Ranges that users have. */
  get liveCount(): number {
    return this.#tree.size - this.#reserved.length - this.#magazines.size;
  }

  /** Ranges that were freed and wait in the caches. */
  get cachedCount(): number {
    return this.#magazines.size;
  }

  /**
   * Takes the highest free range below the limit (Linux `alloc_iova`).
   * @param bytes - Rounded up to whole pages.
   * @returns Its first byte, aligned as asked.
   * @throws {@link IommuError} `ENOSPC` if there is no such range; `EINVAL` if `bytes` is not a positive size.
   */
  alloc(bytes: number, request?: IovaRequest): Iova {
    const pages = this.#pages(bytes);
    const limit = this.#limitPage(request?.limit ?? this.last);
    const page = this.#tree.takeTopmost(pages, request?.sizeAligned ?? true, limit);
    return page < 0 ? this.#full(bytes, limit) : page * this.granuleBytes;
  }

  /**
   * Gives a range back (Linux `free_iova`). It may come from {@link alloc} or {@link allocFast}.
   * @param bytes - As given to the allocation.
   * @throws {@link IommuError} `EINVAL` if no such range is taken.
   */
  free(iova: Iova, bytes: number): void {
    const pages = this.#pages(bytes);
    const state = this.#holders.get(iova);
    if (state === UNKNOWN) {
      if (this.#isReserved(iova * this.#pagesPerByte) || !this.#freePages(iova, pages)) this.#notTaken(iova, bytes);
    } else {
      const order = ceilLog2(pages);
      if (state !== holdsOrder(order)) this.#notTaken(iova, bytes);
      this.#holders.set(iova, UNKNOWN);
      this.#freePages(iova, 2 ** order);
    }
  }

  /**
   * Takes a range aligned to its size, from the CPU's cache if that has one (Linux `alloc_iova_fast`). Up to 32 pages it
   * is rounded up to a power of two, so that it can be cached when it is freed. When there is no room, the caches are
   * emptied before giving up.
   * @param limit - Highest byte that will do.
   * @param cpu - Whose cache.
   * @throws {@link IommuError} `ENOSPC` if there is no such range; `EINVAL` if `bytes` is not a positive size or there is
   * no such CPU.
   */
  allocFast(bytes: number, limit: Iova = this.last, cpu = 0): Iova {
    const iova = this.#magazines.get(bytes, limit, cpu);
    return iova >= 0 ? iova : this.#allocRounded(bytes, limit);
  }

  /**
   * Gives a range of {@link allocFast} back, to the CPU's cache if it has a cached size (Linux `free_iova_fast`). Only
   * once no translation of it is left anywhere: see {@link IovaFlushQueue}.
   * @param bytes - As given to the allocation.
   * @param cpu - Whose cache; it need not be the one that it came from.
   * @throws {@link IommuError} `EINVAL` if no such range is taken, or there is no such CPU.
   */
  freeFast(iova: Iova, bytes: number, cpu = 0): void {
    if (!this.#magazines.put(iova, bytes, cpu)) this.free(iova, bytes);
  }

  /**
   * Marks a range as unmapped, for {@link freeRetired} to free once the IOTLB has forgotten it. Until then it is taken,
   * and neither freed nor retired again.
   * @throws {@link IommuError} `EINVAL` if no such range is taken.
   */
  retire(iova: Iova, bytes: number): void {
    const pages = this.#pages(bytes);
    const page = iova * this.#pagesPerByte;
    const state = this.#holders.get(iova);
    if (state === UNKNOWN) {
      const range = this.#tree.find(page);
      if (range?.low !== page || range.last !== page + pages - 1 || this.#isReserved(page)) this.#notTaken(iova, bytes);
    } else if (state !== holdsOrder(ceilLog2(pages))) this.#notTaken(iova, bytes);
    this.#holders.set(iova, state | RETIRED);
  }

  /**
   * {@link freeFast} of a range that was retired.
   * @throws {@link IommuError} `EINVAL` if no such range is retired, or there is no such CPU.
   */
  freeRetired(iova: Iova, bytes: number, cpu = 0): void {
    const state = this.#holders.get(iova);
    if ((state & RETIRED) === 0) this.#notTaken(iova, bytes);
    this.#holders.set(iova, state & ~RETIRED);
    this.freeFast(iova, bytes, cpu);
  }

  /**
   * {@link allocFast} as the DMA API does it for PCI devices (Linux `iommu_dma_alloc_iova`): below 4 GiB first, because a
   * 64-bit address costs a longer header and has been the first one to fail on many a device. When there is no room
   * below, the device is asked to take any address from then on.
   * @throws {@link IommuError} as {@link allocFast}.
   */
  allocBelow4GFirst(bytes: number, limit: Iova, device: Below4G, cpu = 0): Iova {
    if (device.preferred && limit > LAST_32_BIT) {
      let iova = this.#magazines.get(bytes, LAST_32_BIT, cpu);
      if (iova < 0) iova = this.#takeRounded(bytes, LAST_32_BIT);
      if (iova >= 0) return iova;
      device.preferred = false;
    }
    return this.allocFast(bytes, limit, cpu);
  }

  /**
   * Keeps `[first, last]` from being given (Linux `reserve_iova`): a doorbell window, a bridge's own addresses. What is
   * reserved already or lies outside the domain does not matter.
   * @param last - Last byte, inclusive. Both ends are widened to whole pages.
   * @throws {@link IommuError} `EINVAL` if the range is empty; `EBUSY` if somebody has a part of it.
   */
  reserve(first: Iova, last: Iova): void {
    if (!(first >= 0 && first <= last))
      throw new IommuError('EINVAL', `reserve of [${hex(first)}, ${hex(last)}]: empty`);
    const from = Math.max(Math.floor(first * this.#pagesPerByte), this.first * this.#pagesPerByte);
    const to = Math.min(Math.floor(last * this.#pagesPerByte), this.#topPage);
    if (this.#taken(from, to) !== undefined) this.#magazines.drain();
    const taken = this.#taken(from, to);
    if (taken !== undefined)
      throw new IommuError(
        'EBUSY',
        `reserve of [${hex(first)}, ${hex(last)}]: ${hex(taken.low * this.granuleBytes)} in it is taken`,
      );
    for (let page = from; page <= to; ) {
      const reserved = this.#tree.find(page);
      const end = reserved === undefined ? Math.min(this.#tree.nextAbove(page), to + 1) : reserved.last + 1;
      if (reserved === undefined) {
        this.#tree.take(page, end - 1);
        this.#reserved.push({ low: page, last: end - 1 });
      }
      page = end;
    }
  }

  /** The range that covers an address, or undefined if it is free (Linux `find_iova`). */
  find(iova: Iova): IovaRange | undefined {
    const range = this.#tree.find(Math.floor(iova * this.#pagesPerByte));
    return range === undefined ? undefined : this.#describe(range);
  }

  /** All ranges from the highest to the lowest (Linux `iova_dump`). Nothing may be taken or freed meanwhile. */
  *ranges(): Generator<IovaRange, void> {
    for (const range of this.#tree.ranges()) yield this.#describe(range);
  }

  /** Empties the caches (Linux `free_cpu_cached_iovas`, `free_global_cached_iovas`). */
  drainCaches(): void {
    this.#magazines.drain();
  }

  /** Ends the domain (Linux `put_iova_domain`): nothing of it happens later any more. */
  dispose(): void {
    this.#magazines.stop();
    this.#magazines.drain();
  }

  /** {@link allocFast} without the cache of a CPU. */
  #allocRounded(bytes: number, limit: Iova): Iova {
    let iova = this.#takeRounded(bytes, limit);
    if (iova < 0) {
      this.#magazines.drain();
      iova = this.#takeRounded(bytes, limit);
    }
    return iova >= 0 ? iova : this.#full(bytes, this.#limitPage(limit));
  }

  /** Takes a range from the tree, as large as the cache will want it back. Returns its first address, or -1. */
  #takeRounded(bytes: number, limit: Iova): Iova {
    const order = this.#magazines.orderOf(bytes);
    const pages = order < UNCACHED ? 1 << order : this.#pages(bytes);
    const page = this.#tree.takeTopmost(pages, true, this.#limitPage(limit));
    if (page < 0) return -1;
    const iova = page * this.granuleBytes;
    if (order < UNCACHED) this.#holders.set(iova, holdsOrder(order));
    return iova;
  }

  #freePages(iova: Iova, pages: number): boolean {
    const page = iova * this.#pagesPerByte;
    return this.#tree.free(page, page + pages - 1);
  }

  #pages(bytes: number): number {
    const pages = Math.ceil(bytes * this.#pagesPerByte);
    return pages >= 1 && bytes <= ADDRESS_LIMIT ? pages : refuseSize(bytes);
  }

  #limitPage(limit: Iova): number {
    return limit >= this.last ? this.#topPage : Math.floor((limit + 1) * this.#pagesPerByte) - 1;
  }

  /** The lowest range in `[from, to]` that somebody has. */
  #taken(from: number, to: number): { low: number; last: number } | undefined {
    for (let page = from; page <= to; page = this.#tree.nextAbove(page)) {
      const range = this.#tree.find(page);
      if (range !== undefined && !this.#isReserved(range.low)) return range;
    }
    return undefined;
  }

  #isReserved(page: number): boolean {
    return this.#reserved.some(({ low, last }) => page >= low && page <= last);
  }

  #describe({ low, last }: { low: number; last: number }): IovaRange {
    const holder = this.#holders.get(low * this.granuleBytes);
    let state: IovaRange['state'] = 'taken';
    if (this.#isReserved(low)) state = 'reserved';
    else if (holder === CACHED) state = 'cached';
    else if ((holder & RETIRED) !== 0) state = 'retired';
    return { start: low * this.granuleBytes, last: (last + 1) * this.granuleBytes - 1, state };
  }

  #full(bytes: number, limitPage: number): never {
    const end = hex((limitPage + 1) * this.granuleBytes - 1);
    throw new IommuError('ENOSPC', `no ${bytes} bytes of IOVA left in [${hex(this.first)}, ${end}]`);
  }

  #notTaken(iova: Iova, bytes: number): never {
    throw new IommuError('EINVAL', `free of ${bytes} bytes of IOVA at ${hex(iova)}: no such range is taken`);
  }
}

// Apart from the function that checks, which stays small enough to be inlined.
function refuseSize(bytes: number): never {
  throw new IommuError('EINVAL', `${bytes} bytes of IOVA: no size`);
}
