/**
 * Memory for DMA: a driver asks for a buffer and is told what its device has to use as an address.
 * Linux drivers/iommu/dma-iommu.c.
 *
 * Strict: a buffer that was unmapped is out of the device's reach on return. Lazy: it is so within 10 ms or 256 unmaps,
 * whichever comes first; its address is not used again before, but its memory may be, so lazy trusts the device.
 */
import {
  coherentDma,
  type DmaCoherence,
  FRAME_BYTES,
  type FrameAllocator,
  hex,
  IommuError,
  type Iova,
  type Pa,
  type Scheduler,
  type SystemMemory,
} from '@smmu/platform';
import type { Device } from './device.ts';
import { DmaSpaces } from './dmaSpaces.ts';
import { PROT } from './domain.ts';
import type { Iommu } from './iommu.ts';

export interface DmaApiOptions {
  readonly iommu: Iommu;
  readonly memory: SystemMemory;
  /** Where buffers come from; those of the device's NUMA node are tried first. */
  readonly frames: readonly FrameAllocator[];
  /** Whether devices snoop; they do if left out. */
  readonly coherence?: DmaCoherence;
  /** Defer invalidations, timed by this scheduler (Linux `iommu.strict=0`); strict if left out. */
  readonly lazy?: Scheduler;
}

/** Memory that CPU and device both use. */
export interface DmaBuffer {
  /** Where the CPU finds it: contiguous, aligned to the power of two that holds it. */
  readonly pa: Pa;
  /** Where the device finds it. */
  readonly iova: Iova;
  readonly bytes: number;
}

/** Which way the data of a mapping goes: decides what the device may do and which syncs are made. */
export type DmaDirection = 'toDevice' | 'fromDevice' | 'both';

const ZERO_BYTES = 2 ** 21; // SystemMemory.zero stays inside one naturally aligned run of this size

/** The DMA API of a board: one for all devices. */
export class DmaApi {
  readonly #iommu: Iommu;
  readonly #memory: SystemMemory;
  readonly #frames: readonly FrameAllocator[];
  readonly #coherence: DmaCoherence;
  readonly #spaces: DmaSpaces;

  constructor({ iommu, memory, frames, coherence = coherentDma, lazy }: DmaApiOptions) {
    this.#iommu = iommu;
    this.#memory = memory;
    this.#frames = frames;
    this.#coherence = coherence;
    this.#spaces = new DmaSpaces(iommu, lazy);
  }

