/** Root interface: granule protection. IHI 0070 §3.25, §6.3.110 to §6.3.121. */
import { addr, bits, choice, flag } from '../field.ts';
import { ACTS_AS_0, ADDRESS_SIZE, L0_SPAN, PA_SPAN, SHAREABILITY, TG0 } from '../values.ts';
import { ACK_RULE, register } from './register.ts';

export const ROOT_IDR0 = register(
  'ROOT_IDR0',
  { offset: 0x0, section: '6.3.110', page: 'ROOT', present: 'ROOT_IDR0.ROOT_IMPL=1' },
  {
    BA_REALM: bits(0, 31, 22, 'Realm page 0 at byte offset 0x20000 + value*0x10000 from page 0; bit 0 is zero'),
    REALM_IMPL: flag(0, 3, 'Realm interface exists'),
    RGPTM: flag(0, 2, 'register-based invalidate by PA'),
    BGPTM: flag(0, 1, 'broadcast invalidate by PA'),
    ROOT_IMPL: flag(0, 0, 'Root interface exists'),
  },
);

export const ROOT_IIDR = register(
  'ROOT_IIDR',
  { offset: 0x8, section: '6.3.111', page: 'ROOT', present: 'ROOT_IDR0.ROOT_IMPL=1' },
  {
    ProductID: bits(0, 31, 20, 'implementer product number'),
    Variant: bits(0, 19, 16, 'major revision digit'),
    Revision: bits(0, 15, 12, 'minor revision digit'),
    Implementer: bits(0, 11, 0, 'JEP106 code; Arm is 0x43B'),
  },
);

export const ROOT_CR0 = register(
  'ROOT_CR0',
  { offset: 0x20, section: '6.3.112', page: 'ROOT', access: 'RW', present: 'ROOT_IDR0.ROOT_IMPL=1', reset: 'zero' },
  {
    GPCEN: flag(0, 1, 'granule protection checks'),
    ACCESSEN: flag(0, 0, 'let SMMU and client accesses out', ['blocked', 'allowed']),
  },
);

export const ROOT_CR0ACK = register(
  'ROOT_CR0ACK',
  { offset: 0x24, section: '6.3.113', page: 'ROOT', rule: ACK_RULE, present: 'ROOT_IDR0.ROOT_IMPL=1', reset: 'zero' },
  {
    GPCEN: flag(0, 1, 'granule protection checks'),
    ACCESSEN: flag(0, 0, 'let SMMU and client accesses out', ['blocked', 'allowed']),
  },
);

export const ROOT_GPT_BASE = register(
  'ROOT_GPT_BASE',
  {
    offset: 0x28,
    section: '6.3.114',
    byteLength: 8,
    page: 'ROOT',
    access: 'RW',
    present: 'ROOT_IDR0.ROOT_IMPL=1',
    reset: 'unknown',
  },
  {
    ADDR: addr(0, 51, 12, 'level 0 GPT address'),
  },
);

export const ROOT_GPT_BASE_CFG = register(
  'ROOT_GPT_BASE_CFG',
  {
    offset: 0x30,
    section: '6.3.115',
    byteLength: 8,
    page: 'ROOT',
    access: 'RW',
    present: 'ROOT_IDR0.ROOT_IMPL=1',
    reset: 'unknown',
  },
  {
    L0GPTSZ: choice(0, 23, 20, L0_SPAN, 'address bits per level 0 entry'),
    GPCP: flag(0, 17, 'check priority relaxation for stage 2 table descriptors'),
    PGS: choice(0, 15, 14, TG0, 'physical granule'),
    SH: choice(0, 13, 12, SHAREABILITY, 'shareability of GPT fetches', ACTS_AS_0),
    ORGN: choice(
      0,
      11,
      10,
      { 'non-cacheable': 0, 'WB read+write allocate': 1, 'WT read allocate': 2, 'WB read allocate': 3 },
      'outer cacheability of GPT fetches',
    ),
    IRGN: choice(
      0,
      9,
      8,
      { 'non-cacheable': 0, 'WB read+write allocate': 1, 'WT read allocate': 2, 'WB read allocate': 3 },
      'inner cacheability of GPT fetches',
    ),
    PPS: choice(0, 2, 0, ADDRESS_SIZE, 'protected address size'),
  },
);

