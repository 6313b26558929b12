/**
 * The shape of one translation table: which levels it has, which address bits index them, how wide addresses may be.
 * Worked out once when a CD or STE is read. IHI 0070 §3.4, §5.2, §5.4; Arm DDI 0487 D8.2.
 */

import { S1_LEAF } from '@smmu/spec';
import { BITS_LEVEL_SHIFT, BITS_TG_SHIFT } from './entryBits.ts';
import type { Granule, ModelFeatures } from './features.ts';
import { CLASS_OF_SHIFT, META_CLASS_SHIFT, PAGE_MASK } from './tagCache.ts';

const D_CONTIGUOUS = S1_LEAF.Contiguous.mask;
const D_DBM = S1_LEAF.DBM.mask;

/** How a descriptor holds output address bits [51:48]. */
export const LAYOUT_48 = 0;
/** CD.DS or STE.S2DS with 4 KiB and 16 KiB granules: bits [51:50] in [9:8], bits [49:48] in place. */
export const LAYOUT_DS = 1;
/** 64 KiB granule with 52-bit output: bits [51:48] in [15:12]. */
export const LAYOUT_LPA = 2;

const GRANULE_OF_SHIFT: Readonly<Record<number, Granule>> = { 12: '4k', 14: '16k', 16: '64k' };
/** CMD_TLBI_*.TG of a granule. */
const TLBI_TG_OF_SHIFT: Readonly<Record<number, number>> = { 12: 1, 14: 2, 16: 3 };

/** log2 of the bytes of a contiguous run, by granule shift and level (index = level). 0: there are no runs. */
const CONTIGUOUS_SHIFT: Readonly<Record<number, readonly number[]>> = {
  12: [0, 34, 25, 16],
  14: [0, 0, 30, 21],
  16: [0, 0, 34, 21],
};

/** One walkable table, or a range whose walks are off. Filled by {@link shape}; hot code only reads it. */
export class TableRange {
  /** False: CD.EPDx, or the world has one range only. A miss in the TLB is then F_TRANSLATION. */
  walkable = false;
  granuleShift = 12;
  /** The granule as a class of tagCache.ts. */
  pageClass = 0;
  /** Address bits that a full table indexes. */
  stride = 9;
  /** Index mask of a full table. */
  mask = 511;
  inputBits = 48;
  startLevel = 0;
  /** Lowest address bit that the first table's index uses. */
  startShift = 39;
  startMask = 511;
  /** Physical or intermediate address of the first table, aligned. */
  table = 0;
  /** Addresses in descriptors must be below this: F_ADDR_SIZE. */
  outputLimit: number = 2 ** 48;
  layout: number = LAYOUT_48;
  /** Lowest level at which a leaf may be a block. */
  minBlockLevel = 1;
  /** By level; 0 if runs are not kept whole. */
  contiguousShift: readonly number[] = [0, 0, 0, 0];
  /** CMD_TLBI_*.TG that names this granule. */
  tlbiTg = 1;
  bigEndian = false;
  /** Upper-word bits of a page descriptor that call for a second look: too large an address, a run, a dirty modifier. */
  odd = 0;
  /** No page can be read without a second look. */
  allOdd = true;
  /** For the last level: what of `page` names a page, and a last table; their classes in place; IOTLB bits of a page. */
  pageMask = 0;
  pointerMask = 0;
  pageMeta = 0;
  pointerMeta = 0;
  pageBits = 0;
  /** Stage 1: top byte ignored, hierarchical permissions off, unprivileged access faults. */
  tbi = false;
  had = false;
  e0pd = false;
}

export interface RangeShape {
  readonly granuleShift: number;
  readonly inputBits: number;
  readonly outputBits: number;
  readonly table: number;
  readonly ds: boolean;
  /** Stage 2 names its first level; stage 1 derives it from the input size. */
  readonly startLevel?: number;
  readonly bigEndian: boolean;
  /** Hardware keeps the dirty state. */
  readonly dirty: boolean;
}

