/**
 * A second reading of the table format, for tests: written from the architecture (Arm DDI 0487 §D8.2 to §D8.4), with
 * `bigint` and bit numbers, and sharing nothing with the package. It sees memory as hardware does.
 */
import type { PhysicalMemory } from '@smmu/platform';
import type { ArmPageTable } from '../src/index.ts';

/** What hardware is told of a table: the fields of a CD or STE. */
export interface Regime {
  readonly stage: 1 | 2;
  readonly granuleShift: 12 | 14 | 16;
  /** Input bits. */
  readonly inputBits: number;
  readonly base: bigint;
  readonly startLevel: number;
  /** 52-bit descriptors. */
  readonly ds: boolean;
  readonly lpa: boolean;
  readonly upper: boolean;
  readonly outputBits: number;
  readonly mair: bigint;
}

export interface Leaf {
  readonly level: number;
  /** First input address and bytes that it covers. */
  readonly va: bigint;
  readonly bytes: bigint;
  readonly pa: bigint;
  readonly descriptor: bigint;
  /** Addresses of the tables on the way, root first. */
  readonly tables: readonly bigint[];
}

const bit = (value: bigint, n: number): boolean => ((value >> BigInt(n)) & 1n) === 1n;
const field = (value: bigint, hi: number, lo: number): bigint =>
  (value >> BigInt(lo)) & ((1n << BigInt(hi - lo + 1)) - 1n);

/** Start level of a stage 1 walk: the level whose index range holds the top input bit. */
function stage1Level(granuleShift: number, inputBits: number): number {
  const perLevel = granuleShift - 3;
  return 3 - Math.floor((inputBits - 1 - granuleShift) / perLevel);
}

const IPS_BITS = [32, 36, 40, 42, 44, 48, 52];

/** What hardware makes of the fields that a table gives its CD or STE. */
export function regimeOf(table: ArmPageTable, stage: 1 | 2): Regime {
  if (stage === 1) {
    const { ttbr, tcr, mairLo, mairHi, upper, aa64 } = table.stage1;
    const shift = (upper ? { 2: 12, 1: 14, 3: 16 } : { 0: 12, 2: 14, 1: 16 })[tcr.tg as 1] as 12 | 14 | 16;
    const inputBits = aa64 ? 64 - tcr.tsz : 32 - tcr.tsz;
    return {
      stage,
      granuleShift: shift,
      inputBits,
      base: BigInt(ttbr),
      startLevel: stage1Level(shift, inputBits),
      ds: tcr.ds,
      lpa: shift === 16 && tcr.ips === 6,
      upper,
      outputBits: IPS_BITS[tcr.ips]!,
      mair: (BigInt(mairHi) << 32n) | BigInt(mairLo),
    };
  }
  const { vttbr, vtcr, aa64 } = table.stage2;
  const shift = { 0: 12, 2: 14, 1: 16 }[vtcr.tg as 0] as 12 | 14 | 16;
  // SL0 counts from level 2 with 4K pages, from level 3 with the others; 3 is level 3 with 4K.
  const level = shift === 12 ? (vtcr.sl2 ? -1 : vtcr.sl === 3 ? 3 : 2 - vtcr.sl) : 3 - vtcr.sl;
  const signed = vtcr.tsz >= 8 ? vtcr.tsz - 16 : vtcr.tsz;
  return {
    stage,
    granuleShift: shift,
    inputBits: aa64 ? 64 - vtcr.tsz : 32 - signed,
    base: BigInt(vttbr),
    startLevel: level,
    ds: vtcr.ds,
    lpa: shift === 16 && vtcr.ps === 6,
    upper: false,
    outputBits: IPS_BITS[vtcr.ps]!,
    mair: 0n,
  };
}

/** Lowest input bit that indexes a table of a level. */
const indexLow = ({ granuleShift }: Regime, level: number): number => granuleShift + (granuleShift - 3) * (3 - level);

/** The output or next-table address in a descriptor. */
function addressIn({ granuleShift, ds, lpa }: Regime, descriptor: bigint): bigint {
  if (ds) return (field(descriptor, 49, granuleShift) << BigInt(granuleShift)) | (field(descriptor, 9, 8) << 50n);
  const plain = field(descriptor, 47, granuleShift) << BigInt(granuleShift);
  return lpa ? plain | (field(descriptor, 15, 12) << 48n) : plain;
}

function blockAllowed({ granuleShift, ds, lpa }: Regime, level: number): boolean {
  if (granuleShift === 12) return level === 1 || level === 2 || (level === 0 && ds);
  if (granuleShift === 14) return level === 2 || (level === 1 && ds);
  return level === 2 || (level === 1 && lpa);
}

const scratch = new Uint8Array(8);
const view = new DataView(scratch.buffer);

/** Reads a descriptor as a bus master does. */
export function fetch(memory: PhysicalMemory, pa: bigint): bigint {
  if (!memory.readBytes(Number(pa), scratch, 0, 8)) throw new Error(`walk aborted at ${pa.toString(16)}`);
  return view.getBigUint64(0, true);
}

/** Complains about descriptors that no table of ours may hold. */
function checkTable(regime: Regime, descriptor: bigint): void {
  if (regime.stage === 2 && field(descriptor, 63, 59) !== 0n) throw new Error('stage 2 table entry with limits');
  if (addressIn(regime, descriptor) >> BigInt(Math.max(48, regime.outputBits)) !== 0n)
    throw new Error('table beyond the output');
}

