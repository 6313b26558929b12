/** Prefetch commands: hints that may fill caches and never report a fault. IHI 0070 §4.2. */
import { bits, flag } from '../field.ts';
import { command, SSEC_RULE } from './command.ts';
import { Addr, Opcode, SSec, SSV, StreamID, SubstreamID } from './fields.ts';

export const prefetchConfig = command(
  'CMD_PREFETCH_CONFIG',
  0x01,
  {
    section: '4.2.1',
    effect: 'may load STE and CD into caches',
    rules: [
      SSEC_RULE,
      'bad targets fail silently, no events',
      'no effect while SMMUEN=0',
      'SSV=1 without substreams: acts as 0 or nothing',
    ],
    completion: 'none',
  },
  { Opcode, SSec, SSV, SubstreamID, StreamID },
);

export const prefetchAddr = command(
  'CMD_PREFETCH_ADDR',
  0x02,
  {
    section: '4.2.2',
    effect: 'may load translations for a strided set of addresses',
    rules: [SSEC_RULE, 'faults are silent; HTTU only as a speculative read', 'no effect while SMMUEN=0'],
    completion: 'none',
  },
  {
    Opcode,
    SSec,
    SSV,
    SubstreamID,
    StreamID,
    Size: bits(1, 4, 0, '2^Size translations'),
    Stride: bits(1, 9, 5, 'step of 2^(12+Stride) bytes; v3.0 RES0'),
    NS: flag(1, 11, 'input NS for Secure stage 2; otherwise RES0'),
    Addr,
  },
);
