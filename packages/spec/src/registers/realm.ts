/** The Realm interface: twins of the Non-secure registers on pages of their own. IHI 0070 §6.3.122 to §6.3.169. */
import { bits, choice, flag } from '../field.ts';
import { STALL_MODEL } from '../values.ts';
import { AGBPA, CR0, CR0ACK, CR1, CR2, GBPA, GMPAM, IRQ_CTRL, IRQ_CTRLACK, S2PII } from './control.ts';
import { CMDQ_CONTROL_PAGE_BASEn, CMDQ_CONTROL_PAGE_CFGn, CMDQ_CONTROL_PAGE_STATUSn } from './ecmdq.ts';
import { GERROR, GERROR_IRQ_CFG0, GERROR_IRQ_CFG1, GERROR_IRQ_CFG2, GERRORN } from './gerror.ts';
import { AIDR, IDR0, IDR1, IDR2, IDR3, IDR4, IDR6, MPAMIDR } from './idr.ts';
import { mirror, mirrorWith } from './mirror.ts';
import {
  CMDQ_BASE,
  CMDQ_CONS,
  CMDQ_PROD,
  EVENTQ_BASE,
  EVENTQ_CONS,
  EVENTQ_IRQ_CFG0,
  EVENTQ_IRQ_CFG1,
  EVENTQ_IRQ_CFG2,
  EVENTQ_PROD,
  PRIQ_BASE,
  PRIQ_CONS,
  PRIQ_IRQ_CFG0,
  PRIQ_IRQ_CFG1,
  PRIQ_IRQ_CFG2,
  PRIQ_PROD,
} from './queues.ts';
import { register } from './register.ts';
import { DPT_BASE, DPT_BASE_CFG, DPT_CFG_FAR, STRTAB_BASE, STRTAB_BASE_CFG } from './tables.ts';

