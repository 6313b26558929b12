import { NonCoherentDma, type SystemMemory } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { type FakeBoard, fakeBoard } from '../test/fakeSmmu.ts';
import { StreamTable } from './strtab.ts';

const make = (sidBits: number, twoLevel: boolean, board: FakeBoard = fakeBoard()) => ({
  board,
  table: new StreamTable({ ...board, sidBits, twoLevel }),
});
const dword = (memory: SystemMemory, pa: number): bigint => {
  expect(memory.read64(pa)).toBe(true);
  return (BigInt(memory.hi) << 32n) | BigInt(memory.lo);
};

describe('linear stream table, IHI 0070 §3.3.1.1', () => {
  it('has an entry for each StreamID, which aborts, and needs no preparation', () => {
    const { table, board } = make(4, false);
    for (let sid = 0; sid < 16; sid++) {
      expect(table.prepare(sid)).toBe(false);
      expect(table.entryAddress(sid)).toBe(table.base + sid * 64);
      expect(dword(board.memory, table.base + sid * 64)).toBe(1n); // V=1, Config=0
    }
    expect(table.base % (16 * 64)).toBe(0);
  });
  it('names itself to the registers', () => {
    const { table } = make(4, false);
    const { baseLo, baseHi, config } = table.registers;
    expect(baseLo).toBe(table.base);
    expect(baseHi).toBe(0x4000_0000); // RA is bit 62
    expect(config).toBe(4);
  });
  it('ends where the StreamIDs end', () => {
    const { table } = make(4, false);
    expect(() => table.prepare(16)).toThrow(expect.objectContaining({ code: 'ERANGE' }));
    for (const sid of [16, -1, 0.5]) expect(table.reaches(sid)).toBe(false);
    expect(table.entryAddress(16)).toBe(-1);
  });
  it('is cut where it would become absurd, and says so', () => {
    const { table, board } = make(16, false);
    expect(table.log2Size).toBe(15);
    expect(board.lines).toEqual(['linear strtab only covers 15/16 bits of SID']);
  });
  it('is what few StreamIDs get, though two levels are offered', () =>
    expect(make(8, true).table.twoLevel).toBe(false));
});

describe('two-level stream table, IHI 0070 §3.3.1.2', () => {
  it('hangs in a leaf table when its first stream is needed', () => {
    const { table, board } = make(16, true);
    const before = board.pages.livePages;
    expect(table.entryAddress(0x1234)).toBe(-1);
    expect(table.prepare(0x1234)).toBe(true);
    expect(table.prepare(0x12ff)).toBe(false); // same leaf
    expect(board.pages.livePages).toBe(before + 4); // 256 entries of 64 bytes
    const l1 = dword(board.memory, table.base + 0x12 * 8);
    expect(l1 & 0x1fn).toBe(9n); // Span: 2^(9-1) entries
    const leaf = Number(l1 & 0xf_ffff_ffff_ffc0n);
    expect(table.entryAddress(0x1234)).toBe(leaf + 0x34 * 64);
    for (let i = 0; i < 256; i++) expect(dword(board.memory, leaf + i * 64)).toBe(1n);
  });
  it('has its leaf complete before it is hung in', () => {
    const { table, board } = make(16, true);
    board.memory.observer = (pa) => {
      if (pa !== table.base + 0x12 * 8) return;
      for (let sid = 0x1200; sid < 0x1300; sid++) expect(dword(board.memory, table.entryAddress(sid))).toBe(1n);
    };
    table.prepare(0x1234);
  });
  it('names itself to the registers', () => {
    const { table } = make(16, true);
    expect(table.registers.config).toBe((1 << 16) | (8 << 6) | 16);
  });
  it('without memory for a leaf everything is as before', () => {
    const { table, board } = make(16, true);
    board.frames.fail = () => true;
    expect(() => table.prepare(0x1234)).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
    expect(table.entryAddress(0x1234)).toBe(-1);
    board.frames.fail = null;
    expect(table.prepare(0x1234)).toBe(true);
  });
  it('reaches 25 bits of 32, and says so', () => {
    const { table, board } = make(32, true);
    expect(table.log2Size).toBe(25);
    expect(board.lines).toEqual(['2-level strtab only covers 25/32 bits of SID']);
    expect(() => table.prepare(2 ** 25)).toThrow(expect.objectContaining({ code: 'ERANGE' }));
    expect(table.prepare(2 ** 25 - 1)).toBe(true);
  });
  it.each([true, false])('gives everything back (two levels: %s)', (twoLevel) => {
    const { table, board } = make(14, twoLevel);
    for (const sid of [0, 1, 0x100, 0x3fff]) table.prepare(sid);
    table.free();
    expect(board.pages.livePages).toBe(0);
  });
  it('is visible to an SMMU that does not snoop', () => {
    let device!: SystemMemory;
    const board = fakeBoard({ coherence: (cpu, other) => new NonCoherentDma(cpu, (device = other)) });
    const { table } = make(16, true, board);
    table.prepare(0x1234);
    expect(dword(device, table.base + 0x12 * 8)).toBe(dword(board.memory, table.base + 0x12 * 8));
    expect(dword(device, table.entryAddress(0x12aa))).toBe(1n);
    expect(dword(device, table.base)).toBe(0n);
  });
});
