import { describe, expect, it } from 'vitest';
import {
  AP_TABLE,
  descriptorKind,
  permissionIndex,
  S1_AP,
  S1_AP_SINGLE,
  S1_LEAF,
  S2_AP,
  S2_XN,
  S2_XN_SINGLE,
} from '../index.ts';

describe('descriptorKind', () => {
  it.each([
    [0b00, 0, 'invalid'],
    [0b10, 2, 'invalid'],
    [0b01, 1, 'block'],
    [0b11, 2, 'table'],
    [0b11, -1, 'table'],
    [0b01, 3, 'invalid'],
    [0b11, 3, 'page'],
  ] as const)('%s at level %i is %s', (lo, level, kind) => {
    expect(descriptorKind(lo | 0xffff_f000, level)).toBe(kind);
  });
});

describe('permissions', () => {
  // Linux: AP_UNPRIV bit 6, AP_RDONLY bit 7, HAP_READ bit 6, HAP_WRITE bit 7
  it('stage 1: bit 6 lets the unprivileged in, bit 7 forbids writes', () => {
    for (const ap of [0, 1, 2, 3]) {
      const data = (ap & 2) !== 0 ? 'RO' : 'RW';
      expect(S1_AP[ap]).toEqual({ privileged: data, unprivileged: (ap & 1) !== 0 ? data : 'none' });
      expect(S1_AP_SINGLE[ap >> 1]).toBe(data);
    }
  });
  it('stage 2: bit 6 allows reads, bit 7 writes', () => {
    expect(S2_AP).toEqual(['none', 'RO', 'WO', 'RW']);
  });
  it('stage 2 execution: XN1 alone without XNX; with it XN0 turns it round for the privileged', () => {
    expect(S2_XN_SINGLE).toEqual(['all', 'none']);
    expect(S2_XN).toEqual(['all', 'unprivileged', 'none', 'privileged']);
  });
  it('a table takes away unprivileged access with bit 61 and writes with bit 62', () => {
    for (const value of [0, 1, 2, 3])
      expect(AP_TABLE[value]).toEqual({ noWrite: (value & 2) !== 0, noUnprivileged: (value & 1) !== 0 });
  });
  it('the index of indirect permissions has bits 54, 53, 51 and 6, top first', () => {
    const words = new Uint32Array(2);
    for (let index = 0; index < 16; index++) {
      words.fill(0);
      S1_LEAF.PIIndex3.set(words, 0, (index & 8) !== 0);
      S1_LEAF.PIIndex2.set(words, 0, (index & 4) !== 0);
      S1_LEAF.PIIndex1.set(words, 0, (index & 2) !== 0);
      S1_LEAF.PIIndex0.set(words, 0, (index & 1) !== 0);
      expect(permissionIndex(words[0]!, words[1]!)).toBe(index);
      const noisy = [words[0]! | ~S1_LEAF.PIIndex0.mask, words[1]! | ~((1 << 22) | (1 << 21) | (1 << 19))];
      expect(permissionIndex(noisy[0]!, noisy[1]!)).toBe(index);
    }
  });
});
