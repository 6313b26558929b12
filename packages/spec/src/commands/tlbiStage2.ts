/** Invalidation of stage 2 and combined translations. IHI 0070 §4.4.3 and §4.4.4. */
import { command, RANGE_RULES, STAGE2_RULE } from './command.ts';
import { IpaAddr, Leaf, NUM, Opcode, SCALE, TG, TTL, TTL128, VMID } from './fields.ts';

export const tlbiS12Vmall = command(
  'CMD_TLBI_S12_VMALL',
  0x28,
  {
    section: '4.4.3.2',
    effect: 'all EL1 entries of VMID at both stages',
    rules: [STAGE2_RULE],
    broadcast: 'VMALLS12E1',
  },
  { Opcode, VMID },
);

export const tlbiS2Ipa = command(
  'CMD_TLBI_S2_IPA',
  0x2a,
  {
    section: '4.4.3.1',
    effect: 'stage 2 entries by VMID and IPA; combined entries need an NH command as well',
    rules: [STAGE2_RULE, ...RANGE_RULES],
    broadcast: 'IPAS2{L}E1',
  },
  { Opcode, NUM, SCALE, VMID, Leaf, TTL128, TTL, TG, Addr: IpaAddr },
);

export const tlbiNsnhAll = command(
  'CMD_TLBI_NSNH_ALL',
  0x30,
  { section: '4.4.4.1', effect: 'every Non-secure EL1 entry at all stages and VMIDs', broadcast: 'ALLE1' },
  { Opcode },
);