export const ROOT_GPF_FAR = register(
  'ROOT_GPF_FAR',
  {
    offset: 0x38,
    section: '6.3.116',
    byteLength: 8,
    page: 'ROOT',
    access: 'RW',
    present: 'ROOT_IDR0.ROOT_IMPL=1',
    reset: 'unknown',
    resetOf: { FAULT: 'zero' },
  },
  {
    FPAS: choice(0, 63, 62, { Secure: 0, 'Non-secure': 1, Root: 2, Realm: 3 }, 'physical address space'),
    FADDR: addr(0, 55, 12, 'faulting address'),
    FAULTCODE: bits(
      0,
      11,
      4,
      'access kind; REASON=1 uses event codes 3,9,0xB,0x25; REASON=2: 0 CMDQ,2 EVENTQ,3 PRIQ,4-7 MSI of CMDQ/EVENTQ/PRIQ/GERROR,0x10 other; REASON=3: 0',
    ),
    REASON: choice(
      0,
      3,
      1,
      { 'no fault recorded': 0, 'translation-related fetch': 1, 'other SMMU access': 2, 'client output address': 3 },
      'who made the access',
    ),
    FAULT: flag(0, 0, 'record valid'),
  },
);

export const ROOT_GPT_CFG_FAR = register(
  'ROOT_GPT_CFG_FAR',
  {
    offset: 0x40,
    section: '6.3.117',
    byteLength: 8,
    page: 'ROOT',
    access: 'RW',
    present: 'ROOT_IDR0.ROOT_IMPL=1',
    reset: 'unknown',
    resetOf: { FAULT: 'zero' },
  },
  {
    FPAS: choice(0, 63, 62, { Secure: 0, 'Non-secure': 1, Root: 2, Realm: 3 }, 'physical address space'),
    CFG_ERR: choice(
      0,
      59,
      56,
      {
        'bad register configuration': 0,
        'base beyond PPS': 1,
        'abort fetching GPT': 2,
        'bad GPT entry': 3,
        'next-level address beyond PPS': 4,
      },
      'GPT failure kind',
    ),
    FADDR: addr(0, 55, 12, 'faulting address'),
    FAULTCODE: bits(
      0,
      11,
      4,
      'access kind; REASON=1 uses event codes 3,9,0xB,0x25; REASON=2: 0 CMDQ,2 EVENTQ,3 PRIQ,4-7 MSI of CMDQ/EVENTQ/PRIQ/GERROR,0x10 other; REASON=3: 0',
    ),
    REASON: choice(
      0,
      3,
      1,
      { 'no fault recorded': 0, 'translation-related fetch': 1, 'other SMMU access': 2, 'client output address': 3 },
      'who made the access',
    ),
    FAULT: flag(0, 0, 'record valid'),
  },
);

export const ROOT_TLBI = register(
  'ROOT_TLBI',
  {
    offset: 0x50,
    section: '6.3.118',
    byteLength: 8,
    page: 'ROOT',
    access: 'RW',
    present: 'ROOT_IDR0.ROOT_IMPL=1',
    reset: 'unknown',
  },
  {
    Address: addr(0, 51, 12, 'physical page to drop'),
    SIZE: choice(0, 7, 4, PA_SPAN, 'span'),
    L: flag(0, 1, 'last level only', ['all levels', 'last level']),
    ALL: flag(0, 0, 'everything', ['use other fields', 'all']),
  },
);

export const ROOT_TLBI_CTRL = register(
  'ROOT_TLBI_CTRL',
  { offset: 0x58, section: '6.3.119', page: 'ROOT', access: 'RW', present: 'ROOT_IDR0.ROOT_IMPL=1', reset: 'zero' },
  {
    RUN: flag(0, 0, 'set to start; hardware clears'),
  },
);

export const ROOT_GPT_BASE2 = register(
  'ROOT_GPT_BASE2',
  {
    offset: 0x60,
    section: '6.3.120',
    byteLength: 8,
    page: 'ROOT',
    access: 'RW',
    present: 'ROOT_IDR0.ROOT_IMPL=1',
    reset: 'unknown',
  },
  {
    ADDR: addr(0, 51, 12, 'next level 0 GPT address'),
  },
);

export const ROOT_GPT_BASE_UPDATE = register(
  'ROOT_GPT_BASE_UPDATE',
  { offset: 0x68, section: '6.3.121', page: 'ROOT', access: 'RW', present: 'ROOT_IDR0.ROOT_IMPL=1', reset: 'zero' },
  {
    Update: flag(0, 0, 'switch to BASE2; hardware clears'),
  },
);
