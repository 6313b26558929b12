/**
 * Level 3 entries for whoever writes them itself: the tables of a process (Arm DDI 0487 §D8.3.1; Linux
 * arch/arm64/include/asm/pgtable-hwdef.h and pgtable-prot.h). An entry is two unsigned words; `_LO` and `_HI` say which
 * one a mask belongs to. Where a field stands is @smmu/spec's to say.
 */
import type { Pa } from '@smmu/platform';
import { ADDRESS_LAYOUTS, DESCRIPTOR_TYPE, granuleByShift, S1_LEAF, S2_LEAF } from '@smmu/spec';

/** An entry without it is nothing to the hardware; its other bits are free for software. */
export const PTE_VALID_LO: number = S1_LEAF.Valid.mask;
/** Bits 1:0 of an entry: a block, or with level 3 a page, and above it a table. */
export const PTE_TYPE_MASK_LO: number = DESCRIPTOR_TYPE.MASK;
export const PTE_BLOCK_LO: number = DESCRIPTOR_TYPE.BLOCK;
export const PTE_PAGE_LO: number = DESCRIPTOR_TYPE.PAGE;
export const PTE_TABLE_LO: number = DESCRIPTOR_TYPE.TABLE;
/** Which byte of MAIR tells the memory type: shift an index here. */
export const PTE_ATTR_SHIFT_LO: number = S1_LEAF.AttrIndx.shift;
export const PTE_ATTR_MASK_LO: number = S1_LEAF.AttrIndx.mask;
/** Output is Non-secure. */
export const PTE_NS_LO: number = S1_LEAF.NS.mask;
/** AP[1]: unprivileged accesses are allowed too. */
export const PTE_AP_USER_LO: number = S1_LEAF.AP1.mask;
/** AP[2]: writes are refused; with {@link PTE_DBM_HI} they make the page dirty instead. */
export const PTE_AP_RDONLY_LO: number = S1_LEAF.AP2.mask;
/** Stage 2: reads and writes are allowed. */
export const PTE_S2_READ_LO: number = S2_LEAF.S2AP0.mask;
export const PTE_S2_WRITE_LO: number = S2_LEAF.S2AP1.mask;
export const PTE_SH_SHIFT_LO: number = S1_LEAF.SH.shift;
export const PTE_SH_MASK_LO: number = S1_LEAF.SH.mask;
export const PTE_SH_OUTER_LO: number = S1_LEAF.SH.values['outer shareable'] << S1_LEAF.SH.shift;
export const PTE_SH_INNER_LO: number = S1_LEAF.SH.values['inner shareable'] << S1_LEAF.SH.shift;
/** Accessed: without it an access faults, or hardware sets it (HTTU). */
export const PTE_AF_LO: number = S1_LEAF.AF.mask;
/** Tagged with the ASID. */
export const PTE_NG_LO: number = S1_LEAF.nG.mask;
/** Block that is about to be replaced (BBML 1). */
export const PTE_NT_LO: number = S1_LEAF.nT.mask;
/** Dirty bit modifier: may be written, whatever {@link PTE_AP_RDONLY_LO} or {@link PTE_S2_WRITE_LO} say so far. */
export const PTE_DBM_HI: number = S1_LEAF.DBM.mask;
/** Part of an aligned run of entries that may share a TLB entry. */
export const PTE_CONT_HI: number = S1_LEAF.Contiguous.mask;
/** Execute-never, privileged and unprivileged. */
export const PTE_PXN_HI: number = S1_LEAF.PXN.mask;
export const PTE_UXN_HI: number = S1_LEAF.UXN.mask;
/** The four bits that hardware leaves to software, 55 to 58. */
export const PTE_SW_MASK_HI: number = S1_LEAF.Software.mask;
/** Software: the page has been written (Linux `PTE_DIRTY`, bit 55). */
export const PTE_SW_DIRTY_HI: number = 1 << S1_LEAF.Software.shift;
/** Software: no page of the process's own (Linux `PTE_SPECIAL`, bit 56). */
export const PTE_SW_SPECIAL_HI: number = 1 << (S1_LEAF.Software.shift + 1);

/** What holds of the table entries of another level, not of leaves. Hardware ignores bit 55 there. */
export const TABLE_SW_SYNC_HI: number = PTE_SW_DIRTY_HI;

/**
 * Where an entry keeps its address. Plain numbers for hot code, which would pay for closures that it cannot inline:
 * see `addressLo`, `addressHi` and `addressOf` below for how they are used.
 */
export interface PteAddress {
  /** The address's bits in the upper word, and the bits of the lower word that are in place. */
  readonly maskHi: number;
  readonly placedLo: number;
  /** The address's top bits stand in the lower word at `movedShift`, as many as `movedMax` has; 0 if none do. */
  readonly movedShift: number;
  readonly movedMax: number;
  /** Value of the lowest moved bit, as an address. */
  readonly movedUnit: number;
}

/**
 * How entries keep addresses.
 * @param granuleShift - 12, 14 or 16.
 * @param wide - 52-bit descriptors: LPA2 with 4 and 16 KiB granules, LPA with 64 KiB.
 */
export function pteAddress(granuleShift: 12 | 14 | 16, wide = false): PteAddress {
  const layouts = ADDRESS_LAYOUTS[granuleByShift(granuleShift)!.name];
  const { map, maskHi } = wide ? ('LPA' in layouts ? layouts.LPA : layouts.DS) : layouts['48-bit'];
  const moved = map.length > 1 ? map[0] : undefined;
  return {
    maskHi,
    placedLo: -(2 ** granuleShift) >>> 0,
    movedShift: moved?.descriptor[1] ?? 0,
    movedMax: moved === undefined ? 0 : 2 ** (moved.oa[0] - moved.oa[1] + 1) - 1,
    movedUnit: 2 ** (moved?.oa[1] ?? 48),
  };
}

/** Lower word of a page-aligned address. */
export const addressLo = (pa: Pa, { movedShift, movedMax, movedUnit }: PteAddress): number =>
  ((pa % 2 ** 32) | ((Math.floor(pa / movedUnit) & movedMax) << movedShift)) >>> 0;

/** Upper word of a page-aligned address. */
export const addressHi = (pa: Pa, { maskHi }: PteAddress): number => ((pa / 2 ** 32) & maskHi) >>> 0;

/** The address in a page or table entry. */
export const addressOf = (lo: number, hi: number, layout: PteAddress): Pa =>
  ((lo >>> layout.movedShift) & layout.movedMax) * layout.movedUnit +
  (hi & layout.maskHi) * 2 ** 32 +
  ((lo & layout.placedLo) >>> 0);
