import type { Transfer } from './transfer.ts';

/**
 * The device's end of a ring in kernel memory: writes entries by DMA one after the other, in order, and counts one only
 * once it is there.
 */
export class RingWriter {
  /** Entries written, 16 bits. */
  prod = 0;
  readonly #transfer: Transfer;
  readonly #entryBytes: number;
  readonly #written: (aborted: boolean) => void;
  readonly #waiting: Uint8Array[] = [];
  #baseLo = 0;
  #baseHi = 0;
  #entries = 1;
  #running = false;

  /** @param written - Called for each entry, when it is there or when it could not be written. */
  constructor(transfer: Transfer, entryBytes: number, written: (aborted: boolean) => void) {
    this.#transfer = transfer;
    this.#entryBytes = entryBytes;
    this.#written = written;
  }

  /** Entries that are not there yet. */
  get waiting(): number {
    return this.#waiting.length;
  }

  get entries(): number {
    return this.#entries;
  }

  /** Starts a ring at an address. */
  place(baseLo: number, baseHi: number, log2Entries: number): void {
    this.#baseLo = baseLo;
    this.#baseHi = baseHi;
    this.#entries = 2 ** log2Entries;
    this.prod = 0;
  }

  push(entry: Uint32Array): void {
    this.#waiting.push(new Uint8Array(entry.slice().buffer));
    if (!this.#running) this.#next();
  }

  /** Writes nothing more, after a reset. */
  abandon(): void {
    this.#waiting.length = 0;
    this.#transfer.stop();
  }

  #next(): void {
    const entry = this.#waiting[0];
    this.#running = entry !== undefined;
    if (entry === undefined) return;
    const lo = this.#baseLo + (this.prod % this.#entries) * this.#entryBytes;
    const hi = this.#baseHi + Math.floor(lo / 2 ** 32);
    this.#transfer.start(true, lo >>> 0, hi >>> 0, entry, this.#entryBytes, () => {
      if (this.#waiting.shift() === undefined) return;
      if (!this.#transfer.aborted) this.prod = (this.prod + 1) & 0xffff;
      this.#written(this.#transfer.aborted);
      this.#next();
    });
  }
}
