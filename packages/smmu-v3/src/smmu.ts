/**
 * The driver of one SMMUv3: what is probed, what the IOMMU core calls, what is removed.
 * Linux arm-smmu-v3.c, `arm_smmu_device_probe`, `arm_smmu_ops`, `arm_smmu_device_remove`.
 */
import type { IopfQueue } from '@smmu/io-pgfault';
import type { Device, Domain, IopfFault, PageResponse, ReservedRegion } from '@smmu/iommu';
import type { IommuPages } from '@smmu/iommu-pages';
import {
  coherentDma,
  type DmaCoherence,
  IommuError,
  type Registers,
  type Scheduler,
  type SystemMemory,
  type Trace,
} from '@smmu/platform';
import { type Mm, SVA_IOPF, type SvaDriver } from '@smmu/sva-core';
import { AsidTable, VmidTable } from './asid.ts';
import { Attacher } from './attach.ts';
import { CommandQueue } from './cmdq.ts';
import { cfgiSte } from './commands/cfgiSte.ts';
import { stallTerm } from './commands/stallTerm.ts';
import type { SmmuDevice } from './device.ts';
import { PlainDomain } from './domain.ts';
import type { EventQueue } from './evtq.ts';
import { Faults } from './faults.ts';
import { handleGerror } from './gerror.ts';
import type { Log } from './internal/log.ts';
import { Invalidator } from './invalidate.ts';
import { Master, StreamMap } from './master.ts';
import type { SmmuV3Options } from './options.ts';
import { PagingDomain } from './pagingDomain.ts';
import type { PriQueue } from './priq.ts';
import { probeFeatures, type SmmuFeatures } from './probe.ts';
import { disableDevice, resetDevice } from './reset.ts';
import { StreamTable } from './strtab.ts';
import { SvaDomain, whyNoSva } from './sva.ts';

/** Queue sizes that are worth having, as powers of two (Linux uses what the SMMU offers, up to 2^19 and 8 MiB). */
const CMDQ_LOG2 = 8;
const EVTQ_LOG2 = 7;
const PRIQ_LOG2 = 7;
/** Where the doorbells of message-signalled interrupts go in a DMA domain (Linux MSI_IOVA_BASE). */
const MSI_WINDOW: ReservedRegion = { type: 'software-msi', start: 0x800_0000, length: 0x10_0000 };

/** One SMMUv3 under the driver. */
export class SmmuV3 implements SvaDriver, SmmuDevice {
  readonly name: string;
  readonly memory: SystemMemory;
  readonly registers: Registers;
  readonly pages: IommuPages;
  readonly coherence: DmaCoherence;
  readonly scheduler: Scheduler;
  readonly trace: Trace | undefined;
  readonly log: Log;
  readonly features: SmmuFeatures;
  readonly e2h: boolean;
  readonly broadcastTlb: boolean;
  readonly cmdq: CommandQueue;
  readonly strtab: StreamTable;
  readonly asids: AsidTable;
  readonly blockedDomain: Domain;
  readonly identityDomain: Domain;
  readonly #options: SmmuV3Options;
  readonly #faults: Faults;
  readonly #attacher: Attacher;
  readonly #masters: Map<Device, Master> = new Map();
  readonly #streams: StreamMap = new StreamMap();

  /**
   * Finds out what the SMMU at `registers` can do, resets it, turns it on and registers it with the IOMMU core.
   *
   * @throws {@link IommuError} `ENODEV` if no SMMUv3 is there, `ENXIO` if it is one that this driver cannot drive,
   *   `EINVAL` if the options ask for what it cannot do, `ENOMEM` without memory for tables and queues, `ETIMEDOUT` if
   *   it does not answer. Everything has been given back then.
   */
  static probe(options: SmmuV3Options): SmmuV3 {
    return new SmmuV3(options);
  }

