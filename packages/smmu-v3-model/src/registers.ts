/**
 * The register file: pages 0 and 1, which bits software may write, and when a register is locked. IHI 0070 §6.2, §6.3.
 *
 * Where the architecture leaves a write CONSTRAINED UNPREDICTABLE, one thing happens here: a locked register ignores it,
 * a 64-bit access of two 32-bit registers is two accesses, the lower first, and a second change before its acknowledge
 * replaces the first.
 */
import type { MmioWindow } from '@smmu/platform';
import {
  CMDQ_BASE,
  CMDQ_CONS,
  CMDQ_PROD,
  CR0,
  CR0ACK,
  CR1,
  CR2,
  EVENTQ_BASE,
  EVENTQ_CONS,
  EVENTQ_IRQ_CFG0,
  EVENTQ_IRQ_CFG1,
  EVENTQ_IRQ_CFG2,
  EVENTQ_PROD,
  GATOS_ADDR,
  GATOS_CTRL,
  GATOS_PAR,
  GATOS_SID,
  GBPA,
  GERROR,
  GERROR_IRQ_CFG0,
  GERROR_IRQ_CFG1,
  GERROR_IRQ_CFG2,
  GERRORN,
  IRQ_CTRL,
  IRQ_CTRLACK,
  idRegisters,
  PRIQ_BASE,
  PRIQ_CONS,
  PRIQ_IRQ_CFG0,
  PRIQ_IRQ_CFG1,
  PRIQ_IRQ_CFG2,
  PRIQ_PROD,
  type Register,
  STRTAB_BASE,
  STRTAB_BASE_CFG,
} from '@smmu/spec';
import { idWords, type ModelFeatures } from './features.ts';

export const WINDOW_BYTES = 0x20000;

/** Words of the register file, for reading a register by its byte offset. */
export const word = (register: { readonly offset: number }): number => register.offset / 4;

const { SMMUEN, EVENTQEN, PRIQEN, CMDQEN, ATSCHK, VMW } = CR0.fields;
const { EVENTQ_IRQEN, PRIQ_IRQEN, GERROR_IRQEN } = IRQ_CTRL.fields;
const QUEUES = EVENTQEN.mask | PRIQEN.mask | CMDQEN.mask;
const TABLE_FIELDS = CR1.fields.TABLE_SH.mask | CR1.fields.TABLE_OC.mask | CR1.fields.TABLE_IC.mask;

/** What a word takes and when. */
interface WordRule {
  /** Where the word is: page 0 has aliases of the queue indexes in page 1. */
  readonly at: number;
  /** Bits that software may write. */
  readonly mask: number;
  /** CR0 bits, and IRQ_CTRL bits, that lock it while set or not yet acknowledged as clear. */
  readonly cr0: number;
  readonly irq: number;
}

/** Told after a write that changed something or might start something. `before` is the old word. */
export type WriteEffect = (offset: number, before: number) => void;

export class RegisterFile implements MmioWindow {
  readonly name = 'smmuv3';
  readonly size: number = WINDOW_BYTES;
  readonly words: Uint32Array = new Uint32Array(WINDOW_BYTES / 4);
  readonly #rules: WordRule[] = [];
  /** By word: one more than the index of its rule, 0 if it ignores writes. */
  readonly #ruleOf: Uint8Array = new Uint8Array(WINDOW_BYTES / 4);
  readonly #effect: WriteEffect;

  constructor(features: ModelFeatures, effect: WriteEffect) {
    this.#effect = effect;
    this.words.set(idWords(features), 0);
    for (const { offset, value } of idRegisters) this.words[offset / 4] = value ?? 0;
    this.#writable(features);
    if (!features.page0Queues) return;
    for (const register of [EVENTQ_PROD, EVENTQ_CONS, PRIQ_PROD, PRIQ_CONS])
      for (const alias of register.aliases) this.#ruleOf[alias / 4] = this.#ruleOf[word(register)]!;
  }

