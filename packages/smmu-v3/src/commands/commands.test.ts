/** Each builder against dwords typed in from the manual (IHI 0070 §4) and Linux arm-smmu-v3.h. */
import { describe, expect, it } from 'vitest';
import { atcInv } from './atcInv.ts';
import { COMMAND_WORDS } from './begin.ts';
import { cfgiCd } from './cfgiCd.ts';
import { cfgiCdAll } from './cfgiCdAll.ts';
import { cfgiSte } from './cfgiSte.ts';
import { cfgiAll, cfgiSteRange } from './cfgiSteRange.ts';
import { priResp } from './priResp.ts';
import { resume } from './resume.ts';
import { stallTerm } from './stallTerm.ts';
import { sync, syncToMemory } from './sync.ts';
import { tlbiEl2All, tlbiNsnhAll } from './tlbiAll.ts';
import { tlbiEl2Asid } from './tlbiEl2Asid.ts';
import { tlbiNhAsid } from './tlbiNhAsid.ts';
import { tlbiS12Vmall } from './tlbiS12Vmall.ts';
import { TlbiVa } from './tlbiVa.ts';

type Build = (words: Uint32Array, at: number) => void;
const va = (settings: Partial<TlbiVa>, address: number, num: number, scale: number): Build => {
  const command = Object.assign(new TlbiVa(), settings);
  return (words, at) => command.build(words, at, address, num, scale);
};

describe('commands are laid out as the manual says', () => {
  it.each<[string, Build, bigint, bigint]>([
    ['CFGI_STE, leaf', (w, i) => cfgiSte(w, i, 0x900, true), 0x0000_0900_0000_0003n, 1n],
    ['CFGI_STE, all levels', (w, i) => cfgiSte(w, i, 0xffff_ffff, false), 0xffff_ffff_0000_0003n, 0n],
    ['CFGI_STE_RANGE', (w, i) => cfgiSteRange(w, i, 0x40, 5), 0x0000_0040_0000_0004n, 5n],
    ['CFGI_ALL', cfgiAll, 0x0000_0000_0000_0004n, 31n],
    ['CFGI_CD', (w, i) => cfgiCd(w, i, 8, 0xabcde, true), 0x0000_0008_abcd_e005n, 1n],
    ['CFGI_CD, all levels', (w, i) => cfgiCd(w, i, 8, 1, false), 0x0000_0008_0000_1005n, 0n],
    ['CFGI_CD_ALL', (w, i) => cfgiCdAll(w, i, 8), 0x0000_0008_0000_0006n, 0n],
    ['TLBI_NH_ASID', (w, i) => tlbiNhAsid(w, i, 0xffff), 0xffff_0000_0000_0011n, 0n],
    ['TLBI_EL2_ASID', (w, i) => tlbiEl2Asid(w, i, 0x1234), 0x1234_0000_0000_0021n, 0n],
    ['TLBI_EL2_ALL', tlbiEl2All, 0x20n, 0n],
    ['TLBI_S12_VMALL', (w, i) => tlbiS12Vmall(w, i, 0xabcd), 0x0000_abcd_0000_0028n, 0n],
    ['TLBI_NSNH_ALL', tlbiNsnhAll, 0x30n, 0n],
    [
      'TLBI_NH_VA by address',
      va({ opcode: 0x12, tag: 0xbeef, leaf: true }, 0xf_ffff_ffff_f000, 0, 0),
      0xbeef_0000_0000_0012n,
      0x000f_ffff_ffff_f001n,
    ],
    [
      'TLBI_NH_VA by range',
      va({ opcode: 0x12, tag: 1, leaf: true, tg: 1, ttl: 3 }, 0x1234_5000, 31, 31),
      0x0001_0000_01f1_f012n,
      0x0000_0000_1234_5701n,
    ],
    ['TLBI_EL2_VA', va({ opcode: 0x22, tag: 2, tg: 3 }, 0x8000_0000, 1, 2), 0x0002_0000_0020_1022n, 0x8000_0c00n],
    [
      'TLBI_S2_IPA has its VMID lower than the others their ASID',
      va({ opcode: 0x2a, tag: 0x77, leaf: true, tg: 2, ttl: 2 }, 0xff_0000_0000, 0, 1),
      0x0000_0077_0010_002an,
      0x0000_00ff_0000_0a01n,
    ],
    [
      'ATC_INV of a substream',
      (w, i) => atcInv(w, i, 9, 5, { address: 0x4000, log2Pages: 2 }),
      0x0000_0009_0000_5840n,
      0x4002n,
    ],
    [
      'ATC_INV without substream, everything',
      (w, i) => atcInv(w, i, 9, 0, { address: 0, log2Pages: 52 }),
      0x0000_0009_0000_0040n,
      52n,
    ],
    ['PRI_RESP success', (w, i) => priResp(w, i, 9, 5, 0x1ff, 2), 0x0000_0009_0000_5841n, 0x21ffn],
    ['PRI_RESP without PASID, failure', (w, i) => priResp(w, i, 9, -1, 3, 0), 0x0000_0009_0000_0041n, 3n],
    ['RESUME retry', (w, i) => resume(w, i, 9, 0xffff, true), 0x0000_0009_0000_1044n, 0xffffn],
    ['RESUME abort', (w, i) => resume(w, i, 9, 7, false), 0x0000_0009_0000_2044n, 7n],
    ['STALL_TERM', (w, i) => stallTerm(w, i, 9), 0x0000_0009_0000_0045n, 0n],
    ['SYNC', sync, 0x46n, 0n],
    [
      'SYNC to memory: inner shareable write-back',
      (w, i) => syncToMemory(w, i, 0xf_1234_5670),
      0x0000_0000_0fc0_1046n,
      0xf_1234_5670n,
    ],
  ])('%s', (_name, build, low, high) => {
    const words = new Uint32Array(3 * COMMAND_WORDS).fill(0xffff_ffff);
    build(words, COMMAND_WORDS);
    const dwords = new BigUint64Array(words.buffer);
    expect([dwords[2]!.toString(16), dwords[3]!.toString(16)]).toEqual([low.toString(16), high.toString(16)]);
    expect(dwords[1]).toBe(2n ** 64n - 1n); // its neighbours are left alone
    expect(dwords[4]).toBe(2n ** 64n - 1n);
  });
  it('the fields refuse what they have no room for', () => {
    expect(() => tlbiNhAsid(new Uint32Array(4), 0, 0x10000)).toThrow(RangeError);
  });
});
