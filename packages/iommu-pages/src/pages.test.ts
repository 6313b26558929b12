import { FRAME_BYTES, FrameAllocator, SystemMemory } from '@smmu/platform';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IommuPages, NO_NODE } from './pages.ts';

const MIB = 2 ** 20;

function board({ bytes = 4 * MIB, base = 2 ** 30 }: { bytes?: number; base?: number } = {}) {
  const memory = new SystemMemory([{ base, size: bytes }]);
  const frames = new FrameAllocator(base, bytes);
  return { memory, frames, pages: new IommuPages({ memory, frames: [frames] }) };
}

/** Two nodes of 2 MiB each, apart from one another. */
function twoNodes() {
  const memory = new SystemMemory([
    { base: 2 ** 30, size: 2 * MIB, node: 0 },
    { base: 2 ** 33, size: 2 * MIB, node: 1 },
  ]);
  const near = new FrameAllocator(2 ** 30, 2 * MIB, 0);
  const far = new FrameAllocator(2 ** 33, 2 * MIB, 1);
  return { memory, near, far, pages: new IommuPages({ memory, frames: [near, far] }) };
}

describe('allocPages: by size', () => {
  it.each([
    [1, 64],
    [64, 64],
    [65, 128],
    [200, 256],
    [257, 512],
    [1000, 1024],
    [1025, 2048],
    [2049, 4096],
    [4096, 4096],
    [4097, 8192],
    [3 * 4096, 16384],
    [65536, 65536],
    [MIB, MIB],
    [2 * MIB, 2 * MIB],
  ])('%i bytes become %i, aligned to that', (asked, given) => {
    const { pages } = board();
    pages.allocPages(64); // so that the next one is not aligned by chance
    const pa = pages.allocPages(asked);
    expect(pages.sizeOf(pa)).toBe(given);
    expect(pa % given).toBe(0);
    expect(pages.liveBytes).toBe(64 + given);
  });

  it.each([0, -4096, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])('%d bytes are no size', (bytes) => {
    const { pages } = board();
    expect(() => pages.allocPages(bytes)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(pages.allocations).toBe(0);
  });

  it('more than 1 GiB is never one block', () => {
    const { pages } = board();
    expect(() => pages.allocPages(2 ** 30 + 1)).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
    expect(() => pages.allocPages(2 ** 40)).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
  });

  it.each([64, 1024, 4096, 16384, 4 * MIB])('%i bytes come zeroed, whatever was there before', (bytes) => {
    const { memory, pages } = board();
    for (let pa = 2 ** 30; pa < 2 ** 30 + 4 * MIB; pa += 2 * MIB) {
      const word = memory.at(pa);
      memory.words.fill(0xdead_beef, word, word + (2 * MIB) / 4);
    }
    const pa = pages.allocPages(bytes);
    const word = memory.at(pa);
    expect(memory.words.subarray(word, word + bytes / 4).every((value) => value === 0)).toBe(true);
    expect(memory.words[word + bytes / 4]).toBe(bytes === 4 * MIB ? undefined : 0xdead_beef);
  });

  it('blocks of RAM that is sparse are cleared piece by piece', () => {
    const memory = new SystemMemory([{ base: 0, size: 2 ** 34 }]);
    const pages = new IommuPages({ memory, frames: [new FrameAllocator(0, 16 * MIB)] });
    const pa = pages.allocPages(8 * MIB);
    for (let offset = 0; offset < 8 * MIB; offset += 2 * MIB) memory.write32(pa + offset + 2 * MIB - 4, 1);
    pages.freePages(pa);
    expect(pages.allocPages(8 * MIB)).toBe(pa);
    for (let offset = 0; offset < 8 * MIB; offset += 2 * MIB) {
      memory.read32(pa + offset + 2 * MIB - 4);
      expect(memory.lo).toBe(0);
    }
  });

  it('an observer sees the clearing', () => {
    const { memory, pages } = board();
    const seen: [number, number][] = [];
    memory.observer = (pa, bytes) => seen.push([pa, bytes]);
    const page = pages.allocPages(4096);
    const slot = pages.allocPages(64);
    expect(seen).toEqual([
      [page, 4096],
      [slot, 64],
    ]);
  });

  it('says ENOMEM when the frames are used up, and counts nothing for it', () => {
    const { frames, pages } = board();
    expect([pages.livePages, pages.peakPages]).toEqual([0, 0]);
    const all = pages.allocPages(4 * MIB);
    expect(frames.freeFrames).toBe(0);
    for (const bytes of [64, 4096, 8192])
      expect(() => pages.allocPages(bytes)).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
    expect(pages.livePages).toBe(1024);
    pages.freePages(all);
    expect(pages.livePages).toBe(0);
    expect(pages.peakPages).toBe(1024);
  });

  it('rounds within 64 bytes to 1 GiB for any size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 * MIB }), (bytes) => {
        const { pages } = board();
        const size = pages.sizeOf(pages.allocPages(bytes));
        expect(size).toBe(Math.max(64, 2 ** Math.ceil(Math.log2(bytes))));
      }),
      { numRuns: 200 },
    );
  });
});

