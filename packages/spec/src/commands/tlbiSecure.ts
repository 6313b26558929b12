/** Invalidation of Secure translations, for the Secure command queue. IHI 0070 §4.4.2 to §4.4.4. */
import { command, RANGE_RULES, SECURE_EL2_RULE } from './command.ts';
import { Addr, ASID, IpaAddr, Leaf, NUM, Opcode, SCALE, TG, TTL, TTL128, VMID } from './fields.ts';

export const tlbiSEl2All = command(
  'CMD_TLBI_S_EL2_ALL',
  0x50,
  { section: '4.4.2.11', effect: 'Secure EL2 entries', rules: [SECURE_EL2_RULE] },
  { Opcode },
);

export const tlbiSEl2Asid = command(
  'CMD_TLBI_S_EL2_ASID',
  0x51,
  { section: '4.4.2.14', effect: 'Secure EL2-E2H non-global entries by ASID', rules: [SECURE_EL2_RULE] },
  { Opcode, ASID },
);

export const tlbiSEl2Va = command(
  'CMD_TLBI_S_EL2_VA',
  0x52,
  {
    section: '4.4.2.12',
    effect: 'as EL2_VA for Secure EL2, ruled by S_CR2.E2H',
    rules: [SECURE_EL2_RULE, ...RANGE_RULES],
  },
  { Opcode, NUM, SCALE, ASID, Leaf, TTL128, TTL, TG, Addr },
);

export const tlbiSEl2Vaa = command(
  'CMD_TLBI_S_EL2_VAA',
  0x53,
  { section: '4.4.2.13', effect: 'as EL2_VAA for Secure EL2', rules: [SECURE_EL2_RULE, ...RANGE_RULES] },
  { Opcode, NUM, SCALE, Leaf, TTL128, TTL, TG, Addr },
);

export const tlbiSS12Vmall = command(
  'CMD_TLBI_S_S12_VMALL',
  0x58,
  { section: '4.4.3.4', effect: 'all Secure entries of VMID at both stages', rules: [SECURE_EL2_RULE] },
  { Opcode, VMID },
);

export const tlbiSS2Ipa = command(
  'CMD_TLBI_S_S2_IPA',
  0x5a,
  {
    section: '4.4.3.3',
    effect: 'Secure stage 2 entries by VMID and IPA; NS parameter picks the IPA space',
    rules: [SECURE_EL2_RULE, ...RANGE_RULES, 'NS parameter position unconfirmed'],
  },
  { Opcode, NUM, SCALE, VMID, Leaf, TTL128, TTL, TG, Addr: IpaAddr },
);

export const tlbiSnhAll = command(
  'CMD_TLBI_SNH_ALL',
  0x60,
  { section: '4.4.4.2', effect: 'every Secure EL1 entry at all stages', rules: ['CERROR_ILL off the Secure queue'] },
  { Opcode },
);
