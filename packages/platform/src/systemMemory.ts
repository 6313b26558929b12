import { hex, type Pa } from './address.ts';
import { IommuError } from './errors.ts';
import type { MmioWindow } from './mmio.ts';
import type { PhysicalMemory } from './physicalMemory.ts';

/** One range of RAM. `base` and `size` are bytes, multiples of 2 MiB. */
export interface RamRegion {
  readonly base: Pa;
  readonly size: number;
  /** NUMA node that the range belongs to; 0 if left out. */
  readonly node?: number;
}

/** Called after every store, by CPU or device, to RAM or registers: the place where "the hardware looks". */
export type StoreObserver = (pa: Pa, bytes: number) => void;

const CHUNK_BYTES = 2 ** 21;
const CHUNKS_PER_BYTE = 1 / CHUNK_BYTES;
const FRAMES_PER_BYTE = 1 / 4096;
const NEAR = 512;
const FLAT_LIMIT = 2 ** 32; // the longest byte array of Node 20; word indices then fit an int32, too
const PA_LIMIT = 2 ** 52;

/** A run of RAM that one array backs: a whole flat region, or 2 MiB of a sparse one. */
class Chunk {
  readonly base: Pa;
  readonly bytes: number;
  readonly words: Uint32Array;
  readonly octets: Uint8Array;
  constructor(base: Pa, bytes: number) {
    this.base = base;
    this.bytes = bytes;
    this.words = new Uint32Array(bytes / 4);
    this.octets = new Uint8Array(this.words.buffer);
  }
}

/**
 * A board's physical address space: RAM and MMIO windows.
 *
 * RAM up to 4 GiB a region is one flat array, which the operating system fills with real pages only when touched;
 * larger regions, up to 52 bits of address, are made of 2 MiB chunks that appear with the first touch.
 * CPU-side code that edits tables uses {@link at} and `words`; everyone else the {@link PhysicalMemory} methods.
 */
export class SystemMemory implements PhysicalMemory {
  lo = 0;
  hi = 0;
  /** The words that the last successful {@link at} or {@link atFrame} found; the index is what it returned. */
  words: Uint32Array = new Uint32Array(0);
  /** While set, every store through a method is reported. Code that stores through `words` must then use a method. */
  observer: StoreObserver | null = null;
  readonly regions: readonly RamRegion[];

  // The chunk of the last access. Nearly all accesses of a run fall into one flat region.
  #base = 0;
  #bytes = 0;
  #baseFrame = 0;
  #frames = 0;
  #chunk: Chunk = new Chunk(0, 0);
  readonly #flat: Chunk[] = []; // regions touched so far
  readonly #sparse: Map<number, Chunk> = new Map();
  /** The sparse chunks of late, by the low bits of their numbers: 1 GiB in a row is found without the map. */
  readonly #near: (Chunk | undefined)[] = new Array(NEAR).fill(undefined);
  readonly #nearNumbers: Int32Array = new Int32Array(NEAR).fill(-1);
  readonly #windows: { base: Pa; window: MmioWindow }[] = [];

  /** @throws {@link IommuError} `EINVAL` if a region is empty, misaligned, above 52 bits, or overlaps another. */
  constructor(regions: readonly RamRegion[]) {
    for (const [i, { base, size }] of regions.entries()) {
      if (base % CHUNK_BYTES !== 0 || size % CHUNK_BYTES !== 0 || size <= 0 || base < 0 || base + size > PA_LIMIT)
        throw new IommuError(
          'EINVAL',
          `RAM ${hex(base)}+${hex(size)}: base and size must be multiples of 2 MiB below 2^52`,
        );
      for (const other of regions.slice(0, i))
        if (base < other.base + other.size && other.base < base + size)
          throw new IommuError(
            'EINVAL',
            `RAM ${hex(base)}+${hex(size)} overlaps ${hex(other.base)}+${hex(other.size)}`,
          );
    }
    this.regions = regions;
  }

