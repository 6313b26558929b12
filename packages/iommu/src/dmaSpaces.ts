/**
 * Input addresses of DMA domains: an allocator for each, which keeps out of its devices' reserved regions.
 * Linux `struct iommu_dma_cookie`, `iommu_dma_init_domain` and `iommu_dma_alloc_iova`, drivers/iommu/dma-iommu.c.
 */
import { type Below4G, IovaDomain, IovaFlushQueue } from '@smmu/iova';
import { FRAME_BYTES, hex, IommuError, type Iova, type Pa, type Scheduler } from '@smmu/platform';
import type { Device } from './device.ts';
import type { Domain, Gather } from './domain.ts';
import type { Iommu } from './iommu.ts';
import { type PagingDomain, paging, smallestPage } from './mapping.ts';
import { lastOf } from './reservedRegions.ts';

const LAST_32 = 2 ** 32 - 1;
const LAST_52 = 2 ** 52 - 1;

/** The addresses of one DMA domain (Linux `struct iommu_dma_cookie`). */
interface Space {
  readonly domain: PagingDomain;
  readonly iovas: IovaDomain;
  readonly granuleBytes: number;
  /** Where unmapped ranges wait for their invalidation, in lazy mode. */
  readonly lazy: IovaFlushQueue<Gather> | undefined;
  /** Devices whose reserved regions are kept free. */
  readonly devices: Set<Device>;
}

export class DmaSpaces {
  readonly #iommu: Iommu;
  readonly #scheduler: Scheduler | undefined;
  readonly #spaces: WeakMap<Domain, Space> = new WeakMap();
  readonly #below4G: WeakMap<Device, Below4G> = new WeakMap();

  /** @param scheduler - Tells lazy mode the time; strict if left out. */
  constructor(iommu: Iommu, scheduler: Scheduler | undefined) {
    this.#iommu = iommu;
    this.#scheduler = scheduler;
  }

  /** The domain that the DMA API uses for a device. @throws {@link IommuError} `ENODEV`, `EBUSY` if it was taken over */
  domainOf(device: Device): Domain {
    const domain = this.#iommu.domainOf(device);
    if (domain.type !== 'dma' && domain.type !== 'identity')
      throw new IommuError(
        'EBUSY',
        `${device.name} was taken over (its domain is ${domain.type}): the DMA API has no say there`,
      );
    return domain;
  }

  /** Bytes of the smallest page that can be mapped for the device. */
  granuleOf(device: Device): number {
    const domain = this.domainOf(device);
    return domain.type === 'identity' ? FRAME_BYTES : smallestPage(paging(domain));
  }

