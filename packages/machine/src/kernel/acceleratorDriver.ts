import type { Device, DmaApi, DmaBuffer } from '@smmu/iommu';
import type { PciDevice } from '@smmu/pci-ats';
import {
  hex,
  InterruptLine,
  IommuError,
  MSI_SETSPI,
  type MsiDoorbell,
  type Pa,
  Registers,
  type Scheduler,
  type SystemMemory,
  type Trace,
  type Va,
} from '@smmu/platform';
import { type Mm, SVA_IOPF, type Sva, type SvaBond } from '@smmu/sva-core';
import {
  ADMIN_OP,
  ADMIN_VECTOR,
  DOORBELL_BASE,
  DOORBELL_STRIDE,
  errorLayout,
  JOB_STATUS,
  LOG2_VECTORS,
  MAX_LOG2_ENTRIES,
  REGISTERS,
} from '../accelerator/layouts.ts';
import { AdminQueue, program64 } from './adminQueue.ts';

const ERROR_LOG2 = 7;
const ERROR_BYTES = errorLayout.byteLength;

/** What a board gives the driver. */
export interface AcceleratorDriverOptions {
  readonly pci: PciDevice;
  /** The same function as the IOMMU knows it; probed there already. */
  readonly device: Device;
  /** Where BAR 0 was placed. */
  readonly bar: Pa;
  readonly memory: SystemMemory;
  readonly scheduler: Scheduler;
  readonly dma: DmaApi;
  readonly sva: Sva;
  readonly msi: MsiSlots;
  readonly trace?: Trace | undefined;
  /** Takes lines such as a kernel prints. */
  readonly log?: ((line: string) => void) | undefined;
}

/** Interrupt numbers that the driver may use. */
export interface MsiSlots {
  readonly doorbell: MsiDoorbell;
  readonly doorbellPa: Pa;
  /** First of 2^{@link LOG2_VECTORS} numbers, a multiple of as many. */
  readonly firstNumber: number;
}

/** An error that the device could not tell a process. */
export interface DeviceError {
  /** Name of the {@link JOB_STATUS}. */
  readonly code: string;
  readonly queue: number;
  readonly pasid: number;
  readonly tag: number;
  readonly write: boolean;
  readonly address: bigint;
  /** How the job had ended, if that could not be written. */
  readonly status: string;
}

/** A queue that a process has open. Linux `struct uacce_queue`. */
export interface UserQueue {
  readonly number: number;
  readonly pasid: number;
  readonly bond: SvaBond;
  /** The one page of registers that the process may touch: its doorbell. */
  readonly doorbell: Registers;
  /** Errors of this queue that the device told the kernel. With one of them some job will never complete. */
  readonly errors: readonly DeviceError[];
}

interface Queue extends UserQueue {
  readonly errors: DeviceError[];
  readonly vector: number;
  readonly wake: () => void;
}

const STATUS_NAMES: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(JOB_STATUS).map(([name, status]) => [status, name]),
);

/**
 * The accelerator's driver: hands its queues to processes, which then work without the kernel.
 * Linux drivers/crypto/hisilicon/qm.c and drivers/misc/uacce/uacce.c.
 *
 * Opening binds the process to the device and enables a queue under its PASID. Closing takes back in the opposite order:
 * the device is made to stop and its last transaction awaited before the PASID goes, because a PASID that is still on
 * the bus must not be given to another process.
 */
export class AcceleratorDriver {
  readonly device: Device;
  /** Errors from the device's log, newest last. */
  readonly errors: DeviceError[] = [];
  readonly #o: AcceleratorDriverOptions;
  readonly #registers: Registers;
  readonly #admin: AdminQueue;
  readonly #errorLog: DmaBuffer;
  readonly #queues: (Queue | undefined)[] = [];
  readonly #entry: Uint32Array = new Uint32Array(ERROR_BYTES / 4);
  #errorCons = 0;

  /**
   * Brings the device up. @throws what the DMA API, the interrupts or SVA throw; everything taken is given back.
   */
  static probe(options: AcceleratorDriverOptions): AcceleratorDriver {
    const undo: (() => void)[] = [];
    try {
      return new AcceleratorDriver(options, undo);
    } catch (error) {
      for (const step of undo.reverse()) step();
      throw error;
    }
  }

