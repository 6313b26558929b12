/**
 * Context descriptors: what the driver puts there, which bits of one count, and how one is rewritten.
 * IHI 0070 §5.4; Linux arm-smmu-v3.c `arm_smmu_make_s1_cd`, arm-smmu-v3-sva.c `arm_smmu_make_sva_cd`.
 */
import type { DmaCoherence, Pa, SystemMemory } from '@smmu/platform';
import { CD } from '@smmu/spec';
import type { CommandQueue } from './cmdq.ts';
import { cfgiCd } from './commands/cfgiCd.ts';
import { ENTRY_WORDS, type EntryKind, EntryWriter } from './entryWriter.ts';
import { useField } from './internal/useField.ts';

/** Stage 1 parameters, as a page table or a process gives them; encodings as in a CD. */
export interface Stage1Config {
  readonly ttbr: Pa;
  readonly tcr: {
    readonly tsz: number;
    readonly tg: number;
    readonly sh: number;
    readonly orgn: number;
    readonly irgn: number;
    readonly ips: number;
    /** 52-bit layout with a 4 KiB or 16 KiB granule. */
    readonly ds?: boolean;
  };
  readonly mairLo: number;
  readonly mairHi: number;
}

/** What a descriptor needs to know beside the tables. */
export interface CdOptions {
  readonly asid: number;
  /** Faulting transactions wait for an answer. */
  readonly stall: boolean;
  /** Hardware sets the access flag. */
  readonly hardwareAccessFlag: boolean;
  /** Hardware marks pages dirty. */
  readonly hardwareDirty: boolean;
}

/** Makes the descriptor of a domain of the driver's own: its ASID belongs to the SMMU alone. */
export function makeStage1Cd(target: Uint32Array, stage1: Stage1Config, options: CdOptions): void {
  makeCd(target, stage1, options);
  CD.ASET.set(target, 0, true);
}

/** Makes the descriptor of a process: it shares its ASID with the CPUs, so their broadcasts may reach it. */
export function makeSvaCd(target: Uint32Array, stage1: Stage1Config, options: CdOptions): void {
  makeCd(target, stage1, options);
}

/**
 * Makes the descriptor of a process that has exited: valid, so that the device's transactions raise no C_BAD_CD, and
 * without tables to walk. What arrives is aborted and not recorded, because the device driver has yet to be told.
 * @param stallForced - The SMMU stalls whether one likes it or not, and demands that S says so.
 */
export function makeReleasedCd(
  target: Uint32Array,
  mair: { readonly mairLo: number; readonly mairHi: number },
  ips: number,
  asid: number,
  stallForced: boolean,
): void {
  target.fill(0);
  CD.V.set(target, 0, true);
  CD.EPD0.set(target, 0, true);
  CD.EPD1.set(target, 0, true);
  CD.AA64.set(target, 0, true);
  CD.IPS.set(target, 0, ips);
  CD.A.set(target, 0, true);
  CD.S.set(target, 0, stallForced);
  CD.ASID.set(target, 0, asid);
  CD.MAIR0.set(target, 0, mair.mairLo);
  CD.MAIR1.set(target, 0, mair.mairHi);
}

function makeCd(target: Uint32Array, { ttbr, tcr, mairLo, mairHi }: Stage1Config, options: CdOptions): void {
  target.fill(0);
  CD.T0SZ.set(target, 0, tcr.tsz);
  CD.TG0.set(target, 0, tcr.tg);
  CD.IR0.set(target, 0, tcr.irgn);
  CD.OR0.set(target, 0, tcr.orgn);
  CD.SH0.set(target, 0, tcr.sh);
  CD.EPD1.set(target, 0, true);
  CD.V.set(target, 0, true);
  CD.IPS.set(target, 0, tcr.ips);
  CD.AA64.set(target, 0, true);
  CD.HA.set(target, 0, options.hardwareAccessFlag);
  CD.HD.set(target, 0, options.hardwareDirty);
  CD.S.set(target, 0, options.stall);
  CD.R.set(target, 0, true);
  CD.A.set(target, 0, true);
  CD.ASID.set(target, 0, options.asid);
  CD.TTB0.set(target, 0, ttbr);
  CD.DS.set(target, 0, tcr.ds ?? false);
  CD.MAIR0.set(target, 0, mairLo);
  CD.MAIR1.set(target, 0, mairHi);
}

const TTB0_FIELDS = [CD.T0SZ, CD.TG0, CD.IR0, CD.OR0, CD.SH0, CD.TTB0];
/** For each word the bits that EPD0 makes the hardware ignore. */
const ignoredWithEpd0: Uint32Array = new Uint32Array(ENTRY_WORDS);
for (const field of TTB0_FIELDS) useField(ignoredWithEpd0, field);

/** CDs, as the planner of rewrites sees them: all of a valid one counts, but for what EPD0 disables. */
export const cdKind: EntryKind = {
  usedBits(entry, used) {
    if (!CD.V.get(entry, 0)) {
      used[CD.V.word]! |= CD.V.mask;
      return;
    }
    used.fill(0xffff_ffff);
    if (CD.EPD0.get(entry, 0)) for (let i = 0; i < ENTRY_WORDS; i++) used[i]! &= ~ignoredWithEpd0[i]!;
  },
};

/** Who shares a CD table: each of its streams may have the entry cached. */
export interface CdOwner {
  readonly streamIds: readonly number[];
}

/** Rewrites context descriptors. Set {@link owner} and {@link ssid} first. */
export class CdWriter extends EntryWriter {
  owner: CdOwner = { streamIds: [] };
  /** Index in the CD table. */
  ssid = 0;
  readonly #cmdq: CommandQueue;

  constructor(memory: SystemMemory, coherence: DmaCoherence, cmdq: CommandQueue) {
    super(memory, coherence);
    this.#cmdq = cmdq;
  }

  usedBits(entry: Uint32Array, used: Uint32Array): void {
    cdKind.usedBits(entry, used);
  }

  protected valid(words: Uint32Array, at: number): boolean {
    return CD.V.get(words, at);
  }

  protected sync(): void {
    const cmdq = this.#cmdq;
    const { streamIds } = this.owner;
    for (let i = 0; i < streamIds.length; i++) {
      const at = cmdq.next();
      cfgiCd(cmdq.words, at, streamIds[i]!, this.ssid, true);
    }
    cmdq.sync();
  }
}