  /**
   * Allocates a zeroed buffer that the device may read and write.
   * @param bytes - Rounded up to a power of two of at least the domain's smallest page.
   * @throws {@link IommuError} `ENODEV` if the device is behind no IOMMU; `EBUSY` if somebody has taken it over; `EINVAL`
   *   if empty; `ENOMEM` without memory; `ENOSPC` without addresses; `EIO` if the device cannot drive the address.
   * @see Linux `iommu_dma_alloc`, drivers/iommu/dma-iommu.c
   */
  allocCoherent(device: Device, bytes: number): DmaBuffer {
    if (!(bytes > 0)) throw new IommuError('EINVAL', `allocCoherent of ${bytes} bytes for ${device.name}`);
    const granule = this.#spaces.granuleOf(device);
    const order = Math.ceil(Math.log2(Math.max(bytes, granule, FRAME_BYTES) / FRAME_BYTES));
    const [frame, allocator] = this.#allocFrames(device, order);
    const pa: Pa = frame * FRAME_BYTES;
    const size = 2 ** order * FRAME_BYTES;
    for (let at = 0; at < size; at += ZERO_BYTES) this.#memory.zero(pa + at, Math.min(ZERO_BYTES, size - at));
    if (!this.#coherence.coherent) this.#coherence.syncForDevice(pa, size);
    try {
      return { pa, iova: this.#map(device, pa, size, PROT.READ | PROT.WRITE), bytes };
    } catch (error) {
      allocator.free(frame);
      throw error;
    }
  }

  /**
   * Gives a buffer back. The device must have stopped using it.
   * @throws {@link IommuError} `EINVAL` if it is not a buffer of {@link allocCoherent}, or was freed.
   */
  freeCoherent(device: Device, buffer: DmaBuffer): void {
    const frame = buffer.pa / FRAME_BYTES;
    const allocator = this.#frames.find((candidate) => candidate.orderOf(frame) >= 0);
    if (allocator === undefined)
      throw new IommuError('EINVAL', `freeCoherent of ${hex(buffer.pa)}: no buffer starts there, or it was freed`);
    const size = 2 ** allocator.orderOf(frame) * FRAME_BYTES;
    this.#spaces.unmap(device, buffer.iova, size);
    this.#iommu.mappedPages?.checkUnmapped(buffer.pa, size);
    allocator.free(frame);
  }

  /**
   * Maps memory that exists for one transfer, and hands it to the device: the CPU may not touch it until it is unmapped.
   * @param pa - Any byte. What shares its first and last page becomes visible to the device as well.
   * @returns What the device uses for the byte at `pa`.
   * @throws {@link IommuError} as {@link allocCoherent}, without `ENOMEM` of the buffer itself.
   * @see Linux `iommu_dma_map_phys`, drivers/iommu/dma-iommu.c
   */
  mapSingle(device: Device, pa: Pa, bytes: number, direction: DmaDirection): Iova {
    if (!(bytes > 0)) throw new IommuError('EINVAL', `mapSingle of ${bytes} bytes for ${device.name}`);
    // Also for data from the device: what it leaves unwritten must be there after the sync for the CPU.
    if (!this.#coherence.coherent) this.#coherence.syncForDevice(pa, bytes);
    const prot = direction === 'both' ? PROT.READ | PROT.WRITE : direction === 'toDevice' ? PROT.READ : PROT.WRITE;
    return this.#map(device, pa, bytes, prot);
  }

  /**
   * Takes a mapping of {@link mapSingle} back from the device.
   * @param iova - What that call returned, with the same `bytes` and `direction`.
   * @throws {@link IommuError} `ENODEV`, `EBUSY`, `EINVAL` if it is not mapped.
   * @see Linux `iommu_dma_unmap_phys`, drivers/iommu/dma-iommu.c
   */
  unmapSingle(device: Device, iova: Iova, bytes: number, direction: DmaDirection): void {
    const pa = this.#iommu.iovaToPhys(this.#spaces.domainOf(device), iova);
    this.#spaces.unmap(device, iova, bytes);
    if (!this.#coherence.coherent && direction !== 'toDevice') this.#coherence.syncForCpu(pa, bytes);
  }

  /**
   * What the device has to write to for an interrupt at the doorbell `pa`. The doorbell's page is mapped once per domain:
   * into the window that the IOMMU's driver reserves for it, or wherever there is room if it reserves none.
   * @throws {@link IommuError} `ENODEV`; `ENOENT` if the device was taken over and has no MSI window; `ENOSPC` if that is
   *   full; and what the driver threw.
   * @see Linux `iommu_dma_prepare_msi`, drivers/iommu/dma-iommu.c
   */
  mapMsiDoorbell(device: Device, pa: Pa): Iova {
    if (this.#iommu.domainOf(device).type === 'dma') this.#spaces.prepare(device);
    return this.#iommu.mapMsiDoorbell(device, pa);
  }

  /**
   * Lazy mode: brings the invalidations of the device's domain forward; on return nothing unmapped is reachable.
   * @throws {@link IommuError} `ENODEV`
   * @see Linux `iommu_dma_flush_fq`, drivers/iommu/dma-iommu.c
   */
  flush(device: Device): void {
    this.#spaces.flush(device);
  }

  #map(device: Device, pa: Pa, bytes: number, prot: number): Iova {
    return this.#spaces.map(device, pa, bytes, this.#coherence.coherent ? prot | PROT.CACHE : prot);
  }

  #allocFrames(device: Device, order: number): [frame: number, from: FrameAllocator] {
    const near = (allocator: FrameAllocator): number => (allocator.node === (device.node ?? 0) ? 0 : 1);
    for (const allocator of [...this.#frames].sort((a, b) => near(a) - near(b))) {
      const frame = allocator.alloc(order);
      if (frame >= 0) return [frame, allocator];
    }
    throw new IommuError('ENOMEM', `no ${2 ** order} frames in a row for a DMA buffer of ${device.name}`);
  }
}
