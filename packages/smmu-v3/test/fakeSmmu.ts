/**
 * Just enough hardware for the driver's own tests: registers that answer, and a command queue that is consumed and
 * remembered. It translates nothing. Whole transactions are tested on the model, in the house's test folder.
 */
import { IommuPages } from '@smmu/iommu-pages';
import {
  coherentDma,
  type DmaCoherence,
  FrameAllocator,
  InterruptLine,
  type MmioWindow,
  Registers,
  Scheduler,
  SystemMemory,
} from '@smmu/platform';
import { COMMAND, commandByOpcode } from '@smmu/spec';

export const RAM_BASE = 0x8000_0000;
export const RAM_BYTES = 0x400_0000;
export const SMMU_BASE = 0x905_0000;

// Register offsets and bits, typed in from the manual, not taken from the driver's tables.
export const REG = {
  IDR0: 0x0,
  IDR1: 0x4,
  IDR3: 0xc,
  IDR5: 0x14,
  AIDR: 0x1c,
  CR0: 0x20,
  CR0ACK: 0x24,
  CR1: 0x28,
  CR2: 0x2c,
  GBPA: 0x44,
  IRQ_CTRL: 0x50,
  IRQ_CTRLACK: 0x54,
  GERROR: 0x60,
  GERRORN: 0x64,
  STRTAB_BASE: 0x80,
  STRTAB_BASE_CFG: 0x88,
  CMDQ_BASE: 0x90,
  CMDQ_PROD: 0x98,
  CMDQ_CONS: 0x9c,
  EVENTQ_BASE: 0xa0,
  PRIQ_BASE: 0xc0,
  EVENTQ_PROD: 0x100a8,
  EVENTQ_CONS: 0x100ac,
  PRIQ_PROD: 0x100c8,
  PRIQ_CONS: 0x100cc,
} as const;

/** 2-level both, stalls, 16-bit tags, AArch64, HTTU 2, coherent, both stages; MSI, ATS, PRI, Hyp, BTM off. */
export const IDR0_PLAIN = 0x080c_109b;
const bit = (n: number) => 2 ** n;
export const IDR0 = {
  S2P: bit(0),
  S1P: bit(1),
  TTF64: bit(3),
  COHACC: bit(4),
  BTM: bit(5),
  HTTU2: bit(7),
  HYP: bit(9),
  ATS: bit(10),
  ASID16: bit(12),
  MSI: bit(13),
  PRI: bit(16),
  VMID16: bit(18),
  CD2L: bit(19),
  TTENDIAN_LITTLE: 2 * bit(21),
  STALL_NONE: bit(24),
  STALL_FORCED: 2 * bit(24),
  ST_TWO_LEVEL: bit(27),
} as const;

/** A command that was consumed. */
export interface Consumed {
  readonly name: string;
  readonly words: readonly number[];
}

/** Decides what becomes of a command: an error code that stops the queue, or nothing. */
export type CommandVerdict = (command: Consumed, attempt: number) => number;

export class FakeSmmu implements MmioWindow {
  readonly name = 'fake-smmu';
  readonly size = 0x20000;
  readonly file: Uint32Array = new Uint32Array(0x20000 / 4);
  /** The memory that it sees. */
  readonly memory: SystemMemory;
  readonly scheduler: Scheduler;
  readonly lines: { eventq: InterruptLine; priq: InterruptLine; gerror: InterruptLine };
  /** Commands in the order of consumption. */
  commands: Consumed[] = [];
  /** Registers in the order of writing. */
  writes: { offset: number; value: number }[] = [];
  verdict: CommandVerdict = () => 0;
  /** Registers that do not follow. */
  readonly deaf: Set<number> = new Set();
  /** The command queue is not consumed. */
  hung = false;
  /** Virtual time that one command takes. */
  commandNs = 100;
  /** Called as each command takes effect. */
  onCommand: (command: Consumed) => void = () => {};
  #attempt = 0;
  #busy = false;

  constructor(memory: SystemMemory, scheduler: Scheduler) {
    this.memory = memory;
    this.scheduler = scheduler;
    this.lines = {
      eventq: new InterruptLine(scheduler, 'eventq'),
      priq: new InterruptLine(scheduler, 'priq'),
      gerror: new InterruptLine(scheduler, 'gerror'),
    };
    this.file[REG.IDR0 / 4] = IDR0_PLAIN | IDR0.ASID16 | IDR0.S2P | IDR0.S1P;
    this.file[REG.IDR1 / 4] = (8 << 21) | (7 << 16) | (7 << 11) | (16 << 6) | 16;
    this.file[REG.IDR5 / 4] = (1024 << 16) | (1 << 6) | (1 << 5) | (1 << 4) | 5;
    this.file[REG.AIDR / 4] = 2;
  }

  at(offset: number): number {
    return this.file[offset / 4]!;
  }
  set(offset: number, value: number): void {
    this.file[offset / 4] = value;
  }

  read32(offset: number): number {
    return this.file[offset / 4]!;
  }

  write32(offset: number, value: number): void {
    this.writes.push({ offset, value });
    if (this.deaf.has(offset)) return;
    this.set(offset, value);
    if (offset === REG.CR0) this.#later(() => this.set(REG.CR0ACK, this.at(REG.CR0)));
    if (offset === REG.IRQ_CTRL) this.#later(() => this.set(REG.IRQ_CTRLACK, this.at(REG.IRQ_CTRL)));
    if (offset === REG.GBPA) this.#later(() => this.set(REG.GBPA, this.at(REG.GBPA) & 0x7fff_ffff));
    if (offset === REG.CMDQ_PROD || offset === REG.GERRORN || offset === REG.CR0) this.#kick();
  }

