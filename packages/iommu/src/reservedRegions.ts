/**
 * Address ranges that ordinary mappings keep out of.
 * Linux `struct iommu_resv_region` and `iommu_insert_resv_region`, drivers/iommu/iommu.c.
 */
import { hex, IommuError, type Iova } from '@smmu/platform';

/**
 * `direct`: must be mapped to itself at all times. `direct-relaxable`: the same, until somebody takes the device over.
 * `reserved`: never mapped. `msi`: the hardware takes writes there for interrupts, untranslated. `software-msi`: a window
 * in which software places the doorbells' pages.
 */
export type ReservedType = 'direct' | 'direct-relaxable' | 'reserved' | 'msi' | 'software-msi';

export interface ReservedRegion {
  readonly type: ReservedType;
  readonly start: Iova;
  /** Bytes. */
  readonly length: number;
  /** Protection bits of a direct mapping; read and write if left out. */
  readonly prot?: number;
  /** Streams that the firmware left running through the region (IORT RMR nodes, ARM DEN 0049). */
  readonly streamIds?: readonly number[];
}

/** Rank among regions that start together, and the word that the kernel prints in `reserved_regions`. */
const TYPES: Readonly<Record<ReservedType, { rank: number; text: string }>> = {
  direct: { rank: 0, text: 'direct' },
  'direct-relaxable': { rank: 1, text: 'direct-relaxable' },
  reserved: { rank: 2, text: 'reserved' },
  msi: { rank: 3, text: 'msi' },
  'software-msi': { rank: 4, text: 'msi' },
};

/** Last byte of a region. */
export const lastOf = (region: ReservedRegion): Iova => region.start + region.length - 1;

/**
 * Adds a region to a sorted list: regions of the same type that overlap or touch become one, types stay apart.
 * @returns A new list, sorted by start and then by type.
 * @throws {@link IommuError} `EINVAL` if the region is empty or ends above 2^52.
 * @see Linux `iommu_insert_resv_region`, drivers/iommu/iommu.c
 */
export function insertReservedRegion(regions: readonly ReservedRegion[], added: ReservedRegion): ReservedRegion[] {
  if (!(added.length > 0) || added.start < 0 || added.start + added.length > 2 ** 52)
    throw new IommuError('EINVAL', `reserved region ${hex(added.start)}+${hex(added.length)}: empty or above 2^52`);
  const sorted = [...regions, added].sort((a, b) => a.start - b.start || TYPES[a.type].rank - TYPES[b.type].rank);
  const merged: ReservedRegion[] = [];
  for (const region of sorted) {
    const i = merged.findLastIndex(({ type }) => type === region.type);
    const before = merged[i];
    if (before === undefined || region.start > lastOf(before) + 1) merged.push(region);
    else merged[i] = join(before, region);
  }
  return merged;
}

function join(before: ReservedRegion, region: ReservedRegion): ReservedRegion {
  const streams = [...new Set([...(before.streamIds ?? []), ...(region.streamIds ?? [])])];
  return {
    ...before,
    length: Math.max(lastOf(before), lastOf(region)) - before.start + 1,
    ...(streams.length > 0 && { streamIds: streams }),
  };
}

/**
 * The regions as the kernel shows them in `/sys/kernel/iommu_groups/N/reserved_regions`: first byte, last byte, type.
 * @see Linux `iommu_group_show_resv_regions`, drivers/iommu/iommu.c
 */
export function formatReservedRegions(regions: readonly ReservedRegion[]): string {
  const address = (value: number): string => `0x${value.toString(16).padStart(16, '0')}`;
  return regions
    .map((region) => `${address(region.start)} ${address(lastOf(region))} ${TYPES[region.type].text}\n`)
    .join('');
}

/**
 * The streams that firmware left running, sorted: a driver lets them bypass while it takes the IOMMU over, or the
 * screen that the firmware drew goes dark.
 * @see ARM DEN 0049, RMR nodes; Linux `arm_smmu_rmr_install_bypass_ste`, arm/arm-smmu-v3/arm-smmu-v3.c
 */
export function firmwareStreams(regions: readonly ReservedRegion[]): number[] {
  const streams = regions.flatMap(({ type, streamIds }) =>
    type === 'direct' || type === 'direct-relaxable' ? (streamIds ?? []) : [],
  );
  return [...new Set(streams)].sort((a, b) => a - b);
}
