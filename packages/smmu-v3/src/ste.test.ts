/** The second source: masks of Linux arm-smmu-v3.h, STRTAB_STE_*. */
import { describe, expect, it } from 'vitest';
import { fakeBoard, REG } from '../test/fakeSmmu.ts';
import { CommandQueue } from './cmdq.ts';
import {
  makeAbortSte,
  makeBypassSte,
  makeCdtableSte,
  makeStage2Ste,
  newSte,
  S1DSS_BYPASS,
  S1DSS_SSID0,
  S1DSS_TERMINATE,
  SteWriter,
  steKind,
} from './ste.ts';

const dwords = (make: (target: Uint32Array) => void): string[] => {
  const entry = newSte().fill(0xffff_ffff);
  make(entry);
  return [...new BigUint64Array(entry.buffer)].map((dword) => dword.toString(16));
};
const zeros = (count: number) => Array.from({ length: count }, () => '0');
const cdtable = {
  cdtab: { base: 0x4000_1000, s1cdMax: 16, format: 1 },
  s1dss: S1DSS_SSID0,
  ats: false,
  stall: true,
  stallSelectable: true,
  e2h: false,
  pasidInResponses: false,
  attrTypesOverride: true,
};
// dword 1: S1DSS 1:0, S1CIR 3:2, S1COR 5:4, S1CSH 7:6, S1STALLD 27, EATS 29:28, STRW 31:30, SHCFG 45:44
const CACHED = 0xd4n; // WBRA, WBRA, inner shareable

describe('stream table entries as the kernel writes them', () => {
  it('abort', () => expect(dwords(makeAbortSte)).toEqual(['1', ...zeros(7)]));
  it('bypass keeps the incoming shareability, where it could be overridden', () => {
    expect(dwords((t) => makeBypassSte(t, true))).toEqual(['9', '100000000000', ...zeros(6)]);
    expect(dwords((t) => makeBypassSte(t, false))).toEqual(['9', '0', ...zeros(6)]);
  });
  it.each([
    ['SSID 0', cdtable, CACHED | 2n],
    ['no stalls for a device that cannot wait', { ...cdtable, stall: false }, CACHED | 2n | (1n << 27n)],
    [
      '…which an SMMU without the choice must not be told (§5.2.2)',
      { ...cdtable, stall: false, stallSelectable: false },
      CACHED | 2n,
    ],
    ['page requests with PASIDs in the answers', { ...cdtable, pasidInResponses: true }, CACHED | 2n | (1n << 18n)],
    ['ATS', { ...cdtable, ats: true }, CACHED | 2n | (1n << 28n)],
    ['EL2-E2H', { ...cdtable, e2h: true }, CACHED | 2n | (2n << 30n)],
    ['S1DSS bypass', { ...cdtable, s1dss: S1DSS_BYPASS }, CACHED | 1n | (1n << 44n)],
    ['S1DSS bypass without override', { ...cdtable, s1dss: S1DSS_BYPASS, attrTypesOverride: false }, CACHED | 1n],
    ['S1DSS terminate', { ...cdtable, s1dss: S1DSS_TERMINATE }, CACHED],
  ])('stage 1: %s', (_rule, options, dword1) => {
    // dword 0: V 0, Config 3:1 = 5, S1Fmt 5:4, S1ContextPtr 51:6, S1CDMax 63:59
    expect(dwords((t) => makeCdtableSte(t, options))).toEqual(['800000004000101b', dword1.toString(16), ...zeros(6)]);
  });
  it('stage 2', () => {
    const stage2 = { vttbr: 0x8_0000_1000, vtcr: { tsz: 24, sl: 1, tg: 0, sh: 3, orgn: 1, irgn: 1, ps: 5 } };
    const options = { stage2, vmid: 0x55, ats: true, stall: true, attrTypesOverride: true };
    // dword 2: VMID 15:0, T0SZ 37:32, SL0 39:38, IR0 41:40, OR0 43:42, SH0 45:44, TG 47:46, PS 50:48, AA64 51, PTW 54, S 57, R 58
    expect(dwords((t) => makeStage2Ste(t, options))).toEqual([
      'd',
      ((1n << 28n) | (1n << 44n)).toString(16),
      ((1n << 58n) | (1n << 57n) | (1n << 54n) | (1n << 51n) | (0x5_3558n << 32n) | 0x55n).toString(16),
      '800001000',
      ...zeros(4),
    ]);
    expect(dwords((t) => makeStage2Ste(t, { ...options, ats: false, stall: false, attrTypesOverride: false }))[1]).toBe(
      '0',
    );
  });
});

it('stage 2 in the 52-bit layout: S2SL0_2 is bit 194, S2DS bit 195', () => {
  const stage2 = {
    vttbr: 0x1000,
    vtcr: { tsz: 12, sl: 0, sl2: true, ds: true, tg: 0, sh: 3, orgn: 1, irgn: 1, ps: 6 },
  };
  const options = { stage2, vmid: 1, ats: false, stall: false, attrTypesOverride: false };
  expect(dwords((t) => makeStage2Ste(t, options))[3]).toBe('100c');
});

describe('what a stream table entry uses', () => {
  const used = (entry: Uint32Array) => {
    const bits = newSte();
    steKind.usedBits(entry, bits);
    return [...new BigUint64Array(bits.buffer)].map((dword) => dword.toString(16));
  };
  it('invalid: V', () => expect(used(newSte())).toEqual(['1', ...zeros(7)]));
  it('any of the aborting Configs: V and Config', () => {
    for (const config of [0, 1, 2, 3]) {
      const entry = newSte();
      entry[0] = 1 | (config << 1);
      expect(used(entry)).toEqual(['f', ...zeros(7)]);
    }
  });
  it('nested: everything of both stages', () => {
    const entry = newSte();
    entry[0] = 1 | (7 << 1);
    const [d0, d1, d2, d3] = used(entry);
    expect(d0).toBe('f8ffffffffffffff');
    expect(d1).toBe('3000fa0c00ff');
    expect(d2).toBe('65fffff0000ffff');
    expect(d3).toBe('fffffffffffffc');
  });
});

describe('SteWriter', () => {
  it('invalidates the entry of its stream at each step, and waits', () => {
    const board = fakeBoard();
    const cmdq = new CommandQueue({ ...board, log2Entries: 4, completeToMemory: false, handleGerror: () => {} });
    board.registers.write64(REG.CMDQ_BASE, cmdq.queue.base + 4, 0);
    board.registers.write32(REG.CR0, 8);
    const writer = new SteWriter(board.memory, board.coherence, cmdq);
    writer.sid = 0x900;
    const pa = board.pages.allocPages(4096);
    const bypass = newSte();
    makeBypassSte(bypass, true);
    expect(writer.write(pa, bypass)).toBe('hitless');
    expect(board.hardware.commands.map(({ name, words }) => [name, words[1]])).toEqual([
      ['CMD_CFGI_STE', 0x900],
      ['CMD_SYNC', 0],
      ['CMD_CFGI_STE', 0x900],
      ['CMD_SYNC', 0],
    ]);
  });
});
