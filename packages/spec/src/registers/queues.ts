/** The command, event and PRI queues. IHI 0070 §3.5, §6.3.26 to §6.3.36, §6.3.95 to §6.3.98; Linux arm_smmu_init_queues. */
import { addr, bits, choice, flag } from '../field.ts';
import { ACTS_AS_0, CERROR_NAMES, MEM_ATTR, MEM_ATTR_RESERVED, SHAREABILITY } from '../values.ts';
import { irqLockedBy, lockedBy, register, SOFTWARE_RULE } from './register.ts';

export const CMDQ_BASE = register(
  'CMDQ_BASE',
  {
    title: 'command queue address and size',
    offset: 0x90,
    section: '6.3.26',
    byteLength: 8,
    access: 'RW',
    rule: lockedBy('CMDQEN', 'QUEUES_PRESET'),
    reset: 'preset',
  },
  {
    RA: flag(0, 62, 'read-allocate hint'),
    ADDR: addr(0, 55, 5, 'queue address; aligned to max(32 bytes, queue size)'),
    LOG2SIZE: bits(0, 4, 0, 'log2 entries; capped by IDR1.CMDQS'),
  },
);

export const CMDQ_PROD = register(
  'CMDQ_PROD',
  {
    title: 'command queue write index',
    offset: 0x98,
    section: '6.3.27',
    access: 'RW',
    rule: SOFTWARE_RULE,
    reset: 'unknown',
  },
  {
    WR: bits(0, 19, 0, 'write index, wrap flag at bit LOG2SIZE'),
  },
);

export const CMDQ_CONS = register(
  'CMDQ_CONS',
  {
    title: 'command queue read index and error',
    offset: 0x9c,
    section: '6.3.28',
    access: 'RW',
    rule: lockedBy('CMDQEN'),
    reset: 'unknown',
  },
  {
    ERR: choice(0, 30, 24, CERROR_NAMES, 'command error code, valid while CMDQ_ERR is active'),
    RD: bits(0, 19, 0, 'read index, wrap flag at bit LOG2SIZE'),
  },
);

export const EVENTQ_BASE = register(
  'EVENTQ_BASE',
  {
    title: 'event queue address and size',
    offset: 0xa0,
    section: '6.3.29',
    byteLength: 8,
    access: 'RW',
    rule: lockedBy('EVENTQEN', 'QUEUES_PRESET'),
    reset: 'preset',
  },
  {
    WA: flag(0, 62, 'write-allocate hint'),
    ADDR: addr(0, 55, 5, 'queue address; aligned to max(32 bytes, queue size)'),
    LOG2SIZE: bits(0, 4, 0, 'log2 entries; capped by IDR1.EVENTQS'),
  },
);

export const EVENTQ_PROD = register(
  'EVENTQ_PROD',
  {
    title: 'event queue write index',
    offset: 0x100a8,
    section: '6.3.95',
    page: 'PAGE_1',
    access: 'RW',
    rule: lockedBy('EVENTQEN'),
    reset: 'unknown',
    aliases: [0xa8],
  },
  {
    OVFLG: flag(0, 31, 'toggled by hardware when a record is lost to a full queue'),
    WR: bits(0, 19, 0, 'write index, wrap flag at bit LOG2SIZE'),
  },
);

export const EVENTQ_CONS = register(
  'EVENTQ_CONS',
  {
    title: 'event queue read index',
    offset: 0x100ac,
    section: '6.3.96',
    page: 'PAGE_1',
    access: 'RW',
    rule: SOFTWARE_RULE,
    reset: 'unknown',
    aliases: [0xac],
  },
  {
    OVACKFLG: flag(0, 31, 'software copies OVFLG here to acknowledge'),
    RD: bits(0, 19, 0, 'read index, wrap flag at bit LOG2SIZE'),
  },
);

export const EVENTQ_IRQ_CFG0 = register(
  'EVENTQ_IRQ_CFG0',
  {
    title: 'MSI address of the event queue',
    offset: 0xb0,
    section: '6.3.30',
    byteLength: 8,
    access: 'RW',
    rule: irqLockedBy('EVENTQ_IRQEN'),
    present: 'IDR0.MSI=1',
    reset: 'unknown',
  },
  {
    ADDR: addr(0, 55, 2, 'MSI target, word aligned; 0 suppresses the MSI'),
  },
);

export const EVENTQ_IRQ_CFG1 = register(
  'EVENTQ_IRQ_CFG1',
  {
    title: 'MSI data of the event queue',
    offset: 0xb8,
    section: '6.3.31',
    access: 'RW',
    rule: irqLockedBy('EVENTQ_IRQEN'),
    present: 'IDR0.MSI=1',
    reset: 'unknown',
  },
  {
    DATA: bits(0, 31, 0, 'MSI payload'),
  },
);

