import { type BackingFile, MemoryManager, type Mm } from '@smmu/arm64-mm';
import { IoasidAllocator } from '@smmu/ioasid';
import { type Device, DmaApi, Iommu } from '@smmu/iommu';
import { IommuPages } from '@smmu/iommu-pages';
import { PciDevice } from '@smmu/pci-ats';
import {
  FrameAllocator,
  InterruptLine,
  IommuError,
  MsiDoorbell,
  type Pa,
  Random,
  Registers,
  Scheduler,
  SystemMemory,
  Trace,
} from '@smmu/platform';
import { SmmuV3 } from '@smmu/smmu-v3';
import { type ModelFeatures, SmmuV3Model } from '@smmu/smmu-v3-model';
import { Sva } from '@smmu/sva-core';
import { type AcceleratorTiming, GzipAccelerator } from './accelerator/accelerator.ts';
import type { CompressionEngine } from './accelerator/job.ts';
import { AcceleratorDriver, type AcceleratorDriverOptions } from './kernel/acceleratorDriver.ts';
import { PciRoot } from './pciRoot.ts';
import { ReclaimPressure } from './pressure.ts';

/** Page size of a process and of the SMMU's tables. */
export type Granule = '4k' | '16k' | '64k';
export const GRANULE_SHIFTS: Readonly<Record<Granule, 12 | 14 | 16>> = { '4k': 12, '16k': 14, '64k': 16 };

// The memory map follows QEMU's virt machine, so that a dump of one reads like a dump of the other.
const DOORBELL_BASE: Pa = 0x0802_0000;
const SMMU_BASE: Pa = 0x0905_0000;
const PCI_BASE: Pa = 0x1000_0000;
const PCI_BYTES = 0x2eff_0000;
export const RAM_BASE: Pa = 0x4000_0000;
/** RAM comes in pieces of this size. */
export const MEMORY_STEP = 2 ** 21;
const VA_BITS = 48;
const PA_BITS = 48;
const ASID_BITS = 16;
const CPUS = 2;
/** First interrupt number that a PCI function may send: behind a GIC's private and wired ones. */
const FIRST_MSI = 128;
const ACCELERATOR = { segment: 0, bus: 0, device: 1, function: 0 } as const;

export interface BoardOptions {
  /** RAM in bytes, a multiple of 2 MiB. */
  readonly memoryBytes: number;
  readonly granule: Granule;
  /** What the accelerator compresses with. */
  readonly engine: CompressionEngine;
  /** Decides the order of what happens at the same time; 0 if left out. */
  readonly seed?: number;
  /** Takes the run as Chrome trace events, piece by piece. */
  readonly trace?: ((text: string) => void) | undefined;
  /** Takes lines such as a kernel prints. */
  readonly log?: ((line: string) => void) | undefined;
  /** Take so many random pages away after every so many DMA transactions. */
  readonly reclaimEvery?: number | undefined;
  /** What the SMMU differs in from the model's default. */
  readonly smmu?: Partial<ModelFeatures>;
  readonly cmdqEntriesLog2?: number;
  readonly evtqEntriesLog2?: number;
  /** Jobs that the accelerator works on at a time. */
  readonly slots?: number;
  readonly timing?: Partial<AcceleratorTiming>;
  readonly onFileError?: (file: BackingFile, error: IommuError) => void;
}

/** What is in use. After a shutdown every number is zero. */
export interface Left {
  /** 4 KiB frames of table memory. */
  readonly tablePages: number;
  readonly pasids: number;
  readonly pinnedAsids: number;
  /** Transactions that are stalled, and fault groups that wait for an answer. */
  readonly pendingFaults: number;
  /** Processes that have not ended. */
  readonly processes: number;
  /** 4 KiB frames of RAM in use for anything. */
  readonly frames: number;
}

/**
 * A board put together: RAM, an SMMU and its driver, PCI with the accelerator and its driver, processes. Everything that
 * happens is a task of {@link scheduler}; who steps it drives the board.
 */
export class Board {
  readonly scheduler: Scheduler;
  readonly memory: SystemMemory;
  readonly frames: FrameAllocator;
  readonly pages: IommuPages;
  readonly manager: MemoryManager;
  readonly iommu: Iommu;
  readonly dma: DmaApi;
  readonly pasids: IoasidAllocator;
  readonly sva: Sva;
  /** The SMMU as hardware, and its driver. */
  readonly model: SmmuV3Model;
  readonly smmu: SmmuV3;
  /** The accelerator as hardware, and as the IOMMU knows it. */
  readonly accelerator: GzipAccelerator;
  readonly device: Device;
  readonly granule: Granule;
  readonly trace: Trace | undefined;
  readonly pressure: ReclaimPressure | undefined;
  /** Table pages when the board was up and no process ran yet. */
  readonly idleTablePages: number;
  readonly #driverOptions: AcceleratorDriverOptions;
  #driver: AcceleratorDriver;
  #up = true;

