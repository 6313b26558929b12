import type { Scheduler } from '@smmu/platform';
import {
  COMPLETION,
  completionLayout,
  DESCRIPTOR,
  descriptorLayout,
  JOB_OP,
  JOB_STATUS,
  MAX_JOB_BYTES,
  MAX_RESULT_BYTES,
} from './layouts.ts';
import type { Transfer } from './transfer.ts';

/**
 * Compresses `input` into `output` as one gzip member. Returns the bytes written, or -1 if `output` is too small.
 * Node's zlib in the command, another in a browser.
 */
export type CompressionEngine = (input: Uint8Array, output: Uint8Array) => number;

/** How a job ended, for whoever gave it a queue. */
export interface JobResult {
  /** One of {@link JOB_STATUS}. */
  readonly status: number;
  readonly tag: number;
  readonly write: boolean;
  readonly addressLo: number;
  readonly addressHi: number;
  /** Whether the process was told, by a completion record. If not, the kernel has to be. */
  readonly told: boolean;
  /** The status that the completion record should have had, if it could not be written. */
  readonly unwritten: number;
  readonly interrupt: boolean;
}

/**
 * One job at a time: fetch the descriptor, read the source, work, write the result, write the completion record. The
 * device has several of these, each with buffers of its own; all memory is reached under the queue's PASID.
 *
 * Whatever goes wrong, the completion record is tried last, and once. If that is aborted too, the result says so and the
 * device writes it to the kernel's error log.
 */
export class JobSlot {
  readonly #transfer: Transfer;
  readonly #scheduler: Scheduler;
  readonly #engine: CompressionEngine;
  readonly #byteNs: number;
  readonly #descriptor: Uint32Array = new Uint32Array(descriptorLayout.byteLength / 4);
  readonly #record: Uint32Array = new Uint32Array(completionLayout.byteLength / 4);
  readonly #descriptorBytes: Uint8Array = new Uint8Array(this.#descriptor.buffer);
  readonly #recordBytes: Uint8Array = new Uint8Array(this.#record.buffer);
  #source: Uint8Array | undefined;
  #result: Uint8Array | undefined;
  #descriptorLo = 0;
  #descriptorHi = 0;
  #ended: ((result: JobResult) => void) | null = null;
  #stopped = false;
  #movesData = false; // rather than the descriptor or the completion record, which are moved whole
  /** Whether it has read its descriptor. */
  fetched = false;
  /** Virtual time at which the present job began. */
  startedAt = 0;

  /** @param byteNs - Time that the engine takes for a byte of source, in nanoseconds. */
  constructor(transfer: Transfer, scheduler: Scheduler, engine: CompressionEngine, byteNs: number) {
    this.#transfer = transfer;
    this.#scheduler = scheduler;
    this.#engine = engine;
    this.#byteNs = byteNs;
  }

  get idle(): boolean {
    return this.#ended === null;
  }

  /** The descriptor's words, for a trace. */
  get descriptor(): Uint32Array {
    return this.#descriptor;
  }

  /** Works on the descriptor at an address under a PASID. `ended` is called once, later. */
  start(pasid: number, descriptorLo: number, descriptorHi: number, ended: (result: JobResult) => void): void {
    this.#descriptorLo = descriptorLo;
    this.#descriptorHi = descriptorHi;
    this.#ended = ended;
    this.#stopped = false;
    this.fetched = false;
    this.startedAt = this.#scheduler.now;
    this.#descriptor.fill(0);
    this.#transfer.substreamId = pasid;
    this.#transfer.start(false, descriptorLo, descriptorHi, this.#descriptorBytes, 64, () => this.#decode());
  }

