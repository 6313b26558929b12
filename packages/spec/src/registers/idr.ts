/** Identification: what the SMMU can do and who made it. IHI 0070 §6.3.1 to §6.3.8; Linux arm_smmu_device_hw_probe. */
import { bits, choice, flag } from '../field.ts';
import { ADDRESS_SIZE, STALL_MODEL } from '../values.ts';
import { register } from './register.ts';

export const IDR0 = register(
  'IDR0',
  { title: 'what the SMMU supports: formats, stages, queues, stalls', offset: 0x0, section: '6.3.1' },
  {
    RME_IMPL: flag(0, 30, 'granule protection features exist on this instance'),
    ST_LEVEL: choice(0, 28, 27, { 'linear only': 0, 'linear and 2-level': 1 }, 'stream table formats offered'),
    TERM_MODEL: flag(0, 26, 'what a terminated access may look like to the client', [
      'CD.A picks abort or RAZ/WI',
      'always abort; CD.A must be 1',
    ]),
    STALL_MODEL: choice(0, 25, 24, STALL_MODEL, 'stall capability as seen by this interface'),
    ATSRECERR: flag(0, 23, 'CR2.REC_CFG_ATS is implemented'),
    TTENDIAN: choice(
      0,
      22,
      21,
      { 'either, chosen by ENDI bits': 0, 'little only': 2, 'big only': 3 },
      'descriptor byte order supported',
    ),
    VATOS: flag(0, 20, 'virtual ATOS page present'),
    CD2L: flag(0, 19, 'two-level context descriptor tables'),
    VMID16: flag(0, 18, 'VMID width', ['8 bits', '16 bits']),
    VMW: flag(0, 17, 'VMID wildcard matching for invalidation (CR0.VMW)'),
    PRI: flag(0, 16, 'page request interface and PRI queue; needs ATS'),
    ATOS: flag(0, 15, 'address translation operation registers'),
    SEV: flag(0, 14, 'SMMU can raise a wake-up event'),
    MSI: flag(0, 13, 'message signalled interrupts', ['wired only', 'MSI capable']),
    ASID16: flag(0, 12, 'ASID width', ['8 bits', '16 bits']),
    NS1ATS: flag(0, 11, '1 means split-stage ATS is absent', ['split-stage allowed', 'split-stage not supported']),
    ATS: flag(0, 10, 'PCIe ATS support'),
    Hyp: flag(0, 9, 'EL2 / E2H stage 1 contexts'),
    DORMHINT: flag(0, 8, 'STATUSR.DORMANT is meaningful'),
    HTTU: choice(
      0,
      7,
      6,
      { none: 0, 'access flag': 1, 'access flag and dirty state': 2, 'as 2 plus access flag in table descriptors': 3 },
      'hardware table update level',
    ),
    BTM: flag(0, 5, 'takes part in broadcast TLB maintenance'),
    COHACC: flag(0, 4, 'coherent access to tables, structures and queues', ['not I/O coherent', 'coherent']),
    TTF: choice(0, 3, 2, { 'AArch32 LPAE': 1, AArch64: 2, both: 3 }, 'translation table formats'),
    S1P: flag(0, 1, 'stage 1 supported'),
    S2P: flag(0, 0, 'stage 2 supported'),
  },
);

export const IDR1 = register(
  'IDR1',
  { title: 'sizes of queues and IDs, presets', offset: 0x4, section: '6.3.2' },
  {
    ECMDQ: flag(0, 31, 'extra command queue pages exist (details in IDR6)'),
    TABLES_PRESET: flag(0, 30, 'stream table base registers fixed by the implementation', ['programmable', 'fixed']),
    QUEUES_PRESET: flag(0, 29, 'queue base registers fixed by the implementation', ['programmable', 'fixed']),
    REL: flag(0, 28, 'preset bases are offsets from the register base, not absolute; only with a PRESET bit', [
      'absolute',
      'relative',
    ]),
    ATTR_TYPES_OVR: flag(0, 27, 'incoming type/shareability can be overridden (MTCFG, SHCFG, ALLOCCFG)'),
    ATTR_PERMS_OVR: flag(0, 26, 'incoming privilege/instruction flags can be overridden'),
    CMDQS: bits(0, 25, 21, 'log2 limit of command queue entries, at most 19'),
    EVENTQS: bits(0, 20, 16, 'log2 limit of event queue entries, at most 19'),
    PRIQS: bits(0, 15, 11, 'log2 limit of PRI queue entries, at most 19; 0-valued when no PRI'),
    SSIDSIZE: bits(0, 10, 6, 'SubstreamID bits, 0 to 20; 0 means no substreams'),
    SIDSIZE: bits(0, 5, 0, 'StreamID bits, 0 to 32; 2-level tables are mandatory from 7 up'),
  },
);

export const IDR2 = register(
  'IDR2',
  { title: 'where the VATOS page is', offset: 0x8, section: '6.3.3' },
  {
    BA_VATOS: bits(0, 9, 0, 'VATOS page number: byte offset 0x20000 + value*0x10000 from page 0'),
  },
);

