/**
 * The command queue: fetched in order, checked, carried out, stopped by an error until software acknowledges it.
 * IHI 0070 §3.5, §4.1, §4.7.3, §4.8, §7.1; Linux arm_smmu_cmdq_issue_cmdlist, __arm_smmu_cmdq_skip_err.
 *
 * Consumed is not complete: CFGI and TLBI need only take effect when a CMD_SYNC completes, and here they take effect no
 * earlier (unless told so), so that a driver that forgets the CMD_SYNC is caught.
 */
import type { PhysicalMemory, Scheduler, Task, Trace } from '@smmu/platform';
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
import { alignDown, lowBits } from './powers.ts';
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

const ERROR_NAMES: readonly string[] = ['CERROR_NONE', 'CERROR_ILL', 'CERROR_ABT', 'CERROR_ATC_INV_SYNC'];
/** Beside the CERROR codes: the command is not done yet. */
const WAITING = -1;
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
  /** Virtual nanoseconds that a CMD_SYNC waits for endpoints. */
  readonly atcTimeout: number;
  /** A CMD_SYNC completed. */
  readonly onSync: (() => void) | undefined;
  /** A CMD_SYNC with CS=2 completed: a wake-up event for the CPUs. */
  readonly onWake: () => void;
}

export class CommandQueue {
  /** Commands consumed, by opcode. */
  readonly counts: Uint32Array = new Uint32Array(256);
  readonly #parts: CommandQueueParts;
  readonly #words: Uint32Array;
  readonly #memory: PhysicalMemory;
  readonly #target: CommandTarget;
  /** Commands that wait for a CMD_SYNC; the next one is fetched to the place behind them. */
  readonly #commands: Uint32Array = new Uint32Array((DEFERRED_MOST + 1) * COMMAND_WORDS);
  readonly #run = (): void => this.#task();
  #deferred = 0;
  #posted = false;
  /** Runs while a CMD_SYNC waits for endpoints. */
  #timer: Task | null = null;
  #base = 0;
  #log2Size = 0;

  constructor(parts: CommandQueueParts) {
    this.#parts = parts;
    this.#words = parts.words;
    this.#memory = parts.memory;
    this.#target = parts.target;
  }

