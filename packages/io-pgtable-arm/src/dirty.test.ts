import { describe, expect, it } from 'vitest';
import { board, RW, tableOn } from '../test/board.ts';
import type { ArmPageTable } from './pageTable.ts';
import { PROT } from './types.ts';

const M2 = 2 ** 21;

/** What hardware does on a write: a writable-clean leaf becomes writable-dirty (Arm DDI 0487 §D8.5.2). */
function write(table: ArmPageTable, iova: number): void {
  const { entryPa, lo, hi } = table.walk(iova).at(-1)!;
  expect(hi & (1 << 19)).not.toBe(0);
  table.memory.write64(entryPa, table.options.stage === 1 ? lo & ~0x80 : lo | 0x80, hi);
}

const dirtyIn = (table: ArmPageTable, iova: number, bytes: number): [number, number][] => {
  const found: [number, number][] = [];
  const count = table.readAndClearDirty(iova, bytes, (at, size) => found.push([at, size]));
  expect(count).toBe(found.length);
  return found;
};

describe.each([1, 2] as const)('stage %i', (stage) => {
  it('a mapping starts dirty, is clean once read, and dirty when written again', () => {
    const table = tableOn(board(), { stage, quirks: { hd: true } });
    table.mapPages(0x5000, 0, 4096, 3, RW);
    expect(dirtyIn(table, 0, M2)).toEqual([
      [0x5000, 4096],
      [0x6000, 4096],
      [0x7000, 4096],
    ]);
    expect(dirtyIn(table, 0, M2)).toEqual([]);
    write(table, 0x6000);
    expect(dirtyIn(table, 0, M2)).toEqual([[0x6000, 4096]]);
    expect(dirtyIn(table, 0, M2)).toEqual([]);
  });

  it('blocks count whole, holes and read-only leaves not at all', () => {
    const table = tableOn(board(), { stage, quirks: { hd: true } });
    table.mapPages(0, 0, M2, 1, RW);
    table.mapPages(M2, 0, 4096, 1, PROT.READ);
    table.mapPages(M2 + 4096, 0, 4096, 1, RW);
    table.mapPages(2 ** 30, 0, 2 ** 30, 1, RW);
    expect(dirtyIn(table, 0x5000, 2 ** 31 - 0x5000)).toEqual([
      [0, M2],
      [M2 + 4096, 4096],
      [2 ** 30, 2 ** 30],
    ]);
    expect(dirtyIn(table, 2 ** 40, 2 ** 45)).toEqual([]);
    table.mapPages(2 ** 48 - 4096, 0, 4096, 1, RW);
    expect(dirtyIn(table, 2 ** 48 - M2, M2)).toEqual([[2 ** 48 - 4096, 4096]]); // to the very end
  });

  it('may be read without being cleared, and what was cleared is gathered', () => {
    const table = tableOn(board(), { stage, quirks: { hd: true } });
    table.mapPages(0x5000, 0, 4096, 2, RW);
    const gather = table.newGather();
    expect(table.readAndClearDirty(0, M2, () => {}, { keep: true, gather })).toBe(2);
    expect(gather.pageBytes).toBe(0);
    expect(table.readAndClearDirty(0, M2, () => {}, { gather })).toBe(2);
    expect(gather).toMatchObject({ start: 0x5000, last: 0x6fff, pageBytes: 4096 });
  });

  it('without hardware dirty state there is nothing to read', () => {
    const table = tableOn(board(), { stage });
    table.mapPages(0, 0, 4096, 1, RW);
    expect(dirtyIn(table, 0, M2)).toEqual([]);
  });
});

it('a clean leaf still maps, and no longer allows writing', () => {
  const one = tableOn(board(), { quirks: { hd: true } });
  const two = tableOn(board(), { stage: 2, quirks: { hd: true } });
  for (const table of [one, two]) {
    table.mapPages(0, 0x7000, 4096, 1, RW);
    dirtyIn(table, 0, 4096);
    expect(table.iovaToPhys(0)).toBe(0x7000);
  }
  expect(one.walk(0).at(-1)!.lo & 0x80).toBe(0x80);
  expect(two.walk(0).at(-1)!.lo & 0xc0).toBe(0x40);
});

it('in the upper half the addresses are those of the walker', () => {
  const table = tableOn(board(), { quirks: { hd: true, ttbr1: true } });
  const iova = 2 ** 64 - 2 ** 48 + 4096;
  table.mapPages(iova, 0, 4096, 1, RW);
  expect(dirtyIn(table, 2 ** 64 - 2 ** 48, M2)).toEqual([[iova, 4096]]);
});
