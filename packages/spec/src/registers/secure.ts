/** The Secure interface: twins of the Non-secure registers in the upper half of page 0. IHI 0070 §6.3.52 to §6.3.94, §6.3.103 ff. */
import { alternate, bits, choice, flag } from '../field.ts';
import { SPACE, SSEC, STALL_MODEL } from '../values.ts';
import {
  GATOS_ADDR,
  GATOS_CTRL,
  GATOS_PAR,
  GATOS_SID,
  VATOS_ADDR,
  VATOS_CTRL,
  VATOS_PAR,
  VATOS_SEL,
  VATOS_SID,
} from './atos.ts';
import { AGBPA, CR0, CR0ACK, CR1, CR2, GBPA, GBPMPAM, GMPAM, IRQ_CTRL, IRQ_CTRLACK, S2PII } from './control.ts';
import { CMDQ_CONTROL_PAGE_BASEn, CMDQ_CONTROL_PAGE_CFGn, CMDQ_CONTROL_PAGE_STATUSn } from './ecmdq.ts';
import { GERROR, GERROR_IRQ_CFG0, GERROR_IRQ_CFG1, GERROR_IRQ_CFG2, GERRORN } from './gerror.ts';
import { IDR0, IDR1, IDR2, IDR3, IDR4, IDR6, MPAMIDR } from './idr.ts';
import { mirror, mirrorWith } from './mirror.ts';
import { faulted, succeeded } from './outcome.ts';
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
} from './queues.ts';
import { register } from './register.ts';
import { STRTAB_BASE, STRTAB_BASE_CFG } from './tables.ts';

