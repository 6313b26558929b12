/**
 * Taking pages of files away when memory runs short (Linux mm/vmscan.c `shrink_folio_list`). A page that was used since
 * the hand of the clock came by last gets a second chance. Anonymous pages stay: there is no swap.
 *
 * The order is: clear every entry, flush (an SMMU forgets the page), write the page back if it is dirty, free the frame.
 */
import type { Random } from '@smmu/platform';
import type { Page } from './page.ts';
import { testAndClearReferenced, unmapEverywhere } from './rmap.ts';
import { TlbBatch } from './tlb.ts';
import { RECLAIM_BATCH, type Zone } from './zone.ts';

/** One call's work: pages without entries whose flush is still owed. */
class Reclaimer {
  readonly #batch: TlbBatch = new TlbBatch();
  readonly #victims: Page[] = [];
  freed = 0;
  /** Pages that their files refused to take. */
  refused = 0;

  /** Pages freed, or about to be. */
  get taken(): number {
    return this.freed + this.#victims.length;
  }

  /** Whether the page was used lately; it is not taken then. */
  spares(page: Page): boolean {
    const referenced = testAndClearReferenced(page, this.#batch);
    if (this.#batch.size >= RECLAIM_BATCH) this.finish();
    return referenced;
  }

  take(page: Page): void {
    unmapEverywhere(page, this.#batch);
    page.pins += 1; // not to be taken twice
    this.#victims.push(page);
    if (this.#victims.length >= RECLAIM_BATCH) this.finish();
  }

  finish(): void {
    this.#batch.flush();
    for (const page of this.#victims) {
      page.pins -= 1;
      const cache = page.cache!;
      // A page that the file refuses is still the only copy: it stays, dirty, and can be mapped again.
      if (page.dirty && cache.writeBack(page) !== undefined) this.refused += 1;
      else {
        cache.evict(page);
        this.freed += 1;
      }
    }
    this.#victims.length = 0;
  }
}

/**
 * Takes up to `pages` pages away, the least recently used first, as far as one pass of second chances can tell.
 * @returns How many were freed.
 */
export function reclaim(zone: Zone, pages: number): number {
  const reclaimer = new Reclaimer();
  // Twice around: the first time may only clear access flags.
  for (let scan = 2 * zone.clock.size; scan > 0 && reclaimer.taken < pages; scan--) {
    const page = zone.clock.hand;
    if (page === null) break;
    zone.clock.advance();
    if (page.pins > 0 || reclaimer.spares(page)) continue;
    reclaimer.take(page);
    if (reclaimer.refused >= RECLAIM_BATCH) break; // the disk is full: more will not fit either
  }
  reclaimer.finish();
  return reclaimer.freed;
}

/**
 * Takes up to `pages` pages away, whichever `random` says, however recently used.
 * @returns How many were freed.
 */
export function reclaimRandom(zone: Zone, pages: number, random: Random): number {
  const reclaimer = new Reclaimer();
  for (let left = Math.min(pages, zone.clock.size); left > 0 && zone.clock.size > 0; ) {
    const page = zone.clock.draw(random);
    if (page.pins > 0)
      reclaimer.finish(); // drawn twice: let it go, and draw again
    else {
      reclaimer.take(page);
      left -= 1;
    }
  }
  reclaimer.finish();
  return reclaimer.freed;
}
