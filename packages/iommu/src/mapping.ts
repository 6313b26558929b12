/**
 * Mapping ranges with a domain's page sizes.
 * Linux `iommu_map`, `iommu_unmap` and `iommu_pgsize`, drivers/iommu/iommu.c.
 */
import { hex, IommuError, type Iova, type Pa } from '@smmu/platform';
import type { Domain, Gather } from './domain.ts';
import type { MappedPages } from './mappedPages.ts';

type Editing = 'pageSizes' | 'mapPages' | 'unmapPages' | 'newGather' | 'iotlbSync';

/** A domain that has a page table to edit. */
export type PagingDomain = Domain & { readonly [K in Editing]: NonNullable<Domain[K]> };

/** Narrows to a domain that can be mapped into. @throws {@link IommuError} `EINVAL` if it cannot, as Linux answers. */
export function paging(domain: Domain): PagingDomain {
  if (domain.mapPages && domain.unmapPages && domain.newGather && domain.iotlbSync && domain.pageSizes)
    return domain as PagingDomain;
  throw new IommuError('EINVAL', `a domain of type ${domain.type} has no page table of its own to map into`);
}

/** Bytes of a domain's smallest page: the unit of everything that is mapped into it. */
export function smallestPage(domain: PagingDomain): number {
  let smallest = Number.POSITIVE_INFINITY;
  for (const size of domain.pageSizes) if (size < smallest) smallest = size;
  return smallest;
}

// What the last pick() chose. Module state, because a result object would be garbage on the path of every map;
// it is read right after the call and nothing can run in between.
let pageBytes = 0;
let count = 0;

/**
 * Chooses the largest page that `iova`, `pa` and `bytes` allow, and how many of them lead up to the place where the next
 * larger size takes over.
 */
function pick(sizes: readonly number[], iova: Iova, pa: Pa, bytes: number): void {
  pageBytes = 0;
  let next = Number.POSITIVE_INFINITY; // the smallest size that did not fit
  for (const size of sizes) {
    if (size <= bytes && iova % size === 0 && pa % size === 0) {
      if (size > pageBytes) pageBytes = size;
    } else if (size < next) next = size;
  }
  if (next < Number.POSITIVE_INFINITY && iova % next === pa % next) {
    // The larger size becomes possible at the next boundary, if enough is left there for one of it.
    const boundary = next - (iova % next);
    if (boundary + next <= bytes) bytes = boundary;
  }
  count = Math.floor(bytes / pageBytes);
}

/**
 * Maps `bytes` bytes of input addresses from `iova` to physical memory from `pa`.
 * @param iova - Multiple of the domain's smallest page, as are `pa` and `bytes`.
 * @param prot - Bits of `PROT`.
 * @throws {@link IommuError} `EINVAL` if misaligned, empty, or not a domain with a page table; `ERANGE` outside the
 *   domain's geometry; and what the driver's `mapPages` throws. Nothing stays mapped then.
 * @see Linux `iommu_map`, drivers/iommu/iommu.c
 */
export function map(
  domain: Domain,
  iova: Iova,
  pa: Pa,
  bytes: number,
  prot: number,
  tracked: MappedPages | undefined,
): void {
  const table = paging(domain);
  checkRange(table, iova, bytes);
  if (pa % smallestPage(table) !== 0 || pa < 0)
    throw new IommuError('EINVAL', `map to ${hex(pa)}: not a multiple of ${hex(smallestPage(table))}`);
  let done = 0;
  try {
    while (done < bytes) {
      pick(table.pageSizes, iova + done, pa + done, bytes - done);
      const mapped = table.mapPages(iova + done, pa + done, pageBytes, count, prot);
      if (!(mapped > 0)) throw new IommuError('EIO', `the driver mapped nothing at ${hex(iova + done)}`);
      done += mapped;
    }
  } catch (error) {
    if (done > 0) unmap(domain, iova, done, undefined);
    throw error;
  }
  table.iotlbSyncMap?.(iova, bytes);
  tracked?.add(pa, bytes);
}

/**
 * Unmaps `bytes` bytes from `iova` and invalidates them.
 * @returns Bytes unmapped: fewer than asked if a hole ended the run, as in Linux.
 * @throws {@link IommuError} `EINVAL` if misaligned, empty, or not a domain with a page table; `ERANGE` outside the
 *   domain's geometry.
 * @see Linux `iommu_unmap`, drivers/iommu/iommu.c
 */
export function unmap(domain: Domain, iova: Iova, bytes: number, tracked: MappedPages | undefined): number {
  const table = paging(domain);
  const gather = table.newGather();
  const unmapped = unmapFast(domain, iova, bytes, gather, tracked);
  table.iotlbSync(gather);
  return unmapped;
}

/** {@link unmap} that leaves the invalidation to whoever owns `gather`. */
export function unmapFast(
  domain: Domain,
  iova: Iova,
  bytes: number,
  gather: Gather,
  tracked: MappedPages | undefined,
): number {
  const table = paging(domain);
  checkRange(table, iova, bytes);
  tracked?.removeBegin(table, iova, bytes, smallestPage(table));
  let done = 0;
  while (done < bytes) {
    pick(table.pageSizes, iova + done, iova + done, bytes - done);
    const unmapped = table.unmapPages(iova + done, pageBytes, count, gather);
    if (!(unmapped > 0)) break;
    done += unmapped;
  }
  tracked?.removeEnd(done, smallestPage(table));
  return done;
}

function checkRange(domain: PagingDomain, iova: Iova, bytes: number): void {
  const page = smallestPage(domain);
  if (iova % page !== 0 || bytes % page !== 0 || !(bytes > 0) || iova < 0)
    throw new IommuError('EINVAL', `range ${hex(iova)}+${hex(bytes)}: empty or not a multiple of ${hex(page)}`);
  const { geometry } = domain;
  if (geometry !== undefined && (iova < geometry.start || iova + bytes - 1 > geometry.last))
    throw new IommuError(
      'ERANGE',
      `range ${hex(iova)}+${hex(bytes)}: outside the domain's ${hex(geometry.start)} to ${hex(geometry.last)}`,
    );
}
