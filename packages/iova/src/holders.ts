/** Who has a range: a byte for each page, of which that of a range's first counts. Kept only where the caches have been. */
import type { Iova } from '@smmu/platform';

const CHUNK_PAGES = 2 ** 15;

/** Not known to the caches: free, reserved, or taken from the tree. */
export const UNKNOWN: number = 0;
/** In a magazine. */
export const CACHED: number = 0x80;
/** Beside the state before: unmapped, and in a flush queue. */
export const RETIRED: number = 0x40;
/** A user has it, 2^`order` pages. */
export const holdsOrder = (order: number): number => order + 1;

/** States by first address, in chunks that appear when first needed. */
export class Holders {
  readonly #chunks: Map<number, Uint8Array> = new Map();
  // The chunk of the last access: IOVAs in use lie close together, at the top of the space. Plain fields, here and in
  // the magazines: V8 inlines by the length of the bytecode, and a private name costs twice that of a plain one.
  private base: Iova;
  private states: Uint8Array = new Uint8Array(0);
  readonly #chunkBytes: number;
  private readonly pagesPerByte: number;

  constructor(granuleBytes: number) {
    this.#chunkBytes = granuleBytes * CHUNK_PAGES;
    this.pagesPerByte = 1 / granuleBytes;
    this.base = -this.#chunkBytes;
  }

  /** The state of the range that begins at `iova`; {@link UNKNOWN} if that is not the first byte of a page. */
  get(iova: Iova): number {
    const page = (iova - this.base) * this.pagesPerByte;
    if (page >= 0 && page < CHUNK_PAGES) return (page | 0) === page ? this.states[page]! : UNKNOWN;
    return this.#select(iova, false) ? this.get(iova) : UNKNOWN;
  }

  set(iova: Iova, state: number): void {
    const page = (iova - this.base) * this.pagesPerByte;
    if (page >= 0 && page < CHUNK_PAGES) this.states[page | 0] = state;
    else if (this.#select(iova, true)) this.set(iova, state);
  }

  #select(iova: Iova, create: boolean): boolean {
    if (!(iova >= 0)) return false;
    const number = Math.floor(iova / this.#chunkBytes);
    let states = this.#chunks.get(number);
    if (states === undefined) {
      if (!create) return false;
      states = new Uint8Array(CHUNK_PAGES);
      this.#chunks.set(number, states);
    }
    this.base = number * this.#chunkBytes;
    this.states = states;
    return true;
  }
}
