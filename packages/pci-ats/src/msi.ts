import { DMA_ABORT, DMA_PENDING, type DmaPort, DmaRequest, NO_SUBSTREAM } from '@smmu/platform';
import { MSI } from './capabilities.ts';

/**
 * The sending side of message-signalled interrupts: a write of 4 bytes, without PASID, to the address that software
 * programmed. It goes the way of all DMA, so an SMMU translates it. PCI Express Base §6.1.4.
 */
export class MsiSender {
  /** Messages that went out, and those that something on the way aborted. */
  sent = 0;
  aborted = 0;
  readonly #words: Uint32Array;
  readonly #base: number;
  readonly #port: DmaPort;
  readonly #idle: DmaRequest[] = [];

  /**
   * @param words - The configuration space.
   * @param offset - Offset of the MSI capability; 0 if there is none.
   */
  constructor(words: Uint32Array, offset: number, port: DmaPort) {
    this.#words = words;
    this.#base = offset / 4;
    this.#port = port;
  }

  /** Sends a vector's message. A masked one is kept pending. Nothing happens while MSI is off. */
  raise(vector: number): void {
    if (this.#base === 0 || !MSI.ENABLE.get(this.#words, this.#base)) return;
    const bit = 2 ** vector;
    if ((MSI.MASK.get(this.#words, this.#base) & bit) !== 0) this.#setPending(bit, true);
    else this.#send(vector);
  }

  /** Sends what was held back and no longer is. */
  flush(): void {
    if (this.#base === 0 || !MSI.ENABLE.get(this.#words, this.#base)) return;
    let ready = MSI.PENDING.get(this.#words, this.#base) & ~MSI.MASK.get(this.#words, this.#base);
    while (ready !== 0) {
      const vector = 31 - Math.clz32(ready & -ready);
      ready &= ready - 1;
      this.#setPending(2 ** vector, false);
      this.#send(vector);
    }
  }

  #setPending(bit: number, on: boolean): void {
    const pending = MSI.PENDING.get(this.#words, this.#base);
    MSI.PENDING.set(this.#words, this.#base, (on ? pending | bit : pending & ~bit) >>> 0);
  }

  #send(vector: number): void {
    const words = this.#words;
    const base = this.#base;
    const granted = 2 ** Math.min(MSI.MULTIPLE_ENABLE.get(words, base), MSI.MULTIPLE_CAPABLE.get(words, base));
    const data = MSI.DATA.get(words, base);
    // With fewer vectors granted than asked for, those beyond share: the number is cut to the bits there are.
    const message = data - (data % granted) + (vector % granted);
    const request = this.#idle.pop() ?? new DmaRequest(new Uint8Array(4));
    request.substreamId = NO_SUBSTREAM;
    request.addressLo = MSI.ADDRESS_LO.get(words, base);
    request.addressHi = MSI.ADDRESS_HI.get(words, base);
    request.length = 4;
    request.write = true;
    request.data[0] = message & 0xff;
    request.data[1] = message >>> 8;
    request.complete = this.#finished;
    this.sent += 1;
    if (this.#port.submit(request) !== DMA_PENDING) this.#finished(request);
  }

  readonly #finished = (request: DmaRequest): void => {
    if (request.status === DMA_ABORT) this.aborted += 1;
    this.#idle.push(request);
  };
}