/**
 * Translates an address. Returns undefined for a translation fault.
 * @throws Error for what is no fault but nonsense: an abort, an output that is too large, reserved bits.
 */
export function translate(memory: PhysicalMemory, regime: Regime, input: bigint): Leaf | undefined {
  const { granuleShift, inputBits, startLevel, upper } = regime;
  const high = input >> BigInt(inputBits);
  if (high !== (upper ? (1n << BigInt(64 - inputBits)) - 1n : 0n)) return undefined;
  const address = input & ((1n << BigInt(inputBits)) - 1n);
  const tables: bigint[] = [];
  let table = regime.base;
  for (let level = startLevel; ; level++) {
    tables.push(table);
    const low = indexLow(regime, level);
    const top = level === startLevel ? inputBits - 1 : low + granuleShift - 4;
    const descriptor = fetch(memory, table + field(address, top, low) * 8n);
    if (!bit(descriptor, 0)) return undefined;
    if (level < 3 && bit(descriptor, 1)) {
      checkTable(regime, descriptor);
      table = addressIn(regime, descriptor);
      continue;
    }
    if (level === 3 ? !bit(descriptor, 1) : !blockAllowed(regime, level)) return undefined;
    const bytes = 1n << BigInt(low);
    const pa = (addressIn(regime, descriptor) / bytes) * bytes;
    if (pa >> BigInt(regime.outputBits) !== 0n) throw new Error(`output ${pa.toString(16)} is too large`);
    return { level, va: input - (input % bytes), bytes, pa: pa + (input % bytes), descriptor, tables };
  }
}

/** Every leaf of a table, in order, having read every descriptor of every table below the root. */
export function leaves(memory: PhysicalMemory, regime: Regime): { readonly leaves: Leaf[]; readonly tables: number } {
  const found: Leaf[] = [];
  let tables = 0;
  const first = regime.upper ? (1n << 64n) - (1n << BigInt(regime.inputBits)) : 0n;
  const visit = (table: bigint, level: number, va: bigint, path: readonly bigint[]): void => {
    tables += 1;
    const low = indexLow(regime, level);
    const entries = level === regime.startLevel ? 1 << (regime.inputBits - low) : 1 << (regime.granuleShift - 3);
    const bytes = 1n << BigInt(low);
    const block = new Uint8Array(entries * 8);
    if (!memory.readBytes(Number(table), block, 0, block.length)) throw new Error('walk aborted');
    const words = new DataView(block.buffer);
    for (let i = 0; i < entries; i++) {
      if ((words.getUint8(i * 8) & 1) === 0) {
        if (words.getBigUint64(i * 8, true) !== 0n) throw new Error('an invalid entry that is not zero');
        continue;
      }
      const descriptor = words.getBigUint64(i * 8, true);
      const at = va + BigInt(i) * bytes;
      if (level < 3 && bit(descriptor, 1)) {
        checkTable(regime, descriptor);
        visit(addressIn(regime, descriptor), level + 1, at, [...path, table]);
      } else {
        if (level < 3 && !blockAllowed(regime, level)) throw new Error(`a block at level ${level}`);
        if (level === 3 && !bit(descriptor, 1)) throw new Error('a reserved entry at level 3');
        const pa = addressIn(regime, descriptor);
        if (pa % bytes !== 0n) throw new Error('an output that is not aligned to its block');
        found.push({ level, va: at, bytes, pa, descriptor, tables: [...path, table] });
      }
    }
  };
  visit(regime.base, regime.startLevel, first, []);
  return { leaves: found, tables };
}

/** Protection as an access sees it. */
export interface Access {
  readonly read: boolean;
  readonly write: boolean;
  readonly exec: boolean;
  readonly privilegedOnly: boolean;
  readonly memory: 'device' | 'normal-nc' | 'normal-wb';
  readonly af: boolean;
  readonly nonGlobal: boolean;
  /** undefined with DS: then the CD or STE tells. */
  readonly shareability: 'inner' | 'outer' | 'none' | undefined;
  readonly dbm: boolean;
  readonly contiguous: boolean;
}

/** What a leaf allows and how memory is accessed through it (§D8.4, §D8.6). `fwb`: STE.S2FWB. */
export function accessOf(regime: Regime, { descriptor }: Leaf, fwb = false): Access {
  const sh = regime.ds ? undefined : (['none', undefined, 'outer', 'inner'] as const)[Number(field(descriptor, 9, 8))];
  const common = {
    af: bit(descriptor, 10),
    shareability: sh,
    dbm: bit(descriptor, 51),
    contiguous: bit(descriptor, 52),
  };
  if (regime.stage === 1) {
    const attr = field(regime.mair, Number(field(descriptor, 4, 2)) * 8 + 7, Number(field(descriptor, 4, 2)) * 8);
    return {
      ...common,
      read: true,
      write: !bit(descriptor, 7),
      exec: !bit(descriptor, 54),
      privilegedOnly: !bit(descriptor, 6),
      memory: attr === 0xffn ? 'normal-wb' : attr === 0x44n ? 'normal-nc' : 'device',
      nonGlobal: bit(descriptor, 11),
    };
  }
  const type = Number(field(descriptor, 5, 2));
  return {
    ...common,
    read: bit(descriptor, 6),
    write: bit(descriptor, 7),
    exec: !bit(descriptor, 54),
    privilegedOnly: false,
    memory: type < 4 ? 'device' : type === (fwb ? 6 : 15) ? 'normal-wb' : 'normal-nc',
    nonGlobal: bit(descriptor, 11),
  };
}
