/** What should be mapped: an interval map that knows nothing of tables. Offsets from the start of a table's range. */
export interface Interval {
  start: number;
  end: number;
  /** Output of `start`. */
  pa: number;
  readonly prot: number;
  /** Size of the leaves that it is made of. */
  readonly leafBytes: number;
}

export class IntervalMap {
  readonly list: Interval[] = [];

  /** Index of the first interval that ends after `at`. */
  #from(at: number): number {
    let low = 0;
    let high = this.list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.list[middle]!.end > at) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  find(at: number): Interval | undefined {
    const one = this.list[this.#from(at)];
    return one !== undefined && one.start <= at ? one : undefined;
  }

  /** First address in `[start, end)` that is mapped, or -1. */
  firstMapped(start: number, end: number): number {
    const one = this.list[this.#from(start)];
    return one !== undefined && one.start < end ? Math.max(one.start, start) : -1;
  }

  add(interval: Interval): void {
    this.list.splice(this.#from(interval.start), 0, interval);
  }

  /** Takes `[start, end)` out. */
  remove(start: number, end: number): void {
    for (let i = this.#from(start); i < this.list.length && this.list[i]!.start < end; ) {
      const one = this.list[i]!;
      const rest: Interval[] = [];
      if (one.start < start) rest.push({ ...one, end: start });
      if (one.end > end) rest.push({ ...one, start: end, pa: one.pa + (end - one.start) });
      this.list.splice(i, 1, ...rest);
      i += rest.length;
    }
  }

  /** Makes the leaf of `bytes` around `at` one of leaves of `leafBytes`. */
  split(at: number, bytes: number, leafBytes: number): void {
    const one = this.find(at)!;
    const start = at - (at % bytes);
    this.remove(start, start + bytes);
    this.add({ start, end: start + bytes, pa: one.pa + (start - one.start), prot: one.prot, leafBytes });
  }

  get(at: number): number {
    const one = this.find(at);
    return one === undefined ? -1 : one.pa + (at - one.start);
  }
}
