/** What the tests stand on: a board's memory and processes, and an IOMMU whose driver does what it is told. */
import { type BackingFile, MemoryManager, type Mm, type MmuNotifier } from '@smmu/arm64-mm';
import { IoasidAllocator } from '@smmu/ioasid';
import { type Device, type Domain, Iommu, type IopfFault, type IopfGroupLike, type PageResponse } from '@smmu/iommu';
import { IommuPages } from '@smmu/iommu-pages';
import { FrameAllocator, IommuError, Scheduler, SystemMemory } from '@smmu/platform';
import { Sva, type SvaDriver, type SvaOptions } from '../src/index.ts';

const RAM = 0x4000_0000;
const MIB = 2 ** 20;

/** A domain on a process's tables that records what the core does with it. */
export class FakeSvaDomain implements Domain, MmuNotifier {
  readonly type = 'sva';
  readonly driver: FakeDriver;
  readonly mm: Mm;
  iopfHandler: ((group: IopfGroupLike) => void) | undefined;
  readonly attached: string[] = [];
  freed = false;

  constructor(driver: FakeDriver, mm: Mm) {
    this.driver = driver;
    this.mm = mm;
    mm.registerNotifier(this);
  }
  attachDevice(): void {
    throw new IommuError('EINVAL', 'by PASID only');
  }
  attachPasid(device: Device, pasid: number): void {
    if (this.driver.refuse.has(device.name)) throw new IommuError('ENOMEM', 'no memory for the context table');
    if (this.driver.incompatible.has(device.name) && this.attached.length > 0)
      throw new IommuError('EINVAL', 'another format');
    this.attached.push(`${device.name}/${pasid}`);
    this.driver.whileAttaching?.();
  }
  detachPasid(device: Device, pasid: number): void {
    this.attached.splice(this.attached.indexOf(`${device.name}/${pasid}`), 1);
    this.driver.whileDetaching?.();
  }
  invalidateSecondaryTlbs(): void {}
  release(): void {
    this.driver.log.push(`quiet ${this.mm.name}`);
  }
  free(): void {
    this.freed = true;
    this.driver.domains.delete(this);
    this.mm.unregisterNotifier(this);
  }
}

const plain = (type: 'blocked' | 'identity' | 'dma'): Domain => ({
  type,
  attachDevice() {},
  attachPasid() {},
  free() {},
});

export class FakeDriver implements SvaDriver {
  readonly name: string;
  readonly blockedDomain: Domain = plain('blocked');
  readonly identityDomain: Domain = plain('identity');
  log: string[] = [];
  readonly domains: Set<FakeSvaDomain> = new Set();
  readonly responses: [device: string, groupId: number, response: PageResponse][] = [];
  /** Devices whose attach fails, and those that share no domain. */
  readonly refuse: Set<string> = new Set();
  readonly incompatible: Set<string> = new Set();
  why: string | undefined;
  refuseEnable = false;
  refuseDomain = false;
  whileAttaching: (() => void) | undefined;
  whileDetaching: (() => void) | undefined;

  constructor(name: string) {
    this.name = name;
  }
  claims(device: Device): boolean {
    return device.name.startsWith(this.name);
  }
  probeDevice(): void {}
  releaseDevice(): void {}
  allocDomain(): Domain {
    return plain('dma');
  }
  maxPasids(): number {
    return 2 ** 16;
  }
  pageResponse(device: Device, fault: IopfFault, response: PageResponse): void {
    this.responses.push([device.name, fault.groupId, response]);
  }
  svaSupport(): string | undefined {
    return this.why;
  }
  enableSva(device: Device, features: number): void {
    if (this.refuseEnable) throw new IommuError('ENOMEM', 'no memory for the fault queue');
    this.log.push(`enable ${device.name} ${features}`);
  }
  disableSva(device: Device): void {
    this.log.push(`disable ${device.name}`);
  }
  allocSvaDomain(_device: Device, mm: Mm): Domain {
    if (this.refuseDomain) throw new IommuError('ENOSPC', 'no ASID');
    const domain = new FakeSvaDomain(this, mm);
    this.domains.add(domain);
    return domain;
  }
}

export class Board {
  readonly scheduler: Scheduler = new Scheduler(1);
  readonly memory: SystemMemory = new SystemMemory([{ base: RAM, size: 64 * MIB }]);
  readonly frames: FrameAllocator = new FrameAllocator(RAM, 32 * MIB);
  readonly pages: IommuPages = new IommuPages({
    memory: this.memory,
    frames: [new FrameAllocator(RAM + 32 * MIB, 32 * MIB)],
  });
  readonly mmu: MemoryManager = new MemoryManager({
    ...{ memory: this.memory, frames: this.frames, pages: this.pages, scheduler: this.scheduler },
    ...{ granuleShift: 12, vaBits: 48, paBits: 48, asidBits: 8, cpus: 1, reserveFrames: 0 },
  });
  readonly iommu: Iommu = new Iommu();
  readonly pasids: IoasidAllocator = new IoasidAllocator();
  readonly driver: FakeDriver = new FakeDriver('a');
  readonly other: FakeDriver = new FakeDriver('b');
  readonly sva: Sva;

  constructor(options: Partial<SvaOptions> = {}) {
    this.iommu.registerDriver(this.driver);
    this.iommu.registerDriver(this.other);
    this.sva = new Sva({ iommu: this.iommu, pasids: this.pasids, ...options });
  }

  /** A device behind the driver that its name begins with. */
  device(name: string, more: Partial<Device> = {}): Device {
    const device: Device = { name, bus: 'platform', streamIds: [1], pasidBits: 10, canStall: true, ...more };
    this.iommu.probeDevice(device);
    return device;
  }

  /** A device that is ready to be bound. */
  ready(name: string, more: Partial<Device> = {}): Device {
    const device = this.device(name, more);
    this.sva.deviceInit(device, { features: 0 });
    return device;
  }

  /** What bindings have left behind. */
  get left(): { pasids: number; bonds: number; domains: number } {
    const domains = this.driver.domains.size + this.other.domains.size;
    return { pasids: this.pasids.liveCount, bonds: this.sva.bondCount, domains };
  }
}

export const NOTHING_LEFT = { pasids: 0, bonds: 0, domains: 0 };

/** A page of zeros, again and again. */
export const zeros: BackingFile = { name: 'zeros', size: 1 << 20, readPage() {}, writePage() {} };

/** Matches an IommuError by its code. */
export const error = (code: string): unknown => ({ asymmetricMatch: (e: { code?: string }) => e.code === code });
