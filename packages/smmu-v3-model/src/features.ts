/**
 * What an SMMU can do, in words, and the ID registers that say so. IHI 0070 §6.3.1 to §6.3.8.
 */
import { IommuError } from '@smmu/platform';
import { AIDR, IDR0, IDR1, IDR3, IDR5, IIDR } from '@smmu/spec';

export type Granule = '4k' | '16k' | '64k';

/** Every IDR feature that can be posed, and how large the caches are. {@link features} checks a set of them. */
export interface ModelFeatures {
  /** IDR0.S1P. */
  readonly stage1: boolean;
  /** IDR0.S2P. */
  readonly stage2: boolean;
  /** IDR5.GRAN4K, GRAN16K, GRAN64K. */
  readonly granules: readonly Granule[];
  /** IDR5.OAS: bits of a physical address. */
  readonly oasBits: 32 | 36 | 40 | 42 | 44 | 48 | 52;
  /** IDR5.VAX: bits of a virtual address at most. */
  readonly vaBits: 48 | 52;
  /** IDR5.DS: 52-bit addresses with 4 KiB and 16 KiB granules. */
  readonly ds: boolean;
  /** IDR1.SIDSIZE. */
  readonly sidBits: number;
  /** IDR1.SSIDSIZE. */
  readonly ssidBits: number;
  /** IDR0.ST_LEVEL. */
  readonly twoLevelStreamTable: boolean;
  /** IDR0.CD2L. */
  readonly twoLevelCdTable: boolean;
  /** IDR0.TTENDIAN: byte order of translation tables. */
  readonly tableEndian: 'little' | 'big' | 'mixed';
  /** IDR0.COHACC: the SMMU snoops the CPUs' caches. Says so only: what memory it sees is the caller's to choose. */
  readonly cohacc: boolean;
  readonly asid16: boolean;
  readonly vmid16: boolean;
  /** IDR0.VMW: CR0.VMW makes invalidations ignore low VMID bits. */
  readonly vmidWildcard: boolean;
  /** IDR0.STALL_MODEL: 0 both, 1 terminate only, 2 stall forced. */
  readonly stallModel: 0 | 1 | 2;
  /** IDR0.TERM_MODEL=1: a terminated access is always aborted, never RAZ/WI. */
  readonly termAbortOnly: boolean;
  /** IDR5.STALL_MAX: transactions held at a time. */
  readonly stallMax: number;
  /** IDR0.Hyp: EL2 and E2H stream worlds. */
  readonly hyp: boolean;
  /** IDR0.MSI. */
  readonly msi: boolean;
  /** IDR0.SEV. */
  readonly sev: boolean;
  /** IDR0.HTTU: 0 none, 1 access flag, 2 and dirty state, 3 and access flag in tables. */
  readonly httu: 0 | 1 | 2 | 3;
  /** IDR0.BTM: obeys broadcast TLB maintenance. */
  readonly btm: boolean;
  /** IDR0.ATS. */
  readonly ats: boolean;
  /** Split-stage ATS, IDR0.NS1ATS=0. Counts with `ats` and both stages. */
  readonly splitStageAts: boolean;
  /** IDR0.ATSRECERR: CR2.REC_CFG_ATS exists. */
  readonly atsRecordErrors: boolean;
  /** IDR0.PRI. Needs `ats`. */
  readonly pri: boolean;
  /** IDR3.PPS: an automatic page response always carries the PASID of the request. */
  readonly pasidOnAutoResponse: boolean;
  /** IDR0.ATOS: address translation registers. */
  readonly atos: boolean;
  /** IDR3.HAD: hierarchical permissions can be switched off. */
  readonly had: boolean;
  /** IDR3.XNX: two-bit execute-never at stage 2. */
  readonly xnx: boolean;
  /** IDR3.FWB. */
  readonly fwb: boolean;
  /** IDR3.STT: input ranges down to 2^16 bytes. */
  readonly smallTables: boolean;
  /** IDR3.RIL: TLB invalidation by range and level. */
  readonly rangeInv: boolean;
  /** IDR3.BBML. */
  readonly bbmLevel: 0 | 1 | 2;
  readonly e0pd: boolean;
  readonly epan: boolean;
  /** IDR1.ATTR_TYPES_OVR and ATTR_PERMS_OVR. */
  readonly attrTypesOverride: boolean;
  readonly attrPermsOverride: boolean;
  readonly cmdqLog2Max: number;
  readonly evtqLog2Max: number;
  readonly priqLog2Max: number;
  /** AIDR: 0 for SMMUv3.0 up to 4 for SMMUv3.4. */
  readonly archMinor: 0 | 1 | 2 | 3 | 4;
  /** IIDR as a word. */
  readonly iidr: number;
  /** The event and PRI queue indexes are visible in page 0 as well; else they are RAZ/WI there. */
  readonly page0Queues: boolean;
  /** Translations kept, a power of two from 8. An entry costs 26 bytes. */
  readonly iotlbEntries: number;
  /** Table pointers kept for each stage, a power of two from 8. */
  readonly walkCacheEntries: number;
  /** STEs, and as many level-1 descriptors, CDs and level-1 CD descriptors, kept. */
  readonly configEntries: number;
  /** Keeps also invalid structures until a CFGI, as §4.3 allows; else only valid ones. */
  readonly cacheInvalidConfig: boolean;
  /** Invalidations take effect as late as §4.7.3 allows, at the next CMD_SYNC; else as soon as they are consumed. */
  readonly lateInvalidation: boolean;
  /** Keeps a contiguous run as one entry, as the Contiguous bit allows. */
  readonly contiguous: boolean;
}

