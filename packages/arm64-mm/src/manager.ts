/** The memory of a board and the processes in it: what other packages begin with. */
import { type ArmPageTable, allocPgtable } from '@smmu/io-pgtable-arm';
import type { IommuPages } from '@smmu/iommu-pages';
import {
  FRAME_BYTES,
  type FrameAllocator,
  hex,
  IommuError,
  type Random,
  type Scheduler,
  type SystemMemory,
  type Trace,
} from '@smmu/platform';
import { AsidAllocator } from './asid.ts';
import type { BackingFile } from './backingFile.ts';
import { Mm, type MmEnvironment } from './mm.ts';
import { reclaim, reclaimRandom } from './reclaim.ts';
import type { CpuTlb } from './tlb.ts';
import { type MemoryCounters, Zone } from './zone.ts';

/** Parameters of a {@link MemoryManager}. */
export interface MemoryManagerOptions {
  readonly memory: SystemMemory;
  /** Where data pages come from. */
  readonly frames: FrameAllocator;
  /** Where tables come from. */
  readonly pages: IommuPages;
  readonly scheduler: Scheduler;
  readonly granuleShift: 12 | 14 | 16;
  /** Bits of virtual address: 64 − T0SZ. */
  readonly vaBits: number;
  /** Bits of physical address; up to 48, or 52 with a granule of 64 KiB. */
  readonly paBits: number;
  readonly asidBits: 8 | 16;
  readonly cpus: number;
  readonly trace?: Trace | undefined;
  /** See {@link AsidAllocatorOptions.kernelUnmapped}. */
  readonly kernelUnmapped?: boolean;
  /** The CPUs' TLBs, if somebody models them. */
  readonly cpuTlb?: CpuTlb;
  /** Areas that one process may have (sysctl vm.max_map_count); 65,530 if left out. */
  readonly maxAreas?: number;
  /**
   * 4 KiB frames that data pages leave to tables and drivers as long as anything can be reclaimed (sysctl
   * vm.min_free_kbytes); a 64th of `frames` if left out.
   */
  readonly reserveFrames?: number;
  /** Told of every page that a file refuses to give or take: what a kernel would log. */
  readonly onFileError?: (file: BackingFile, error: IommuError) => void;
}

/** The memory of a board and the processes in it. */
export class MemoryManager {
  readonly asids: AsidAllocator;
  readonly #zone: Zone;
  readonly #environment: MmEnvironment;
  readonly #processes: Set<Mm> = new Set();

  /**
   * @throws {@link IommuError} `EINVAL` if the frames are not RAM below 2^`paBits`, there are more CPUs than ASIDs, or the
   * reserve is negative. What `allocPgtable` cannot do (`vaBits`, `paBits`) it says at the first process.
   */
  constructor(options: MemoryManagerOptions) {
    const { memory, frames, pages, scheduler, granuleShift, vaBits, paBits, cpuTlb, trace } = options;
    const { reserveFrames = frames.totalFrames >>> 6, maxAreas = 65_530 } = options;
    const base = frames.firstFrame * FRAME_BYTES;
    const end = base + frames.totalFrames * FRAME_BYTES;
    if (end > 2 ** paBits || !memory.regions.some((ram) => base >= ram.base && end <= ram.base + ram.size))
      throw new IommuError(
        'EINVAL',
        `frames [${hex(base)}, ${hex(end)}) are not in one region of RAM below 2^${paBits}`,
      );
    if (!(reserveFrames >= 0)) throw new IommuError('EINVAL', `reserve of ${reserveFrames} frames`);
    this.asids = new AsidAllocator({
      asidBits: options.asidBits,
      cpus: options.cpus,
      kernelUnmapped: options.kernelUnmapped ?? false,
      flushCpu: (cpu) => cpuTlb?.flushCpu(cpu),
    });
    const zone = new Zone({
      ...{ memory, frames, granuleShift, paBits, reserveFrames, onFileError: options.onFileError },
      reclaim: (self, wanted) => {
        const start = scheduler.now;
        const freed = reclaim(self, wanted);
        trace?.span('process', 'direct reclaim', start, { pages: freed });
        return freed;
      },
    });
    const newTables = (): ArmPageTable =>
      allocPgtable({ pages, memory, stage: 1, granuleShift, iasBits: vaBits, oasBits: paBits });
    this.#zone = zone;
    this.#environment = {
      ...{ zone, pages, granuleShift, vaBits, maxAreas, cpuTlb, scheduler, trace, newTables },
      asids: this.asids,
      processes: this.#processes,
    };
  }

  /** What has happened so far. */
  get counters(): Readonly<MemoryCounters> {
    return this.#zone.counters;
  }

  /** Data pages (granules) in use now: anonymous ones and the page cache. */
  get livePages(): number {
    return this.#zone.livePages;
  }

  /** Pages of files in memory; those that can be reclaimed. */
  get cachedPages(): number {
    return this.#zone.clock.size;
  }

  /** Address spaces that have not ended. */
  get liveProcesses(): number {
    return this.#processes.size;
  }

  /** Address spaces that have not ended, oldest first. */
  processes(): Iterable<Mm> {
    return this.#processes.values();
  }

  /**
   * Makes an empty address space, whose process is its first user.
   * @throws {@link IommuError} `ENOMEM` if there is no memory for its first table.
   */
  createProcess(name: string): Mm {
    this.#zone.checkUnlocked();
    return new Mm(name, this.#environment);
  }

  /**
   * Takes pages of files away, the least recently used first. Dirty ones are written back.
   * @param pages - How many, in granules.
   * @returns How many were freed. Fewer if too few are cached, were in use, or were refused by their file.
   * @throws {@link IommuError} `EDEADLK` from inside a callback.
   */
  reclaim(pages: number): number {
    this.#zone.checkUnlocked();
    return reclaim(this.#zone, pages);
  }

  /**
   * Takes random pages of files away, in use or not: what memory pressure does, for the sport of it.
   * @param pages - How many, in granules.
   * @returns How many were freed.
   * @throws {@link IommuError} `EDEADLK` from inside a callback.
   */
  reclaimRandom(pages: number, random: Random): number {
    this.#zone.checkUnlocked();
    return reclaimRandom(this.#zone, pages, random);
  }
}