describe('freePages: by address alone', () => {
  it.each([
    ['freed twice', (pa: number) => pa],
    ['in the middle of a block', (pa: number) => pa + FRAME_BYTES],
    ['inside the first frame', (pa: number) => pa + 64],
    ['not even aligned', (pa: number) => pa + 1],
    ['below the RAM', () => 2 ** 20],
    ['above the RAM', () => 2 ** 40],
  ])('refuses an address that is %s', (rule, wrong) => {
    const { pages } = board();
    const pa = pages.allocPages(3 * FRAME_BYTES);
    if (rule === 'freed twice') pages.freePages(pa);
    const before = pages.livePages;
    expect(() => pages.freePages(wrong(pa))).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(() => pages.sizeOf(wrong(pa))).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(pages.isLive(wrong(pa))).toBe(false);
    expect(pages.livePages).toBe(before);
  });

  it('gives every frame back', () => {
    const { frames, pages } = board();
    const all = [64, 128, 4096, 8192, 65536, 1000].map((bytes) => pages.allocPages(bytes));
    for (const pa of all) pages.freePages(pa);
    expect(frames.freeFrames).toBe(frames.totalFrames);
    expect([pages.livePages, pages.liveBytes, pages.nodePages(0)]).toEqual([0, 0, 0]);
  });
});

