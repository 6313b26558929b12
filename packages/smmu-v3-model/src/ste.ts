/**
 * Stream table entry: what it says about a stream, and whether it may say so. IHI 0070 §5.2, illegal combinations §5.2.2;
 * Linux arm_smmu_write_ste. The rules run in the order of §5.2.2 and the first that is broken names the entry illegal.
 */
import { hex } from '@smmu/platform';
import { STE } from '@smmu/spec';
import { decodeAddressBits, type ModelFeatures } from './features.ts';
import { hasGranule, maxTxsz, shape, stage2StartFault, stage2StartLevel, TableRange, TG0_SHIFT } from './tableRange.ts';
import { WORLD_E2H, WORLD_EL1, WORLD_EL2 } from './tagNumbers.ts';

export const CONFIG_BYPASS = 4;
export const CONFIG_S1 = 5;
export const CONFIG_S2 = 6;
export const CONFIG_NESTED = 7;

/** STE.S1DSS. 3 acts as 0. */
export const S1DSS_TERMINATE = 0;
export const S1DSS_BYPASS = 1;
export const S1DSS_SSID0 = 2;

/** A stream table entry as read. A copy until a CFGI: this is a line of the configuration cache. */
export class StreamConfig {
  readonly sid: number;
  /** Why it is C_BAD_STE, in words; empty if it is not. */
  illegal = '';
  /** STE.Config, with 0xx folded to 0. */
  config = 0;
  s1Fmt = 0;
  s1ContextPtr = 0;
  s1CdMax = 0;
  s1Dss = 0;
  s1Stalld = false;
  mev = false;
  ppar = false;
  eats = 0;
  strw = 0;
  world: number = WORLD_EL1;
  vmid = 0;
  /** Tag number of the VMID's stage 2. */
  s2Number = 0;
  /** 0 keeps what comes in; 2 and 3 override. Writes stay data. */
  privCfg = 0;
  instCfg = 0;
  /** Memory type, shareability and allocation overrides as found: MTCFG<<4 | MemAttr, SHCFG, ALLOCCFG. */
  memAttr = 0;
  shCfg = 1;
  allocCfg = 0;
  readonly range2: TableRange = new TableRange();
  /** Shareability of stage 2 leaves where descriptors have no room for it (S2DS). */
  s2Sh0 = 0;
  s2Ptw = false;
  s2Affd = false;
  s2Ha = false;
  s2Hd = false;
  s2Haft = false;
  s2Fwb = false;
  s2S = false;
  s2R = false;
  constructor(sid: number) {
    this.sid = sid;
  }
  get stage1(): boolean {
    return this.config === CONFIG_S1 || this.config === CONFIG_NESTED;
  }
  get stage2(): boolean {
    return this.config === CONFIG_S2 || this.config === CONFIG_NESTED;
  }
}

/**
 * Reads an STE out of its 16 words.
 * @param e2h - CR2.E2H, which decides between EL2 and EL2-E2H.
 */
export function decodeSte(sid: number, words: Uint32Array, f: ModelFeatures, e2h: boolean): StreamConfig {
  const ste = new StreamConfig(sid);
  if (!STE.V.get(words, 0)) {
    ste.illegal = 'V=0';
    return ste;
  }
  const config = STE.Config.get(words, 0);
  if (config < CONFIG_BYPASS) return ste; // abort: nothing else in it counts
  ste.config = config;
  ste.mev = STE.MEV.get(words, 0);
  ste.ppar = STE.PPAR.get(words, 0);
  if (f.attrPermsOverride) {
    ste.privCfg = STE.PRIVCFG.get(words, 0);
    ste.instCfg = STE.INSTCFG.get(words, 0);
  }
  if (f.attrTypesOverride) {
    ste.memAttr = STE.MTCFG.get(words, 0) ? 16 | STE.MemAttr.get(words, 0) : 0;
    ste.shCfg = STE.SHCFG.get(words, 0);
    ste.allocCfg = STE.ALLOCCFG.get(words, 0);
  }
  ste.vmid = f.stage2 ? STE.S2VMID.get(words, 0) : 0;
  ste.illegal =
    checkStages(ste, f) ||
    (config !== CONFIG_BYPASS && readAts(ste, words, f)) ||
    readWorld(ste, words, f, e2h) ||
    (ste.stage1 && readStage1(ste, words, f)) ||
    (ste.stage2 && readStage2(ste, words, f)) ||
    checkVmid(ste, f) ||
    '';
  return ste;
}