  #later(what: () => void): void {
    this.scheduler.post('hardware', what, 50);
  }

  /** Starts consuming, if there is something to consume. */
  kick(): void {
    this.#kick();
  }

  #kick(): void {
    if (this.#busy) return;
    this.#busy = true;
    this.scheduler.post('hardware', () => this.#consume(), this.commandNs);
  }

  #consume(): void {
    this.#busy = false;
    const enabled = (this.at(REG.CR0) & 8) !== 0;
    const error = ((this.at(REG.GERROR) ^ this.at(REG.GERRORN)) & 1) !== 0;
    const cons = this.at(REG.CMDQ_CONS) & 0xfffff;
    if (!enabled || error || this.hung || cons === this.at(REG.CMDQ_PROD)) return;
    const log2 = this.at(REG.CMDQ_BASE) & 31;
    const base = (this.at(REG.CMDQ_BASE) & ~31) + (this.at(REG.CMDQ_BASE + 4) & 0xffffff) * 2 ** 32;
    const pa = (base >>> 0) + (cons & (2 ** log2 - 1)) * 16;
    const at = this.memory.at(pa);
    const words = [...this.memory.words.subarray(at, at + 4)];
    const opcode = words[0]! & 0xff;
    const command = { name: commandByOpcode(opcode)?.name ?? `0x${opcode.toString(16)}`, words };
    const code = this.verdict(command, this.#attempt);
    this.#attempt += 1;
    if (code !== 0) {
      this.set(REG.CMDQ_CONS, (code << 24) | cons);
      this.set(REG.GERROR, this.at(REG.GERROR) ^ 1);
      this.lines.gerror.raise();
      return;
    }
    this.#attempt = 0;
    this.commands.push(command);
    this.onCommand(command);
    const next = (cons + 1) & (2 ** (log2 + 1) - 1);
    this.set(REG.CMDQ_CONS, (this.at(REG.CMDQ_CONS) & 0x7f00_0000) | next);
    if (opcode === 0x46 && ((words[0]! >>> 12) & 3) === 1) {
      const target = (words[2]! & ~3) + (words[3]! & 0xffffff) * 2 ** 32;
      if (target !== 0) this.memory.write32(target >>> 0, words[1]!);
    }
    this.#kick();
  }

  /** Names of what was consumed since the last call. */
  take(): string[] {
    const names = this.commands.map(({ name }) => name);
    this.commands = [];
    return names;
  }

  /** Where the event queue is, as the driver programmed it. */
  #queueAt(baseOffset: number): { base: number; log2: number } {
    return { base: (this.at(baseOffset) & ~31) >>> 0, log2: this.at(baseOffset) & 31 };
  }

  /** Writes a record to the event or PRI queue, as hardware does. Returns false if it is full: the record is lost. */
  put(queue: 'eventq' | 'priq', words: readonly number[], raise = true): boolean {
    const [baseReg, prodReg, consReg] =
      queue === 'eventq'
        ? [REG.EVENTQ_BASE, REG.EVENTQ_PROD, REG.EVENTQ_CONS]
        : [REG.PRIQ_BASE, REG.PRIQ_PROD, REG.PRIQ_CONS];
    const { base, log2 } = this.#queueAt(baseReg);
    const prod = this.at(prodReg);
    const cons = this.at(consReg);
    const mask = 2 ** (log2 + 1) - 1;
    if (((prod ^ cons) & mask) === 2 ** log2) {
      if (((prod ^ cons) & 0x8000_0000) === 0) this.set(prodReg, (prod ^ 0x8000_0000) >>> 0);
      if (raise) this.lines[queue].raise();
      return false;
    }
    const pa = base + (prod & (2 ** log2 - 1)) * words.length * 4;
    for (const [i, word] of words.entries()) this.memory.write32(pa + i * 4, word);
    this.set(prodReg, (((prod + 1) & mask) | (prod & 0x8000_0000)) >>> 0);
    if (raise) this.lines[queue].raise();
    return true;
  }

  /** The fields of a consumed command that all have in common. */
  static header(command: Consumed): { sid: number; ssid: number } {
    const words = Uint32Array.from(command.words);
    return { sid: COMMAND.StreamID.get(words, 0), ssid: COMMAND.SubstreamID.get(words, 0) };
  }
}

/** A board around it. */
export interface FakeBoard {
  readonly memory: SystemMemory;
  readonly scheduler: Scheduler;
  readonly frames: FrameAllocator;
  readonly pages: IommuPages;
  readonly coherence: DmaCoherence;
  readonly hardware: FakeSmmu;
  readonly registers: Registers;
  readonly lines: string[];
  readonly log: (line: string) => void;
}

export interface FakeBoardOptions {
  readonly seed?: number;
  /** Makes the coherence of a board whose SMMU sees other memory than the CPU. */
  readonly coherence?: (cpu: SystemMemory, device: SystemMemory) => DmaCoherence;
}

export function fakeBoard({ seed = 1, coherence }: FakeBoardOptions = {}): FakeBoard {
  const ram = [{ base: RAM_BASE, size: RAM_BYTES }];
  const memory = new SystemMemory(ram);
  const device = coherence === undefined ? memory : new SystemMemory(ram);
  const scheduler = new Scheduler(seed);
  const frames = new FrameAllocator(RAM_BASE, RAM_BYTES);
  const seen = coherence?.(memory, device) ?? coherentDma;
  const pages = new IommuPages({ memory, frames: [frames], coherence: seen });
  const hardware = new FakeSmmu(device, scheduler);
  memory.addWindow(SMMU_BASE, hardware);
  const lines: string[] = [];
  return {
    memory,
    scheduler,
    frames,
    pages,
    coherence: seen,
    hardware,
    registers: new Registers(memory, SMMU_BASE),
    lines,
    log: (line) => lines.push(line),
  };
}
