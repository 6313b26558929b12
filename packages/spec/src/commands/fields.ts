/** Fields that several commands share, IHI 0070 §4.1. */
import { addr, bits, choice, flag, wide } from '../field.ts';
import { LEAF, SSEC, TLBI_TG } from '../values.ts';

export const Opcode = bits(0, 7, 0, 'command code');
export const SSec = flag(0, 10, 'StreamID space; must be 0 off the Secure queue', SSEC);
export const SSV = flag(0, 11, 'SubstreamID supplied');
export const SubstreamID = bits(0, 31, 12, 'substream / PASID');
export const StreamID = bits(0, 63, 32, 'stream');
export const Addr = wide(1, 63, 12, 'VA[63:12]');
export const Leaf = flag(1, 0, 'last-level entries only', LEAF);
export const VMID = bits(0, 47, 32, 'VMID match; RES0 without stage 2 in that space');
export const ASID = bits(0, 63, 48, 'ASID match');
export const NUM = bits(0, 16, 12, 'range multiplier minus one; needs RIL and TG nonzero');
export const SCALE = bits(0, 25, 20, 'range exponent; bit 25 only with IDR5.DS, above 39 acts as 39');
export const TTL128 = flag(1, 7, 'TTL refers to 128-bit descriptors; needs TG and TTL nonzero');
export const TTL = choice(
  1,
  9,
  8,
  { 'any level': 0, 'level 1': 1, 'level 2': 2, 'level 3': 3 },
  'leaf level hint; needs TG nonzero',
);
export const TG = choice(1, 11, 10, TLBI_TG, 'granule of entries; nonzero turns on range form');
export const IpaAddr = addr(1, 55, 12, 'IPA[55:12]');
