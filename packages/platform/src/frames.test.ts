import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FRAME_BYTES, FrameAllocator } from './frames.ts';

const frames = (count: number, first = 0x100) => new FrameAllocator(first * FRAME_BYTES, count * FRAME_BYTES);

describe('FrameAllocator: naturally aligned powers of two', () => {
  it.each([
    ['a base off the frame grid', 100, 4096],
    ['a size off the frame grid', 0, 4097],
    ['nothing', 0, 0],
  ])('refuses %s', (_, base, size) => {
    expect(() => new FrameAllocator(base, size)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });
  it.each([-1, 0.5, Number.NaN])('refuses 2^%s frames', (order) => {
    const allocator = frames(16);
    expect(() => allocator.alloc(order)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(allocator.freeFrames).toBe(16);
  });
  it('hands out every frame of an odd-shaped range, and then none', () => {
    const allocator = frames(37, 0x103);
    const all = new Set(Array.from({ length: 37 }, () => allocator.alloc(0)));
    expect(all.size).toBe(37);
    expect(Math.min(...all)).toBe(0x103);
    expect(Math.max(...all)).toBe(0x103 + 36);
    expect([allocator.alloc(0), allocator.freeFrames]).toEqual([-1, 0]);
  });
  it('merges what came back, so that the largest block is there again', () => {
    const allocator = frames(1024, 0x400);
    const singles = Array.from({ length: 1024 }, () => allocator.alloc(0));
    expect(allocator.alloc(10)).toBe(-1);
    for (const frame of singles) allocator.free(frame);
    expect(allocator.alloc(10)).toBe(0x400);
  });
  it('refuses to free what is not the start of an allocated block, and stays whole', () => {
    const allocator = frames(64);
    const block = allocator.alloc(2);
    const wrong = [block + 1, block + 4, 0xff, 0x140, 1.5];
    for (const frame of wrong) expect(() => allocator.free(frame)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(allocator.orderOf(block)).toBe(2);
    allocator.free(block);
    expect(() => allocator.free(block)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect([allocator.freeFrames, allocator.orderOf(block)]).toEqual([64, -1]);
  });
  it('lets a test choose which allocation fails', () => {
    const allocator = frames(16);
    allocator.alloc(0);
    allocator.fail = (nth, order) => nth === 2 && order === 1;
    expect(allocator.alloc(1)).not.toBe(-1);
    expect(allocator.alloc(1)).toBe(-1);
    expect(allocator.alloc(1)).not.toBe(-1);
    expect(allocator.allocations).toBe(4);
  });
  it('knows its node', () => expect(new FrameAllocator(0, FRAME_BYTES, 3).node).toBe(3));

  it('never hands out a frame twice, keeps alignment and count, and ends as it began', () => {
    const operation = fc.record({ order: fc.integer({ min: 0, max: 6 }), drop: fc.nat(), alloc: fc.boolean() });
    const first = fc.integer({ min: 0, max: 200 });
    fc.assert(
      fc.property(
        first,
        fc.integer({ min: 1, max: 300 }),
        fc.array(operation, { maxLength: 200 }),
        (start, size, run) => {
          const allocator = frames(size, start);
          const owner = new Map<number, number>(); // frame to first frame of its block
          const blocks: { frame: number; order: number }[] = [];
          for (const { order, drop, alloc } of run) {
            if (alloc || blocks.length === 0) {
              const frame = allocator.alloc(order);
              if (frame === -1) continue;
              expect(frame % 2 ** order).toBe(0);
              for (let f = frame; f < frame + 2 ** order; f++) {
                expect(owner.has(f)).toBe(false);
                expect(f >= start && f < start + size).toBe(true);
                owner.set(f, frame);
              }
              blocks.push({ frame, order });
            } else {
              const [block] = blocks.splice(drop % blocks.length, 1);
              allocator.free(block!.frame);
              for (let f = block!.frame; f < block!.frame + 2 ** block!.order; f++) owner.delete(f);
            }
            expect(allocator.freeFrames).toBe(size - owner.size);
          }
          for (const { frame } of blocks) allocator.free(frame);
          expect(Array.from({ length: size }, () => allocator.alloc(0))).not.toContain(-1);
        },
      ),
    );
  });
});
