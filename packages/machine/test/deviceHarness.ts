/** An accelerator on memory itself, without an SMMU, and just enough of a kernel to drive it. */
import { PciDevice } from '@smmu/pci-ats';
import {
  DMA_ABORT,
  DMA_OK,
  DMA_PENDING,
  type DmaPort,
  type DmaRequest,
  type DmaStatus,
  Scheduler,
  SystemMemory,
} from '@smmu/platform';
import {
  type AcceleratorOptions,
  ADMIN_COMMAND,
  ADMIN_COMPLETION,
  ADMIN_OP,
  COMPLETION,
  completionLayout,
  DESCRIPTOR,
  DOORBELL_BASE,
  DOORBELL_STRIDE,
  descriptorLayout,
  ERROR,
  errorLayout,
  GzipAccelerator,
  REGISTERS,
} from '../src/accelerator/index.ts';

const ADDRESS = { segment: 0, bus: 0, device: 1, function: 0 };
export const MSI_ADDRESS = 0xfee0_0040;
export const RAM = { base: 0x4000_0000, size: 2 ** 24 };
// Where things are in memory.
export const ADMIN = RAM.base;
export const COMPLETIONS = RAM.base + 0x1000;
export const LOG = RAM.base + 0x2000;
export const RING = RAM.base + 0x3000;
export const RECORDS = RAM.base + 0x5000;
export const SOURCE = RAM.base + 0x10_0000;
export const TARGET = RAM.base + 0x80_0000;
export const PASID = 5;

export interface JobFields {
  op?: number;
  tag?: number;
  source?: bigint | number;
  sourceBytes?: number;
  destination?: bigint | number;
  destinationBytes?: number;
  completion?: bigint | number;
  interrupt?: boolean;
}

/** Memory that notes requests, denies pages, and holds requests back until told. */
export class DirectPort implements DmaPort {
  readonly log: { address: number; length: number; write: boolean; pasid: number }[] = [];
  readonly denied: Set<number> = new Set();
  readonly msis: number[] = [];
  /** While set, requests with a PASID wait here. */
  held: DmaRequest[] | null = null;
  readonly #memory: SystemMemory;
  constructor(memory: SystemMemory) {
    this.#memory = memory;
  }
  submit(request: DmaRequest): DmaStatus {
    const address = request.addressHi * 2 ** 32 + request.addressLo;
    this.log.push({ address, length: request.length, write: request.write, pasid: request.substreamId });
    if (this.held !== null && request.substreamId >= 0) {
      this.held.push(request);
      return (request.status = DMA_PENDING);
    }
    return this.#carryOut(request, address);
  }
  /** Answers what is held, from now on and so far. */
  release(): void {
    const held = this.held ?? [];
    this.held = null;
    for (const request of held) {
      this.#carryOut(request, request.addressHi * 2 ** 32 + request.addressLo);
      request.complete?.(request);
    }
  }
  #carryOut(request: DmaRequest, address: number): DmaStatus {
    const { data, dataStart, length, write } = request;
    if (address === MSI_ADDRESS) {
      this.msis.push(data[0]! + data[1]! * 256);
      return (request.status = DMA_OK);
    }
    const allowed = !this.denied.has(Math.floor(address / 4096));
    const done =
      allowed &&
      (write
        ? this.#memory.writeBytes(address, data, dataStart, length)
        : this.#memory.readBytes(address, data, dataStart, length));
    return (request.status = done ? DMA_OK : DMA_ABORT);
  }
}

export class DeviceHarness {
  readonly scheduler: Scheduler;
  readonly memory: SystemMemory = new SystemMemory([RAM]);
  readonly port: DirectPort = new DirectPort(this.memory);
  readonly device: GzipAccelerator;
  readonly pci: PciDevice;
  #commands = 0;
  #jobs: Map<number, number> = new Map();

  constructor(options: Partial<AcceleratorOptions> = {}, seed = 1) {
    this.scheduler = new Scheduler(seed);
    this.device = new GzipAccelerator({
      ...ADDRESS,
      scheduler: this.scheduler,
      // Fake: one byte that counts, then the input.
      engine: (input, output) => {
        if (output.length < input.length + 1) return -1;
        output[0] = input.length & 0xff;
        output.set(input, 1);
        return input.length + 1;
      },
      streamId: 8,
      upstream: this.port,
      ...options,
    });
    this.pci = new PciDevice(this.device.pci, ADDRESS);
    this.pci.setMaster();
    this.pci.enablePasid();
    this.pci.enableMsi(MSI_ADDRESS, 0x20, 3);
  }

  register(field: { readonly word: number; of(word: number): number | boolean }): number {
    return Number(field.of(this.device.read32(4 * field.word)));
  }
  write(field: { readonly word: number }, value: number): void {
    this.device.write32(4 * field.word, value);
  }