/** Sets up everything in `range` that follows from a table's size and place. */
export function shape(range: TableRange, f: ModelFeatures, given: RangeShape): void {
  const { granuleShift, inputBits, outputBits } = given;
  const stride = granuleShift - 3;
  const startLevel = given.startLevel ?? 4 - Math.max(1, Math.ceil((inputBits - granuleShift) / stride));
  range.walkable = true;
  range.granuleShift = granuleShift;
  range.pageClass = CLASS_OF_SHIFT[granuleShift]!;
  range.stride = stride;
  range.mask = 2 ** stride - 1;
  range.inputBits = inputBits;
  range.startLevel = startLevel;
  range.startShift = granuleShift + (3 - startLevel) * stride;
  range.startMask = 2 ** (inputBits - range.startShift) - 1;
  range.layout = granuleShift === 16 ? (f.oasBits === 52 ? LAYOUT_LPA : LAYOUT_48) : given.ds ? LAYOUT_DS : LAYOUT_48;
  const wide = range.layout !== LAYOUT_48;
  range.outputLimit = 2 ** Math.min(outputBits, wide ? 52 : 48);
  // A first table is aligned to its size, and to 64 bytes where its address may exceed 48 bits.
  const bytes = Math.max(8 * (range.startMask + 1), wide ? 64 : 16);
  range.table = given.table - (given.table % bytes);
  range.minBlockLevel =
    granuleShift === 12 ? (given.ds ? 0 : 1) : granuleShift === 14 ? (given.ds ? 1 : 2) : wide ? 1 : 2;
  range.contiguousShift = f.contiguous ? CONTIGUOUS_SHIFT[granuleShift]! : [0, 0, 0, 0];
  range.tlbiTg = TLBI_TG_OF_SHIFT[granuleShift]!;
  range.bigEndian = given.bigEndian;
  const pointerClass = CLASS_OF_SHIFT[granuleShift + stride]!;
  range.pageMask = PAGE_MASK[range.pageClass]!;
  range.pointerMask = PAGE_MASK[pointerClass]!;
  range.pageMeta = range.pageClass << META_CLASS_SHIFT;
  range.pointerMeta = pointerClass << META_CLASS_SHIFT;
  range.pageBits = (4 << BITS_LEVEL_SHIFT) | (range.tlbiTg << BITS_TG_SHIFT);
  // An address in a plain 48-bit layout is too large if a bit above the output size is set.
  const tooLarge = outputBits >= 48 ? 0 : 0xffff & (-1 << (outputBits - 32));
  range.odd = tooLarge | (f.contiguous ? D_CONTIGUOUS : 0) | (given.dirty ? D_DBM : 0);
  range.allOdd = wide || given.bigEndian || startLevel === 3;
}

/** Granule shift by encoding: CD.TG0 and STE.S2TG; 0 is reserved. */
export const TG0_SHIFT: readonly number[] = [12, 16, 14, 0];
/** CD.TG1. */
export const TG1_SHIFT: readonly number[] = [0, 14, 12, 16];

export const hasGranule = (f: ModelFeatures, granuleShift: number): boolean =>
  granuleShift !== 0 && f.granules.includes(GRANULE_OF_SHIFT[granuleShift]!);

/** Largest TxSZ: 39; with small tables 48, or 47 for the 64 KiB granule. */
export const maxTxsz = (f: ModelFeatures, granuleShift: number): number =>
  f.smallTables ? (granuleShift === 16 ? 47 : 48) : 39;

/** Why a stage 2 table cannot start at that level with that input size, or undefined if it can. IHI 0070 §5.2. */
export function stage2StartFault(
  f: ModelFeatures,
  granuleShift: number,
  level: number,
  inputBits: number,
  ds: boolean,
): string | undefined {
  const stride = granuleShift - 3;
  const indexBits = inputBits - (granuleShift + (3 - level) * stride);
  if (granuleShift === 12 && level === 3 && !f.smallTables) return 'S2SL0=3 needs small tables (IDR3.STT)';
  if (granuleShift === 12 && level < 0 && !ds) return 'start level -1 needs S2DS';
  if (granuleShift === 14 && level === 0 && !ds) return 'start level 0 of the 16 KiB granule needs S2DS';
  if (indexBits < 1 || indexBits > stride + 4)
    return `S2SL0 starts at level ${level}, which ${inputBits} bits of IPA do not fit (at most 16 joined tables)`;
  return undefined;
}

/** STE.S2SL0 (with S2SL0_2 as bit 2) to a level, or undefined if reserved. */
export function stage2StartLevel(granuleShift: number, sl0: number, sl2: boolean): number | undefined {
  if (granuleShift === 12) return sl2 ? (sl0 === 0 ? -1 : undefined) : [2, 1, 0, 3][sl0];
  return granuleShift === 14 ? 3 - sl0 : [3, 2, 1, undefined][sl0];
}