function checkStages(ste: StreamConfig, f: ModelFeatures): string {
  if (ste.stage1 && !f.stage1) return `Config=${ste.config} uses stage 1, which is absent (IDR0.S1P)`;
  if (ste.stage2 && !f.stage2) return `Config=${ste.config} uses stage 2, which is absent (IDR0.S2P)`;
  return '';
}

function readAts(ste: StreamConfig, words: Uint32Array, f: ModelFeatures): string {
  if (!f.ats) return '';
  ste.eats = STE.EATS.get(words, 0);
  if (ste.eats === 2) {
    if (ste.config !== CONFIG_NESTED) return `EATS=2 (split-stage) with Config=${ste.config}: it needs both stages`;
    if (STE.S2S.get(words, 0)) return 'EATS=2 (split-stage) with S2S=1';
    if (!f.splitStageAts) return 'EATS=2 (split-stage), which is absent (IDR0.NS1ATS)';
  }
  if (ste.eats === 1 && ste.stage2 && STE.S2S.get(words, 0)) return 'EATS=1 with stage 2 and S2S=1';
  if (ste.eats === 3) ste.eats = 0; // needs a device permission table, which is absent: acts as 0
  return '';
}

function readWorld(ste: StreamConfig, words: Uint32Array, f: ModelFeatures, e2h: boolean): string {
  if (ste.config !== CONFIG_S1 || !f.hyp) return ''; // STRW is not used
  ste.strw = STE.STRW.get(words, 0);
  if ((ste.strw & 1) !== 0) return `STRW=${ste.strw} in a Non-secure stream table`;
  if (ste.strw === 2) ste.world = e2h ? WORLD_E2H : WORLD_EL2;
  return '';
}

function readStage1(ste: StreamConfig, words: Uint32Array, f: ModelFeatures): string {
  ste.s1Stalld = STE.S1STALLD.get(words, 0);
  if (ste.s1Stalld && f.stallModel !== 0) return `S1STALLD=1 with STALL_MODEL=${f.stallModel}`;
  ste.s1CdMax = STE.S1CDMax.get(words, 0);
  if (ste.s1CdMax > f.ssidBits) return `S1CDMax=${ste.s1CdMax} above IDR1.SSIDSIZE=${f.ssidBits}`;
  const format = STE.S1Fmt.get(words, 0);
  ste.s1Fmt = format === 3 ? 0 : format;
  if (ste.s1Fmt !== 0 && ste.s1CdMax !== 0 && !f.twoLevelCdTable)
    return `S1Fmt=${ste.s1Fmt} (2-level), which is absent (IDR0.CD2L)`;
  const dss = STE.S1DSS.get(words, 0);
  ste.s1Dss = dss === 3 ? S1DSS_TERMINATE : dss;
  ste.s1ContextPtr = STE.S1ContextPtr.get(words, 0);
  // Beyond the IPA size a nested stream's pointer is an F_TRANSLATION of stage 2 (§3.4.3), found when it is used.
  if (ste.config === CONFIG_S1 && ste.s1ContextPtr >= 2 ** f.oasBits)
    return `S1ContextPtr ${hex(ste.s1ContextPtr)} beyond the output size of ${f.oasBits} bits`;
  return '';
}

