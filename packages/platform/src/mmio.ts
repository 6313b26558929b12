import type { Pa } from './address.ts';
import { hex } from './address.ts';
import { IommuError } from './errors.ts';
import type { PhysicalMemory } from './physicalMemory.ts';

/** A device's registers, placed somewhere in the physical address space by the board. Offsets are bytes. */
export interface MmioWindow {
  readonly name: string;
  /** Bytes that the window covers. */
  readonly size: number;
  /** Answers a 32-bit read of a 4-byte aligned offset with an unsigned word. */
  read32(offset: number): number;
  /** Takes a 32-bit write to a 4-byte aligned offset. */
  write32(offset: number, value: number): void;
  /** Takes a 64-bit write to an 8-byte aligned offset. Without it the bus makes two writes, low half first. */
  write64?(offset: number, lo: number, hi: number): void;
}

/** A driver's view of one MMIO window, as Linux `ioremap` gives it. An access that nobody answers throws. */
export class Registers {
  readonly #memory: PhysicalMemory;
  readonly base: Pa;
  constructor(memory: PhysicalMemory, base: Pa) {
    this.#memory = memory;
    this.base = base;
  }
  /** @throws {@link IommuError} `EFAULT` if no device answers at the offset. */
  read32(offset: number): number {
    if (!this.#memory.read32(this.base + offset)) this.#abort('read', offset);
    return this.#memory.lo;
  }
  /** @throws {@link IommuError} `EFAULT` if no device answers at the offset. */
  write32(offset: number, value: number): void {
    if (!this.#memory.write32(this.base + offset, value)) this.#abort('write', offset);
  }
  /** Writes a 64-bit register, given as an address or other value below 2^53. @throws {@link IommuError} `EFAULT` */
  write64(offset: number, lo: number, hi: number): void {
    if (!this.#memory.write64(this.base + offset, lo, hi)) this.#abort('write', offset);
  }
  #abort(access: string, offset: number): never {
    throw new IommuError(
      'EFAULT',
      `${access} of register ${hex(offset)} at ${hex(this.base + offset)}: nothing answers`,
    );
  }
}