  /** Ends the job as soon as what is under way is answered, with status QUEUE_DISABLED. */
  stop(): void {
    this.#stopped = true;
    if (this.#movesData) this.#transfer.stop();
  }

  /** Ends the job without a word, after a reset. */
  abandon(): void {
    this.#ended = null;
    this.#transfer.stop();
  }

  #move(write: boolean, lo: number, hi: number, data: Uint8Array, bytes: number, done: () => void): void {
    this.#movesData = true;
    this.#transfer.start(write, lo, hi, data, bytes, () => {
      this.#movesData = false;
      if (this.#ended !== null) done();
    });
  }

  #decode(): void {
    if (this.#ended === null) return;
    this.fetched = true;
    const { aborted, abortedLo, abortedHi } = this.#transfer;
    const d = this.#descriptor;
    const { SOURCE, SOURCE_BYTES } = DESCRIPTOR;
    if (aborted) this.#end(JOB_STATUS.DESCRIPTOR_ABORTED, false, abortedLo, abortedHi, false);
    else if (!valid(d)) this.#refuse();
    else if (DESCRIPTOR.OP.get(d, 0) === JOB_OP.NOP) this.#complete(JOB_STATUS.DONE, 0, false, 0, 0);
    else if (this.#stopped) this.#disabled(false, SOURCE.getLo(d, 0), SOURCE.getHi(d, 0));
    else {
      this.#source ??= new Uint8Array(MAX_JOB_BYTES);
      const bytes = SOURCE_BYTES.get(d, 0);
      this.#move(false, SOURCE.getLo(d, 0), SOURCE.getHi(d, 0), this.#source, bytes, () => this.#read(bytes));
    }
  }

  /** A bad descriptor. A completion address that is itself bad cannot be used, not even to say so. */
  #refuse(): void {
    const lo = this.#descriptorLo;
    const hi = this.#descriptorHi;
    if (completionAligned(this.#descriptor)) this.#complete(JOB_STATUS.BAD_DESCRIPTOR, 0, false, lo, hi);
    else this.#end(JOB_STATUS.BAD_DESCRIPTOR, false, lo, hi, false);
  }

  #read(bytes: number): void {
    const { aborted, abortedLo, abortedHi, nextLo, nextHi } = this.#transfer;
    if (aborted) this.#complete(JOB_STATUS.READ_ABORTED, 0, false, abortedLo, abortedHi);
    else if (this.#stopped) this.#disabled(false, nextLo, nextHi);
    else this.#scheduler.post('hardware', this.#work, bytes * this.#byteNs);
  }

  readonly #work = (): void => {
    if (this.#ended === null) return;
    const d = this.#descriptor;
    const lo = DESCRIPTOR.DESTINATION.getLo(d, 0);
    const hi = DESCRIPTOR.DESTINATION.getHi(d, 0);
    if (this.#stopped) {
      this.#disabled(true, lo, hi);
      return;
    }
    this.#result ??= new Uint8Array(MAX_RESULT_BYTES);
    const input = this.#source!.subarray(0, DESCRIPTOR.SOURCE_BYTES.get(d, 0));
    const room = DESCRIPTOR.DESTINATION_BYTES.get(d, 0);
    const output = room < MAX_RESULT_BYTES ? this.#result.subarray(0, room) : this.#result;
    const produced = DESCRIPTOR.OP.get(d, 0) === JOB_OP.COPY ? copy(input, output) : this.#engine(input, output);
    if (produced >= 0 && produced <= output.length) {
      this.#move(true, lo, hi, output, produced, () => this.#written(produced));
      return;
    }
    const end = lo + room; // the first byte without room
    this.#complete(JOB_STATUS.OUTPUT_TOO_SMALL, 0, true, end >>> 0, (hi + (end >= 2 ** 32 ? 1 : 0)) >>> 0);
  };

  #written(produced: number): void {
    const { aborted, abortedLo, abortedHi, nextLo, nextHi } = this.#transfer;
    if (aborted) this.#complete(JOB_STATUS.WRITE_ABORTED, 0, true, abortedLo, abortedHi);
    else if (this.#stopped) this.#disabled(true, nextLo, nextHi);
    else this.#complete(JOB_STATUS.DONE, produced, false, 0, 0);
  }

  /** The queue was disabled: names the byte that would have been next. */
  #disabled(write: boolean, lo: number, hi: number): void {
    this.#complete(JOB_STATUS.QUEUE_DISABLED, 0, write, lo, hi);
  }

  /** Writes the completion record, the last thing a job does. It is written even when the queue is being disabled. */
  #complete(status: number, bytes: number, write: boolean, lo: number, hi: number): void {
    const record = this.#record;
    record.fill(0);
    COMPLETION.STATUS.set(record, 0, status);
    COMPLETION.WRITE.set(record, 0, write);
    COMPLETION.TAG.set(record, 0, DESCRIPTOR.TAG.get(this.#descriptor, 0));
    COMPLETION.BYTES.set(record, 0, bytes);
    COMPLETION.ADDRESS.set(record, 0, lo, hi);
    const at = DESCRIPTOR.COMPLETION;
    const atLo = at.getLo(this.#descriptor, 0);
    const atHi = at.getHi(this.#descriptor, 0);
    this.#transfer.start(true, atLo, atHi, this.#recordBytes, this.#recordBytes.length, () => {
      if (this.#ended === null) return;
      if (this.#transfer.aborted) this.#end(JOB_STATUS.COMPLETION_ABORTED, true, atLo, atHi, false, status);
      else this.#end(status, write, lo, hi, true);
    });
  }

  #end(status: number, write: boolean, addressLo: number, addressHi: number, told: boolean, unwritten = 0): void {
    const ended = this.#ended!;
    const d = this.#descriptor;
    const result = {
      status,
      tag: DESCRIPTOR.TAG.get(d, 0),
      write,
      addressLo,
      addressHi,
      told,
      unwritten,
      interrupt: DESCRIPTOR.INTERRUPT.get(d, 0),
    };
    this.#ended = null;
    ended(result);
  }
}

/** Whether the device can do what a descriptor says at all. Whether memory answers is found out by trying. */
function valid(d: Uint32Array): boolean {
  const op = DESCRIPTOR.OP.get(d, 0);
  return (
    !descriptorLayout.hasReservedBits(d, 0) &&
    completionAligned(d) &&
    (op === JOB_OP.NOP || op === JOB_OP.COMPRESS || op === JOB_OP.COPY) &&
    DESCRIPTOR.SOURCE_BYTES.get(d, 0) <= MAX_JOB_BYTES &&
    inRange(DESCRIPTOR.SOURCE.getLo(d, 0), DESCRIPTOR.SOURCE.getHi(d, 0), DESCRIPTOR.SOURCE_BYTES.get(d, 0)) &&
    inRange(
      DESCRIPTOR.DESTINATION.getLo(d, 0),
      DESCRIPTOR.DESTINATION.getHi(d, 0),
      DESCRIPTOR.DESTINATION_BYTES.get(d, 0),
    )
  );
}

const completionAligned = (d: Uint32Array): boolean =>
  DESCRIPTOR.COMPLETION.getLo(d, 0) % completionLayout.byteLength === 0;

/** Whether a range ends at 2^64 or before. */
const inRange = (lo: number, hi: number, bytes: number): boolean =>
  lo + bytes <= 2 ** 32 || hi + Math.floor((lo + bytes - 1) / 2 ** 32) < 2 ** 32;

function copy(input: Uint8Array, output: Uint8Array): number {
  if (input.length > output.length) return -1;
  output.set(input);
  return input.length;
}
