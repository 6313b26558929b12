import { IommuPages } from '@smmu/iommu-pages';
import { FrameAllocator, SystemMemory } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { allocPgtable } from './pageTable.ts';
import { PROT } from './types.ts';

const RW = PROT.READ | PROT.WRITE;
function board() {
  const memory = new SystemMemory([{ base: 2 ** 30, size: 2 ** 28 }]);
  const frames = new FrameAllocator(2 ** 30, 2 ** 28);
  return { memory, frames, pages: new IommuPages({ memory, frames: [frames] }) };
}

describe('smoke', () => {
  it.each([12, 14, 16] as const)('granule 2^%i', (granuleShift) => {
    const { memory, pages } = board();
    const table = allocPgtable({ pages, memory, stage: 1, granuleShift, iasBits: 48, oasBits: 48 });
    for (const size of table.pageSizes) {
      table.mapPages(size * 5, size * 7, size, 2, RW);
      expect(table.iovaToPhys(size * 6 + 42)).toBe(size * 8 + 42);
      expect(() => table.mapPages(size * 6, size * 7, size, 1, RW)).toThrow(
        expect.objectContaining({ code: 'EEXIST' }),
      );
      expect(table.unmapPages(size * 5, size, 3)).toBe(2 * size);
      expect(table.iovaToPhys(size * 6 + 42)).toBe(-1);
    }
    table.free();
    expect(pages.livePages).toBe(0);
  });
});
