import {
  ADMIN_COMMAND,
  ADMIN_COMPLETION,
  ADMIN_OP,
  ADMIN_STATUS,
  adminCommandLayout,
  adminCompletionLayout,
  LOG2_VECTORS,
  MAX_LOG2_ENTRIES,
  REGISTERS,
} from './layouts.ts';
import { RingWriter } from './ringWriter.ts';
import type { Transfer } from './transfer.ts';
import type { DeviceQueue } from './workQueue.ts';

/** What the admin engine works with. */
export interface AdminEngineOptions {
  readonly registers: Uint32Array;
  readonly queues: readonly DeviceQueue[];
  /** For commands and for completions, both without PASID. */
  readonly fetch: Transfer;
  readonly write: Transfer;
  /** Lets a queue's jobs end early. */
  readonly stop: (queue: DeviceQueue) => void;
  /** A completion is there, or the engine has halted. */
  readonly interrupt: () => void;
}

/**
 * The kernel's way into the device: takes commands from the admin ring one at a time, in order, and writes completions.
 * DISABLE_QUEUE completes when the queue's last transaction has ended; commands behind it do not wait for that.
 */
export class AdminEngine {
  readonly #options: AdminEngineOptions;
  readonly #completions: RingWriter;
  readonly #command: Uint32Array = new Uint32Array(adminCommandLayout.byteLength / 4);
  readonly #bytes: Uint8Array = new Uint8Array(this.#command.buffer);
  readonly #completion: Uint32Array = new Uint32Array(adminCompletionLayout.byteLength / 4);

  #abandoned = false;

  constructor(options: AdminEngineOptions) {
    this.#options = options;
    this.#completions = new RingWriter(options.write, adminCompletionLayout.byteLength, (aborted) => {
      REGISTERS.COMPLETION_PROD.set(options.registers, 0, this.#completions.prod);
      if (aborted) this.#halt();
      else options.interrupt();
    });
  }

  /** Takes the rings that the registers name. */
  start(): void {
    const { registers } = this.#options;
    const { COMPLETION_RING, ADMIN_LOG2 } = REGISTERS;
    const log2 = ADMIN_LOG2.get(registers, 0);
    this.#completions.place(COMPLETION_RING.getLo(registers, 0), COMPLETION_RING.getHi(registers, 0), log2);
    this.look();
  }

  /** Fetches the next command, if there is one and none is being fetched. */
  look(): void {
    const { registers, fetch } = this.#options;
    const cons = REGISTERS.ADMIN_CONS.get(registers, 0);
    if (fetch.busy || REGISTERS.HALTED.get(registers, 0) || cons === REGISTERS.ADMIN_PROD.get(registers, 0)) return;
    const entries = 2 ** REGISTERS.ADMIN_LOG2.get(registers, 0);
    const lo = REGISTERS.ADMIN_RING.getLo(registers, 0) + (cons % entries) * this.#bytes.length;
    const hi = REGISTERS.ADMIN_RING.getHi(registers, 0) + Math.floor(lo / 2 ** 32);
    fetch.start(false, lo >>> 0, hi >>> 0, this.#bytes, this.#bytes.length, () => {
      if (this.#abandoned) return;
      if (fetch.aborted) {
        this.#halt();
        return;
      }
      REGISTERS.ADMIN_CONS.set(registers, 0, (cons + 1) & 0xffff);
      this.#execute();
      this.look();
    });
  }

  /** Does nothing more, after a reset. */
  abandon(): void {
    this.#abandoned = true;
    this.#options.fetch.stop();
    this.#completions.abandon();
  }

  /** A queue that was being disabled has ended its last job. */
  disabled(queue: DeviceQueue): void {
    const id = queue.disabling;
    queue.disabling = -1;
    queue.enabled = false;
    this.#complete(id, ADMIN_STATUS.DONE, queue.number);
  }

  #execute(): void {
    const { queues, stop } = this.#options;
    const c = this.#command;
    const id = ADMIN_COMMAND.ID.get(c, 0);
    const number = ADMIN_COMMAND.QUEUE.get(c, 0);
    const queue = queues[number];
    const op = ADMIN_COMMAND.OP.get(c, 0);
    if (queue === undefined) this.#complete(id, ADMIN_STATUS.BAD_QUEUE, number);
    else if (op === ADMIN_OP.ENABLE_QUEUE) this.#complete(id, enable(queue, c), number);
    else if (op !== ADMIN_OP.DISABLE_QUEUE) this.#complete(id, ADMIN_STATUS.BAD_COMMAND, number);
    else if (!queue.enabled || queue.disabling >= 0) this.#complete(id, ADMIN_STATUS.NOT_ENABLED, number);
    else {
      queue.disabling = id;
      if (queue.running > 0) stop(queue);
      else this.disabled(queue);
    }
  }

  #complete(id: number, status: number, queue: number): void {
    const completion = this.#completion.fill(0);
    ADMIN_COMPLETION.ID.set(completion, 0, id);
    ADMIN_COMPLETION.STATUS.set(completion, 0, status);
    ADMIN_COMPLETION.QUEUE.set(completion, 0, queue);
    this.#completions.push(completion);
  }

  #halt(): void {
    REGISTERS.HALTED.set(this.#options.registers, 0, true);
    this.#options.interrupt();
  }
}

function enable(queue: DeviceQueue, c: Uint32Array): number {
  const ringLo = ADMIN_COMMAND.RING.getLo(c, 0);
  const log2Entries = ADMIN_COMMAND.LOG2_ENTRIES.get(c, 0);
  const vector = ADMIN_COMMAND.VECTOR.get(c, 0);
  if (queue.enabled) return ADMIN_STATUS.BUSY;
  if (
    adminCommandLayout.hasReservedBits(c, 0) ||
    log2Entries > MAX_LOG2_ENTRIES ||
    vector >= 2 ** LOG2_VECTORS ||
    ringLo % 64 !== 0
  )
    return ADMIN_STATUS.BAD_COMMAND;
  queue.enable(ADMIN_COMMAND.PASID.get(c, 0), vector, ringLo, ADMIN_COMMAND.RING.getHi(c, 0), log2Entries);
  return ADMIN_STATUS.DONE;
}
