/** Address translation operations: software asks what the SMMU would do. IHI 0070 §9.1, §6.3.37 to §6.3.44, §6.3.99 to §6.3.102. */
import { addr, alternate, bits, choice, flag, wide } from '../field.ts';
import { ACCESS_KIND, DIRECTION, PRIVILEGE, SHAREABILITY } from '../values.ts';
import { faulted, succeeded } from './outcome.ts';
import { register, runLockedBy } from './register.ts';

export const GATOS_CTRL = register(
  'GATOS_CTRL',
  {
    title: 'address look-up: start',
    offset: 0x100,
    section: '6.3.37',
    access: 'RW',
    rule: runLockedBy('GATOS_CTRL'),
    present: 'IDR0.ATOS=1',
    reset: 'zero',
  },
  {
    RUN: flag(0, 0, 'set to start; hardware clears when PAR is ready'),
  },
);

export const GATOS_SID = register(
  'GATOS_SID',
  {
    title: 'address look-up: for which stream',
    offset: 0x108,
    section: '6.3.38',
    byteLength: 8,
    access: 'RW',
    rule: runLockedBy('GATOS_CTRL'),
    present: 'IDR0.ATOS=1',
    reset: 'unknown',
  },
  {
    SSID_VALID: flag(0, 52, 'use SUBSTREAMID'),
    SUBSTREAMID: bits(0, 51, 32, 'substream to translate for'),
    STREAMID: bits(0, 31, 0, 'stream to translate for'),
  },
);

export const GATOS_ADDR = register(
  'GATOS_ADDR',
  {
    title: 'address look-up: of which address',
    offset: 0x110,
    section: '6.3.39',
    byteLength: 8,
    access: 'RW',
    rule: runLockedBy('GATOS_CTRL'),
    present: 'IDR0.ATOS=1',
    reset: 'unknown',
  },
  {
    ADDR: wide(0, 63, 12, 'page of the address to translate'),
    TYPE: choice(
      0,
      11,
      10,
      { 'stage 1': 1, 'stage 2': 2, 'stage 1 then stage 2': 3 },
      'requested stages',
      'reserved, gives INV_REQ',
    ),
    PnU: flag(0, 9, 'privilege of the probe', PRIVILEGE),
    RnW: flag(0, 8, 'direction of the probe', DIRECTION),
    InD: flag(0, 7, 'kind of the probe', ACCESS_KIND),
    HTTUI: flag(0, 6, 'inhibit hardware table updates', ['allowed', 'inhibited']),
  },
);

export const GATOS_PAR = register(
  'GATOS_PAR',
  {
    title: 'address look-up: result',
    offset: 0x118,
    section: '6.3.40',
    byteLength: 8,
    rule: 'valid when RUN=0',
    present: 'IDR0.ATOS=1',
    reset: 'unknown',
  },
  {
    FAULT: flag(0, 0, 'outcome selector', ['success format', 'fault format']),
    ATTR: alternate('FAULT=0', bits(0, 63, 56, 'result type, MAIR byte encoding'), succeeded),
    ADDR: alternate('FAULT=0', addr(0, 55, 12, 'result address; low bits carry size when Size=1'), succeeded),
    Size: alternate(
      'FAULT=0',
      flag(0, 11, 'result granularity', ['4KB', 'larger, lowest set ADDR bit marks the size']),
      succeeded,
    ),
    SH: alternate('FAULT=0', choice(0, 9, 8, SHAREABILITY, 'result shareability'), succeeded),
    IMPDEF: alternate('FAULT=1', bits(0, 63, 60, 'implementation defined'), faulted),
    FADDR: alternate('FAULT=1', addr(0, 55, 12, 'faulting IPA page for stage 2 faults'), faulted),
    FAULTCODE: alternate(
      'FAULT=1',
      choice(
        0,
        11,
        4,
        {
          C_BAD_STREAMID: 2,
          F_STE_FETCH: 3,
          C_BAD_STE: 4,
          F_STREAM_DISABLED: 6,
          C_BAD_SUBSTREAMID: 8,
          F_CD_FETCH: 9,
          C_BAD_CD: 10,
          F_WALK_EABT: 11,
          F_TRANSLATION: 16,
          F_ADDR_SIZE: 17,
          F_ACCESS: 18,
          F_PERMISSION: 19,
          F_TLB_CONFLICT: 32,
          F_CFG_CONFLICT: 33,
          F_VMS_FETCH: 37,
          INTERNAL_ERR: 253,
          INV_STAGE: 254,
          INV_REQ: 255,
        },
        'event-style code of the failure',
      ),
      faulted,
    ),
    REASON: alternate(
      'FAULT=1',
      choice(
        0,
        2,
        1,
        {
          'stage 1 fault or configuration': 0,
          'stage 2 fault while fetching CD': 1,
          'stage 2 fault on stage 1 table access': 2,
          'stage 2 fault on the final IPA': 3,
        },
        'which access failed',
      ),
      faulted,
    ),
  },
);

export const VATOS_SEL = register(
  'VATOS_SEL',
  {
    title: 'VMID that the virtual look-up page may ask about',
    offset: 0x180,
    section: '6.3.44',
    access: 'RW',
    rule: runLockedBy('VATOS_CTRL'),
    present: 'IDR0.VATOS=1',
    reset: 'unknown',
  },
  {
    VMID: bits(0, 15, 0, 'VMID whose streams the VATOS page may probe'),
  },
);

export const VATOS_CTRL = register(
  'VATOS_CTRL',
  {
    title: 'virtual address look-up: start',
    offset: 0xa00,
    section: '6.3.99',
    page: 'VATOS',
    access: 'RW',
    rule: runLockedBy('VATOS_CTRL'),
    present: 'IDR0.VATOS=1',
    reset: 'zero',
  },
  GATOS_CTRL.fields,
);

export const VATOS_SID = register(
  'VATOS_SID',
  {
    title: 'virtual address look-up: for which stream',
    offset: 0xa08,
    section: '6.3.100',
    byteLength: 8,
    page: 'VATOS',
    access: 'RW',
    rule: runLockedBy('VATOS_CTRL'),
    present: 'IDR0.VATOS=1',
    reset: 'unknown',
  },
  GATOS_SID.fields,
);

export const VATOS_ADDR = register(
  'VATOS_ADDR',
  {
    title: 'virtual address look-up: of which address',
    offset: 0xa10,
    section: '6.3.101',
    byteLength: 8,
    page: 'VATOS',
    access: 'RW',
    rule: runLockedBy('VATOS_CTRL'),
    present: 'IDR0.VATOS=1',
    reset: 'unknown',
  },
  {
    ...GATOS_ADDR.fields,
    TYPE: choice(0, 11, 10, { 'stage 1': 1 }, 'requested stages; the virtual page only does stage 1'),
  },
);

export const VATOS_PAR = register(
  'VATOS_PAR',
  {
    title: 'virtual address look-up: result',
    offset: 0xa18,
    section: '6.3.102',
    byteLength: 8,
    page: 'VATOS',
    rule: 'valid when RUN=0',
    present: 'IDR0.VATOS=1',
    reset: 'unknown',
  },
  {
    ...GATOS_PAR.fields,
    REASON: alternate(
      'FAULT=1',
      choice(0, 2, 1, { 'stage 1 fault or configuration': 0 }, 'always stage 1 view'),
      faulted,
    ),
  },
);
