/** The barrier of a command queue. IHI 0070 §4.7.3; Linux arm-smmu-v3.h CMDQ_SYNC_*. */
import { addr, bits, choice, flag } from '../field.ts';
import { ACTS_AS_0, MEM_ATTR, MEM_ATTR_RESERVED, SHAREABILITY } from '../values.ts';
import { command } from './command.ts';
import { Opcode } from './fields.ts';

export const sync = command(
  'CMD_SYNC',
  0x46,
  {
    section: '4.7.3',
    effect: 'barrier for earlier commands, event visibility and HTTU',
    rules: ['CS=3: CERROR_ILL', 'wake-up form does nothing when IDR0.SEV=0', 'MSI fields ignored when MSI unsupported'],
    completion: 'itself',
  },
  {
    Opcode,
    CS: choice(
      0,
      13,
      12,
      { none: 0, 'interrupt: MSI if MSIAddress nonzero, and wired': 1, 'wake-up event': 2 },
      'completion signal',
      'illegal',
    ),
    MSH: choice(0, 23, 22, SHAREABILITY, 'MSI shareability', ACTS_AS_0),
    MSIAttr: choice(0, 27, 24, MEM_ATTR, 'MSI memory type', MEM_ATTR_RESERVED),
    MSIData: bits(0, 63, 32, 'MSI payload'),
    MSIAddress: addr(1, 55, 2, 'MSI address [55:2]'),
    MSI_NS: flag(1, 63, 'target address space of the MSI; Realm queue only, otherwise RES0', ['Realm', 'Non-secure']),
  },
);
