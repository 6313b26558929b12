import { descriptorLayout } from './layouts.ts';

/** What the device knows of one work queue. */
export class DeviceQueue {
  readonly number: number;
  enabled = false;
  /** Fetches nothing more: its ring could not be read, or its doorbell made no sense. */
  halted = false;
  pasid = 0;
  vector = 0;
  /** Descriptors that the process says it wrote, and those that were given to a job slot: 16 bits each. */
  prod = 0;
  next = 0;
  /** Jobs under way. */
  running = 0;
  #ringLo = 0;
  #ringHi = 0;
  #entries = 1;
  /** ID of the admin command that waits for the last job to end; -1 if none does. */
  disabling = -1;

  constructor(number: number) {
    this.number = number;
  }

  enable(pasid: number, vector: number, ringLo: number, ringHi: number, log2Entries: number): void {
    this.enabled = true;
    this.halted = false;
    this.pasid = pasid;
    this.vector = vector;
    this.prod = 0;
    this.next = 0;
    this.#ringLo = ringLo;
    this.#ringHi = ringHi;
    this.#entries = 2 ** log2Entries;
    this.disabling = -1;
  }

  /** Whether a descriptor waits to be fetched. */
  get ready(): boolean {
    return this.enabled && !this.halted && this.disabling < 0 && this.next !== this.prod;
  }

  /** Takes a doorbell. Returns false if it claims more descriptors than the ring holds. */
  ring(prod: number): boolean {
    this.prod = prod;
    return ((prod - this.next) & 0xffff) <= this.#entries;
  }

  /** Address of descriptor `index`, as two words. */
  descriptorLo(index: number): number {
    return (this.#ringLo + (index % this.#entries) * descriptorLayout.byteLength) >>> 0;
  }
  descriptorHi(index: number): number {
    const lo = this.#ringLo + (index % this.#entries) * descriptorLayout.byteLength;
    return (this.#ringHi + (lo >= 2 ** 32 ? 1 : 0)) >>> 0;
  }
}
