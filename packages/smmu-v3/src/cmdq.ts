/**
 * The command queue: commands are built in place, published together and waited for with CMD_SYNC.
 * IHI 0070 §4.1, §4.7.3, §4.8 and §7.1; Linux arm-smmu-v3.c, "High-level queue accessors" and
 * `arm_smmu_cmdq_issue_cmdlist`.
 *
 * A batch is `next` for each command and `sync` (or `publish`) at the end. The software of a board runs one task at a
 * time and nothing here lets another task run, so batches never interleave; waiting lets only hardware run.
 *
 * A command that the SMMU refuses stops the queue and raises a global error. Whoever waits looks for that itself,
 * because the interrupt cannot be taken meanwhile.
 */
import type { IommuPages } from '@smmu/iommu-pages';
import type { DmaCoherence, Pa, Registers, Scheduler, SystemMemory, Trace } from '@smmu/platform';
import { CERROR, CMDQ_CONS, CMDQ_PROD, commandByOpcode } from '@smmu/spec';
import { COMMAND_WORDS } from './commands/begin.ts';
import { sync as buildSync, syncToMemory } from './commands/sync.ts';
import { hex32, hex64 } from './internal/hex.ts';
import type { Log } from './internal/log.ts';
import { Queue, queueAdvance } from './queue.ts';

const COMMAND_BYTES = COMMAND_WORDS * 4;
/** How long a consumer may take for a CMD_SYNC or for making room: 1 s of virtual time, as Linux. */
export const CMDQ_TIMEOUT_NS = 1_000_000_000;
/** Fetch aborts and ATC timeouts at one place in the queue before it is given up. */
const MAX_REPEATED_ERRORS = 16;
const { RD, ERR } = CMDQ_CONS.fields;

/** What each CMDQ_CONS.ERR means, in the words of the kernel's log, which tools read. */
const ERROR_TEXT: Readonly<Record<number, string>> = {
  [CERROR.NONE]: 'No error',
  [CERROR.ILL]: 'Illegal command',
  [CERROR.ABT]: 'Abort on command fetch',
  [CERROR.ATC_INV_SYNC]: 'ATC invalidate timeout',
};

/** What a command queue is made with. */
export interface CommandQueueOptions {
  readonly memory: SystemMemory;
  readonly registers: Registers;
  readonly pages: IommuPages;
  readonly coherence: DmaCoherence;
  readonly scheduler: Scheduler;
  /** Entries that one would like, as a power of two. */
  readonly log2Entries: number;
  /** Let the SMMU write a word to memory when a CMD_SYNC is complete, instead of polling CMDQ_CONS. */
  readonly completeToMemory: boolean;
  readonly log: Log;
  /** Looks at GERROR and acknowledges what is there. Called while waiting, when the queue reports an error. */
  readonly handleGerror: () => void;
  readonly trace?: Trace | undefined;
}

/** The driver's end of the command queue. */
export class CommandQueue {
  readonly queue: Queue;
  /** The array that the index from {@link next} belongs to. */
  words: Uint32Array = new Uint32Array(0);
  /** Whether the SMMU has stopped taking commands. Cleared by the next CMD_SYNC that completes. */
  stuck = false;
  /** Commands that were dropped because the queue was full and stuck. */
  dropped = 0;
  readonly #memory: SystemMemory;
  readonly #registers: Registers;
  readonly #scheduler: Scheduler;
  readonly #completeToMemory: boolean;
  readonly #log: Log;
  readonly #handleGerror: () => void;
  readonly #trace: Trace | undefined;
  #published = 0; // what CMDQ_PROD holds
  #target = 0; // CONS that ends the wait
  #completion: Pa = 0; // word whose becoming zero ends the wait
  #polls = 0;
  #errorCons = -1;
  #errors = 0; // at #errorCons
  readonly #scrap: Uint32Array = new Uint32Array(COMMAND_WORDS);
  readonly #consumed: () => boolean;
  readonly #completed: () => boolean;
  readonly #roomMade: () => boolean;

