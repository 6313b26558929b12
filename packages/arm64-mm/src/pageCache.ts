/**
 * The page cache: the pages of files that are in memory, one copy for all who map the file (Linux mm/filemap.c,
 * `struct address_space`). A file is cached from its first area to its last; with the last area goes what is cached,
 * written back first if it is dirty.
 */
import type { IommuError } from '@smmu/platform';
import type { BackingFile } from './backingFile.ts';
import type { Page } from './page.ts';
import type { Zone } from './zone.ts';

/** The pages of one file. */
export class FileCache {
  readonly file: BackingFile;
  readonly #zone: Zone;
  readonly #pages: Map<number, Page> = new Map(); // by offset in granules
  #references = 0; // one for each area

  constructor(zone: Zone, file: BackingFile) {
    this.#zone = zone;
    this.file = file;
  }

  /** One more area. */
  get(): void {
    this.#references += 1;
  }

  /** One area less, where others are known to stay. */
  dropReference(): void {
    this.#references -= 1;
  }

  /** One area less. With the last one everything is written back and freed; nothing may be mapped then. */
  put(): void {
    this.#references -= 1;
    if (this.#references > 0) return;
    this.#zone.caches.delete(this.file);
    for (const page of this.#pages.values()) {
      // Nobody is left who could be told, and nobody who could try again: the contents are lost.
      if (page.dirty && this.writeBack(page) !== undefined) this.#zone.counters.pagesLost += 1;
      this.#zone.clock.remove(page);
      this.#zone.free(page);
    }
    this.#pages.clear();
  }

  /** Whether `offset` is beyond the page that holds the file's last byte. */
  isBeyondEnd(offset: number): boolean {
    return offset >= this.file.size;
  }

  /** The page at `offset` if it is in memory. */
  find(offset: number): Page | undefined {
    return this.#pages.get(offset / this.#zone.granuleBytes);
  }

  /**
   * The page at `offset`, read if it is not in memory (Linux `filemap_fault`).
   * @returns null if there is no frame for it, undefined if it cannot be read.
   */
  read(offset: number): Page | null | undefined {
    const zone = this.#zone;
    const index = offset / zone.granuleBytes;
    const cached = this.#pages.get(index);
    if (cached !== undefined) return cached;
    const page = zone.allocate();
    if (page === null) return null;
    if (zone.fill(page, this.file, offset, this.file.size - offset) !== undefined) {
      zone.free(page);
      return undefined;
    }
    page.cache = this;
    page.offset = offset;
    this.#pages.set(index, page);
    zone.clock.add(page);
    zone.counters.pagesRead += 1;
    return page;
  }

  /**
   * Writes a dirty page that no entry allows to write (Linux `pageout`). It is clean afterwards, or still dirty if the
   * file refuses.
   * @returns Why the file refused, or undefined.
   */
  writeBack(page: Page): IommuError | undefined {
    const zone = this.#zone;
    const bytes = Math.min(this.file.size - page.offset, zone.granuleBytes);
    page.dirty = false; // before the write: who dirties it meanwhile wins
    if (bytes <= 0) return undefined; // the file has become shorter: nothing to write to
    const error = zone.drain(page, this.file, bytes);
    if (error === undefined) zone.counters.pagesWritten += 1;
    else {
      page.dirty = true;
      zone.counters.writeErrors += 1;
    }
    return error;
  }

  /** Frees a page that nothing maps, for reclaim. */
  evict(page: Page): void {
    this.#pages.delete(page.offset / this.#zone.granuleBytes);
    this.#zone.counters.pagesReclaimed += 1;
    this.#zone.clock.remove(page);
    this.#zone.free(page);
  }

  /** The pages in memory whose offset is in `[start, end)`, by the cheaper of two ways. */
  *pagesIn(start: number, end: number): Generator<Page> {
    const { granuleBytes } = this.#zone;
    if ((end - start) / granuleBytes > this.#pages.size) {
      for (const page of this.#pages.values()) if (page.offset >= start && page.offset < end) yield page;
      return;
    }
    for (let offset = start; offset < end; offset += granuleBytes) {
      const page = this.find(offset);
      if (page !== undefined) yield page;
    }
  }
}
