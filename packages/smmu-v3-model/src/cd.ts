/**
 * Context descriptor: the stage 1 tables of one address space, and whether they may be so. IHI 0070 §5.4, illegal
 * combinations §5.4.2; Linux arm_smmu_write_cd_entry, arm_smmu_make_sva_cd.
 */
import { hex } from '@smmu/platform';
import { CD } from '@smmu/spec';
import { permissionTable } from './descriptor.ts';
import { BITS_ASET } from './entryBits.ts';
import { decodeAddressBits, type ModelFeatures } from './features.ts';
import { checkEndian, type StreamConfig } from './ste.ts';
import { hasGranule, maxTxsz, shape, TableRange, TG0_SHIFT, TG1_SHIFT } from './tableRange.ts';
import { WORLD_EL2 } from './tagNumbers.ts';

/** A context descriptor as read. A copy until a CFGI: this is a line of the configuration cache. */
export class ContextConfig {
  /** Why it is C_BAD_CD, in words; empty if it is not. */
  illegal = '';
  asid = 0;
  aset = false;
  /** Fault outcome: abort rather than RAZ/WI, record, stall. */
  a = false;
  r = false;
  s = false;
  affd = false;
  ha = false;
  hd = false;
  haft = false;
  wxn = false;
  pan = false;
  epan = false;
  readonly range0: TableRange = new TableRange();
  readonly range1: TableRange = new TableRange();
  mairLo = 0;
  mairHi = 0;
  /** Shareability of leaves where descriptors have no room for it (CD.DS). */
  sh0 = 0;
  sh1 = 0;
  /** By permissionKey (descriptor.ts). */
  permissions: Uint8Array = NO_PERMISSIONS;
}

const NO_PERMISSIONS = new Uint8Array(0);

/** Reads a CD out of its 16 words, for the stream that it was fetched through. */
export function decodeCd(words: Uint32Array, ste: StreamConfig, f: ModelFeatures): ContextConfig {
  const cd = new ContextConfig();
  if (!CD.V.get(words, 0)) {
    cd.illegal = 'V=0';
    return cd;
  }
  cd.asid = ste.world === WORLD_EL2 ? 0 : CD.ASID.get(words, 0);
  cd.aset = CD.ASET.get(words, 0);
  cd.a = CD.A.get(words, 0);
  cd.r = CD.R.get(words, 0);
  cd.s = CD.S.get(words, 0);
  cd.affd = CD.AFFD.get(words, 0);
  cd.wxn = CD.WXN.get(words, 0);
  cd.pan = CD.PAN.get(words, 0);
  cd.epan = f.epan && CD.EPAN.get(words, 0);
  cd.mairLo = CD.MAIR0.get(words, 0);
  cd.mairHi = CD.MAIR1.get(words, 0);
  cd.sh0 = CD.SH0.get(words, 0);
  cd.sh1 = CD.SH1.get(words, 0);
  cd.illegal = checkFaultModel(cd, ste, f) || checkFormat(words, f) || readUpdates(cd, words, f);
  if (cd.illegal === '' && cd.asid > 255 && !f.asid16) cd.illegal = `ASID=${cd.asid} with 8-bit ASIDs (IDR0.ASID16)`;
  if (cd.illegal === '') cd.illegal = readRange(cd, 0, words, ste, f) || readRange(cd, 1, words, ste, f);
  if (cd.illegal === '') cd.permissions = permissionTable(cd, ste.world !== WORLD_EL2);
  return cd;
}

function checkFaultModel(cd: ContextConfig, ste: StreamConfig, f: ModelFeatures): string {
  if (cd.s && ste.s1Stalld) return 'S=1 (stall) with STE.S1STALLD=1';
  if (f.termAbortOnly && !cd.a) return 'A=0 with TERM_MODEL=1: a terminated access is always aborted';
  if (f.stallModel === 1 && cd.s) return 'S=1 with STALL_MODEL=1 (terminate only)';
  if (f.stallModel === 2 && !cd.s) return 'S=0 with STALL_MODEL=2 (stall forced)';
  return '';
}

function checkFormat(words: Uint32Array, f: ModelFeatures): string {
  if (!CD.AA64.get(words, 0)) return 'AA64=0: AArch32 and 128-bit tables are absent (IDR0.TTF, IDR5.D128)';
  const anyTable = !CD.EPD0.get(words, 0) || !CD.EPD1.get(words, 0);
  return anyTable ? checkEndian(CD.ENDI.get(words, 0), f, 'ENDI') : '';
}

function readUpdates(cd: ContextConfig, words: Uint32Array, f: ModelFeatures): string {
  cd.ha = CD.HA.get(words, 0);
  cd.hd = CD.HD.get(words, 0);
  if ((cd.ha || cd.hd) && f.httu === 0) return 'HA or HD without hardware updates (IDR0.HTTU=0)';
  if (cd.hd && f.httu === 1) return 'HD with access flag updates only (IDR0.HTTU=1)';
  cd.haft = f.httu === 3 && CD.HAFT.get(words, 0);
  if (cd.haft && !cd.ha) return 'HAFT without HA';
  return '';
}

function readRange(cd: ContextConfig, half: 0 | 1, words: Uint32Array, ste: StreamConfig, f: ModelFeatures): string {
  const upper = half === 1;
  const range = upper ? cd.range1 : cd.range0;
  range.tbi = (upper ? CD.TBI1 : CD.TBI0).get(words, 0);
  range.had = f.had && (upper ? CD.HAD1 : CD.HAD0).get(words, 0);
  range.e0pd = f.e0pd && ste.world !== WORLD_EL2 && (upper ? CD.E0PD1 : CD.E0PD0).get(words, 0);
  if (upper && ste.world === WORLD_EL2) return ''; // one range only
  if ((upper ? CD.EPD1 : CD.EPD0).get(words, 0)) return ''; // size, granule and table are ignored
  const granuleShift = upper ? TG1_SHIFT[CD.TG1.get(words, 0)]! : TG0_SHIFT[CD.TG0.get(words, 0)]!;
  if (!hasGranule(f, granuleShift))
    return `TG${half}=${(upper ? CD.TG1 : CD.TG0).get(words, 0)}: this granule is absent`;
  const ds = f.ds && granuleShift !== 16 && CD.DS.get(words, 0);
  const txsz = (upper ? CD.T1SZ : CD.T0SZ).get(words, 0);
  const least = f.vaBits === 52 && (granuleShift === 16 || ds) ? 12 : 16;
  const most = maxTxsz(f, granuleShift);
  if (txsz < least || txsz > most) return `T${half}SZ=${txsz} outside ${least} to ${most}`;
  const outputBits = Math.min(decodeAddressBits(CD.IPS.get(words, 0)), f.oasBits);
  const wide = ds || (granuleShift === 16 && f.oasBits === 52);
  const table = (upper ? CD.TTB1 : CD.TTB0).get(words, 0);
  if (table >= 2 ** Math.min(outputBits, wide ? 52 : 48))
    return `TTB${half} ${hex(table)} beyond the intermediate size of ${outputBits} bits`;
  const bigEndian = CD.ENDI.get(words, 0);
  shape(range, f, { granuleShift, inputBits: 64 - txsz, outputBits, table, ds, bigEndian, dirty: cd.hd });
  if (cd.aset) range.pageBits |= BITS_ASET;
  return '';
}
