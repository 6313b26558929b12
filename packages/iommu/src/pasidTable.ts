/**
 * What a group keeps by PASID (Linux `iommu_group.pasid_array`, an xarray).
 *
 * Not a Map: PASIDs are given out lowest first, so the same number comes and goes all the time, and V8 leaves each of its
 * deleted entries in the key's hash chain until the table is rebuilt. Among 2^16 others that made it 300 times slower.
 */
const PAGE_SHIFT = 8;
const PAGE_ENTRIES = 1 << PAGE_SHIFT;

/** Values by small whole numbers, in ascending order. */
export class PasidTable<T> {
  /** Numbers that have a value. */
  size = 0;
  readonly #pages: (T | undefined)[][] = [];

  get(pasid: number): T | undefined {
    if (pasid >>> 0 !== pasid) return undefined; // whatever a caller made up must not fall onto another number
    return this.#pages[pasid >>> PAGE_SHIFT]?.[pasid & (PAGE_ENTRIES - 1)];
  }

  /** Gives a number that has none a value. */
  add(pasid: number, value: T): void {
    const page = pasid >>> PAGE_SHIFT;
    while (this.#pages.length <= page) this.#pages.push([]);
    const entries = this.#pages[page]!;
    if (entries.length === 0) for (let i = 0; i < PAGE_ENTRIES; i++) entries.push(undefined);
    entries[pasid & (PAGE_ENTRIES - 1)] = value;
    this.size += 1;
  }

  /** Takes the value of a number that has one. */
  remove(pasid: number): void {
    this.#pages[pasid >>> PAGE_SHIFT]![pasid & (PAGE_ENTRIES - 1)] = undefined;
    this.size -= 1;
  }

  *[Symbol.iterator](): Generator<[number, T], void> {
    for (const [page, entries] of this.#pages.entries())
      for (const [i, value] of entries.entries()) if (value !== undefined) yield [page * PAGE_ENTRIES + i, value];
  }
}
