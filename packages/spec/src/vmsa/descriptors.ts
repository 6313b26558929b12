/**
 * VMSAv8-64 translation table entries, 64 bits each. Arm DDI 0487 §D8.3; Linux drivers/iommu/io-pgtable-arm.c.
 *
 * The address is in layouts of its own (outputAddress.ts), for it depends on granule and output size. Fields that share
 * bits say when each holds; that is decided by the CD or STE, or by whether the entry is a block, not by the entry.
 */
import { type Alternate, addr, alternate, bits, choice, flag, type Values } from '../field.ts';
import { type Decoded, layout } from '../layout.ts';
import { SHAREABILITY } from '../values.ts';

/** Bits 1:0 of an entry. What 1 and 3 mean depends on the level: 3 is a page at level 3, and 1 is invalid there. */
export const DESCRIPTOR_TYPE = { MASK: 3, BLOCK: 1, TABLE: 3, PAGE: 3 } as const;

export type DescriptorKind = 'invalid' | 'table' | 'block' | 'page';

/**
 * What kind of entry it is. A block at a level that takes none is a translation fault all the same: see
 * {@link GranuleLevel.block}.
 *
 * @param lo - The entry's lower word.
 * @param level - −1 to 3.
 */
export function descriptorKind(lo: number, level: number): DescriptorKind {
  if ((lo & 1) === 0) return 'invalid';
  const both = (lo & DESCRIPTOR_TYPE.MASK) === DESCRIPTOR_TYPE.TABLE;
  if (level === 3) return both ? 'page' : 'invalid';
  return both ? 'table' : 'block';
}

/** One of the meanings that an entry's bits have under direct or indirect permissions (CD.PIE, STE.S2PIE). */
const direct = <F extends Alternate>(field: F): F => alternate('direct permissions', field);
const indirect = <F extends Alternate>(field: F): F => alternate('indirect permissions', field);

/** Output address bits, by the conditions under which an entry has them there. */
const address = {
  OA_47_12: alternate('page', addr(0, 47, 12, 'output address; bits below the leaf size come from the input')),
  OA_49_48: alternate('DS', bits(0, 49, 48, 'output address bits 49:48')),
  OA_51_50: alternate('DS', bits(0, 9, 8, 'output address bits 51:50')),
  OA_51_48: alternate('64KB granule, 52 bits', bits(0, 15, 12, 'output address bits 51:48')),
};
const nextTable = {
  NLTA_47_12: alternate('48 bits', addr(0, 47, 12, 'next table')),
  NLTA_49_48: alternate('DS', bits(0, 49, 48, 'next table address bits 49:48')),
  NLTA_51_50: alternate('DS', bits(0, 9, 8, 'next table address bits 51:50')),
  NLTA_51_48: alternate('64KB granule, 52 bits', bits(0, 15, 12, 'next table address bits 51:48')),
};
const SH = alternate('no DS', choice(0, 9, 8, SHAREABILITY, 'shareability; with DS it comes from CD.SHx or STE.S2SH0'));
const nT = alternate('block', flag(0, 16, 'block replacement hint, BBML level 1'));
const AF = flag(0, 10, 'access flag');
const Valid = flag(0, 0, 'entry valid; if clear, the rest is free for software');

/** Stage 1 block or page. */
export const s1LeafLayout = layout('S1_LEAF', 8, 'DDI 0487 §D8.3.1', {
  Valid,
  Type: flag(0, 1, 'kind of leaf', ['block', 'page at level 3']),
  AttrIndx: bits(0, 4, 2, 'MAIR byte number'),
  NS: flag(0, 5, 'output space; Secure and Realm EL2 only'),
  AP1: direct(flag(0, 6, 'unprivileged access')),
  AP2: direct(flag(0, 7, 'read-only')),
  PIIndex0: indirect(flag(0, 6, 'permission index bit 0')),
  nDirty: indirect(flag(0, 7, 'dirty state', ['writable-dirty', 'writable-clean'])),
  SH,
  AF,
  nG: flag(0, 11, 'tagged by ASID; RES0 with a single privilege level', ['global', 'non-global']),
  ...address,
  nT,
  GP: flag(0, 50, 'PE guarded page; no effect in the SMMU'),
  DBM: direct(flag(0, 51, 'dirty modifier')),
  PIIndex1: indirect(flag(0, 51, 'permission index bit 1')),
  Contiguous: alternate('no PnCH', flag(0, 52, 'run hint')),
  Protected: alternate('PnCH', flag(0, 52, 'stage 1 protected')),
  PXN: direct(flag(0, 53, 'privileged execute-never; RES0 with a single privilege level')),
  PIIndex2: indirect(flag(0, 53, 'permission index bit 2')),
  UXN: direct(flag(0, 54, 'unprivileged execute-never; plain XN with a single privilege level')),
  PIIndex3: indirect(flag(0, 54, 'permission index bit 3')),
  Software: bits(0, 58, 55, 'free for software'),
  PBHA0: alternate('PBHA', flag(0, 59, 'hardware attribute when HWUx59 set')),
  AttrIndx3: alternate('AIE', flag(0, 59, 'MAIR bank, with CD.AIE')),
  PBHA3_1: bits(0, 62, 60, 'hardware attributes when HWUx60-62 set'),
  Ignored63: flag(0, 63, 'ignored'),
});
/** The fields, for hot code: `S1_LEAF.AF.mask` is the flag in its word, {@link BitsField.word} tells which. */
export const S1_LEAF = s1LeafLayout.fields;
export type S1Leaf = Decoded<typeof S1_LEAF>;

