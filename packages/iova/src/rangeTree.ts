/**
 * The ranges of pages that are taken, in a balanced tree that knows the largest gap under each of its nodes.
 * The highest gap that a request fits into is found in a few steps, where Linux's iova.c walks from range to range
 * (`__alloc_and_insert_iova_range`) behind a cached starting point.
 *
 * A B+ tree with 32 entries a node, everything in descending order, because that is the order in which IOVAs are given:
 * a new range is appended and shifts nothing. A leaf's entry is a range and the order (gap.ts) of the gap right below
 * it; an inner entry is a child and the largest order in it. An anchor above the last page is always there, so every
 * gap has an entry. Nodes are freed when they are empty and not before: with inserts and deletes mixed that costs less
 * than it saves (Johnson and Shasha, "B-Trees with Inserts and Deletes: Why Free-at-Empty Is Better Than Merge-at-Half").
 */
import { type Fit, gapOrder, place, setFit } from './gap.ts';

const FAN = 32; // one bit of a mask each
const ALL = -1;
const MAX_HEIGHT = 12;

/** Index of the lowest set bit of a word that is not 0. */
const lowestBit = (word: number): number => 31 - Math.clz32(word & -word);

/** A set of disjoint ranges of whole pages, both ends inclusive. Pages are numbers below 2^53. */
export class RangeTree {
  /** Ranges in the tree. */
  size = 0;
  readonly #top: number;

  // Per entry, FAN a node.
  #low: Float64Array; // leaf: first page. Inner: a page not above any of the child's and above all of the next child's
  #last: Float64Array; // leaf: last page
  #child: Int32Array; // inner
  #order: Uint8Array;
  // Per node.
  #count: Uint8Array;
  #mask: Int32Array; // which entries have an order above 0
  #floor: Float64Array; // leaf: where the gap below its last entry begins
  #nodes = 1;
  readonly #spare: number[] = [];

  #root = 0;
  #height = 0; // levels above the leaves
  // The way to the entry that the last search found, from the root to the leaf.
  readonly #node: Int32Array = new Int32Array(MAX_HEIGHT);
  readonly #slot: Int32Array = new Int32Array(MAX_HEIGHT);
  // While only one kind of request comes, nothing above the last answer can fit: the search goes on from there.
  #lastPages = 0; // 0: the way leads elsewhere by now
  #lastAligned = false;
  #lastLimit = 0;
  readonly #fit: Fit = { pages: 0, alignShift: 0, minOrder: 0 };

  /**
   * @param first - Lowest page that may be taken.
   * @param top - Highest page that may be taken.
   */
  constructor(first: number, top: number) {
    this.#top = top;
    this.#low = new Float64Array(FAN);
    this.#last = new Float64Array(FAN);
    this.#child = new Int32Array(FAN);
    this.#order = new Uint8Array(FAN);
    this.#count = new Uint8Array(1);
    this.#mask = new Int32Array(1);
    this.#floor = new Float64Array(1);
    this.#low[0] = top + 1;
    this.#last[0] = top + 1;
    this.#order[0] = gapOrder(first, top + 1);
    this.#count[0] = 1;
    this.#mask[0] = 1;
    this.#floor[0] = first;
  }

  /**
   * Takes the highest range of `pages` pages that ends at `limit` or below.
   * @param sizeAligned - Aligns it to the next power of two of its size.
   * @returns Its first page, or -1 if there is no such gap.
   */
  takeTopmost(pages: number, sizeAligned: boolean, limit: number): number {
    const fit = this.#fit;
    let page: number;
    if (pages === this.#lastPages && limit === this.#lastLimit && sizeAligned === this.#lastAligned) {
      const height = this.#height;
      page = this.#search(fit, height, this.#mask[this.#node[height]!]! & (ALL << this.#slot[height]!));
    } else {
      setFit(fit, pages, sizeAligned);
      page = limit >= this.#top ? this.#search(fit, 0, this.#mask[this.#root]!) : this.#searchBelow(fit, limit);
    }
    if (page < 0) {
      this.#lastPages = 0;
      return -1;
    }
    this.#insert(page, page + pages - 1);
    this.#lastPages = pages;
    this.#lastAligned = sizeAligned;
    this.#lastLimit = limit;
    return page;
  }

  /** Takes the range `[low, last]`, all of which must be free. */
  take(low: number, last: number): void {
    this.#entryAbove(low);
    this.#insert(low, last);
  }