  /**
   * Places a device's registers.
   * @param base - Physical address, 4 KiB aligned.
   * @throws {@link IommuError} `EINVAL` if misaligned, `EBUSY` if it overlaps RAM or another window.
   */
  addWindow(base: Pa, window: MmioWindow): void {
    if (base % 4096 !== 0 || base + window.size > PA_LIMIT)
      throw new IommuError('EINVAL', `window ${window.name} at ${hex(base)}: must be 4 KiB aligned and below 2^52`);
    const taken = [...this.regions, ...this.#windows.map((w) => ({ base: w.base, size: w.window.size }))];
    for (const other of taken)
      if (base < other.base + other.size && other.base < base + window.size)
        throw new IommuError(
          'EBUSY',
          `window ${window.name} at ${hex(base)} overlaps ${hex(other.base)}+${hex(other.size)}`,
        );
    this.#windows.push({ base, window });
  }

  /**
   * Finds the RAM word at `pa` (4-byte aligned). Returns its index in `words`, or -1 if no RAM is there.
   * An index stays good up to the end of its naturally aligned 2 MiB.
   */
  at(pa: Pa): number {
    const offset = pa - this.#base;
    if (offset >= 0 && offset < this.#bytes) return (offset * 0.25) | 0;
    return this.#select(pa) ? ((pa - this.#base) * 0.25) | 0 : -1;
  }

  /** {@link at} for the first word of a 4 KiB frame number: cheaper, because frame numbers stay small integers. */
  atFrame(frame: number): number {
    const index = frame - this.#baseFrame;
    if (index >= 0 && index < this.#frames) return index << 10;
    return this.#select(frame * 4096) ? (frame - this.#baseFrame) << 10 : -1;
  }

  read32(pa: Pa): boolean {
    const i = this.at(pa);
    if (i < 0) return this.#readRegister(pa);
    this.lo = this.words[i]!;
    return true;
  }

  write32(pa: Pa, value: number): boolean {
    const i = this.at(pa);
    if (i < 0) {
      const found = this.#windowAt(pa);
      if (found === undefined) return false;
      found.window.write32(pa - found.base, value >>> 0);
    } else this.words[i] = value;
    if (this.observer !== null) this.observer(pa, 4);
    return true;
  }

  read64(pa: Pa): boolean {
    const i = this.at(pa);
    if (i < 0) {
      if (!this.#readRegister(pa + 4)) return false;
      const hi = this.lo;
      if (!this.#readRegister(pa)) return false;
      this.hi = hi;
      return true;
    }
    this.lo = this.words[i]!;
    this.hi = this.words[i + 1]!;
    return true;
  }

  write64(pa: Pa, lo: number, hi: number): boolean {
    const i = this.at(pa);
    if (i < 0) {
      const found = this.#windowAt(pa);
      if (found === undefined) return false;
      const offset = pa - found.base;
      if (found.window.write64) found.window.write64(offset, lo >>> 0, hi >>> 0);
      else {
        found.window.write32(offset, lo >>> 0);
        found.window.write32(offset + 4, hi >>> 0);
      }
    } else {
      this.words[i] = lo;
      this.words[i + 1] = hi;
    }
    if (this.observer !== null) this.observer(pa, 8);
    return true;
  }

  compareExchange64(pa: Pa, expectedLo: number, expectedHi: number, lo: number, hi: number): boolean {
    const i = this.at(pa);
    if (i < 0) return false; // registers take no atomics
    this.lo = this.words[i]!;
    this.hi = this.words[i + 1]!;
    if (this.lo === expectedLo >>> 0 && this.hi === expectedHi >>> 0) {
      this.words[i] = lo;
      this.words[i + 1] = hi;
      if (this.observer !== null) this.observer(pa, 8);
    }
    return true;
  }

  readBytes(pa: Pa, target: Uint8Array, start: number, length: number): boolean {
    while (length > 0) {
      if (!this.#covers(pa)) return this.#registerBytes(pa, target, start, length, false);
      const offset = pa - this.#base;
      const run = Math.min(length, this.#bytes - offset);
      target.set(this.#chunk.octets.subarray(offset, offset + run), start);
      pa += run;
      start += run;
      length -= run;
    }
    return true;
  }

  writeBytes(pa: Pa, source: Uint8Array, start: number, length: number): boolean {
    while (length > 0) {
      if (!this.#covers(pa)) return this.#registerBytes(pa, source, start, length, true);
      const offset = pa - this.#base;
      const run = Math.min(length, this.#bytes - offset);
      this.#chunk.octets.set(source.subarray(start, start + run), offset);
      if (this.observer !== null) this.observer(pa, run);
      pa += run;
      start += run;
      length -= run;
    }
    return true;
  }

  /**
   * Sets `bytes` bytes of RAM from `pa` to zero; both multiples of 4.
   * @throws {@link IommuError} `EFAULT` if a part of it is no RAM; what lies below that part is zero then.
   */
  zero(pa: Pa, bytes: number): void {
    const i = this.at(pa);
    if (i < 0) throw new IommuError('EFAULT', `no RAM at ${hex(pa)}`);
    const run = Math.min(bytes, this.#base + this.#bytes - pa);
    this.words.fill(0, i, i + run / 4);
    if (this.observer !== null) this.observer(pa, run);
    if (run < bytes) this.zero(pa + run, bytes - run);
  }

  #covers(pa: Pa): boolean {
    const offset = pa - this.#base;
    return (offset >= 0 && offset < this.#bytes) || this.#select(pa);
  }

  /** Makes the chunk around `pa` the current one. */
  #select(pa: Pa): boolean {
    for (let i = 0; i < this.#flat.length; i++) {
      const chunk = this.#flat[i]!;
      const offset = pa - chunk.base;
      if (offset >= 0 && offset < chunk.bytes) return this.#use(chunk, chunk.base, chunk.bytes);
    }
    const number = Math.floor(pa * CHUNKS_PER_BYTE);
    const slot = number & (NEAR - 1);
    if (this.#nearNumbers[slot] !== number) return this.#find(pa);
    return this.#use(this.#near[slot]!, number * CHUNK_BYTES, CHUNK_BYTES);
  }

  /** {@link #select} for a chunk that was not used lately or, at the first touch, is not there yet. */
  #find(pa: Pa): boolean {
    const region = this.regions.find(({ base, size }) => pa >= base && pa < base + size);
    if (region === undefined) return false;
    if (region.size <= FLAT_LIMIT) {
      const chunk = new Chunk(region.base, region.size);
      this.#flat.push(chunk);
      return this.#use(chunk, chunk.base, chunk.bytes);
    }
    const number = Math.floor(pa / CHUNK_BYTES);
    let chunk = this.#sparse.get(number);
    if (chunk === undefined) {
      chunk = new Chunk(number * CHUNK_BYTES, CHUNK_BYTES);
      this.#sparse.set(number, chunk);
    }
    this.#near[number & (NEAR - 1)] = chunk;
    this.#nearNumbers[number & (NEAR - 1)] = number;
    return this.#use(chunk, chunk.base, CHUNK_BYTES);
  }

  /** Base and size are handed over, because to look them up in the chunk costs more than to know them. */
  #use(chunk: Chunk, base: Pa, bytes: number): true {
    this.#base = base;
    this.#bytes = bytes;
    this.#baseFrame = base * FRAMES_PER_BYTE;
    this.#frames = bytes * FRAMES_PER_BYTE;
    this.#chunk = chunk;
    this.words = chunk.words;
    return true;
  }

  #windowAt(pa: Pa): { base: Pa; window: MmioWindow } | undefined {
    return this.#windows.find(({ base, window }) => pa >= base && pa < base + window.size);
  }

  #readRegister(pa: Pa): boolean {
    const found = this.#windowAt(pa);
    if (found === undefined) return false;
    this.lo = found.window.read32(pa - found.base) >>> 0;
    return true;
  }

  /** Bytes to or from registers, which take aligned words only: a device's MSI is such a write. */
  #registerBytes(pa: Pa, bytes: Uint8Array, start: number, length: number, write: boolean): boolean {
    if (pa % 4 !== 0 || length % 4 !== 0) return false;
    const view = new DataView(bytes.buffer, bytes.byteOffset + start, length);
    for (let i = 0; i < length; i += 4) {
      if (!(write ? this.write32(pa + i, view.getUint32(i, true)) : this.read32(pa + i))) return false;
      if (!write) view.setUint32(i, this.lo, true);
    }
    return true;
  }
}
