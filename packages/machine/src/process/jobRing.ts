import type { Mm } from '@smmu/arm64-mm';
import { IommuError, type Registers, type Va } from '@smmu/platform';
import {
  COMPLETION,
  completionLayout,
  DESCRIPTOR,
  DOORBELL,
  descriptorLayout,
  JOB_STATUS,
} from '../accelerator/layouts.ts';

const DESCRIPTOR_BYTES = descriptorLayout.byteLength;
const RECORD_BYTES = completionLayout.byteLength;

/** A job as the process wants it. Addresses are its own pointers; those that no number holds are given as bigints. */
export interface Job {
  readonly op: number;
  readonly source: Va | bigint;
  readonly sourceBytes: number;
  readonly destination: Va | bigint;
  readonly destinationBytes: number;
  /** Where the completion record goes; the ring's own place for it if left out. */
  readonly completion?: Va | bigint;
}

/** How a job ended. */
export interface Completion {
  /** Name of the {@link JOB_STATUS}. */
  readonly status: string;
  /** Bytes of result. */
  readonly bytes: number;
  /** Where it failed, and whether that was a write. */
  readonly address: bigint;
  readonly write: boolean;
}

const STATUS_NAMES: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(JOB_STATUS).map(([name, status]) => [status, name]),
);

/**
 * A process's end of its queue: a ring of descriptors and as many completion records in its own memory, and the doorbell
 * page. No call here enters the kernel; page faults aside.
 */
export class JobRing {
  readonly entries: number;
  /** Where the descriptors are: what the driver is told when the queue is opened. */
  readonly ring: Va;
  readonly records: Va;
  readonly #mm: Mm;
  readonly #bytes: number;
  readonly #descriptor: Uint32Array = new Uint32Array(DESCRIPTOR_BYTES / 4);
  readonly #record: Uint32Array = new Uint32Array(RECORD_BYTES / 4);
  readonly #descriptorBytes: Uint8Array = new Uint8Array(this.#descriptor.buffer);
  readonly #recordBytes: Uint8Array = new Uint8Array(this.#record.buffer);
  readonly #noRecord: Uint8Array = new Uint8Array(RECORD_BYTES);
  #doorbell: Registers | undefined;
  #prod = 0;

  /** @throws {@link IommuError} as `Mm.mmap`. */
  constructor(mm: Mm, log2Entries: number) {
    this.#mm = mm;
    this.entries = 2 ** log2Entries;
    this.#bytes = this.entries * (DESCRIPTOR_BYTES + RECORD_BYTES);
    this.ring = mm.mmap({ bytes: this.#bytes, kind: 'anonymous', read: true, write: true });
    this.records = this.ring + this.entries * DESCRIPTOR_BYTES;
  }

  /** The queue is open. */
  connect(doorbell: Registers): void {
    this.#doorbell = doorbell;
  }

  /**
   * Writes a descriptor. The device sees it when {@link ring} is called next.
   * @returns The job's number, which is its tag: 32 bits that count up.
   */
  push(job: Job): number {
    const number = this.#prod;
    this.#prod = (number + 1) >>> 0;
    this.#mm.writeBytes(this.record(number), this.#noRecord);
    const words = this.#descriptor.fill(0);
    DESCRIPTOR.OP.set(words, 0, job.op);
    DESCRIPTOR.INTERRUPT.set(words, 0, true);
    DESCRIPTOR.TAG.set(words, 0, number);
    setAddress(words, DESCRIPTOR.SOURCE, job.source);
    DESCRIPTOR.SOURCE_BYTES.set(words, 0, job.sourceBytes);
    setAddress(words, DESCRIPTOR.DESTINATION, job.destination);
    DESCRIPTOR.DESTINATION_BYTES.set(words, 0, job.destinationBytes);
    setAddress(words, DESCRIPTOR.COMPLETION, job.completion ?? this.record(number));
    this.#mm.writeBytes(this.ring + (number % this.entries) * DESCRIPTOR_BYTES, this.#descriptorBytes);
    return number;
  }

  /** Tells the device how many descriptors there are. @throws {@link IommuError} `ENXIO` before {@link connect}. */
  ringDoorbell(): void {
    if (this.#doorbell === undefined) throw new IommuError('ENXIO', 'the queue is not open');
    this.#doorbell.write32(4 * DOORBELL.PROD.word, this.#prod & 0xffff);
  }

  /** Where the record of a job is. */
  record(number: number): Va {
    return this.records + (number % this.entries) * RECORD_BYTES;
  }

  /** Looks whether a job has ended. */
  poll(number: number): Completion | undefined {
    this.#mm.readBytes(this.record(number), this.#recordBytes);
    if (COMPLETION.STATUS.get(this.#record, 0) === JOB_STATUS.PENDING) return undefined;
    const { STATUS, BYTES, ADDRESS, WRITE } = completionLayout.decode(this.#record);
    return { status: STATUS_NAMES[STATUS] ?? String(STATUS), bytes: BYTES, address: ADDRESS, write: WRITE };
  }

  /** Unmaps the memory. The queue must be closed. */
  free(): void {
    this.#mm.munmap(this.ring, this.#bytes);
  }
}

function setAddress(words: Uint32Array, field: typeof DESCRIPTOR.SOURCE, address: number | bigint): void {
  if (typeof address === 'number') field.setNumber(words, 0, address);
  else field.set(words, 0, Number(address & 0xffff_ffffn), Number(address >> 32n));
}