export const IDR3 = register(
  'IDR3',
  { title: 'what the SMMU supports, later features', offset: 0xc, section: '6.3.4' },
  {
    AIE: flag(0, 23, 'AttrIndx[3] extension'),
    MTEPERM: flag(0, 22, 'stage 2 NoTagAccess attribute'),
    THE: flag(0, 21, 'translation hardening (PnCH, AssuredOnly, TL checks)'),
    S2PO: flag(0, 20, 'stage 2 permission overlays'),
    S2PI: flag(0, 19, 'stage 2 indirect permissions'),
    S1PI: flag(0, 18, 'stage 1 indirect permissions'),
    EPAN: flag(0, 17, 'enhanced PAN (CD.EPAN)'),
    PASIDTT: flag(0, 16, 'PASID carried on Translated transactions may be used'),
    DPT: flag(0, 15, 'device permission table for translated traffic'),
    PTWNNC: flag(0, 14, 'with STE.S2PTW=0, how a stage 1 table access mapped Device at stage 2 is made', [
      'permitted as Device',
      'made as Normal non-cacheable',
    ]),
    E0PD: flag(0, 13, 'CD.E0PD bits'),
    BBML: choice(0, 12, 11, { 'level 0': 0, 'level 1': 1, 'level 2': 2 }, 'break-before-make relaxation level'),
    RIL: flag(0, 10, 'range and level hints in TLBI commands'),
    STT: flag(0, 9, 'small translation tables (TxSZ up to 48, 47 for 64KB)'),
    FWB: flag(0, 8, 'stage 2 forced write-back (STE.S2FWB)'),
    MPAM: flag(0, 7, 'memory partitioning and monitoring'),
    PPS: flag(0, 5, 'auto PRG response carries the PASID of the request', [
      'depends on STE.PPAR',
      'always when present',
    ]),
    XNX: flag(0, 4, 'two-bit stage 2 execute-never'),
    PBHA: flag(0, 3, 'page-based hardware attributes'),
    HAD: flag(0, 2, 'hierarchical permission disable bits'),
  },
);

export const IDR4 = register(
  'IDR4',
  { title: 'implementation defined features', offset: 0x10, section: '6.3.5' },
  {
    IMPDEF: bits(0, 31, 0, 'implementation defined'),
  },
);

export const IDR5 = register(
  'IDR5',
  { title: 'address sizes, granules, stalled transactions at most', offset: 0x14, section: '6.3.6' },
  {
    STALL_MAX: bits(0, 31, 16, 'upper bound of simultaneously stalled transactions'),
    VAX: choice(0, 11, 10, { '48 bits': 0, '52 bits': 1, '56 bits': 2 }, 'virtual address size at most'),
    D128: flag(0, 8, '128-bit descriptors'),
    DS: flag(0, 7, '52-bit output with 4KB/16KB granules'),
    GRAN64K: flag(0, 6, '64KB granule'),
    GRAN16K: flag(0, 5, '16KB granule'),
    GRAN4K: flag(0, 4, '4KB granule'),
    OAS: choice(0, 2, 0, ADDRESS_SIZE, 'output address size'),
  },
);

export const IIDR = register(
  'IIDR',
  { title: 'who made the implementation', offset: 0x18, section: '6.3.7' },
  {
    ProductID: bits(0, 31, 20, 'implementer product number'),
    Variant: bits(0, 19, 16, 'major revision digit'),
    Revision: bits(0, 15, 12, 'minor revision digit'),
    Implementer: bits(0, 11, 0, 'JEP106 code; Arm is 0x43B'),
  },
);

export const AIDR = register(
  'AIDR',
  { title: 'version of the architecture', offset: 0x1c, section: '6.3.8' },
  {
    ArchMajorRev: bits(0, 7, 4, '0 means SMMUv3'),
    ArchMinorRev: choice(
      0,
      3,
      0,
      { 'v3.0': 0, 'v3.1': 1, 'v3.2': 2, 'v3.3': 3, 'v3.4': 4 },
      'with major 0, the v3.x minor',
    ),
  },
);

export const IDR6 = register(
  'IDR6',
  { title: 'enhanced command queues', offset: 0x190, section: '6.3.45', present: 'IDR1.ECMDQ=1' },
  {
    CMDQ_CONTROL_PAGE_LOG2NUMP: bits(0, 27, 24, 'log2 of control pages, at most 8'),
    CMDQ_CONTROL_PAGE_LOG2NUMQ: bits(0, 19, 16, 'log2 of queues per page, at most 8'),
  },
);

export const MPAMIDR = register(
  'MPAMIDR',
  { title: 'memory partitioning limits', offset: 0x130, section: '6.3.41', present: 'IDR3.MPAM=1' },
  {
    PMG_MAX: bits(0, 23, 16, 'largest PMG'),
    PARTID_MAX: bits(0, 15, 0, 'largest PARTID'),
  },
);
