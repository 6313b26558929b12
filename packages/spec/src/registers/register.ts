/** A register is a layout with a place on the bus. IHI 0070 §6. */
import { type Fields, type Layout, layout } from '../layout.ts';

/** The pages of the register map. All but PAGE_0 and PAGE_1 lie where a register or the implementation says. */
export type RegisterPage = 'PAGE_0' | 'PAGE_1' | 'VATOS' | 'S_VATOS' | 'CMDQCP' | 'ROOT' | 'R_PAGE_0' | 'R_PAGE_1';

export const PAGE_BYTES = 0x10000;

/** Where each page lies, in words: as bytes from page 0 unless it says otherwise. */
export const REGISTER_PAGES: Readonly<Record<RegisterPage, string>> = {
  PAGE_0: '0',
  PAGE_1: '0x10000',
  VATOS: '0x20000 + IDR2.BA_VATOS * 0x10000',
  S_VATOS: '0x20000 + S_IDR2.BA_S_VATOS * 0x10000',
  CMDQCP: 'CMDQ_CONTROL_PAGE_BASEn.ADDR',
  ROOT: 'implementation defined',
  R_PAGE_0: '0x20000 + ROOT_IDR0.BA_REALM * 0x10000',
  R_PAGE_1: 'R_PAGE_0 + 0x10000',
};

/**
 * Value after reset. `preset`: implementation defined if the matching IDR1 *_PRESET bit is set, else unknown.
 * `fixed`: constant, an implementation's own.
 */
export type Reset = 'zero' | 'unknown' | 'impdef' | 'preset' | 'fixed';

/** What the architecture says about a register beside its bits. */
export interface RegisterFacts {
  /** What it is, in a few words. */
  readonly title: string;
  /** Bytes from the SMMU's base for PAGE_0 and PAGE_1 (whose registers start at 0x10000), else from the page's own. */
  readonly offset: number;
  readonly section: string;
  /** 4 or 8. Defaults to 4. */
  readonly byteLength?: 4 | 8;
  /** Defaults to PAGE_0. */
  readonly page?: RegisterPage;
  /** Defaults to RO. */
  readonly access?: 'RO' | 'RW';
  /** When it may be written, in words. */
  readonly rule?: string;
  /** The features without which it is reserved, in words. */
  readonly present?: string;
  /** Defaults to fixed. */
  readonly reset?: Reset;
  /** The fields that reset otherwise than {@link reset}. */
  readonly resetOf?: Readonly<Record<string, Reset>>;
  /** How many there are, and how many bytes apart; 0 if that depends on how many queues a page has (§6.2.5). */
  readonly array?: { readonly count: number; readonly stride: number };
  /** Offsets that an implementation may answer at as well. */
  readonly aliases?: readonly number[];
}

export interface Register<F extends Fields = Fields> extends Layout<F> {
  /** What it is, in a few words. */
  readonly title: string;
  /** Bytes from the SMMU's base for PAGE_0 and PAGE_1 (whose registers start at 0x10000), else from the page's own. */
  readonly offset: number;
  readonly section: string;
  readonly byteLength: 4 | 8;
  readonly page: RegisterPage;
  readonly access: 'RO' | 'RW';
  readonly rule: string | undefined;
  readonly present: string | undefined;
  readonly reset: Reset;
  readonly resetOf: Readonly<Record<string, Reset>>;
  readonly array: { readonly count: number; readonly stride: number } | undefined;
  readonly aliases: readonly number[];
}

/**
 * Makes a register. Its fields work on a register file (`CR0.fields.SMMUEN.get(file, CR0.offset / 4)`) and, inside
 * one word, on a value at hand (`CR0.fields.SMMUEN.of(value)`).
 */
export function register<const F extends Fields>(name: string, facts: RegisterFacts, fields: F): Register<F> {
  const { section, byteLength = 4 } = facts;
  return {
    ...layout(name, byteLength, `IHI 0070 §${section}`, fields),
    page: 'PAGE_0',
    access: 'RO',
    rule: undefined,
    present: undefined,
    reset: 'fixed',
    resetOf: {},
    array: undefined,
    aliases: [],
    ...facts,
    byteLength,
  };
}

// Rules that many registers share.
export const CR0_RULE = 'poll CR0ACK after each change; do not change again before it matches';
export const ACK_RULE = 'mirrors the control register once the change is complete';
export const UPDATE_RULE = 'write with Update=1, only while Update reads 0';
export const SOFTWARE_RULE = 'written by software';
/** The rule of a register that is locked while an enable bit is set. */
export const lockedBy = (enable: string, preset = ''): string =>
  `RW while CR0.${enable}=0 and CR0ACK.${enable}=0, otherwise RO (writes ignored from v3.2, unpredictable before)${
    preset && `; RO if ${preset}=1`
  }`;
export const irqLockedBy = (enable: string): string => `RW while IRQ_CTRL.${enable}=0 and acknowledged, otherwise RO`;
export const runLockedBy = (control: string): string => `RW while ${control}.RUN=0, otherwise RO`;
