import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { MmioWindow } from './mmio.ts';
import { Registers } from './mmio.ts';
import { SystemMemory } from './systemMemory.ts';

const MIB = 2 ** 20;
const RAM = 2 ** 30;
const board = () => new SystemMemory([{ base: RAM, size: 4 * MIB }]);

class Recorder implements MmioWindow {
  readonly name = 'recorder';
  readonly size = 0x1000;
  readonly writes: [number, number][] = [];
  read32(offset: number): number {
    return (0xf000_0000 + offset) | 0; // negative on purpose: the bus must hand it on unsigned
  }
  write32(offset: number, value: number): void {
    this.writes.push([offset, value]);
  }
}

describe('SystemMemory: what it refuses to be', () => {
  it.each([
    ['a base that is not a multiple of 2 MiB', [{ base: MIB, size: 2 * MIB }]],
    ['an empty region', [{ base: 0, size: 0 }]],
    ['a size that is not a multiple of 2 MiB', [{ base: 0, size: 4096 }]],
    ['RAM above 52 bits', [{ base: 2 ** 52 - 2 * MIB, size: 4 * MIB }]],
    ['a negative base', [{ base: -2 * MIB, size: 2 * MIB }]],
    [
      'regions that overlap',
      [
        { base: 0, size: 4 * MIB },
        { base: 2 * MIB, size: 2 * MIB },
      ],
    ],
  ])('%s', (_, regions) => {
    expect(() => new SystemMemory(regions)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });
  it('a window that is misaligned, too high, on RAM or on another window', () => {
    const memory = board();
    const window = new Recorder();
    expect(() => memory.addWindow(100, window)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(() => memory.addWindow(2 ** 52, window)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(() => memory.addWindow(RAM + 4096, window)).toThrow(expect.objectContaining({ code: 'EBUSY' }));
    memory.addWindow(0x1000, window);
    expect(() => memory.addWindow(0x1000, window)).toThrow(expect.objectContaining({ code: 'EBUSY' }));
  });
});

describe('SystemMemory: RAM', () => {
  it('is little-endian and unsigned, word, dword and byte alike', () => {
    const memory = board();
    expect(memory.write64(RAM + 8, 0x89abcdef, 0xfedcba98)).toBe(true);
    const bytes = new Uint8Array(8);
    expect(memory.readBytes(RAM + 8, bytes, 0, 8)).toBe(true);
    expect([...bytes]).toEqual([0xef, 0xcd, 0xab, 0x89, 0x98, 0xba, 0xdc, 0xfe]);
    expect(memory.read32(RAM + 12) && memory.lo).toBe(0xfedcba98);
    expect(memory.read64(RAM + 8) && [memory.lo, memory.hi]).toEqual([0x89abcdef, 0xfedcba98]);
  });
  it('hands its words to table code, by address and by frame', () => {
    const memory = board();
    memory.write32(RAM + 0x3004, 77);
    expect(memory.words[memory.at(RAM + 0x3004)]).toBe(77);
    expect(memory.words[memory.atFrame(RAM / 4096 + 3) + 1]).toBe(77);
    expect(memory.at(RAM - 4)).toBe(-1);
    expect(memory.atFrame(RAM / 4096 + 1024)).toBe(-1);
  });
  it('swaps a dword only if it is the expected one, and tells what was there', () => {
    const memory = board();
    memory.write64(RAM, 1, 2);
    expect(memory.compareExchange64(RAM, 1, 3, 9, 9)).toBe(true);
    expect([memory.lo, memory.hi]).toEqual([1, 2]);
    expect(memory.compareExchange64(RAM, 1, 2, 0xffffffff, 9)).toBe(true);
    expect([memory.lo, memory.hi]).toEqual([1, 2]);
    memory.read64(RAM);
    expect([memory.lo, memory.hi]).toEqual([0xffffffff, 9]);
  });
  it('clears a range, and says so where there is none', () => {
    const memory = board();
    memory.writeBytes(RAM, new Uint8Array(64).fill(1), 0, 64);
    memory.zero(RAM + 16, 32);
    const bytes = new Uint8Array(64);
    memory.readBytes(RAM, bytes, 0, 64);
    expect(bytes.filter((b) => b === 1)).toHaveLength(32);
    expect(() => memory.zero(0, 64)).toThrow(expect.objectContaining({ code: 'EFAULT' }));
  });
  it('clears across chunks and regions, up to where RAM ends', () => {
    const memory = new SystemMemory([
      { base: 2 ** 40, size: 2 ** 34 },
      { base: 2 ** 40 + 2 ** 34, size: 2 * MIB },
    ]);
    const seen: number[] = [];
    for (const border of [2 ** 40 + 2 * MIB, 2 ** 40 + 2 ** 34]) {
      const before = border - 4;
      memory.write32(before, 1);
      memory.write32(border, 2);
      memory.observer = (_, bytes) => seen.push(bytes);
      memory.zero(before, 8);
      memory.observer = null;
      expect([memory.read32(before) && memory.lo, memory.read32(border) && memory.lo]).toEqual([0, 0]);
    }
    expect(seen).toEqual([4, 4, 4, 4]);
    const last = 2 ** 40 + 2 ** 34 + 2 * MIB - 4;
    memory.write32(last, 1);
    expect(() => memory.zero(last, 8)).toThrow(expect.objectContaining({ code: 'EFAULT' }));
    expect(memory.read32(last) && memory.lo).toBe(0);
  });
  it.each([4, 4.5, 8, 64])('reaches both ends of a region of %s GiB', (gib) => {
    const size = gib * 2 ** 30;
    const memory = new SystemMemory([{ base: RAM, size }]);
    for (const pa of [RAM, RAM + size - 8]) {
      expect(memory.write64(pa, 1, pa / 2 ** 32)).toBe(true);
      expect(memory.read64(pa) && memory.lo).toBe(1);
    }
    expect(memory.read32(RAM + size)).toBe(false);
  });

  it('keeps sparse chunks apart that share a place in the cache of the last ones, and flat regions', () => {
    const sparse = 2 ** 40;
    const memory = new SystemMemory([
      { base: 0, size: 2 * MIB },
      { base: 2 ** 30, size: 2 * MIB },
      { base: sparse, size: 2 ** 40 },
    ]);
    const places = [0, 2 ** 30, ...[0, 1, 512, 513, 1024, 2 ** 18].map((chunk) => sparse + chunk * 2 * MIB)];
    for (let round = 0; round < 3; round++) {
      for (const [i, pa] of places.entries()) memory.write64(pa + 8 * round, i + 1, round);
      for (const [i, pa] of places.entries()) {
        expect(memory.read64(pa + 8 * round) && [memory.lo, memory.hi]).toEqual([i + 1, round]);
        expect(memory.words[memory.atFrame(pa / 4096)]).toBe(i + 1);
      }
    }
    const copy = new Uint8Array(4);
    for (const [i, pa] of places.entries()) {
      memory.readBytes(pa, copy, 0, 4);
      expect([...copy]).toEqual([i + 1, 0, 0, 0]);
    }
  });

  it.each([
    ['flat', [{ base: RAM, size: 4 * MIB }], RAM],
    [
      'two regions side by side',
      [
        { base: RAM, size: 2 * MIB },
        { base: RAM + 2 * MIB, size: 2 * MIB },
      ],
      RAM,
    ],
    ['sparse, up to 52 bits', [{ base: 2 ** 51, size: 2 ** 51 }], 2 ** 52 - 4 * MIB],
  ])('holds what was written last: %s', (_, regions, base) => {
    const access = fc.record({
      at: fc.integer({ min: 0, max: 4 * MIB - 64 }).map((n) => n - (n % 8)),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 64 }),
    });
    const near = access.map((a) => ({ ...a, at: 2 * MIB - 32 + (a.at % 64) })); // across a chunk or region border
    fc.assert(
      fc.property(fc.array(fc.oneof(access, near), { maxLength: 30 }), (writes) => {
        const memory = new SystemMemory(regions);
        const oracle = new Uint8Array(4 * MIB);
        for (const { at, bytes } of writes) {
          expect(memory.writeBytes(base + at, bytes, 0, bytes.length)).toBe(true);
          oracle.set(bytes, at);
        }
        for (const { at } of writes) {
          const back = new Uint8Array(64);
          memory.readBytes(base + at, back, 0, 64);
          expect(back).toEqual(oracle.slice(at, at + 64));
          const view = new DataView(oracle.buffer);
          memory.read64(base + at);
          expect([memory.lo, memory.hi]).toEqual([view.getUint32(at, true), view.getUint32(at + 4, true)]);
        }
      }),
      { numRuns: 40 },
    );
  });
});

describe('SystemMemory: nobody answers', () => {
  it('aborts every kind of access, and changes nothing', () => {
    const memory = board();
    const bytes = new Uint8Array(8);
    const hole = 0x5000;
    expect(memory.read32(hole)).toBe(false);
    expect(memory.write32(hole, 1)).toBe(false);
    expect(memory.read64(hole)).toBe(false);
    expect(memory.write64(hole, 1, 1)).toBe(false);
    expect(memory.compareExchange64(hole, 0, 0, 1, 1)).toBe(false);
    expect(memory.readBytes(hole, bytes, 0, 8)).toBe(false);
    expect(memory.writeBytes(hole, bytes, 0, 8)).toBe(false);
    expect(memory.readBytes(RAM + 4 * MIB - 4, bytes, 0, 8)).toBe(false); // runs off the end
    expect(memory.read64(2 ** 52)).toBe(false);
  });
});

describe('SystemMemory: registers', () => {
  it('routes words and splits dwords, low half first', () => {
    const memory = board();
    const window = new Recorder();
    memory.addWindow(0x9000, window);
    memory.write32(0x9010, -1);
    memory.write64(0x9020, 1, 2);
    expect(window.writes).toEqual([
      [0x10, 0xffffffff],
      [0x20, 1],
      [0x24, 2],
    ]);
    expect(memory.read64(0x9008) && [memory.lo, memory.hi]).toEqual([0xf0000008, 0xf000000c]);
    expect(memory.read64(0x9ffc)).toBe(false); // its upper half is outside
  });
  it('hands a dword over whole to a window that takes dwords', () => {
    const memory = board();
    const whole: number[][] = [];
    memory.addWindow(0x9000, Object.assign(new Recorder(), { write64: (...args: number[]) => whole.push(args) }));
    memory.write64(0x9008, 5, -6);
    expect(whole).toEqual([[8, 5, 0xfffffffa]]);
  });
  it('takes the word-sized bytes of an MSI, and refuses odd ones and atomics', () => {
    const memory = board();
    const window = new Recorder();
    memory.addWindow(0x9000, window);
    const bytes = Uint8Array.of(0, 0x28, 0, 0, 0x80);
    expect(memory.writeBytes(0x9040, bytes, 1, 4)).toBe(true);
    expect(window.writes).toEqual([[0x40, 0x8000_0028]]);
    expect(memory.readBytes(0x9004, bytes, 0, 4)).toBe(true);
    expect([...bytes.slice(0, 4)]).toEqual([4, 0, 0, 0xf0]);
    expect(memory.writeBytes(0x9042, bytes, 0, 4)).toBe(false);
    expect(memory.writeBytes(0x9040, bytes, 0, 3)).toBe(false);
    expect(memory.writeBytes(0x9ffc, new Uint8Array(8), 0, 8)).toBe(false);
    expect(memory.compareExchange64(0x9040, 0, 0, 0, 0)).toBe(false);
  });
  it('gives a driver its registers, and throws where nothing answers', () => {
    const memory = board();
    const window = new Recorder();
    memory.addWindow(0x9000, window);
    const registers = new Registers(memory, 0x9000);
    expect(registers.read32(4)).toBe(0xf0000004);
    registers.write32(8, 3);
    registers.write64(16, 4, 5);
    expect(window.writes).toEqual([
      [8, 3],
      [16, 4],
      [20, 5],
    ]);
    const fault = expect.objectContaining({ code: 'EFAULT', message: expect.stringContaining('0xa000') });
    expect(() => registers.read32(0x1000)).toThrow(fault);
    expect(() => registers.write32(0x1000, 0)).toThrow(fault);
    expect(() => registers.write64(0x1000, 0, 0)).toThrow(fault);
  });
});

describe('SystemMemory.observer: the hardware looks between any two stores', () => {
  it('sees every store after it happened, with its place and size', () => {
    const memory = board();
    memory.addWindow(0x9000, new Recorder());
    const seen: [number, number, number][] = [];
    memory.observer = (pa, bytes) => {
      const { observer } = memory;
      memory.observer = null;
      memory.read32(pa);
      seen.push([pa, bytes, memory.lo]);
      memory.observer = observer;
    };
    memory.write32(RAM, 5);
    memory.write64(RAM + 8, 6, 7);
    memory.compareExchange64(RAM + 8, 6, 7, 8, 9);
    memory.compareExchange64(RAM + 8, 6, 7, 1, 1); // fails: no store
    memory.writeBytes(RAM + 16, Uint8Array.of(1, 2, 3, 4), 0, 4);
    memory.zero(RAM + 16, 8);
    memory.write32(0x9000, 1);
    memory.write64(0x9008, 1, 1);
    expect(seen).toEqual([
      [RAM, 4, 5],
      [RAM + 8, 8, 6],
      [RAM + 8, 8, 8],
      [RAM + 16, 4, 0x04030201],
      [RAM + 16, 8, 0],
      [0x9000, 4, 0xf0000000],
      [0x9008, 8, 0xf0000008],
    ]);
  });
});
