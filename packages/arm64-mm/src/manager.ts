import type { IommuPages } from '@smmu/iommu-pages';
import {
  type FrameAllocator,
  IommuError,
  type Random,
  type Scheduler,
  type SystemMemory,
  type Trace,
} from '@smmu/platform';
import { AsidAllocator } from './asid.ts';
import type { Mm } from './mm.ts';

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
  /** Bits of physical address. */
  readonly paBits: number;
  readonly asidBits: 8 | 16;
  readonly cpus: number;
  readonly trace?: Trace | undefined;
}

/** The memory of a board and the processes in it. */
export class MemoryManager {
  readonly asids: AsidAllocator;
  /** Data pages (of one granule) in use now: anonymous ones and the page cache. */
  livePages = 0;

  constructor(options: MemoryManagerOptions) {
    this.asids = new AsidAllocator(options);
  }
  createProcess(_name: string): Mm {
    throw new IommuError('EOPNOTSUPP', 'not written yet');
  }
  reclaim(_pages: number): number {
    throw new IommuError('EOPNOTSUPP', 'not written yet');
  }
  reclaimRandom(_pages: number, _random: Random): number {
    throw new IommuError('EOPNOTSUPP', 'not written yet');
  }
}
