/** A share of the ID space with a quota, as one owner (a guest, a driver) has it: Linux `struct ioasid_set`, ioasid.h. */

/** A set of IDs as its users see it. {@link IoasidAllocator.createSet} makes one. */
export interface IoasidSet extends Iterable<number> {
  readonly name: string;
  /** IDs that it may hold at most. */
  readonly quota: number;
  /** IDs charged to it: those in use and those in quarantine. */
  readonly size: number;
  /** Whether the ID is charged to this set. */
  has(id: number): boolean;
  /** What it holds now, ascending. The array is the caller's. */
  ids(): Int32Array;
  /** Ascending over what it held when the iteration began, less what has gone meanwhile: IDs may be put on the way. */
  [Symbol.iterator](): Generator<number, void>;
}

/** The set as the allocator sees it: a dense list of members, and in `slots` where in the list each ID stands. */
export class MemberSet implements IoasidSet {
  readonly name: string;
  /** Number of the set inside its allocator, from 1. */
  readonly index: number;
  quota: number;
  size = 0;
  #members: Int32Array = new Int32Array(16);
  readonly #slots: Int32Array;

  /** @param slots - Place in the list of each ID; one array for all sets of an allocator, as an ID is in one at most. */
  constructor(name: string, index: number, quota: number, slots: Int32Array) {
    this.name = name;
    this.index = index;
    this.quota = quota;
    this.#slots = slots;
  }

  has(id: number): boolean {
    const slot = this.#slots[id];
    return slot !== undefined && slot < this.size && this.#members[slot] === id;
  }

  ids(): Int32Array {
    return this.#members.slice(0, this.size).sort();
  }

  *[Symbol.iterator](): Generator<number, void> {
    for (const id of this.ids()) if (this.has(id)) yield id;
  }

  add(id: number): void {
    if (this.size === this.#members.length) {
      const larger = new Int32Array(this.size * 2);
      larger.set(this.#members);
      this.#members = larger;
    }
    this.#members[this.size] = id;
    this.#slots[id] = this.size;
    this.size += 1;
  }

  /** Takes a member out; the last of the list fills the gap. */
  remove(id: number): void {
    const slot = this.#slots[id]!;
    this.size -= 1;
    const moved = this.#members[this.size]!;
    this.#members[slot] = moved;
    this.#slots[moved] = slot;
  }
}
