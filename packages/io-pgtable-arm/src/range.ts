/** Sizes and ranges that a caller asks for: are they a table's, and which size is best (Linux iommu.c `iommu_pgsize`). */
import { hex, IommuError, type Iova, type Pa } from '@smmu/platform';
import type { TableCore } from './core.ts';

/**
 * The level whose entries cover `pageBytes`.
 * @throws {@link IommuError} `EINVAL` if the table has no such leaves.
 */
export function levelOf(core: TableCore, pageBytes: number): number {
  if (!core.geometry.pageSizes.includes(pageBytes))
    throw new IommuError('EINVAL', `page size ${pageBytes}: this table has ${core.geometry.pageSizes.join(', ')}`);
  return core.spans.indexOf(pageBytes) - 1;
}

/**
 * Checks a range to be mapped or unmapped. Returns its offset.
 * @throws {@link IommuError} `EINVAL` for a count or alignment that cannot be, `ERANGE` beyond the table's input.
 */
export function checkRange(core: TableCore, iova: Iova, pageBytes: number, count: number): number {
  if (!Number.isInteger(count) || count <= 0) throw new IommuError('EINVAL', `count ${count}: it must be positive`);
  const va = iova - core.base;
  if (!(va >= 0 && va + pageBytes * count <= core.limit)) throw beyond(core, iova, pageBytes * count);
  if (va % pageBytes !== 0) throw new IommuError('EINVAL', `input ${hex(iova)} is not aligned to ${hex(pageBytes)}`);
  return va;
}

/**
 * Offset of one input address.
 * @throws {@link IommuError} `ERANGE` beyond the table's input.
 */
export function offsetOf(core: TableCore, iova: Iova): number {
  const va = iova - core.base;
  if (!(va >= 0 && va < core.limit)) throw beyond(core, iova, 1);
  return va;
}

/** The error that names a range which the table does not cover. */
export function beyond(core: TableCore, iova: Iova, bytes: number): IommuError {
  const half = core.base === 0 ? 'lower' : 'upper';
  return new IommuError(
    'ERANGE',
    `input ${hex(iova)}+${hex(bytes)} is not in the ${half} ${core.options.iasBits} bits that the table covers`,
  );
}

/** A number of pages of one size. */
export interface PageRun {
  readonly pageBytes: number;
  readonly count: number;
}

/**
 * The largest pages to begin a mapping with, and how many of them before larger ones fit.
 * @param sizes - Ascending.
 * @param iova - Offset to map; a multiple of the smallest size, as `pa` and `bytes` are.
 */
export function bestPages(sizes: readonly number[], iova: number, pa: Pa, bytes: number): PageRun {
  let which = sizes.length - 1;
  while (which > 0 && (sizes[which]! > bytes || iova % sizes[which]! !== 0 || pa % sizes[which]! !== 0)) which -= 1;
  const pageBytes = sizes[which]!;
  const larger = sizes[which + 1];
  let end = bytes - (bytes % pageBytes);
  if (larger !== undefined && iova % larger === pa % larger) {
    const before = (larger - (iova % larger)) % larger;
    if (before > 0 && before + larger <= bytes) end = before;
  }
  return { pageBytes, count: end / pageBytes };
}
