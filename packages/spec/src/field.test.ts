import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addr, alternate, bits, choice, FieldRangeError, flag, straddle, wide } from './index.ts';

const BASE = 3;
/** Words around a structure of one dword, filled with a pattern that no field may disturb. */
const noise = (pattern: number): Uint32Array => new Uint32Array(8).fill(pattern);
const pattern = fc.nat(0xffff_ffff);
const dword = fc.nat(1);
/** A position inside one word of a dword. */
const inWord = fc
  .tuple(dword, fc.nat(1), fc.nat(31), fc.nat(31))
  .map(([d, word, a, b]) => [d, word * 32 + Math.max(a, b), word * 32 + Math.min(a, b)] as const);

/** Checks that `write` changed the bits `hi:lo` of a dword and nothing else, and returns the dword. */
function changed(before: Uint32Array, after: Uint32Array, d: number, hi: number, lo: number): bigint {
  const whole = (words: Uint32Array): bigint => words.reduceRight((sum, word) => (sum << 32n) | BigInt(word), 0n);
  const at = BigInt((BASE + d * 2) * 32 + lo);
  const width = BigInt(hi - lo + 1);
  const mask = ((1n << width) - 1n) << at;
  expect(whole(before) & ~mask).toBe(whole(after) & ~mask);
  return (whole(after) & mask) >> at;
}

describe('a bits field', () => {
  it('round-trips every value that fits, anywhere in a word, and disturbs nothing else', () => {
    fc.assert(
      fc.property(inWord, pattern, fc.nat(0xffff_ffff), ([d, hi, lo], fill, any) => {
        const field = bits(d, hi, lo, 'x');
        const value = any % (field.max + 1);
        const words = noise(fill);
        field.set(words, BASE, value);
        expect(field.get(words, BASE)).toBe(value);
        expect(field.of(words[BASE + field.word]!)).toBe(value);
        expect(changed(noise(fill), words, d, hi, lo)).toBe(BigInt(value));
      }),
    );
  });

  it('covers the whole of a word as unsigned', () => {
    const field = bits(0, 63, 32, 'x');
    const words = new Uint32Array(2);
    field.set(words, 0, 0xffff_fffe);
    expect([field.get(words, 0), words[0], words[1], field.mask, field.max]).toEqual([
      0xffff_fffe, 0, 0xffff_fffe, 0xffff_ffff, 0xffff_ffff,
    ]);
  });

  it.each([-1, 8, 1.5, Number.NaN, 2 ** 32, Number.POSITIVE_INFINITY])('refuses %s in three bits', (value) => {
    const words = noise(0);
    const write = (): void => bits(0, 10, 8, 'start level').set(words, BASE, value);
    expect(write).toThrow(FieldRangeError);
    expect(write).toThrow('"start level" holds 0 to 0x7');
    expect(words).toEqual(noise(0));
  });

  it('carries the value and the limit on its error', () => {
    try {
      bits(0, 15, 0, 'ASID').set(noise(0), 0, 0x1_0000);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(RangeError);
      expect(error).toMatchObject({ name: 'FieldRangeError', code: 'ERANGE', value: 0x1_0000, max: 0xffff });
      expect((error as Error).message).toContain('got 0x10000');
    }
  });
});

describe('a choice', () => {
  it('names its values and stays open to others', () => {
    const field = choice(0, 7, 6, { '4KB': 0, '64KB': 1, '16KB': 2 }, 'granule');
    const words = new Uint32Array(2);
    field.set(words, 0, field.values['64KB']);
    expect(field.get(words, 0)).toBe(1);
    field.set(words, 0, 3);
    expect([field.get(words, 0), field.reserved]).toEqual([3, 'reserved']);
  });
});

describe('a straddling field', () => {
  it('round-trips across the word boundary and disturbs nothing else', () => {
    fc.assert(
      fc.property(
        dword,
        fc.integer({ min: 1, max: 15 }),
        fc.integer({ min: 0, max: 14 }),
        pattern,
        fc.nat(),
        (d, below, above, fill, any) => {
          const [hi, lo] = [32 + above, 32 - below];
          const field = straddle(d, hi, lo, {}, 'x');
          const value = any % (field.max + 1);
          const words = noise(fill);
          field.set(words, BASE, value);
          expect(field.get(words, BASE)).toBe(value);
          expect(changed(noise(fill), words, d, hi, lo)).toBe(BigInt(value));
        },
      ),
    );
  });

  it.each([-1, 8, 0.5])('refuses %s in three bits', (value) => {
    expect(() => straddle(0, 32, 30, {}, 'x').set(new Uint32Array(2), 0, value)).toThrow(FieldRangeError);
  });
});

