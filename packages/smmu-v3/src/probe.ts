/**
 * What this SMMU can do, read from its ID registers, in words. What the driver cannot drive is refused with a reason.
 * IHI 0070 §6.3.1 to §6.3.8; Linux arm-smmu-v3.c, `arm_smmu_device_hw_probe`.
 */
import { hex, IommuError, type Registers } from '@smmu/platform';
import { AIDR, IDR0, IDR1, IDR3, IDR5 } from '@smmu/spec';
import { hex32 } from './internal/hex.ts';
import type { Log } from './internal/log.ts';

/** Log2 of the size of a page. */
export type GranuleShift = 12 | 14 | 16;

/** An SMMU's features as the driver uses them. */
export interface SmmuFeatures {
  /** Architecture, as major and minor number in text: `v3.2`. */
  readonly architecture: string;
  readonly stage1: boolean;
  readonly stage2: boolean;
  /** EL2 and EL2-E2H stream worlds. */
  readonly hyp: boolean;
  readonly twoLevelStrtab: boolean;
  readonly twoLevelCdtab: boolean;
  /** Whether a faulting transaction can wait for an answer: never, as CD.S and STE.S2S choose, or always. */
  readonly stalls: 'none' | 'selectable' | 'forced';
  readonly ats: boolean;
  readonly pri: boolean;
  readonly msi: boolean;
  readonly sev: boolean;
  /** Table walks and queue accesses snoop the CPU's caches. */
  readonly coherent: boolean;
  /** CPU TLB maintenance can reach it. */
  readonly btm: boolean;
  /** Hardware updates 0: nothing, 1: the access flag, 2: dirty state too, 3: the access flag of tables too. */
  readonly httu: number;
  readonly asidBits: 8 | 16;
  readonly vmidBits: 8 | 16;
  readonly sidBits: number;
  /** 0: no substreams. */
  readonly ssidBits: number;
  /** Output address size in bits, and its encoding in IPS and PS fields. */
  readonly oasBits: number;
  readonly oas: number;
  /** Input address size of stage 1 in bits. */
  readonly vaBits: number;
  /** 52-bit layout with the 4 KiB and 16 KiB granules. */
  readonly ds: boolean;
  /** Log2 of the page sizes that it walks, ascending. */
  readonly granules: readonly GranuleShift[];
  /** TLBI commands take ranges. */
  readonly rangeInv: boolean;
  readonly bbmLevel: number;
  readonly s2fwb: boolean;
  /** Incoming memory type and shareability can be overridden. */
  readonly attrTypesOverride: boolean;
  readonly cmdqLog2Max: number;
  readonly evtqLog2Max: number;
  readonly priqLog2Max: number;
  /** Stalled transactions that it holds at most. */
  readonly stallMax: number;
}

const OAS_BITS = [32, 36, 40, 42, 44, 48, 52, 56] as const;
const OAS_52 = 6; // encoding; tables of this project's formats reach no further
const ST_LEVEL_TWO = 1;
const TTENDIAN_BIG = 3;
const TTF_AARCH64 = 2; // bit of the field
const STALL_MODELS = ['selectable', 'none', 'forced'] as const;
/** A command and its CMD_SYNC must fit. (Linux asks for more than a batch of 64.) */
const CMDQ_LOG2_MIN = 1;

/**
 * Reads the ID registers.
 *
 * @throws {@link IommuError} `ENODEV` if nothing that is an SMMUv3 answers there, `ENXIO` if it is one that this driver
 *   cannot drive. The message says why.
 */
