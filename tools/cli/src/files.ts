import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { BackingFile } from '@smmu/arm64-mm';
import type { ResizableFile } from '@smmu/machine';
import { type ErrorCode, IommuError } from '@smmu/platform';
import { explain, systemCode, UsageError } from './errors.ts';

/** What a file that is neither regular nor a directory is called. */
function kindOf(stats: Stats): string {
  if (stats.isCharacterDevice()) return 'a character device';
  if (stats.isBlockDevice()) return 'a block device';
  if (stats.isFIFO()) return 'a pipe';
  return 'a socket';
}

/** Two names of one file: hard links and all. */
const same = (a: Stats, b: Stats): boolean => a.dev === b.dev && a.ino === b.ino;

/** What the file system reported, as the packages want it. */
function toIommuError(path: string, error: unknown): IommuError {
  const code = systemCode(error);
  const full = code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG';
  const mapped: ErrorCode = full ? 'ENOSPC' : 'EIO';
  return new IommuError(mapped, `${path}: ${(error as Error).message}`);
}

/** Read ahead in pieces of this size: a fault a page would be a system call a page. */
const READ_AHEAD = 2 ** 17;

/** The file that a process maps to read. */
export class InputFile implements BackingFile {
  readonly name: string;
  readonly size: number;
  readonly readonly = true;
  readonly stats: Stats;
  /** What the file system last refused. */
  failure: unknown;
  readonly #fd: number;
  readonly #ahead: Uint8Array = new Uint8Array(READ_AHEAD);
  #aheadStart = -1;

