import { type PciAddress, PciFunction } from '@smmu/pci-ats';
import type { DmaPort, MmioWindow, Scheduler, Trace } from '@smmu/platform';
import { NO_SUBSTREAM } from '@smmu/platform';
import { AdminEngine } from './admin.ts';
import { ErrorLog } from './errorLog.ts';
import { type CompressionEngine, type JobResult, JobSlot } from './job.ts';
import {
  ADMIN_VECTOR,
  BAR_BYTES,
  DESCRIPTOR,
  DOORBELL,
  DOORBELL_BASE,
  DOORBELL_STRIDE,
  JOB_STATUS,
  LOG2_VECTORS,
  MAX_JOB_BYTES,
  MAX_QUEUES,
  REGISTERS,
  registersLayout,
} from './layouts.ts';
import { Transfer } from './transfer.ts';
import { DeviceQueue } from './workQueue.ts';

/** How fast the device is, in virtual nanoseconds. */
export interface AcceleratorTiming {
  /** From a doorbell to the first fetch. */
  readonly doorbellNs: number;
  /** From one DMA request to the next of the same job. */
  readonly requestNs: number;
  /** The engine's time for one byte of source. */
  readonly byteNs: number;
}

/** A device like those of a server of 2020: PCIe 4.0 ×8, 8 GB/s of source over all engines. */
export const DEFAULT_TIMING: AcceleratorTiming = { doorbellNs: 200, requestNs: 256, byteNs: 1 };

export interface AcceleratorOptions extends PciAddress {
  readonly scheduler: Scheduler;
  readonly engine: CompressionEngine;
  /** What the SMMU knows it as. */
  readonly streamId: number;
  /** Where its DMA goes. */
  readonly upstream: DmaPort;
  /** Jobs that it works on at once; 8 if left out. */
  readonly slots?: number;
  /** Width of its PASIDs; 16 bits if left out. */
  readonly pasidBits?: number;
  readonly timing?: Partial<AcceleratorTiming>;
  readonly trace?: Trace | undefined;
}

/** What the device did since it was switched on. */
export interface AcceleratorStats {
  /** Jobs by {@link JOB_STATUS} name. */
  readonly jobs: Record<string, number>;
}

/** ID of the product, chosen among those that nobody ships. */
export const ACCELERATOR_VENDOR_ID = 0x1af4;
export const ACCELERATOR_DEVICE_ID = 0x5a67;
/** Processing accelerator. */
const CLASS_CODE = 0x12_0000;
const STATUS_NAMES: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(JOB_STATUS).map(([name, status]) => [status, name]),
);
/** A job slot, whose job is in it, and which descriptor that came from. */
interface Place {
  readonly job: JobSlot;
  queue: DeviceQueue | null;
  index: number;
}

/** What the error log says of a doorbell that claims more than the ring holds. */
const BAD_DOORBELL: JobResult = {
  status: JOB_STATUS.BAD_DOORBELL,
  tag: 0,
  write: false,
  addressLo: 0,
  addressHi: 0,
  told: false,
  unwritten: JOB_STATUS.PENDING,
  interrupt: false,
};
const REGISTER_BYTES = registersLayout.byteLength;

/**
 * A PCI accelerator that compresses, for processes that hand it plain pointers: an integrated endpoint of the root
 * complex, as HiSilicon's, whose transactions may stall.
 *
 * The kernel talks to it through an admin ring in DMA memory (no PASID). A process talks to its own queue: it writes
 * descriptors into a ring in its own memory and rings the doorbell in a page that only it was given.
 */
export class GzipAccelerator implements MmioWindow {
  readonly name = 'gzip-accelerator';
  readonly size = BAR_BYTES;
  readonly pci: PciFunction;
  readonly stats: AcceleratorStats = { jobs: {} };
  readonly #scheduler: Scheduler;
  readonly #trace: Trace | undefined;
  readonly #timing: AcceleratorTiming;
  readonly #engine: CompressionEngine;
  readonly #slotCount: number;
  readonly #queues: DeviceQueue[] = Array.from({ length: MAX_QUEUES }, (_, number) => new DeviceQueue(number));
  // All of these begin anew with each reset, so that what began before one cannot act after it.
  #registers: Uint32Array = new Uint32Array(REGISTER_BYTES / 4);
  #places: Place[] = [];
  #admin: AdminEngine | undefined;
  #log: ErrorLog | undefined;
  #jobs = 0; // ended since power on
  #turn = 0; // the queue that is asked first for the next job
  #looking = false;