/** Everything that the model has, with 48-bit addresses. */
export const FULL: ModelFeatures = {
  stage1: true,
  stage2: true,
  granules: ['4k', '16k', '64k'],
  oasBits: 48,
  vaBits: 48,
  ds: false,
  sidBits: 16,
  ssidBits: 20,
  twoLevelStreamTable: true,
  twoLevelCdTable: true,
  tableEndian: 'little',
  cohacc: true,
  asid16: true,
  vmid16: true,
  vmidWildcard: true,
  stallModel: 0,
  termAbortOnly: false,
  stallMax: 4096,
  hyp: true,
  msi: true,
  sev: true,
  httu: 3,
  btm: true,
  ats: true,
  splitStageAts: true,
  atsRecordErrors: true,
  pri: true,
  pasidOnAutoResponse: false,
  atos: true,
  had: true,
  xnx: true,
  fwb: true,
  smallTables: true,
  rangeInv: true,
  bbmLevel: 2,
  e0pd: true,
  epan: true,
  attrTypesOverride: true,
  attrPermsOverride: true,
  cmdqLog2Max: 19,
  evtqLog2Max: 19,
  priqLog2Max: 19,
  archMinor: 2,
  iidr: 0,
  page0Queues: true,
  iotlbEntries: 4096,
  walkCacheEntries: 1024,
  configEntries: 4096,
  cacheInvalidConfig: true,
  lateInvalidation: true,
  contiguous: true,
};

/**
 * What a board gets that asks for nothing else: {@link FULL}, but for broadcast TLB maintenance, which takes CPUs that
 * broadcast ({@link SmmuV3Model.broadcast}).
 */
export const DEFAULT: ModelFeatures = { ...FULL, btm: false };

/** 52-bit virtual and physical addresses with every granule, as a server SMMU of the newest kind. */
export const LARGE: ModelFeatures = { ...FULL, oasBits: 52, vaBits: 52, ds: true, sidBits: 32, archMinor: 3 };

/** What the smaller SMMUs lack together. */
const PLAIN = {
  httu: 0,
  btm: false,
  ats: false,
  splitStageAts: false,
  atsRecordErrors: false,
  pri: false,
  atos: false,
  fwb: false,
} as const;

