/**
 * What a CD or an STE needs to know of a table, in the encodings of their fields (IHI 0070 §5.2, §5.4; Linux
 * io-pgtable-arm.c `arm_64_lpae_alloc_pgtable_s1`, `_s2`).
 */
import { IommuError, type Pa } from '@smmu/platform';
import { CD, sl0Of } from '@smmu/spec';
import { MAIR_LO } from './attributes.ts';
import { addressSizeEncoding, type Geometry } from './geometry.ts';
import type { PgtableOptions } from './types.ts';

/** What CD fields a stage 1 table wants. */
export interface Stage1Config {
  /** Root: CD.TTB0, or TTB1 for the upper half. */
  readonly ttbr: Pa;
  readonly tcr: {
    /** CD.T0SZ, or T1SZ. With AArch32 LPAE, 32 less the input bits. */
    readonly tsz: number;
    /** As CD.TG0 encodes it, or for the upper half as CD.TG1 does. */
    readonly tg: number;
    /** CD.SH0: of walks, and with {@link ds} of leaves. */
    readonly sh: number;
    /** CD.OR0 and IR0. */
    readonly orgn: number;
    readonly irgn: number;
    readonly ips: number;
    /** CD.DS. */
    readonly ds: boolean;
  };
  readonly mairLo: number;
  readonly mairHi: number;
  /** TTB1 rather than TTB0. */
  readonly upper: boolean;
  /** CD.AA64. */
  readonly aa64: boolean;
}

/** What STE fields a stage 2 table wants. */
export interface Stage2Config {
  /** STE.S2TTB. */
  readonly vttbr: Pa;
  readonly vtcr: {
    /** STE.S2T0SZ. With AArch32 LPAE, 32 less the input bits in 4 bits of two's complement. */
    readonly tsz: number;
    /** STE.S2SL0, and S2SL0_2. */
    readonly sl: number;
    readonly sl2: boolean;
    readonly tg: number;
    readonly sh: number;
    readonly orgn: number;
    readonly irgn: number;
    readonly ps: number;
    /** STE.S2DS. */
    readonly ds: boolean;
  };
  /** STE.S2AA64. */
  readonly aa64: boolean;
}

const SH = CD.SH0.values;
const CACHE = CD.OR0.values;

/** How walks are done: as the walker snoops, or not. */
function walkAttributes(coherent: boolean, outerWbwa: boolean): { sh: number; orgn: number; irgn: number } {
  const writeBack = CACHE['WB read+write allocate'];
  const none = CACHE['non-cacheable'];
  return coherent
    ? { sh: SH['inner shareable'], orgn: writeBack, irgn: writeBack }
    : { sh: SH['outer shareable'], orgn: outerWbwa ? writeBack : none, irgn: none };
}

/** @throws {@link IommuError} `EINVAL` if a quirk contradicts the walker: outer write-back is for one that does not snoop. */
export function stage1Config(options: PgtableOptions, geometry: Geometry, ttbr: Pa, coherent: boolean): Stage1Config {
  const { iasBits, oasBits, quirks = {}, format = 'aarch64' } = options;
  const upper = quirks.ttbr1 === true;
  return {
    ttbr,
    tcr: {
      tsz: format === 'aarch32' ? 32 - iasBits : 64 - iasBits,
      tg: upper ? geometry.granule.tg1 : geometry.granule.tg0,
      ...walkAttributes(coherent, quirks.outerWbwa === true),
      ips: addressSizeEncoding(oasBits)!,
      ds: geometry.ds,
    },
    mairLo: MAIR_LO,
    mairHi: 0,
    upper,
    aa64: format === 'aarch64',
  };
}

export function stage2Config(options: PgtableOptions, geometry: Geometry, vttbr: Pa, coherent: boolean): Stage2Config {
  const { iasBits, oasBits, format = 'aarch64' } = options;
  const { sl0, sl02 } = sl0Of(geometry.granule.name, geometry.startLevel)!;
  return {
    vttbr,
    vtcr: {
      tsz: format === 'aarch32' ? (32 - iasBits) & 15 : 64 - iasBits,
      sl: sl0,
      sl2: sl02,
      tg: geometry.granule.s2tg,
      ...walkAttributes(coherent, false),
      ps: addressSizeEncoding(oasBits)!,
      ds: geometry.ds,
    },
    aa64: format === 'aarch64',
  };
}

/** @throws {@link IommuError} `EINVAL` if a quirk is of the other stage, or contradicts the walker. */
export function checkQuirks({ stage, quirks = {}, tableLimits }: PgtableOptions, coherent: boolean): void {
  const { ns, ttbr1, outerWbwa, s2fwb } = quirks;
  if (stage === 1 && s2fwb) throw new IommuError('EINVAL', 'quirk s2fwb is for stage 2');
  if (stage === 2 && (ns || ttbr1 || outerWbwa || tableLimits))
    throw new IommuError('EINVAL', 'quirks ns, ttbr1, outerWbwa and table limits are for stage 1');
  if (outerWbwa && coherent)
    throw new IommuError('EINVAL', 'quirk outerWbwa is for a walker that does not snoop; this one does');
}
