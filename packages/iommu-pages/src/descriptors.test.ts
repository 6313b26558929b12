import { describe, expect, it } from 'vitest';
import {
  Descriptors,
  INCOHERENT,
  LISTED,
  LIVE,
  NONE,
  ORDER_MASK,
  SLAB,
  UNIT_BYTES,
  UNITS_PER_FRAME,
} from './descriptors.ts';

// What the kernel asserts at compile time of `struct ioptdesc` against `struct page` (iommu-pages.c).
describe('the layout of a state byte', () => {
  it('flags and order do not overlap and fill eight bits', () => {
    const fields = [ORDER_MASK, INCOHERENT, LISTED, LIVE];
    expect(fields.reduce((sum, mask) => sum + mask, 0)).toBe(0xff);
    expect(fields.reduce((union, mask) => union | mask, 0)).toBe(0xff);
  });

  it('the order of 1 GiB fits, and is not mistaken for a slab', () => {
    expect(SLAB & ~ORDER_MASK).toBe(0);
    expect(SLAB).toBeGreaterThan(18);
  });

  it('units fill a frame, and none is smaller than what a 52-bit walker takes for a root', () => {
    expect(UNIT_BYTES * UNITS_PER_FRAME).toBe(4096);
    expect(UNIT_BYTES).toBe(64);
  });
});

describe('a handle names a frame or a unit', () => {
  it('and each has a state and a link of its own', () => {
    const descriptors = new Descriptors(4);
    descriptors.growUnits(2);
    const handles = [0, 1, 3, -2, -3, -2 - 127];
    for (const [i, handle] of handles.entries()) {
      descriptors.setState(handle, i + 1);
      descriptors.setNext(handle, handles[i + 1] ?? NONE);
    }
    descriptors.growUnits(4); // keeps what is there
    for (const [i, handle] of handles.entries()) {
      expect(descriptors.state(handle)).toBe(i + 1);
      expect(descriptors.next(handle)).toBe(handles[i + 1] ?? NONE);
    }
  });
});