/** The least that Linux drives: stage 1, 4 KiB pages, a linear stream table, wired interrupts, no substreams. */
export const SMALL: ModelFeatures = {
  ...FULL,
  ...PLAIN,
  stage2: false,
  granules: ['4k'],
  oasBits: 40,
  sidBits: 6,
  ssidBits: 0,
  twoLevelStreamTable: false,
  twoLevelCdTable: false,
  asid16: false,
  vmid16: false,
  vmidWildcard: false,
  stallModel: 1,
  termAbortOnly: true,
  stallMax: 0,
  hyp: false,
  msi: false,
  sev: false,
  had: false,
  xnx: false,
  smallTables: false,
  rangeInv: false,
  bbmLevel: 0,
  e0pd: false,
  epan: false,
  attrTypesOverride: false,
  attrPermsOverride: false,
  cmdqLog2Max: 8,
  evtqLog2Max: 7,
  archMinor: 0,
};

/** What QEMU 10.0 to 11.1 offer: IDR0 0x0d44101b, IDR1 0x02730010, IDR3 0x1414, IDR5 0x74. */
export const QEMU: ModelFeatures = {
  ...FULL,
  ...PLAIN,
  oasBits: 44,
  ssidBits: 0,
  twoLevelCdTable: false,
  vmidWildcard: false,
  stallModel: 1,
  termAbortOnly: true,
  stallMax: 0,
  hyp: false,
  msi: false,
  sev: false,
  smallTables: false,
  e0pd: false,
  epan: false,
  attrTypesOverride: false,
  attrPermsOverride: false,
  archMinor: 1,
};

/** As the SMMUs of HiSilicon's Kunpeng 920, whose accelerators brought SVA and stalls: both stages, 48 bits, no range commands. */
export const KUNPENG: ModelFeatures = {
  ...FULL,
  ...PLAIN,
  ssidBits: 16,
  xnx: false,
  smallTables: false,
  rangeInv: false,
  bbmLevel: 0,
  e0pd: false,
  epan: false,
  archMinor: 0,
};

const OAS_CODES: readonly number[] = [32, 36, 40, 42, 44, 48, 52];

/** The sizes in bits that the encodings of IDR5.OAS, CD.IPS and STE.S2PS stand for. 7 acts as the largest known. */
export const decodeAddressBits = (code: number): number => OAS_CODES[code] ?? 52;

/**
 * Completes a set of features and checks that an SMMU can have them together.
 *
 * @param wanted - What differs from {@link DEFAULT}.
 * @throws {@link IommuError} `EINVAL` naming the feature and its value, if it is out of range or misses what it needs.
 */
export function features(wanted: Partial<ModelFeatures> = {}): ModelFeatures {
  const all: ModelFeatures = { ...DEFAULT, ...wanted };
  const refuse = (what: string): never => {
    throw new IommuError('EINVAL', `no SMMUv3 has ${what}`);
  };
  const range = (name: keyof ModelFeatures, low: number, high: number): void => {
    const value = all[name] as number;
    if (!Number.isInteger(value) || value < low || value > high)
      refuse(`${name} ${value}: it must be from ${low} to ${high}`);
  };
  range('sidBits', 0, 32);
  range('ssidBits', 0, 20);
  range('stallMax', 0, 65535);
  range('cmdqLog2Max', 0, 19);
  range('evtqLog2Max', 0, 19);
  range('priqLog2Max', 0, 19);
  range('configEntries', 1, 2 ** 20);
  for (const name of ['iotlbEntries', 'walkCacheEntries'] as const) {
    range(name, 8, 2 ** 20);
    if ((all[name] & (all[name] - 1)) !== 0) refuse(`${name} ${all[name]}: it must be a power of two`);
  }
  if (!OAS_CODES.includes(all.oasBits)) refuse(`oasBits ${all.oasBits}: it must be one of ${OAS_CODES.join(', ')}`);
  if (!all.stage1 && !all.stage2) refuse('neither stage 1 nor stage 2');
  if (all.granules.length === 0) refuse('no granule at all');
  if (all.sidBits >= 7 && !all.twoLevelStreamTable)
    refuse(`sidBits ${all.sidBits} without twoLevelStreamTable (§6.3.2)`);
  if (all.pri && !all.ats) refuse('pri without ats (§6.3.1)');
  if (all.ds && all.oasBits < 52) refuse(`ds with oasBits ${all.oasBits}: 52-bit layouts need 52 bits of output`);
  if (all.stallModel !== 1 && all.stallMax === 0) refuse(`stallModel ${all.stallModel} with stallMax 0`);
  return all;
}

