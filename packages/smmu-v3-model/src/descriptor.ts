/**
 * Translation table entries as the walkers read them: where the next table or the page is, and who may use it.
 * Arm DDI 0487 D8.3, D8.4; IHI 0070 §3.13, §5.4. Bit positions come from the architecture's table in @smmu/spec.
 */
import { S1_LEAF, S1_TABLE, S2_LEAF } from '@smmu/spec';
import { PERM_EXECUTE_PRIVILEGED, PERM_EXECUTE_UNPRIVILEGED, PERM_READ, PERM_WRITE } from './entryBits.ts';
import { LAYOUT_48, LAYOUT_DS, type TableRange } from './tableRange.ts';

export const D_VALID: number = S1_LEAF.Valid.mask;
/** A table before level 3, a page at level 3; clear: a block, or nothing. */
export const D_TYPE: number = S1_LEAF.Type.mask;
export const D_AF: number = S1_LEAF.AF.mask;
export const D_NG: number = S1_LEAF.nG.mask;
/** In a block: do not keep it whole while a table is being replaced by it, or it by a table. */
export const D_NT: number = S1_LEAF.nT.mask;
/** In the upper word. */
export const D_CONTIGUOUS: number = S1_LEAF.Contiguous.mask;
export const D_DBM: number = S1_LEAF.DBM.mask;
/** Stage 1: set in a page that is read-only, or writable but clean. */
export const D_AP_READ_ONLY: number = S1_LEAF.AP2.mask;
const AP_UNPRIVILEGED = S1_LEAF.AP1.mask;
const UXN = S1_LEAF.UXN.mask;
const PXN = S1_LEAF.PXN.mask;
/** Stage 2: set in a page that may be written; clear in one that may not, or is clean. */
export const D_S2AP_WRITE: number = S2_LEAF.S2AP1.mask;
const S2AP_READ = S2_LEAF.S2AP0.mask;
const XN1 = S2_LEAF.XN1.mask;
const XN0 = S2_LEAF.XN0.mask;

/** What the tables above a leaf took away, as the upper word of their descriptors says. They add up over the levels. */
export const LIMITS: number =
  ((S1_TABLE.APTable.mask | S1_TABLE.UXNTable.mask | S1_TABLE.PXNTable.mask) & 0x7fff_ffff) >>> 0;
const LIMIT_WRITE = 2 << S1_TABLE.APTable.shift;
const LIMIT_UNPRIVILEGED = 1 << S1_TABLE.APTable.shift;
const LIMIT_UX = S1_TABLE.UXNTable.mask;
const LIMIT_PX = S1_TABLE.PXNTable.mask;

/** Permission controls of a CD that leaves are read with. */
export interface Stage1Controls {
  readonly wxn: boolean;
  readonly pan: boolean;
  readonly epan: boolean;
}

/** Whether hardware may make the page writable: DBM set, read-only now, and no table above forbids it. */
export const isStage1Clean = (lo: number, hi: number, limits: number): boolean =>
  (hi & D_DBM) !== 0 && (lo & D_AP_READ_ONLY) !== 0 && (limits & LIMIT_WRITE) === 0;

/**
 * Stage 1 permissions of a leaf.
 * @param twoLevels - The world tells unprivileged from privileged; else both get the same (EL2).
 * @param clean - Count a writable-clean page as writable: for write-execute checks it is.
 */
export function stage1Permissions(
  lo: number,
  hi: number,
  limits: number,
  controls: Stage1Controls,
  twoLevels: boolean,
  clean: boolean,
): number {
  const writable = ((lo & D_AP_READ_ONLY) === 0 || clean) && (limits & LIMIT_WRITE) === 0;
  if (!twoLevels) {
    const data = writable ? PERM_READ | PERM_WRITE : PERM_READ;
    const never = ((hi & UXN) | (limits & LIMIT_UX)) !== 0 || (controls.wxn && writable);
    return never ? data : data | PERM_EXECUTE_UNPRIVILEGED | PERM_EXECUTE_PRIVILEGED;
  }
  const user = (lo & AP_UNPRIVILEGED) !== 0 && (limits & LIMIT_UNPRIVILEGED) === 0;
  let unprivileged = user ? (writable ? 3 : 1) : 0;
  let privileged = writable ? 3 : 1;
  if (((hi & UXN) | (limits & LIMIT_UX)) === 0 && !(controls.wxn && (unprivileged & 2) !== 0)) unprivileged |= 4;
  // A page that unprivileged code may write is never executed with privilege.
  if (((hi & PXN) | (limits & LIMIT_PX)) === 0 && !(controls.wxn && writable) && (unprivileged & 2) === 0)
    privileged |= 4;
  if (controls.pan && (unprivileged & (controls.epan ? 7 : 3)) !== 0) privileged &= 4;
  return unprivileged | (privileged << 3);
}

