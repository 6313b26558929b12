import { CD, commandByOpcode, EVENT, eventLayouts, STE } from '@smmu/spec';
import { describe, expect, it } from 'vitest';
import { CD_POSITIONS, CMD, CODES, cdWords, eventWords, STE_POSITIONS, steWords } from './bits.ts';

/** Hand-typed positions beside the tables that the model reads with. */
const spread = (words: readonly number[]): Uint32Array => Uint32Array.from(words);
const largest = ([, hi, lo]: readonly [number, number, number]): bigint => (1n << BigInt(hi - lo + 1)) - 1n;

describe('structures typed by hand agree with the spec package', () => {
  it.each(Object.keys(STE_POSITIONS))('STE.%s', (name) => {
    const position = STE_POSITIONS[name as keyof typeof STE_POSITIONS];
    const isAddress = name === 'S1ContextPtr' || name === 'S2TTB';
    const value = isAddress ? (1n << 52n) - (1n << BigInt(position[2])) : largest(position);
    const field = STE[name as keyof typeof STE];
    expect(Number(field.get(spread(steWords({ [name]: value })), 0))).toBe(Number(value));
  });
  it.each(Object.keys(CD_POSITIONS).filter((name) => name !== 'MAIR'))('CD.%s', (name) => {
    const position = CD_POSITIONS[name as keyof typeof CD_POSITIONS];
    const value = name.startsWith('TTB') ? (1n << 52n) - 16n : largest(position);
    const field = CD[name as keyof typeof CD];
    expect(Number(field.get(spread(cdWords({ [name]: value })), 0))).toBe(Number(value));
  });
  it.each(Object.entries(CODES))('event %s', (name, code) => {
    expect(EVENT[name as keyof typeof EVENT]).toBe(code);
  });
  it('F_PERMISSION in all fields', () => {
    const words = eventWords({
      Code: 0x13,
      SSV: 1,
      SubstreamID: 5,
      StreamID: 0x1234,
      STAG: 7,
      Stall: 1,
      PnU: 1,
      InD: 1,
      RnW: 1,
      S2: 1,
      CLASS: 2,
      TTRnW: 1,
      InputAddr: 0x1234_5678_9abc_def0n,
      IPA: 0x12_3456_7000n,
    });
    const decoded = eventLayouts.F_PERMISSION.decode(spread(words), 0);
    expect(decoded).toMatchObject({
      Code: 0x13,
      SSV: true,
      SubstreamID: 5,
      StreamID: 0x1234,
      STAG: 7,
      Stall: true,
      RnW: true,
      S2: true,
      CLASS: 2,
      TTRnW: true,
      InputAddr: 0x1234_5678_9abc_def0n,
      IPA: 0x12_3456_7000,
    });
  });
  it('commands have the opcodes of their names', () => {
    const names = [CMD.cfgiSte(1), CMD.nhVa(0n), CMD.s2Ipa(0n), CMD.sync(), CMD.resume(1)].map(
      ([first]) => commandByOpcode(first & 0xff)?.name,
    );
    expect(names).toEqual(['CMD_CFGI_STE', 'CMD_TLBI_NH_VA', 'CMD_TLBI_S2_IPA', 'CMD_SYNC', 'CMD_RESUME']);
  });
});

describe('values that do not fit are refused', () => {
  it('rather than spilling into the next field', () => {
    expect(() => steWords({ Config: 8 })).toThrow(RangeError);
    expect(() => cdWords({ T0SZ: 64 })).toThrow(RangeError);
    expect(() => eventWords({ Code: -1 })).toThrow(RangeError);
  });
});
