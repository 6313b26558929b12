/** All commands, by name and by opcode. IHI 0070 §4; Linux arm-smmu-v3.h CMDQ_OP_*. */
import { type Decoded, layout } from '../layout.ts';
import { atcInv, priResp } from './ats.ts';
import { cfgiCd, cfgiCdAll, cfgiSte, cfgiSteRange, cfgiVmsPidm } from './cfgi.ts';
import { COMMAND_BYTES, type CommandLayout } from './command.ts';
import { dptiAll, dptiPa } from './dpti.ts';
import { Opcode, SSec, SSV, StreamID, SubstreamID } from './fields.ts';
import { prefetchAddr, prefetchConfig } from './prefetch.ts';
import { resume, stallTerm } from './resume.ts';
import { sync } from './sync.ts';
import {
  tlbiSEl2All,
  tlbiSEl2Asid,
  tlbiSEl2Va,
  tlbiSEl2Vaa,
  tlbiSnhAll,
  tlbiSS2Ipa,
  tlbiSS12Vmall,
} from './tlbiSecure.ts';
import {
  tlbiEl2All,
  tlbiEl2Asid,
  tlbiEl2Va,
  tlbiEl2Vaa,
  tlbiEl3All,
  tlbiEl3Va,
  tlbiNhAll,
  tlbiNhAsid,
  tlbiNhVa,
  tlbiNhVaa,
} from './tlbiStage1.ts';
import { tlbiNsnhAll, tlbiS2Ipa, tlbiS12Vmall } from './tlbiStage2.ts';

/** What commands have in common, to look at one whose opcode is not known yet. */
export const commandHeader = layout('COMMAND', COMMAND_BYTES, 'IHI 0070 §4.1', {
  Opcode,
  SSec,
  SSV,
  SubstreamID,
  StreamID,
});
export const COMMAND = commandHeader.fields;
export type Command = Decoded<typeof COMMAND>;

/** Layout of each command. */
export const commandLayouts = {
  CMD_PREFETCH_CONFIG: prefetchConfig,
  CMD_PREFETCH_ADDR: prefetchAddr,
  CMD_CFGI_STE: cfgiSte,
  CMD_CFGI_STE_RANGE: cfgiSteRange,
  CMD_CFGI_CD: cfgiCd,
  CMD_CFGI_CD_ALL: cfgiCdAll,
  CMD_CFGI_VMS_PIDM: cfgiVmsPidm,
  CMD_TLBI_NH_ALL: tlbiNhAll,
  CMD_TLBI_NH_ASID: tlbiNhAsid,
  CMD_TLBI_NH_VA: tlbiNhVa,
  CMD_TLBI_NH_VAA: tlbiNhVaa,
  CMD_TLBI_EL3_ALL: tlbiEl3All,
  CMD_TLBI_EL3_VA: tlbiEl3Va,
  CMD_TLBI_EL2_ALL: tlbiEl2All,
  CMD_TLBI_EL2_ASID: tlbiEl2Asid,
  CMD_TLBI_EL2_VA: tlbiEl2Va,
  CMD_TLBI_EL2_VAA: tlbiEl2Vaa,
  CMD_TLBI_S12_VMALL: tlbiS12Vmall,
  CMD_TLBI_S2_IPA: tlbiS2Ipa,
  CMD_TLBI_NSNH_ALL: tlbiNsnhAll,
  CMD_ATC_INV: atcInv,
  CMD_PRI_RESP: priResp,
  CMD_RESUME: resume,
  CMD_STALL_TERM: stallTerm,
  CMD_SYNC: sync,
  CMD_TLBI_S_EL2_ALL: tlbiSEl2All,
  CMD_TLBI_S_EL2_ASID: tlbiSEl2Asid,
  CMD_TLBI_S_EL2_VA: tlbiSEl2Va,
  CMD_TLBI_S_EL2_VAA: tlbiSEl2Vaa,
  CMD_TLBI_S_S12_VMALL: tlbiSS12Vmall,
  CMD_TLBI_S_S2_IPA: tlbiSS2Ipa,
  CMD_TLBI_SNH_ALL: tlbiSnhAll,
  CMD_DPTI_ALL: dptiAll,
  CMD_DPTI_PA: dptiPa,
};
export type CommandName = keyof typeof commandLayouts;