  /** @throws UsageError if it is missing, unreadable, or not a regular file. */
  constructor(path: string, shown: string) {
    this.name = shown;
    try {
      // Looked at first: opening a pipe would wait for whoever writes to it.
      refuseSpecial(statSync(path), shown);
      this.#fd = openSync(path, 'r');
    } catch (error) {
      throw explain(shown, error);
    }
    try {
      this.stats = fstatSync(this.#fd);
      refuseSpecial(this.stats, shown);
      this.size = this.stats.size;
      if (this.size === 0 && readSync(this.#fd, new Uint8Array(1), 0, 1, 0) > 0)
        throw new UsageError(
          `${shown}: has contents but no size, so it cannot be mapped; copy it to a real file first`,
        );
    } catch (error) {
      closeSync(this.#fd);
      throw explain(shown, error);
    }
  }

  readPage(offset: number, target: Uint8Array): void {
    const start = offset - (offset % READ_AHEAD);
    const length = Math.min(target.length, this.size - offset);
    if (start !== this.#aheadStart) {
      this.#aheadStart = -1;
      this.read(start, this.#ahead, Math.min(READ_AHEAD, this.size - start));
      this.#aheadStart = start;
    }
    target.set(this.#ahead.subarray(offset - start, offset - start + length));
  }

  writePage(): void {
    throw new IommuError('EPERM', `${this.name} was opened to read`);
  }

  /** Reads exactly `length` bytes. @throws IommuError `EIO` */
  read(offset: number, target: Uint8Array, length: number): void {
    try {
      for (let done = 0; done < length; ) {
        const count = readSync(this.#fd, target, done, length - done, offset + done);
        if (count === 0) throw new IommuError('EIO', `${this.name} became shorter while it was read`);
        done += count;
      }
    } catch (error) {
      this.failure = error;
      throw error instanceof IommuError ? error : toIommuError(this.name, error);
    }
  }

  /** Whether somebody wrote to the file since it was opened. */
  get changed(): boolean {
    const now = fstatSync(this.#fd);
    return now.size !== this.size || now.mtimeMs !== this.stats.mtimeMs;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function refuseSpecial(stats: Stats, shown: string): void {
  if (stats.isDirectory()) throw new UsageError(`${shown}: is a directory; name a file in it`);
  if (!stats.isFile()) throw new UsageError(`${shown}: is ${kindOf(stats)}; only regular files can be mapped`);
}

/**
 * A file that appears whole or not at all: written beside its place under another name, and renamed when it is right.
 * Whatever ends the program calls {@link discard}.
 */
export class PendingFile {
  /** Where it will be; symbolic links followed. */
  readonly path: string;
  readonly shown: string;
  readonly temporary: string;
  readonly fd: number;
  #state: 'open' | 'closed' | 'gone' = 'open';

  /**
   * @param others - Files that must not be replaced, with what to call them.
   * @throws UsageError if the place cannot be written, is not a regular file, or is one of `others`.
   */
  constructor(path: string, shown: string, others: readonly { readonly stats: Stats; readonly what: string }[]) {
    this.shown = shown;
    try {
      const existing = statSync(path, { throwIfNoEntry: false });
      if (existing !== undefined) {
        if (existing.isDirectory()) throw new UsageError(`${shown}: is a directory; name a file in it`);
        if (!existing.isFile()) throw new UsageError(`${shown}: is ${kindOf(existing)}; name a regular file`);
        for (const { stats, what } of others)
          if (same(existing, stats)) throw new UsageError(`${shown}: is ${what} itself; name another file`);
      }
      this.path = existing === undefined ? path : realpathSync(path);
      this.temporary = join(dirname(this.path), `.${basename(this.path)}.${process.pid}.tmp`);
      this.fd = openSync(this.temporary, 'wx+');
    } catch (error) {
      const code = systemCode(error);
      if (code === 'ENOENT')
        throw new UsageError(`${shown}: its directory does not exist; create it first, or choose another`);
      if (code === 'EACCES' || code === 'EPERM')
        throw new UsageError(`${shown}: you may not write there; choose another place`);
      throw explain(shown, error);
    }
  }

  get stats(): Stats {
    return fstatSync(this.fd);
  }

  /** Closes it and puts it in its place. @throws UsageError if the file system refuses. */
  commit(): void {
    this.close();
    try {
      renameSync(this.temporary, this.path);
      this.#state = 'gone';
    } catch (error) {
      throw explain(this.shown, error);
    }
  }

  close(): void {
    if (this.#state !== 'open') return;
    this.#state = 'closed';
    try {
      closeSync(this.fd); // some file systems say only now that the disk is full
    } catch (error) {
      throw explain(this.shown, error);
    }
  }

  /** Takes away what was written, unless it is in its place. */
  discard(): void {
    if (this.#state === 'gone') return;
    try {
      this.close();
    } finally {
      rmSync(this.temporary, { force: true });
      this.#state = 'gone';
    }
  }
}

/** The pending output as a process maps it. */
export class OutputFile implements ResizableFile {
  readonly name: string;
  size = 0;
  /** What the file system last refused. */
  failure: unknown;
  readonly #fd: number;
  #written = 0; // beyond this it reads as zeros

  constructor(file: PendingFile) {
    this.name = file.shown;
    this.#fd = file.fd;
  }

  resize(bytes: number): void {
    this.#try(() => ftruncateSync(this.#fd, bytes));
    this.size = bytes;
    this.#written = Math.min(this.#written, bytes);
  }

  readPage(offset: number, target: Uint8Array): void {
    let done = 0;
    this.#try(() => {
      while (done < target.length && offset + done < this.#written) {
        const count = readSync(this.#fd, target, done, target.length - done, offset + done);
        if (count === 0) break;
        done += count;
      }
    });
    target.fill(0, done);
  }

  writePage(offset: number, source: Uint8Array): void {
    this.#try(() => {
      for (let done = 0; done < source.length; )
        done += writeSync(this.#fd, source, done, source.length - done, offset + done);
    });
    this.#written = Math.max(this.#written, offset + source.length);
  }

  #try(access: () => void): void {
    try {
      access();
    } catch (error) {
      this.failure = error;
      throw toIommuError(this.name, error);
    }
  }
}

/** Text that is written in large pieces. */
export class TextWriter {
  readonly #file: PendingFile;
  #pieces: string[] = [];
  #length = 0;
  constructor(file: PendingFile) {
    this.#file = file;
  }
  readonly write = (text: string): void => {
    this.#pieces.push(text);
    this.#length += text.length;
    if (this.#length >= 2 ** 18) this.flush();
  };
  /** @throws UsageError if the file system refuses. */
  flush(): void {
    const bytes = Buffer.from(this.#pieces.join(''));
    this.#pieces = [];
    this.#length = 0;
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(this.#file.fd, bytes, done);
    } catch (error) {
      throw explain(this.#file.shown, error);
    }
  }
}
