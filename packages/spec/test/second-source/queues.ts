/** Positions and codes in the command and event queues, typed in from other people's tables of them. Facts only. */
import type { Sources } from './notation.ts';

/**
 * Commands. `any` holds for whichever command has the field; the rest belongs to one command.
 * `hal` is a firmware library's command builder, the only source with a function for each command.
 */
export const commands: Sources = {
  any: {
    qemu: `
      Opcode w0/0+8 SSec w0/10+1 SSV w0/11+1 SubstreamID w0/12+20 NUM w0/12+5 SCALE w0/20+5< StreamID w1/0+32
      VMID w1/0+16 ASID w1/16+16 Leaf w2/0+1 TTL w2/8+2 TG w2/10+2 STAG w2/0+16 Range w2/0+5 Ac w0/12+1 Ab w0/13+1
      CS w0/12+2`,
    renode: `
      Opcode 0+8 SSec 10+1 SSV 11+1 SubstreamID 12+20 StreamID 32+32 VMID 32+16 ASID 48+16 NUM 12+5 SCALE 20+6
      Leaf 64+1 TTL128 71+1 TTL 72+2 TG 74+2 Range 64+5 CS 12+2 MSH 22+2 MSIAttr 24+4 MSIData 32+32
      MSIAddress 66+54 MSI_NS 127+1`,
    linux: `
      Opcode d0/7:0 SSV d0/11 NUM d0/16:12 SCALE d0/24:20< VMID d0/47:32 ASID d0/63:48 Leaf d1/0 TTL d1/9:8
      TG d1/11:10 CS d0/13:12 MSH d0/23:22 MSIAttr d0/27:24 MSIData d0/63:32 MSIAddress d1/51:2< Global d0/9
      PRGIndex d1/8:0 Resp d1/13:12 STAG d1/15:0 StreamID d0/63:32 SubstreamID d0/31:12`,
    gem5: `
      Opcode d0/7:0 SSec d0/10 SSV d0/11 SubstreamID d0/31:12 VMID d0/47:32 ASID d0/63:48 StreamID d0/63:32
      Leaf d1/0 Range d1/4:0`,
    rmm: `
      Opcode 0+8 SSec 10 SSV 11 StreamID 32+32 Leaf d1/0 CS 12+2 MSH 22+2 MSIAttr 24+4 MSIData 32+32 MSI_NS 127
      VMID 32+16 NUM 12+5 TTL128 d1/7 TTL d1/8+2 TG d1/10+2`,
  },
  CMD_PREFETCH_ADDR: {
    renode: 'Size 64+5 Stride 69+5 NS 75+1 Addr 76+52',
    linux: 'Size d1/4:0 Addr d1/63:12',
    hal: 'Size w2/0+5 Stride w2/5+5',
  },
  CMD_TLBI_NH_VA: { renode: 'Addr 76+52', linux: 'Addr d1/63:12' },
  CMD_TLBI_NH_VAA: { renode: 'Addr 76+52', linux: 'Addr d1/63:12' },
  CMD_TLBI_EL3_VA: { gem5: 'Addr d1/63:12', hal: 'Addr w2/12+52' },
  CMD_TLBI_EL2_VA: { gem5: 'Addr d1/63:12', hal: 'Addr w2/12+52' },
  CMD_TLBI_EL2_VAA: { gem5: 'Addr d1/63:12', hal: 'Addr w2/12+52' },
  CMD_TLBI_S_EL2_VA: { hal: 'Addr w2/12+52' },
  CMD_TLBI_S_EL2_VAA: { hal: 'Addr w2/12+52' },
  CMD_TLBI_S2_IPA: { linux: 'Addr d1/51:12<', text: 'Addr 119:76' },
  CMD_TLBI_S_S2_IPA: { text: 'Addr 119:76' },
  CMD_ATC_INV: { linux: 'Size d1/5:0 Addr d1/63:12 Global d0/9', hal: 'Addr w2/12+52 Global w0/9+1' },
};