  /** Unmapped and reserved words read as zero. */
  read32(offset: number): number {
    const rule = this.#ruleOf[offset >>> 2];
    return this.words[rule ? this.#rules[rule - 1]!.at >>> 2 : offset >>> 2] ?? 0;
  }

  write32(offset: number, value: number): void {
    const index = this.#ruleOf[offset >>> 2];
    if (!index) return;
    const rule = this.#rules[index - 1]!;
    const { at } = rule;
    const words = this.words;
    if ((rule.cr0 & (words[word(CR0)]! | words[word(CR0ACK)]!)) !== 0) return;
    if ((rule.irq & (words[word(IRQ_CTRL)]! | words[word(IRQ_CTRLACK)]!)) !== 0) return;
    const before = words[at >>> 2]!;
    let mask = rule.mask;
    if (at === CR1.offset) mask &= this.#unlockedAttributes();
    if (at >= GATOS_CTRL.offset && at < GATOS_PAR.offset && GATOS_CTRL.fields.RUN.of(words[word(GATOS_CTRL)]!)) return;
    if (at === GBPA.offset && (!GBPA.fields.Update.of(value) || GBPA.fields.Update.of(before))) return;
    words[at >>> 2] = (before & ~mask) | (value & mask);
    this.#effect(at, before);
  }

  write64(offset: number, lo: number, hi: number): void {
    this.write32(offset, lo);
    this.write32(offset + 4, hi);
  }

  /** Takes the programmable registers from another file, and the error bits that hardware toggled. */
  adopt(words: Uint32Array): void {
    for (const { at: offset, mask } of this.#rules) {
      const at = offset >>> 2;
      this.words[at] = (this.words[at]! & ~mask) | ((words[at] ?? 0) & mask);
    }
    this.words[word(GERROR)] = (words[word(GERROR)] ?? 0) & ~GERROR.reserved[0]!;
  }

  /** CR1: the attributes of tables are locked by SMMUEN, those of queues by any queue. */
  #unlockedAttributes(): number {
    const cr0 = this.words[word(CR0)]! | this.words[word(CR0ACK)]!;
    return ((cr0 & SMMUEN.mask) === 0 ? TABLE_FIELDS : 0) | ((cr0 & QUEUES) === 0 ? ~TABLE_FIELDS : 0);
  }

  #writable(f: ModelFeatures): void {
    const allow = (register: Register, cr0 = 0, irq = 0, without = 0): void => {
      for (let i = 0; i < register.reserved.length; i++) {
        const at = register.offset + i * 4;
        this.#ruleOf[at / 4] = this.#rules.push({ at, mask: ~register.reserved[i]! & ~without, cr0, irq });
      }
    };
    const absent =
      CR0.fields.DPT_WALK_EN.mask |
      (f.pri ? 0 : PRIQEN.mask) |
      (f.ats ? 0 : ATSCHK.mask) |
      (f.vmidWildcard ? 0 : VMW.mask);
    allow(CR0, 0, 0, absent);
    allow(CR1);
    const { E2H, PTM, REC_CFG_ATS } = CR2.fields;
    allow(
      CR2,
      SMMUEN.mask,
      0,
      (f.hyp ? 0 : E2H.mask) | (f.btm ? 0 : PTM.mask) | (f.ats && f.atsRecordErrors ? 0 : REC_CFG_ATS.mask),
    );
    allow(GBPA);
    allow(IRQ_CTRL, 0, 0, f.pri ? 0 : PRIQ_IRQEN.mask);
    allow(GERRORN);
    allow(STRTAB_BASE, SMMUEN.mask);
    allow(STRTAB_BASE_CFG, SMMUEN.mask);
    allow(CMDQ_BASE, CMDQEN.mask);
    allow(CMDQ_PROD);
    allow(CMDQ_CONS, CMDQEN.mask);
    allow(EVENTQ_BASE, EVENTQEN.mask);
    allow(EVENTQ_PROD, EVENTQEN.mask);
    allow(EVENTQ_CONS);
    if (f.msi) {
      for (const register of [GERROR_IRQ_CFG0, GERROR_IRQ_CFG1, GERROR_IRQ_CFG2]) allow(register, 0, GERROR_IRQEN.mask);
      for (const register of [EVENTQ_IRQ_CFG0, EVENTQ_IRQ_CFG1, EVENTQ_IRQ_CFG2]) allow(register, 0, EVENTQ_IRQEN.mask);
    }
    if (f.atos) for (const register of [GATOS_CTRL, GATOS_SID, GATOS_ADDR]) allow(register);
    if (!f.pri) return;
    allow(PRIQ_BASE, PRIQEN.mask);
    allow(PRIQ_PROD, PRIQEN.mask);
    allow(PRIQ_CONS);
    if (f.msi) for (const register of [PRIQ_IRQ_CFG0, PRIQ_IRQ_CFG1]) allow(register, 0, PRIQ_IRQEN.mask);
    allow(PRIQ_IRQ_CFG2, 0, PRIQ_IRQEN.mask, f.msi ? 0 : ~PRIQ_IRQ_CFG2.fields.LO.mask);
  }
}