  /** @throws IommuError `ENOMEM` if there is no memory for the queue. */
  constructor(options: CommandQueueOptions) {
    this.queue = new Queue({ ...options, name: 'cmdq', entryBytes: COMMAND_BYTES });
    this.#memory = options.memory;
    this.#registers = options.registers;
    this.#scheduler = options.scheduler;
    this.#completeToMemory = options.completeToMemory;
    this.#log = options.log;
    this.#handleGerror = options.handleGerror;
    this.#trace = options.trace;
    this.#consumed = () => this.#readCons() === this.#target || this.stuck;
    // The first look comes before the hardware had a chance to run; what the register says matters only later.
    this.#completed = () =>
      this.#memory.words[this.#memory.at(this.#completion)] === 0 || (this.#polls++ > 0 && this.#consumed());
    this.#roomMade = () => {
      this.#readCons();
      return !this.queue.full || this.stuck;
    };
  }

  /** Forgets all pointers: the SMMU's registers were just set to zero (Linux `arm_smmu_device_reset`). */
  reset(): void {
    this.queue.prod = this.queue.cons = this.#published = 0;
    this.stuck = false;
    this.#errorCons = -1;
  }

  /**
   * Makes room for one command. The caller fills four words at the index that this returns, in {@link words}, before
   * anything else is asked of the queue.
   */
  next(): number {
    const { queue } = this;
    if (queue.full && !this.#waitForRoom()) {
      this.dropped += 1;
      this.words = this.#scrap;
      return 0;
    }
    const at = queue.entryAt(queue.prod);
    this.words = this.#memory.words;
    queue.prod = queueAdvance(queue.prod, 1, queue.log2Entries);
    return at;
  }

  /** Hands the commands built so far to the SMMU, without waiting for them. */
  publish(): void {
    const { queue } = this;
    if (queue.prod === this.#published) return;
    const count = (queue.prod - this.#published) & (2 * queue.entries - 1);
    if (this.#memory.observer !== null || this.#trace !== undefined) this.#announce(count);
    queue.flush(this.#published, count);
    this.#published = queue.prod;
    this.#registers.write32(CMDQ_PROD.offset, queue.prod);
  }

  /**
   * Hands the commands to the SMMU and waits until all of them have taken effect (CMD_SYNC).
   * @returns False if the SMMU did not complete in time, or kept failing. That is logged; {@link stuck} is set.
   */
  sync(): boolean {
    const { queue } = this;
    const at = this.next();
    if (this.words === this.#scrap) return false;
    let done: () => boolean;
    if (this.#completeToMemory) {
      // The word that becomes zero is the command's own first one (Linux ARM_SMMU_OPT_MSIPOLL).
      this.#completion = queue.entryAddress(queue.prod - 1);
      syncToMemory(this.words, at, this.#completion);
      done = this.#completed;
    } else {
      buildSync(this.words, at);
      done = this.#consumed;
    }
    this.publish();
    this.#polls = 0;
    this.#target = queue.prod;
    this.#errorCons = -1;
    this.stuck = false;
    if (this.#scheduler.spin(done, CMDQ_TIMEOUT_NS) && !this.stuck) {
      queue.cons = queue.prod;
      return true;
    }
    this.stuck = true;
    this.#log(
      `CMD_SYNC timeout at ${hex32(queueAdvance(queue.prod, -1, queue.log2Entries))} [hwprod ${hex32(
        this.#registers.read32(CMDQ_PROD.offset),
      )}, hwcons ${hex32(this.#registers.read32(CMDQ_CONS.offset))}]`,
    );
    return false;
  }

  /**
   * Deals with a command that the SMMU stopped at: a command that it refuses becomes a CMD_SYNC, one that it could not
   * fetch or complete is tried again (Linux `arm_smmu_cmdq_skip_err`). The caller acknowledges the global error, which
   * starts the queue again.
   * @returns False if the queue is given up: then the error must stay unacknowledged.
   */
  skipError(): boolean {
    const cons = this.#registers.read32(CMDQ_CONS.offset);
    const error = ERR.of(cons);
    const rd = RD.of(cons);
    this.#log(`CMDQ error (cons ${hex32(cons)}): ${ERROR_TEXT[error] ?? 'Unknown'}`);
    if (error === CERROR.ABT || error === CERROR.ATC_INV_SYNC) {
      if (rd !== this.#errorCons) this.#errors = 0;
      this.#errorCons = rd;
      this.#errors += 1;
      if (this.#errors < MAX_REPEATED_ERRORS) return true;
      this.#log(`CMDQ given up after ${this.#errors} errors at cons ${hex32(rd)}`);
      this.stuck = true;
      return false;
    }
    if (error === CERROR.NONE) return true;
    this.#log('skipping command in error state:');
    const command = new Uint32Array(COMMAND_WORDS);
    this.queue.read(rd, command);
    for (let i = 0; i < COMMAND_WORDS; i += 2) this.#log(`\t${hex64(command[i]!, command[i + 1]!)}`);
    buildSync(command, 0);
    this.queue.write(rd, command);
    return true;
  }

  /** Gives the memory back. */
  free(): void {
    this.queue.free();
  }

  /** Reads CMDQ_CONS, and has an error that it reports dealt with. The error code stays there after its time. */
  #readCons(): number {
    const cons = this.#registers.read32(CMDQ_CONS.offset);
    this.queue.cons = RD.of(cons);
    if (this.queue.cons !== this.#target && ERR.of(cons) !== CERROR.NONE) this.#handleGerror();
    return this.queue.cons;
  }

  #waitForRoom(): boolean {
    this.publish();
    this.#target = this.queue.prod;
    this.#errorCons = -1;
    this.stuck = false;
    if (this.#scheduler.spin(this.#roomMade, CMDQ_TIMEOUT_NS) && !this.stuck) return true;
    this.stuck = true;
    this.#log('CMDQ timeout');
    return false;
  }

  /** Tells a test's observer and the trace of the commands that are about to be published. */
  #announce(count: number): void {
    for (let i = 0; i < count; i++) {
      const pa = this.queue.entryAddress(this.#published + i);
      if (this.#trace !== undefined) {
        const opcode = this.#memory.words[this.#memory.at(pa)]! & 0xff;
        this.#trace.instant('cmdq', commandByOpcode(opcode)?.name ?? `opcode ${opcode}`);
      }
      this.#memory.observer?.(pa, COMMAND_BYTES);
    }
  }
}
