/**
 * The file behind a mapping, as a port: an in-memory array in a test, a file descriptor in a tool
 * (Linux `struct address_space_operations`: read_folio and writepage).
 */

/**
 * A file whose pages a process maps. Both calls are synchronous. Offsets are bytes, multiples of the granule.
 * One object is one file: mappings of the same object share their pages, two objects share nothing.
 */
export interface BackingFile {
  readonly name: string;
  /** Bytes. May change while mapped; an access beyond the page that holds the last byte is a bus error. */
  readonly size: number;
  /** If true, no shared mapping of it may be writable. */
  readonly readonly?: boolean;
  /**
   * Fills one page. Bytes beyond the end of the file need not be written: the caller clears them.
   * @param target - One granule, straight in the process's memory unless somebody watches the stores. Do not keep it.
   * @throws IommuError (`EIO`) if it cannot be read; the access that needed it is a bus error.
   */
  readPage(offset: number, target: Uint8Array): void;
  /**
   * Takes the contents of one page.
   * @param source - One granule, or less at the end of the file: never beyond `size`. Do not keep it.
   * @throws IommuError (`EIO`, `ENOSPC`) if it cannot be written; the page stays dirty and in memory.
   */
  writePage(offset: number, source: Uint8Array): void;
}
