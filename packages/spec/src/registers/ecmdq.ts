/** Enhanced command queues and the pages that control them. IHI 0070 §3.5.6, §6.3.49 to §6.3.51, §6.3.107 to §6.3.109. */
import { addr, bits, choice, flag } from '../field.ts';
import { CERROR_NAMES } from '../values.ts';
import { register } from './register.ts';

export const CMDQ_CONTROL_PAGE_BASEn = register(
  'CMDQ_CONTROL_PAGE_BASEn',
  {
    title: 'where a control page of command queues is',
    offset: 0x4000,
    section: '6.3.49',
    byteLength: 8,
    present: 'IDR1.ECMDQ=1',
    array: { count: 256, stride: 32 },
  },
  {
    ADDR: addr(0, 55, 16, 'page offset from register page 0'),
    CMDQGS: choice(0, 2, 1, { '64KB': 1 }, 'page granule'),
    CMDQ_CONTROL_PAGE_PRESET: flag(0, 0, 'queue controls are registers; reads 1'),
  },
);

export const CMDQ_CONTROL_PAGE_CFGn = register(
  'CMDQ_CONTROL_PAGE_CFGn',
  {
    title: 'enable of a control page',
    offset: 0x4008,
    section: '6.3.50',
    present: 'IDR1.ECMDQ=1',
    array: { count: 256, stride: 32 },
  },
  {
    EN: flag(0, 0, 'page enable; fixed to 1'),
  },
);

export const CMDQ_CONTROL_PAGE_STATUSn = register(
  'CMDQ_CONTROL_PAGE_STATUSn',
  {
    title: 'enable of a control page that is in force',
    offset: 0x400c,
    section: '6.3.51',
    present: 'IDR1.ECMDQ=1',
    array: { count: 256, stride: 32 },
  },
  {
    ENACK: flag(0, 0, 'page enable acknowledge; fixed to 1'),
  },
);

export const ECMDQ_BASEn = register(
  'ECMDQ_BASEn',
  {
    title: 'enhanced command queue address and size',
    offset: 0x0,
    section: '6.3.107',
    byteLength: 8,
    page: 'CMDQCP',
    access: 'RW',
    rule: 'RW while EN=0 and ENACK=0, otherwise RO',
    present: 'IDR1.ECMDQ=1',
    reset: 'unknown',
    array: { count: 256, stride: 0 },
  },
  {
    RA: flag(0, 62, 'read-allocate hint'),
    ADDR: addr(0, 55, 5, 'queue address'),
    LOG2SIZE: bits(0, 4, 0, 'log2 entries'),
  },
);

export const ECMDQ_PRODn = register(
  'ECMDQ_PRODn',
  {
    title: 'enhanced command queue write index and enable',
    offset: 0x8,
    section: '6.3.108',
    page: 'CMDQCP',
    access: 'RW',
    rule: 'RW while EN equals ENACK, otherwise RO',
    present: 'IDR1.ECMDQ=1',
    reset: 'zero',
    resetOf: { WR: 'unknown' },
    array: { count: 256, stride: 0 },
  },
  {
    EN: flag(0, 31, 'enable this queue'),
    ERRACK: flag(0, 23, 'software copies CONS.ERR here to acknowledge'),
    WR: bits(0, 19, 0, 'write index, wrap flag at bit LOG2SIZE'),
  },
);

export const ECMDQ_CONSn = register(
  'ECMDQ_CONSn',
  {
    title: 'enhanced command queue read index and error',
    offset: 0xc,
    section: '6.3.109',
    page: 'CMDQCP',
    access: 'RW',
    rule: 'RW while EN=0 and ENACK=0, otherwise RO',
    present: 'IDR1.ECMDQ=1',
    reset: 'zero',
    resetOf: { ERR_REASON: 'unknown', RD: 'unknown' },
    array: { count: 256, stride: 0 },
  },
  {
    ENACK: flag(0, 31, 'enable acknowledge'),
    ERR_REASON: choice(0, 26, 24, CERROR_NAMES, 'command error code'),
    ERR: flag(0, 23, 'toggled on error; active while it differs from ERRACK'),
    RD: bits(0, 19, 0, 'read index, wrap flag at bit LOG2SIZE'),
  },
);