  private constructor(options: SmmuV3Options) {
    const { name, log = () => {} } = options;
    this.#options = options;
    this.name = name;
    this.memory = options.memory;
    this.registers = options.registers;
    this.pages = options.pages;
    this.coherence = options.coherence ?? coherentDma;
    this.scheduler = options.scheduler;
    this.trace = options.trace;
    this.log = (line) => log(`arm-smmu-v3 ${name}: ${line}`);
    const features = probeFeatures(options.registers, this.log);
    this.features = features;
    if (features.coherent !== this.coherence.coherent)
      this.log(`IDR0.COHACC overridden by FW configuration (${this.coherence.coherent})`);
    this.e2h = this.#wanted('e2h', features.hyp, 'EL2 contexts (IDR0.Hyp)');
    this.broadcastTlb = this.#wanted('broadcastTlb', features.btm, 'broadcast TLB maintenance (IDR0.BTM)');
    const completeToMemory =
      options.msiCompletion === undefined
        ? features.msi && this.coherence.coherent
        : this.#wanted('msiCompletion', features.msi && this.coherence.coherent, 'coherent MSIs (IDR0.MSI)');

    const undo: (() => void)[] = [];
    try {
      this.cmdq = new CommandQueue({
        ...this.#means,
        log2Entries: Math.min(options.cmdqEntriesLog2 ?? CMDQ_LOG2, features.cmdqLog2Max),
        completeToMemory,
        handleGerror: () => this.#handleGerror(),
      });
      undo.push(() => this.cmdq.free());
      this.strtab = new StreamTable({
        ...this.#means,
        sidBits: features.sidBits,
        twoLevel: features.twoLevelStrtab,
      });
      undo.push(() => this.strtab.free());
      this.#faults = new Faults(this, {
        iommu: options.iommu,
        driver: this,
        streams: this.#streams,
        evtqLog2: Math.min(options.evtqEntriesLog2 ?? EVTQ_LOG2, features.evtqLog2Max),
        priqLog2: Math.min(options.priqEntriesLog2 ?? PRIQ_LOG2, features.priqLog2Max),
      });
      undo.push(() => this.#faults.free());
      undo.push(() => this.#disconnectInterrupts());
      resetDevice(this, {
        strtab: this.strtab,
        evtq: this.evtq.queue,
        priq: this.priq?.queue,
        msis: options.msis,
        connectInterrupts: () => this.#connectInterrupts(),
      });
      undo.push(() => disableDevice(this));
      this.asids = new AsidTable(features.asidBits);
      this.#attacher = new Attacher({
        smmu: this,
        strtab: this.strtab,
        asids: this.asids,
        vmids: new VmidTable(features.vmidBits),
        invalidator: new Invalidator(this),
        masterOf: (device) => this.#masterOf(device),
        drainFaults: (master, ssid) => this.#faults.drain(master, ssid),
        cdtabLeaf: options.cdtabLeaf ?? '4k',
      });
      this.blockedDomain = new PlainDomain(this.#attacher, 'blocked');
      this.identityDomain = new PlainDomain(this.#attacher, 'identity');
      options.iommu.registerDriver(this);
    } catch (error) {
      for (const step of undo.reverse()) step();
      throw error;
    }
    this.log(`${features.architecture}, ias ${features.vaBits}-bit, oas ${features.oasBits}-bit`);
    this.log(`allocated ${this.cmdq.queue.entries} entries for cmdq, ${this.evtq.queue.entries} for evtq`);
  }

  get evtq(): EventQueue {
    return this.#faults.evtq;
  }

  /** Only of an SMMU with PRI. */
  get priq(): PriQueue | undefined {
    return this.#faults.priq;
  }

  /** Where recoverable faults of devices with SVA go. */
  get faultQueue(): IopfQueue {
    return this.#faults.queue;
  }

  /**
   * Releases the devices, turns the SMMU off and gives everything back. Traffic aborts from then on.
   * @throws {@link IommuError} `EBUSY` if a device is still in a domain of its own or bound to a process: nothing has
   *   happened then. `ETIMEDOUT` if the SMMU does not follow: everything was given back all the same.
   */
  remove(): void {
    this.#options.iommu.unregisterDriver(this);
    try {
      disableDevice(this);
    } finally {
      this.#disconnectInterrupts();
      this.#faults.free();
      this.strtab.free();
      this.cmdq.free();
    }
  }