  constructor(options: AcceleratorOptions) {
    this.#scheduler = options.scheduler;
    this.#trace = options.trace;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
    this.#engine = options.engine;
    this.#slotCount = options.slots ?? 8;
    this.pci = new PciFunction({
      segment: options.segment,
      bus: options.bus,
      device: options.device,
      function: options.function,
      vendorId: ACCELERATOR_VENDOR_ID,
      deviceId: ACCELERATOR_DEVICE_ID,
      classCode: CLASS_CODE,
      revision: 1,
      integrated: true,
      regions: [{ window: this, wide: true }],
      msi: { log2Vectors: LOG2_VECTORS },
      pasid: { bits: options.pasidBits ?? 16 },
      streamId: options.streamId,
      upstream: options.upstream,
      onReset: () => this.#reset(),
    });
    this.#reset();
  }

  read32(offset: number): number {
    if (offset < REGISTER_BYTES) return this.#registers[offset >>> 2]!;
    const queue = this.#doorbell(offset);
    if (queue === undefined) return 0;
    if ((offset & (DOORBELL_STRIDE - 1)) === 4 * DOORBELL.PROD.word) return queue.prod;
    if ((offset & (DOORBELL_STRIDE - 1)) === 4 * DOORBELL.CONS.word) return this.#fetched(queue);
    return 0;
  }

  write32(offset: number, value: number): void {
    if (offset < REGISTER_BYTES) this.#writeRegister(offset >>> 2, value);
    else if ((offset & (DOORBELL_STRIDE - 1)) === 4 * DOORBELL.PROD.word) {
      const queue = this.#doorbell(offset);
      if (queue?.enabled && !queue.halted) this.#ring(queue, value & 0xffff);
    }
  }

