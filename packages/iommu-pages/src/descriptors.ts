/**
 * What is known about each allocation, kept beside the memory and never in it: a walker may still read a table that
 * waits on a freelist, so a table's own words cannot hold the link (Linux `struct ioptdesc`, iommu-pages.h).
 *
 * An allocation is named by a handle, a small integer: the index of its first frame, or `-2 - unit` for one that is
 * smaller than a frame, where a unit is 64 bytes of a slab.
 */

/** The handle of nothing: the end of a list. */
export const NONE = -1;
/** The smallest allocation: a 52-bit walker wants its root on 64 bytes, however few entries it has. */
export const UNIT_BYTES = 64;
export const UNITS_PER_FRAME = 64;

// A state byte. The order (0 to 18) and the class of a slot (0 to 5) fit below the flags; SLAB is no order.
/** Frames: log2 of how many. Slots: log2 of how many units. */
export const ORDER_MASK = 0x1f;
/** Instead of an order: the frame is cut into slots. */
export const SLAB = 0x1f;
/** A walker that does not snoop has been told of it. */
export const INCOHERENT = 0x20;
/** It is on a list, waiting to be freed. */
export const LISTED = 0x40;
export const LIVE = 0x80;

/** State and list link of every frame and of every unit of every slab. */
export class Descriptors {
  readonly frameState: Uint8Array;
  readonly frameNext: Int32Array;
  /** Grown with the slabs. */
  unitState: Uint8Array = new Uint8Array(0);
  unitNext: Int32Array = new Int32Array(0);

  constructor(frames: number) {
    this.frameState = new Uint8Array(frames);
    this.frameNext = new Int32Array(frames);
  }

  /** Makes room for `slabs` slabs. */
  growUnits(slabs: number): void {
    const state = new Uint8Array(slabs * UNITS_PER_FRAME);
    const next = new Int32Array(slabs * UNITS_PER_FRAME);
    state.set(this.unitState);
    next.set(this.unitNext);
    this.unitState = state;
    this.unitNext = next;
  }

  state(handle: number): number {
    return handle >= 0 ? this.frameState[handle]! : this.unitState[-2 - handle]!;
  }

  setState(handle: number, state: number): void {
    if (handle >= 0) this.frameState[handle] = state;
    else this.unitState[-2 - handle] = state;
  }

  next(handle: number): number {
    return handle >= 0 ? this.frameNext[handle]! : this.unitNext[-2 - handle]!;
  }

  setNext(handle: number, next: number): void {
    if (handle >= 0) this.frameNext[handle] = next;
    else this.unitNext[-2 - handle] = next;
  }
}