/** Stage 2 memory type without forced write-back. 4, 8 and 12 are reserved. */
export const S2_MEM_ATTR = {
  'Device-nGnRnE': 0,
  'Device-nGnRE': 1,
  'Device-nGRE': 2,
  'Device-GRE': 3,
  'oNC iNC': 5,
  'oNC iWT': 6,
  'oNC iWB': 7,
  'oWT iNC': 9,
  'oWT iWT': 10,
  'oWT iWB': 11,
  'oWB iNC': 13,
  'oWB iWT': 14,
  'oWB iWB, keeps the stage 1 result': 15,
} as const satisfies Values;

/** Stage 2 memory type under STE.S2FWB. 4 is reserved; bit 3 is RES0 without MTEPERM, 14 and 15 add NoTagAccess. */
export const S2_MEM_ATTR_FWB = {
  'Device, combined with stage 1': [0, 3],
  'Normal NC, or Device if stage 1 is Device': 5,
  'Normal WB whatever stage 1 says': 6,
  'stage 1 type unchanged': 7,
} as const satisfies Values;

/** Stage 2 block or page. */
export const s2LeafLayout = layout('S2_LEAF', 8, 'DDI 0487 §D8.3.1', {
  Valid,
  Type: flag(0, 1, 'kind of leaf', ['block', 'page at level 3']),
  MemAttr2_0: bits(0, 4, 2, 'memory type'),
  MemAttr3: flag(0, 5, 'top memory type bit; RES0 with FWB'),
  S2AP0: direct(flag(0, 6, 'read allowed')),
  S2AP1: direct(flag(0, 7, 'write allowed')),
  PIIndex0: indirect(flag(0, 6, 'permission index bit 0')),
  Dirty: indirect(flag(0, 7, 'dirty state', ['writable-clean', 'writable-dirty'])),
  SH,
  AF,
  FnXS: flag(0, 11, 'RES0 unless the XS feature exists'),
  ...address,
  nT,
  DBM: direct(flag(0, 51, 'dirty modifier')),
  PIIndex1: indirect(flag(0, 51, 'permission index bit 1')),
  Contiguous: flag(0, 52, 'run hint'),
  XN0: direct(flag(0, 53, 'with XNX, see S2_XN; else RES0')),
  PIIndex2: indirect(flag(0, 53, 'permission index bit 2')),
  XN1: direct(flag(0, 54, 'execute-never')),
  PIIndex3: indirect(flag(0, 54, 'permission index bit 3')),
  NS: flag(0, 55, 'Realm output space'),
  Software: bits(0, 57, 56, 'free for software'),
  AssuredOnly: flag(0, 58, 'with STE.AssuredOnly; else free for software'),
  PBHA_POIndex: bits(0, 62, 59, 'hardware attributes, or overlay index with S2POE; 63:60 are RES0 from SMMUv3.1'),
  RES0_63: flag(0, 63, 'RES0 (Realm alternate MECID when NS=0)'),
});
export const S2_LEAF = s2LeafLayout.fields;
export type S2Leaf = Decoded<typeof S2_LEAF>;

const TableType = flag(0, 1, 'kind of entry', ['block', 'table']);

/** Stage 1 pointer to a table. 62:59 are ignored if CD.HADx is set or permissions are indirect; NSTable never is. */
export const s1TableLayout = layout('S1_TABLE', 8, 'DDI 0487 §D8.3.1', {
  Valid,
  Type: TableType,
  AF: flag(0, 10, 'table access flag with HAFT'),
  ...nextTable,
  Protected: flag(0, 52, 'with PnCH'),
  PXNTable: flag(0, 59, 'forbid privileged execute below; two-privilege regimes'),
  UXNTable: flag(0, 60, 'forbid unprivileged execute below; XNTable with a single privilege level'),
  APTable: bits(0, 62, 61, 'restrict data access below'),
  NSTable: flag(0, 63, 'Secure walk turns Non-secure below; RES0 elsewhere'),
});
export const S1_TABLE = s1TableLayout.fields;
export type S1Table = Decoded<typeof S1_TABLE>;

/** Stage 2 pointer to a table. */
export const s2TableLayout = layout('S2_TABLE', 8, 'DDI 0487 §D8.3.1', {
  Valid,
  Type: TableType,
  AF: flag(0, 10, 'table access flag with S2HAFT'),
  ...nextTable,
  RES0_62_59: bits(0, 62, 59, 'RES0'),
  RES0_63: flag(0, 63, 'RES0'),
});
export const S2_TABLE = s2TableLayout.fields;
export type S2Table = Decoded<typeof S2_TABLE>;
