/** Control: enables, attributes, global bypass, interrupt enables. IHI 0070 §6.3.9 to §6.3.18; Linux arm_smmu_device_reset. */
import { bits, choice, flag } from '../field.ts';
import {
  ACTS_AS_0,
  CACHEABILITY,
  MEM_ATTR,
  MEM_ATTR_RESERVED,
  NO_ACCESS,
  S2_PERMISSION,
  SHAREABILITY,
  SHCFG,
} from '../values.ts';
import { ACK_RULE, CR0_RULE, lockedBy, register, UPDATE_RULE } from './register.ts';

export const CR0 = register(
  'CR0',
  {
    title: 'enables of the SMMU and its queues',
    offset: 0x20,
    section: '6.3.9',
    access: 'RW',
    rule: CR0_RULE,
    reset: 'zero',
  },
  {
    DPT_WALK_EN: flag(0, 10, 'allow device permission table walks'),
    VMW: choice(
      0,
      8,
      6,
      { exact: 0, 'ignore bit 0': 1, 'ignore bits 1:0': 2, 'ignore bits 2:0': 3, 'ignore bits 3:0': 4 },
      'low VMID bits ignored when matching invalidation',
      'reserved, act as 0',
    ),
    ATSCHK: flag(0, 4, 'treatment of ATS Translated traffic', ['pass without checks', 'check against STE']),
    CMDQEN: flag(0, 3, 'consume commands'),
    EVENTQEN: flag(0, 2, 'write events'),
    PRIQEN: flag(0, 1, 'write page requests; effective only with SMMUEN'),
    SMMUEN: flag(0, 0, 'translate incoming streams; 0 uses GBPA'),
  },
);

export const CR0ACK = register(
  'CR0ACK',
  { title: 'enables that are in force', offset: 0x24, section: '6.3.10', rule: ACK_RULE, reset: 'zero' },
  CR0.fields,
);

export const CR1 = register(
  'CR1',
  {
    title: 'memory attributes of table and queue accesses',
    offset: 0x28,
    section: '6.3.11',
    access: 'RW',
    rule: 'TABLE_* writable only while SMMUEN=0; QUEUE_* only while all queue enables are 0',
    reset: 'preset',
  },
  {
    TABLE_SH: choice(0, 11, 10, SHAREABILITY, 'shareability of stream/CD-side table fetches', ACTS_AS_0),
    TABLE_OC: choice(0, 9, 8, CACHEABILITY, 'outer cacheability of stream table fetches', ACTS_AS_0),
    TABLE_IC: choice(0, 7, 6, CACHEABILITY, 'inner cacheability of stream table fetches', ACTS_AS_0),
    QUEUE_SH: choice(0, 5, 4, SHAREABILITY, 'shareability of queue accesses', ACTS_AS_0),
    QUEUE_OC: choice(0, 3, 2, CACHEABILITY, 'outer cacheability of queue accesses', ACTS_AS_0),
    QUEUE_IC: choice(0, 1, 0, CACHEABILITY, 'inner cacheability of queue accesses', ACTS_AS_0),
  },
);

export const CR2 = register(
  'CR2',
  {
    title: 'translation regime, event recording, broadcast maintenance',
    offset: 0x2c,
    section: '6.3.12',
    access: 'RW',
    rule: lockedBy('SMMUEN'),
    reset: 'unknown',
    resetOf: { PTM: 'impdef' },
  },
  {
    REC_CFG_ATS: flag(0, 3, 'log configuration errors hit by ATS traffic'),
    PTM: flag(0, 2, 'ignore broadcast TLB maintenance', ['participate', 'private']),
    RECINVSID: flag(0, 1, 'log C_BAD_STREAMID events'),
    E2H: flag(0, 0, 'EL2-E2H regime: ASID tags and two VA ranges for EL2 streams', ['EL2', 'EL2-E2H']),
  },
);

export const STATUSR = register(
  'STATUSR',
  { title: 'activity', offset: 0x40, section: '6.3.13', reset: 'zero' },
  {
    DORMANT: flag(0, 0, 'hint that nothing is cached, so invalidation may be skipped; needs DORMHINT', [
      'caches may hold entries',
      'nothing cached',
    ]),
  },
);

export const GBPA = register(
  'GBPA',
  {
    title: 'attributes of traffic while the SMMU is disabled',
    offset: 0x44,
    section: '6.3.14',
    access: 'RW',
    rule: UPDATE_RULE,
    reset: 'impdef',
    resetOf: { Update: 'zero' },
  },
  {
    Update: flag(0, 31, 'write 1 with new values; hardware clears once applied'),
    ABORT: flag(0, 20, 'global bypass outcome', ['pass through', 'abort all']),
    INSTCFG: choice(0, 19, 18, { 'use incoming': [0, 1], data: 2, instruction: 3 }, 'instruction/data override'),
    PRIVCFG: choice(0, 17, 16, { 'use incoming': [0, 1], unprivileged: 2, privileged: 3 }, 'privilege override'),
    SHCFG: choice(0, 13, 12, SHCFG, 'shareability override'),
    ALLOCCFG: choice(
      0,
      11,
      8,
      { 'use incoming': [0, 7], 'override with R/W/T bits': [8, 15] },
      'allocation hints: bit3 override enable, bit2 read, bit1 write, bit0 transient',
    ),
    MTCFG: flag(0, 4, 'memory type override', ['use incoming', 'use MemAttr']),
    MemAttr: choice(0, 3, 0, MEM_ATTR, 'type used when MTCFG=1', MEM_ATTR_RESERVED),
  },
);

