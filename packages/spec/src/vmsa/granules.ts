/** Granules: page sizes, levels, block sizes, contiguous runs. Arm DDI 0487 §D8.2; Linux io-pgtable-arm.c ARM_LPAE_*. */

export type GranuleName = '4KB' | '16KB' | '64KB';

/**
 * A feature that a size needs. DS: 52-bit addresses with 4KB or 16KB (CD.DS, STE.S2DS). LPA: 52-bit output with 64KB
 * (IDR5.OAS). LVA: more than 48 input bits with 64KB (IDR5.VAX). STT: small tables (IDR3.STT).
 */
export type SizeFeature = 'DS' | 'LPA' | 'LVA' | 'STT';

/** A level of look-up. */
export interface GranuleLevel {
  /** −1 to 3; 3 holds pages. */
  readonly level: number;
  /** The input address bits that index a table of this level. The first level of a walk may use fewer. */
  readonly indexHi: number;
  readonly indexLo: number;
  /** Bytes that one entry spans: of a page at level 3, of a block above. */
  readonly entryBytes: number;
  /** Whether a block may stand here: always, never, or with a feature. */
  readonly block: boolean | SizeFeature;
}

export interface Granule {
  readonly name: GranuleName;
  /** log2 of the page size in bytes. */
  readonly shift: number;
  /** log2 of the entries in a table. */
  readonly bitsPerLevel: number;
  /** The encodings of CD.TG0, CD.TG1, STE.S2TG and the TLBI commands' TG: all different. */
  readonly tg0: number;
  readonly tg1: number;
  readonly s2tg: number;
  readonly tlbiTg: number;
  /** From the topmost to 3. */
  readonly levels: readonly GranuleLevel[];
}

const level = (n: number, indexHi: number, indexLo: number, block: boolean | SizeFeature): GranuleLevel => ({
  level: n,
  indexHi,
  indexLo,
  entryBytes: 2 ** indexLo,
  block,
});

export const GRANULES: Readonly<Record<GranuleName, Granule>> = {
  '4KB': {
    name: '4KB',
    shift: 12,
    bitsPerLevel: 9,
    tg0: 0,
    tg1: 2,
    s2tg: 0,
    tlbiTg: 1,
    levels: [
      level(-1, 51, 48, false), // with DS
      level(0, 47, 39, 'DS'),
      level(1, 38, 30, true),
      level(2, 29, 21, true),
      level(3, 20, 12, false),
    ],
  },
  '16KB': {
    name: '16KB',
    shift: 14,
    bitsPerLevel: 11,
    tg0: 2,
    tg1: 1,
    s2tg: 2,
    tlbiTg: 2,
    levels: [
      level(0, 51, 47, false), // without DS only bit 47, and only at stage 1
      level(1, 46, 36, 'DS'),
      level(2, 35, 25, true),
      level(3, 24, 14, false),
    ],
  },
  '64KB': {
    name: '64KB',
    shift: 16,
    bitsPerLevel: 13,
    tg0: 1,
    tg1: 3,
    s2tg: 1,
    tlbiTg: 3,
    levels: [
      level(1, 51, 42, 'LPA'), // bits 51:48 with LVA at stage 1, with LPA at stage 2
      level(2, 41, 29, true),
      level(3, 28, 16, false),
    ],
  },
};

/**
 * A start table is aligned to its size, and to this many bytes at least when the output is larger than 48 bits; every
 * other table is aligned to the granule. Bits of a base below its alignment count as zero.
 */
export const START_TABLE_MIN_BYTES = 64;

const names: readonly GranuleName[] = ['4KB', '16KB', '64KB'];

/** The granule whose pages have 2^`shift` bytes; undefined if there is none. */
export const granuleByShift = (shift: number): Granule | undefined =>
  names.map((name) => GRANULES[name]).find((granule) => granule.shift === shift);

/** The granule that an encoding stands for; undefined if the encoding is reserved. */
export const granuleByEncoding = (field: 'tg0' | 'tg1' | 's2tg' | 'tlbiTg', value: number): Granule | undefined =>
  names.map((name) => GRANULES[name]).find((granule) => granule[field] === value);

/** A run of entries that the Contiguous bit joins: aligned in input and output to the whole run. */
export interface ContiguousRun {
  readonly granule: GranuleName;
  readonly level: number;
  readonly entries: number;
  readonly bytes: number;
}

const run = (granule: GranuleName, n: number, entries: number): ContiguousRun => {
  const { shift, bitsPerLevel } = GRANULES[granule];
  return { granule, level: n, entries, bytes: entries * 2 ** (shift + bitsPerLevel * (3 - n)) };
};

/**
 * All runs. Elsewhere (level 0 blocks with 4KB, level 1 with 16KB and 64KB) the bit is RES0. Hardware may ignore it;
 * access flag and dirty state may differ between the entries of a run.
 */
export const CONTIGUOUS_RUNS: readonly ContiguousRun[] = [
  run('4KB', 1, 16),
  run('4KB', 2, 16),
  run('4KB', 3, 16),
  run('16KB', 2, 32),
  run('16KB', 3, 128),
  run('64KB', 2, 32),
  run('64KB', 3, 32),
];

/** The run at a level; undefined where the Contiguous bit is RES0. */
export const contiguousRun = (granule: GranuleName, atLevel: number): ContiguousRun | undefined =>
  CONTIGUOUS_RUNS.find((one) => one.granule === granule && one.level === atLevel);
