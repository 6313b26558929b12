/** Configuration cache invalidation. IHI 0070 §4.3; Linux arm-smmu-v3.h CMDQ_CFGI_*. */
import { bits } from '../field.ts';
import { command, SSEC_RULE, STAGE1_RULE } from './command.ts';
import { Leaf, Opcode, SSec, StreamID, SubstreamID, VMID } from './fields.ts';

export const cfgiSte = command(
  'CMD_CFGI_STE',
  0x03,
  {
    section: '4.3.1',
    effect: 'drop the STE, every CD and L1CD reached through it and its VMS data; Leaf=0 also drops its L1STD',
    rules: [SSEC_RULE, 'TLB content not affected'],
  },
  { Opcode, SSec, StreamID, Leaf },
);

export const cfgiSteRange = command(
  'CMD_CFGI_STE_RANGE',
  0x04,
  { section: '4.3.2', effect: 'as CFGI_STE with Leaf=0 for an aligned block', rules: [SSEC_RULE] },
  { Opcode, SSec, StreamID, Range: bits(1, 4, 0, 'aligned block of 2^(Range+1) StreamIDs; 31 means CFGI_ALL') },
);

export const cfgiCd = command(
  'CMD_CFGI_CD',
  0x05,
  {
    section: '4.3.3',
    effect: 'drop CD at table index SubstreamID fetched through StreamID; Leaf=0 also drops its L1CD',
    rules: [
      SSEC_RULE,
      STAGE1_RULE,
      'single-CD streams use SubstreamID 0',
      'CDs shared by several STEs need one command per StreamID',
    ],
  },
  { Opcode, SSec, SubstreamID, StreamID, Leaf },
);

export const cfgiCdAll = command(
  'CMD_CFGI_CD_ALL',
  0x06,
  { section: '4.3.4', effect: 'drop all CDs and L1CDs of StreamID', rules: [SSEC_RULE, STAGE1_RULE] },
  { Opcode, SSec, StreamID },
);

export const cfgiVmsPidm = command(
  'CMD_CFGI_VMS_PIDM',
  0x07,
  {
    section: '4.3.5',
    effect: 'drop cached PARTID map data by VMID',
    rules: [SSEC_RULE, 'CERROR_ILL without MPAM or VMS support'],
  },
  { Opcode, SSec, VMID },
);