const ENDIAN_CODES = { mixed: 0, little: 2, big: 3 } as const;

/** The words of IDR0 to IDR5, IIDR and AIDR, in the order of their offsets. */
export function idWords(f: ModelFeatures): Uint32Array {
  const words = new Uint32Array(8);
  const idr0 = IDR0.fields;
  idr0.S1P.set(words, 0, f.stage1);
  idr0.S2P.set(words, 0, f.stage2);
  idr0.TTF.set(words, 0, 2);
  idr0.COHACC.set(words, 0, f.cohacc);
  idr0.BTM.set(words, 0, f.btm);
  idr0.HTTU.set(words, 0, f.httu);
  idr0.Hyp.set(words, 0, f.hyp);
  idr0.ATS.set(words, 0, f.ats);
  idr0.NS1ATS.set(words, 0, f.ats && !(f.splitStageAts && f.stage1 && f.stage2));
  idr0.ASID16.set(words, 0, f.asid16);
  idr0.MSI.set(words, 0, f.msi);
  idr0.SEV.set(words, 0, f.sev);
  idr0.ATOS.set(words, 0, f.atos);
  idr0.PRI.set(words, 0, f.pri);
  idr0.VMW.set(words, 0, f.vmidWildcard);
  idr0.VMID16.set(words, 0, f.vmid16);
  idr0.CD2L.set(words, 0, f.twoLevelCdTable);
  idr0.TTENDIAN.set(words, 0, ENDIAN_CODES[f.tableEndian]);
  idr0.ATSRECERR.set(words, 0, f.ats && f.atsRecordErrors);
  idr0.STALL_MODEL.set(words, 0, f.stallModel);
  idr0.TERM_MODEL.set(words, 0, f.termAbortOnly);
  idr0.ST_LEVEL.set(words, 0, f.twoLevelStreamTable ? 1 : 0);
  const idr1 = IDR1.fields;
  idr1.SIDSIZE.set(words, 1, f.sidBits);
  idr1.SSIDSIZE.set(words, 1, f.ssidBits);
  idr1.PRIQS.set(words, 1, f.pri ? f.priqLog2Max : 0);
  idr1.EVENTQS.set(words, 1, f.evtqLog2Max);
  idr1.CMDQS.set(words, 1, f.cmdqLog2Max);
  idr1.ATTR_PERMS_OVR.set(words, 1, f.attrPermsOverride);
  idr1.ATTR_TYPES_OVR.set(words, 1, f.attrTypesOverride);
  const idr3 = IDR3.fields;
  idr3.HAD.set(words, 3, f.had);
  idr3.XNX.set(words, 3, f.xnx);
  idr3.PPS.set(words, 3, f.pri && f.pasidOnAutoResponse);
  idr3.FWB.set(words, 3, f.fwb);
  idr3.STT.set(words, 3, f.smallTables);
  idr3.RIL.set(words, 3, f.rangeInv);
  idr3.BBML.set(words, 3, f.bbmLevel);
  idr3.E0PD.set(words, 3, f.e0pd);
  idr3.EPAN.set(words, 3, f.epan);
  const idr5 = IDR5.fields;
  idr5.OAS.set(words, 5, OAS_CODES.indexOf(f.oasBits));
  idr5.GRAN4K.set(words, 5, f.granules.includes('4k'));
  idr5.GRAN16K.set(words, 5, f.granules.includes('16k'));
  idr5.GRAN64K.set(words, 5, f.granules.includes('64k'));
  idr5.DS.set(words, 5, f.ds);
  idr5.VAX.set(words, 5, f.vaBits === 52 ? 1 : 0);
  idr5.STALL_MAX.set(words, 5, f.stallModel === 1 ? 0 : f.stallMax);
  words[IIDR.offset / 4] = f.iidr;
  AIDR.fields.ArchMinorRev.set(words, AIDR.offset / 4, f.archMinor);
  return words;
}