/** The parameters of each command, in the order of the architecture's own headings and of the firmware library. */
export const commandParameters: Readonly<Record<string, string>> = {
  CMD_PREFETCH_CONFIG: 'StreamID SSec SubstreamID SSV',
  CMD_PREFETCH_ADDR: 'StreamID SSec SubstreamID SSV Addr NS Size Stride',
  CMD_CFGI_STE: 'StreamID SSec Leaf',
  CMD_CFGI_STE_RANGE: 'StreamID SSec Range',
  CMD_CFGI_CD: 'StreamID SSec SubstreamID Leaf',
  CMD_CFGI_CD_ALL: 'StreamID SSec',
  CMD_CFGI_VMS_PIDM: 'SSec VMID',
  CMD_TLBI_NH_ALL: 'VMID',
  CMD_TLBI_NH_ASID: 'VMID ASID',
  CMD_TLBI_NH_VA: 'VMID ASID Addr Leaf NUM SCALE TTL128 TTL TG',
  CMD_TLBI_NH_VAA: 'VMID Addr Leaf NUM SCALE TTL128 TTL TG',
  CMD_TLBI_EL3_ALL: '',
  CMD_TLBI_EL3_VA: 'Addr Leaf NUM SCALE TTL128 TTL TG',
  CMD_TLBI_EL2_ALL: '',
  CMD_TLBI_EL2_ASID: 'ASID',
  CMD_TLBI_EL2_VA: 'ASID Addr Leaf NUM SCALE TTL128 TTL TG',
  CMD_TLBI_EL2_VAA: 'Addr Leaf NUM SCALE TTL128 TTL TG',
  CMD_TLBI_S12_VMALL: 'VMID',
  CMD_TLBI_S2_IPA: 'VMID Addr Leaf NUM SCALE TTL128 TTL TG',
  CMD_TLBI_NSNH_ALL: '',
  CMD_ATC_INV: 'StreamID SubstreamID SSV Global Addr Size',
  CMD_PRI_RESP: 'StreamID SubstreamID SSV PRGIndex Resp',
  CMD_RESUME: 'StreamID SSec STAG Ac Ab',
  CMD_STALL_TERM: 'StreamID SSec',
  CMD_SYNC: 'CS MSH MSIAttr MSIData MSIAddress MSI_NS',
  CMD_TLBI_S_EL2_ALL: '',
  CMD_TLBI_S_EL2_ASID: 'ASID',
  CMD_TLBI_S_EL2_VA: 'ASID Addr Leaf NUM SCALE TTL128 TTL TG',
  CMD_TLBI_S_EL2_VAA: 'Addr Leaf NUM SCALE TTL128 TTL TG',
  CMD_TLBI_S_S12_VMALL: 'VMID',
  CMD_TLBI_S_S2_IPA: 'VMID Addr Leaf NUM SCALE TTL128 TTL TG',
  CMD_TLBI_SNH_ALL: '',
  CMD_DPTI_ALL: '',
  CMD_DPTI_PA: '',
};

/** Opcodes as Renode's and gem5's enumerations have them. */
export const opcodes = `
  CMD_PREFETCH_CONFIG 0x01 CMD_PREFETCH_ADDR 0x02 CMD_CFGI_STE 0x03 CMD_CFGI_STE_RANGE 0x04 CMD_CFGI_CD 0x05
  CMD_CFGI_CD_ALL 0x06 CMD_CFGI_VMS_PIDM 0x07 CMD_TLBI_NH_ALL 0x10 CMD_TLBI_NH_ASID 0x11 CMD_TLBI_NH_VA 0x12
  CMD_TLBI_NH_VAA 0x13 CMD_TLBI_EL3_ALL 0x18 CMD_TLBI_EL3_VA 0x1A CMD_TLBI_EL2_ALL 0x20 CMD_TLBI_EL2_ASID 0x21
  CMD_TLBI_EL2_VA 0x22 CMD_TLBI_EL2_VAA 0x23 CMD_TLBI_S12_VMALL 0x28 CMD_TLBI_S2_IPA 0x2A CMD_TLBI_NSNH_ALL 0x30
  CMD_ATC_INV 0x40 CMD_PRI_RESP 0x41 CMD_RESUME 0x44 CMD_STALL_TERM 0x45 CMD_SYNC 0x46 CMD_TLBI_S_EL2_ALL 0x50
  CMD_TLBI_S_EL2_ASID 0x51 CMD_TLBI_S_EL2_VA 0x52 CMD_TLBI_S_EL2_VAA 0x53 CMD_TLBI_S_S12_VMALL 0x58
  CMD_TLBI_S_S2_IPA 0x5A CMD_TLBI_SNH_ALL 0x60 CMD_DPTI_ALL 0x70 CMD_DPTI_PA 0x73`;

