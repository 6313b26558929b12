/** Answers to stalled transactions. IHI 0070 §4.7.1 and §4.7.2; Linux arm-smmu-v3.h CMDQ_RESUME_*. */
import { bits, flag } from '../field.ts';
import { ABORTS } from '../values.ts';
import { command, SSEC_RULE, STALL_RULE } from './command.ts';
import { Opcode, SSec, StreamID } from './fields.ts';

export const resume = command(
  'CMD_RESUME',
  0x44,
  {
    section: '4.7.1',
    effect: 'retry or terminate one stalled access',
    rules: [SSEC_RULE, STALL_RULE, 'unknown STAG or StreamID mismatch: no effect'],
    completion: 'consumption',
  },
  {
    Opcode,
    SSec,
    Ac: flag(0, 12, 'action', ['terminate', 'retry']),
    Ab: flag(0, 13, 'terminate form; ignored for retry or TERM_MODEL=1', ABORTS),
    StreamID,
    STAG: bits(1, 15, 0, 'token from the stall event'),
  },
);

export const stallTerm = command(
  'CMD_STALL_TERM',
  0x45,
  {
    section: '4.7.2',
    effect: 'terminate with abort every stalled access of StreamID',
    rules: [
      SSEC_RULE,
      STALL_RULE,
      'only valid once the STE already aborts new traffic and that update is synchronised',
    ],
    completion: 'consumption',
  },
  { Opcode, SSec, StreamID },
);