export const EVENTQ_IRQ_CFG2 = register(
  'EVENTQ_IRQ_CFG2',
  {
    title: 'MSI attributes of the event queue',
    offset: 0xbc,
    section: '6.3.32',
    access: 'RW',
    rule: irqLockedBy('EVENTQ_IRQEN'),
    present: 'IDR0.MSI=1',
    reset: 'unknown',
  },
  {
    SH: choice(0, 5, 4, SHAREABILITY, 'shareability of the MSI write', ACTS_AS_0),
    MemAttr: choice(0, 3, 0, MEM_ATTR, 'memory type of the MSI write', MEM_ATTR_RESERVED),
  },
);

export const PRIQ_BASE = register(
  'PRIQ_BASE',
  {
    title: 'PRI queue address and size',
    offset: 0xc0,
    section: '6.3.33',
    byteLength: 8,
    access: 'RW',
    rule: lockedBy('PRIQEN', 'QUEUES_PRESET'),
    present: 'IDR0.PRI=1',
    reset: 'unknown',
  },
  {
    WA: flag(0, 62, 'write-allocate hint'),
    ADDR: addr(0, 55, 5, 'queue address; aligned to max(32 bytes, queue size)'),
    LOG2SIZE: bits(0, 4, 0, 'log2 entries; capped by IDR1.PRIQS'),
  },
);

export const PRIQ_PROD = register(
  'PRIQ_PROD',
  {
    title: 'PRI queue write index',
    offset: 0x100c8,
    section: '6.3.97',
    page: 'PAGE_1',
    access: 'RW',
    rule: lockedBy('PRIQEN'),
    present: 'IDR0.PRI=1',
    reset: 'zero',
    resetOf: { WR: 'unknown' },
    aliases: [0xc8],
  },
  {
    OVFLG: flag(0, 31, 'toggled by hardware when a request is lost; resets to 0'),
    WR: bits(0, 19, 0, 'write index, wrap flag at bit LOG2SIZE'),
  },
);

export const PRIQ_CONS = register(
  'PRIQ_CONS',
  {
    title: 'PRI queue read index',
    offset: 0x100cc,
    section: '6.3.98',
    page: 'PAGE_1',
    access: 'RW',
    rule: SOFTWARE_RULE,
    present: 'IDR0.PRI=1',
    reset: 'unknown',
    aliases: [0xcc],
  },
  {
    OVACKFLG: flag(0, 31, 'software copies OVFLG here to acknowledge and restart writes'),
    RD: bits(0, 19, 0, 'read index, wrap flag at bit LOG2SIZE'),
  },
);

export const PRIQ_IRQ_CFG0 = register(
  'PRIQ_IRQ_CFG0',
  {
    title: 'MSI address of the PRI queue',
    offset: 0xd0,
    section: '6.3.34',
    byteLength: 8,
    access: 'RW',
    rule: irqLockedBy('PRIQ_IRQEN'),
    present: 'IDR0.PRI=1 and IDR0.MSI=1',
    reset: 'unknown',
  },
  {
    ADDR: addr(0, 55, 2, 'MSI target, word aligned; 0 suppresses the MSI'),
  },
);

export const PRIQ_IRQ_CFG1 = register(
  'PRIQ_IRQ_CFG1',
  {
    title: 'MSI data of the PRI queue',
    offset: 0xd8,
    section: '6.3.35',
    access: 'RW',
    rule: irqLockedBy('PRIQ_IRQEN'),
    present: 'IDR0.PRI=1 and IDR0.MSI=1',
    reset: 'unknown',
  },
  {
    DATA: bits(0, 31, 0, 'MSI payload'),
  },
);

export const PRIQ_IRQ_CFG2 = register(
  'PRIQ_IRQ_CFG2',
  {
    title: 'MSI attributes and trigger of the PRI queue',
    offset: 0xdc,
    section: '6.3.36',
    access: 'RW',
    rule: irqLockedBy('PRIQ_IRQEN'),
    present: 'IDR0.PRI=1 (LO usable without MSI)',
    reset: 'unknown',
  },
  {
    LO: flag(0, 31, 'interrupt only for requests with Last=1', ['queue turns non-empty', 'a Last=1 request arrives']),
    SH: choice(0, 5, 4, SHAREABILITY, 'shareability of the MSI write', ACTS_AS_0),
    MemAttr: choice(0, 3, 0, MEM_ATTR, 'memory type of the MSI write', MEM_ATTR_RESERVED),
  },
);
