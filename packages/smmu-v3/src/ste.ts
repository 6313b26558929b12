/**
 * Stream table entries: what the driver puts there, which bits of one count, and how one is rewritten.
 * IHI 0070 §5.2; Linux arm-smmu-v3.c, `arm_smmu_make_*_ste` and `arm_smmu_get_ste_used`.
 */
import type { DmaCoherence, Pa, SystemMemory } from '@smmu/platform';
import { STE } from '@smmu/spec';
import type { CommandQueue } from './cmdq.ts';
import { cfgiSte } from './commands/cfgiSte.ts';
import { ENTRY_WORDS, type EntryKind, EntryWriter } from './entryWriter.ts';
import { useField } from './internal/useField.ts';

/** Values of STE.Config. */
export const CONFIG_ABORT = 0;
export const CONFIG_BYPASS = 4;
export const CONFIG_STAGE1 = 5;
export const CONFIG_STAGE2 = 6;
export const CONFIG_NESTED = 7;
/** Bits of STE.Config that say which stage translates. */
const CONFIG_S1 = 1;
const CONFIG_S2 = 2;
/** Values of STE.S1DSS: what becomes of transactions without SubstreamID. */
export const S1DSS_TERMINATE = 0;
export const S1DSS_BYPASS = 1;
export const S1DSS_SSID0 = 2;
const EATS_FULL = 1;
const EATS_SPLIT = 2;
const STRW_EL1 = 0;
const STRW_EL2 = 2;
const SHCFG_INCOMING = 1;
const WRITE_BACK_READ_ALLOCATE = 1;
const SHARED_INNER = 3;

/** Makes an entry that aborts everything, silently. */
export function makeAbortSte(target: Uint32Array): void {
  target.fill(0);
  STE.V.set(target, 0, true);
  STE.Config.set(target, 0, CONFIG_ABORT);
}

/** Makes an entry that lets addresses pass unchanged. */
export function makeBypassSte(target: Uint32Array, attrTypesOverride: boolean): void {
  target.fill(0);
  STE.V.set(target, 0, true);
  STE.Config.set(target, 0, CONFIG_BYPASS);
  if (attrTypesOverride) STE.SHCFG.set(target, 0, SHCFG_INCOMING);
}

/** What an entry with stage 1 needs to know. */
export interface CdtableSte {
  /** The CD table: address, log2 of the entries, shape. */
  readonly cdtab: { readonly base: Pa; readonly s1cdMax: number; readonly format: number };
  readonly s1dss: number;
  readonly ats: boolean;
  /** Faulting transactions may wait. */
  readonly stall: boolean;
  /** The SMMU lets the driver choose whether they do. */
  readonly stallSelectable: boolean;
  readonly e2h: boolean;
  /** The SMMU's own answers to page requests carry their PASID: the function expects it. */
  readonly pasidInResponses: boolean;
  readonly attrTypesOverride: boolean;
}

/** Makes an entry that translates at stage 1 with a CD table. */
export function makeCdtableSte(target: Uint32Array, options: CdtableSte): void {
  const { cdtab } = options;
  target.fill(0);
  STE.V.set(target, 0, true);
  STE.Config.set(target, 0, CONFIG_STAGE1);
  STE.S1Fmt.set(target, 0, cdtab.format);
  STE.S1ContextPtr.set(target, 0, cdtab.base);
  STE.S1CDMax.set(target, 0, cdtab.s1cdMax);
  STE.S1DSS.set(target, 0, options.s1dss);
  STE.S1CIR.set(target, 0, WRITE_BACK_READ_ALLOCATE);
  STE.S1COR.set(target, 0, WRITE_BACK_READ_ALLOCATE);
  STE.S1CSH.set(target, 0, SHARED_INNER);
  // A device that cannot wait must not be made to, whatever a CD says.
  STE.S1STALLD.set(target, 0, options.stallSelectable && !options.stall);
  if (options.ats) STE.EATS.set(target, 0, EATS_FULL);
  STE.STRW.set(target, 0, options.e2h ? STRW_EL2 : STRW_EL1);
  STE.PPAR.set(target, 0, options.pasidInResponses);
  // Traffic that skips stage 1 keeps its attributes. With CDs for all of it the field has no say (§13.5).
  if (options.attrTypesOverride && options.s1dss === S1DSS_BYPASS) STE.SHCFG.set(target, 0, SHCFG_INCOMING);
}

/** Stage 2 parameters, as a page table gives them; encodings as in a STE. */
export interface Stage2Config {
  readonly vttbr: Pa;
  readonly vtcr: {
    readonly tsz: number;
    readonly sl: number;
    /** Third bit of the start level; only with {@link ds}. */
    readonly sl2?: boolean;
    /** 52-bit layout with a 4 KiB or 16 KiB granule. */
    readonly ds?: boolean;
    readonly tg: number;
    readonly sh: number;
    readonly orgn: number;
    readonly irgn: number;
    readonly ps: number;
  };
}

/** What an entry with stage 2 needs to know. */
export interface Stage2Ste {
  readonly stage2: Stage2Config;
  readonly vmid: number;
  readonly ats: boolean;
  readonly stall: boolean;
  readonly attrTypesOverride: boolean;
}