  /** Maps any bytes. Returns what the device uses for the first. */
  map(device: Device, pa: Pa, bytes: number, prot: number): Iova {
    const domain = this.domainOf(device);
    const mask = maskOf(device);
    if (domain.type === 'identity') {
      if (pa + bytes - 1 <= mask) return pa as number;
      throw new IommuError('EIO', `${device.name} drives ${device.dmaBits} bits of address, too few for ${hex(pa)}`);
    }
    const { iovas, granuleBytes } = this.#space(domain, device);
    const offset = pa % granuleBytes;
    const size = roundUp(bytes + offset, granuleBytes);
    const limit = Math.min(mask, domain.geometry?.last ?? mask);
    const iova =
      device.bus === 'pci'
        ? iovas.allocBelow4GFirst(size, limit, this.#preference(device))
        : iovas.allocFast(size, limit);
    try {
      this.#iommu.map(domain, iova, pa - offset, size, prot);
    } catch (error) {
      iovas.freeFast(iova, size);
      throw error;
    }
    return iova + offset;
  }

  /**
   * Takes a mapping away. Strict: on return the device cannot reach it. Lazy: the addresses are not given again before.
   * @throws {@link IommuError} `EINVAL` if it is not what was mapped: then nothing is done.
   */
  unmap(device: Device, iova: Iova, bytes: number): void {
    const domain = this.domainOf(device);
    if (domain.type === 'identity') return;
    const space = this.#space(domain, device);
    const offset = iova % space.granuleBytes;
    const start = iova - offset;
    const size = roundUp(bytes + offset, space.granuleBytes);
    if (!this.#isMapping(space, start, size))
      throw new IommuError('EINVAL', `${device.name}: ${hex(iova)}+${hex(bytes)} is not what was mapped`);
    if (space.lazy === undefined) {
      this.#iommu.unmap(domain, start, size);
      space.iovas.freeFast(start, size);
    } else {
      const gather = space.domain.newGather();
      this.#iommu.unmapFast(domain, start, size, gather);
      space.lazy.queue(start, size, gather);
    }
  }

  /** Makes sure that the device's domain has a place for doorbells. */
  prepare(device: Device): void {
    this.#space(this.domainOf(device), device);
  }

  /** Lazy mode: invalidates now what waits for it. */
  flush(device: Device): void {
    this.#spaces.get(this.#iommu.domainOf(device))?.lazy?.drain();
  }

  #preference(device: Device): Below4G {
    let preference = this.#below4G.get(device);
    if (preference === undefined) this.#below4G.set(device, (preference = { preferred: true }));
    return preference;
  }

  /** Whether exactly `[start, start + size)` is one range, mapped. */
  #isMapping({ domain, iovas, granuleBytes }: Space, start: Iova, size: number): boolean {
    const range = iovas.find(start);
    if (range?.start !== start || range.state !== 'taken' || start + size - 1 > range.last) return false;
    for (let at = start; at < start + size; at += granuleBytes)
      if (this.#iommu.iovaToPhys(domain, at) === -1) return false;
    return start + size > range.last || this.#iommu.iovaToPhys(domain, start + size) === -1;
  }

  #space(domain: Domain, device: Device): Space {
    const space = this.#spaces.get(domain) ?? this.#create(paging(domain));
    if (!space.devices.has(device)) this.#reserve(space, device);
    return space;
  }

  #create(domain: PagingDomain): Space {
    const granuleBytes = smallestPage(domain);
    // Never the page at 0: drivers take that address for "none".
    const startPfn = Math.max(1, Math.ceil((domain.geometry?.start ?? 0) / granuleBytes));
    const iovas = new IovaDomain({ granuleBytes, startPfn, last: domain.geometry?.last ?? LAST_52 });
    const space = { domain, iovas, granuleBytes, lazy: this.#lazy(domain, iovas), devices: new Set<Device>() };
    this.#spaces.set(domain, space);
    this.#iommu.whenFreed(domain, () => {
      space.lazy?.drain();
      iovas.dispose();
    });
    return space;
  }

  #lazy(domain: PagingDomain, iovas: IovaDomain): IovaFlushQueue<Gather> | undefined {
    if (this.#scheduler === undefined || domain.flushIotlbAll === undefined) return undefined;
    return new IovaFlushQueue({
      domain: iovas,
      scheduler: this.#scheduler,
      flush: () => domain.flushIotlbAll?.(),
      release: (gather) => {
        gather.reset(); // all is invalidated: what is left to the sync is to free the tables
        domain.iotlbSync(gather);
      },
    });
  }

  /** Keeps the group's reserved regions free, and makes its software window the place for doorbells. */
  #reserve({ domain, iovas, devices }: Space, device: Device): void {
    for (const region of this.#iommu.reservedRegions(device)) {
      iovas.reserve(region.start, lastOf(region));
      if (region.type === 'software-msi' && !this.#iommu.hasMsiWindow(domain))
        this.#iommu.setMsiWindow(domain, region.start, region.length);
    }
    if (!this.#iommu.hasMsiWindow(domain))
      this.#iommu.setMsiSource(domain, {
        allocPage: (bytes) => iovas.alloc(bytes, { limit: LAST_32 }), // an MSI capability may have 32 bits only
        freePage: (iova, bytes) => iovas.free(iova, bytes),
      });
    for (const member of this.#iommu.groupOf(device).devices) devices.add(member);
  }
}

/** Last address that the device can drive. */
const maskOf = (device: Device): number => Math.min(2 ** (device.dmaBits ?? 52), 2 ** 52) - 1;

const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;
