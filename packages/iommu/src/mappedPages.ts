/**
 * Finds memory that is given back while a device can still reach it. Off unless asked for: it counts every mapped page.
 * Linux drivers/iommu/iommu-debug-pagealloc.c.
 */
import { FRAME_BYTES, hex, IommuError, type Iova, type Pa } from '@smmu/platform';
import type { Domain } from './domain.ts';

/** How many mappings lead to each 4 KiB frame, over all domains that one {@link Iommu} maps. */
export class MappedPages {
  readonly #counts: Map<number, number> = new Map();
  // Where the pages of the unmap in progress lead, from before they go.
  readonly #going: (Pa | -1)[] = [];

  /** Frames that at least one mapping leads to. */
  get frames(): number {
    return this.#counts.size;
  }

  /** Mappings that lead to the frame around `pa`. */
  mappings(pa: Pa): number {
    return this.#counts.get(Math.floor(pa / FRAME_BYTES)) ?? 0;
  }

  /**
   * To be called when memory is given back.
   * @throws {@link IommuError} `EBUSY` if a mapping still leads to any of it: a device could write into its next owner.
   */
  checkUnmapped(pa: Pa, bytes: number): void {
    for (let at = pa; at < pa + bytes; at += FRAME_BYTES)
      if (this.mappings(at) > 0)
        throw new IommuError(
          'EBUSY',
          `${hex(at)} is given back, but ${this.mappings(at)} IOMMU mapping(s) still lead there: unmap first`,
        );
  }

  /** Counts a mapping of `bytes` bytes that was made. */
  add(pa: Pa, bytes: number): void {
    for (let frame = Math.floor(pa / FRAME_BYTES); frame < (pa + bytes) / FRAME_BYTES; frame += 1)
      this.#counts.set(frame, (this.#counts.get(frame) ?? 0) + 1);
  }

  /** Notes where a range leads before it is unmapped. A domain that cannot tell is not tracked. */
  removeBegin(domain: Domain, iova: Iova, bytes: number, pageBytes: number): void {
    this.#going.length = 0;
    for (let at = iova; at < iova + bytes; at += pageBytes) this.#going.push(domain.iovaToPhys?.(at) ?? -1);
  }

  /** Drops what `unmapped` bytes of the range noted last led to. */
  removeEnd(unmapped: number, pageBytes: number): void {
    for (const pa of this.#going.slice(0, Math.floor(unmapped / pageBytes))) {
      if (pa === -1) continue;
      for (let frame = Math.floor(pa / FRAME_BYTES); frame < (pa + pageBytes) / FRAME_BYTES; frame += 1) {
        const left = (this.#counts.get(frame) ?? 0) - 1;
        if (left > 0) this.#counts.set(frame, left);
        else this.#counts.delete(frame);
      }
    }
    this.#going.length = 0;
  }
}
