import { NonCoherentDma, type SystemMemory } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { type FakeBoard, fakeBoard } from '../test/fakeSmmu.ts';
import { CdTable } from './cdtab.ts';

const make = (
  ssidBits: number,
  { twoLevel = true, leaf, board = fakeBoard() }: { twoLevel?: boolean; leaf?: '4k' | '64k'; board?: FakeBoard } = {},
) => ({ board, table: new CdTable({ ...board, ssidBits, twoLevel, ...(leaf && { leaf }) }) });
const dword = (memory: SystemMemory, pa: number): bigint => {
  expect(memory.read64(pa)).toBe(true);
  return (BigInt(memory.hi) << 32n) | BigInt(memory.lo);
};

describe('CD table, IHI 0070 §5.3 and §5.4', () => {
  it.each([
    { ssidBits: 0, s1cdMax: 0, format: 0, bytes: 64, rule: 'one descriptor without SubstreamIDs' },
    { ssidBits: 6, s1cdMax: 6, format: 0, bytes: 4096, rule: 'linear as long as one leaf would do' },
    { ssidBits: 7, s1cdMax: 7, format: 1, bytes: 64, rule: 'two levels beyond' },
    { ssidBits: 16, s1cdMax: 16, format: 1, bytes: 8192, rule: 'a level 1 entry for 64 descriptors' },
    { ssidBits: 20, s1cdMax: 20, format: 1, bytes: 131072, rule: 'all that PCIe has' },
  ])('$rule', ({ ssidBits, s1cdMax, format, bytes }) => {
    const { table, board } = make(ssidBits);
    expect(table).toMatchObject({ s1cdMax, format });
    expect(board.pages.livePages).toBe(Math.ceil(bytes / 4096));
    expect(table.base % Math.max(bytes, 64)).toBe(0);
    table.free();
    expect(board.pages.livePages).toBe(0);
  });
  it('64 KiB leaves as the kernel has them', () => {
    const { table, board } = make(16, { leaf: '64k' });
    expect(table.format).toBe(2);
    expect(table.prepare(1023)).toBe(true);
    expect(table.prepare(0)).toBe(false);
    expect(table.prepare(1024)).toBe(true);
    expect(board.pages.livePages).toBe(1 + 16 + 16);
    expect(table.entryAddress(1) % 65536).toBe(64);
    table.free();
    expect(board.pages.livePages).toBe(0);
  });
  it('an SMMU without two levels gets 1,024 descriptors at most', () => {
    const { table } = make(16, { twoLevel: false });
    expect(table).toMatchObject({ s1cdMax: 10, format: 0 });
    expect(table.prepare(1023)).toBe(false);
    expect(() => table.prepare(1024)).toThrow(expect.objectContaining({ code: 'ERANGE' }));
    expect(table.entryAddress(1024)).toBe(-1);
    expect(table.entryAddress(3)).toBe(table.base + 192);
  });
  it('hangs in a leaf when its first descriptor is needed: V and the address, nothing else', () => {
    const { table, board } = make(16);
    expect(table.entryAddress(0x1234)).toBe(-1);
    expect(table.valid(0x1234)).toBe(false);
    expect(table.prepare(0x1234)).toBe(true);
    const l1 = dword(board.memory, table.base + (0x1234 >> 6) * 8);
    expect(l1 & 0xfffn).toBe(1n);
    expect(table.entryAddress(0x1234)).toBe(Number(l1 - 1n) + (0x1234 & 63) * 64);
    expect(table.valid(0x1234)).toBe(false);
    board.memory.write64(table.entryAddress(0x1234), 0x8000_0000, 0);
    expect(table.valid(0x1234)).toBe(true);
  });
  it('without memory everything is as before', () => {
    const { table, board } = make(16);
    board.frames.fail = () => true;
    expect(() => table.prepare(5)).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
    expect(table.entryAddress(5)).toBe(-1);
    expect(() => make(16, { board })).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
  });
  it('is visible to an SMMU that does not snoop', () => {
    let device!: SystemMemory;
    const board = fakeBoard({ coherence: (cpu, other) => new NonCoherentDma(cpu, (device = other)) });
    device.write64(0x8000_0000, 0xdead_beef, 0xdead_beef); // what RAM held before
    const { table } = make(16, { board });
    table.prepare(5);
    expect(dword(device, table.base)).toBe(dword(board.memory, table.base));
    expect(dword(device, table.entryAddress(5))).toBe(0n);
  });
});
