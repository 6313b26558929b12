/** Root interface: granule protection. IHI 0070 §3.25, §6.3.110 to §6.3.121. Its page's base is implementation defined. */
import { addr, bits, choice, flag } from '../field.ts';
import { ACTS_AS_0, ADDRESS_SIZE, GPT_CACHEABILITY, L0_SPAN, PA_SPAN, SHAREABILITY, TG0 } from '../values.ts';
import { IIDR } from './idr.ts';
import { ACK_RULE, type RegisterFacts, register } from './register.ts';

/** What all Root registers have in common. */
const root = (offset: number, section: string, title: string, facts: Partial<RegisterFacts> = {}): RegisterFacts => ({
  title,
  offset,
  section,
  page: 'ROOT',
  present: 'ROOT_IDR0.ROOT_IMPL=1',
  ...facts,
});
const GPT_RULE = 'RW while ROOT_CR0.GPCEN=0 and ROOT_CR0ACK.GPCEN=0, otherwise RO';
const FAR_RULE = 'only a write that clears FAULT has effect: it clears the register';

export const ROOT_IDR0 = register('ROOT_IDR0', root(0x00, '6.3.110', 'what the Root and Realm interfaces support'), {
  BA_REALM: bits(0, 31, 22, 'Realm page 0 at byte offset 0x20000 + value*0x10000 from page 0; bit 0 is zero'),
  REALM_IMPL: flag(0, 3, 'Realm interface exists'),
  RGPTM: flag(0, 2, 'register-based invalidate by PA'),
  BGPTM: flag(0, 1, 'broadcast invalidate by PA'),
  ROOT_IMPL: flag(0, 0, 'Root interface exists'),
});

export const ROOT_IIDR = register('ROOT_IIDR', root(0x08, '6.3.111', 'who made the implementation'), IIDR.fields);

export const ROOT_CR0 = register(
  'ROOT_CR0',
  root(0x20, '6.3.112', 'enables of access and of granule protection checks', { access: 'RW', reset: 'zero' }),
  {
    GPCEN: flag(0, 1, 'granule protection checks'),
    ACCESSEN: flag(0, 0, 'let SMMU and client accesses out', ['blocked', 'allowed']),
  },
);

export const ROOT_CR0ACK = register(
  'ROOT_CR0ACK',
  root(0x24, '6.3.113', 'enables that are in force', { rule: ACK_RULE, reset: 'zero' }),
  ROOT_CR0.fields,
);

export const ROOT_GPT_BASE = register(
  'ROOT_GPT_BASE',
  root(0x28, '6.3.114', 'granule protection table address', {
    byteLength: 8,
    access: 'RW',
    rule: GPT_RULE,
    reset: 'unknown',
  }),
  { ADDR: addr(0, 51, 12, 'level 0 GPT address') },
);

export const ROOT_GPT_BASE_CFG = register(
  'ROOT_GPT_BASE_CFG',
  root(0x30, '6.3.115', 'granule protection table format and size', {
    byteLength: 8,
    access: 'RW',
    rule: GPT_RULE,
    reset: 'unknown',
    resetOf: { L0GPTSZ: 'fixed' },
  }),
  {
    L0GPTSZ: choice(0, 23, 20, L0_SPAN, 'address bits per level 0 entry'),
    GPCP: flag(0, 17, 'check priority relaxation for stage 2 table descriptors'),
    PGS: choice(0, 15, 14, TG0, 'physical granule'),
    SH: choice(0, 13, 12, SHAREABILITY, 'shareability of GPT fetches', ACTS_AS_0),
    ORGN: choice(0, 11, 10, GPT_CACHEABILITY, 'outer cacheability of GPT fetches'),
    IRGN: choice(0, 9, 8, GPT_CACHEABILITY, 'inner cacheability of GPT fetches'),
    PPS: choice(0, 2, 0, ADDRESS_SIZE, 'protected address size'),
  },
);

/** The record of an access that the granule protection check refused. */
const refused = {
  FPAS: choice(0, 63, 62, { Secure: 0, 'Non-secure': 1, Root: 2, Realm: 3 }, 'physical address space'),
  FADDR: addr(0, 55, 12, 'faulting address'),
  FAULTCODE: bits(
    0,
    11,
    4,
    'kind of access. REASON 1: 3 STE, 9 CD, 0xb walk, 0x25 VMS. REASON 2: 0 CMDQ, 2 EVENTQ, 3 PRIQ, 4 to 7 the MSI of CMDQ, EVENTQ, PRIQ and GERROR, 0x10 other. REASON 3: 0',
  ),
  REASON: choice(
    0,
    3,
    1,
    { 'no fault recorded': 0, 'translation-related fetch': 1, 'other SMMU access': 2, 'client output address': 3 },
    'who made the access',
  ),
  FAULT: flag(0, 0, 'record valid'),
};

export const ROOT_GPF_FAR = register(
  'ROOT_GPF_FAR',
  root(0x38, '6.3.116', 'access that a granule protection check refused', {
    byteLength: 8,
    access: 'RW',
    rule: FAR_RULE,
    reset: 'zero',
  }),
  refused,
);

export const ROOT_GPT_CFG_FAR = register(
  'ROOT_GPT_CFG_FAR',
  root(0x40, '6.3.117', 'access whose granule protection look-up failed', {
    byteLength: 8,
    access: 'RW',
    rule: FAR_RULE,
    reset: 'zero',
  }),
  {
    ...refused,
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
      'what went wrong with the granule protection table',
    ),
  },
);

export const ROOT_TLBI = register(
  'ROOT_TLBI',
  root(0x50, '6.3.118', 'invalidation by physical address: what', {
    byteLength: 8,
    access: 'RW',
    rule: 'RW while ROOT_TLBI_CTRL.RUN=0, otherwise RO',
    present: 'ROOT_IDR0.RGPTM=1',
    reset: 'unknown',
  }),
  {
    Address: addr(0, 51, 12, 'physical page to drop'),
    SIZE: choice(0, 7, 4, PA_SPAN, 'span'),
    L: flag(0, 1, 'last level only', ['all levels', 'last level']),
    ALL: flag(0, 0, 'everything', ['use other fields', 'all']),
  },
);

export const ROOT_TLBI_CTRL = register(
  'ROOT_TLBI_CTRL',
  root(0x58, '6.3.119', 'invalidation by physical address: start', {
    access: 'RW',
    present: 'ROOT_IDR0.RGPTM=1',
    reset: 'zero',
  }),
  { RUN: flag(0, 0, 'set to start; hardware clears') },
);

export const ROOT_GPT_BASE2 = register(
  'ROOT_GPT_BASE2',
  root(0x60, '6.3.120', 'next granule protection table address', { byteLength: 8, access: 'RW', reset: 'unknown' }),
  { ADDR: addr(0, 51, 12, 'next level 0 GPT address') },
);

export const ROOT_GPT_BASE_UPDATE = register(
  'ROOT_GPT_BASE_UPDATE',
  root(0x68, '6.3.121', 'switch to the next granule protection table', { access: 'RW', reset: 'zero' }),
  { Update: flag(0, 0, 'switch to ROOT_GPT_BASE2; hardware clears') },
);
