/**
 * The command queue: fetched in order, checked, carried out, stopped by an error until software acknowledges it.
 * IHI 0070 §3.5, §4.1, §4.7.3, §4.8, §7.1; Linux arm_smmu_cmdq_issue_cmdlist, __arm_smmu_cmdq_skip_err.
 *
 * Consumed is not complete: CFGI and TLBI need only take effect when a CMD_SYNC completes, and here they take effect no
 * earlier (unless told so), so that a driver that forgets the CMD_SYNC is caught.
 */
import type { PhysicalMemory, Scheduler, Trace } from '@smmu/platform';
import {
  CERROR,
  CMD_SYNC,
  CMDQ_BASE,
  CMDQ_CONS,
  CMDQ_PROD,
  COMMAND_BYTES,
  CR0ACK,
  commandByOpcode,
  GERROR,
  OPCODE,
} from '@smmu/spec';
import type { CommandTarget } from './commands/command.ts';
import { HANDLERS } from './commands/dispatch.ts';
import type { GlobalErrors } from './gerror.ts';
import type { Interrupts } from './interrupts.ts';
import { isEmpty, next, slot } from './queue.ts';
import { word } from './registers.ts';

const PROD = word(CMDQ_PROD);
const CONS = word(CMDQ_CONS);
const BASE = word(CMDQ_BASE);
const { RD, ERR } = CMDQ_CONS.fields;
const ERROR = GERROR.fields.CMDQ_ERR.mask;
const COMMAND_WORDS = COMMAND_BYTES / 4;

/** Virtual nanoseconds from a doorbell to the first command, and for each command. */
const WAKE_NS = 50;
const COMMAND_NS = 10;
/** Most commands that one task takes; the seed draws how many it really takes, as hardware is never equally fast. */
const LEAST_BATCH = 16;
const BATCH_SPREAD = 241;
/** Commands that wait for a CMD_SYNC before they are carried out all the same. */
const DEFERRED_MOST = 1024;

const SIGNAL_INTERRUPT = 1;
const SIGNAL_ILLEGAL = 3;

/** What the queue works with. */
export interface CommandQueueParts {
  readonly memory: PhysicalMemory;
  readonly words: Uint32Array;
  readonly scheduler: Scheduler;
  readonly errors: GlobalErrors;
  readonly interrupts: Interrupts;
  readonly target: CommandTarget;
  readonly trace: Trace | undefined;
  /** A CMD_SYNC with CS=2 completed: a wake-up event for the CPUs. */
  readonly onWake: () => void;
}

export class CommandQueue {
  /** Commands consumed, by opcode. */
  readonly counts: Uint32Array = new Uint32Array(256);
  readonly #parts: CommandQueueParts;
  readonly #command: Uint32Array = new Uint32Array(COMMAND_WORDS);
  readonly #deferred: Uint32Array = new Uint32Array(DEFERRED_MOST * COMMAND_WORDS);
  readonly #replayed: Uint32Array = new Uint32Array(COMMAND_WORDS);
  #deferredCount = 0;
  #posted = false;

  constructor(parts: CommandQueueParts) {
    this.#parts = parts;
  }

