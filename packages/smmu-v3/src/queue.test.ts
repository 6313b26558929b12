import { IommuError, NonCoherentDma, type SystemMemory } from '@smmu/platform';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fakeBoard, RAM_BASE, RAM_BYTES } from '../test/fakeSmmu.ts';
import {
  Queue,
  queueAdvance,
  queueEmpty,
  queueFull,
  queueIndex,
  queueOverflow,
  queueUsed,
  queueWrap,
} from './queue.ts';

describe('pointers count one bit more than the index: IHI 0070 §3.5.1', () => {
  it('equal index and wrap is empty, equal index and other wrap is full', () => {
    expect(queueEmpty(5, 5, 3)).toBe(true);
    expect(queueFull(5, 5, 3)).toBe(false);
    expect(queueEmpty(5 + 8, 5, 3)).toBe(false);
    expect(queueFull(5 + 8, 5, 3)).toBe(true);
    expect(queueFull(5, 5 + 8, 3)).toBe(true);
  });
  it('the overflow flag counts for neither', () => {
    expect(queueEmpty(0x8000_0005, 5, 3)).toBe(true);
    expect(queueFull(0x8000_000d, 5, 3)).toBe(true);
    expect(queueOverflow(0x8000_0005)).toBe(0x8000_0000);
    expect(queueOverflow(5)).toBe(0);
  });
  it('index and wrap are parts of a pointer', () => {
    expect(queueIndex(0xd, 3)).toBe(5);
    expect(queueWrap(0xd, 3)).toBe(8);
    expect(queueWrap(0x5, 3)).toBe(0);
  });
  it('advancing wraps and keeps the overflow flag', () => {
    expect(queueAdvance(7, 1, 3)).toBe(8);
    expect(queueAdvance(15, 1, 3)).toBe(0);
    expect(queueAdvance(0x8000_000f, 1, 3)).toBe(0x8000_0000);
    expect(queueAdvance(0, -1, 3)).toBe(15);
  });
  it('behaves as an endless counter for every size and history', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 19 }), fc.nat(), fc.nat(), (log2, consumed, more) => {
        const used = more % (2 ** log2 + 1);
        const cons = consumed % 2 ** (log2 + 1);
        const prod = queueAdvance(cons, used, log2);
        expect(queueUsed(prod, cons, log2)).toBe(used);
        expect(queueEmpty(prod, cons, log2)).toBe(used === 0);
        expect(queueFull(prod, cons, log2)).toBe(used === 2 ** log2);
      }),
    );
  });
});

describe('Queue', () => {
  const make = (log2Entries: number, board = fakeBoard()) =>
    new Queue({ ...board, name: 'cmdq', log2Entries, entryBytes: 16 });

  it('is aligned to its size and zero', () => {
    const board = fakeBoard();
    const queue = make(10, board);
    expect(queue.base % (1024 * 16)).toBe(0);
    expect(queue.entries).toBe(1024);
    const at = queue.entryAt(1023);
    expect([...board.memory.words.subarray(at, at + 4)]).toEqual([0, 0, 0, 0]);
    expect(String(queue)).toMatch(/^cmdq of 1024 entries at 0x/);
    queue.free();
    expect(board.pages.livePages).toBe(0);
  });
  it('is never smaller than 32 bytes, which BASE.ADDR cannot name (§6.3.26)', () => {
    expect(make(0).base % 32).toBe(0);
  });
  it('takes half of the entries, and half again, where memory is short', () => {
    const board = fakeBoard();
    board.frames.fail = (_, order) => order > 1;
    expect(make(12, board).log2Entries).toBe(9); // 2 frames
  });
  it('throws ENOMEM when there is not even a page', () => {
    const board = fakeBoard();
    board.frames.fail = () => true;
    expect(() => make(12, board)).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
    expect(board.pages.livePages).toBe(0);
  });
  it('passes on what is no lack of memory', () => {
    const board = fakeBoard();
    board.pages.fail = () => {
      throw new IommuError('EIO', 'broken');
    };
    expect(() => make(4, board)).toThrow('broken');
  });
  it('writes and reads entries at the pointer, whatever its wrap bit', () => {
    const queue = make(2);
    queue.write(6, Uint32Array.of(1, 2, 3, 4));
    const out = new Uint32Array(4);
    queue.read(2, out);
    expect([...out]).toEqual([1, 2, 3, 4]);
    expect(queue.entryAddress(6)).toBe(queue.base + 32);
  });

  describe('for an SMMU that does not snoop', () => {
    const split = () => {
      let device!: SystemMemory;
      const board = fakeBoard({ coherence: (cpu, other) => new NonCoherentDma(cpu, (device = other)) });
      return { board, device };
    };
    it('writes become visible', () => {
      const { board, device } = split();
      const queue = make(2, board);
      queue.write(1, Uint32Array.of(1, 2, 3, 4));
      expect(device.read64(queue.base + 16) && device.lo).toBe(1);
    });
    it('what was filled in place becomes visible, over the end of the array too', () => {
      const { board, device } = split();
      const queue = make(2, board);
      for (const pointer of [3, 4]) {
        const at = queue.entryAt(pointer);
        board.memory.words[at] = pointer;
      }
      queue.flush(3, 2);
      expect(device.read32(queue.base + 48) && device.lo).toBe(3);
      expect(device.read32(queue.base) && device.lo).toBe(4);
    });
    it('what the SMMU wrote is read', () => {
      const { board, device } = split();
      const queue = make(2, board);
      device.write32(queue.base + 4, 77);
      const out = new Uint32Array(4);
      queue.read(0, out);
      expect(out[1]).toBe(77);
    });
  });
  it('lies inside its board', () => expect(RAM_BASE + RAM_BYTES).toBeLessThan(2 ** 32));
});