// permissionKey: AP[2:1] in bits 1:0, XN bits in 3:2, limits in 7:4, clean in 8.
const AP_SHIFT = S1_LEAF.AP1.shift;
const XN_SHIFT = S1_LEAF.PXN.shift;
const LIMIT_SHIFT = S1_TABLE.PXNTable.shift;
const KEYS = 512;

/** What of a leaf and of the tables above it decides its permissions, as an index of {@link permissionTable}. */
export const permissionKey = (lo: number, hi: number, limits: number, clean: boolean): number =>
  ((lo >>> AP_SHIFT) & 3) | (((hi >>> XN_SHIFT) & 3) << 2) | (((limits >>> LIMIT_SHIFT) & 15) << 4) | (clean ? 256 : 0);

const tables: (Uint8Array | undefined)[] = [];

/** {@link stage1Permissions} of every leaf under a CD's controls. There are few different ones: they are shared. */
export function permissionTable(controls: Stage1Controls, twoLevels: boolean): Uint8Array {
  const which = (controls.wxn ? 1 : 0) | (controls.pan ? 2 : 0) | (controls.epan ? 4 : 0) | (twoLevels ? 8 : 0);
  return (tables[which] ??= Uint8Array.from({ length: KEYS }, (_, key) =>
    stage1Permissions(
      (key & 3) << AP_SHIFT,
      ((key >>> 2) & 3) << XN_SHIFT,
      ((key >>> 4) & 15) << LIMIT_SHIFT,
      controls,
      twoLevels,
      key >= 256,
    ),
  ));
}

/** Stage 2 permissions of a leaf: S2AP[0] reads, S2AP[1] writes, XN takes execution away. */
export function stage2Permissions(lo: number, hi: number, xnx: boolean): number {
  let permissions = ((lo & S2AP_READ) !== 0 ? PERM_READ : 0) | ((lo & D_S2AP_WRITE) !== 0 ? PERM_WRITE : 0);
  const xn1 = (hi & XN1) !== 0;
  const xn0 = xnx && (hi & XN0) !== 0;
  if (!xn1) permissions |= PERM_EXECUTE_UNPRIVILEGED;
  if (xn1 === xn0) permissions |= PERM_EXECUTE_PRIVILEGED;
  return permissions;
}

const S2AP_SHIFT = S2_LEAF.S2AP0.shift;

/** What of a stage 2 leaf decides its permissions: S2AP in bits 1:0, XN in 3:2. */
export const stage2PermissionKey = (lo: number, hi: number): number =>
  ((lo >>> S2AP_SHIFT) & 3) | (((hi >>> XN_SHIFT) & 3) << 2);

/** {@link stage2Permissions} of every leaf. */
export const stage2PermissionTable = (xnx: boolean): Uint8Array =>
  Uint8Array.from({ length: 16 }, (_, key) => stage2Permissions((key & 3) << S2AP_SHIFT, (key >>> 2) << XN_SHIFT, xnx));

/** A page that needs no second look has these set, of its lower word. */
export const D_PLAIN: number = D_VALID | D_TYPE | D_AF;

/** MemAttr of a stage 2 leaf, four bits. */
export const memAttrOf = (lo: number): number =>
  S2_LEAF.MemAttr2_0.of(lo) | ((lo & S2_LEAF.MemAttr3.mask) !== 0 ? 8 : 0);

/** Shareability of a leaf that has room for it. */
export const shareabilityOf = (lo: number): number => S1_LEAF.SH.of(lo);

/** A word's bytes in the other order: tables may be big-endian. */
export const swap = (word: number): number =>
  ((word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;

const OA_51_50 = S1_LEAF.OA_51_50;
const OA_51_48 = S1_LEAF.OA_51_48;

/** The address in a descriptor of the range's layout, with the bits below `shift` zero. */
export function outputAddress(range: TableRange, lo: number, hi: number, shift: number): number {
  const low = shift >= 32 ? 0 : (lo & (-1 << shift)) >>> 0;
  let high = hi & 0xffff;
  if (range.layout !== LAYOUT_48)
    high |= range.layout === LAYOUT_DS ? (hi & 0x30000) | (OA_51_50.of(lo) << 18) : OA_51_48.of(lo) << 16;
  if (shift > 32) high &= -1 << (shift - 32);
  return high * 2 ** 32 + low;
}
