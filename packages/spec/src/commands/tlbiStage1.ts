/** Invalidation of stage 1 translations. IHI 0070 §4.4.2; Linux arm-smmu-v3.h CMDQ_TLBI_*. */
import { command, EL3_RULE, HYP_RULE, RANGE_RULES, STAGE1_RULE } from './command.ts';
import { Addr, ASID, Leaf, NUM, Opcode, SCALE, TG, TTL, TTL128, VMID } from './fields.ts';

export const tlbiNhAll = command(
  'CMD_TLBI_NH_ALL',
  0x10,
  {
    section: '4.4.2.1',
    effect: 'stage 1 EL1 entries of VMID including global',
    rules: [STAGE1_RULE],
    broadcast: 'VMALLE1',
  },
  { Opcode, VMID },
);

export const tlbiNhAsid = command(
  'CMD_TLBI_NH_ASID',
  0x11,
  {
    section: '4.4.2.2',
    effect: 'stage 1 EL1 non-global entries of VMID and ASID',
    rules: [STAGE1_RULE],
    broadcast: 'ASIDE1',
  },
  { Opcode, VMID, ASID },
);

export const tlbiNhVa = command(
  'CMD_TLBI_NH_VA',
  0x12,
  {
    section: '4.4.2.4',
    effect: 'stage 1 EL1 entries by VMID, VA and ASID, plus global ones by VMID and VA',
    rules: [STAGE1_RULE, ...RANGE_RULES],
    broadcast: 'VA{L}E1',
  },
  { Opcode, NUM, SCALE, VMID, ASID, Leaf, TTL128, TTL, TG, Addr },
);

export const tlbiNhVaa = command(
  'CMD_TLBI_NH_VAA',
  0x13,
  {
    section: '4.4.2.3',
    effect: 'stage 1 EL1 entries by VMID and VA for every ASID and global',
    rules: [STAGE1_RULE, ...RANGE_RULES],
    broadcast: 'VAA{L}E1',
  },
  { Opcode, NUM, SCALE, VMID, Leaf, TTL128, TTL, TG, Addr },
);

export const tlbiEl3All = command(
  'CMD_TLBI_EL3_ALL',
  0x18,
  { section: '4.4.2.5', effect: 'EL3 stage 1 entries', rules: [EL3_RULE], broadcast: 'ALLE3' },
  { Opcode },
);

export const tlbiEl3Va = command(
  'CMD_TLBI_EL3_VA',
  0x1a,
  { section: '4.4.2.6', effect: 'EL3 stage 1 entries by VA', rules: [EL3_RULE, ...RANGE_RULES], broadcast: 'VA{L}E3' },
  { Opcode, NUM, SCALE, Leaf, TTL128, TTL, TG, Addr },
);

export const tlbiEl2All = command(
  'CMD_TLBI_EL2_ALL',
  0x20,
  {
    section: '4.4.2.7',
    effect: 'all EL2 stage 1 entries whether E2H tagged or not',
    rules: [HYP_RULE],
    broadcast: 'ALLE2',
  },
  { Opcode },
);

export const tlbiEl2Asid = command(
  'CMD_TLBI_EL2_ASID',
  0x21,
  { section: '4.4.2.10', effect: 'EL2-E2H non-global entries by ASID', rules: [HYP_RULE] },
  { Opcode, ASID },
);

export const tlbiEl2Va = command(
  'CMD_TLBI_EL2_VA',
  0x22,
  {
    section: '4.4.2.8',
    effect: 'CR2.E2H=1: E2H entries by ASID or global and VA; E2H=0: EL2 entries by VA, ASID ignored',
    rules: [HYP_RULE, ...RANGE_RULES, 'unpredictable while effective E2H is unknown'],
  },
  { Opcode, NUM, SCALE, ASID, Leaf, TTL128, TTL, TG, Addr },
);

export const tlbiEl2Vaa = command(
  'CMD_TLBI_EL2_VAA',
  0x23,
  { section: '4.4.2.9', effect: 'as EL2_VA for every ASID', rules: [HYP_RULE, ...RANGE_RULES] },
  { Opcode, NUM, SCALE, Leaf, TTL128, TTL, TG, Addr },
);