  /** Frees the range `[low, last]`. Returns false if there is none with exactly these ends. */
  free(low: number, last: number): boolean {
    if (low > this.#top) return false; // the anchor stays
    const leaf = this.#descend(low);
    const slot = this.#slotAt(leaf, low);
    const entry = leaf * FAN + slot;
    if (slot === this.#count[leaf] || this.#low[entry] !== low || this.#last[entry] !== last) return false;
    this.#slot[this.#height] = slot;
    this.#remove(leaf, slot);
    return true;
  }

  /** The range that covers `page`, or undefined. */
  find(page: number): { low: number; last: number } | undefined {
    const leaf = this.#descend(page);
    const slot = this.#slotAt(leaf, page);
    const entry = leaf * FAN + slot;
    if (page > this.#top || slot === this.#count[leaf] || this.#last[entry]! < page) return undefined;
    return { low: this.#low[entry]!, last: this.#last[entry]! };
  }

  /** First page of the lowest range that begins above `page`; the page above the top if there is none. */
  nextAbove(page: number): number {
    this.#entryAbove(Math.min(page, this.#top));
    return this.#low[this.#node[this.#height]! * FAN + this.#slot[this.#height]!]!;
  }

  /** All ranges from the highest to the lowest. The tree must not change meanwhile. */
  *ranges(): Generator<{ low: number; last: number }, void> {
    yield* this.#rangesOf(this.#root, this.#height);
  }

  *#rangesOf(node: number, height: number): Generator<{ low: number; last: number }, void> {
    for (let entry = node * FAN; entry < node * FAN + this.#count[node]!; entry++)
      if (height > 0) yield* this.#rangesOf(this.#child[entry]!, height - 1);
      else if (this.#low[entry]! <= this.#top) yield { low: this.#low[entry]!, last: this.#last[entry]! };
  }

  // Searching.

  /** Finds the way to the leaf that has or would have a range at `page`. */
  #descend(page: number): number {
    this.#lastPages = 0;
    const low = this.#low;
    const height = this.#height;
    let node = this.#root;
    for (let depth = 0; depth < height; depth++) {
      let entry = node * FAN;
      const end = entry + this.#count[node]! - 1; // the last child has all that is left, whatever its key says
      while (entry < end && low[entry]! > page) entry += 1;
      this.#node[depth] = node;
      this.#slot[depth] = entry - node * FAN;
      node = this.#child[entry]!;
    }
    this.#node[height] = node;
    return node;
  }

  /** The first entry of a leaf that begins at `page` or below; the leaf's count if none does. */
  #slotAt(leaf: number, page: number): number {
    const low = this.#low;
    const count = this.#count[leaf]!;
    let slot = 0;
    while (slot < count && low[leaf * FAN + slot]! > page) slot += 1;
    return slot;
  }

  /** Finds the way to the lowest entry that begins above `page`: the one whose gap or whose lower neighbour has it. */
  #entryAbove(page: number): void {
    const slot = this.#slotAt(this.#descend(page), page);
    this.#slot[this.#height] = slot;
    if (slot > 0) this.#slot[this.#height] = slot - 1;
    else this.#stepUp();
  }

  /** Turns the way to a leaf's first entry into the way to the last entry of the leaf above. The anchor's has none. */
  #stepUp(): void {
    let depth = this.#height - 1;
    while (this.#slot[depth] === 0) depth -= 1;
    this.#slot[depth]! -= 1;
    for (; depth < this.#height; depth++) {
      const child = this.#child[this.#node[depth]! * FAN + this.#slot[depth]!]!;
      this.#node[depth + 1] = child;
      this.#slot[depth + 1] = this.#count[child]! - 1;
    }
  }

  /**
   * Finds the way to the highest entry with a gap that fits.
   * @param depth - Where to begin: at the root, or at the end of the way found so far.
   * @param mask - Entries of that node that are in question. Of its ancestors all that are lower are.
   * @returns The page to take, or -1.
   */
  #search(fit: Fit, depth: number, mask: number): number {
    const height = this.#height;
    const order = this.#order;
    let node = depth === 0 ? this.#root : this.#node[depth]!;
    this.#node[depth] = node;
    for (;;) {
      if (mask === 0) {
        if (depth === 0) return -1;
        depth -= 1;
        node = this.#node[depth]!;
        mask = this.#mask[node]! & ~((2 << this.#slot[depth]!) - 1);
        continue;
      }
      const slot = lowestBit(mask);
      mask &= mask - 1;
      const entry = node * FAN + slot;
      if (order[entry]! < fit.minOrder) continue;
      this.#slot[depth] = slot;
      if (depth < height) {
        node = this.#child[entry]!;
        depth += 1;
        this.#node[depth] = node;
        mask = this.#mask[node]!;
      } else {
        const page = place(fit, this.#gapStart(node, slot), this.#low[entry]!);
        if (page >= 0) return page;
      }
    }
  }

  /** The gap around the limit counts up to the limit only. Everything below it counts in full. */
  #searchBelow(fit: Fit, limit: number): number {
    this.#entryAbove(limit);
    const height = this.#height;
    const node = this.#node[height]!;
    const slot = this.#slot[height]!;
    const page = place(fit, this.#gapStart(node, slot), limit + 1);
    return page >= 0 ? page : this.#search(fit, height, this.#mask[node]! & ~((2 << slot) - 1));
  }

  /** Where the gap below an entry of a leaf begins. */
  #gapStart(leaf: number, slot: number): number {
    return slot + 1 < this.#count[leaf]! ? this.#last[leaf * FAN + slot + 1]! + 1 : this.#floor[leaf]!;
  }

  // Changing.

  /** Puts a range into the gap below the entry that was found. The way then leads to the range. */
  #insert(low: number, last: number): void {
    const height = this.#height;
    if (this.#count[this.#node[height]!] === FAN) this.#split(height);
    const leaf = this.#node[this.#height]!;
    const slot = this.#slot[this.#height]!;
    const start = this.#gapStart(leaf, slot);
    const entry = leaf * FAN + slot;
    this.#lowerKeys(low);

    this.#open(leaf, slot + 1);
    this.#low[entry + 1] = low;
    this.#last[entry + 1] = last;
    const before = this.#order[entry]!;
    const upper = gapOrder(last + 1, this.#low[entry]!);
    const lower = gapOrder(start, low);
    this.#setOrder(leaf, slot, upper);
    this.#setOrder(leaf, slot + 1, lower);
    this.#passUp(this.#height, before, upper > lower ? upper : lower);
    this.#slot[this.#height] = slot + 1;
    this.size += 1;
  }

  /** The entry above inherits the gap, which may be in another leaf. */
  #remove(leaf: number, slot: number): void {
    const start = this.#gapStart(leaf, slot);
    const before = this.#order[leaf * FAN + slot]!;
    this.#close(leaf, slot);
    this.size -= 1;
    let heir = leaf;
    if (slot > 0) this.#slot[this.#height] = slot - 1;
    else {
      const height = this.#height;
      this.#passUp(height, before, 0);
      if (this.#count[leaf] === 0) this.#unlink(height);
      this.#entryAbove(start); // nothing is left between it and the gap
      heir = this.#node[this.#height]!;
      this.#floor[heir] = start;
    }
    const heirSlot = this.#slot[this.#height]!;
    const order = gapOrder(start, this.#low[heir * FAN + heirSlot]!);
    this.#setOrder(heir, heirSlot, order);
    this.#passUp(this.#height, 0, order);
  }

  /** A range may lie below what the keys on the way to it say, since they are not kept up when ranges go. */
  #lowerKeys(low: number): void {
    for (let depth = 0; depth < this.#height; depth++) {
      const entry = this.#node[depth]! * FAN + this.#slot[depth]!;
      if (this.#low[entry]! > low) this.#low[entry] = low;
    }
  }

  /** An entry at `depth` of the way went from order `before` to `after`: the nodes above learn their largest. */
  #passUp(depth: number, before: number, after: number): void {
    while (depth > 0) {
      const child = this.#node[depth]!;
      depth -= 1;
      const node = this.#node[depth]!;
      const slot = this.#slot[depth]!;
      const old = this.#order[node * FAN + slot]!;
      if (after < old) {
        if (before < old) return; // another entry is larger than either
        after = this.#largest(child);
      }
      if (after === old) return;
      this.#setOrder(node, slot, after);
      before = old;
    }
  }

  #largest(node: number): number {
    const order = this.#order;
    let largest = 0;
    for (let mask = this.#mask[node]!; mask !== 0; mask &= mask - 1) {
      const each = order[node * FAN + lowestBit(mask)]!;
      if (each > largest) largest = each;
    }
    return largest;
  }

  #setOrder(node: number, slot: number, order: number): void {
    this.#order[node * FAN + slot] = order;
    if (order > 0) this.#mask[node]! |= 1 << slot;
    else this.#mask[node]! &= ~(1 << slot);
  }

