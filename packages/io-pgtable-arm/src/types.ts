/** What a page table is made for, and whom it tells (Linux `struct io_pgtable_cfg`, include/linux/io-pgtable.h). */
import type { IommuPages, WalkerDma } from '@smmu/iommu-pages';
import type { Iova, Pa, SystemMemory } from '@smmu/platform';
import type { IotlbGather } from './gather.ts';

/** Protection bits of a mapping, as Linux's `IOMMU_*` in include/linux/iommu.h. */
export const PROT: {
  readonly READ: 1;
  readonly WRITE: 2;
  /** Write-back cacheable, inner shareable. */
  readonly CACHE: 4;
  readonly NOEXEC: 8;
  /** Device memory, such as an interrupt doorbell. */
  readonly MMIO: 16;
  /** Only for privileged transactions. */
  readonly PRIV: 32;
} = { READ: 1, WRITE: 2, CACHE: 4, NOEXEC: 8, MMIO: 16, PRIV: 32 };

/** Whoever drives the walkers: how they forget (Linux `struct iommu_flush_ops`). */
export interface TlbOps {
  /** Everything of this table, at once. */
  flushAll(): void;
  /** `[iova, iova + bytes)` at every level, at once: tables below were replaced or freed. */
  flushWalk(iova: Iova, bytes: number, granuleBytes: number): void;
  /** One leaf was unmapped; the invalidation may wait for the gather's sync. Called beside {@link IotlbGather.add}. */
  addPage?(gather: IotlbGather, iova: Iova, granuleBytes: number): void;
}

/** Deviations from the plain format (Linux `IO_PGTABLE_QUIRK_*`). */
export interface Quirks {
  /** Entries are marked Non-secure: the walk starts in the Secure space. Stage 1. */
  readonly ns?: boolean;
  /** The upper half: input addresses from 2^64 − 2^iasBits on, for TTB1. Stage 1, AArch64. */
  readonly ttbr1?: boolean;
  /** Walks are outer write-back write-allocate for a system cache, though the walker does not snoop. Stage 1. */
  readonly outerWbwa?: boolean;
  /** Hardware keeps the dirty state: writable entries carry DBM. AArch64. */
  readonly hd?: boolean;
  /** Unmapping what is not mapped is no cause for a warning. */
  readonly noWarn?: boolean;
  /** Cacheable entries are write-back whatever stage 1 says (STE.S2FWB). Stage 2. */
  readonly s2fwb?: boolean;
}

/** What every table entry takes away from all that it leads to, whatever the leaf says. Stage 1. */
export interface TableLimits {
  readonly noWrite?: boolean;
  /** No unprivileged access. */
  readonly noUser?: boolean;
  readonly noExec?: boolean;
  readonly noPrivilegedExec?: boolean;
}

/** Where tables come from instead of `pages` (Linux `io_pgtable_cfg.alloc` and `free`). */
export interface TableAllocator {
  /**
   * Returns zeroed memory of the board, aligned to `bytes`, which is a power of two and 64 at least.
   * Throws {@link IommuError} `ENOMEM` if there is none.
   */
  alloc(bytes: number, node: number | undefined): Pa;
  /** Takes back what {@link alloc} returned. No walker can reach it any more. */
  free(pa: Pa, bytes: number): void;
}

export interface PgtableOptions {
  readonly pages: IommuPages;
  /** Tables come from here instead; they are then freed at once, never listed. */
  readonly allocator?: TableAllocator;
  /** Where the tables are; the memory of `pages` if left out. */
  readonly memory?: SystemMemory;
  /** `aarch32` is LPAE: 4 KiB granule, 32-bit input, 40-bit output. */
  readonly format?: 'aarch64' | 'aarch32';
  readonly stage: 1 | 2;
  readonly granuleShift: 12 | 14 | 16;
  /** Input address bits, 32 to 52. More than 48 needs 52-bit tables (LPA2, or LVA with 64 KiB). */
  readonly iasBits: number;
  /** Output address bits: 32, 36, 40, 42, 44, 48 or 52. 52 gives entries the 52-bit layout. */
  readonly oasBits: number;
  /** How the walker sees memory; as `pages` does if left out. */
  readonly coherence?: WalkerDma;
  readonly tlb?: TlbOps;
  readonly quirks?: Quirks;
  /** Page sizes to use, of those that the granule has; all if left out. */
  readonly pageSizes?: readonly number[];
  /** Stage 2: join up to 16 tables at the root wherever that saves a level, not only where it is mandatory. */
  readonly concatenate?: boolean;
  /** Mark aligned runs of entries as contiguous. Unmapping a part of a run rewrites its rest. */
  readonly contiguous?: boolean;
  /** What unmapping a part of a block does: nothing, with a warning, or map the rest by smaller entries first. */
  readonly partialUnmap?: 'refuse' | 'split';
  /**
   * What the walker tolerates when an entry changes size (IDR3.BBML). 0: the old one must be gone from all TLBs before
   * the new one is seen, so the range is unmapped for a moment. 1: an nT mark bridges the moment. 2: anything goes.
   */
  readonly bbmLevel?: 0 | 1 | 2;
  /** Throw on a store that {@link bbmLevel} forbids. For tests: it costs. */
  readonly checkBreakBeforeMake?: boolean;
  /** NUMA node to take tables from. */
  readonly node?: number;
  readonly tableLimits?: TableLimits;
  /** Takes what the kernel would print with WARN. */
  readonly warn?: (message: string) => void;
}
