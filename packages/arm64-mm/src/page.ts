/**
 * What is known of one data page, beside the memory and never in it (Linux `struct page`, mm_types.h).
 *
 * Who frees: an anonymous page goes with its last mapping; a page of a file goes when it is reclaimed, or with the last
 * area of its file. In both cases after the notifiers have been told of every entry that named it.
 */
import type { Pa, Va } from '@smmu/platform';
import type { Mm } from './mm.ts';
import type { FileCache } from './pageCache.ts';

/** One granule of memory that processes see. */
export class Page {
  /** First byte. */
  readonly pa: Pa;
  /** Page table entries that name it (Linux `_mapcount`). */
  mapCount = 0;
  /** The file it belongs to, or null for an anonymous page. */
  cache: FileCache | null = null;
  /** Byte of the file that it begins with. */
  offset = 0;
  /** Of a file: it differs from what the file has. An entry that hardware made writable may know more. */
  dirty = false;
  /** Of a file: it was used through an entry that is gone since (Linux `PG_referenced`). */
  referenced = false;
  /** While above 0 it stays: somebody works on it. */
  pins = 0;

  // Reverse map, of file pages only (rmap.ts): one mapping in place, further ones in a table.
  mm: Mm | null = null;
  va: Va = 0;
  others: Map<Mm, Set<Va>> | null = null;

  // Place among the pages that can be reclaimed (clock.ts).
  previous: Page | null = null;
  next: Page | null = null;
  slot = -1;

  constructor(pa: Pa) {
    this.pa = pa;
  }
}
