/** ID registers of somebody else's SMMU into what our model has to offer to be its equal. IHI 0070 §6.3.1 to §6.3.8. */
import { FULL, type Granule, type ModelFeatures } from '@smmu/smmu-v3-model';
import { AIDR, IDR0, IDR1, IDR3, IDR5 } from '@smmu/spec';
import type { Need } from './scenario.ts';

/** IDR0 to IDR5, IIDR, AIDR: the first eight words of the register file. */
export type IdWords = readonly number[];

const OAS_BITS = [32, 36, 40, 42, 44, 48, 52] as const;
const TABLE_ENDIAN = ['mixed', 'little', 'little', 'big'] as const;

/**
 * The model's features for a set of ID words. Where the architecture lets hardware choose, QEMU's choice is taken:
 * invalidations work at once, invalid structures and contiguous runs are not kept.
 */
export function posedFeatures(id: IdWords): ModelFeatures {
  const { fields: f0 } = IDR0;
  const { fields: f1 } = IDR1;
  const { fields: f3 } = IDR3;
  const { fields: f5 } = IDR5;
  const [idr0, idr1, , idr3, , idr5] = id as [number, number, number, number, number, number];
  const granules: Granule[] = [];
  if (f5.GRAN4K.of(idr5)) granules.push('4k');
  if (f5.GRAN16K.of(idr5)) granules.push('16k');
  if (f5.GRAN64K.of(idr5)) granules.push('64k');
  return {
    ...FULL,
    stage1: f0.S1P.of(idr0),
    stage2: f0.S2P.of(idr0),
    granules,
    oasBits: OAS_BITS[f5.OAS.of(idr5)] ?? 52,
    vaBits: f5.VAX.of(idr5) === 1 ? 52 : 48,
    ds: f5.DS.of(idr5),
    sidBits: f1.SIDSIZE.of(idr1),
    ssidBits: f1.SSIDSIZE.of(idr1),
    twoLevelStreamTable: f0.ST_LEVEL.of(idr0) === 1,
    twoLevelCdTable: f0.CD2L.of(idr0),
    tableEndian: TABLE_ENDIAN[f0.TTENDIAN.of(idr0)]!,
    cohacc: f0.COHACC.of(idr0),
    asid16: f0.ASID16.of(idr0),
    vmid16: f0.VMID16.of(idr0),
    vmidWildcard: f0.VMW.of(idr0),
    stallModel: Math.min(2, f0.STALL_MODEL.of(idr0)) as 0 | 1 | 2,
    termAbortOnly: f0.TERM_MODEL.of(idr0),
    stallMax: f5.STALL_MAX.of(idr5),
    hyp: f0.Hyp.of(idr0),
    msi: f0.MSI.of(idr0),
    sev: f0.SEV.of(idr0),
    httu: f0.HTTU.of(idr0) as 0 | 1 | 2 | 3,
    btm: f0.BTM.of(idr0),
    ats: f0.ATS.of(idr0),
    atos: f0.ATOS.of(idr0),
    pri: f0.PRI.of(idr0),
    had: f3.HAD.of(idr3),
    xnx: f3.XNX.of(idr3),
    fwb: f3.FWB.of(idr3),
    smallTables: f3.STT.of(idr3),
    rangeInv: f3.RIL.of(idr3),
    bbmLevel: Math.min(2, f3.BBML.of(idr3)) as 0 | 1 | 2,
    e0pd: f3.E0PD.of(idr3),
    epan: f3.EPAN.of(idr3),
    attrTypesOverride: f1.ATTR_TYPES_OVR.of(idr1),
    attrPermsOverride: f1.ATTR_PERMS_OVR.of(idr1),
    cmdqLog2Max: f1.CMDQS.of(idr1),
    evtqLog2Max: f1.EVENTQS.of(idr1),
    priqLog2Max: f1.PRIQS.of(idr1),
    archMinor: Math.min(4, AIDR.fields.ArchMinorRev.of(id[7]!)) as ModelFeatures['archMinor'],
    iidr: id[6]!,
    page0Queues: true,
    iotlbEntries: 512,
    walkCacheEntries: 256,
    configEntries: 64,
    cacheInvalidConfig: false,
    lateInvalidation: false,
    contiguous: false,
  };
}

/** Whether an SMMU with those features can be posed a scenario that needs so much. */
export function offers(f: ModelFeatures, needs: readonly Need[]): boolean {
  return needs.every((need) => {
    switch (need) {
      case 'stage1':
        return f.stage1;
      case 'stage2':
        return f.stage2;
      case 'nested':
        return f.stage1 && f.stage2;
      case 'noStage1':
        return !f.stage1;
      case 'noStage2':
        return !f.stage2;
      case 'twoLevel':
        return f.twoLevelStreamTable;
      case 'rangeInv':
        return f.rangeInv;
      default:
        return f.granules.includes(need);
    }
  });
}

/** The ID words of QEMU 10.0 in its three shapes, for runs without a QEMU. */
export const QEMU_10_ID: Readonly<Record<'nested' | 'stage1' | 'stage2', IdWords>> = {
  nested: [0x0d44101b, 0x02730010, 0, 0x1414, 0, 0x74, 0, 1],
  stage1: [0x0d44101a, 0x02730010, 0, 0x1404, 0, 0x74, 0, 1],
  stage2: [0x0d441019, 0x02730010, 0, 0x1414, 0, 0x74, 0, 1],
};