describe('sub-page sizes are packed', () => {
  it.each([64, 128, 256, 512, 1024, 2048])('%i-byte slots fill a frame before the next is taken', (bytes) => {
    const { frames, pages } = board();
    const perFrame = FRAME_BYTES / bytes;
    const slots = Array.from({ length: perFrame }, () => pages.allocPages(bytes));
    expect(pages.livePages).toBe(1);
    expect(new Set(slots).size).toBe(perFrame);
    expect(new Set(slots.map((pa) => Math.floor(pa / FRAME_BYTES))).size).toBe(1);
    const extra = pages.allocPages(bytes);
    expect(pages.livePages).toBe(2);
    pages.freePages(slots[perFrame - 1]!);
    expect(pages.allocPages(bytes)).toBe(slots[perFrame - 1]);
    pages.freePages(extra);
    for (const pa of slots) pages.freePages(pa);
    expect(frames.freeFrames).toBe(frames.totalFrames);
  });

  it('different sizes never share a frame', () => {
    const { pages } = board();
    const frame = (pa: number) => Math.floor(pa / FRAME_BYTES);
    expect(frame(pages.allocPages(64))).not.toBe(frame(pages.allocPages(128)));
  });

  it('refuses a slot that is free, between slots, or beyond the ones there are', () => {
    const { pages } = board();
    const pa = pages.allocPages(1024);
    for (const wrong of [pa + 1024, pa + 64, pa + 4])
      expect(() => pages.freePages(wrong)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    pages.freePages(pa);
    expect(() => pages.freePages(pa)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });

  it('slabs with room are filled whatever the order in which they got it', () => {
    const { frames, pages } = board();
    const slots = Array.from({ length: 8 }, () => pages.allocPages(2048)); // four full slabs
    for (const i of [0, 2, 4, 6]) pages.freePages(slots[i]!); // all have room now
    pages.freePages(slots[3]!); // one in the middle goes
    pages.freePages(slots[1]!); // and the one at the end
    expect(pages.livePages).toBe(2);
    const again = [pages.allocPages(2048), pages.allocPages(2048)];
    expect(new Set(again)).toEqual(new Set([slots[4], slots[6]]));
    for (const pa of [...again, slots[5]!, slots[7]!]) pages.freePages(pa);
    expect(frames.freeFrames).toBe(frames.totalFrames);
  });

  it('a slab number is used again, and many slabs can live', () => {
    const { frames, pages } = board();
    for (let round = 0; round < 3; round++) {
      const slots = Array.from({ length: 40 }, () => pages.allocPages(2048));
      expect(pages.livePages).toBe(20);
      for (const pa of slots) pages.freePages(pa);
    }
    expect(frames.freeFrames).toBe(frames.totalFrames);
  });
});

describe('NUMA nodes', () => {
  it.each([64, 4096])('%i bytes come from the preferred node, and from another when it is full', (bytes) => {
    const { far, pages } = twoNodes();
    expect(pages.allocPages(bytes, 1)).toBeGreaterThanOrEqual(2 ** 33);
    expect(pages.allocPages(bytes, 0)).toBeLessThan(2 ** 33);
    expect([pages.nodePages(0), pages.nodePages(1), pages.nodePages(2)]).toEqual([1, 1, 0]);
    far.fail = () => true;
    const full = Array.from({ length: bytes === 64 ? 64 : 1 }, () => pages.allocPages(bytes, 1));
    expect(full.at(-1)).toBeLessThan(2 ** 33);
  });

  it('a node that does not exist is no reason to fail', () => {
    const { pages } = twoNodes();
    expect(pages.allocPages(4096, 7)).toBeLessThan(2 ** 33);
  });

  it('without a preference the first node is used up first', () => {
    const { near, pages } = twoNodes();
    const all = Array.from({ length: 513 }, () => pages.allocPages(4096, NO_NODE));
    expect(near.freeFrames).toBe(0);
    expect(all.at(-1)).toBe(2 ** 33);
    for (const pa of all) pages.freePages(pa);
    expect([pages.nodePages(0), pages.nodePages(1)]).toEqual([0, 0]);
  });

  it('the two counters agree: one per node, one for all', () => {
    const { pages } = twoNodes();
    for (const [bytes, node] of [
      [64, 0],
      [8192, 1],
      [100, 1],
      [65536, 0],
    ] as const)
      pages.allocPages(bytes, node);
    expect(pages.nodePages(0) + pages.nodePages(1)).toBe(pages.livePages);
    expect(pages.nodePages(1)).toBe(3);
  });
});

describe('the allocator itself', () => {
  it('needs frames', () => {
    const { memory } = board();
    expect(() => new IommuPages({ memory, frames: [] })).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });

  it('refuses frames that are not RAM', () => {
    const { memory } = board();
    const frames = [new FrameAllocator(2 ** 30, 8 * MIB)];
    expect(() => new IommuPages({ memory, frames })).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });
});

describe('fault injection', () => {
  it('`fail` is asked with a running number and the size', () => {
    const { pages } = board();
    const asked: [number, number][] = [];
    pages.fail = (nth, bytes) => {
      asked.push([nth, bytes]);
      return nth === 1;
    };
    pages.allocPages(64);
    expect(() => pages.allocPages(8192)).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
    pages.allocPages(4096);
    expect(asked).toEqual([
      [0, 64],
      [1, 8192],
      [2, 4096],
    ]);
    expect(pages.livePages).toBe(2);
  });

  it.each([64, 4096, 8192])('a frame that was refused is not asked for again: %i bytes fail', (bytes) => {
    const { frames, pages } = board();
    frames.fail = (nth) => nth === 0;
    expect(() => pages.allocPages(bytes)).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
    expect([frames.allocations, pages.allocations]).toEqual([1, 1]);
    const two = twoNodes();
    two.near.fail = () => true;
    expect(two.pages.allocPages(bytes)).toBeGreaterThanOrEqual(2 ** 33);
    expect([two.near.allocations, two.far.allocations, two.pages.allocations]).toEqual([1, 1, 1]);
  });

  it('a frame that cannot be had leaves nothing behind', () => {
    const { frames, pages } = board();
    frames.fail = (nth) => nth % 2 === 1;
    const live: number[] = [];
    for (let i = 0; i < 100; i++)
      try {
        live.push(pages.allocPages(i % 3 === 0 ? 2048 : 4096));
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENOMEM' });
      }
    expect(pages.livePages).toBe(frames.totalFrames - frames.freeFrames);
    for (const pa of live) pages.freePages(pa);
    expect(frames.freeFrames).toBe(frames.totalFrames);
  });
});

it('a random life of allocations never overlaps and returns to nothing', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 16 }), fc.nat()), { minLength: 1, maxLength: 300 }),
      (steps) => {
        const { frames, pages } = board();
        const live = new Map<number, number>();
        for (const [log2, pick] of steps) {
          if (pick % 3 === 0 && live.size > 0) {
            const pa = [...live.keys()][pick % live.size]!;
            pages.freePages(pa);
            live.delete(pa);
            continue;
          }
          const pa = pages.allocPages(2 ** log2);
          const size = pages.sizeOf(pa);
          for (const [other, bytes] of live) expect(pa >= other + bytes || other >= pa + size).toBe(true);
          live.set(pa, size);
        }
        expect(pages.liveBytes).toBe([...live.values()].reduce((sum, bytes) => sum + bytes, 0));
        for (const pa of live.keys()) pages.freePages(pa);
        expect(frames.freeFrames).toBe(frames.totalFrames);
        expect(pages.livePages).toBe(0);
      },
    ),
    { numRuns: 60 },
  );
});
