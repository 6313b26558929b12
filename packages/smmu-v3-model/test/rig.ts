/**
 * A small board for the tests: RAM, an SMMU, its queues. Structures are put into memory as dwords that the tests type by
 * hand, from the architecture's text and Linux's headers, not from the tables that the model reads them with.
 */
import {
  DMA_PENDING,
  DmaRequest,
  type DmaStatus,
  InterruptLine,
  NO_SUBSTREAM,
  Registers,
  Scheduler,
  SystemMemory,
  type Trace,
} from '@smmu/platform';
import { type ModelFeatures, SmmuV3Model, type StaleUse } from '../src/index.ts';

export const RAM = 0x4000_0000;
export const SMMU_BASE = 0x905_0000;
export const STRTAB = 0x4010_0000;
export const CMDQ = 0x4020_0000;
export const EVTQ = 0x4030_0000;
export const CDTAB = 0x4040_0000;
/** Where the next table of a hand-made tree goes. */
const TABLES = 0x4100_0000;
export const DATA = 0x4800_0000;

// STE dword 0 and CD dword 0, as Linux arm-smmu-v3.h has them.
export const STE_V = 1n;
export const STE_ABORT = 0n << 1n;
export const STE_BYPASS = 4n << 1n;
export const STE_S1 = 5n << 1n;
export const STE_S2 = 6n << 1n;
export const STE_NESTED = 7n << 1n;
export const CD_EPD1 = 1n << 30n;
export const CD_V = 1n << 31n;
export const CD_AA64 = 1n << 41n;
export const CD_S = 1n << 44n;
export const CD_R = 1n << 45n;
export const CD_A = 1n << 46n;
/** 48 bits of input and output, 4 KiB pages, TTB0 only, faults abort with a record. */
export const CD_PLAIN: bigint = 16n | CD_EPD1 | CD_V | (5n << 32n) | CD_AA64 | CD_R | CD_A;
export const CD_STALL: bigint = CD_PLAIN | CD_S;
/** STE dword 2: 48 bits of IPA from level 0, 4 KiB pages, 48 bits of output, faults recorded. */
export const S2_PLAIN: bigint = (16n << 32n) | (2n << 38n) | (5n << 48n) | (1n << 51n) | (1n << 58n);

// Descriptors.
export const PAGE = 3n;
export const BLOCK = 1n;
export const TABLE = 3n;
export const AF: bigint = 1n << 10n;
export const NG: bigint = 1n << 11n;
export const USER: bigint = 1n << 6n;
export const READ_ONLY: bigint = 1n << 7n;
/** A page of a process: user, read and write, inner shareable, not global. */
export const USER_RW: bigint = PAGE | AF | NG | USER | (3n << 8n);
export const S2_RW: bigint = PAGE | AF | (3n << 6n) | (15n << 2n) | (3n << 8n);

export interface RigOptions {
  readonly features?: Partial<ModelFeatures>;
  readonly seed?: number;
  readonly cmdqLog2?: number;
  readonly evtqLog2?: number;
  readonly strtabLog2?: number;
  readonly trace?: (clock: Scheduler) => Trace;
  /** Leaves SMMUEN clear. */
  readonly off?: boolean;
  readonly cr2?: number;
  /** Switches the checker on. */
  readonly onStale?: (use: StaleUse) => void;
}

export class Rig {
  readonly memory: SystemMemory = new SystemMemory([{ base: RAM, size: 0x2000_0000 }]);
  readonly scheduler: Scheduler;
  readonly lines: { eventq: InterruptLine; priq: InterruptLine; gerror: InterruptLine; cmdSync: InterruptLine };
  readonly model: SmmuV3Model;
  readonly registers: Registers;
  readonly cmdqLog2: number;
  readonly evtqLog2: number;
  wakes = 0;
  #nextTable = TABLES;
  #prod = 0;

  constructor(options: RigOptions = {}) {
    this.scheduler = new Scheduler(options.seed ?? 1);
    const line = (name: string): InterruptLine => new InterruptLine(this.scheduler, name);
    this.lines = { eventq: line('eventq'), priq: line('priq'), gerror: line('gerror'), cmdSync: line('cmdSync') };
    this.model = new SmmuV3Model({
      memory: this.memory,
      scheduler: this.scheduler,
      interrupts: this.lines,
      features: options.features ?? {},
      trace: options.trace?.(this.scheduler),
      ...(options.onStale === undefined ? {} : { onStale: options.onStale }),
      onWake: () => {
        this.wakes++;
      },
    });
    this.memory.addWindow(SMMU_BASE, this.model.window);
    this.registers = new Registers(this.memory, SMMU_BASE);
    this.cmdqLog2 = options.cmdqLog2 ?? 8;
    this.evtqLog2 = options.evtqLog2 ?? 7;
    this.start(options);
  }

  /** What a driver's reset does, with the offsets and bits of Linux's header. */
  start(options: RigOptions): void {
    this.write64(0x80, BigInt(STRTAB));
    this.write(0x88, options.strtabLog2 ?? 6); // linear
    this.write64(0x90, BigInt(CMDQ + this.cmdqLog2));
    this.write64(0xa0, BigInt(EVTQ + this.evtqLog2));
    this.write(0x2c, options.cr2 ?? 2); // RECINVSID
    this.write(0x50, 5); // IRQ_CTRL: EVENTQ and GERROR
    this.write(0x20, options.off ? 0xc : 0xd); // CMDQEN, EVENTQEN, SMMUEN
    this.settle();
  }

