import type { Device, DmaApi, DmaBuffer } from '@smmu/iommu';
import { type ErrorCode, IommuError, type Registers, type Scheduler, type SystemMemory } from '@smmu/platform';
import {
  ADMIN_COMMAND,
  ADMIN_COMPLETION,
  ADMIN_STATUS,
  adminCommandLayout,
  adminCompletionLayout,
  REGISTERS,
} from '../accelerator/layouts.ts';

const LOG2_ENTRIES = 6;
const ENTRIES = 2 ** LOG2_ENTRIES;
/** How long the device may take for a command. Disabling a queue waits for page faults, and those for disks. */
const TIMEOUT_NS = 10e9;

/** What the errors of the device are to a caller. */
const CODES: Readonly<Record<number, ErrorCode>> = {
  [ADMIN_STATUS.BAD_COMMAND]: 'EINVAL',
  [ADMIN_STATUS.BAD_QUEUE]: 'ENODEV',
  [ADMIN_STATUS.BUSY]: 'EBUSY',
  [ADMIN_STATUS.NOT_ENABLED]: 'ENOENT',
};
const NAMES: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(ADMIN_STATUS).map(([name, status]) => [status, name]),
);

/** What a command says beside its kind. */
export interface AdminArguments {
  readonly queue: number;
  readonly vector?: number;
  readonly log2Entries?: number;
  readonly pasid?: number;
  /** Address of the descriptor ring. */
  readonly ring?: number;
}

/**
 * The kernel's end of the accelerator's admin ring, in DMA memory. Linux drivers/crypto/hisilicon/qm.c (mailbox).
 *
 * A command's number is its count. Its place is used again when the device has fetched it, and there are never more
 * commands under way than the completion ring has places.
 */
export class AdminQueue {
  readonly #registers: Registers;
  readonly #memory: SystemMemory;
  readonly #scheduler: Scheduler;
  readonly #dma: DmaApi;
  readonly #device: Device;
  readonly #commands: DmaBuffer;
  readonly #completions: DmaBuffer;
  readonly #command: Uint32Array = new Uint32Array(adminCommandLayout.byteLength / 4);
  readonly #completion: Uint32Array = new Uint32Array(adminCompletionLayout.byteLength / 4);
  /** Status of commands under way, by number: undefined until the device has answered. */
  readonly #answers: Map<number, number | undefined> = new Map();
  #prod = 0;
  #cons = 0;

  /** @throws {@link IommuError} as `DmaApi.allocCoherent`; nothing is kept then. */
  constructor(registers: Registers, memory: SystemMemory, scheduler: Scheduler, dma: DmaApi, device: Device) {
    this.#registers = registers;
    this.#memory = memory;
    this.#scheduler = scheduler;
    this.#dma = dma;
    this.#device = device;
    this.#commands = dma.allocCoherent(device, ENTRIES * adminCommandLayout.byteLength);
    try {
      this.#completions = dma.allocCoherent(device, ENTRIES * adminCompletionLayout.byteLength);
    } catch (error) {
      dma.freeCoherent(device, this.#commands);
      throw error;
    }
  }

  /** Tells the device, which must be off, where the rings are. */
  program(): void {
    program64(this.#registers, REGISTERS.ADMIN_RING.word, this.#commands.iova);
    program64(this.#registers, REGISTERS.COMPLETION_RING.word, this.#completions.iova);
  }

  /** What goes into the ADMIN_LOG2 field. */
  get log2Entries(): number {
    return LOG2_ENTRIES;
  }

  /**
   * Has the device carry out a command and sleeps until it has.
   * @throws {@link IommuError} `EAGAIN` if the ring is full, `EIO` if the device has halted, `ETIMEDOUT` if it does not
   *   answer, or what its answer means: `EINVAL`, `ENODEV`, `EBUSY`, `ENOENT`.
   */
  execute(op: number, { queue, vector = 0, log2Entries = 0, pasid = 0, ring = 0 }: AdminArguments): void {
    const id = this.#prod;
    const cons = REGISTERS.ADMIN_CONS.of(this.#registers.read32(4 * REGISTERS.ADMIN_CONS.word));
    if (this.#answers.size >= ENTRIES || ((id - cons) & 0xffff) >= ENTRIES)
      throw new IommuError('EAGAIN', `${this.#device.name}: all ${ENTRIES} places of the admin ring are taken`);
    const words = this.#command.fill(0);
    ADMIN_COMMAND.OP.set(words, 0, op);
    ADMIN_COMMAND.ID.set(words, 0, id);
    ADMIN_COMMAND.QUEUE.set(words, 0, queue);
    ADMIN_COMMAND.VECTOR.set(words, 0, vector);
    ADMIN_COMMAND.LOG2_ENTRIES.set(words, 0, log2Entries);
    ADMIN_COMMAND.PASID.set(words, 0, pasid);
    ADMIN_COMMAND.RING.setNumber(words, 0, ring);
    const place = this.#commands.pa + (id % ENTRIES) * adminCommandLayout.byteLength;
    this.#memory.writeBytes(place, new Uint8Array(words.buffer), 0, adminCommandLayout.byteLength);
    this.#prod = (id + 1) & 0xffff;
    this.#answers.set(id, undefined);
    this.#registers.write32(4 * REGISTERS.ADMIN_PROD.word, this.#prod);
    this.#scheduler.wait(() => this.#answers.get(id) !== undefined || this.#halted(), TIMEOUT_NS);
    const status = this.#answers.get(id);
    this.#answers.delete(id);
    if (status === ADMIN_STATUS.DONE) return;
    if (status !== undefined)
      throw new IommuError(
        CODES[status] ?? 'EIO',
        `${this.#device.name}: admin command ${op} for queue ${queue}: ${NAMES[status] ?? status}`,
      );
    if (this.#halted())
      throw new IommuError('EIO', `${this.#device.name} has halted: it cannot reach its admin rings; reset it`);
    throw new IommuError('ETIMEDOUT', `${this.#device.name}: no answer to admin command ${op} for queue ${queue}`);
  }

  /** Takes the answers that have come, from the interrupt handler. */
  reap(): void {
    const prod = REGISTERS.COMPLETION_PROD.of(this.#registers.read32(4 * REGISTERS.COMPLETION_PROD.word));
    for (; this.#cons !== prod; this.#cons = (this.#cons + 1) & 0xffff) {
      const bytes = adminCompletionLayout.byteLength;
      const place = this.#completions.pa + (this.#cons % ENTRIES) * bytes;
      this.#memory.readBytes(place, new Uint8Array(this.#completion.buffer), 0, bytes);
      const id = ADMIN_COMPLETION.ID.get(this.#completion, 0);
      if (this.#answers.has(id)) this.#answers.set(id, ADMIN_COMPLETION.STATUS.get(this.#completion, 0));
    }
  }

  /** Gives the rings back. The device must be off. */
  free(): void {
    this.#dma.freeCoherent(this.#device, this.#completions);
    this.#dma.freeCoherent(this.#device, this.#commands);
  }

  #halted(): boolean {
    return REGISTERS.HALTED.of(this.#registers.read32(4 * REGISTERS.HALTED.word));
  }
}

/** Writes a 64-bit register of the accelerator. */
export function program64(registers: Registers, word: number, value: number): void {
  registers.write64(4 * word, value % 2 ** 32, Math.floor(value / 2 ** 32));
}