describe('a flag', () => {
  it('sets and clears one bit and disturbs nothing else', () => {
    fc.assert(
      fc.property(dword, fc.nat(63), pattern, fc.boolean(), (d, bit, fill, on) => {
        const field = flag(d, bit, 'x');
        const words = noise(fill);
        field.set(words, BASE, on);
        expect(field.get(words, BASE)).toBe(on);
        expect(field.of(words[BASE + field.word]!)).toBe(on);
        expect(changed(noise(fill), words, d, bit, bit)).toBe(on ? 1n : 0n);
      }),
    );
  });

  it('has an unsigned mask at bit 31', () => expect(flag(0, 31, 'V').mask).toBe(0x8000_0000));
});

describe('an address', () => {
  const position = fc.tuple(fc.integer({ min: 47, max: 55 }), fc.integer({ min: 3, max: 16 }));

  it('round-trips up to bit 55 exactly and disturbs nothing else', () => {
    fc.assert(
      fc.property(position, dword, pattern, fc.bigInt({ min: 0n, max: 2n ** 56n - 1n }), ([hi, lo], d, fill, any) => {
        const field = addr(d, hi, lo, 'x');
        const kept = (any >> BigInt(lo)) % 2n ** BigInt(hi - lo + 1);
        const value = Number(kept << BigInt(lo));
        const words = noise(fill);
        field.set(words, BASE, value);
        expect(field.get(words, BASE)).toBe(value);
        expect(field.of(words[BASE + d * 2]!, words[BASE + d * 2 + 1]!)).toBe(value);
        expect(field.getHi(words, BASE) * 2 ** 32 + field.getLo(words, BASE)).toBe(value);
        expect(changed(noise(fill), words, d, hi, lo)).toBe(kept);
      }),
    );
  });

  it.each([
    ['negative', -4096],
    ['below its alignment', 0x1800],
    ['a fraction', 4096.5],
    ['beyond its top bit', 2 ** 52],
    ['so large that words wrap around', 2 ** 64],
    ['not a number', Number.NaN],
    ['infinite', Number.POSITIVE_INFINITY],
  ])('refuses an address that is %s', (_, value) => {
    const words = noise(0);
    const write = (): void => addr(0, 51, 12, 'next table').set(words, BASE, value);
    expect(write).toThrow('"next table" holds 0 to 0xffffffffff000, multiples of 0x1000');
    expect(words).toEqual(noise(0));
  });
});

describe('a wide field', () => {
  const u32 = fc.nat(0xffff_ffff);

  it('keeps the bits that it has room for and disturbs nothing else', () => {
    fc.assert(
      fc.property(fc.constantFrom(0, 12), dword, pattern, u32, u32, (lo, d, fill, low, high) => {
        const field = wide(d, 63, lo, 'x');
        const words = noise(fill);
        field.set(words, BASE, low, high);
        const kept = low - (low % 2 ** lo);
        expect([field.getLo(words, BASE), field.getHi(words, BASE)]).toEqual([kept, high]);
        expect(changed(noise(fill), words, d, 63, lo)).toBe(((BigInt(high) << 32n) | BigInt(kept)) >> BigInt(lo));
      }),
    );
  });

  it('takes and gives page-aligned numbers exactly up to the top of 64 bits', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 52n - 1n }), (page) => {
        const field = wide(0, 63, 12, 'x');
        const words = new Uint32Array(2);
        const address = Number(page) * 4096;
        field.setNumber(words, 0, address);
        expect(field.get(words, 0)).toBe(address);
        expect(field.of(words[0]!, words[1]!)).toBe(address);
        expect((BigInt(words[1]!) << 32n) | BigInt(words[0]!)).toBe(page << 12n);
      }),
    );
  });
});

describe('alternate', () => {
  const holds = (): boolean => true;
  it.each([
    bits(1, 9, 5, 'a'),
    choice(0, 7, 6, { x: 1 }, 'b', 'odd'),
    flag(1, 40, 'c', ['off', 'on']),
    addr(1, 55, 12, 'd'),
  ])('marks a field of each kind and leaves the original alone', (field) => {
    const marked = alternate('sometimes', field, holds);
    expect(marked).toEqual({ ...field, when: 'sometimes', holds });
    expect(Object.getPrototypeOf(marked)).toBe(Object.getPrototypeOf(field));
    expect(field.when).toBeUndefined();
    expect(alternate('sometimes', field).holds).toBeUndefined();
  });
});
