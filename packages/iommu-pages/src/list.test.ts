import { FrameAllocator, SystemMemory } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { IommuPagesList } from './list.ts';
import { IommuPages } from './pages.ts';

const MIB = 2 ** 20;
const code = (name: string) => expect.objectContaining({ code: name });

function board() {
  const memory = new SystemMemory([{ base: 2 ** 30, size: 4 * MIB }]);
  const frames = new FrameAllocator(2 ** 30, 4 * MIB);
  return { frames, pages: new IommuPages({ memory, frames: [frames] }) };
}

const inOrder = (list: IommuPagesList): number[] => {
  const found: number[] = [];
  list.forEach((pa) => {
    found.push(pa);
  });
  return found;
};

describe('a list keeps allocations until they are freed together', () => {
  it('of all sizes, in the order in which they were added', () => {
    const { frames, pages } = board();
    const list = new IommuPagesList(pages);
    expect(list.empty).toBe(true);
    const all = [4096, 64, 16384, 1024, 64, 4096].map((bytes) => pages.allocPages(bytes));
    for (const pa of all) list.add(pa);
    expect(list.empty).toBe(false);
    expect(inOrder(list)).toEqual(all);
    expect(pages.livePages).toBe(1 + 1 + 4 + 1 + 1);
    pages.putPagesList(list);
    expect(list.empty).toBe(true);
    expect(inOrder(list)).toEqual([]);
    expect(frames.freeFrames).toBe(frames.totalFrames);
    expect([pages.livePages, pages.liveBytes]).toEqual([0, 0]);
  });

  it('can be used again, and an empty one can be put', () => {
    const { frames, pages } = board();
    const list = new IommuPagesList(pages);
    pages.putPagesList(list);
    for (let round = 0; round < 3; round++) {
      list.add(pages.allocPages(4096));
      list.add(pages.allocPages(64));
      pages.putPagesList(list);
    }
    expect(frames.freeFrames).toBe(frames.totalFrames);
  });

  it('tables keep their contents while they wait: a walker may still read them', () => {
    const { pages } = board();
    const list = new IommuPagesList(pages);
    for (const bytes of [4096, 64]) {
      const pa = pages.allocPages(bytes);
      const last = pages.allocPages(bytes);
      for (let offset = 0; offset < bytes; offset += 8) pages.memory.write64(pa + offset, 0x1234_5678, offset);
      list.add(pa);
      list.add(last);
      for (let offset = 0; offset < bytes; offset += 8) {
        pages.memory.read64(pa + offset);
        expect([pages.memory.lo, pages.memory.hi]).toEqual([0x1234_5678, offset]);
      }
    }
  });

  it('splice moves all to the end, and leaves the other empty', () => {
    const { pages } = board();
    const [one, two, three] = [new IommuPagesList(pages), new IommuPagesList(pages), new IommuPagesList(pages)];
    const all = Array.from({ length: 5 }, () => pages.allocPages(4096));
    one.add(all[0]!);
    one.add(all[1]!);
    two.add(all[2]!);
    two.add(all[3]!);
    one.splice(two);
    expect([inOrder(one), inOrder(two)]).toEqual([all.slice(0, 4), []]);
    one.splice(two); // nothing from an empty one
    one.splice(one); // nor from itself
    three.splice(one); // into an empty one
    three.add(all[4]!);
    expect([inOrder(three), one.empty]).toEqual([all, true]);
    two.add(pages.allocPages(64));
    expect(inOrder(two).length).toBe(1);
  });
});

describe('an allocation is on one list at most', () => {
  it.each([64, 4096])('%i bytes', (bytes) => {
    const { pages } = board();
    const list = new IommuPagesList(pages);
    const pa = pages.allocPages(bytes);
    list.add(pa);
    expect(() => list.add(pa)).toThrow(code('EBUSY'));
    expect(() => new IommuPagesList(pages).add(pa)).toThrow(code('EBUSY'));
    expect(() => pages.freePages(pa)).toThrow(code('EBUSY'));
    expect(() => pages.freeIncoherent(pa)).toThrow(code('EBUSY'));
    expect(inOrder(list)).toEqual([pa]);
    expect(pages.isLive(pa)).toBe(true);
    pages.putPagesList(list);
    expect(pages.isLive(pa)).toBe(false);
    expect(() => list.add(pa)).toThrow(code('EINVAL'));
    list.add(pages.allocPages(bytes)); // the same memory, and not listed by its past
  });

  it('and of its own allocator', () => {
    const { pages } = board();
    const other = new IommuPagesList(board().pages);
    const list = new IommuPagesList(pages);
    for (const call of [
      () => list.splice(other),
      () => pages.putPagesList(other),
      () => pages.freeDeferred(other),
      () => pages.startIncoherentList(other),
      () => pages.stopIncoherentList(other),
    ])
      expect(call).toThrow(code('EINVAL'));
  });
});
