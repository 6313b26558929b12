/**
 * Structures as the scenarios put them into memory. Positions are typed by hand from IHI 0070 §5, §7.3 and Arm DDI 0487
 * D8.3, not taken from the tables that the model reads with: two sources check each other.
 */

/** Field name to dword, highest and lowest bit in it. */
type Positions = Readonly<Record<string, readonly [dword: number, hi: number, lo: number]>>;
export type Values<P> = { readonly [K in keyof P]?: number | bigint };

/** Packs named values into 32-bit words. Address fields take the address itself. */
function pack<P extends Positions>(
  positions: P,
  addresses: readonly string[],
  words: number,
  values: Values<P>,
): number[] {
  const dwords = new Array<bigint>(words / 2).fill(0n);
  for (const [name, given] of Object.entries(values)) {
    const [dword, hi, lo] = positions[name]!;
    let value = BigInt(given as number | bigint);
    if (addresses.includes(name)) value >>= BigInt(lo);
    if (value < 0n || value >> BigInt(hi - lo + 1) !== 0n)
      throw new RangeError(`${name}=${given} does not fit [${hi}:${lo}]`);
    dwords[dword]! |= value << BigInt(lo);
  }
  return dwords.flatMap(wordsOf);
}

export const wordsOf = (dword: bigint): [number, number] => [
  Number(dword & 0xffff_ffffn),
  Number((dword >> 32n) & 0xffff_ffffn),
];

export const STE_POSITIONS = {
  V: [0, 0, 0],
  Config: [0, 3, 1],
  S1Fmt: [0, 5, 4],
  S1ContextPtr: [0, 55, 6],
  S1CDMax: [0, 63, 59],
  S1DSS: [1, 1, 0],
  S1CIR: [1, 3, 2],
  S1COR: [1, 5, 4],
  S1CSH: [1, 7, 6],
  DRE: [1, 12, 12],
  CONT: [1, 16, 13],
  DCP: [1, 17, 17],
  PPAR: [1, 18, 18],
  MEV: [1, 19, 19],
  S2FWB: [1, 25, 25],
  S1STALLD: [1, 27, 27],
  EATS: [1, 29, 28],
  STRW: [1, 31, 30],
  MemAttr: [1, 35, 32],
  MTCFG: [1, 36, 36],
  ALLOCCFG: [1, 40, 37],
  SHCFG: [1, 45, 44],
  NSCFG: [1, 47, 46],
  PRIVCFG: [1, 49, 48],
  INSTCFG: [1, 51, 50],
  S2VMID: [2, 15, 0],
  S2T0SZ: [2, 37, 32],
  S2SL0: [2, 39, 38],
  S2IR0: [2, 41, 40],
  S2OR0: [2, 43, 42],
  S2SH0: [2, 45, 44],
  S2TG: [2, 47, 46],
  S2PS: [2, 50, 48],
  S2AA64: [2, 51, 51],
  S2ENDI: [2, 52, 52],
  S2AFFD: [2, 53, 53],
  S2PTW: [2, 54, 54],
  S2HD: [2, 55, 55],
  S2HA: [2, 56, 56],
  S2S: [2, 57, 57],
  S2R: [2, 58, 58],
  S2TTB: [3, 51, 4],
} as const;
export type SteValues = Values<typeof STE_POSITIONS>;
export const steWords = (values: SteValues): number[] => pack(STE_POSITIONS, ['S1ContextPtr', 'S2TTB'], 16, values);

