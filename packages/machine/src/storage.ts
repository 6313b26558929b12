import type { BackingFile } from '@smmu/arm64-mm';
import type { Scheduler } from '@smmu/platform';
import type { ResizableFile } from './process/gzipProcess.ts';

/** A fast local disk: so long until a page is there, and so many bytes in each nanosecond. */
const ACCESS_NS = 1500;
const BYTES_PER_NS = 4;

/**
 * A file on a disk that takes time: virtual time passes with each page, so that a device's other transactions pile up
 * while one of its pages is fetched, as they do on a real board.
 */
export class StorageInput implements BackingFile {
  protected readonly file: BackingFile;
  readonly #scheduler: Scheduler;

  constructor(file: BackingFile, scheduler: Scheduler) {
    this.file = file;
    this.#scheduler = scheduler;
  }

  get name(): string {
    return this.file.name;
  }
  get size(): number {
    return this.file.size;
  }
  get readonly(): boolean {
    return this.file.readonly ?? false;
  }

  readPage(offset: number, target: Uint8Array): void {
    this.file.readPage(offset, target);
    this.#pass(target.length);
  }

  writePage(offset: number, source: Uint8Array): void {
    this.file.writePage(offset, source);
    this.#pass(source.length);
  }

  #pass(bytes: number): void {
    this.#scheduler.advance(ACCESS_NS + Math.ceil(bytes / BYTES_PER_NS));
  }
}

/** A {@link StorageInput} that can also be made longer and shorter. */
export class StorageOutput extends StorageInput implements ResizableFile {
  declare protected readonly file: ResizableFile;

  resize(bytes: number): void {
    this.file.resize(bytes);
  }
}
