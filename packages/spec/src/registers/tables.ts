/** Where the stream table and the device permission table are. IHI 0070 §6.3.24, §6.3.25, §6.3.46 to §6.3.48. */
import { addr, bits, choice, flag } from '../field.ts';
import { ADDRESS_SIZE_52, L0_SPAN, TG0 } from '../values.ts';
import { lockedBy, register } from './register.ts';

export const STRTAB_BASE = register(
  'STRTAB_BASE',
  {
    title: 'stream table address',
    offset: 0x80,
    section: '6.3.24',
    byteLength: 8,
    access: 'RW',
    rule: lockedBy('SMMUEN', 'TABLES_PRESET'),
    reset: 'preset',
  },
  {
    RA: flag(0, 62, 'read-allocate hint'),
    ADDR: addr(0, 55, 6, 'table address; low bits forced to 0 up to the table size alignment'),
  },
);

export const STRTAB_BASE_CFG = register(
  'STRTAB_BASE_CFG',
  {
    title: 'stream table format and size',
    offset: 0x88,
    section: '6.3.25',
    access: 'RW',
    rule: lockedBy('SMMUEN', 'TABLES_PRESET'),
    reset: 'preset',
  },
  {
    FMT: choice(0, 17, 16, { linear: 0, '2-level': 1 }, 'table shape', 'reserved, acts as 0'),
    SPLIT: choice(
      0,
      10,
      6,
      { '4KB leaf tables': 6, '16KB leaf tables': 8, '64KB leaf tables': 10 },
      'StreamID bits resolved in the leaf table',
    ),
    LOG2SIZE: bits(0, 5, 0, 'log2 of covered StreamIDs; effective value capped by SIDSIZE'),
  },
);

export const DPT_BASE = register(
  'DPT_BASE',
  {
    title: 'device permission table address',
    offset: 0x200,
    section: '6.3.46',
    byteLength: 8,
    access: 'RW',
    rule: 'RW while CR0.DPT_WALK_EN=0 and acknowledged, otherwise RO',
    present: 'IDR3.DPT=1',
    reset: 'unknown',
  },
  {
    RA: flag(0, 62, 'read-allocate hint'),
    BADDR: addr(0, 55, 12, 'level 0 table address'),
  },
);

export const DPT_BASE_CFG = register(
  'DPT_BASE_CFG',
  {
    title: 'device permission table format and size',
    offset: 0x208,
    section: '6.3.47',
    access: 'RW',
    rule: 'RW while CR0.DPT_WALK_EN=0 and acknowledged, otherwise RO',
    present: 'IDR3.DPT=1',
    reset: 'unknown',
  },
  {
    L0DPTSZ: choice(0, 23, 20, L0_SPAN, 'address bits per level 0 entry'),
    DPTGS: choice(0, 15, 14, TG0, 'table granule'),
    DPTPS: choice(0, 2, 0, ADDRESS_SIZE_52, 'covered address size'),
  },
);

export const DPT_CFG_FAR = register(
  'DPT_CFG_FAR',
  {
    title: 'device permission table fault',
    offset: 0x210,
    section: '6.3.48',
    byteLength: 8,
    access: 'RW',
    rule: 'only a write that clears FAULT has effect',
    present: 'IDR3.DPT=1',
    reset: 'zero',
  },
  {
    FADDR: addr(0, 55, 12, 'address that failed the lookup'),
    DPT_FAULTCODE: choice(
      0,
      7,
      4,
      { 'walks disabled': 0, 'bad configuration or descriptor': 1, 'granule protection fault': 2, 'external abort': 3 },
      'why the lookup failed',
    ),
    LEVEL: flag(0, 1, 'level of the failure', ['level 0', 'level 1']),
    FAULT: flag(0, 0, 'record valid; writing 0 clears the register'),
  },
);
