import type { InvalidationScope } from './invalidationScope.ts';

/** An invalidation that waits for transactions to end. */
interface Drain {
  left: number;
  readonly complete: () => void;
}

/** A translated transaction on its way. Whoever submits one extends this with what else it needs to know. */
export class Flight {
  tag = 0;
  lo = 0;
  hi = 0;
  /** Its place among the others; -1 when it is not on its way. */
  place = -1;
  /** Invalidations that wait for it. */
  readonly drains: Drain[] = [];
}

const PAGE_SHIFT = 12; // no transaction crosses 4 KiB

/**
 * The translated transactions that are on their way, so that an invalidation completes only after the last one that
 * used what it drops. PCI Express Base §10.3.3.
 */
export class Flights {
  /** Invalidations that wait. */
  draining = 0;
  readonly #flights: Flight[] = [];

  get count(): number {
    return this.#flights.length;
  }

  /** A transaction that uses the translation with that tag is about to be sent. */
  begin(flight: Flight, tag: number, lo: number, hi: number): void {
    flight.tag = tag;
    flight.lo = lo;
    flight.hi = hi;
    flight.place = this.#flights.length;
    this.#flights.push(flight);
  }

  /** It has ended. Completes the invalidations that waited for nothing else. */
  end(flight: Flight): void {
    const last = this.#flights.pop()!;
    if (last !== flight) {
      this.#flights[flight.place] = last;
      last.place = flight.place;
    }
    flight.place = -1;
    if (flight.drains.length > 0) this.#release(flight);
  }

  /** Calls `complete` when no transaction on its way uses what an invalidation drops: perhaps at once. */
  drain(scope: InvalidationScope, complete: () => void): void {
    const drain: Drain = { left: 0, complete };
    for (const flight of this.#flights)
      if (scope.covers(flight.tag, flight.lo, flight.hi, PAGE_SHIFT)) {
        flight.drains.push(drain);
        drain.left += 1;
      }
    if (drain.left > 0) this.draining += 1;
    else complete();
  }

  #release(flight: Flight): void {
    for (const drain of flight.drains.splice(0)) {
      drain.left -= 1;
      if (drain.left > 0) continue;
      this.draining -= 1;
      drain.complete();
    }
  }
}