  /** Something may have given it work: PROD moved, it was enabled, an error was acknowledged. */
  kick(): void {
    if (this.#posted || !this.#mayRun()) return;
    this.#posted = true;
    this.#parts.scheduler.post('hardware', () => this.#task(), WAKE_NS);
  }

  /** Carries out what was consumed and waits for a CMD_SYNC. */
  flush(): void {
    const { target } = this.#parts;
    const words = this.#replayed;
    for (let i = 0; i < this.#deferredCount; i++) {
      for (let w = 0; w < COMMAND_WORDS; w++) words[w] = this.#deferred[i * COMMAND_WORDS + w]!;
      HANDLERS[words[0]! & 0xff]!.run(words, target);
    }
    this.#deferredCount = 0;
  }

  #mayRun(): boolean {
    const { words, errors } = this.#parts;
    return (
      CR0ACK.fields.CMDQEN.of(words[word(CR0ACK)]!) &&
      !errors.isActive(ERROR) &&
      !isEmpty(words[PROD]!, words[CONS]!, this.#log2Size)
    );
  }

  get #log2Size(): number {
    return Math.min(CMDQ_BASE.fields.LOG2SIZE.of(this.#parts.words[BASE]!), this.#parts.target.features.cmdqLog2Max);
  }

  #task(): void {
    this.#posted = false;
    const { words, scheduler, trace } = this.#parts;
    const batch = LEAST_BATCH + scheduler.random.below(BATCH_SPREAD);
    const start = scheduler.now;
    let done = 0;
    while (done < batch && this.#mayRun()) {
      const cons = RD.of(words[CONS]!);
      const error = this.#consume(cons);
      if (error !== CERROR.NONE) {
        this.#stop(error);
        break;
      }
      words[CONS] = next(cons, this.#log2Size);
      done++;
    }
    scheduler.advance(done * COMMAND_NS);
    if (done > 0) trace?.span('cmdq', 'commands', start, { count: done });
    this.kick();
  }

  /** Fetches and carries out the command at an index. Returns a CERROR code. */
  #consume(cons: number): number {
    const { memory, words, target } = this.#parts;
    const log2Size = this.#log2Size;
    const address = CMDQ_BASE.fields.ADDR.get(words, BASE);
    const base = (address - (address % Math.max(32, COMMAND_BYTES * 2 ** log2Size))) % 2 ** target.features.oasBits;
    const at = base + COMMAND_BYTES * slot(cons, log2Size);
    const command = this.#command;
    if (!memory.read64(at)) return CERROR.ABT;
    command[0] = memory.lo;
    command[1] = memory.hi;
    if (!memory.read64(at + 8)) return CERROR.ABT;
    command[2] = memory.lo;
    command[3] = memory.hi;
    const opcode = command[0] & 0xff;
    if (opcode === OPCODE.CMD_SYNC) {
      if (CMD_SYNC.CS.get(command, 0) === SIGNAL_ILLEGAL) return CERROR.ILL;
      this.counts[opcode]!++;
      this.#sync();
      return CERROR.NONE;
    }
    const handler = HANDLERS[opcode]!;
    if (handler === null || (handler.legal !== undefined && !handler.legal(command, target.features)))
      return CERROR.ILL;
    this.counts[opcode]!++;
    if (handler.deferrable !== undefined && target.features.lateInvalidation) this.#defer();
    else handler.run(command, target);
    return CERROR.NONE;
  }

  #defer(): void {
    if (this.#deferredCount === DEFERRED_MOST) this.flush();
    const at = this.#deferredCount++ * COMMAND_WORDS;
    for (let w = 0; w < COMMAND_WORDS; w++) this.#deferred[at + w] = this.#command[w]!;
  }

  /** Completes everything before it, then signals. The effects come before the signal and before the index. */
  #sync(): void {
    const { interrupts, onWake, target } = this.#parts;
    this.flush();
    const command = this.#command;
    const signal = CMD_SYNC.CS.get(command, 0);
    if (signal === SIGNAL_INTERRUPT)
      interrupts.cmdSync(CMD_SYNC.MSIAddress.get(command, 0), CMD_SYNC.MSIData.get(command, 0));
    else if (signal !== 0 && target.features.sev) onWake();
  }

  /** The queue stops at the command; the reason is in place before the error becomes active. */
  #stop(error: number): void {
    const { words, errors, trace } = this.#parts;
    ERR.set(words, CONS, error);
    const name = commandByOpcode(this.#command[0]! & 0xff)?.name ?? 'reserved opcode';
    trace?.instant('cmdq', error === CERROR.ILL ? `CERROR_ILL ${name}` : `CERROR ${error}`);
    errors.activate(ERROR);
  }
}