export const S_IDR0 = mirrorWith(IDR0, 'S', '6.3.52', {
  ECMDQ: flag(0, 31, 'Secure enhanced command queues'),
  STALL_MODEL: choice(0, 25, 24, STALL_MODEL, 'real stall capability'),
  MSI: flag(0, 13, 'MSI for Secure sources'),
});
export const S_IDR1 = mirrorWith(IDR1, 'S', '6.3.53', {
  SECURE_IMPL: flag(0, 31, 'Secure interface exists'),
  SEL2: flag(0, 29, 'Secure stage 2 / Secure EL2'),
  S_SIDSIZE: bits(0, 5, 0, 'Secure StreamID bits'),
});
export const S_IDR2 = mirrorWith(IDR2, 'S', '6.3.54', { BA_S_VATOS: bits(0, 9, 0, 'Secure VATOS page number') });
export const S_IDR3 = mirrorWith(IDR3, 'S', '6.3.55', {
  SAMS: flag(0, 6, 'Secure queue ATC_INV/PRI_RESP (inverse sense)', ['supported', 'CERROR_ILL']),
});
export const S_IDR4 = mirror(IDR4, 'S', '6.3.56');
const secureCr0 = {
  NSSTALLD: flag(0, 9, 'Secure control: remove stall model from Non-secure', ['stall allowed', 'stall disabled']),
  VMW: CR0.fields.VMW,
  SIF: flag(0, 5, 'Secure instruction fetch that ends Non-secure faults', ['allowed', 'permission fault']),
  CMDQEN: CR0.fields.CMDQEN,
  EVENTQEN: CR0.fields.EVENTQEN,
  SMMUEN: CR0.fields.SMMUEN,
};
export const S_CR0 = mirrorWith(CR0, 'S', '6.3.57', secureCr0);
export const S_CR0ACK = mirrorWith(CR0ACK, 'S', '6.3.58', secureCr0);
export const S_CR1 = mirror(CR1, 'S', '6.3.59');
export const S_CR2 = mirrorWith(CR2, 'S', '6.3.60', {
  PTM: CR2.fields.PTM,
  RECINVSID: CR2.fields.RECINVSID,
  E2H: CR2.fields.E2H,
});
export const S_S2PII = mirror(S2PII, 'S', '6.3.61');
export const S_INIT = register(
  'S_INIT',
  {
    title: 'invalidation of everything',
    offset: 0x803c,
    section: '6.3.62',
    access: 'RW',
    rule: 'clears itself',
    present: 'S_IDR1.SECURE_IMPL=1',
    reset: 'zero',
  },
  {
    INV_ALL: flag(0, 0, 'write 1 to drop every cached entry of all Security states; reads 1 until done'),
  },
);
export const S_GBPA = mirrorWith(GBPA, 'S', '6.3.63', {
  ...GBPA.fields,
  NSCFG: choice(0, 15, 14, { 'use incoming': [0, 1], Secure: 2, 'Non-secure': 3 }, 'non-secure attribute override'),
});
export const S_AGBPA = mirror(AGBPA, 'S', '6.3.64');
const secureIrqs = { EVENTQ_IRQEN: IRQ_CTRL.fields.EVENTQ_IRQEN, GERROR_IRQEN: IRQ_CTRL.fields.GERROR_IRQEN };
export const S_IRQ_CTRL = mirrorWith(IRQ_CTRL, 'S', '6.3.65', secureIrqs);
export const S_IRQ_CTRLACK = mirrorWith(IRQ_CTRLACK, 'S', '6.3.66', secureIrqs);
/** The Secure interface has neither a PRI queue nor a device permission table. */
const secureErrors = {
  CMDQP_ERR: GERROR.fields.CMDQP_ERR,
  SFM_ERR: GERROR.fields.SFM_ERR,
  MSI_GERROR_ABT_ERR: GERROR.fields.MSI_GERROR_ABT_ERR,
  MSI_EVENTQ_ABT_ERR: GERROR.fields.MSI_EVENTQ_ABT_ERR,
  MSI_CMDQ_ABT_ERR: GERROR.fields.MSI_CMDQ_ABT_ERR,
  EVENTQ_ABT_ERR: GERROR.fields.EVENTQ_ABT_ERR,
  CMDQ_ERR: GERROR.fields.CMDQ_ERR,
};
export const S_GERROR = mirrorWith(GERROR, 'S', '6.3.67', secureErrors);
export const S_GERRORN = mirrorWith(GERRORN, 'S', '6.3.68', secureErrors);
export const S_GERROR_IRQ_CFG0 = mirror(GERROR_IRQ_CFG0, 'S', '6.3.69');
export const S_GERROR_IRQ_CFG1 = mirror(GERROR_IRQ_CFG1, 'S', '6.3.70');
export const S_GERROR_IRQ_CFG2 = mirror(GERROR_IRQ_CFG2, 'S', '6.3.71');
export const S_STRTAB_BASE = mirror(STRTAB_BASE, 'S', '6.3.72');
export const S_STRTAB_BASE_CFG = mirror(STRTAB_BASE_CFG, 'S', '6.3.73');
export const S_CMDQ_BASE = mirror(CMDQ_BASE, 'S', '6.3.74');
export const S_CMDQ_PROD = mirror(CMDQ_PROD, 'S', '6.3.75');
export const S_CMDQ_CONS = mirror(CMDQ_CONS, 'S', '6.3.76');
export const S_EVENTQ_BASE = mirror(EVENTQ_BASE, 'S', '6.3.77');
export const S_EVENTQ_PROD = mirror(EVENTQ_PROD, 'S', '6.3.78');
export const S_EVENTQ_CONS = mirror(EVENTQ_CONS, 'S', '6.3.79');
export const S_EVENTQ_IRQ_CFG0 = mirror(EVENTQ_IRQ_CFG0, 'S', '6.3.80');
export const S_EVENTQ_IRQ_CFG1 = mirror(EVENTQ_IRQ_CFG1, 'S', '6.3.81');
export const S_EVENTQ_IRQ_CFG2 = mirror(EVENTQ_IRQ_CFG2, 'S', '6.3.82');
export const S_GATOS_CTRL = mirror(GATOS_CTRL, 'S', '6.3.83');
export const S_GATOS_SID = mirrorWith(GATOS_SID, 'S', '6.3.84', {
  ...GATOS_SID.fields,
  SSEC: flag(0, 53, 'stream belongs to Secure space', SSEC),
});
export const S_GATOS_ADDR = mirrorWith(GATOS_ADDR, 'S', '6.3.85', {
  ...GATOS_ADDR.fields,
  NS: flag(0, 4, 'input NS attribute for Secure stage 2 probes'),
});
/** What a Secure look-up tells beyond a Non-secure one. */
const secureResult = {
  NS: alternate('FAULT=0', flag(0, 10, 'result space', SPACE), succeeded),
  NSIPA: alternate('FAULT=1', flag(0, 3, 'faulting IPA space (Secure)'), faulted),
};
export const S_GATOS_PAR = mirrorWith(GATOS_PAR, 'S', '6.3.86', { ...GATOS_PAR.fields, ...secureResult });
export const S_MPAMIDR = mirrorWith(MPAMIDR, 'S', '6.3.87', {
  ...MPAMIDR.fields,
  HAS_MPAM_NS: flag(0, 25, 'PARTID space can be redirected'),
});
export const S_GMPAM = mirrorWith(GMPAM, 'S', '6.3.88', {
  ...GMPAM.fields,
  MPAM_NS: flag(0, 24, 'PARTID space for SMMU-originated accesses'),
});
export const S_GBPMPAM = mirrorWith(GBPMPAM, 'S', '6.3.89', {
  ...GBPMPAM.fields,
  MPAM_NS: flag(0, 24, 'PARTID space in global bypass'),
});
export const S_VATOS_SEL = mirror(VATOS_SEL, 'S', '6.3.90');
export const S_IDR6 = mirror(IDR6, 'S', '6.3.91');
export const S_CMDQ_CONTROL_PAGE_BASEn = mirror(CMDQ_CONTROL_PAGE_BASEn, 'S', '6.3.92');
export const S_CMDQ_CONTROL_PAGE_CFGn = mirror(CMDQ_CONTROL_PAGE_CFGn, 'S', '6.3.93');
export const S_CMDQ_CONTROL_PAGE_STATUSn = mirror(CMDQ_CONTROL_PAGE_STATUSn, 'S', '6.3.94');
export const S_VATOS_CTRL = mirror(VATOS_CTRL, 'S', '6.3.103');
export const S_VATOS_SID = mirror(VATOS_SID, 'S', '6.3.104');
export const S_VATOS_ADDR = mirror(VATOS_ADDR, 'S', '6.3.105');
export const S_VATOS_PAR = mirrorWith(VATOS_PAR, 'S', '6.3.106', { ...VATOS_PAR.fields, ...secureResult });