  #doorbell(offset: number): DeviceQueue | undefined {
    return offset < DOORBELL_BASE ? undefined : this.#queues[((offset - DOORBELL_BASE) / DOORBELL_STRIDE) | 0];
  }

  #writeRegister(word: number, value: number): void {
    const file = this.#registers;
    const enabled = REGISTERS.ENABLE.get(file, 0);
    switch (word) {
      case REGISTERS.ENABLE.word:
        if (enabled && !REGISTERS.ENABLE.of(value)) this.#reset();
        else if (!enabled && REGISTERS.ENABLE.of(value)) this.#start();
        return;
      case REGISTERS.ADMIN_PROD.word:
        REGISTERS.ADMIN_PROD.set(file, 0, REGISTERS.ADMIN_PROD.of(value));
        if (enabled) this.#admin?.look();
        return;
      case REGISTERS.ERROR_CONS.word:
        REGISTERS.ERROR_CONS.set(file, 0, REGISTERS.ERROR_CONS.of(value));
        return;
      default:
        // Where rings are cannot change under a running device.
        if (!enabled && word >= REGISTERS.ADMIN_RING.word && word <= REGISTERS.ADMIN_LOG2.word) file[word] = value;
    }
  }

  /** Forgets everything. Requests under way end in buffers that nobody uses any more. */
  #reset(): void {
    for (const { job } of this.#places) job.abandon();
    this.#admin?.abandon();
    this.#log?.abandon();
    const file = (this.#registers = new Uint32Array(REGISTER_BYTES / 4));
    REGISTERS.VERSION.set(file, 0, 1);
    REGISTERS.QUEUES.set(file, 0, MAX_QUEUES);
    REGISTERS.LOG2_JOB_BYTES.set(file, 0, Math.log2(MAX_JOB_BYTES));
    for (const queue of this.#queues) {
      queue.enabled = false;
      queue.running = 0;
      queue.disabling = -1;
    }
    this.#places = Array.from({ length: this.#slotCount }, () => ({
      job: new JobSlot(this.#transfer(), this.#scheduler, this.#engine, this.#timing.byteNs),
      queue: null,
      index: 0,
    }));
    this.#log = new ErrorLog(file, this.#kernelTransfer(), () => this.pci.msi.raise(ADMIN_VECTOR));
    this.#admin = new AdminEngine({
      registers: file,
      queues: this.#queues,
      fetch: this.#kernelTransfer(),
      write: this.#kernelTransfer(),
      stop: (queue) => this.#stop(queue),
      interrupt: () => this.pci.msi.raise(ADMIN_VECTOR),
    });
  }

  #start(): void {
    const file = this.#registers;
    REGISTERS.ENABLE.set(file, 0, true);
    this.#log?.start();
    this.#admin?.start();
  }

  #transfer(): Transfer {
    return new Transfer(this.pci, this.#scheduler, this.#timing);
  }

  #kernelTransfer(): Transfer {
    const transfer = this.#transfer();
    transfer.substreamId = NO_SUBSTREAM;
    return transfer;
  }

  #ring(queue: DeviceQueue, prod: number): void {
    if (!queue.ring(prod)) {
      queue.halted = true;
      this.#log?.report(queue, BAD_DOORBELL);
      return;
    }
    this.#trace?.instant('device', 'doorbell', { queue: queue.number, prod });
    this.#look(this.#timing.doorbellNs);
  }

  /** Gives waiting descriptors to idle slots, a while later. */
  #look(delay: number): void {
    if (this.#looking) return;
    this.#looking = true;
    this.#scheduler.post(
      'hardware',
      () => {
        this.#looking = false;
        this.#dispatch();
      },
      delay,
    );
  }

  /** One descriptor of each queue in turn, so that none is kept waiting by another. */
  #dispatch(): void {
    for (;;) {
      const place = this.#places.find(({ job }) => job.idle);
      if (place === undefined) return;
      let queue: DeviceQueue | undefined;
      for (let i = 0; i < MAX_QUEUES && queue === undefined; i += 1) {
        const candidate = this.#queues[(this.#turn + i) % MAX_QUEUES]!;
        if (candidate.ready) queue = candidate;
      }
      if (queue === undefined) return;
      this.#turn = (queue.number + 1) % MAX_QUEUES;
      this.#startJob(place, queue);
    }
  }

  #startJob(place: Place, queue: DeviceQueue): void {
    const index = queue.next;
    queue.next = (index + 1) & 0xffff;
    queue.running += 1;
    place.queue = queue;
    place.index = index;
    place.job.start(queue.pasid, queue.descriptorLo(index), queue.descriptorHi(index), (result) => {
      place.queue = null;
      this.#ended(queue, place.job, result);
    });
  }

  /** Descriptors of a queue whose places may be written again: all before the first that is still being read. */
  #fetched(queue: DeviceQueue): number {
    let waiting = 0;
    for (const place of this.#places)
      if (place.queue === queue && !place.job.fetched) waiting = Math.max(waiting, (queue.next - place.index) & 0xffff);
    return (queue.next - waiting) & 0xffff;
  }

  #ended(queue: DeviceQueue, job: JobSlot, result: JobResult): void {
    queue.running -= 1;
    const name = STATUS_NAMES[result.status]!;
    this.stats.jobs[name] = (this.stats.jobs[name] ?? 0) + 1;
    this.#jobs += 1;
    this.#trace?.parallelSpan('device', 'job', this.#jobs, job.startedAt, {
      queue: queue.number,
      tag: result.tag,
      bytes: DESCRIPTOR.SOURCE_BYTES.get(job.descriptor, 0),
    });
    this.#trace?.instant('device', `job ${name}`, { queue: queue.number, tag: result.tag });
    if (!result.told) {
      // A ring that cannot be read has nothing more to say.
      if (result.status === JOB_STATUS.DESCRIPTOR_ABORTED) queue.halted = true;
      this.#log?.report(queue, result);
    } else if (result.interrupt) this.pci.msi.raise(queue.vector);
    if (queue.disabling >= 0 && queue.running === 0) this.#admin?.disabled(queue);
    this.#look(0);
  }

  /** Stops a queue's jobs for the admin engine. */
  #stop(queue: DeviceQueue): void {
    for (const place of this.#places) if (place.queue === queue) place.job.stop();
  }
}