  claims(device: Device): boolean {
    return this.#options.claims?.(device) ?? device.streamIds.every((sid) => this.strtab.reaches(sid));
  }

  /**
   * Makes room for a device's streams. They abort until it is attached.
   * @throws {@link IommuError} `EBUSY` if it is probed already, `EEXIST` if another device has one of its StreamIDs,
   *   `EINVAL` without StreamIDs, `ERANGE` if the stream table does not reach them, `ENOMEM`.
   */
  probeDevice(device: Device): void {
    if (this.#masters.has(device)) throw new IommuError('EBUSY', `${device.name} has been probed already`);
    if (device.streamIds.length === 0) throw new IommuError('EINVAL', `${device.name} has no StreamID`);
    const master = new Master(this, device, this.#options.ats ?? true);
    this.#streams.insert(master);
    let hungIn = false;
    try {
      for (const sid of master.streamIds) {
        if (!this.strtab.prepare(sid)) continue;
        hungIn = true;
        const at = this.cmdq.next();
        cfgiSte(this.cmdq.words, at, sid, false);
      }
      if (master.ssidBits > 0 && device.pci !== undefined) this.#enablePasid(master, device.pci);
    } catch (error) {
      this.#streams.remove(master);
      throw error;
    } finally {
      if (hungIn) this.cmdq.sync();
    }
    this.#masters.set(device, master);
  }

  /** Forgets a device. Whatever it still sends aborts, what is stalled is aborted. */
  releaseDevice(device: Device): void {
    const master = this.#masterOf(device);
    this.#attacher.block(master);
    this.#endStalls(master);
    if (master.sva) this.#faults.disable(master);
    master.freeCdTable();
    if (master.ssidBits > 0) device.pci?.disablePasid();
    this.#streams.remove(master);
    this.#masters.delete(device);
  }

  /** @throws {@link IommuError} `ENOMEM`, `ENOSPC`; `EINVAL` if the SMMU has no such page size or stage as the options want. */
  allocDomain(type: 'dma' | 'unmanaged', device: Device): Domain {
    const { granules } = this.features;
    const { granuleShift, cpu } = this.#options;
    const preferred = cpu !== undefined && granules.includes(cpu.granuleShift) ? cpu.granuleShift : granules[0]!;
    if (granuleShift !== undefined && !granules.includes(granuleShift))
      throw new IommuError('EINVAL', `${this.name} does not walk pages of 2^${granuleShift} bytes`);
    const { stage1, stage2 } = this.features;
    const stage = this.#options.pagingStage ?? (stage1 ? 1 : 2);
    if (!(stage === 1 ? stage1 : stage2)) throw new IommuError('EINVAL', `${this.name} has no stage ${stage}`);
    return new PagingDomain(this.#attacher, {
      type,
      stage,
      granuleShift: granuleShift ?? preferred,
      node: device.node,
    });
  }

  maxPasids(device: Device): number {
    const { ssidBits } = this.#masterOf(device);
    return ssidBits === 0 ? 0 : 2 ** ssidBits;
  }

  reservedRegions(): ReservedRegion[] {
    return [MSI_WINDOW];
  }

  pageResponse(device: Device, fault: IopfFault, response: PageResponse): void {
    this.#faults.answer(this.#masterOf(device), fault, response);
  }

  svaSupport(device: Device): string | undefined {
    const why = whyNoSva(this.features, this.coherence.coherent, this.#options.cpu);
    if (why !== undefined) return why;
    const master = this.#masters.get(device);
    if (master === undefined) return `${device.name} is not behind ${this.name}`;
    if (device.pasidBits === 0) return `${device.name} sends no PASIDs, so its transactions name no process`;
    return master.ssidBits === 0 ? `the PASIDs of ${device.name} could not be enabled` : undefined;
  }

  /**
   * Prepares a device for processes.
   * @throws {@link IommuError} `ENODEV` if it cannot share any, with the reason; `EEXIST` if it is prepared already;
   *   `EOPNOTSUPP` if recoverable faults are wanted and it has none.
   */
  enableSva(device: Device, features: number): void {
    const why = this.svaSupport(device);
    if (why !== undefined) throw new IommuError('ENODEV', why);
    const master = this.#masterOf(device);
    if (master.sva) throw new IommuError('EEXIST', `${device.name} has been prepared for SVA already`);
    if ((features & SVA_IOPF) !== 0) this.#faults.enable(master);
  }

  /** @throws {@link IommuError} `EBUSY` while a process is attached. */
  disableSva(device: Device): void {
    const master = this.#masterOf(device);
    for (const [pasid, domain] of master.pasids)
      if (domain.type === 'sva') throw new IommuError('EBUSY', `${device.name} is bound with PASID ${pasid}`);
    if (!master.sva) return;
    this.#faults.drain(master);
    this.#faults.disable(master);
  }

  /** @throws {@link IommuError} as {@link SvaDomain} does. */
  allocSvaDomain(_device: Device, mm: Mm): SvaDomain {
    return new SvaDomain(this.#attacher, mm);
  }

  get #means(): Pick<SmmuDevice, 'memory' | 'registers' | 'pages' | 'coherence' | 'scheduler' | 'log' | 'trace'> {
    const { memory, registers, pages, coherence, scheduler, log, trace } = this;
    return { memory, registers, pages, coherence, scheduler, log, trace };
  }

  #wanted(option: 'e2h' | 'broadcastTlb' | 'msiCompletion', able: boolean, what: string): boolean {
    const wanted = this.#options[option] ?? false;
    if (wanted && !able) throw new IommuError('EINVAL', `${this.name}: ${option} asks for ${what}, which is not there`);
    return wanted;
  }

  #connectInterrupts(): void {
    const { eventq, priq, gerror } = this.#options.interrupts;
    eventq.connect(() => this.evtq.drain());
    gerror.connect(() => this.#handleGerror());
    if (this.priq !== undefined) priq.connect(() => this.priq!.drain());
  }

  #disconnectInterrupts(): void {
    const { eventq, priq, gerror } = this.#options.interrupts;
    for (const line of [eventq, priq, gerror]) line.connect(undefined);
  }

