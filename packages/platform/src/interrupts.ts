import type { MmioWindow } from './mmio.ts';
import type { Scheduler } from './scheduler.ts';

/**
 * An edge-triggered interrupt line. Raising it runs the handler as a software task, later; edges that arrive before the
 * handler starts are one interrupt. An edge on a masked line is remembered.
 */
export class InterruptLine {
  readonly name: string;
  /** Edges seen since the start. */
  raised = 0;
  readonly #scheduler: Scheduler;
  #handler: (() => void) | undefined;
  #pending = false;
  #queued = false;
  #masked = false;

  constructor(scheduler: Scheduler, name: string) {
    this.#scheduler = scheduler;
    this.name = name;
  }

  /** Sets who answers (Linux `request_threaded_irq`); `undefined` disconnects. */
  connect(handler: (() => void) | undefined): void {
    this.#handler = handler;
    this.#deliver();
  }

  raise(): void {
    this.raised += 1;
    this.#pending = true;
    this.#deliver();
  }

  /** Keeps the handler from running until {@link unmask}. */
  mask(): void {
    this.#masked = true;
  }

  unmask(): void {
    this.#masked = false;
    this.#deliver();
  }

  #deliver(): void {
    if (!this.#pending || this.#queued || this.#masked || this.#handler === undefined) return;
    this.#queued = true;
    this.#scheduler.post('software', () => {
      this.#queued = false;
      if (this.#masked || this.#handler === undefined) return;
      this.#pending = false;
      this.#handler();
    });
  }
}

/** Offset of the register that takes message-signalled interrupts, as in a GICv2m frame's MSI_SETSPI_NS. */
export const MSI_SETSPI = 0x40;

/** A page of registers that turns a write of an interrupt number into an edge on that line. */
export class MsiDoorbell implements MmioWindow {
  readonly name = 'msi-doorbell';
  readonly size = 0x1000;
  readonly #lines: Map<number, InterruptLine> = new Map();
  /** Writes of a number that no line has: somebody's misprogrammed MSI. */
  spurious = 0;
  /** Binds an interrupt number to a line. */
  route(number: number, line: InterruptLine): void {
    this.#lines.set(number, line);
  }
  read32(): number {
    return 0;
  }
  write32(offset: number, value: number): void {
    const line = offset === MSI_SETSPI ? this.#lines.get(value) : undefined;
    if (line) line.raise();
    else this.spurious += 1;
  }
}
