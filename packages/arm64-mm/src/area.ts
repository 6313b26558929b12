/**
 * Areas: which addresses of a process mean what (Linux `struct vm_area_struct`, mm/vma.c). They are kept sorted, do not
 * overlap, and two neighbours that could be one area are one.
 */
import { hex, IommuError, type Va } from '@smmu/platform';
import type { FileCache } from './pageCache.ts';

/** What an area is of. A `guard` reserves addresses: every access is a bad address. */
export type AreaKind = 'anonymous' | 'private' | 'shared' | 'guard';

/** What an area allows. As on arm64 without EPAN, what may be written or executed may be read. */
export interface Protection {
  readonly read: boolean;
  readonly write: boolean;
  readonly exec?: boolean;
}

/** One area, as a caller sees it. */
export interface AreaInfo {
  readonly start: Va;
  /** First byte after it. */
  readonly end: Va;
  readonly kind: AreaKind;
  readonly write: boolean;
  readonly exec: boolean;
  /** Whether any access is allowed. */
  readonly accessible: boolean;
  /** Byte of the file at `start`. */
  readonly fileOffset: number;
  readonly fileName: string | undefined;
}

export class Area implements AreaInfo {
  start: Va;
  end: Va;
  readonly kind: AreaKind;
  accessible: boolean;
  write: boolean;
  exec: boolean;
  /** Its pages' file; each area holds one reference. */
  readonly cache: FileCache | null;
  fileOffset: number;

  constructor(start: Va, end: Va, kind: AreaKind, protection: Protection, cache: FileCache | null, fileOffset: number) {
    this.start = start;
    this.end = end;
    this.kind = kind;
    this.accessible = false;
    this.write = false;
    this.exec = false;
    this.protect(protection);
    this.cache = cache;
    this.fileOffset = fileOffset;
    cache?.get();
  }

  get fileName(): string | undefined {
    return this.cache?.file.name;
  }

  protect({ read, write, exec = false }: Protection): void {
    const allowed = this.kind !== 'guard';
    this.accessible = allowed && (read || write || exec);
    this.write = allowed && write;
    this.exec = allowed && exec;
  }

  /** Byte of the file that `va` shows. */
  offsetOf(va: Va): number {
    return this.fileOffset + (va - this.start);
  }

  /** A copy of `[start, end)` of it, with a reference of its own. */
  part(start: Va, end: Va): Area {
    const protection = { read: this.accessible, write: this.write, exec: this.exec };
    return new Area(start, end, this.kind, protection, this.cache, this.cache === null ? 0 : this.offsetOf(start));
  }

  /** Whether `next`, which begins where this ends, could be a part of this. */
  continues(next: Area): boolean {
    return (
      this.end === next.start &&
      this.kind === next.kind &&
      this.accessible === next.accessible &&
      this.write === next.write &&
      this.exec === next.exec &&
      this.cache === next.cache &&
      (this.cache === null || this.offsetOf(next.start) === next.fileOffset)
    );
  }
}

/** The areas of one address space. */
export class AreaList {
  readonly #areas: Area[] = [];
  readonly #maximum: number;
  #last: Area | undefined; // the area of the last look-up: faults come in runs

  /** @param maximum - Areas that there may be (sysctl vm.max_map_count). */
  constructor(maximum: number) {
    this.#maximum = maximum;
  }

  get count(): number {
    return this.#areas.length;
  }

  at(index: number): Area | undefined {
    return this.#areas[index];
  }

  /** The area that `va` is in. */
  find(va: Va): Area | undefined {
    const last = this.#last;
    if (last !== undefined && va >= last.start && va < last.end) return last;
    const area = this.#areas[this.indexFrom(va)];
    if (area === undefined || va < area.start) return undefined;
    this.#last = area;
    return area;
  }

  /** Index of the first area that ends after `va`, or the count of areas. */
  indexFrom(va: Va): number {
    let low = 0;
    let high = this.#areas.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#areas[middle]!.end > va) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Whether anything is in `[start, end)`. */
  overlaps(start: Va, end: Va): boolean {
    const area = this.#areas[this.indexFrom(start)];
    return area !== undefined && area.start < end;
  }

  /** Whether all of `[start, end)` is in areas. */
  covers(start: Va, end: Va): boolean {
    for (let i = this.indexFrom(start); start < end; i++) {
      const area = this.#areas[i];
      if (area === undefined || area.start > start) return false;
      start = area.end;
    }
    return true;
  }

  /**
   * The highest place for `bytes` bytes in `[bottom, top)`, or -1 (Linux `vm_unmapped_area` from the top down).
   * It is where the kernel puts a mapping whose address the caller leaves open.
   */
  gap(bytes: number, bottom: Va, top: Va): Va {
    for (let i = this.indexFrom(top - 1); ; i--) {
      const above = this.#areas[i];
      const below = this.#areas[i - 1];
      const end = Math.min(top, above?.start ?? top);
      const start = Math.max(bottom, below?.end ?? bottom);
      if (end - start >= bytes) return end - bytes;
      if (below === undefined) return -1;
    }
  }

  /**
   * Makes room for what a split may add.
   * @throws {@link IommuError} `ENOMEM` if there are too many areas.
   */
  reserve(more: number): void {
    if (this.#areas.length + more > this.#maximum)
      throw new IommuError('ENOMEM', `${this.#areas.length} areas: there may be ${this.#maximum}`);
  }

  /** Adds an area where none is. */
  insert(area: Area): void {
    const index = this.indexFrom(area.start);
    this.#areas.splice(index, 0, area);
    this.merge(area.start, area.end);
  }

  /** How many splits it takes for `[start, end)` to begin and end with an area. */
  splitsFor(start: Va, end: Va): number {
    return Number(this.#strictlyInside(start) !== undefined) + Number(this.#strictlyInside(end) !== undefined);
  }

  /** Makes an area begin at `va`, if `va` is inside one (Linux `__split_vma`). */
  split(va: Va): void {
    const area = this.#strictlyInside(va);
    if (area === undefined) return;
    const upper = area.part(va, area.end);
    area.end = va;
    this.#areas.splice(this.indexFrom(va), 0, upper);
  }

  /** Takes off the areas in `[start, end)`, which begins and ends with an area or a hole. Their references stay. */
  cut(start: Va, end: Va): Area[] {
    const from = this.indexFrom(start);
    this.#last = undefined;
    return this.#areas.splice(from, this.indexFrom(end) - from);
  }

  /** Joins what can be one area, in and around `[start, end)` (Linux `vma_merge`). */
  merge(start: Va, end: Va): void {
    let kept = Math.max(0, this.indexFrom(start) - 1);
    let i = kept + 1;
    for (; i < this.#areas.length && this.#areas[i]!.start <= end; i++) {
      const area = this.#areas[kept]!;
      const next = this.#areas[i]!;
      if (area.continues(next)) {
        area.end = next.end;
        next.cache?.dropReference();
      } else this.#areas[++kept] = next;
    }
    this.#areas.splice(kept + 1, i - kept - 1);
    this.#last = undefined;
  }

  /** The area that `va` is in without being its first byte. */
  #strictlyInside(va: Va): Area | undefined {
    const area = this.#areas[this.indexFrom(va)];
    return area !== undefined && area.start < va ? area : undefined;
  }
}

/** `[start, start + bytes)` as text, for messages. */
export const span = (start: Va, bytes: number): string => `[${hex(start)}, ${hex(start + bytes)})`;
