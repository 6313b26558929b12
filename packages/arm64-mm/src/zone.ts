/**
 * The memory that processes share: its frames, what is known of each page, and direct reclaim when they run out
 * (Linux `struct zone`, mm/page_alloc.c).
 *
 * Everything here is one lock in the kernel's terms: while it calls out to a notifier or a file it is locked, and who
 * calls back in from there is refused.
 */
import { FRAME_BYTES, type FrameAllocator, IommuError, type SystemMemory } from '@smmu/platform';
import type { BackingFile } from './backingFile.ts';
import { Clock } from './clock.ts';
import { Page } from './page.ts';
import { FileCache } from './pageCache.ts';
import { PteFormat } from './pte.ts';

/** Pages that direct reclaim takes at a time, and that share one round of invalidations (Linux SWAP_CLUSTER_MAX). */
export const RECLAIM_BATCH = 32;

/** What has happened so far. Pages are granules. */
export class MemoryCounters {
  /** Calls of handleFault, by CPUs and devices. */
  faults = 0;
  /** Pages read from files. */
  pagesRead = 0;
  /** Pages written to files. */
  pagesWritten = 0;
  /** Pages copied because of a write to a shared one. */
  pagesCopied = 0;
  /** Pages taken away by reclaim. */
  pagesReclaimed = 0;
  /** Times that an allocation had to reclaim. */
  directReclaims = 0;
  /** Writes that a file refused. */
  writeErrors = 0;
  /** Dirty pages given up with the last area of their file, because the file refused them. */
  pagesLost = 0;
}

/** Parameters of a {@link Zone}. */
export interface ZoneOptions {
  readonly memory: SystemMemory;
  readonly frames: FrameAllocator;
  readonly granuleShift: 12 | 14 | 16;
  readonly paBits: number;
  /** 4 KiB frames that data pages leave free for tables and drivers while anything can be reclaimed. */
  readonly reserveFrames: number;
  /** Takes pages away; returns how many. */
  readonly reclaim: (zone: Zone, pages: number) => number;
  readonly onFileError: ((file: BackingFile, error: IommuError) => void) | undefined;
}

export class Zone {
  readonly memory: SystemMemory;
  readonly frames: FrameAllocator;
  readonly granuleBytes: number;
  readonly counters: MemoryCounters = new MemoryCounters();
  /** Cached files. */
  readonly caches: Map<BackingFile, FileCache> = new Map();
  /** Pages of files. */
  readonly clock: Clock = new Clock();
  /** The page that untouched anonymous memory reads from, while anybody maps it (Linux ZERO_PAGE). */
  zeroPage: Page | null = null;
  /** Data pages in use now. */
  livePages = 0;
  readonly pte: PteFormat;
  readonly #order: number;
  readonly #granuleFrames: number;
  readonly #reserve: number;
  readonly #reclaim: (zone: Zone, pages: number) => number;
  readonly #onFileError: ((file: BackingFile, error: IommuError) => void) | undefined;
  readonly #baseFrame: number;
  readonly #pages: (Page | null)[];
  readonly #scratch: Uint8Array; // stands in for the page while somebody watches the stores
  #locked = false;

  constructor({ memory, frames, granuleShift, paBits, reserveFrames, reclaim, onFileError }: ZoneOptions) {
    this.memory = memory;
    this.frames = frames;
    this.granuleBytes = 2 ** granuleShift;
    this.pte = new PteFormat(granuleShift, paBits);
    this.#order = granuleShift - 12;
    this.#granuleFrames = this.granuleBytes / FRAME_BYTES;
    this.#reserve = reserveFrames;
    this.#reclaim = reclaim;
    this.#onFileError = onFileError;
    this.#baseFrame = frames.firstFrame - (frames.firstFrame % this.#granuleFrames);
    const end = frames.firstFrame + frames.totalFrames;
    this.#pages = new Array<Page | null>(Math.ceil((end - this.#baseFrame) / this.#granuleFrames)).fill(null);
    this.#scratch = new Uint8Array(this.granuleBytes);
  }

