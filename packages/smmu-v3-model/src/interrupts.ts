/**
 * Interrupts of the queues, of global errors and of CMD_SYNC: by wire and, where an address is set, by a message.
 * IHI 0070 §3.18; Linux arm_smmu_setup_irqs, arm_smmu_setup_msis.
 */
import type { InterruptLine, PhysicalMemory } from '@smmu/platform';
import {
  type AddrField,
  EVENTQ_IRQ_CFG0,
  EVENTQ_IRQ_CFG1,
  GERROR,
  GERROR_IRQ_CFG0,
  GERROR_IRQ_CFG1,
  IRQ_CTRLACK,
  PRIQ_IRQ_CFG0,
  PRIQ_IRQ_CFG1,
  type Register,
} from '@smmu/spec';
import type { ModelFeatures } from './features.ts';
import type { GlobalErrors } from './gerror.ts';
import { lowBits } from './powers.ts';
import { word } from './registers.ts';

/** Where the wires go. */
export interface InterruptLines {
  readonly eventq: InterruptLine;
  readonly priq: InterruptLine;
  readonly gerror: InterruptLine;
  readonly cmdSync: InterruptLine;
}

const { EVENTQ_IRQEN, PRIQ_IRQEN, GERROR_IRQEN } = IRQ_CTRLACK.fields;
const { MSI_CMDQ_ABT_ERR, MSI_EVENTQ_ABT_ERR, MSI_PRIQ_ABT_ERR, MSI_GERROR_ABT_ERR } = GERROR.fields;

export class Interrupts {
  readonly #memory: PhysicalMemory;
  readonly #words: Uint32Array;
  readonly #features: ModelFeatures;
  readonly #lines: InterruptLines;
  readonly #errors: GlobalErrors;

  constructor(
    memory: PhysicalMemory,
    words: Uint32Array,
    features: ModelFeatures,
    lines: InterruptLines,
    errors: GlobalErrors,
  ) {
    this.#memory = memory;
    this.#words = words;
    this.#features = features;
    this.#lines = lines;
    this.#errors = errors;
    errors.onActive = (mask) => {
      // The abort of a global error's own message raises no message: it would abort as well (§7.5.1).
      if (mask === MSI_GERROR_ABT_ERR.mask) return;
      this.#raise(GERROR_IRQEN.mask, lines.gerror, GERROR_IRQ_CFG0, GERROR_IRQ_CFG1, MSI_GERROR_ABT_ERR.mask);
    };
  }

  /** The event queue is no longer empty. */
  eventq(): void {
    this.#raise(EVENTQ_IRQEN.mask, this.#lines.eventq, EVENTQ_IRQ_CFG0, EVENTQ_IRQ_CFG1, MSI_EVENTQ_ABT_ERR.mask);
  }

  /** The PRI queue is no longer empty, or a group's last request came. */
  priq(): void {
    this.#raise(PRIQ_IRQEN.mask, this.#lines.priq, PRIQ_IRQ_CFG0, PRIQ_IRQ_CFG1, MSI_PRIQ_ABT_ERR.mask);
  }

  /** A CMD_SYNC with CS=1 completed. Its message is its own, and no enable bit stands before it. */
  cmdSync(address: number, data: number): void {
    if (this.#features.msi && address !== 0) this.#message(address, data, MSI_CMDQ_ABT_ERR.mask);
    this.#lines.cmdSync.raise();
  }

  #raise(
    enable: number,
    line: InterruptLine,
    cfg0: Register<{ readonly ADDR: AddrField }>,
    cfg1: Register,
    abort: number,
  ): void {
    if ((this.#words[word(IRQ_CTRLACK)]! & enable) === 0) return;
    if (this.#features.msi) {
      const address = cfg0.fields.ADDR.get(this.#words, word(cfg0));
      if (address !== 0) this.#message(address, this.#words[word(cfg1)]!, abort);
    }
    line.raise();
  }

  /** Writes a message. Addresses beyond the output size are truncated (§3.4.3). */
  #message(address: number, data: number, abort: number): void {
    if (!this.#memory.write32(lowBits(address, this.#features.oasBits), data)) this.#errors.activate(abort);
  }
}