  private constructor(options: AcceleratorDriverOptions, undo: (() => void)[]) {
    const { pci, device, bar, memory, scheduler, dma, sva, log } = options;
    this.#o = options;
    this.device = device;
    this.#registers = new Registers(memory, bar);
    pci.setMaster();
    undo.push(() => pci.clearMaster());
    sva.deviceInit(device, { features: SVA_IOPF });
    undo.push(() => sva.deviceShutdown(device));
    this.#admin = new AdminQueue(this.#registers, memory, scheduler, dma, device);
    undo.push(() => this.#admin.free());
    this.#errorLog = dma.allocCoherent(device, 2 ** ERROR_LOG2 * ERROR_BYTES);
    undo.push(() => dma.freeCoherent(device, this.#errorLog));
    this.#connectInterrupts();
    this.#admin.program();
    program64(this.#registers, REGISTERS.ERROR_LOG.word, this.#errorLog.iova);
    this.#registers.write32(4 * REGISTERS.ADMIN_LOG2.word, this.#admin.log2Entries | (ERROR_LOG2 << 4));
    this.#registers.write32(4 * REGISTERS.ENABLE.word, REGISTERS.ENABLE.mask);
    this.#queues.length = REGISTERS.QUEUES.of(this.#registers.read32(4 * REGISTERS.QUEUES.word));
    log?.(`${device.name}: gzip accelerator, ${this.#queues.length} queues, StreamID ${hex(device.streamIds[0] ?? 0)}`);
  }

  /** Queues that are open. */
  get openQueues(): number {
    return this.#queues.reduce((count) => count + 1, 0);
  }

  /**
   * Gives a process a queue.
   * @param ring - Where its descriptors will be: an address of the process, a multiple of 64.
   * @param log2Entries - log2 of how many.
   * @param wake - Called when jobs that asked for it have completed, or the device reports an error of the queue.
   * @throws {@link IommuError} `EINVAL` for a misaligned or too large ring, `EBUSY` if all queues are open, and what
   *   `Sva.bindDevice` and the device say; nothing is kept then.
   */
  openQueue(mm: Mm, ring: Va, log2Entries: number, wake: () => void): UserQueue {
    if (ring % 64 !== 0 || !(log2Entries >= 0 && log2Entries <= MAX_LOG2_ENTRIES))
      throw new IommuError('EINVAL', `descriptor ring at ${hex(ring)} of 2^${log2Entries}: misaligned or too large`);
    const number = this.#freeNumber();
    const start = this.#o.scheduler.now;
    const bond = this.#o.sva.bindDevice(this.device, mm);
    const vector = 1 + (number % (2 ** LOG2_VECTORS - 1));
    const doorbell = new Registers(this.#o.memory, this.#o.bar + DOORBELL_BASE + number * DOORBELL_STRIDE);
    const queue: Queue = { number, pasid: bond.pasid, bond, doorbell, errors: [], vector, wake };
    this.#queues[number] = queue;
    try {
      const { pasid } = bond;
      this.#admin.execute(ADMIN_OP.ENABLE_QUEUE, { queue: number, vector, log2Entries, pasid, ring });
    } catch (error) {
      delete this.#queues[number];
      this.#o.sva.unbindDevice(bond);
      throw error;
    }
    this.#o.trace?.span('driver', 'open queue', start, { queue: number, pasid: bond.pasid, process: mm.name });
    return queue;
  }

  /**
   * Takes a queue back: has the device end its jobs and waits for their last transactions, then unbinds the process.
   * @throws {@link IommuError} `ENOENT` if it is not open; what the device says, and the queue stays open then.
   */
  closeQueue(queue: UserQueue): void {
    if (this.#queues[queue.number] !== queue)
      throw new IommuError('ENOENT', `${this.device.name}: queue ${queue.number} is not open`);
    const start = this.#o.scheduler.now;
    this.#admin.execute(ADMIN_OP.DISABLE_QUEUE, { queue: queue.number });
    delete this.#queues[queue.number];
    this.#o.sva.unbindDevice(queue.bond);
    this.#o.trace?.span('driver', 'close queue', start, { queue: queue.number, pasid: queue.pasid });
  }

  /** Takes the device down. @throws {@link IommuError} `EBUSY` while queues are open. */
  remove(): void {
    const { pci, dma, sva, msi } = this.#o;
    if (this.openQueues > 0)
      throw new IommuError('EBUSY', `${this.device.name}: ${this.openQueues} queues are still open`);
    this.#registers.write32(4 * REGISTERS.ENABLE.word, 0);
    pci.disableMsi();
    pci.clearMaster();
    for (let vector = 0; vector < 2 ** LOG2_VECTORS; vector += 1)
      msi.doorbell.route(msi.firstNumber + vector, new InterruptLine(this.#o.scheduler, 'unused'));
    dma.freeCoherent(this.device, this.#errorLog);
    this.#admin.free();
    sva.deviceShutdown(this.device);
  }

  #freeNumber(): number {
    for (let number = 0; number < this.#queues.length; number += 1)
      if (this.#queues[number] === undefined) return number;
    throw new IommuError('EBUSY', `${this.device.name}: all ${this.#queues.length} queues are open`);
  }

  #connectInterrupts(): void {
    const { pci, device, dma, msi, scheduler } = this.#o;
    const address = dma.mapMsiDoorbell(device, msi.doorbellPa + MSI_SETSPI);
    for (let vector = 0; vector < 2 ** LOG2_VECTORS; vector += 1) {
      const line = new InterruptLine(scheduler, `${device.name}-${vector}`);
      line.connect(() => (vector === ADMIN_VECTOR ? this.#adminInterrupt() : this.#queueInterrupt(vector)));
      msi.doorbell.route(msi.firstNumber + vector, line);
    }
    pci.enableMsi(address, msi.firstNumber, LOG2_VECTORS);
  }

  #adminInterrupt(): void {
    this.#admin.reap();
    this.#readErrors();
  }

  /** A vector is shared by every seventh queue; a process that finds nothing new sleeps again. */
  #queueInterrupt(vector: number): void {
    for (const queue of this.#queues) if (queue?.vector === vector) queue.wake();
  }

  #readErrors(): void {
    const prod = REGISTERS.ERROR_PROD.of(this.#registers.read32(4 * REGISTERS.ERROR_PROD.word));
    for (; this.#errorCons !== prod; this.#errorCons = (this.#errorCons + 1) & 0xffff) {
      const place = this.#errorLog.pa + (this.#errorCons % 2 ** ERROR_LOG2) * ERROR_BYTES;
      this.#o.memory.readBytes(place, new Uint8Array(this.#entry.buffer), 0, ERROR_BYTES);
      this.#take(decodeError(this.#entry));
    }
    this.#registers.write32(4 * REGISTERS.ERROR_CONS.word, this.#errorCons);
  }

  #take(error: DeviceError): void {
    this.errors.push(error);
    const { code, status, pasid, address, tag, write } = error;
    this.#o.trace?.instant('driver', 'device error', { code, queue: error.queue, pasid, address: hex(address), tag });
    this.#o.log?.(
      `${this.device.name}: queue ${error.queue}, PASID ${pasid}, job ${tag}: ${code} ${write ? 'writing' : 'reading'} ${hex(address)}${status === 'PENDING' ? '' : `, after ${status}`}`,
    );
    const queue = this.#queues[error.queue];
    // A queue that was closed and opened again has another PASID.
    if (queue?.pasid !== pasid) return;
    queue.errors.push(error);
    queue.wake();
  }
}

function decodeError(entry: Uint32Array): DeviceError {
  const { CODE, QUEUE, PASID, TAG, WRITE, ADDRESS, STATUS } = errorLayout.decode(entry);
  const name = (status: number): string => STATUS_NAMES[status] ?? String(status);
  return {
    code: name(CODE),
    queue: QUEUE,
    pasid: PASID,
    tag: TAG,
    write: WRITE,
    address: ADDRESS,
    status: name(STATUS),
  };
}