  /** CMDQEN was set: takes CMDQ_BASE in, which is locked from now on. */
  configure(): void {
    const { features } = this.#target;
    const log2Size = Math.min(CMDQ_BASE.fields.LOG2SIZE.of(this.#words[BASE]!), features.cmdqLog2Max);
    const address = CMDQ_BASE.fields.ADDR.get(this.#words, BASE);
    this.#log2Size = log2Size;
    // Beyond the output size addresses are truncated (§3.4.3).
    this.#base = lowBits(alignDown(address, Math.max(5, log2Size + 4)), features.oasBits);
  }

  /** CMDQEN was cleared: what was consumed takes effect, and nobody waits any more. */
  stop(): void {
    this.flush();
    if (this.#timer !== null) this.#parts.scheduler.cancel(this.#timer);
    this.#timer = null;
  }

  /** Something may have given it work: PROD moved, it was enabled, an error was acknowledged. */
  kick(): void {
    if (this.#posted || this.#timer !== null || !this.#mayRun()) return;
    this.#posted = true;
    this.#parts.scheduler.post('hardware', this.#run, WAKE_NS);
  }

  /** Carries out what was consumed and waits for a CMD_SYNC. */
  flush(): void {
    const commands = this.#commands;
    const target = this.#target;
    const end = this.#deferred * COMMAND_WORDS;
    for (let at = 0; at < end; at += COMMAND_WORDS) HANDLERS[commands[at]! & 0xff]!.run(commands, at, target);
    this.#deferred = 0;
  }

  #mayRun(): boolean {
    const words = this.#words;
    return (
      CR0ACK.fields.CMDQEN.of(words[word(CR0ACK)]!) &&
      !this.#parts.errors.isActive(ERROR) &&
      !isEmpty(words[PROD]!, words[CONS]!, this.#log2Size)
    );
  }

  #task(): void {
    this.#posted = false;
    if (!this.#mayRun()) return;
    const { scheduler, trace } = this.#parts;
    const words = this.#words;
    const batch = LEAST_BATCH + scheduler.random.below(BATCH_SPREAD);
    const start = scheduler.now;
    let done = 0;
    let cons = RD.of(words[CONS]!);
    while (done < batch && !isEmpty(words[PROD]!, cons, this.#log2Size)) {
      const error = this.#consume(cons);
      if (error === WAITING) break;
      if (error !== CERROR.NONE) {
        this.#fail(error);
        break;
      }
      cons = next(cons, this.#log2Size);
      words[CONS] = cons;
      done++;
    }
    scheduler.advance(done * COMMAND_NS);
    if (done > 0) trace?.span('cmdq', 'commands', start, { count: done });
    if (this.#timer === null) this.kick();
  }

  /** Fetches and carries out the command at an index. Returns a CERROR code. */
  #consume(cons: number): number {
    const memory = this.#memory;
    const commands = this.#commands;
    const pa = this.#base + COMMAND_BYTES * slot(cons, this.#log2Size);
    const at = this.#deferred * COMMAND_WORDS;
    if (!memory.read64(pa)) return CERROR.ABT;
    commands[at] = memory.lo;
    commands[at + 1] = memory.hi;
    if (!memory.read64(pa + 8)) return CERROR.ABT;
    commands[at + 2] = memory.lo;
    commands[at + 3] = memory.hi;
    const opcode = commands[at]! & 0xff;
    if (opcode === OPCODE.CMD_SYNC) {
      if (CMD_SYNC.CS.get(commands, at) === SIGNAL_ILLEGAL) return CERROR.ILL;
      if (this.#target.atcInvalidations.outstanding > 0) return this.#await();
      this.counts[opcode]!++;
      this.#sync(at);
      return CERROR.NONE;
    }
    const target = this.#target;
    const handler = HANDLERS[opcode]!;
    if (handler === null || !handler.legal(commands, at, target.features)) return CERROR.ILL;
    this.counts[opcode]!++;
    if (!handler.deferrable || !target.features.lateInvalidation) handler.run(commands, at, target);
    else if (++this.#deferred === DEFERRED_MOST) this.flush();
    return CERROR.NONE;
  }

  /** A CMD_SYNC waits for invalidations that endpoints have not completed, but not for ever (§3.9.1.4). */
  #await(): number {
    const { scheduler, atcTimeout } = this.#parts;
    if (this.#timer === null) {
      const timer = scheduler.post(
        'hardware',
        () => {
          if (this.#timer !== timer) return;
          this.#timer = null;
          this.#target.atcInvalidations.giveUp();
          this.#fail(CERROR.ATC_INV_SYNC);
        },
        atcTimeout,
      );
      this.#timer = timer;
    }
    return WAITING;
  }

  /** The last invalidation that a CMD_SYNC waits for completed. */
  resumeSync(): void {
    if (this.#timer === null) return;
    this.#parts.scheduler.cancel(this.#timer);
    this.#timer = null;
    this.kick();
  }

  /** Completes everything before it, then signals. The effects come before the signal and before the index. */
  #sync(at: number): void {
    const { interrupts, onSync, onWake } = this.#parts;
    this.flush();
    onSync?.();
    const commands = this.#commands;
    const signal = CMD_SYNC.CS.get(commands, at);
    if (signal === SIGNAL_INTERRUPT)
      interrupts.cmdSync(CMD_SYNC.MSIAddress.get(commands, at), CMD_SYNC.MSIData.get(commands, at));
    else if (signal !== 0 && this.#target.features.sev) onWake();
  }

  /** The queue stops at the command; the reason is in place before the error becomes active. */
  #fail(error: number): void {
    const { errors, trace } = this.#parts;
    ERR.set(this.#words, CONS, error);
    const opcode = this.#commands[this.#deferred * COMMAND_WORDS]! & 0xff;
    const name = commandByOpcode(opcode)?.name ?? `opcode ${opcode}`;
    trace?.instant('cmdq', `${ERROR_NAMES[error]} ${name}`);
    errors.activate(ERROR);
  }
}
