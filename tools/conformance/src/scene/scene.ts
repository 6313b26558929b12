/** Builds a scenario by what software would do: make tables, switch on, let devices access memory, invalidate. */
import {
  type DmaOutcome,
  FINAL_REGISTERS,
  type FinalRegister,
  MOST_READS,
  MOST_TOKENS,
  type Need,
  type Patch,
  RAM_BASE,
  RAM_BYTES,
  type Scenario,
  type Step,
  tokenOf,
} from '../scenario.ts';
import {
  AF,
  type CdValues,
  CLASS,
  CMD,
  CODES,
  type Command,
  cdWords,
  type EventName,
  type EventValues,
  eventWords,
  NG,
  PAGE,
  S1_RW,
  S2_RW,
  type SteValues,
  steWords,
  TABLE,
  wordsOf,
} from './bits.ts';

export const STRTAB = 0x4010_0000;
export const CMDQ = 0x4020_0000;
export const EVTQ = 0x4030_0000;
export const CDTAB = 0x4040_0000;
const TABLES = 0x4100_0000;
/** Where transactions lead, unless a scenario says otherwise. */
export const DATA = 0x4800_0000;
const FIRST_DATA = 0x4200_0000;
/** A physical address that nothing answers. */
export const NOWHERE = 0x20_0000_0000;
/** The stream of most scenarios, and another. */
export const SID = 0x10;
export const SID2 = 0x20;

export type GranuleShift = 12 | 14 | 16;
const GRANULE_NEED: Record<GranuleShift, Need> = { 12: '4k', 14: '16k', 16: '64k' };
/** CD.TG0 and STE.S2TG; CD.TG1; CMD_TLBI.TG. */
export const TG0: Record<GranuleShift, number> = { 12: 0, 14: 2, 16: 1 };
export const TG1: Record<GranuleShift, number> = { 12: 2, 14: 1, 16: 3 };
export const TG: Record<GranuleShift, number> = { 12: 1, 14: 2, 16: 3 };

/** A translation table under construction. */
export interface Tree {
  readonly root: number;
  readonly granule: GranuleShift;
  readonly startLevel: number;
  readonly inputBits: number;
  /** Of TTB1: addresses have all upper bits set. */
  readonly upper: boolean;
}

export interface Stage1Options {
  readonly granule?: GranuleShift;
  readonly inputBits?: number;
  readonly asid?: number;
  readonly cd?: CdValues;
  readonly ste?: SteValues;
  /** Table of the upper half instead of the lower. */
  readonly upper?: boolean;
  /** Place of the first table, if it matters. */
  readonly root?: number;
}
export interface Stage2Options {
  readonly granule?: GranuleShift;
  readonly inputBits?: number;
  readonly startLevel?: number;
  readonly vmid?: number;
  readonly ste?: SteValues;
  readonly root?: number;
}
export interface OnOptions {
  readonly strtab?: number;
  readonly strtabCfg?: number;
  readonly cmdqLog2?: number;
  readonly evtqLog2?: number;
  readonly cmdqBase?: number;
  readonly evtqBase?: number;
  readonly cr2?: number;
  readonly cr0?: number;
}
/** STRTAB_BASE_CFG of the linear table that scenarios use by default: 512 streams. */
const LINEAR = 9;

/** The word that lies at a physical address before a scenario. */
export const patternOf = (pa: number): number => ((pa ^ 0x5a5a_5a5a) | 1) >>> 0;

/** First level of a stage 1 walk. */
export const startLevelOf = (granule: GranuleShift, inputBits: number): number =>
  4 - Math.ceil((inputBits - granule) / (granule - 3));

