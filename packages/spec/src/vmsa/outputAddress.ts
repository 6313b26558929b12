/**
 * Where an entry keeps its address: the page, block or next table. Arm DDI 0487 §D8.3.1; Linux io-pgtable-arm.c
 * paddr_to_iopte and iopte_to_paddr.
 */
import { FieldRangeError } from '../errors.ts';
import type { GranuleName } from './granules.ts';

/** 48-bit output; 52-bit with DS (4KB, 16KB); 52-bit with the 64KB granule. */
export type AddressMode = '48-bit' | 'DS' | 'LPA';

/** Output address bits `hi:lo` in descriptor bits `hi:lo`. */
export interface AddressBits {
  readonly oa: readonly [hi: number, lo: number];
  readonly descriptor: readonly [hi: number, lo: number];
}

export interface AddressLayout {
  readonly granule: GranuleName;
  readonly mode: AddressMode;
  readonly map: readonly AddressBits[];
  /** The address's bits in the entry's lower and upper word, for a page or a next table. */
  readonly maskLo: number;
  readonly maskHi: number;
  /** The address in an entry, given as two words. For a block mask the bits below its size away. */
  readonly addressOf: (lo: number, hi: number) => number;
  /** The address as an entry's lower word. */
  readonly loOf: (address: number) => number;
  /** The address as an entry's upper word. */
  readonly hiOf: (address: number) => number;
  /** @throws FieldRangeError if the address is too large or not aligned to the granule. */
  readonly check: (address: number) => void;
}

const WORD = 2 ** 32;

/** `moved` of the address's top bits stand at `at` in the lower word, the rest in place. */
function addressLayout(
  granule: GranuleName,
  mode: AddressMode,
  shift: number,
  inPlaceTop: number,
  moved: number,
  at: number,
): AddressLayout {
  const top = inPlaceTop + moved;
  const placedLo = -(2 ** shift) >>> 0;
  const maskHi = 2 ** (inPlaceTop - 31) - 1;
  const movedMax = 2 ** moved - 1;
  const movedMask = movedMax << at;
  const movedUnit = 2 ** (inPlaceTop + 1); // the value of the lowest moved bit
  const map: AddressBits[] = [{ oa: [inPlaceTop, shift], descriptor: [inPlaceTop, shift] }];
  if (moved > 0) map.unshift({ oa: [top, inPlaceTop + 1], descriptor: [at + moved - 1, at] });
  return {
    granule,
    mode,
    map,
    maskLo: (placedLo | movedMask) >>> 0,
    maskHi,
    addressOf: (lo, hi) => ((lo >>> at) & movedMax) * movedUnit + (hi & maskHi) * WORD + ((lo & placedLo) >>> 0),
    loOf: (address) => ((address & placedLo) | ((Math.floor(address / movedUnit) & movedMax) << at)) >>> 0,
    hiOf: (address) => ((address / WORD) & maskHi) >>> 0,
    check: (address) => {
      const end = 2 ** (top + 1);
      if (!(address >= 0 && address < end) || address % 2 ** shift !== 0)
        throw new FieldRangeError(`${granule} ${mode} address`, address, end - 2 ** shift, 2 ** shift);
    },
  };
}

/** All layouts. The 64KB granule keeps bits 51:48 in 15:12, DS keeps 51:50 in 9:8. */
export const ADDRESS_LAYOUTS = {
  '4KB': {
    '48-bit': addressLayout('4KB', '48-bit', 12, 47, 0, 0),
    DS: addressLayout('4KB', 'DS', 12, 49, 2, 8),
  },
  '16KB': {
    '48-bit': addressLayout('16KB', '48-bit', 14, 47, 0, 0),
    DS: addressLayout('16KB', 'DS', 14, 49, 2, 8),
  },
  '64KB': {
    '48-bit': addressLayout('64KB', '48-bit', 16, 47, 0, 0),
    LPA: addressLayout('64KB', 'LPA', 16, 47, 4, 12),
  },
} as const;