/** Makes an entry that translates at stage 2. */
export function makeStage2Ste(target: Uint32Array, options: Stage2Ste): void {
  const { vtcr, vttbr } = options.stage2;
  target.fill(0);
  STE.V.set(target, 0, true);
  STE.Config.set(target, 0, CONFIG_STAGE2);
  if (options.ats) STE.EATS.set(target, 0, EATS_FULL);
  if (options.attrTypesOverride) STE.SHCFG.set(target, 0, SHCFG_INCOMING);
  STE.S2VMID.set(target, 0, options.vmid);
  STE.S2T0SZ.set(target, 0, vtcr.tsz);
  STE.S2SL0.set(target, 0, vtcr.sl);
  STE.S2IR0.set(target, 0, vtcr.irgn);
  STE.S2OR0.set(target, 0, vtcr.orgn);
  STE.S2SH0.set(target, 0, vtcr.sh);
  STE.S2TG.set(target, 0, vtcr.tg);
  STE.S2PS.set(target, 0, vtcr.ps);
  STE.S2AA64.set(target, 0, true);
  STE.S2PTW.set(target, 0, true);
  STE.S2S.set(target, 0, options.stall);
  STE.S2R.set(target, 0, true);
  STE.S2SL0_2.set(target, 0, vtcr.sl2 ?? false);
  STE.S2DS.set(target, 0, vtcr.ds ?? false);
  STE.S2TTB.set(target, 0, vttbr);
}

/** STEs, as the planner of rewrites sees them. */
export const steKind: Required<EntryKind> = {
  usedBits(entry, used) {
    useField(used, STE.V);
    if (!STE.V.get(entry, 0)) return;
    useField(used, STE.Config);
    const config = STE.Config.get(entry, 0);
    if ((config & CONFIG_BYPASS) === 0) return; // aborts: the rest is ignored
    if ((config & CONFIG_S1) !== 0) {
      for (const field of STAGE1_FIELDS) useField(used, field);
      // §13.5: incoming shareability matters where traffic skips stage 1.
      if (STE.S1DSS.get(entry, 0) === S1DSS_BYPASS) useField(used, STE.SHCFG);
    }
    if ((config & CONFIG_S2) !== 0) for (const field of STAGE2_FIELDS) useField(used, field);
    if (config === CONFIG_BYPASS) useField(used, STE.SHCFG);
  },
  safeBits(current, target, safe) {
    // Attaching switches ATS off at the device before it touches EATS: no request is on its way that could tell the
    // difference. But split-stage shares bits with the full form, and S2S=1 with EATS=1 is illegal (§5.2.2).
    const split = (STE.EATS.get(current, 0) & EATS_SPLIT) !== 0 || (STE.EATS.get(target, 0) & EATS_SPLIT) !== 0;
    const stalls = STE.S2S.get(current, 0) || STE.S2S.get(target, 0);
    if (!split && !stalls) safe[STE.EATS.word]! |= EATS_FULL << STE.EATS.shift;
    // Event merging is a permission, and may happen without it (§7.3.1).
    useField(safe, STE.MEV);
  },
};

const STAGE1_FIELDS = [
  STE.S1Fmt,
  STE.S1ContextPtr,
  STE.S1CDMax,
  STE.S1DSS,
  STE.S1CIR,
  STE.S1COR,
  STE.S1CSH,
  STE.S1STALLD,
  STE.STRW,
  STE.EATS,
  STE.PPAR,
  STE.MEV,
  STE.S2VMID, // tags stage 1 translations too
];
const STAGE2_FIELDS = [
  STE.S2FWB,
  STE.EATS,
  STE.SHCFG,
  STE.MEV,
  STE.S2VMID,
  STE.S2T0SZ,
  STE.S2SL0,
  STE.S2IR0,
  STE.S2OR0,
  STE.S2SH0,
  STE.S2TG,
  STE.S2PS,
  STE.S2AA64,
  STE.S2ENDI,
  STE.S2PTW,
  STE.S2S,
  STE.S2R,
  STE.S2SL0_2,
  STE.S2DS,
  STE.S2TTB,
];

/** Rewrites stream table entries. Set {@link sid} first. */
export class SteWriter extends EntryWriter {
  /** Whose entry is being written. */
  sid = 0;
  readonly #cmdq: CommandQueue;

  constructor(memory: SystemMemory, coherence: DmaCoherence, cmdq: CommandQueue) {
    super(memory, coherence);
    this.#cmdq = cmdq;
  }

  usedBits(entry: Uint32Array, used: Uint32Array): void {
    steKind.usedBits(entry, used);
  }

  override safeBits(current: Uint32Array, target: Uint32Array, safe: Uint32Array): void {
    steKind.safeBits(current, target, safe);
  }

  protected valid(words: Uint32Array, at: number): boolean {
    return STE.V.get(words, at);
  }

  protected sync(): void {
    const at = this.#cmdq.next();
    cfgiSte(this.#cmdq.words, at, this.sid, true);
    this.#cmdq.sync();
  }
}

/** An entry's words, to build one in. */
export const newSte = (): Uint32Array => new Uint32Array(ENTRY_WORDS);
