/**
 * Memory that a walker reads without snooping the CPU's caches (Linux `iommu_pages_start_incoherent` and its
 * neighbours, iommu-pages.c). Use starts with a whole clean, continues with a sync of each changed range, and must stop
 * before the memory is freed.
 */
import type { DmaCoherence, Pa } from '@smmu/platform';

/**
 * A walker's view of memory. Without {@link map} it sees every address as the CPU does. A table holds physical
 * addresses, so a device behind a bounce buffer or a remapping bus cannot walk it.
 */
export interface WalkerDma extends DmaCoherence {
  /** Where the walker finds `bytes` bytes at `pa`, or -1 if it cannot (Linux `dma_map_single`). */
  map?(pa: Pa, bytes: number): Pa;
  /** Ends what {@link map} began (Linux `dma_unmap_single`). */
  unmap?(pa: Pa, bytes: number): void;
}
