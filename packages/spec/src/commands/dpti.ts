/** Device permission table invalidation. IHI 0070 §4.6. */
import { command, DPT_RULE, SAMS_RULE } from './command.ts';
import { Opcode } from './fields.ts';

export const dptiAll = command(
  'CMD_DPTI_ALL',
  0x70,
  { section: '4.6.1', effect: 'all cached device permission data', rules: [DPT_RULE, SAMS_RULE] },
  { Opcode },
);

export const dptiPa = command(
  'CMD_DPTI_PA',
  0x73,
  {
    section: '4.6.2',
    effect: 'cached device permission data for an aligned physical range',
    rules: [DPT_RULE, SAMS_RULE, 'unaligned address need not invalidate'],
  },
  { Opcode },
);