export function probeFeatures(registers: Registers, log: Log): SmmuFeatures {
  const idr0 = registers.read32(IDR0.offset);
  const idr1 = registers.read32(IDR1.offset);
  const idr3 = registers.read32(IDR3.offset);
  const idr5 = registers.read32(IDR5.offset);
  const aidr = registers.read32(AIDR.offset);
  const f0 = IDR0.fields;
  const f1 = IDR1.fields;
  const f3 = IDR3.fields;
  const f5 = IDR5.fields;

  if (idr0 === 0 || idr0 === 0xffff_ffff)
    throw new IommuError('ENODEV', `no SMMUv3 at ${hex(registers.base)}: IDR0 reads ${hex32(idr0)}`);
  if (AIDR.fields.ArchMajorRev.of(aidr) !== 0) refuse(`AIDR ${hex32(aidr)} names an architecture other than SMMUv3`);
  if (f1.TABLES_PRESET.of(idr1) || f1.QUEUES_PRESET.of(idr1))
    refuse(`tables or queues are at addresses fixed by the implementation (IDR1 ${hex32(idr1)})`);
  if (f0.TTENDIAN.of(idr0) === TTENDIAN_BIG) refuse('it reads translation tables in big-endian byte order only');
  if ((f0.TTF.of(idr0) & TTF_AARCH64) === 0) refuse('it does not read AArch64 translation tables');
  const stage1 = f0.S1P.of(idr0);
  const stage2 = f0.S2P.of(idr0);
  if (!stage1 && !stage2) refuse('it translates at neither stage');
  const stalls =
    STALL_MODELS[f0.STALL_MODEL.of(idr0)] ?? refuse('its stall model is a reserved one (IDR0.STALL_MODEL 3)');

  const cmdqLog2Max = f1.CMDQS.of(idr1);
  if (cmdqLog2Max < CMDQ_LOG2_MIN)
    refuse(`its command queue has at most ${2 ** cmdqLog2Max} entries, ${2 ** CMDQ_LOG2_MIN} are needed`);
  const sidBits = f1.SIDSIZE.of(idr1);
  if (sidBits > 32) refuse(`IDR1.SIDSIZE ${sidBits} is more than 32`);

  const granules: GranuleShift[] = [];
  if (f5.GRAN4K.of(idr5)) granules.push(12);
  if (f5.GRAN16K.of(idr5)) granules.push(14);
  if (f5.GRAN64K.of(idr5)) granules.push(16);
  if (granules.length === 0) refuse(`it walks no page size (IDR5 ${hex32(idr5)})`);
  let oas = f5.OAS.of(idr5);
  if (oas > OAS_52) {
    log(`output address size of ${OAS_BITS[oas]} bits: using 52`);
    oas = OAS_52;
  }

  const ats = f0.ATS.of(idr0);
  return {
    architecture: `v3.${AIDR.fields.ArchMinorRev.of(aidr)}`,
    stage1,
    stage2,
    hyp: f0.Hyp.of(idr0),
    twoLevelStrtab: f0.ST_LEVEL.of(idr0) === ST_LEVEL_TWO,
    twoLevelCdtab: f0.CD2L.of(idr0),
    stalls,
    ats,
    pri: ats && f0.PRI.of(idr0),
    msi: f0.MSI.of(idr0),
    sev: f0.SEV.of(idr0),
    coherent: f0.COHACC.of(idr0),
    btm: f0.BTM.of(idr0),
    httu: f0.HTTU.of(idr0),
    asidBits: f0.ASID16.of(idr0) ? 16 : 8,
    vmidBits: f0.VMID16.of(idr0) ? 16 : 8,
    sidBits,
    ssidBits: stage1 ? f1.SSIDSIZE.of(idr1) : 0,
    oasBits: OAS_BITS[oas]!,
    oas,
    vaBits: f5.VAX.of(idr5) === 0 ? 48 : 52,
    ds: f5.DS.of(idr5),
    granules,
    rangeInv: f3.RIL.of(idr3),
    bbmLevel: f3.BBML.of(idr3),
    s2fwb: f3.FWB.of(idr3),
    attrTypesOverride: f1.ATTR_TYPES_OVR.of(idr1),
    cmdqLog2Max,
    evtqLog2Max: f1.EVENTQS.of(idr1),
    priqLog2Max: f1.PRIQS.of(idr1),
    stallMax: f5.STALL_MAX.of(idr5),
  };
}

function refuse(why: string): never {
  throw new IommuError('ENXIO', `this SMMU cannot be driven: ${why}`);
}
