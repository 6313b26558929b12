/** A board with nothing on it but memory, an SMMU, its driver and processes: devices are test code that submits DMA. */
import { MemoryManager, type Mm } from '@smmu/arm64-mm';
import { IoasidAllocator } from '@smmu/ioasid';
import { type Device, Iommu } from '@smmu/iommu';
import { IommuPages } from '@smmu/iommu-pages';
import {
  coherentDma,
  DMA_PENDING,
  type DmaCoherence,
  DmaRequest,
  FrameAllocator,
  InterruptLine,
  NO_SUBSTREAM,
  NonCoherentDma,
  type PhysicalMemory,
  Registers,
  Scheduler,
  SystemMemory,
} from '@smmu/platform';
import { SmmuV3, type SmmuV3Options } from '@smmu/smmu-v3';
import { type ModelFeatures, SmmuV3Model } from '@smmu/smmu-v3-model';
import { SVA_IOPF, Sva } from '@smmu/sva-core';

export const RAM = 0x8000_0000;
const RAM_BYTES = 0x1000_0000;
const SMMU_BASE = 0x0905_0000;

export interface DriverBoardOptions {
  readonly features?: Partial<ModelFeatures>;
  readonly driver?: Partial<SmmuV3Options>;
  readonly granuleShift?: 12 | 14 | 16;
  readonly seed?: number;
  /** The SMMU sees other memory than the CPU, and only what was synchronised. */
  readonly nonCoherent?: boolean;
  readonly paBits?: number;
  readonly asidBits?: 8 | 16;
}

export class DriverBoard {
  readonly scheduler: Scheduler;
  readonly memory: SystemMemory;
  /** Memory as the SMMU and the devices see it. */
  readonly deviceMemory: SystemMemory;
  readonly frames: FrameAllocator;
  readonly pages: IommuPages;
  readonly manager: MemoryManager;
  readonly iommu: Iommu = new Iommu();
  readonly pasids: IoasidAllocator = new IoasidAllocator();
  readonly sva: Sva;
  readonly model: SmmuV3Model;
  readonly smmu: SmmuV3;
  readonly lines: string[] = [];
  readonly page: number;

  constructor(options: DriverBoardOptions = {}) {
    const { granuleShift = 12, seed = 1, paBits = 40, asidBits = 16 } = options;
    this.page = 2 ** granuleShift;
    const scheduler = new Scheduler(seed);
    this.scheduler = scheduler;
    const ram = [{ base: RAM, size: RAM_BYTES }];
    const memory = new SystemMemory(ram);
    this.memory = memory;
    this.deviceMemory = options.nonCoherent ? new SystemMemory(ram) : memory;
    const coherence: DmaCoherence = options.nonCoherent ? new NonCoherentDma(memory, this.deviceMemory) : coherentDma;
    this.frames = new FrameAllocator(RAM, RAM_BYTES);
    const { frames } = this;
    this.pages = new IommuPages({ memory, frames: [frames], coherence });
    const { pages } = this;
    const cpu = { granuleShift, vaBits: 48, paBits, asidBits } as const;
    this.manager = new MemoryManager({ memory, frames, pages, scheduler, ...cpu, cpus: 2 });
    const line = (name: string) => new InterruptLine(scheduler, name);
    const interrupts = { eventq: line('eventq'), priq: line('priq'), gerror: line('gerror'), cmdSync: line('sync') };
    this.model = new SmmuV3Model({
      memory: this.deviceMemory as PhysicalMemory,
      scheduler,
      interrupts,
      features: { ...options.features, ...(options.nonCoherent && { cohacc: false }) },
    });
    memory.addWindow(SMMU_BASE, this.model.window);
    this.smmu = SmmuV3.probe({
      name: 'arm-smmu-v3.0.auto',
      memory,
      registers: new Registers(memory, SMMU_BASE),
      pages,
      coherence,
      scheduler,
      interrupts,
      iommu: this.iommu,
      log: (text) => this.lines.push(text),
      cpu,
      ...options.driver,
    });
    this.sva = new Sva({ iommu: this.iommu, pasids: this.pasids });
  }

  /** A device behind the SMMU, ready for SVA if it has PASIDs. */
  device(streamId: number, more: Partial<Device> = {}): Device {
    const device: Device = {
      name: `0000:00:${streamId >> 3}.${streamId & 7}`,
      bus: 'pci',
      streamIds: [streamId],
      pasidBits: 16,
      canStall: true,
      ...more,
    };
    this.iommu.probeDevice(device);
    if (device.pasidBits > 0 && this.sva.whyNot(device).length === 0)
      this.sva.deviceInit(device, { features: device.canStall ? SVA_IOPF : 0 });
    return device;
  }

  /** Submits a transaction. Its status is DMA_PENDING until the stall, if it is one, is over. */
  submit(streamId: number, ssid: number, address: number, data: Uint8Array, write: boolean): DmaRequest {
    const request = new DmaRequest(data);
    Object.assign(request, { streamId, substreamId: ssid, addressLo: address >>> 0, write, length: data.length });
    request.addressHi = Math.floor(address / 2 ** 32);
    request.complete = () => {};
    this.model.submit(request);
    return request;
  }

  /** Submits a transaction and lets the board run until it is answered. */
  dma(device: Device, ssid: number, address: number, data: Uint8Array, write: boolean): number {
    const request = this.submit(device.streamIds[0]!, ssid, address, data, write);
    this.scheduler.run(() => request.status !== DMA_PENDING);
    return request.status;
  }

  write(device: Device, ssid: number, address: number, ...bytes: number[]): number {
    return this.dma(device, ssid, address, Uint8Array.from(bytes), true);
  }

  read(device: Device, ssid: number, address: number): { status: number; byte: number } {
    const data = new Uint8Array(1);
    return { status: this.dma(device, ssid, address, data, false), byte: data[0]! };
  }

  /** A byte that the CPU reads in a process. */
  peek(mm: Mm, va: number): number {
    const target = new Uint8Array(1);
    mm.readBytes(va, target, 0, 1);
    return target[0]!;
  }

  /** Anonymous memory of a process. */
  area(mm: Mm, pages: number, write = true): number {
    return mm.mmap({ bytes: pages * this.page, kind: 'anonymous', read: true, write });
  }

  /** Names of the events that the SMMU recorded. */
  get events(): Record<string, number> {
    return { ...this.model.stats.events };
  }

  /** What is in use that a shutdown would have to give back. */
  get left(): Record<string, number> {
    return {
      pasids: this.pasids.liveCount,
      pinnedAsids: this.manager.asids.pinnedCount,
      stalled: this.model.stats.stalled,
      faults: this.smmu.faultQueue.pending,
    };
  }
}

export const NOTHING_LEFT = { pasids: 0, pinnedAsids: 0, stalled: 0, faults: 0 };
export { NO_SUBSTREAM };