  /** Makes room for an entry at `slot`. */
  #open(node: number, slot: number): void {
    const low = this.#low;
    const last = this.#last;
    const child = this.#child;
    const order = this.#order;
    const first = node * FAN + slot;
    for (let entry = node * FAN + this.#count[node]!; entry > first; entry--) {
      low[entry] = low[entry - 1]!;
      last[entry] = last[entry - 1]!;
      child[entry] = child[entry - 1]!;
      order[entry] = order[entry - 1]!;
    }
    this.#count[node]! += 1;
    const mask = this.#mask[node]!;
    const kept = (1 << slot) - 1;
    this.#mask[node] = (mask & kept) | ((mask & ~kept) << 1);
  }

  /** Takes the entry at `slot` out. */
  #close(node: number, slot: number): void {
    const low = this.#low;
    const last = this.#last;
    const child = this.#child;
    const order = this.#order;
    const end = node * FAN + this.#count[node]! - 1;
    for (let entry = node * FAN + slot; entry < end; entry++) {
      low[entry] = low[entry + 1]!;
      last[entry] = last[entry + 1]!;
      child[entry] = child[entry + 1]!;
      order[entry] = order[entry + 1]!;
    }
    this.#count[node]! -= 1;
    const mask = this.#mask[node]!;
    const kept = (1 << slot) - 1;
    this.#mask[node] = (mask & kept) | ((mask >>> 1) & ~kept);
  }

  /** Makes two of the full node at `depth` of the way; the way then leads to the same entry as before. */
  #split(depth: number): void {
    if (depth === 0) {
      this.#growRoot();
      depth = 1;
    } else if (this.#count[this.#node[depth - 1]!] === FAN) {
      const height = this.#height;
      this.#split(depth - 1);
      depth += this.#height - height;
    }
    const lower = this.#newNode();
    const upper = this.#node[depth]!;
    const slot = this.#slot[depth]!;
    // Ranges come from the top down: where one is appended, more will follow, so the upper node stays full.
    const kept = slot === FAN - 1 ? FAN - 1 : FAN / 2;
    const [to, from, end] = [lower * FAN, upper * FAN + kept, upper * FAN + FAN];
    this.#low.copyWithin(to, from, end);
    this.#last.copyWithin(to, from, end);
    this.#child.copyWithin(to, from, end);
    this.#order.copyWithin(to, from, end);
    this.#count[lower] = FAN - kept;
    this.#count[upper] = kept;
    this.#mask[lower] = this.#mask[upper]! >>> kept;
    this.#mask[upper]! &= (1 << kept) - 1;

    const parent = this.#node[depth - 1]!;
    const parentSlot = this.#slot[depth - 1]!;
    const entry = parent * FAN + parentSlot;
    this.#open(parent, parentSlot + 1);
    this.#child[entry + 1] = lower;
    this.#low[entry + 1] = this.#low[entry]!;
    if (depth === this.#height) {
      this.#floor[lower] = this.#floor[upper]!;
      this.#floor[upper] = this.#last[to]! + 1;
      this.#low[entry] = this.#floor[upper]!;
    } else this.#low[entry] = this.#low[end - FAN + kept - 1]!;
    this.#setOrder(parent, parentSlot, this.#largest(upper));
    this.#setOrder(parent, parentSlot + 1, this.#largest(lower));
    if (slot >= kept) {
      this.#node[depth] = lower;
      this.#slot[depth] = slot - kept;
      this.#slot[depth - 1]! += 1;
    }
  }

  /** Puts a root above the old one; the split that asked for it fills in what the root knows of its child. */
  #growRoot(): void {
    const old = this.#root;
    const root = this.#newNode();
    this.#child[root * FAN] = old;
    this.#low[root * FAN] = 0;
    this.#count[root] = 1;
    this.#mask[root] = 0;
    this.#root = root;
    this.#node.copyWithin(1, 0);
    this.#slot.copyWithin(1, 0);
    this.#node[0] = root;
    this.#slot[0] = 0;
    this.#height += 1;
  }

  /** Takes the empty node at `depth` of the way out of the tree. The anchor keeps the root from becoming empty. */
  #unlink(depth: number): void {
    this.#spare.push(this.#node[depth]!);
    depth -= 1;
    const node = this.#node[depth]!;
    const slot = this.#slot[depth]!;
    const entry = node * FAN + slot;
    if (slot > 0) this.#low[entry - 1] = this.#low[entry]!; // the neighbour above answers for its pages
    this.#close(node, slot);
    if (this.#count[node] === 0) this.#unlink(depth);
    while (this.#height > 0 && this.#count[this.#root] === 1) {
      this.#spare.push(this.#root);
      this.#root = this.#child[this.#root * FAN]!;
      this.#height -= 1;
    }
  }

  #newNode(): number {
    const spare = this.#spare.pop();
    if (spare !== undefined) return spare;
    if (this.#nodes === this.#count.length) this.#growArrays(this.#nodes * 2);
    return this.#nodes++;
  }

  #growArrays(nodes: number): void {
    const grown = <A extends { set(from: A): void }>(to: A, from: A): A => {
      to.set(from);
      return to;
    };
    this.#low = grown(new Float64Array(nodes * FAN), this.#low);
    this.#last = grown(new Float64Array(nodes * FAN), this.#last);
    this.#child = grown(new Int32Array(nodes * FAN), this.#child);
    this.#order = grown(new Uint8Array(nodes * FAN), this.#order);
    this.#count = grown(new Uint8Array(nodes), this.#count);
    this.#mask = grown(new Int32Array(nodes), this.#mask);
    this.#floor = grown(new Float64Array(nodes), this.#floor);
  }
}
