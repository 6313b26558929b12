/**
 * Short numbers for what a TLB tag says besides the address: stream world, ASID, VMID. IHI 0070 §3.17.
 * Real TLBs store the identifiers; sixteen bits that stand for them keep a set of entries in one cache line.
 */

/** Whose translations an entry holds: always part of a tag. */
export const WORLD_EL1 = 0;
/** Stage 2 alone: the input is an IPA, the tag a VMID. */
export const WORLD_S2 = 1;
export const WORLD_EL2 = 2;
export const WORLD_E2H = 3;

const LIMIT = 2 ** 16;

export class TagNumbers {
  readonly #maps: readonly Map<number, number>[] = [new Map(), new Map(), new Map(), new Map()];
  readonly #worlds: Uint8Array = new Uint8Array(LIMIT);
  /** ASID above, VMID below. */
  readonly #ids: Int32Array = new Int32Array(LIMIT);
  #used = 0;
  // The last one asked for: invalidations come in runs of one ASID.
  #lastWorld = -1;
  #lastId = 0;
  #lastNumber = 0;
  /** Called when all numbers are taken and they start over: every entry must go. */
  onExhausted: () => void = () => {};

  /** The number of an identifier, given out at first sight. {@link reserve} makes room first. */
  of(world: number, asid: number, vmid: number): number {
    const known = this.find(world, asid, vmid);
    if (known >= 0) return known;
    const number = this.#used++;
    const id = (asid << 16) | vmid;
    this.#maps[world]!.set(id, number);
    this.#worlds[number] = world;
    this.#ids[number] = id;
    this.#lastWorld = -1;
    return number;
  }

  /** Makes sure that `count` new numbers can be had. If not, all are taken back, and whoever holds one must forget it. */
  reserve(count: number): void {
    if (this.#used + count <= LIMIT) return;
    for (const map of this.#maps) map.clear();
    this.#used = 0;
    this.#lastWorld = -1;
    this.onExhausted();
  }

  /** The number of an identifier, or -1 if it never had one: then no entry has it. */
  find(world: number, asid: number, vmid: number): number {
    const id = (asid << 16) | vmid;
    if (world === this.#lastWorld && id === this.#lastId) return this.#lastNumber;
    this.#lastWorld = world;
    this.#lastId = id;
    return (this.#lastNumber = this.#maps[world]!.get(id) ?? -1);
  }

  worldOf(number: number): number {
    return this.#worlds[number]!;
  }
  asidOf(number: number): number {
    return this.#ids[number]! >>> 16;
  }
  vmidOf(number: number): number {
    return this.#ids[number]! & 0xffff;
  }
}
