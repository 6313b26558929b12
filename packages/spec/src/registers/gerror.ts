/** Global errors, toggled by hardware and acknowledged by software, and where their interrupt goes. IHI 0070 §7.5, §6.3.19 to §6.3.23. */
import { addr, bits, choice, flag } from '../field.ts';
import { ACTS_AS_0, MEM_ATTR, MEM_ATTR_RESERVED, SHAREABILITY } from '../values.ts';
import { irqLockedBy, register } from './register.ts';

export const GERROR = register(
  'GERROR',
  {
    title: 'global errors, toggled by hardware',
    offset: 0x60,
    section: '6.3.19',
    rule: 'hardware toggles bits',
    reset: 'zero',
  },
  {
    DPT_ERR: flag(0, 10, 'device permission table fault; see DPT_CFG_FAR'),
    CMDQP_ERR: flag(0, 9, 'some enhanced command queue reported an error'),
    SFM_ERR: flag(0, 8, 'service failure mode entered'),
    MSI_GERROR_ABT_ERR: flag(0, 7, 'abort on a global error MSI write'),
    MSI_PRIQ_ABT_ERR: flag(0, 6, 'abort on a PRI queue MSI write'),
    MSI_EVENTQ_ABT_ERR: flag(0, 5, 'abort on an event queue MSI write'),
    MSI_CMDQ_ABT_ERR: flag(0, 4, 'abort on a CMD_SYNC MSI write'),
    PRIQ_ABT_ERR: flag(0, 3, 'abort while writing the PRI queue'),
    EVENTQ_ABT_ERR: flag(0, 2, 'abort while writing the event queue'),
    CMDQ_ERR: flag(0, 0, 'command queue stopped; reason in CMDQ_CONS.ERR'),
  },
);

export const GERRORN = register(
  'GERRORN',
  {
    title: 'global errors acknowledged',
    offset: 0x64,
    section: '6.3.20',
    access: 'RW',
    rule: 'software toggles bits to acknowledge',
    reset: 'zero',
  },
  GERROR.fields,
);

export const GERROR_IRQ_CFG0 = register(
  'GERROR_IRQ_CFG0',
  {
    title: 'MSI address of global errors',
    offset: 0x68,
    section: '6.3.21',
    byteLength: 8,
    access: 'RW',
    rule: irqLockedBy('GERROR_IRQEN'),
    present: 'IDR0.MSI=1',
    reset: 'unknown',
  },
  {
    ADDR: addr(0, 55, 2, 'MSI target, word aligned; 0 suppresses the MSI'),
  },
);

export const GERROR_IRQ_CFG1 = register(
  'GERROR_IRQ_CFG1',
  {
    title: 'MSI data of global errors',
    offset: 0x70,
    section: '6.3.22',
    access: 'RW',
    rule: irqLockedBy('GERROR_IRQEN'),
    present: 'IDR0.MSI=1',
    reset: 'unknown',
  },
  {
    DATA: bits(0, 31, 0, 'MSI payload'),
  },
);

export const GERROR_IRQ_CFG2 = register(
  'GERROR_IRQ_CFG2',
  {
    title: 'MSI attributes of global errors',
    offset: 0x74,
    section: '6.3.23',
    access: 'RW',
    rule: irqLockedBy('GERROR_IRQEN'),
    present: 'IDR0.MSI=1',
    reset: 'unknown',
  },
  {
    SH: choice(0, 5, 4, SHAREABILITY, 'shareability of the MSI write', ACTS_AS_0),
    MemAttr: choice(0, 3, 0, MEM_ATTR, 'memory type of the MSI write', MEM_ATTR_RESERVED),
  },
);
