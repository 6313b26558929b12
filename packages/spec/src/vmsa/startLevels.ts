/**
 * Where a walk starts: from TxSZ at stage 1, from T0SZ and SL0 at stage 2, where up to 16 tables may be joined.
 * Arm DDI 0487 §D8.2; IHI 0070 §5.2, §5.4 say what else is illegal. Linux io-pgtable-arm.c arm_64_lpae_alloc_pgtable_s2.
 */
import type { GranuleName, SizeFeature } from './granules.ts';

/** A run of TxSZ values whose walks start alike. */
export interface StartLevel {
  readonly level: number;
  /** Smallest and largest TxSZ; the input has 64 − TxSZ bits. */
  readonly first: number;
  readonly last: number;
  /** Tables joined to one at the first level; 1 at stage 1. */
  readonly joined: number;
  /** Without it these values are out of range. */
  readonly needs?: SizeFeature;
}

const start = (level: number, first: number, last: number, joined = 1, needs?: SizeFeature): StartLevel => ({
  level,
  first,
  last,
  joined,
  ...(needs && { needs }),
});

/** Stage 1, ascending. A TxSZ outside gives C_BAD_CD if its half is enabled. */
export const STAGE1_START: Readonly<Record<GranuleName, readonly StartLevel[]>> = {
  '4KB': [
    start(-1, 12, 15, 1, 'DS'),
    start(0, 16, 24),
    start(1, 25, 33),
    start(2, 34, 39),
    start(2, 40, 42, 1, 'STT'),
    start(3, 43, 48, 1, 'STT'),
  ],
  '16KB': [
    start(0, 12, 15, 1, 'DS'),
    start(0, 16, 16),
    start(1, 17, 27),
    start(2, 28, 38),
    start(3, 39, 39),
    start(3, 40, 48, 1, 'STT'),
  ],
  '64KB': [
    start(1, 12, 15, 1, 'LVA'),
    start(1, 16, 21),
    start(2, 22, 34),
    start(3, 35, 39),
    start(3, 40, 47, 1, 'STT'),
  ],
};

/** Stage 2. A combination of T0SZ, SL0 and granule outside gives C_BAD_STE. */
export const STAGE2_START: Readonly<Record<GranuleName, readonly StartLevel[]>> = {
  '4KB': [
    start(-1, 12, 15, 1, 'DS'),
    start(0, 16, 24),
    start(0, 15, 15, 2, 'DS'),
    start(0, 14, 14, 4, 'DS'),
    start(0, 13, 13, 8, 'DS'),
    start(0, 12, 12, 16, 'DS'),
    start(1, 25, 33),
    start(1, 24, 24, 2),
    start(1, 23, 23, 4),
    start(1, 22, 22, 8),
    start(1, 21, 21, 16),
    start(2, 34, 39),
    start(2, 40, 42, 1, 'STT'),
    start(2, 33, 33, 2),
    start(2, 32, 32, 4),
    start(2, 31, 31, 8),
    start(2, 30, 30, 16),
    start(3, 43, 48, 1, 'STT'),
    start(3, 42, 42, 2, 'STT'),
    start(3, 41, 41, 4, 'STT'),
    start(3, 40, 40, 8, 'STT'),
    start(3, 39, 39, 16, 'STT'),
  ],
  '16KB': [
    start(0, 12, 16, 1, 'DS'),
    start(1, 17, 27),
    start(1, 16, 16, 2),
    start(1, 15, 15, 4, 'DS'),
    start(1, 14, 14, 8, 'DS'),
    start(1, 13, 13, 16, 'DS'),
    start(2, 28, 38),
    start(2, 27, 27, 2),
    start(2, 26, 26, 4),
    start(2, 25, 25, 8),
    start(2, 24, 24, 16),
    start(3, 39, 39),
    start(3, 40, 48, 1, 'STT'),
    start(3, 38, 38, 2),
    start(3, 37, 37, 4),
    start(3, 36, 36, 8),
    start(3, 35, 35, 16),
  ],
  '64KB': [
    start(1, 12, 15, 1, 'LPA'),
    start(1, 16, 21),
    start(2, 22, 34),
    start(2, 21, 21, 2),
    start(2, 20, 20, 4),
    start(2, 19, 19, 8),
    start(2, 18, 18, 16),
    start(3, 35, 39),
    start(3, 40, 47, 1, 'STT'),
    start(3, 34, 34, 2),
    start(3, 33, 33, 4),
    start(3, 32, 32, 8),
    start(3, 31, 31, 16),
  ],
};

/**
 * The level that STE.S2SL0 stands for, by its value; undefined is reserved. With 4KB and S2DS, S2SL0_2 set and S2SL0
 * zero is level −1, and S2SL0_2 with any other S2SL0 is reserved. With 16KB level 0 needs DS.
 */
export const SL0_LEVEL: Readonly<Record<GranuleName, readonly (number | undefined)[]>> = {
  '4KB': [2, 1, 0, 3],
  '16KB': [3, 2, 1, 0],
  '64KB': [3, 2, 1, undefined],
};

/** Most tables that stage 2 joins. */
export const MAX_JOINED_TABLES = 16;

/** Where a stage 1 walk starts, and what it takes; undefined if TxSZ is out of range whatever the features. */
export const stage1Start = (granule: GranuleName, txsz: number): StartLevel | undefined =>
  STAGE1_START[granule].find(({ first, last }) => first <= txsz && txsz <= last);

/**
 * Where a stage 2 walk starts, and what it takes; undefined if the combination is illegal whatever the features.
 *
 * @param sl0 - STE.S2SL0, 0 to 3.
 * @param sl02 - STE.S2SL0_2; matters with the 4KB granule only.
 */
export function stage2Start(granule: GranuleName, t0sz: number, sl0: number, sl02 = false): StartLevel | undefined {
  const extended = sl02 && granule === '4KB';
  if (extended && sl0 !== 0) return undefined;
  const level = extended ? -1 : SL0_LEVEL[granule][sl0];
  return STAGE2_START[granule].find((one) => one.level === level && one.first <= t0sz && t0sz <= one.last);
}

/** The S2SL0 and S2SL0_2 that a level is written as; undefined if the granule has no such level. */
export function sl0Of(
  granule: GranuleName,
  level: number,
): { readonly sl0: number; readonly sl02: boolean } | undefined {
  if (granule === '4KB' && level === -1) return { sl0: 0, sl02: true };
  const sl0 = SL0_LEVEL[granule].indexOf(level);
  return sl0 < 0 ? undefined : { sl0, sl02: false };
}