  /**
   * Switches the board on: probes the SMMU and the accelerator as a kernel does.
   * @throws {@link IommuError} `EINVAL` for sizes that cannot be, `ENOMEM` if RAM is too small for the tables, or what
   *   the drivers say.
   */
  constructor(options: BoardOptions) {
    const { memoryBytes, granule, seed = 0, log } = options;
    const granuleShift = GRANULE_SHIFTS[granule];
    if (granuleShift === undefined) throw new IommuError('EINVAL', `granule ${granule}: must be 4k, 16k or 64k`);
    this.granule = granule;
    const scheduler = new Scheduler(seed);
    this.scheduler = scheduler;
    this.trace = options.trace ? new Trace(scheduler, options.trace) : undefined;
    const { trace } = this;
    const memory = new SystemMemory([{ base: RAM_BASE, size: memoryBytes }]);
    this.memory = memory;
    this.frames = new FrameAllocator(RAM_BASE, memoryBytes);
    const { frames } = this;
    this.pages = new IommuPages({ memory, frames: [frames] });
    const { pages } = this;
    const cpu = { granuleShift, vaBits: VA_BITS, paBits: PA_BITS, asidBits: ASID_BITS } as const;
    const { onFileError } = options;
    this.manager = new MemoryManager({
      ...{ memory, frames, pages, scheduler, trace },
      ...cpu,
      cpus: CPUS,
      ...(onFileError && { onFileError }),
    });
    this.iommu = new Iommu();
    const { iommu } = this;
    this.dma = new DmaApi({ iommu, memory, frames: [frames] });
    this.pasids = new IoasidAllocator();
    this.sva = new Sva({ iommu, pasids: this.pasids });

    const line = (name: string): InterruptLine => new InterruptLine(scheduler, name);
    const interrupts = {
      eventq: line('eventq'),
      priq: line('priq'),
      gerror: line('gerror'),
      cmdSync: line('cmdq-sync'),
    };
    this.model = new SmmuV3Model({ memory, scheduler, interrupts, features: options.smmu ?? {}, trace });
    memory.addWindow(SMMU_BASE, this.model.window);
    this.smmu = SmmuV3.probe({
      ...{ name: 'arm-smmu-v3.0.auto', memory, pages, scheduler, interrupts, iommu, trace, cpu },
      registers: new Registers(memory, SMMU_BASE),
      ...(log && { log }),
      ...(options.cmdqEntriesLog2 !== undefined && { cmdqEntriesLog2: options.cmdqEntriesLog2 }),
      ...(options.evtqEntriesLog2 !== undefined && { evtqEntriesLog2: options.evtqEntriesLog2 }),
    });

    const { reclaimEvery } = options;
    this.pressure =
      reclaimEvery === undefined
        ? undefined
        : new ReclaimPressure(this.model, scheduler, this.manager, new Random(seed + 1), reclaimEvery);
    const root = new PciRoot({ segment: 0, apertureBase: PCI_BASE, apertureBytes: PCI_BYTES });
    root.connect(memory);
    const doorbell = new MsiDoorbell();
    memory.addWindow(DOORBELL_BASE, doorbell);
    // The firmware table is the identity here: StreamID = requester ID.
    const streamId = ACCELERATOR.device * 8 + ACCELERATOR.function;
    this.accelerator = new GzipAccelerator({
      ...ACCELERATOR,
      ...{ scheduler, engine: options.engine, streamId, trace },
      upstream: this.pressure ?? this.model,
      ...(options.slots !== undefined && { slots: options.slots }),
      ...(options.timing && { timing: options.timing }),
    });
    root.plug(this.accelerator.pci);
    const pci = new PciDevice(root.config(ACCELERATOR), ACCELERATOR);
    const bar = root.assign(pci).get(0)!;
    const { dma, sva } = this;
    this.device = {
      name: pci.name,
      bus: 'pci',
      streamIds: [streamId],
      pasidBits: Math.log2(pci.maxPasids()),
      canStall: true, // an integrated endpoint whose firmware entry says so, as HiSilicon's
      pci,
    };
    iommu.probeDevice(this.device);
    this.#driverOptions = {
      ...{ pci, device: this.device, bar, memory, scheduler, dma, sva, trace, log },
      msi: { doorbell, doorbellPa: DOORBELL_BASE, firstNumber: FIRST_MSI },
    };
    this.#driver = AcceleratorDriver.probe(this.#driverOptions);
    this.idleTablePages = pages.livePages;
  }

  get driver(): AcceleratorDriver {
    return this.#driver;
  }

  /** Brings the accelerator up again after its driver was removed. @throws {@link IommuError} as at power on. */
  probeAccelerator(): void {
    this.#driver = AcceleratorDriver.probe(this.#driverOptions);
  }

  createProcess(name: string): Mm {
    return this.manager.createProcess(name);
  }

  /** What is in use now. */
  left(): Left {
    return {
      tablePages: this.pages.livePages,
      pasids: this.pasids.liveCount,
      pinnedAsids: this.manager.asids.pinnedCount,
      pendingFaults: this.smmu.faultQueue.pending + this.model.stats.stalled,
      processes: this.manager.liveProcesses,
      frames: this.frames.totalFrames - this.frames.freeFrames,
    };
  }

  /**
   * Switches everything off in the order in which a kernel would: the accelerator's driver, the device, the SMMU's. Queues
   * must be closed and processes gone.
   * @throws {@link IommuError} `EBUSY` if somebody still uses the device.
   */
  shutdown(): Left {
    if (this.#up) {
      this.driver.remove();
      this.iommu.releaseDevice(this.device);
      this.smmu.remove();
      this.#up = false;
    }
    return this.left();
  }
}
