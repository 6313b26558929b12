/**
 * From protection bits to the bits of an entry (Arm DDI 0487 §D8.3.1, §D8.4, §D8.6; Linux io-pgtable-arm.c
 * `arm_lpae_prot_to_pte`). There are 64 combinations, so they are worked out once per table.
 */
import { S1_TABLE, S2_LEAF, S2_MEM_ATTR, S2_MEM_ATTR_FWB } from '@smmu/spec';
import {
  PTE_AF_LO,
  PTE_AP_RDONLY_LO,
  PTE_AP_USER_LO,
  PTE_ATTR_SHIFT_LO,
  PTE_DBM_HI,
  PTE_NG_LO,
  PTE_NS_LO,
  PTE_PXN_HI,
  PTE_S2_READ_LO,
  PTE_S2_WRITE_LO,
  PTE_SH_INNER_LO,
  PTE_SH_OUTER_LO,
  PTE_TABLE_LO,
  PTE_UXN_HI,
} from './descriptors.ts';
import { type PgtableOptions, PROT } from './types.ts';

/** MAIR bytes by the index that leaves use (Linux `ARM_LPAE_MAIR_ATTR_*`). */
export const MAIR_NC_INDEX = 0;
export const MAIR_CACHE_INDEX = 1;
export const MAIR_DEVICE_INDEX = 2;
/** Inner not cached, outer write-back: for a system cache. No protection bit chooses it. */
export const MAIR_INC_OCACHE_INDEX = 3;
const MAIR_BYTES = [0x44, 0xff, 0x04, 0xf4];
/** The lower word of MAIR; the upper one is 0. */
export const MAIR_LO: number = MAIR_BYTES.reduce((word, byte, index) => word + byte * 2 ** (8 * index), 0);

export const PROT_COMBINATIONS = 64;

/** Bits of a leaf by protection, but for type and address. An entry of both 0 is a protection that is refused. */
export interface LeafBits {
  readonly lo: Int32Array;
  readonly hi: Int32Array;
}

/** Reading or writing must be allowed: an entry that allows neither would be a mapping that nothing can use. */
export function leafBits(options: PgtableOptions, ds: boolean): LeafBits {
  const lo = new Int32Array(PROT_COMBINATIONS);
  const hi = new Int32Array(PROT_COMBINATIONS);
  for (let prot = 0; prot < PROT_COMBINATIONS; prot++) {
    if ((prot & (PROT.READ | PROT.WRITE)) === 0) continue;
    const share = (prot & PROT.CACHE) !== 0 ? PTE_SH_INNER_LO : PTE_SH_OUTER_LO;
    lo[prot] = PTE_AF_LO | (ds ? 0 : share) | (options.stage === 1 ? stage1Lo(prot, options) : stage2Lo(prot, options));
    hi[prot] = (prot & PROT.NOEXEC) !== 0 ? neverExecuted(options) : 0;
    if (options.quirks?.hd && (prot & PROT.WRITE) !== 0) hi[prot]! |= PTE_DBM_HI;
  }
  return { lo, hi };
}

function stage1Lo(prot: number, { quirks }: PgtableOptions): number {
  let lo = PTE_NG_LO | (memoryIndex(prot) << PTE_ATTR_SHIFT_LO);
  if ((prot & PROT.WRITE) === 0) lo |= PTE_AP_RDONLY_LO;
  if ((prot & PROT.PRIV) === 0) lo |= PTE_AP_USER_LO;
  if (quirks?.ns) lo |= PTE_NS_LO;
  return lo;
}

function memoryIndex(prot: number): number {
  if ((prot & PROT.MMIO) !== 0) return MAIR_DEVICE_INDEX;
  return (prot & PROT.CACHE) !== 0 ? MAIR_CACHE_INDEX : MAIR_NC_INDEX;
}

function stage2Lo(prot: number, { quirks }: PgtableOptions): number {
  // MemAttr[3:0] is two fields that are next to each other.
  let lo = stage2Type(prot, quirks?.s2fwb === true) << S2_LEAF.MemAttr2_0.shift;
  if ((prot & PROT.READ) !== 0) lo |= PTE_S2_READ_LO;
  if ((prot & PROT.WRITE) !== 0) lo |= PTE_S2_WRITE_LO;
  return lo;
}

function stage2Type(prot: number, fwb: boolean): number {
  if ((prot & PROT.MMIO) !== 0) return S2_MEM_ATTR['Device-nGnRE'];
  if ((prot & PROT.CACHE) === 0) return S2_MEM_ATTR['oNC iNC'];
  return fwb ? S2_MEM_ATTR_FWB['Normal WB whatever stage 1 says'] : S2_MEM_ATTR['oWB iWB, keeps the stage 1 result'];
}

const neverExecuted = ({ stage }: PgtableOptions): number =>
  stage === 1 ? PTE_PXN_HI | PTE_UXN_HI : S2_LEAF.XN0.mask | S2_LEAF.XN1.mask;

/** Bits of every table entry, but for the address. */
export function tableBits({ stage, quirks, tableLimits = {} }: PgtableOptions): {
  readonly lo: number;
  readonly hi: number;
} {
  if (stage === 2) return { lo: PTE_TABLE_LO, hi: 0 };
  const { noWrite, noUser, noExec, noPrivilegedExec } = tableLimits;
  const ap = (noWrite ? 2 : 0) | (noUser ? 1 : 0);
  const hi =
    (quirks?.ns ? S1_TABLE.NSTable.mask : 0) |
    (ap << S1_TABLE.APTable.shift) |
    (noExec ? S1_TABLE.UXNTable.mask | S1_TABLE.PXNTable.mask : 0) |
    (noPrivilegedExec ? S1_TABLE.PXNTable.mask : 0);
  return { lo: PTE_TABLE_LO, hi: hi >>> 0 };
}