function readStage2(ste: StreamConfig, words: Uint32Array, f: ModelFeatures): string {
  ste.s2S = STE.S2S.get(words, 0);
  ste.s2R = STE.S2R.get(words, 0);
  ste.s2Sh0 = STE.S2SH0.get(words, 0);
  ste.s2Affd = STE.S2AFFD.get(words, 0);
  ste.s2Ptw = STE.S2PTW.get(words, 0);
  ste.s2Fwb = f.fwb && STE.S2FWB.get(words, 0);
  if (ste.s2S && f.stallModel === 1) return 'S2S=1 with STALL_MODEL=1 (terminate only)';
  if (!ste.s2S && f.stallModel === 2) return 'S2S=0 with STALL_MODEL=2 (stall forced)';
  if (!STE.S2AA64.get(words, 0)) return 'S2AA64=0: AArch32 and 128-bit tables are absent (IDR0.TTF, IDR5.D128)';
  ste.s2Ha = STE.S2HA.get(words, 0);
  ste.s2Hd = STE.S2HD.get(words, 0);
  if ((ste.s2Ha || ste.s2Hd) && f.httu === 0) return 'S2HA or S2HD without hardware updates (IDR0.HTTU=0)';
  if (ste.s2Hd && f.httu === 1) return 'S2HD with access flag updates only (IDR0.HTTU=1)';
  ste.s2Haft = f.httu === 3 && STE.S2HAFT.get(words, 0);
  if (ste.s2Haft && !ste.s2Ha) return 'S2HAFT without S2HA';
  return readGeometry(ste, words, f) || checkEndian(STE.S2ENDI.get(words, 0), f, 'S2ENDI');
}

function readGeometry(ste: StreamConfig, words: Uint32Array, f: ModelFeatures): string {
  const granuleShift = TG0_SHIFT[STE.S2TG.get(words, 0)]!;
  if (!hasGranule(f, granuleShift)) return `S2TG=${STE.S2TG.get(words, 0)}: this granule is absent`;
  const ds = f.ds && granuleShift !== 16 && STE.S2DS.get(words, 0);
  const wide = ds || (granuleShift === 16 && f.oasBits === 52);
  const psBits = Math.min(decodeAddressBits(STE.S2PS.get(words, 0)), f.oasBits);
  const table = STE.S2TTB.get(words, 0);
  if (table >= 2 ** Math.min(psBits, wide ? 52 : 48))
    return `S2TTB ${hex(table)} beyond the output size of ${psBits} bits`;
  const t0sz = STE.S2T0SZ.get(words, 0);
  const least = Math.max(wide ? 12 : 16, 64 - f.oasBits); // the IPA size of VMSAv8-64 is the output size
  const most = maxTxsz(f, granuleShift);
  if (t0sz < least || t0sz > most) return `S2T0SZ=${t0sz} outside ${least} to ${most}`;
  const sl0 = STE.S2SL0.get(words, 0);
  const startLevel = stage2StartLevel(granuleShift, sl0, ds && STE.S2SL0_2.get(words, 0));
  if (startLevel === undefined) return `S2SL0=${sl0} is reserved for this granule`;
  const fault = stage2StartFault(f, granuleShift, startLevel, 64 - t0sz, ds);
  if (fault !== undefined) return `S2T0SZ=${t0sz}: ${fault}`;
  const bigEndian = STE.S2ENDI.get(words, 0);
  shape(ste.range2, f, {
    granuleShift,
    inputBits: 64 - t0sz,
    outputBits: psBits,
    table,
    ds,
    startLevel,
    bigEndian,
    dirty: ste.s2Hd,
  });
  return '';
}

/** Whether a table's byte order is one that the SMMU reads. */
export function checkEndian(big: boolean, f: ModelFeatures, field: string): string {
  if (f.tableEndian === 'mixed' || big === (f.tableEndian === 'big')) return '';
  return `${field}=${big ? 1 : 0}: tables are ${f.tableEndian}-endian only (IDR0.TTENDIAN)`;
}

function checkVmid(ste: StreamConfig, f: ModelFeatures): string {
  const tagged = ste.stage2 || (ste.config === CONFIG_S1 && ste.world === WORLD_EL1);
  if (ste.vmid > 255 && !f.vmid16 && tagged) return `S2VMID=${ste.vmid} with 8-bit VMIDs (IDR0.VMID16)`;
  return '';
}