export const CD_POSITIONS = {
  T0SZ: [0, 5, 0],
  TG0: [0, 7, 6],
  IR0: [0, 9, 8],
  OR0: [0, 11, 10],
  SH0: [0, 13, 12],
  EPD0: [0, 14, 14],
  ENDI: [0, 15, 15],
  T1SZ: [0, 21, 16],
  TG1: [0, 23, 22],
  IR1: [0, 25, 24],
  OR1: [0, 27, 26],
  SH1: [0, 29, 28],
  EPD1: [0, 30, 30],
  V: [0, 31, 31],
  IPS: [0, 34, 32],
  AFFD: [0, 35, 35],
  WXN: [0, 36, 36],
  UWXN: [0, 37, 37],
  TBI0: [0, 38, 38],
  TBI1: [0, 39, 39],
  PAN: [0, 40, 40],
  AA64: [0, 41, 41],
  HD: [0, 42, 42],
  HA: [0, 43, 43],
  S: [0, 44, 44],
  R: [0, 45, 45],
  A: [0, 46, 46],
  ASET: [0, 47, 47],
  ASID: [0, 63, 48],
  HAD0: [1, 1, 1],
  TTB0: [1, 51, 4],
  HAD1: [2, 1, 1],
  TTB1: [2, 51, 4],
  MAIR: [3, 63, 0],
} as const;
export type CdValues = Values<typeof CD_POSITIONS>;
export const cdWords = (values: CdValues): number[] => pack(CD_POSITIONS, ['TTB0', 'TTB1'], 16, values);

const EVENT_POSITIONS = {
  Code: [0, 7, 0],
  SSV: [0, 11, 11],
  SubstreamID: [0, 31, 12],
  StreamID: [0, 63, 32],
  STAG: [1, 15, 0],
  Stall: [1, 31, 31],
  PnU: [1, 33, 33],
  InD: [1, 34, 34],
  RnW: [1, 35, 35],
  S2: [1, 39, 39],
  CLASS: [1, 41, 40],
  TTRnW: [1, 44, 44],
  InputAddr: [2, 63, 0],
  Fetch: [3, 55, 3],
  IPA: [3, 55, 12],
} as const;
export type EventValues = Values<typeof EVENT_POSITIONS>;
export const eventWords = (values: EventValues): number[] => pack(EVENT_POSITIONS, ['Fetch', 'IPA'], 8, values);

/** Event codes, IHI 0070 §7.3. */
export const CODES = {
  F_UUT: 0x01,
  C_BAD_STREAMID: 0x02,
  F_STE_FETCH: 0x03,
  C_BAD_STE: 0x04,
  F_BAD_ATS_TREQ: 0x05,
  F_STREAM_DISABLED: 0x06,
  F_TRANSL_FORBIDDEN: 0x07,
  C_BAD_SUBSTREAMID: 0x08,
  F_CD_FETCH: 0x09,
  C_BAD_CD: 0x0a,
  F_WALK_EABT: 0x0b,
  F_TRANSLATION: 0x10,
  F_ADDR_SIZE: 0x11,
  F_ACCESS: 0x12,
  F_PERMISSION: 0x13,
  F_TLB_CONFLICT: 0x20,
  F_CFG_CONFLICT: 0x21,
} as const;
export type EventName = keyof typeof CODES;
/** CLASS of a fault. */
export const CLASS = { CD: 0, TT: 1, IN: 2 } as const;

export const L1STD = (l2ptr: number, span: number): number[] => wordsOf(BigInt(l2ptr) | BigInt(span));

/** Descriptors of VMSAv8-64. */
export const PAGE = 3n;
export const BLOCK = 1n;
export const TABLE = 3n;
export const AF: bigint = 1n << 10n;
export const NG: bigint = 1n << 11n;
export const USER: bigint = 1n << 6n;
export const READ_ONLY: bigint = 1n << 7n;
export const INNER: bigint = 3n << 8n;
export const CONTIGUOUS: bigint = 1n << 52n;
export const PXN: bigint = 1n << 53n;
export const XN: bigint = 1n << 54n;
/** Table descriptors: no access from user mode, no writes below. */
export const AP_TABLE_NO_USER: bigint = 1n << 61n;
export const AP_TABLE_READ_ONLY: bigint = 1n << 62n;
/** What a user-mode page has besides its address and type. */
export const S1_RW: bigint = AF | NG | USER | INNER;
export const S1_RO: bigint = S1_RW | READ_ONLY;
/** Stage 2: readable, writable; normal write-back memory. */
export const S2_READ: bigint = 1n << 6n;
export const S2_WRITE: bigint = 1n << 7n;
export const S2_RW: bigint = AF | S2_READ | S2_WRITE | (15n << 2n) | INNER;
export const S2_RO: bigint = S2_RW & ~S2_WRITE;
export const S2_WO: bigint = S2_RW & ~S2_READ;