export const R_IDR0 = mirrorWith(IDR0, 'R', '6.3.122', {
  ECMDQ: flag(0, 31, 'Realm enhanced command queues'),
  STALL_MODEL: choice(0, 25, 24, STALL_MODEL, 'stall capability for Realm streams'),
  PRI: flag(0, 16, 'PRI for Realm streams'),
  MSI: flag(0, 13, 'MSI for Realm sources'),
  ATS: flag(0, 10, 'ATS for Realm streams'),
});
export const R_IDR1 = mirrorWith(IDR1, 'R', '6.3.123', { RME_DA_IMPL: flag(0, 31, 'reads 1') });
export const R_IDR2 = mirrorWith(IDR2, 'R', '6.3.124', {});
export const R_IDR3 = mirrorWith(IDR3, 'R', '6.3.125', {
  XT: flag(0, 17, 'PCIe extended TEE fields on ATS'),
  MEC: flag(0, 16, 'memory encryption contexts'),
  DPT: flag(0, 15, 'device permission table for Realm'),
});
export const R_IDR4 = mirrorWith(IDR4, 'R', '6.3.126', {});
export const R_AIDR = mirrorWith(AIDR, 'R', '6.3.127', {
  ...AIDR.fields,
  ArchMinorRev: choice(0, 3, 0, { initial: 0 }, 'Realm interface revision'),
});
const realmCr0 = {
  ...CR0.fields,
  ATSCHK: flag(0, 4, 'fixed: Translated traffic is always checked', ['reserved', 'check against STE']),
};
export const R_CR0 = mirrorWith(CR0, 'R', '6.3.128', realmCr0, { resetOf: { ATSCHK: 'fixed' } });
export const R_CR0ACK = mirrorWith(CR0ACK, 'R', '6.3.129', realmCr0, { resetOf: { ATSCHK: 'fixed' } });
export const R_CR1 = mirror(CR1, 'R', '6.3.130');
export const R_CR2 = mirror(CR2, 'R', '6.3.131');
export const R_S2PII = mirror(S2PII, 'R', '6.3.132');
export const R_GBPA = mirrorWith(
  GBPA,
  'R',
  '6.3.133',
  { ABORT: flag(0, 20, 'fixed: Realm bypass always aborts', ['reserved', 'abort all']) },
  { rule: 'fixed, and no Update bit', reset: 'fixed' },
);
export const R_AGBPA = mirror(AGBPA, 'R', '6.3.134');
export const R_IRQ_CTRL = mirror(IRQ_CTRL, 'R', '6.3.135');
export const R_IRQ_CTRLACK = mirror(IRQ_CTRLACK, 'R', '6.3.136');
/** All but service failure, which the Non-secure interface tells. */
const realmErrors = {
  DPT_ERR: GERROR.fields.DPT_ERR,
  CMDQP_ERR: GERROR.fields.CMDQP_ERR,
  MSI_GERROR_ABT_ERR: GERROR.fields.MSI_GERROR_ABT_ERR,
  MSI_PRIQ_ABT_ERR: GERROR.fields.MSI_PRIQ_ABT_ERR,
  MSI_EVENTQ_ABT_ERR: GERROR.fields.MSI_EVENTQ_ABT_ERR,
  MSI_CMDQ_ABT_ERR: GERROR.fields.MSI_CMDQ_ABT_ERR,
  PRIQ_ABT_ERR: GERROR.fields.PRIQ_ABT_ERR,
  EVENTQ_ABT_ERR: GERROR.fields.EVENTQ_ABT_ERR,
  CMDQ_ERR: GERROR.fields.CMDQ_ERR,
};
export const R_GERROR = mirrorWith(GERROR, 'R', '6.3.137', realmErrors);
export const R_GERRORN = mirrorWith(GERRORN, 'R', '6.3.138', realmErrors);
const msiSpace = flag(0, 63, 'target address space of the MSI', ['Realm', 'Non-secure']);
export const R_GERROR_IRQ_CFG0 = mirrorWith(GERROR_IRQ_CFG0, 'R', '6.3.139', {
  ...GERROR_IRQ_CFG0.fields,
  NS: msiSpace,
});
export const R_GERROR_IRQ_CFG1 = mirror(GERROR_IRQ_CFG1, 'R', '6.3.140');
export const R_GERROR_IRQ_CFG2 = mirror(GERROR_IRQ_CFG2, 'R', '6.3.141');
export const R_STRTAB_BASE = mirror(STRTAB_BASE, 'R', '6.3.142');
export const R_STRTAB_BASE_CFG = mirror(STRTAB_BASE_CFG, 'R', '6.3.143');
export const R_CMDQ_BASE = mirror(CMDQ_BASE, 'R', '6.3.144');
export const R_CMDQ_PROD = mirror(CMDQ_PROD, 'R', '6.3.145');
export const R_CMDQ_CONS = mirror(CMDQ_CONS, 'R', '6.3.146');
export const R_EVENTQ_BASE = mirror(EVENTQ_BASE, 'R', '6.3.147');
export const R_EVENTQ_IRQ_CFG0 = mirrorWith(EVENTQ_IRQ_CFG0, 'R', '6.3.148', {
  ...EVENTQ_IRQ_CFG0.fields,
  NS: msiSpace,
});
export const R_EVENTQ_IRQ_CFG1 = mirror(EVENTQ_IRQ_CFG1, 'R', '6.3.149');
export const R_EVENTQ_IRQ_CFG2 = mirror(EVENTQ_IRQ_CFG2, 'R', '6.3.150');
export const R_PRIQ_BASE = mirror(PRIQ_BASE, 'R', '6.3.151');
export const R_PRIQ_IRQ_CFG0 = mirrorWith(PRIQ_IRQ_CFG0, 'R', '6.3.152', { ...PRIQ_IRQ_CFG0.fields, NS: msiSpace });
export const R_PRIQ_IRQ_CFG1 = mirror(PRIQ_IRQ_CFG1, 'R', '6.3.153');
export const R_PRIQ_IRQ_CFG2 = mirror(PRIQ_IRQ_CFG2, 'R', '6.3.154');
export const R_MPAMIDR = mirrorWith(MPAMIDR, 'R', '6.3.155', {
  ...MPAMIDR.fields,
  HAS_MPAM_NS: flag(0, 25, 'PARTID space can be redirected'),
});
export const R_GMPAM = mirrorWith(GMPAM, 'R', '6.3.156', {
  ...GMPAM.fields,
  MPAM_NS: flag(0, 24, 'PARTID space for SMMU-originated accesses'),
});
export const R_IDR6 = mirror(IDR6, 'R', '6.3.157');
export const R_DPT_BASE = mirror(DPT_BASE, 'R', '6.3.158');
export const R_DPT_BASE_CFG = mirror(DPT_BASE_CFG, 'R', '6.3.159');
export const R_DPT_CFG_FAR = mirror(DPT_CFG_FAR, 'R', '6.3.160');
export const R_MECIDR = register(
  'R_MECIDR',
  {
    title: 'size of memory encryption contexts',
    offset: 0x220,
    section: '6.3.161',
    page: 'R_PAGE_0',
    present: 'ROOT_IDR0.REALM_IMPL=1',
  },
  {
    MECIDSIZE: bits(0, 3, 0, 'MECID bits minus one'),
  },
);
export const R_GMECID = register(
  'R_GMECID',
  {
    title: 'memory encryption context of accesses without a stream',
    offset: 0x228,
    section: '6.3.162',
    page: 'R_PAGE_0',
    access: 'RW',
    present: 'ROOT_IDR0.REALM_IMPL=1',
    reset: 'zero',
  },
  {
    GMECID: bits(0, 15, 0, 'MECID for SMMU accesses without a stream'),
  },
);
export const R_CMDQ_CONTROL_PAGE_BASEn = mirror(CMDQ_CONTROL_PAGE_BASEn, 'R', '6.3.163');
export const R_CMDQ_CONTROL_PAGE_CFGn = mirror(CMDQ_CONTROL_PAGE_CFGn, 'R', '6.3.164');
export const R_CMDQ_CONTROL_PAGE_STATUSn = mirror(CMDQ_CONTROL_PAGE_STATUSn, 'R', '6.3.165');
export const R_EVENTQ_PROD = mirror(EVENTQ_PROD, 'R', '6.3.166');
export const R_EVENTQ_CONS = mirror(EVENTQ_CONS, 'R', '6.3.167');
export const R_PRIQ_PROD = mirror(PRIQ_PROD, 'R', '6.3.168');
export const R_PRIQ_CONS = mirror(PRIQ_CONS, 'R', '6.3.169');