/** Events, as {@link commands}. */
export const events: Sources = {
  any: {
    qemu: `
      Code w0/0+8 SSV w0/11+1 SubstreamID w0/12+20 StreamID w1/0+32 STAG w2/0+16 Stall w2/31+1 PnU w3/1+1 InD w3/2+1
      RnW w3/3+1 S2 w3/7+1 CLASS w3/8+2`,
    linux: `
      Code d0/7:0 SSV d0/11 SubstreamID d0/31:12 StreamID d0/63:32 STAG d1/15:0 Stall d1/31 PnU d1/33 InD d1/34
      RnW d1/35 S2 d1/39 CLASS d1/41:40 TTRnW d1/44 IPA d3/51:12< FetchAddr d3/51:3<`,
    gem5: `
      Code d0/7:0 SSV d0/11 SubstreamID d0/31:12 StreamID d0/63:32 PnU d1/33 InD d1/34 RnW d1/35 NSIPA d1/38 S2 d1/39
      CLASS d1/41:40 FetchAddr d3/51:3< IPA d3/51:12<`,
    // the field descriptions of IHI 0070 §7.3
    text: 'Reason 79:64 GPCF 80 FetchAddr 247:195 IPA 247:204',
  },
  F_UUT: { linux: 'InputAddr d2/63:0', qemu: 'InputAddr w4/0+64' },
  F_TRANSL_FORBIDDEN: { linux: 'InputAddr d2/63:0' },
  F_WALK_EABT: { linux: 'InputAddr d2/63:0' },
  F_TRANSLATION: { linux: 'InputAddr d2/63:0', qemu: 'InputAddr w4/0+64' },
  F_ADDR_SIZE: { linux: 'InputAddr d2/63:0' },
  F_ACCESS: { linux: 'InputAddr d2/63:0' },
  F_PERMISSION: { linux: 'InputAddr d2/63:0' },
  F_TLB_CONFLICT: { linux: 'InputAddr d2/63:0' },
  E_PAGE_REQUEST: { text: 'uX 97 uW 98 uR 99 pX 101 pW 102 pR 103 Span 115:108 InputAddr 191:140' },
};

const FAULT = 'SSV SubstreamID StreamID STAG Stall PnU InD RnW NSIPA S2 CLASS InputAddr IPA';

/** The fields of each record, from the headings of IHI 0070 §7.3 and QEMU's record of what it reports with each. */
export const eventFields: Readonly<Record<string, string>> = {
  F_UUT: 'SSV SubstreamID StreamID Reason PnU InD RnW InputAddr',
  C_BAD_STREAMID: 'SSV SubstreamID StreamID',
  F_STE_FETCH: 'SSV SubstreamID StreamID Reason GPCF FetchAddr',
  C_BAD_STE: 'SSV SubstreamID StreamID',
  F_BAD_ATS_TREQ: 'SSV SubstreamID StreamID',
  F_STREAM_DISABLED: 'StreamID',
  F_TRANSL_FORBIDDEN: 'StreamID RnW InputAddr',
  C_BAD_SUBSTREAMID: 'SubstreamID StreamID',
  F_CD_FETCH: 'SSV SubstreamID StreamID Reason GPCF FetchAddr',
  C_BAD_CD: 'SSV SubstreamID StreamID',
  F_WALK_EABT: 'SSV SubstreamID StreamID Reason GPCF PnU InD RnW S2 CLASS InputAddr FetchAddr',
  F_TRANSLATION: FAULT,
  F_ADDR_SIZE: FAULT,
  F_ACCESS: FAULT,
  F_PERMISSION: `${FAULT} TTRnW`,
  F_TLB_CONFLICT: 'SSV SubstreamID StreamID Reason PnU InD RnW S2 InputAddr IPA',
  F_CFG_CONFLICT: 'SSV SubstreamID StreamID Reason',
  E_PAGE_REQUEST: 'SSV SubstreamID StreamID uX uW uR pX pW pR Span InputAddr',
  F_VMS_FETCH: 'SSV SubstreamID StreamID Reason GPCF FetchAddr',
};

/** Codes as Fiasco's and FreeBSD's tables have them. */
export const eventCodes = `
  F_UUT 0x01 C_BAD_STREAMID 0x02 F_STE_FETCH 0x03 C_BAD_STE 0x04 F_BAD_ATS_TREQ 0x05 F_STREAM_DISABLED 0x06
  F_TRANSL_FORBIDDEN 0x07 C_BAD_SUBSTREAMID 0x08 F_CD_FETCH 0x09 C_BAD_CD 0x0a F_WALK_EABT 0x0b F_TRANSLATION 0x10
  F_ADDR_SIZE 0x11 F_ACCESS 0x12 F_PERMISSION 0x13 F_TLB_CONFLICT 0x20 F_CFG_CONFLICT 0x21 E_PAGE_REQUEST 0x24
  F_VMS_FETCH 0x25`;
