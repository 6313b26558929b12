/**
 * Input addresses of DMA domains: an allocator for each, which keeps out of its devices' reserved regions.
 * Linux `struct iommu_dma_cookie`, `iommu_dma_init_domain` and `iommu_dma_alloc_iova`, drivers/iommu/dma-iommu.c.
 */
// @ts-ignore
import { IovaDomain } from '@smmu/iova';
import { FRAME_BYTES, hex, IommuError, type Iova, type Pa } from '@smmu/platform';
import type { Device } from './device.ts';
import type { Domain } from './domain.ts';
import type { Iommu } from './iommu.ts';
import { paging, smallestPage } from './mapping.ts';
import { lastOf } from './reservedRegions.ts';

const LAST_32 = 2 ** 32 - 1;

/** The addresses of one DMA domain (Linux `struct iommu_dma_cookie`). */
interface Space {
  readonly iovas: IovaDomain;
  readonly granuleBytes: number;
  /** Devices whose reserved regions are kept free. */
  readonly devices: Set<Device>;
}

export class DmaSpaces {
  readonly #iommu: Iommu;
  readonly #spaces: WeakMap<Domain, Space> = new WeakMap();
  // Devices for which addresses below 4 GiB have run out: trying there again each time would be slow.
  readonly #beyond32: WeakSet<Device> = new WeakSet();

  constructor(iommu: Iommu) {
    this.#iommu = iommu;
  }

  /** The domain that the DMA API uses for a device. @throws {@link IommuError} `ENODEV`, `EBUSY` if it was taken over */
  domainOf(device: Device): Domain {
    const domain = this.#iommu.domainOf(device);
    if (domain.type !== 'dma' && domain.type !== 'identity')
      throw new IommuError('EBUSY', `${device.name} is in a ${domain.type} domain: the DMA API has no say there`);
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
    if (domain.type === 'identity') {
      if (pa + bytes - 1 > maskOf(device))
        throw new IommuError('EIO', `${device.name} drives ${device.dmaBits} bits of address, not ${hex(pa)}`);
      return pa as number;
    }
    const space = this.#space(domain, device);
    const offset = pa % space.granuleBytes;
    const size = roundUp(bytes + offset, space.granuleBytes);
    const iova = this.#alloc(space, domain, device, size);
    try {
      this.#iommu.map(domain, iova, pa - offset, size, prot);
    } catch (error) {
      space.iovas.free(iova, size);
      throw error;
    }
    return iova + offset;
  }

  /** @throws {@link IommuError} `EINVAL` if any of it is not mapped: then nothing is done. */
  unmap(device: Device, iova: Iova, bytes: number): void {
    const domain = this.domainOf(device);
    if (domain.type === 'identity') return;
    const space = this.#space(domain, device);
    const offset = iova % space.granuleBytes;
    const start = iova - offset;
    const size = roundUp(bytes + offset, space.granuleBytes);
    for (let at = start; at < start + size; at += space.granuleBytes)
      if (this.#iommu.iovaToPhys(domain, at) === -1)
        throw new IommuError('EINVAL', `${device.name}: ${hex(at)} of ${hex(iova)}+${hex(bytes)} is not mapped`);
    this.#iommu.unmap(domain, start, size);
    space.iovas.free(start, size);
  }

  /** Makes sure that a domain has addresses to give and, if the driver reserves one, a window for doorbells. */
  prepare(device: Device): void {
    this.#space(this.domainOf(device), device);
  }

  #alloc(space: Space, domain: Domain, device: Device, size: number): Iova {
    const limit = Math.min(maskOf(device), domain.geometry?.last ?? maskOf(device));
    // PCI devices are likelier to get addresses of more than 32 bits wrong, and pay for them with a longer header.
    if (device.bus === 'pci' && limit > LAST_32 && !this.#beyond32.has(device)) {
      try {
        return space.iovas.alloc(size, { limit: LAST_32, sizeAligned: true });
      } catch (error) {
        if (!(error instanceof IommuError && error.code === 'ENOSPC')) throw error;
        this.#beyond32.add(device);
      }
    }
    return space.iovas.alloc(size, { limit, sizeAligned: true });
  }

  #space(domain: Domain, device: Device): Space {
    let space = this.#spaces.get(domain);
    if (space === undefined) {
      const granuleBytes = smallestPage(paging(domain));
      // Never the page at 0: drivers take that address for "none".
      const startPfn = Math.max(1, Math.ceil((domain.geometry?.start ?? 0) / granuleBytes));
      space = { iovas: new IovaDomain({ granuleBytes, startPfn }), granuleBytes, devices: new Set() };
      this.#spaces.set(domain, space);
    }
    if (!space.devices.has(device)) this.#reserve(space, domain, device);
    return space;
  }

  /** Keeps the group's reserved regions free, and makes the first software window the place for doorbells. */
  #reserve({ iovas, granuleBytes, devices }: Space, domain: Domain, device: Device): void {
    for (const region of this.#iommu.reservedRegions(device)) {
      if (region.type === 'software-msi' && !this.#iommu.hasMsiWindow(domain))
        this.#iommu.setMsiWindow(domain, region.start, region.length);
      iovas.reserve(region.start, roundUp(lastOf(region) + 1, granuleBytes) - 1);
    }
    if (!this.#iommu.hasMsiWindow(domain))
      this.#iommu.setMsiSource(domain, {
        allocPage: (bytes) => iovas.alloc(bytes, { limit: LAST_32 }),
        freePage: (iova, bytes) => iovas.free(iova, bytes),
      });
    for (const member of this.#iommu.groupOf(device).devices) devices.add(member);
  }
}

/** Last address that the device can drive. */
const maskOf = (device: Device): number => Math.min(2 ** (device.dmaBits ?? 52), 2 ** 52) - 1;

const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;
