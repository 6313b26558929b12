/** Memory for DMA, mapped for one device (Linux drivers/iommu/dma-iommu.c). */
import {
  type DmaCoherence,
  type FrameAllocator,
  IommuError,
  type Iova,
  type Pa,
  type SystemMemory,
} from '@smmu/platform';
import type { Device } from './device.ts';
import type { Iommu } from './iommu.ts';

const todo = (): never => {
  throw new IommuError('EOPNOTSUPP', 'not written yet');
};

export interface DmaApiOptions {
  readonly iommu: Iommu;
  readonly memory: SystemMemory;
  readonly frames: readonly FrameAllocator[];
  readonly coherence?: DmaCoherence;
}

export interface DmaBuffer {
  readonly pa: Pa;
  /** What the device is given. */
  readonly iova: Iova;
  readonly bytes: number;
}

/** Which way data goes: decides protection and syncs. */
export type DmaDirection = 'toDevice' | 'fromDevice' | 'both';

export class DmaApi {
  readonly options: DmaApiOptions;
  constructor(options: DmaApiOptions) {
    this.options = options;
  }
  allocCoherent(_device: Device, _bytes: number): DmaBuffer {
    return todo();
  }
  freeCoherent(_device: Device, _buffer: DmaBuffer): void {
    todo();
  }
  mapSingle(_device: Device, _pa: Pa, _bytes: number, _direction: DmaDirection): Iova {
    return todo();
  }
  unmapSingle(_device: Device, _iova: Iova, _bytes: number, _direction: DmaDirection): void {
    todo();
  }
  mapMsiDoorbell(_device: Device, _pa: Pa): Iova {
    return todo();
  }
}
