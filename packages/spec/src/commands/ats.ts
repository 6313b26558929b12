/** Commands that send messages to PCIe endpoints. IHI 0070 §4.5; Linux arm-smmu-v3.h CMDQ_ATC_*, CMDQ_PRI_*. */
import { bits, choice, flag } from '../field.ts';
import { command } from './command.ts';
import { Addr, Opcode, SSV, StreamID, SubstreamID } from './fields.ts';

export const atcInv = command(
  'CMD_ATC_INV',
  0x40,
  {
    section: '4.5.1',
    effect: 'send an ATS invalidation to the endpoint',
    rules: [
      'IDR0.ATS=0 (R_IDR0.ATS on Realm queue) or SAMS=1 on Secure queue: CERROR_ILL',
      'ignored while SMMUEN=0',
      'Size above 52 may give CERROR_ILL',
      'endpoint UR still completes the command',
      'a timeout may raise CERROR_ATC_INV_SYNC on the CMD_SYNC that waits for it',
    ],
  },
  {
    Opcode,
    Global: flag(0, 9, 'PASID-independent invalidate; only with SSV=1'),
    SSV,
    SubstreamID,
    StreamID,
    Size: bits(1, 5, 0, 'span of 4096*2^Size bytes, address aligned down; 52 is everything'),
    Addr,
  },
);

export const priResp = command(
  'CMD_PRI_RESP',
  0x41,
  {
    section: '4.5.2',
    effect: 'answer a page request group',
    rules: ['IDR0.PRI=0 or SAMS=1 on Secure queue: CERROR_ILL', 'Resp=3: CERROR_ILL', 'ignored while SMMUEN=0'],
    completion: 'none',
  },
  {
    Opcode,
    SSV,
    SubstreamID,
    StreamID,
    PRGIndex: bits(1, 8, 0, 'page request group'),
    Resp: choice(
      1,
      13,
      12,
      { ResponseFailure: 0, InvalidRequest: 1, Success: 2 },
      'result code (not the PCIe code)',
      'illegal',
    ),
  },
);