  read(offset: number): number {
    return this.registers.read32(offset);
  }
  write(offset: number, value: number): void {
    this.registers.write32(offset, value);
  }
  write64(offset: number, value: bigint): void {
    this.registers.write64(offset, Number(value & 0xffff_ffffn), Number(value >> 32n));
  }
  /** Runs everything that is due. */
  settle(): void {
    this.scheduler.run();
  }

  put(pa: number, ...dwords: bigint[]): void {
    for (const [i, dword] of dwords.entries()) {
      const whole = BigInt.asUintN(64, dword);
      this.memory.write64(pa + i * 8, Number(whole & 0xffff_ffffn), Number(whole >> 32n));
    }
  }
  get(pa: number): bigint {
    if (!this.memory.read64(pa)) throw new Error(`no memory at ${pa.toString(16)}`);
    return (BigInt(this.memory.hi) << 32n) | BigInt(this.memory.lo);
  }

  /** An STE of a linear table. */
  ste(sid: number, ...dwords: bigint[]): void {
    this.put(STRTAB + sid * 64, ...dwords, ...new Array<bigint>(8 - dwords.length).fill(0n));
  }
  cd(index: number, ...dwords: bigint[]): void {
    this.put(CDTAB + index * 64, ...dwords, ...new Array<bigint>(8 - dwords.length).fill(0n));
  }
  /** Gives memory for a table, zeroed. */
  table(bytes = 4096): number {
    this.#nextTable = Math.ceil(this.#nextTable / bytes) * bytes;
    const pa = this.#nextTable;
    this.#nextTable += Math.max(bytes, 4096);
    this.memory.zero(pa, Math.max(bytes, 4096));
    return pa;
  }

  /** A stage 1 stream with one CD: `ste` and `cd` are the dwords 0 without the pointers. Returns the first table. */
  stage1(sid = 1, cd: bigint = CD_PLAIN, asid = 1, index = sid): number {
    const ttb = this.table();
    this.cd(index, cd | (BigInt(asid) << 48n), BigInt(ttb), 0n, 0xffn);
    this.ste(sid, STE_V | STE_S1 | BigInt(CDTAB + index * 64));
    return ttb;
  }

  /** Makes `address` lead to `descriptor`, adding tables of the granule down to `level`. Returns the descriptor's place. */
  map(table: number, address: bigint, descriptor: bigint, level = 3, granuleShift = 12, startLevel = 0): number {
    const stride = granuleShift - 3;
    for (let at = startLevel; ; at++) {
      const shift = BigInt(granuleShift + (3 - at) * stride);
      const place = table + Number((address >> shift) & ((1n << BigInt(stride)) - 1n)) * 8;
      if (at === level) {
        this.put(place, descriptor);
        return place;
      }
      if ((this.get(place) & 1n) === 0n) this.put(place, BigInt(this.table(2 ** granuleShift)) | TABLE);
      table = Number(this.get(place) & 0xffff_ffff_f000n);
    }
  }

  /** Queues commands, given as pairs of dwords, without ringing. */
  queue(...commands: [bigint, bigint][]): void {
    for (const [lo, hi] of commands) {
      this.put(CMDQ + (this.#prod & (2 ** this.cmdqLog2 - 1)) * 16, lo, hi);
      this.#prod = (this.#prod + 1) & (2 ** (this.cmdqLog2 + 1) - 1);
    }
  }
  /** Rings the doorbell. */
  ring(): void {
    this.write(0x98, this.#prod);
  }
  get prod(): number {
    return this.#prod;
  }
  /** Queues commands and a CMD_SYNC and lets them run. */
  run(...commands: [bigint, bigint][]): void {
    this.queue(...commands, [0x46n, 0n]);
    this.ring();
    this.settle();
  }

  /** Unread event records, four dwords each; reading them moves CONS. */
  events(): bigint[][] {
    const mask = 2 ** (this.evtqLog2 + 1) - 1;
    const records: bigint[][] = [];
    const prod = this.read(0x100a8);
    let cons = this.read(0x100ac) & mask;
    while (cons !== (prod & mask)) {
      const pa = EVTQ + (cons & (2 ** this.evtqLog2 - 1)) * 32;
      records.push([0, 1, 2, 3].map((i) => this.get(pa + i * 8)));
      cons = (cons + 1) & mask;
    }
    this.write(0x100ac, (prod & 0x8000_0000) | cons);
    return records;
  }

  /** A request that is not submitted yet. */
  request(sid: number, address: bigint, write = false, ssid: number = NO_SUBSTREAM, length = 8): DmaRequest {
    const request = new DmaRequest(new Uint8Array(4096));
    request.streamId = sid;
    request.substreamId = ssid;
    request.addressLo = Number(address & 0xffff_ffffn);
    request.addressHi = Number((address >> 32n) & 0xffff_ffffn);
    request.length = length;
    request.write = write;
    return request;
  }
  /** A transaction to its end; `pending` if it stays stalled. */
  dma(sid: number, address: bigint, write = false, ssid: number = NO_SUBSTREAM): DmaStatus {
    const request = this.request(sid, address, write, ssid);
    if (this.model.submit(request) === DMA_PENDING) this.settle();
    return request.status;
  }
  /** Where an address leads, or the fault's code as a negative number; -0 is a silent abort. */
  translate(sid: number, address: bigint, write = false, ssid: number = NO_SUBSTREAM): number {
    const { translator } = this.model;
    const lo = Number(address & 0xffff_ffffn);
    const hi = Number((address >> 32n) & 0xffff_ffffn);
    return translator.translate(sid, ssid, lo, hi, write ? 1 : 0) ? translator.pa : -translator.fault.code;
  }
}