  #handleGerror(): void {
    handleGerror({
      registers: this.registers,
      log: this.log,
      skipCommand: () => this.cmdq.skipError(),
      eventsLost: () => this.scheduler.post('software', () => this.#endAllStalls()),
      disable: () => this.#giveUp(),
    });
  }

  /** Aborts what a device has stalled, and answers all its faults. Its entries abort already (§4.7.2). */
  #endStalls(master: Master): void {
    if (!master.stall) return;
    for (const sid of master.streamIds) {
      const at = this.cmdq.next();
      stallTerm(this.cmdq.words, at, sid);
    }
    this.cmdq.sync();
    this.#faults.drain(master);
  }

  /** Nobody knows which records were lost: every transaction that waits for an answer is aborted (§7.2.2). */
  #endAllStalls(): void {
    for (const master of [...this.#masters.values()]) {
      if (!master.stall || !this.#masters.has(master.device)) continue; // released while others were seen to
      this.#attacher.suspend(master);
      this.#endStalls(master);
      if (this.#masters.has(master.device)) this.#attacher.resume(master);
    }
  }

  /** Turns a broken SMMU off. That it may not follow is no news, and nobody is there to be told but the log. */
  #giveUp(): void {
    try {
      disableDevice(this);
    } catch (error) {
      if (!(error instanceof IommuError)) throw error;
      this.log(`it does not even turn off: ${error.message}`);
    }
  }

  #masterOf(device: Device): Master {
    const master = this.#masters.get(device);
    if (master === undefined) throw new IommuError('ENODEV', `${device.name} has not been probed by ${this.name}`);
    return master;
  }

  #enablePasid(master: Master, pci: NonNullable<Device['pci']>): void {
    try {
      pci.enablePasid();
    } catch (error) {
      if (!(error instanceof IommuError)) throw error;
      this.log(`failed to enable PASIDs of ${master.device.name}: ${error.message}`); // its other traffic works
      master.ssidBits = 0;
    }
  }
}
