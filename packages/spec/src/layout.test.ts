import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addr,
  alternate,
  bits,
  cdLayout,
  choice,
  commandLayouts,
  eventLayouts,
  FieldRangeError,
  flag,
  type Layout,
  LayoutError,
  layout,
  priqLayout,
  registers,
  s1LeafLayout,
  steLayout,
  straddle,
  wide,
} from './index.ts';

const small = layout('SMALL', 16, 'nowhere', {
  V: flag(0, 0, 'valid', ['no', 'valid']),
  Kind: choice(0, 3, 1, { none: 0, some: [1, 3], most: 4 }, 'kind'),
  Cross: straddle(0, 33, 30, { zero: 0 }, 'crossing'),
  Old: alternate('old format', bits(0, 47, 40, 'old meaning')),
  New: alternate('new format', bits(0, 43, 40, 'new meaning')),
  Input: wide(1, 63, 12, 'input address'),
});

describe('layout: the reserved bits', () => {
  it('are those that no field claims', () => {
    expect([...small.reserved]).toEqual([0x3fff_fff0, 0xffff_00fc, 0x0000_0fff, 0]);
  });
  it('are found set at any base, and not beyond the structure', () => {
    const words = new Uint32Array(12);
    words[3] = 0xffff_ffff;
    words[8] = 0xffff_ffff;
    expect(small.hasReservedBits(words, 4)).toBe(false);
    expect(small.hasReservedBits(words)).toBe(false);
    words[6] = 1 << 11;
    expect(small.hasReservedBits(words, 4)).toBe(true);
  });
});

describe('layout: a table that is wrong', () => {
  it('two fields that share a bit', () => {
    expect(() => layout('X', 8, '', { A: bits(0, 7, 4, ''), B: flag(0, 7, '') })).toThrow(
      new LayoutError('X.B and X.A both claim bit 7'),
    );
  });
  it('an alternate over a field that is not one', () => {
    const over = (): Layout => layout('X', 8, '', { A: bits(0, 7, 4, ''), B: alternate('b', flag(0, 7, '')) });
    expect(over).toThrow(LayoutError);
    const under = (): Layout => layout('X', 8, '', { A: alternate('a', bits(0, 7, 4, '')), B: flag(0, 7, '') });
    expect(under).toThrow(LayoutError);
  });
  it('two alternates under the same condition', () => {
    expect(() => layout('X', 8, '', { A: alternate('a', flag(0, 7, '')), B: alternate('a', flag(0, 7, '')) })).toThrow(
      'X.B and X.A both claim bit 7',
    );
  });
  it('a field outside the structure', () => {
    expect(() => layout('X', 4, '', { A: bits(0, 35, 32, '') })).toThrow('X.A: bit 32 lies outside its 4 bytes');
  });
});

describe('layout: decode and encode', () => {
  it('give every field as a plain value', () => {
    const words = new Uint32Array(4);
    small.encode({ V: true, Kind: 4, Cross: 9, Old: 0xa5, Input: 0xffff_8000_1234_5000n }, words);
    expect(small.decode(words)).toEqual({
      V: true,
      Kind: 4,
      Cross: 9,
      Old: 0xa5,
      New: 5,
      Input: 0xffff_8000_1234_5000n,
    });
  });
  it('clear what is not given, at a base, and nothing around it', () => {
    const words = new Uint32Array(8).fill(0xffff_ffff);
    small.encode({ V: true, Kind: undefined } as { V: boolean }, words, 2);
    expect([...words]).toEqual([0xffff_ffff, 0xffff_ffff, 1, 0, 0, 0, 0xffff_ffff, 0xffff_ffff]);
    expect(small.decode(words, 2)).toMatchObject({ V: true, Kind: 0 });
  });
  it('refuse a value that does not fit', () => {
    expect(() => small.encode({ Kind: 8 }, new Uint32Array(4))).toThrow(FieldRangeError);
  });

  const all: Layout[] = [
    steLayout,
    cdLayout,
    priqLayout,
    s1LeafLayout,
    ...Object.values(commandLayouts),
    ...Object.values(eventLayouts),
    ...Object.values(registers),
  ];
  it.each(all.map((one) => [one.name, one] as const))('%s: what is decoded encodes to the same bits', (_, one) => {
    const count = one.byteLength / 4;
    fc.assert(
      fc.property(fc.array(fc.nat(0xffff_ffff), { minLength: count, maxLength: count }), (random) => {
        const words = Uint32Array.from(random, (word, i) => word & ~one.reserved[i]!);
        for (const field of Object.values(one.fields))
          if (field.kind === 'addr' && field.hi - field.lo > 52) words[field.dword * 2 + 1]! &= 0x007f_ffff; // see addr
        const again = new Uint32Array(count);
        one.encode(one.decode(words), again);
        expect(again).toEqual(words);
        expect(one.hasReservedBits(words)).toBe(false);
      }),
      { numRuns: 10 },
    );
  });
});

describe('layout: the documentation', () => {
  it('is a row for each field, with its values', () => {
    expect(small.markdown().split('\n')).toEqual([
      '| field | dword | bits | what | values |',
      '| --- | --- | --- | --- | --- |',
      '| V | 0 | 0 | valid | 0 no, 1 valid |',
      '| Kind | 0 | 3:1 | kind | 0 none, 1–3 some, 4 most |',
      '| Cross | 0 | 33:30 | crossing | 0 zero |',
      '| Old | 0 | 47:40 | old meaning (old format) |  |',
      '| New | 0 | 43:40 | new meaning (new format) |  |',
      '| Input | 1 | 63:12 | input address |  |',
    ]);
  });
  it('has no cell that breaks its table, in any layout', () => {
    for (const one of [steLayout, cdLayout, ...Object.values(commandLayouts), ...Object.values(registers)])
      for (const row of one.markdown().split('\n')) expect(row.match(/\|/g), `${one.name}: ${row}`).toHaveLength(6);
  });
  it('has a sentence for a field without meanings too', () => {
    expect(layout('X', 8, '', { A: flag(0, 1, 'a'), B: addr(0, 51, 12, 'b') }).markdown()).toContain(
      '| A | 0 | 1 | a |  |',
    );
  });
});