/** Commands, four words each. IHI 0070 §4. */
export type Command = readonly [number, number, number, number];
const command = (lo: bigint, hi = 0n): Command => [...wordsOf(lo), ...wordsOf(hi)];
const at = (value: number | bigint, bit: number): bigint => BigInt(value) << BigInt(bit);
export interface RangeOptions {
  readonly asid?: number;
  readonly vmid?: number;
  readonly leaf?: boolean;
  readonly tg?: number;
  readonly ttl?: number;
  readonly num?: number;
  readonly scale?: number;
}
const byAddress = (opcode: number, address: bigint, o: RangeOptions): Command =>
  command(
    BigInt(opcode) | at(o.num ?? 0, 12) | at(o.scale ?? 0, 20) | at(o.vmid ?? 0, 32) | at(o.asid ?? 0, 48),
    (address & ~0xfffn) | at(o.leaf ? 1 : 0, 0) | at(o.ttl ?? 0, 8) | at(o.tg ?? 0, 10),
  );
export const CMD = {
  raw: (lo: bigint, hi = 0n): Command => command(lo, hi),
  prefetchConfig: (sid: number): Command => command(0x01n | at(sid, 32)),
  prefetchAddr: (sid: number, address: bigint): Command => command(0x02n | at(sid, 32), address & ~0xfffn),
  cfgiSte: (sid: number, leaf = true): Command => command(0x03n | at(sid, 32), leaf ? 1n : 0n),
  cfgiSteRange: (sid: number, range: number): Command => command(0x04n | at(sid, 32), BigInt(range)),
  cfgiAll: (): Command => command(0x04n, 31n),
  cfgiCd: (sid: number, ssid = 0, leaf = true): Command => command(0x05n | at(ssid, 12) | at(sid, 32), leaf ? 1n : 0n),
  cfgiCdAll: (sid: number): Command => command(0x06n | at(sid, 32)),
  nhAll: (vmid = 0): Command => command(0x10n | at(vmid, 32)),
  nhAsid: (asid: number, vmid = 0): Command => command(0x11n | at(vmid, 32) | at(asid, 48)),
  nhVa: (address: bigint, o: RangeOptions = {}): Command => byAddress(0x12, address, o),
  nhVaa: (address: bigint, o: RangeOptions = {}): Command => byAddress(0x13, address, o),
  el2All: (): Command => command(0x20n),
  el2Asid: (asid: number): Command => command(0x21n | at(asid, 48)),
  el2Va: (address: bigint, o: RangeOptions = {}): Command => byAddress(0x22, address, o),
  el2Vaa: (address: bigint, o: RangeOptions = {}): Command => byAddress(0x23, address, o),
  s12Vmall: (vmid = 0): Command => command(0x28n | at(vmid, 32)),
  s2Ipa: (address: bigint, o: RangeOptions = {}): Command => byAddress(0x2a, address, o),
  nsnhAll: (): Command => command(0x30n),
  atcInv: (sid: number): Command => command(0x40n | at(sid, 32), 52n),
  priResp: (sid: number): Command => command(0x41n | at(sid, 32)),
  resume: (sid: number, stag = 0): Command => command(0x44n | (1n << 12n) | at(sid, 32), BigInt(stag)),
  stallTerm: (sid: number): Command => command(0x45n | at(sid, 32)),
  sync: (cs = 0): Command => command(0x46n | at(cs, 12)),
} as const;
/** Sets SSec, bit 10: a Secure StreamID. */
export const secure = ([first, ...rest]: Command): Command => [(first | 0x400) >>> 0, ...rest] as unknown as Command;