export class Scene {
  readonly name: string;
  readonly title: string;
  readonly section: string;
  readonly needs: Set<Need> = new Set();
  readonly tags: string[] = [];
  readonly #memory: Map<number, number> = new Map();
  readonly #steps: Step[] = [];
  readonly #dma: DmaOutcome[] = [];
  readonly #reads: number[] = [];
  readonly #stores: Map<number, number> = new Map();
  readonly #registers: Record<FinalRegister, number> = {
    CR0ACK: 0,
    GERROR: 0,
    GERRORN: 0,
    CMDQ_PROD: 0,
    CMDQ_CONS: 0,
    EVENTQ_PROD: 0,
    EVENTQ_CONS: 0,
  };
  #nextTable = TABLES;
  #nextCd = 0;
  #started = false;
  #tokens = 0;
  #readCount = 0;
  #prod = 0;
  cmdqLog2 = 6;
  evtqLog2 = 5;
  cmdqBase: number = CMDQ;
  evtqBase: number = EVTQ;

  constructor(name: string, title: string, section: string) {
    this.name = name;
    this.title = title;
    this.section = section;
  }

  need(...needs: Need[]): this {
    for (const need of needs) this.needs.add(need);
    return this;
  }
  tag(...tags: string[]): this {
    this.tags.push(...tags);
    return this;
  }

  /** Puts words into memory: into the image before {@link on}, as a store of software after it. */
  store(at: number, words: readonly number[]): this {
    for (const [i, word] of words.entries()) this.#memory.set(at + i * 4, word);
    if (this.#started) this.#steps.push({ do: 'store', at, words: [...words] });
    else for (const [i, word] of words.entries()) this.#image.set(at + i * 4, word);
    return this;
  }
  readonly #image: Map<number, number> = new Map();

  dword(at: number, value: bigint): this {
    return this.store(at, wordsOf(value));
  }
  #dwordAt(at: number): bigint {
    return (BigInt(this.#memory.get(at + 4) ?? 0) << 32n) | BigInt(this.#memory.get(at) ?? 0);
  }

  /** Room for a table, aligned to its size. */
  table(bytes = 4096): number {
    const size = Math.max(bytes, 4096);
    const at = Math.ceil(this.#nextTable / size) * size;
    this.#nextTable = at + size;
    return at;
  }

  steAt(at: number, values: SteValues): this {
    return this.store(at, steWords(values));
  }
  /** An STE of the linear table. */
  ste(sid: number, values: SteValues): this {
    return this.steAt(STRTAB + sid * 64, values);
  }
  cdAt(at: number, values: CdValues): this {
    return this.store(at, cdWords(values));
  }
  /** Room for a CD. */
  placeCd(): number {
    return CDTAB + this.#nextCd++ * 64;
  }

  /** Values of a CD that translates: 48 bits in, 44 out, faults abort with a record. */
  plainCd(tree: Tree, options: Stage1Options = {}): CdValues {
    const { granule, inputBits, upper } = tree;
    const half = upper
      ? { EPD0: 1, T1SZ: 64 - inputBits, TG1: TG1[granule], TTB1: tree.root }
      : { EPD1: 1, T0SZ: 64 - inputBits, TG0: TG0[granule], TTB0: tree.root };
    return { V: 1, AA64: 1, A: 1, R: 1, IPS: 4, ASID: options.asid ?? 1, MAIR: 0xffn, ...half, ...options.cd };
  }
  tree1(options: Stage1Options = {}): Tree {
    const granule = options.granule ?? 12;
    const inputBits = options.inputBits ?? 48;
    this.need(GRANULE_NEED[granule]);
    const root = options.root ?? this.table(2 ** granule);
    return { root, granule, inputBits, startLevel: startLevelOf(granule, inputBits), upper: options.upper ?? false };
  }
  /** A stream with stage 1: STE, one CD, an empty table. */
  stage1(sid: number = SID, options: Stage1Options = {}): Tree & { readonly cd: number } {
    this.need('stage1');
    const tree = this.tree1(options);
    const cd = this.placeCd();
    this.cdAt(cd, this.plainCd(tree, options));
    this.ste(sid, { V: 1, Config: 5, S1ContextPtr: cd, ...options.ste });
    return { ...tree, cd };
  }

  tree2(options: Stage2Options = {}): Tree {
    const granule = options.granule ?? 12;
    const inputBits = options.inputBits ?? 40;
    this.need(GRANULE_NEED[granule]);
    const stride = granule - 3;
    const startLevel =
      options.startLevel ?? Math.max(granule === 12 ? 0 : 1, 4 - Math.ceil((inputBits - granule) / stride));
    const indexBits = inputBits - (granule + (3 - startLevel) * stride);
    const root = options.root ?? this.table(Math.max(2 ** granule, 2 ** (indexBits + 3)));
    return { root, granule, inputBits, startLevel, upper: false };
  }
  /** STE values of stage 2 over a tree. */
  plainS2(tree: Tree, options: Stage2Options = {}): SteValues {
    const sl0 = tree.granule === 12 ? 2 - tree.startLevel : 3 - tree.startLevel;
    return {
      S2VMID: options.vmid ?? 0,
      S2T0SZ: 64 - tree.inputBits,
      S2SL0: sl0,
      S2TG: TG0[tree.granule],
      S2PS: 4,
      S2AA64: 1,
      S2R: 1,
      S2TTB: tree.root,
    };
  }
  /** A stream with stage 2 alone. */
  stage2(sid: number = SID, options: Stage2Options = {}): Tree {
    this.need('stage2');
    const tree = this.tree2(options);
    this.ste(sid, { V: 1, Config: 6, ...this.plainS2(tree, options), ...options.ste });
    return tree;
  }
  /** A stream with both stages. Tables of stage 1 and the CD are mapped one to one by stage 2 (2 MiB blocks). */
  nested(
    sid: number = SID,
    options: { s1?: Stage1Options; s2?: Stage2Options; identity?: boolean } = {},
  ): { s1: Tree & { cd: number }; s2: Tree } {
    this.need('nested');
    const s2 = this.tree2(options.s2);
    const s1 = this.tree1(options.s1);
    const cd = this.placeCd();
    this.cdAt(cd, this.plainCd(s1, options.s1));
    this.ste(sid, {
      V: 1,
      Config: 7,
      S1ContextPtr: cd,
      ...this.plainS2(s2, options.s2),
      ...options.s1?.ste,
      ...options.s2?.ste,
    });
    if (options.identity ?? true) for (const at of [CDTAB, TABLES, TABLES + 0x20_0000]) this.identity(s2, at);

    return { s1: { ...s1, cd }, s2 };
  }
  /** Maps the 2 MiB (4 KiB granule) or the pages around an address one to one at stage 2. */
  identity(s2: Tree, at: number): void {
    if (s2.granule === 12) {
      const block = at - (at % 0x20_0000);
      this.map(s2, BigInt(block), BigInt(block) | 1n | S2_RW, 2);
    } else {
      const page = 2 ** s2.granule;
      for (let pa = at; pa < at + 0x20_0000; pa += page) this.map(s2, BigInt(pa), BigInt(pa) | PAGE | S2_RW);
    }
  }

  /** Makes `address` lead to `descriptor`, adding tables down to `level`. Returns where the descriptor lies, 0 if there is no way. */
  map(tree: Tree, address: bigint, descriptor: bigint, level = 3, tableBits = 0n): number {
    const { granule } = tree;
    const stride = granule - 3;
    let table = tree.root;
    for (let current = tree.startLevel; ; current++) {
      const shift = granule + (3 - current) * stride;
      const bits = current === tree.startLevel ? tree.inputBits - shift : stride;
      const place = table + Number((address >> BigInt(shift)) & ((1n << BigInt(bits)) - 1n)) * 8;
      if (current === level) {
        this.#seed(descriptor, address & ((1n << BigInt(shift)) - 1n));
        this.dword(place, descriptor);
        return place;
      }
      if ((this.#dwordAt(place) & 1n) === 0n) this.dword(place, BigInt(this.table(2 ** granule)) | TABLE | tableBits);
      if ((this.#dwordAt(place) & 2n) === 0n) return 0; // a block is in the way
      table = Number(this.#dwordAt(place) & 0xffff_ffff_f000n);
      if (table < RAM_BASE || table >= RAM_BASE + RAM_BYTES) return 0; // leads away: nothing can be put there
    }
  }
  /** A known word where a leaf leads, even if nobody should get there: a wrong translation is then seen. */
  #seed(descriptor: bigint, offset: bigint): void {
    const pa = Number((descriptor & 0xffff_ffff_f000n) + offset);
    if ((descriptor & 1n) === 1n && pa >= FIRST_DATA && pa < RAM_BASE + RAM_BYTES - 65536) this.pattern(pa - (pa % 4));
  }

  /** A user page, readable and writable, that leads to `pa`. */
  page(tree: Tree, address: bigint, pa: number = DATA, bits: bigint = S1_RW): number {
    return this.map(tree, address, BigInt(pa) | PAGE | bits);
  }
  /** A stage 2 page. */
  page2(tree: Tree, ipa: bigint, pa: number = DATA, bits: bigint = S2_RW): number {
    return this.map(tree, ipa, BigInt(pa) | PAGE | bits);
  }
  /** A page without a CPU's ASID. */
  globalPage(tree: Tree, address: bigint, pa: number = DATA): number {
    return this.page(tree, address, pa, (S1_RW & ~NG) | AF);
  }

  write(offset: number, value: number): this {
    this.#steps.push({ do: 'write', offset, value: value >>> 0 });
    if (offset === 0x20) this.#registers.CR0ACK = value >>> 0;
    return this;
  }
  write64(offset: number, value: number | bigint): this {
    const [lo, hi] = wordsOf(BigInt(value));
    this.#steps.push({ do: 'write64', offset, lo, hi });
    return this;
  }
  /** A register read and the value that is due. */
  read(offset: number, expected: number): this {
    this.#steps.push({ do: 'read', offset });
    this.#reads.push(expected >>> 0);
    return this;
  }
  /** What a register holds at the end, where it is not what the builder works out. */
  ends(register: FinalRegister, value: number): this {
    this.#registers[register] = value >>> 0;
    return this;
  }

  /** What a driver's reset does. From here on memory is changed by stores. */
  on(options: OnOptions = {}): this {
    this.cmdqLog2 = options.cmdqLog2 ?? this.cmdqLog2;
    this.evtqLog2 = options.evtqLog2 ?? this.evtqLog2;
    this.cmdqBase = options.cmdqBase ?? this.cmdqBase;
    this.evtqBase = options.evtqBase ?? this.evtqBase;
    this.write64(0x80, options.strtab ?? STRTAB);
    this.write(0x88, options.strtabCfg ?? LINEAR);
    this.write64(0x90, this.cmdqBase + this.cmdqLog2);
    this.write64(0xa0, this.evtqBase + this.evtqLog2);
    this.write(0x2c, options.cr2 ?? 2); // RECINVSID
    this.write(0x20, options.cr0 ?? 0xd); // CMDQEN, EVENTQEN, SMMUEN
    this.#started = true;
    return this;
  }

  get prod(): number {
    return this.#prod;
  }
  /** Queues commands without ringing. */
  queue(...commands: Command[]): this {
    const entries = 2 ** this.cmdqLog2;
    for (const command of commands) {
      const at = this.cmdqBase + (this.#prod & (entries - 1)) * 16;
      for (const [i, word] of command.entries()) this.#memory.set(at + i * 4, word);
      this.#steps.push({ do: 'store', at, words: [...command] });
      this.#prod = (this.#prod + 1) & (entries * 2 - 1);
    }
    return this;
  }
  /** Rings the doorbell; all queued commands are consumed. */
  ring(): this {
    this.write(0x98, this.#prod);
    this.#registers.CMDQ_PROD = this.#prod;
    this.#registers.CMDQ_CONS = this.#prod;
    return this;
  }
  /** Queues commands and a CMD_SYNC and rings. */
  commands(...commands: Command[]): this {
    return this.queue(...commands, CMD.sync()).ring();
  }
  /** Queues commands, rings, and the one at `index` stops the queue with an error: 1 illegal, 2 abort. */
  stops(index: number, code: number, ...commands: Command[]): this {
    const first = this.#prod;
    this.queue(...commands).ring();
    this.#registers.CMDQ_CONS = (((first + index) & (2 ** (this.cmdqLog2 + 1) - 1)) | (code << 24)) >>> 0;
    this.#registers.GERROR ^= 1;
    return this;
  }
  /** Acknowledges global errors by copying GERROR. */
  acknowledge(gerror: number = this.#registers.GERROR): this {
    this.#registers.GERRORN = gerror;
    return this.write(0x64, gerror);
  }
  /** Says that all events were read. */
  consumeEvents(cons: number = this.#registers.EVENTQ_PROD): this {
    this.#registers.EVENTQ_CONS = cons;
    return this.write(0x100ac, cons);
  }

  /** A device reads a word; it comes from `pa`. */
  reads(sid: number, address: bigint, pa: number): this {
    this.pattern(pa);
    return this.#access(sid, address, false, this.#memory.get(pa)!, []);
  }
  /** A device writes a word; it lands at `pa`. */
  writes(sid: number, address: bigint, pa: number): this {
    this.pattern(pa);
    const token = tokenOf(this.#tokens);
    this.#stores.set(pa, token);
    this.#memory.set(pa, token);
    return this.#access(sid, address, true, 0, []);
  }
  /** An access ends in an abort without a record. */
  aborts(sid: number, address: bigint, write = false): this {
    return this.#access(sid, address, write, 0, []);
  }
  /**
   * An access ends in an abort, and a record is written. StreamID, RnW, InputAddr and CLASS are filled in as the event
   * has them.
   */
  faults(sid: number, address: bigint, event: EventName, more: EventValues = {}, write = false): this {
    const words = eventWords(this.#fields(sid, address, event, more, write));
    this.#registers.EVENTQ_PROD = (this.#registers.EVENTQ_PROD + 1) & (2 ** (this.evtqLog2 + 1) - 1);
    return this.#access(sid, address, write, 0, [words]);
  }
  /** As {@link faults}, for a write. */
  faultsWrite(sid: number, address: bigint, event: EventName, more: EventValues = {}): this {
    return this.faults(sid, address, event, more, true);
  }
  /** An access whose outcome is the model's to say: random scenarios. */
  access(sid: number, address: bigint, write: boolean): this {
    return this.#access(sid, address, write, 0, []);
  }

  #fields(sid: number, address: bigint, event: EventName, more: EventValues, write: boolean): EventValues {
    const code = CODES[event];
    const base: EventValues = { Code: code, StreamID: sid };
    if (code < CODES.F_WALK_EABT) return { ...base, ...more };
    const klass = code === CODES.F_WALK_EABT ? CLASS.TT : CLASS.IN;
    return { ...base, RnW: write ? 0 : 1, InputAddr: address, CLASS: klass, ...more };
  }

  #access(sid: number, address: bigint, write: boolean, data: number, events: number[][]): this {
    const [lo, hi] = wordsOf(address);
    if (write && this.#tokens >= MOST_TOKENS) throw new RangeError(`more than ${MOST_TOKENS} writes`);
    if (!write && ++this.#readCount > MOST_READS) throw new RangeError(`more than ${MOST_READS} reads`);
    this.#steps.push({ do: 'dma', streamId: sid, lo, hi, write, token: write ? tokenOf(this.#tokens++) : 0 });
    this.#dma.push({ data, events });
    return this;
  }

  /** Data words without an access: what lies where a wrong translation might lead. */
  pattern(...places: number[]): this {
    for (const pa of places) {
      if (this.#image.has(pa)) continue;
      this.#image.set(pa, patternOf(pa));
      if (!this.#memory.has(pa)) this.#memory.set(pa, patternOf(pa));
    }
    return this;
  }

  /** @param judged - Whether the expected outcome built up is to be kept. */
  build(judged = true): Scenario {
    const patches: Patch[] = [];
    let last: { at: number; words: number[] } | undefined;
    for (const [at, word] of [...this.#image].sort((a, b) => a[0] - b[0])) {
      if (last !== undefined && last.at + last.words.length * 4 === at) last.words.push(word);
      else patches.push((last = { at, words: [word] }));
    }
    const stores = [...this.#stores].sort((a, b) => a[0] - b[0]);
    const expect = { reads: this.#reads, dma: this.#dma, registers: { ...this.#registers }, stores };
    return {
      name: this.name,
      title: this.title,
      section: this.section,
      needs: [...this.needs],
      image: patches,
      steps: this.#steps,
      eventQueue: { base: this.evtqBase, log2Size: this.evtqLog2 },
      tags: this.tags,
      ...(judged ? { expect } : {}),
    };
  }
}

/** Names of the end-state registers, for tests of the registers themselves. */
export const REGISTER_OFFSETS: typeof FINAL_REGISTERS = FINAL_REGISTERS;
