/**
 * Table pointers that a walk can begin with instead of at the first table. IHI 0070 §3.17, §4.4: they are dropped by
 * invalidations with Leaf=0 only.
 */
import type { TableRange } from './tableRange.ts';
import {
  CLASS_OF_SHIFT,
  frameHi,
  frameLo,
  META_CLASS_SHIFT,
  META_TOP_SHIFT,
  PAGE_MASK,
  type TagCache,
  TOP_MASK,
} from './tagCache.ts';

/** In an entry's bits: the level of the table that it points to. The upper bits are what tables above took away. */
export const POINTER_LEVEL = 3;

/** The handle of the entry nearest to the leaf, or -1. */
export function deepest(cache: TagCache, range: TableRange, number: number, page: number, top: number): number {
  let reach = range.granuleShift + range.stride;
  for (let level = 3; level > range.startLevel; level--) {
    const size = CLASS_OF_SHIFT[reach]!;
    if ((cache.present & (1 << size)) !== 0) {
      const meta = number | ((top & TOP_MASK[size]!) << META_TOP_SHIFT) | (size << META_CLASS_SHIFT);
      const handle = cache.find(page & PAGE_MASK[size]!, meta);
      if (handle >= 0) return handle;
    }
    reach += range.stride;
  }
  return -1;
}

/**
 * Keeps a pointer.
 * @param shift - log2 of the bytes that the table at `table` covers.
 */
export function keepPointer(
  cache: TagCache,
  number: number,
  page: number,
  top: number,
  shift: number,
  bits: number,
  table: number,
): void {
  const size = CLASS_OF_SHIFT[shift]!;
  const meta = number | ((top & TOP_MASK[size]!) << META_TOP_SHIFT) | (size << META_CLASS_SHIFT);
  const hi = (table * 2 ** -32) | 0;
  cache.insert(page & PAGE_MASK[size]!, meta, bits | frameHi(hi), frameLo(table | 0, hi));
}
