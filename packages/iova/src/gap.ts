/**
 * What fits into a gap. A gap `[start, end)` of pages is summed up in one small number, its order: one more than the
 * exponent of the largest naturally aligned power of two that lies in it, 0 if it is empty. DMA mappings are aligned to
 * their size (Linux `alloc_iova` with `size_aligned`), so the order answers exactly what they ask.
 */

/** Powers of two as doubles: a page number can have 52 bits, and a shift keeps 32. */
const POWERS = Float64Array.from({ length: 54 }, (_, exponent) => 2 ** exponent);
const INVERSES = Float64Array.from({ length: 54 }, (_, exponent) => 2 ** -exponent);

/** Exponent of the largest power of two not above `pages`, which is at least 1. */
export function floorLog2(pages: number): number {
  return pages < 2 ** 31 ? 31 - Math.clz32(pages) : 61 - Math.clz32(pages * 2 ** -30);
}

/** Exponent of the smallest power of two not below `pages`, which is at least 1 (Linux `order_base_2`). */
export function ceilLog2(pages: number): number {
  return pages === 1 ? 0 : floorLog2(pages - 1) + 1;
}

/** Order of the gap `[start, end)`. */
export function gapOrder(start: number, end: number): number {
  const pages = end - start;
  if (pages <= 0) return 0;
  const exponent = floorLog2(pages);
  // If its own power of two does not fit aligned, the next smaller one does: two of those in a row fit at any offset.
  const power = POWERS[exponent]!;
  return Math.ceil(start * INVERSES[exponent]!) * power + power <= end ? exponent + 1 : exponent;
}

/** What to look for: pages, their alignment, and which orders a gap must have to be worth a look. */
export interface Fit {
  pages: number;
  /** Exponent of the alignment in pages. */
  alignShift: number;
  /** A gap of a lower order cannot hold it. */
  minOrder: number;
}

/** Fills `fit` for a request, aligned to the next power of two or not at all. */
export function setFit(fit: Fit, pages: number, sizeAligned: boolean): void {
  const exponent = ceilLog2(pages);
  fit.pages = pages;
  fit.alignShift = sizeAligned ? exponent : 0;
  if (POWERS[exponent] === pages && sizeAligned) fit.minOrder = exponent + 1;
  else if (sizeAligned)
    fit.minOrder = exponent; // holds an aligned half of what it is aligned to
  // A gap without an aligned 2^n has at most 2^(n+1) - 2 pages.
  else fit.minOrder = Math.max(1, ceilLog2(pages + 2) - 1);
}

/** Highest page at which the request fits into the gap `[start, end)`, or -1. */
export function place(fit: Fit, start: number, end: number): number {
  const page = Math.floor((end - fit.pages) * INVERSES[fit.alignShift]!) * POWERS[fit.alignShift]!;
  return page >= start ? page : -1;
}
