/**
 * The shape of a page table: levels, root, sizes (Arm DDI 0487 §D8.2, the rules on concatenation R_DXBSH and R_SRKBC;
 * Linux io-pgtable-arm.c `arm_lpae_alloc_pgtable`, `arm_lpae_concat_mandatory`).
 */
import { IommuError } from '@smmu/platform';
import {
  ADDRESS_SIZE_52,
  contiguousRun,
  type Granule,
  granuleByShift,
  STAGE2_START,
  START_TABLE_MIN_BYTES,
  stage1Start,
} from '@smmu/spec';
import type { PgtableOptions } from './types.ts';

export interface Geometry {
  readonly granule: Granule;
  /** 52-bit descriptors. */
  readonly wide: boolean;
  /** CD.DS or STE.S2DS: {@link wide} with the 4 or 16 KiB granule. */
  readonly ds: boolean;
  readonly startLevel: number;
  /** Tables joined at the root. */
  readonly joined: number;
  readonly rootEntries: number;
  /** Size and alignment of the root. */
  readonly rootBytes: number;
  /** Sizes that a leaf may have, ascending. */
  readonly pageSizes: readonly number[];
  /** Entries of a contiguous run, by level; 1 where there is none. */
  readonly runEntries: readonly [level0: number, level1: number, level2: number, level3: number];
}

const bad = (message: string): IommuError => new IommuError('EINVAL', message);

/** The encoding of an address size in CD.IPS and STE.S2PS; undefined if there is none. */
export function addressSizeEncoding(bits: number): number | undefined {
  return Object.entries(ADDRESS_SIZE_52).find(([name]) => name === `${bits} bits`)?.[1];
}

/** @throws {@link IommuError} `EINVAL` if the format has no such table. */
export function geometryOf(options: PgtableOptions): Geometry {
  const { granuleShift, iasBits, oasBits, format = 'aarch64' } = options;
  const granule = granuleByShift(granuleShift);
  if (granule === undefined) throw bad(`granule 2^${granuleShift}: it must be 2^12, 2^14 or 2^16 bytes`);
  if (addressSizeEncoding(oasBits) === undefined)
    throw bad(`output of ${oasBits} bits: it must be 32, 36, 40, 42, 44, 48 or 52`);
  if (!Number.isInteger(iasBits) || iasBits < 32 || iasBits > 52)
    throw bad(`input of ${iasBits} bits: it must be 32 to 52`);
  if (format === 'aarch32') checkLpae(options);
  const is64K = granule.name === '64KB';
  const ds = !is64K && (iasBits > 48 || oasBits > 48);
  const wide = ds || (is64K && oasBits > 48);
  const { level, joined } = rootOf(granule, options, ds, wide);

  const rootBits = iasBits - (granule.shift + granule.bitsPerLevel * (3 - level));
  const rootEntries = 2 ** rootBits;
  const sizes = granule.levels
    .filter((one) => one.level === 3 || (one.level >= level && (one.block === true || (wide && one.block !== false))))
    .map((one) => one.entryBytes)
    .filter((bytes) => bytes <= 2 ** iasBits && bytes <= 2 ** oasBits)
    .reverse();
  const pageSizes = sizes.filter((bytes) => options.pageSizes?.includes(bytes) ?? true);
  if (pageSizes.length === 0) throw bad(`page sizes ${options.pageSizes}: this table has ${sizes}`);
  const run = (at: number) => contiguousRun(granule.name, at)?.entries ?? 1;
  return {
    granule,
    wide,
    ds,
    startLevel: level,
    joined,
    rootEntries,
    rootBytes: Math.max(START_TABLE_MIN_BYTES, rootEntries * 8),
    pageSizes,
    runEntries: [run(0), run(1), run(2), run(3)],
  };
}

function checkLpae({ stage, granuleShift, iasBits, oasBits, quirks }: PgtableOptions): void {
  if (granuleShift !== 12) throw bad(`AArch32 LPAE has the 4 KiB granule only, not 2^${granuleShift}`);
  const most = stage === 1 ? 32 : 40;
  if (iasBits > most || oasBits > 40)
    throw bad(
      `AArch32 LPAE stage ${stage}: input of ${iasBits} bits (at most ${most}), output of ${oasBits} (at most 40)`,
    );
  if (quirks?.ttbr1 || quirks?.hd) throw bad('AArch32 LPAE has neither the upper half here nor hardware dirty state');
}

function rootOf(
  granule: Granule,
  { stage, iasBits, oasBits, concatenate = false }: PgtableOptions,
  ds: boolean,
  wide: boolean,
): { readonly level: number; readonly joined: number } {
  const txsz = 64 - iasBits;
  if (stage === 1) return { level: stage1Start(granule.name, txsz)!.level, joined: 1 };
  const shapes = STAGE2_START[granule.name].filter(
    ({ first, last, needs }) =>
      first <= txsz && txsz <= last && (needs === undefined || (needs === 'DS' && ds) || (needs === 'LPA' && wide)),
  );
  if (shapes.length === 0)
    throw bad(`stage 2 input of ${iasBits} bits with ${granule.name} pages needs 52-bit output, not ${oasBits}`);
  const plain = shapes.find(({ joined }) => joined === 1);
  const joined = shapes.find((shape) => shape.joined > 1);
  const mandatory =
    (granule.name === '4KB' && plain?.level === 0 && oasBits <= 42) ||
    (granule.name === '16KB' && plain?.level === 1 && oasBits <= 40);
  return (concatenate || mandatory ? joined : undefined) ?? plain ?? joined!;
}
