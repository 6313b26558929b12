/**
 * What register writes set off: enables with their acknowledges, global bypass, error acknowledges, queue indexes.
 * IHI 0070 §6.3.9 to §6.3.18, §7.5; Linux arm_smmu_write_reg_sync, arm_smmu_update_gbpa.
 */
import type { Scheduler } from '@smmu/platform';
import { CMDQ_PROD, CR0, CR0ACK, EVENTQ_CONS, GATOS_CTRL, GBPA, GERRORN, IRQ_CTRL, IRQ_CTRLACK } from '@smmu/spec';
import { word } from './registers.ts';

/** Virtual nanoseconds until a change is complete. */
const UPDATE_NS = 100;

/** Who is told. */
export interface ControlActions {
  /** SMMUEN as acknowledged changed. */
  onEnable(enabled: boolean): void;
  /** EVENTQEN as acknowledged was set. */
  onEventsOn(): void;
  /** The event queue may have room, or may be written again. */
  onEventRoom(): void;
  /** The command queue may have work. */
  onCommands(): void;
  /** CMDQEN as acknowledged was set or cleared. */
  onCommandsOn(): void;
  onCommandsOff(): void;
  /** GATOS_CTRL.RUN was set: look the address up. */
  onAtos(): void;
  /** PRIQEN as acknowledged was set. */
  onPageRequestsOn(): void;
  /** CR0.VMW as acknowledged: low VMID bits that invalidations ignore. */
  onVmidWildcard(bits: number): void;
}

export class Control {
  /** GBPA as it is in effect. */
  gbpa = 0;
  readonly #words: Uint32Array;
  readonly #scheduler: Scheduler;
  readonly #actions: ControlActions;
  #cr0Posted = false;
  #irqPosted = false;

  constructor(words: Uint32Array, scheduler: Scheduler, actions: ControlActions) {
    this.#words = words;
    this.#scheduler = scheduler;
    this.#actions = actions;
  }

  /** After a write. */
  written(offset: number): void {
    if (offset === CMDQ_PROD.offset) this.#actions.onCommands();
    else if (offset === EVENTQ_CONS.offset) this.#actions.onEventRoom();
    else if (offset === CR0.offset) this.#later(() => this.#applyCr0());
    else if (offset === IRQ_CTRL.offset) this.#laterIrq();
    else if (offset === GATOS_CTRL.offset) this.#startAtos();
    else if (offset === GBPA.offset) this.#scheduler.post('hardware', () => this.#applyGbpa(), UPDATE_NS);
    else if (offset === GERRORN.offset) {
      this.#actions.onCommands();
      this.#actions.onEventRoom();
    }
  }

  /** Takes the whole register file as it stands, as after a restore: nothing is pending. */
  adopt(): void {
    const words = this.#words;
    words[word(GBPA)]! &= ~GBPA.fields.Update.mask;
    this.gbpa = words[word(GBPA)]!;
    words[word(IRQ_CTRLACK)] = words[word(IRQ_CTRL)]!;
    words[word(CR0ACK)] = 0;
    this.#applyCr0();
  }

  #later(apply: () => void): void {
    if (this.#cr0Posted) return;
    this.#cr0Posted = true;
    this.#scheduler.post(
      'hardware',
      () => {
        this.#cr0Posted = false;
        apply();
      },
      UPDATE_NS,
    );
  }

  #startAtos(): void {
    if (GATOS_CTRL.fields.RUN.of(this.#words[word(GATOS_CTRL)]!))
      this.#scheduler.post('hardware', () => this.#actions.onAtos(), UPDATE_NS);
  }

  #laterIrq(): void {
    if (this.#irqPosted) return;
    this.#irqPosted = true;
    this.#scheduler.post(
      'hardware',
      () => {
        this.#irqPosted = false;
        this.#words[word(IRQ_CTRLACK)] = this.#words[word(IRQ_CTRL)]!;
      },
      UPDATE_NS,
    );
  }

  /** Makes CR0 as written the one in effect, and says so. */
  #applyCr0(): void {
    const words = this.#words;
    const { SMMUEN, EVENTQEN, PRIQEN, CMDQEN, VMW } = CR0.fields;
    const value = words[word(CR0)]!;
    const changed = value ^ words[word(CR0ACK)]!;
    words[word(CR0ACK)] = value;
    const wildcard = VMW.of(value);
    this.#actions.onVmidWildcard(wildcard > 4 ? 0 : wildcard);
    if ((changed & SMMUEN.mask) !== 0) this.#actions.onEnable(SMMUEN.of(value));
    if ((changed & PRIQEN.mask) !== 0 && PRIQEN.of(value)) this.#actions.onPageRequestsOn();
    if ((changed & EVENTQEN.mask) !== 0 && EVENTQEN.of(value)) this.#actions.onEventsOn();
    if ((changed & CMDQEN.mask) === 0) return;
    if (CMDQEN.of(value)) this.#actions.onCommandsOn();
    else this.#actions.onCommandsOff();
  }

  #applyGbpa(): void {
    this.#words[word(GBPA)]! &= ~GBPA.fields.Update.mask;
    this.gbpa = this.#words[word(GBPA)]!;
  }
}
