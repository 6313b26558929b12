import { describe, expect, it } from 'vitest';
import { board, RW, tableOn } from '../test/board.ts';
import { leaves, regimeOf } from '../test/walker.ts';
import { type PgtableOptions, PROT } from './types.ts';

const M2 = 2 ** 21;
const GIB = 2 ** 30;

describe('a part of a block can be unmapped, if the table may split it', () => {
  it.each([0, 1, 2] as const)('at BBM level %i', (bbmLevel) => {
    const events: string[] = [];
    const tlb = { flushAll() {}, flushWalk: (iova: number, bytes: number) => events.push(`flush ${iova}+${bytes}`) };
    const b = board();
    const table = tableOn(b, { partialUnmap: 'split', bbmLevel, tlb, checkBreakBeforeMake: true });
    table.mapPages(M2, 3 * M2, M2, 1, PROT.READ | PROT.CACHE | PROT.NOEXEC);
    const [before] = leaves(b.memory, regimeOf(table, 1)).leaves;
    const { entryPa } = table.walk(M2).at(-1)!;
    b.memory.observer = (pa) => {
      if (pa !== entryPa) return;
      b.memory.read64(entryPa);
      const { lo } = b.memory;
      events.push((lo & 1) === 0 ? 'nothing' : (lo & 2) !== 0 ? 'table' : (lo & 0x1_0000) !== 0 ? 'nT' : 'block');
    };
    expect(table.unmapPages(M2 + 5 * 4096, 4096, 2)).toBe(2 * 4096);
    b.memory.observer = null;
    expect(events).toEqual(
      {
        0: ['nothing', `flush ${M2}+${M2}`, 'table'],
        1: ['nT', `flush ${M2}+${M2}`, 'table', `flush ${M2}+${M2}`],
        2: ['table', `flush ${M2}+${M2}`],
      }[bbmLevel],
    );
    const all = leaves(b.memory, regimeOf(table, 1)).leaves;
    expect(all.length).toBe(510);
    for (const { va, pa, bytes, descriptor } of all) {
      expect([bytes, pa - va]).toEqual([4096n, BigInt(2 * M2)]);
      // The same attributes; a page where a block was.
      expect((descriptor & 0xfff0_0000_0000_0ffcn) === (before!.descriptor & 0xfff0_0000_0000_0ffcn)).toBe(true);
      expect(descriptor & 3n).toBe(3n);
    }
  });

  it('level by level', () => {
    const { pages, memory, frames } = board();
    const table = tableOn({ pages, memory, frames }, { partialUnmap: 'split' });
    table.mapPages(0, GIB, GIB, 1, RW);
    const before = pages.livePages;
    expect(table.unmapPages(GIB - 4096, 4096, 1)).toBe(4096);
    expect(pages.livePages).toBe(before + 2);
    const all = leaves(memory, regimeOf(table, 1)).leaves;
    expect(all.length).toBe(511 + 511);
    expect(table.iovaToPhys(GIB - 4097)).toBe(2 * GIB - 4097);
    expect(table.iovaToPhys(GIB - 4096)).toBe(-1);
    table.free();
    expect(pages.livePages).toBe(0);
  });

  it.each<[string, Partial<PgtableOptions>]>([
    ['with 52-bit descriptors', { granuleShift: 16, oasBits: 52 }],
    ['with LPA2', { oasBits: 52, iasBits: 52 }],
    ['at stage 2', { stage: 2, granuleShift: 14, oasBits: 52, iasBits: 52 }],
  ])('%s', (_, options) => {
    const table = tableOn(board(), { partialUnmap: 'split', ...options });
    const block = table.pageSizes.at(-1)!;
    const next = table.pageSizes.at(-2)!;
    const output = 2 ** 52 - 2 * block;
    table.mapPages(block, output, block, 2, RW);
    expect(table.unmapPages(block + next, next, 1)).toBe(next);
    expect(table.iovaToPhys(block + next)).toBe(-1);
    expect(table.iovaToPhys(block + 2 * next + 42)).toBe(output + 2 * next + 42);
    expect(table.iovaToPhys(2 * block)).toBe(output + block);
  });

  it('a range that covers one block whole and another in part splits the other only', () => {
    const { pages, memory, frames } = board();
    const table = tableOn({ pages, memory, frames }, { partialUnmap: 'split' });
    table.mapPages(0, 0, M2, 3, RW);
    const before = pages.livePages;
    expect(table.unmapPages(M2 - 4096, 4096, 514)).toBe(514 * 4096);
    expect(pages.livePages).toBe(before + 2);
    expect(table.iovaToPhys(M2 - 4097)).toBe(M2 - 4097);
    expect(table.iovaToPhys(2 * M2)).toBe(-1);
    expect(table.iovaToPhys(2 * M2 + 4096)).toBe(2 * M2 + 4096);
  });
});

it('without memory for the table nothing changes', () => {
  const { pages, memory, frames } = board();
  const table = tableOn({ pages, memory, frames }, { partialUnmap: 'split' });
  table.mapPages(0, 0, M2, 1, RW);
  pages.fail = () => true;
  expect(() => table.unmapPages(0, 4096, 1)).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
  expect(table.walk(0).at(-1)).toMatchObject({ level: 2, kind: 'block', pa: 0 });
});

describe('what hardware marks while a block is split is not lost', () => {
  it.each([0, 1, 2] as const)('at BBM level %i', (bbmLevel) => {
    const b = board();
    const table = tableOn(b, { partialUnmap: 'split', bbmLevel, quirks: { hd: true } });
    table.mapPages(0, 0, M2, 1, RW);
    const { entryPa, lo, hi } = table.walk(0).at(-1)!;
    b.memory.write64(entryPa, lo | 0x80, hi); // writable, clean
    let stores = 0;
    b.memory.observer = () => {
      // A write by a device comes after the tenth store: while the block is there, it becomes dirty.
      if (++stores !== 10) return;
      b.memory.observer = null;
      b.memory.read64(entryPa);
      if ((b.memory.lo & 3) === 1) b.memory.write64(entryPa, b.memory.lo & ~0x80, b.memory.hi);
    };
    table.unmapPages(0, 4096, 1);
    b.memory.observer = null;
    expect(stores).toBe(10);
    const dirty: number[] = [];
    table.readAndClearDirty(0, M2, (iova) => dirty.push(iova));
    expect(dirty.length).toBe(bbmLevel === 0 ? 0 : 511);
  });
});
