import type { JobResult } from './job.ts';
import { ERROR, errorLayout, REGISTERS } from './layouts.ts';
import { RingWriter } from './ringWriter.ts';
import type { Transfer } from './transfer.ts';
import type { DeviceQueue } from './workQueue.ts';

/**
 * Errors of which no process could be told, for the kernel to read. An error that finds the log full is lost, and a
 * register says so.
 */
export class ErrorLog {
  readonly #registers: Uint32Array;
  readonly #writer: RingWriter;
  readonly #entry: Uint32Array = new Uint32Array(errorLayout.byteLength / 4);

  /** @param interrupt - An entry is there, or could not be written. */
  constructor(registers: Uint32Array, transfer: Transfer, interrupt: () => void) {
    this.#registers = registers;
    this.#writer = new RingWriter(transfer, errorLayout.byteLength, (aborted) => {
      REGISTERS.ERROR_PROD.set(registers, 0, this.#writer.prod);
      if (aborted) REGISTERS.HALTED.set(registers, 0, true);
      interrupt();
    });
  }

  /** Takes the ring that the registers name. */
  start(): void {
    const file = this.#registers;
    const { ERROR_LOG, ERROR_LOG2 } = REGISTERS;
    this.#writer.place(ERROR_LOG.getLo(file, 0), ERROR_LOG.getHi(file, 0), ERROR_LOG2.get(file, 0));
  }

  abandon(): void {
    this.#writer.abandon();
  }

  report(queue: DeviceQueue, result: JobResult): void {
    const file = this.#registers;
    const used = (REGISTERS.ERROR_PROD.get(file, 0) - REGISTERS.ERROR_CONS.get(file, 0)) & 0xffff;
    if (used + this.#writer.waiting >= this.#writer.entries) {
      REGISTERS.LOG_OVERFLOW.set(file, 0, true);
      return;
    }
    const entry = this.#entry.fill(0);
    ERROR.CODE.set(entry, 0, result.status);
    ERROR.WRITE.set(entry, 0, result.write);
    ERROR.QUEUE.set(entry, 0, queue.number);
    ERROR.TAG.set(entry, 0, result.tag);
    ERROR.PASID.set(entry, 0, queue.pasid);
    ERROR.STATUS.set(entry, 0, result.unwritten);
    ERROR.ADDRESS.set(entry, 0, result.addressLo, result.addressHi);
    this.#writer.push(entry);
  }
}