/** Opcode of each command. */
export const OPCODE = {
  CMD_PREFETCH_CONFIG: prefetchConfig.opcode,
  CMD_PREFETCH_ADDR: prefetchAddr.opcode,
  CMD_CFGI_STE: cfgiSte.opcode,
  CMD_CFGI_STE_RANGE: cfgiSteRange.opcode,
  CMD_CFGI_CD: cfgiCd.opcode,
  CMD_CFGI_CD_ALL: cfgiCdAll.opcode,
  CMD_CFGI_VMS_PIDM: cfgiVmsPidm.opcode,
  CMD_TLBI_NH_ALL: tlbiNhAll.opcode,
  CMD_TLBI_NH_ASID: tlbiNhAsid.opcode,
  CMD_TLBI_NH_VA: tlbiNhVa.opcode,
  CMD_TLBI_NH_VAA: tlbiNhVaa.opcode,
  CMD_TLBI_EL3_ALL: tlbiEl3All.opcode,
  CMD_TLBI_EL3_VA: tlbiEl3Va.opcode,
  CMD_TLBI_EL2_ALL: tlbiEl2All.opcode,
  CMD_TLBI_EL2_ASID: tlbiEl2Asid.opcode,
  CMD_TLBI_EL2_VA: tlbiEl2Va.opcode,
  CMD_TLBI_EL2_VAA: tlbiEl2Vaa.opcode,
  CMD_TLBI_S12_VMALL: tlbiS12Vmall.opcode,
  CMD_TLBI_S2_IPA: tlbiS2Ipa.opcode,
  CMD_TLBI_NSNH_ALL: tlbiNsnhAll.opcode,
  CMD_ATC_INV: atcInv.opcode,
  CMD_PRI_RESP: priResp.opcode,
  CMD_RESUME: resume.opcode,
  CMD_STALL_TERM: stallTerm.opcode,
  CMD_SYNC: sync.opcode,
  CMD_TLBI_S_EL2_ALL: tlbiSEl2All.opcode,
  CMD_TLBI_S_EL2_ASID: tlbiSEl2Asid.opcode,
  CMD_TLBI_S_EL2_VA: tlbiSEl2Va.opcode,
  CMD_TLBI_S_EL2_VAA: tlbiSEl2Vaa.opcode,
  CMD_TLBI_S_S12_VMALL: tlbiSS12Vmall.opcode,
  CMD_TLBI_S_S2_IPA: tlbiSS2Ipa.opcode,
  CMD_TLBI_SNH_ALL: tlbiSnhAll.opcode,
  CMD_DPTI_ALL: dptiAll.opcode,
  CMD_DPTI_PA: dptiPa.opcode,
} as const satisfies Record<CommandName, number>;

/** CMD_CFGI_STE_RANGE with this Range is CMD_CFGI_ALL: every entry of the SSec space, StreamID ignored (§4.3.6). */
export const CFGI_ALL_RANGE = 31;

/** Opcodes that implementations may define. All others without a layout are reserved. */
export const IMPDEF_OPCODES = { first: 0x80, last: 0x8f } as const;

const byOpcode: (CommandLayout | undefined)[] = [];
for (const one of Object.values(commandLayouts)) byOpcode[one.opcode] = one;

/** The layout of a command by its opcode; undefined if the opcode is reserved or implementation defined. */
export const commandByOpcode = (opcode: number): CommandLayout | undefined => byOpcode[opcode];

// The fields of each command, for hot code.
export const CMD_PREFETCH_CONFIG = prefetchConfig.fields;
export const CMD_PREFETCH_ADDR = prefetchAddr.fields;
export const CMD_CFGI_STE = cfgiSte.fields;
export const CMD_CFGI_STE_RANGE = cfgiSteRange.fields;
export const CMD_CFGI_CD = cfgiCd.fields;
export const CMD_CFGI_CD_ALL = cfgiCdAll.fields;
export const CMD_CFGI_VMS_PIDM = cfgiVmsPidm.fields;
export const CMD_TLBI_NH_ALL = tlbiNhAll.fields;
export const CMD_TLBI_NH_ASID = tlbiNhAsid.fields;
export const CMD_TLBI_NH_VA = tlbiNhVa.fields;
export const CMD_TLBI_NH_VAA = tlbiNhVaa.fields;
export const CMD_TLBI_EL3_ALL = tlbiEl3All.fields;
export const CMD_TLBI_EL3_VA = tlbiEl3Va.fields;
export const CMD_TLBI_EL2_ALL = tlbiEl2All.fields;
export const CMD_TLBI_EL2_ASID = tlbiEl2Asid.fields;
export const CMD_TLBI_EL2_VA = tlbiEl2Va.fields;
export const CMD_TLBI_EL2_VAA = tlbiEl2Vaa.fields;
export const CMD_TLBI_S12_VMALL = tlbiS12Vmall.fields;
export const CMD_TLBI_S2_IPA = tlbiS2Ipa.fields;
export const CMD_TLBI_NSNH_ALL = tlbiNsnhAll.fields;
export const CMD_ATC_INV = atcInv.fields;
export const CMD_PRI_RESP = priResp.fields;
export const CMD_RESUME = resume.fields;
export const CMD_STALL_TERM = stallTerm.fields;
export const CMD_SYNC = sync.fields;
export const CMD_TLBI_S_EL2_ALL = tlbiSEl2All.fields;
export const CMD_TLBI_S_EL2_ASID = tlbiSEl2Asid.fields;
export const CMD_TLBI_S_EL2_VA = tlbiSEl2Va.fields;
export const CMD_TLBI_S_EL2_VAA = tlbiSEl2Vaa.fields;
export const CMD_TLBI_S_S12_VMALL = tlbiSS12Vmall.fields;
export const CMD_TLBI_S_S2_IPA = tlbiSS2Ipa.fields;
export const CMD_TLBI_SNH_ALL = tlbiSnhAll.fields;
export const CMD_DPTI_ALL = dptiAll.fields;
export const CMD_DPTI_PA = dptiPa.fields;