  /** Turns the device on with 8 admin entries and 4 of error log. */
  start(log2Log = 2): this {
    this.write(REGISTERS.ADMIN_RING, ADMIN);
    this.write(REGISTERS.COMPLETION_RING, COMPLETIONS);
    this.write(REGISTERS.ERROR_LOG, LOG);
    this.write(REGISTERS.ADMIN_LOG2, 3 | (log2Log << 4));
    this.write(REGISTERS.ENABLE, 1);
    return this;
  }

  /** Puts an admin command into the ring and rings. */
  command(fields: Partial<Record<'op' | 'queue' | 'vector' | 'log2' | 'pasid' | 'ring' | 'reserved', number>>): number {
    const id = this.#commands;
    const words = new Uint32Array(8);
    ADMIN_COMMAND.OP.set(words, 0, fields.op ?? ADMIN_OP.ENABLE_QUEUE);
    ADMIN_COMMAND.ID.set(words, 0, id);
    ADMIN_COMMAND.QUEUE.set(words, 0, fields.queue ?? 0);
    ADMIN_COMMAND.VECTOR.set(words, 0, fields.vector ?? 1);
    ADMIN_COMMAND.LOG2_ENTRIES.set(words, 0, fields.log2 ?? 6);
    ADMIN_COMMAND.PASID.set(words, 0, fields.pasid ?? PASID);
    ADMIN_COMMAND.RING.setNumber(words, 0, fields.ring ?? RING);
    words[7] = fields.reserved ?? 0;
    this.memory.writeBytes(ADMIN + (id % 8) * 32, new Uint8Array(words.buffer), 0, 32);
    this.#commands = (id + 1) & 0xffff;
    this.write(REGISTERS.ADMIN_PROD, this.#commands);
    return id;
  }

  /** The completion at a place of the ring. */
  completion(index: number): { id: number; status: number; queue: number } {
    const words = this.#read(COMPLETIONS + (index % 8) * 16, 16);
    return {
      id: ADMIN_COMPLETION.ID.get(words, 0),
      status: ADMIN_COMPLETION.STATUS.get(words, 0),
      queue: ADMIN_COMPLETION.QUEUE.get(words, 0),
    };
  }

  /** Writes a descriptor and rings the queue's doorbell. Returns the address of its completion record. */
  job(fields: JobFields, queue = 0, ring: number = RING, entries = 64): number {
    const index = this.#jobs.get(queue) ?? 0;
    const record = RECORDS + 0x1000 * queue + (index % 64) * 32;
    const words = new Uint32Array(16);
    descriptorLayout.encode(
      {
        OP: fields.op ?? 1,
        TAG: fields.tag ?? index,
        SOURCE: BigInt(fields.source ?? SOURCE),
        SOURCE_BYTES: fields.sourceBytes ?? 0,
        DESTINATION: BigInt(fields.destination ?? TARGET),
        DESTINATION_BYTES: fields.destinationBytes ?? 0x5_0000,
        COMPLETION: BigInt(fields.completion ?? record),
        INTERRUPT: fields.interrupt ?? true,
      },
      words,
    );
    this.memory.writeBytes(ring + (index % entries) * 64, new Uint8Array(words.buffer), 0, 64);
    this.#jobs.set(queue, (index + 1) & 0xffff);
    this.ring(queue, (index + 1) & 0xffff);
    return record;
  }

  ring(queue: number, prod: number): void {
    this.device.write32(DOORBELL_BASE + queue * DOORBELL_STRIDE, prod);
  }
  fetched(queue: number): number {
    return this.device.read32(DOORBELL_BASE + queue * DOORBELL_STRIDE + 4);
  }

  record(address: number): { status: number; write: boolean; tag: number; bytes: number; address: bigint } {
    const { STATUS, WRITE, TAG, BYTES, ADDRESS: at } = completionLayout.decode(this.#read(address, 32));
    return { status: STATUS, write: WRITE, tag: TAG, bytes: BYTES, address: at };
  }

  error(index: number): {
    code: number;
    write: boolean;
    queue: number;
    tag: number;
    pasid: number;
    status: number;
    address: bigint;
  } {
    const {
      CODE,
      WRITE,
      QUEUE,
      TAG,
      PASID: pasid,
      STATUS,
      ADDRESS: at,
    } = errorLayout.decode(this.#read(LOG + index * 32, 32));
    return { code: CODE, write: WRITE, queue: QUEUE, tag: TAG, pasid, status: STATUS, address: at };
  }

  fill(address: number, bytes: number): Uint8Array {
    const data = Uint8Array.from({ length: bytes }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
    this.memory.writeBytes(address, data, 0, bytes);
    return data;
  }

  bytes(address: number, length: number): Uint8Array {
    const data = new Uint8Array(length);
    this.memory.readBytes(address, data, 0, length);
    return data;
  }

  run(): void {
    this.scheduler.run();
  }

  #read(address: number, bytes: number): Uint32Array {
    return new Uint32Array(this.bytes(address, bytes).buffer);
  }
}

export { COMPLETION, DESCRIPTOR, ERROR };
