import type { IommuPages } from '@smmu/iommu-pages';
import { IommuPagesList } from '@smmu/iommu-pages';
import type { Iova } from '@smmu/platform';

/**
 * What has been unmapped and must still be invalidated, with the tables that may be freed only afterwards
 * (Linux `struct iommu_iotlb_gather`, include/linux/iommu.h).
 *
 * One range covers all. Pages that are far apart, or of different sizes, make it larger than what was unmapped, which
 * is never wrong but may be slow: a caller that unmaps such things gives `sync` to have them invalidated one by one.
 */
export class IotlbGather {
  /** First and last byte; `start > last` if nothing was gathered. */
  start: Iova = 0;
  last: Iova = -1;
  /** Bytes of the gathered pages, of the smallest if {@link uniform} is false; 0 if nothing was gathered. */
  pageBytes = 0;
  /** Whether all pages have the same size, so that one level can be named in the invalidation. */
  uniform = true;
  /** Tables that walkers may still hold. */
  readonly freelist: IommuPagesList;
  readonly #sync: ((gather: IotlbGather) => void) | undefined;
  /** Told of the range when it is {@link reset}, that is, after the invalidation. For the page table. */
  onReset: ((start: Iova, last: Iova) => void) | undefined = undefined;

  /**
   * @param pages - Whose tables will be listed.
   * @param sync - Invalidates what is in the gather, frees the listed tables and resets it.
   */
  constructor(pages: IommuPages, sync?: (gather: IotlbGather) => void) {
    this.freelist = new IommuPagesList(pages);
    this.#sync = sync;
  }

  /**
   * Adds `[iova, iova + bytes)`, unmapped in pages of `pageBytes` (Linux `iommu_iotlb_gather_add_page`).
   */
  add(iova: Iova, bytes: number, pageBytes: number): void {
    const last = iova + (bytes - 1);
    if (this.pageBytes === pageBytes && iova - 1 === this.last) this.last = last;
    else this.#join(iova, last, pageBytes);
  }

  /** Forgets the range. The freelist must be empty by then, or its tables are freed too late: it is left as it is. */
  reset(): void {
    if (this.pageBytes !== 0) this.onReset?.(this.start, this.last);
    this.start = 0;
    this.last = -1;
    this.pageBytes = 0;
    this.uniform = true;
  }

  #join(iova: Iova, last: Iova, pageBytes: number): void {
    if (this.pageBytes !== 0) {
      const apart = iova > this.last + 1 || last + 1 < this.start;
      if (this.#sync !== undefined && (apart || this.pageBytes !== pageBytes)) this.#sync(this);
    }
    if (this.pageBytes === 0) {
      this.start = iova;
      this.last = last;
      this.pageBytes = pageBytes;
      return;
    }
    this.start = Math.min(this.start, iova);
    this.last = Math.max(this.last, last);
    this.uniform &&= this.pageBytes === pageBytes;
    this.pageBytes = Math.min(this.pageBytes, pageBytes);
  }
}
