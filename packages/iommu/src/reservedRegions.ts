/** Address ranges that ordinary mappings must keep out of (Linux `struct iommu_resv_region`, drivers/iommu/iommu.c). */
import type { Iova } from '@smmu/platform';

/**
 * `direct`: must be mapped to itself at all times. `direct-relaxable`: the same, until somebody takes the device over.
 * `reserved`: never mapped. `msi`: the hardware takes writes there for interrupts. `software-msi`: a window in which
 * software places the doorbells' pages.
 */
export type ReservedType = 'direct' | 'direct-relaxable' | 'reserved' | 'msi' | 'software-msi';

export interface ReservedRegion {
  readonly type: ReservedType;
  readonly start: Iova;
  /** Bytes. */
  readonly length: number;
  /** Protection bits of a direct mapping; read and write if left out. */
  readonly prot?: number;
  /** Streams that the firmware left running through it (IORT RMR nodes, ARM DEN 0049). */
  readonly streamIds?: readonly number[];
}