export const AGBPA = register(
  'AGBPA',
  {
    title: 'implementation defined bypass attributes',
    offset: 0x48,
    section: '6.3.15',
    access: 'RW',
    rule: 'implementation defined',
    reset: 'impdef',
  },
  {
    IMPDEF: bits(0, 31, 0, 'implementation defined'),
  },
);

export const IRQ_CTRL = register(
  'IRQ_CTRL',
  {
    title: 'interrupt enables',
    offset: 0x50,
    section: '6.3.16',
    access: 'RW',
    rule: 'poll IRQ_CTRLACK',
    reset: 'zero',
  },
  {
    EVENTQ_IRQEN: flag(0, 2, 'event queue interrupts'),
    PRIQ_IRQEN: flag(0, 1, 'PRI queue interrupts'),
    GERROR_IRQEN: flag(0, 0, 'global error interrupts'),
  },
);

export const IRQ_CTRLACK = register(
  'IRQ_CTRLACK',
  { title: 'interrupt enables that are in force', offset: 0x54, section: '6.3.18', rule: ACK_RULE, reset: 'zero' },
  IRQ_CTRL.fields,
);

export const S2PII = register(
  'S2PII',
  {
    title: 'stage 2 permissions by index',
    offset: 0x30,
    section: '6.3.17',
    byteLength: 8,
    access: 'RW',
    rule: 'takes effect through TLB invalidation',
    present: 'IDR3.S2PI=1',
    reset: 'unknown',
  },
  {
    S2PII15: choice(0, 63, 60, S2_PERMISSION, 'stage 2 permission for index 15', NO_ACCESS),
    S2PII14: choice(0, 59, 56, S2_PERMISSION, 'stage 2 permission for index 14', NO_ACCESS),
    S2PII13: choice(0, 55, 52, S2_PERMISSION, 'stage 2 permission for index 13', NO_ACCESS),
    S2PII12: choice(0, 51, 48, S2_PERMISSION, 'stage 2 permission for index 12', NO_ACCESS),
    S2PII11: choice(0, 47, 44, S2_PERMISSION, 'stage 2 permission for index 11', NO_ACCESS),
    S2PII10: choice(0, 43, 40, S2_PERMISSION, 'stage 2 permission for index 10', NO_ACCESS),
    S2PII9: choice(0, 39, 36, S2_PERMISSION, 'stage 2 permission for index 9', NO_ACCESS),
    S2PII8: choice(0, 35, 32, S2_PERMISSION, 'stage 2 permission for index 8', NO_ACCESS),
    S2PII7: choice(0, 31, 28, S2_PERMISSION, 'stage 2 permission for index 7', NO_ACCESS),
    S2PII6: choice(0, 27, 24, S2_PERMISSION, 'stage 2 permission for index 6', NO_ACCESS),
    S2PII5: choice(0, 23, 20, S2_PERMISSION, 'stage 2 permission for index 5', NO_ACCESS),
    S2PII4: choice(0, 19, 16, S2_PERMISSION, 'stage 2 permission for index 4', NO_ACCESS),
    S2PII3: choice(0, 15, 12, S2_PERMISSION, 'stage 2 permission for index 3', NO_ACCESS),
    S2PII2: choice(0, 11, 8, S2_PERMISSION, 'stage 2 permission for index 2', NO_ACCESS),
    S2PII1: choice(0, 7, 4, S2_PERMISSION, 'stage 2 permission for index 1', NO_ACCESS),
    S2PII0: choice(0, 3, 0, S2_PERMISSION, 'stage 2 permission for index 0', NO_ACCESS),
  },
);

export const GMPAM = register(
  'GMPAM',
  {
    title: "memory partition of the SMMU's own accesses",
    offset: 0x138,
    section: '6.3.42',
    access: 'RW',
    rule: UPDATE_RULE,
    present: 'IDR3.MPAM=1',
    reset: 'zero',
  },
  {
    Update: flag(0, 31, 'write 1 with new values; hardware clears'),
    SO_PMG: bits(0, 23, 16, 'PMG for SMMU-originated accesses'),
    SO_PARTID: bits(0, 15, 0, 'PARTID for SMMU-originated accesses'),
  },
);

export const GBPMPAM = register(
  'GBPMPAM',
  {
    title: 'memory partition of traffic in global bypass',
    offset: 0x13c,
    section: '6.3.43',
    access: 'RW',
    rule: UPDATE_RULE,
    present: 'IDR3.MPAM=1',
    reset: 'zero',
  },
  {
    Update: flag(0, 31, 'write 1 with new values; hardware clears'),
    GBP_PMG: bits(0, 23, 16, 'PMG in global bypass'),
    GBP_PARTID: bits(0, 15, 0, 'PARTID in global bypass'),
  },
);
