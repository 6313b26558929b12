/**
 * Doorbell pages of message-signalled interrupts, mapped for devices whose interrupt writes are translated.
 * One per domain, in generic code; a driver only names the window. Linux `iommu_dma_get_msi_page` and
 * `iommu_get_msi_cookie`, drivers/iommu/dma-iommu.c.
 *
 * A page is mapped when its first user comes and stays until the domain goes: interrupts of other users may be on it.
 */
import { hex, IommuError, type Iova, type Pa } from '@smmu/platform';
import { type Domain, PROT } from './domain.ts';
import { paging, smallestPage } from './mapping.ts';

/** Gives input addresses to doorbell pages. */
export interface MsiSource {
  /** @throws {@link IommuError} `ENOSPC` if there is no more room. */
  allocPage(pageBytes: number): Iova;
  /** Takes back the page allocated last, because it could not be mapped. */
  freePage(iova: Iova, pageBytes: number): void;
}

/** What {@link MsiPages} needs of the API above it. */
export interface MsiMapper {
  map(domain: Domain, iova: Iova, pa: Pa, bytes: number, prot: number): void;
  unmap(domain: Domain, iova: Iova, bytes: number): number;
}

/** A window of input addresses, filled from its start (Linux's `IOMMU_DMA_MSI_COOKIE`). */
export class MsiWindow implements MsiSource {
  readonly start: Iova;
  readonly bytes: number;
  #used = 0;

  /**
   * @param start - First input address, a multiple of `granuleBytes`, as is `bytes`.
   * @throws {@link IommuError} `EINVAL` if misaligned or empty.
   */
  constructor(start: Iova, bytes: number, granuleBytes: number) {
    if (!(bytes > 0)) throw new IommuError('EINVAL', `MSI window at ${hex(start)} is empty`);
    if (start % granuleBytes !== 0 || bytes % granuleBytes !== 0 || start < 0)
      throw new IommuError(
        'EINVAL',
        `MSI window ${hex(start)}+${hex(bytes)}: not a multiple of the domain's page of ${hex(granuleBytes)}`,
      );
    this.start = start;
    this.bytes = bytes;
  }

  allocPage(pageBytes: number): Iova {
    if (this.#used + pageBytes > this.bytes)
      throw new IommuError(
        'ENOSPC',
        `MSI window ${hex(this.start)}+${hex(this.bytes)} is full: ${this.#used / pageBytes} doorbell pages`,
      );
    const iova = this.start + this.#used;
    this.#used += pageBytes;
    return iova;
  }

  freePage(_iova: Iova, pageBytes: number): void {
    this.#used -= pageBytes;
  }
}

/** The doorbell pages of one domain. */
export class MsiPages {
  readonly source: MsiSource;
  readonly #domain: Domain;
  readonly #mapper: MsiMapper;
  readonly #granuleBytes: number;
  readonly #pages: Map<Pa, Iova> = new Map();

  constructor(domain: Domain, source: MsiSource, mapper: MsiMapper) {
    this.#domain = domain;
    this.source = source;
    this.#mapper = mapper;
    this.#granuleBytes = smallestPage(paging(domain));
  }

  /** What a device has to write to so that the write arrives at `pa`. Maps the page for its first user. */
  map(pa: Pa): Iova {
    const offset = pa % this.#granuleBytes;
    const page = pa - offset;
    const known = this.#pages.get(page);
    if (known !== undefined) return known + offset;
    const iova = this.source.allocPage(this.#granuleBytes);
    try {
      this.#mapper.map(this.#domain, iova, page, this.#granuleBytes, PROT.WRITE | PROT.NOEXEC | PROT.MMIO);
    } catch (error) {
      this.source.freePage(iova, this.#granuleBytes);
      throw error;
    }
    this.#pages.set(page, iova);
    return iova + offset;
  }

  /** Unmaps everything: the domain goes. */
  free(): void {
    for (const iova of this.#pages.values()) this.#mapper.unmap(this.#domain, iova, this.#granuleBytes);
    this.#pages.clear();
  }
}
