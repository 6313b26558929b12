/**
 * Deferred invalidation, the lazy mode of the DMA API: an unmapped range waits here until one flush of the whole IOTLB
 * has covered many of them; only then may its addresses be given again and its table pages be freed.
 * After Linux drivers/iommu/dma-iommu.c (`queue_iova`, `fq_flush_timeout`, `iommu_dma_init_fq`).
 */
import { IommuError, type Iova, type Scheduler, type Task } from '@smmu/platform';
import type { IovaDomain } from './iovaDomain.ts';

/** How a queue is made. What is left out is as in Linux. */
export interface IovaFlushQueueOptions<Data> {
  readonly domain: IovaDomain;
  readonly scheduler: Scheduler;
  /** Invalidates the whole IOTLB of the domain and waits for it (Linux `flush_iotlb_all`). */
  readonly flush: () => void;
  /** Frees what was queued with a range, after the flush: its table pages. */
  readonly release?: (data: Data) => void;
  /**
   * One queue a CPU: 256 ranges, flushed after 10 ms at the latest. Or a single one: 32,768 ranges and 1 s, for
   * invalidations that are expensive (a hypervisor traps them).
   */
  readonly kind?: 'per-cpu' | 'single';
  /** Ranges that a queue holds. */
  readonly entries?: number;
  /** Virtual nanoseconds that a range waits at most. */
  readonly timeoutNs?: number;
}

/** The ranges that wait, oldest first. */
interface Ring<Data> {
  readonly iovas: Float64Array;
  readonly bytes: Float64Array;
  /** Flushes that had begun when the range came. */
  readonly begun: Float64Array;
  readonly data: (Data | undefined)[];
  head: number;
  count: number;
}

/** Ranges between unmap and flush. */
export class IovaFlushQueue<Data = unknown> {
  /** Flushes so far. */
  flushes = 0;
  readonly #domain: IovaDomain;
  readonly #scheduler: Scheduler;
  readonly #flush: () => void;
  readonly #release: ((data: Data) => void) | undefined;
  readonly #timeoutNs: number;
  readonly #rings: Ring<Data>[];
  readonly #single: boolean;
  #begun = 0;
  #timer: Task | undefined;

  /** @throws {@link IommuError} `EINVAL` if it could hold nothing. */
  constructor(options: IovaFlushQueueOptions<Data>) {
    this.#domain = options.domain;
    this.#scheduler = options.scheduler;
    this.#flush = options.flush;
    this.#release = options.release;
    this.#single = options.kind === 'single';
    const entries = options.entries ?? (this.#single ? 32_768 : 256);
    if (!Number.isInteger(entries) || entries < 1)
      throw new IommuError('EINVAL', `a flush queue of ${entries} entries: must be 1 or more`);
    this.#timeoutNs = options.timeoutNs ?? (this.#single ? 1_000_000_000 : 10_000_000);
    this.#rings = Array.from({ length: this.#single ? 1 : options.domain.cpus }, () => ({
      iovas: new Float64Array(entries),
      bytes: new Float64Array(entries),
      begun: new Float64Array(entries),
      data: new Array(entries).fill(undefined),
      head: 0,
      count: 0,
    }));
  }

  /** Ranges that wait. */
  get pending(): number {
    return this.#rings.reduce((sum, ring) => sum + ring.count, 0);
  }

  /**
   * Frees a range of {@link IovaDomain.allocFast} later. It is unmapped already; the IOTLB may still know it.
   * @param bytes - As given to the allocation.
   * @param data - Released together with it.
   * @param cpu - Whose queue, and whose cache it ends in.
   * @throws {@link IommuError} `EINVAL` if there is no such CPU, or no such range is taken.
   */
  queue(iova: Iova, bytes: number, data?: Data, cpu = 0): void {
    if (cpu >>> 0 !== cpu || cpu >= this.#domain.cpus)
      throw new IommuError('EINVAL', `CPU ${cpu}: there are ${this.#domain.cpus}`);
    const ring = this.#rings[this.#single ? 0 : cpu]!;
    this.#domain.retire(iova, bytes);
    const entries = ring.iovas.length;
    this.#freeFlushed(ring, cpu); // a flush for another CPU's queue covered these too
    if (ring.count === entries) {
      this.#flushAll();
      this.#freeFlushed(ring, cpu);
    }
    const slot = (ring.head + ring.count) % entries;
    ring.iovas[slot] = iova;
    ring.bytes[slot] = bytes;
    ring.begun[slot] = this.#begun;
    ring.data[slot] = data;
    ring.count += 1;
    this.#timer ??= this.#scheduler.post('software', () => this.#expire(), this.#timeoutNs);
  }

  /** Flushes now and frees everything that waits. */
  drain(): void {
    if (this.#timer !== undefined) this.#scheduler.cancel(this.#timer);
    this.#timer = undefined;
    if (this.pending > 0) this.#expire();
  }

  #expire(): void {
    this.#timer = undefined;
    this.#flushAll();
    for (const [cpu, ring] of this.#rings.entries()) this.#freeFlushed(ring, cpu);
  }

  #flushAll(): void {
    this.#begun += 1;
    this.#flush();
    this.flushes += 1;
  }

  /** Frees what came before the last finished flush began. */
  #freeFlushed(ring: Ring<Data>, cpu: number): void {
    while (ring.count > 0) {
      const slot = ring.head;
      if (ring.begun[slot]! >= this.flushes) return;
      ring.head = (slot + 1) % ring.iovas.length;
      ring.count -= 1;
      const data = ring.data[slot];
      ring.data[slot] = undefined;
      if (data !== undefined) this.#release?.(data);
      this.#domain.freeRetired(ring.iovas[slot]!, ring.bytes[slot]!, cpu);
    }
  }
}