  /**
   * A frame with unknown contents, reclaiming pages of files if there is none (Linux `__alloc_pages_slowpath`).
   * @returns null if nothing can be reclaimed.
   */
  allocate(): Page | null {
    const { frames } = this;
    if (frames.freeFrames < this.#reserve + this.#granuleFrames) this.#reclaimDirectly();
    let frame = frames.alloc(this.#order);
    while (frame < 0) {
      if (!this.#reclaimDirectly()) return null;
      frame = frames.alloc(this.#order);
    }
    const page = new Page(frame * FRAME_BYTES);
    this.#pages[(frame - this.#baseFrame) >>> this.#order] = page;
    this.livePages += 1;
    return page;
  }

  /** Gives a page's frame back. Nothing may map it. */
  free(page: Page): void {
    const frame = page.pa / FRAME_BYTES;
    this.#pages[(frame - this.#baseFrame) >>> this.#order] = null;
    this.livePages -= 1;
    this.frames.free(frame);
  }

  /** Runs what allocates table memory, reclaiming pages of files as long as it fails and that helps. */
  withReclaim<T>(allocate: () => T): T {
    for (;;)
      try {
        return allocate();
      } catch (error) {
        if (!(error instanceof IommuError) || error.code !== 'ENOMEM' || !this.#reclaimDirectly()) throw error;
      }
  }

  /** The page that an entry names. */
  pageOf(lo: number, hi: number): Page {
    return this.#pages[(this.pte.pa(lo, hi) / FRAME_BYTES - this.#baseFrame) >>> this.#order]!;
  }

  /** The cache of a file, begun if nothing maps the file. */
  cacheOf(file: BackingFile): FileCache {
    let cache = this.caches.get(file);
    if (cache === undefined) this.caches.set(file, (cache = new FileCache(this, file)));
    return cache;
  }

  clear(page: Page): void {
    this.memory.zero(page.pa, this.granuleBytes);
  }

  copy(from: Page, to: Page): void {
    const source = this.#view(from, this.granuleBytes);
    if (this.memory.observer === null) this.#view(to, this.granuleBytes).set(source);
    else this.memory.writeBytes(to.pa, source, 0, this.granuleBytes);
  }

  /**
   * Lets a file fill a page of which the first `valid` bytes exist; the rest becomes zero.
   * @returns Why the file refused, or undefined.
   */
  fill(page: Page, file: BackingFile, offset: number, valid: number): IommuError | undefined {
    const { memory, granuleBytes } = this;
    const watched = memory.observer !== null;
    const target = watched ? this.#scratch : this.#view(page, granuleBytes);
    this.#locked = true;
    try {
      file.readPage(offset, target);
    } catch (error) {
      return this.#fileError(file, error);
    } finally {
      this.#locked = false;
    }
    if (valid < granuleBytes) target.fill(0, valid);
    if (watched) memory.writeBytes(page.pa, target, 0, granuleBytes);
    return undefined;
  }

  /**
   * Lets a file take the first `bytes` bytes of a page.
   * @returns Why the file refused, or undefined.
   */
  drain(page: Page, file: BackingFile, bytes: number): IommuError | undefined {
    this.#locked = true;
    try {
      file.writePage(page.offset, this.#view(page, bytes));
    } catch (error) {
      return this.#fileError(file, error);
    } finally {
      this.#locked = false;
    }
    return undefined;
  }

  /** Runs a callback that must not come back. */
  callOut(callback: () => void): void {
    this.#locked = true;
    try {
      callback();
    } finally {
      this.#locked = false;
    }
  }

  /** @throws {@link IommuError} `EDEADLK` from inside a callback of a notifier or a file. */
  checkUnlocked(): void {
    if (this.#locked)
      throw new IommuError('EDEADLK', 'called from inside a notifier or a file, which the caller waits for');
  }

  #reclaimDirectly(): boolean {
    this.counters.directReclaims += 1;
    return this.#reclaim(this, RECLAIM_BATCH) > 0;
  }

  #view(page: Page, bytes: number): Uint8Array {
    const { memory } = this;
    const index = memory.at(page.pa);
    return new Uint8Array(memory.words.buffer, memory.words.byteOffset + index * 4, bytes);
  }

  /** A port may throw anything, such as Node's own errors: to a process it is an I/O error. */
  #fileError(file: BackingFile, error: unknown): IommuError {
    const refused = error instanceof IommuError ? error : new IommuError('EIO', `${file.name}: ${String(error)}`);
    this.#onFileError?.(file, refused);
    return refused;
  }
}
