/**
 * Fields of a structure in memory: where the bits are, what they mean, how to read and write them.
 *
 * Hot code names a field at the call site (`CD.ASID.get(words, base)`): the engine then knows the object, inlines the
 * method and folds the field's numbers, so that a read costs what a hand-written mask does (layout.bench.ts). A field
 * kept in a variable costs about twice that, any array but `Uint32Array` more. Methods need their field: do not detach
 * them. Properties are declared, not defined: a class field is first set to undefined, and what is set twice is no
 * constant to the engine.
 */
import { FieldRangeError } from './errors.ts';

/** What an encoded value means: a number, or the first and last of a run of numbers that mean the same. */
export type Values = Readonly<Record<string, number | readonly [first: number, last: number]>>;

/** Tells from the structure itself whether one of several meanings of its bits holds. */
export type Holds = (words: Uint32Array, base: number) => boolean;

/** Where a field is. `hi` and `lo` are bit numbers inside the 64-bit `dword`, both inclusive. */
abstract class Position {
  declare readonly dword: number;
  declare readonly hi: number;
  declare readonly lo: number;
  /** Index inside the structure of the 32-bit word that holds the lowest bit. */
  declare readonly word: number;
  /** One sentence, in words. */
  declare readonly doc: string;
  /** Set if the bits have another meaning too: when this one holds. See {@link alternate}. */
  declare readonly when: string | undefined;
  declare readonly holds: Holds | undefined;

  constructor(dword: number, hi: number, lo: number, word: number, doc: string, when?: string, holds?: Holds) {
    this.dword = dword;
    this.hi = hi;
    this.lo = lo;
    this.word = word;
    this.doc = doc;
    this.when = when;
    this.holds = holds;
  }
}

/** An unsigned number inside one 32-bit word. */
export class BitsField extends Position {
  readonly kind = 'bits' as const;
  /** Bit number of the lowest bit inside the word. */
  declare readonly shift: number;
  /** The field's bits inside the word, unsigned. */
  declare readonly mask: number;
  /** Largest value. */
  declare readonly max: number;
  /** `max` as a signed word. Methods use small integers only: the engine folds those into the code, but no doubles. */
  declare readonly limit: number;
  /** What values mean, if they have names. They stay open: software may write one that has none. */
  declare readonly values: Values | undefined;
  /** What a value means that `values` does not name. */
  declare readonly reserved: string | undefined;

  constructor(
    dword: number,
    hi: number,
    lo: number,
    doc: string,
    values?: Values,
    reserved?: string,
    when?: string,
    holds?: Holds,
  ) {
    super(dword, hi, lo, dword * 2 + (lo >>> 5), doc, when, holds);
    this.shift = lo & 31;
    this.max = 2 ** (hi - lo + 1) - 1;
    this.limit = this.max | 0;
    this.mask = (this.limit << this.shift) >>> 0;
    this.values = values;
    this.reserved = reserved;
  }

  /** @param base - Index of the structure's first word. */
  get(words: Uint32Array, base: number): number {
    return ((words[base + this.word]! >>> this.shift) & this.limit) >>> 0;
  }

  /** @throws {@link FieldRangeError} (`ERANGE`) if `value` is no unsigned number of that many bits. */
  set(words: Uint32Array, base: number, value: number): void {
    if (value >>> 0 !== value || (value & ~this.limit) !== 0) throw new FieldRangeError(this.doc, value, this.max);
    words[base + this.word] = (words[base + this.word]! & ~(this.limit << this.shift)) | (value << this.shift);
  }

  /** The field's value in a word at hand, such as a register that was just read. */
  of(word: number): number {
    return ((word >>> this.shift) & this.limit) >>> 0;
  }
}

/** A {@link BitsField} whose values have names. */
export type ChoiceField<E extends Values = Values> = BitsField & { readonly values: E; readonly reserved: string };

/** An unsigned number of fewer than 32 bits that crosses from one 32-bit word into the next. */
export class StraddleField extends Position {
  readonly kind = 'straddle' as const;
  declare readonly shift: number;
  declare readonly max: number;
  declare readonly values: Values | undefined;
  declare readonly reserved: string | undefined;

  constructor(dword: number, hi: number, lo: number, doc: string, values?: Values, reserved?: string) {
    super(dword, hi, lo, dword * 2 + (lo >>> 5), doc);
    this.shift = lo & 31;
    this.max = 2 ** (hi - lo + 1) - 1;
    this.values = values;
    this.reserved = reserved;
  }

  get(words: Uint32Array, base: number): number {
    const low = words[base + this.word]! >>> this.shift;
    return (low | (words[base + this.word + 1]! << (32 - this.shift))) & this.max;
  }

  /** @throws {@link FieldRangeError} (`ERANGE`) if `value` is no unsigned number of that many bits. */
  set(words: Uint32Array, base: number, value: number): void {
    if (value >>> 0 !== value || value > this.max) throw new FieldRangeError(this.doc, value, this.max);
    const carried = 32 - this.shift; // bits that the lower word holds
    words[base + this.word] = (words[base + this.word]! & ~(this.max << this.shift)) | (value << this.shift);
    words[base + this.word + 1] = (words[base + this.word + 1]! & ~(this.max >>> carried)) | (value >>> carried);
  }
}

/** A single bit. */
export class FlagField extends Position {
  readonly kind = 'flag' as const;
  declare readonly shift: number;
  declare readonly mask: number;
  /** What clear and set mean, where "no" and "yes" do not say it. */
  declare readonly meanings: readonly [clear: string, set: string] | undefined;

  constructor(
    dword: number,
    bit: number,
    doc: string,
    meanings?: readonly [string, string],
    when?: string,
    holds?: Holds,
  ) {
    super(dword, bit, bit, dword * 2 + (bit >>> 5), doc, when, holds);
    this.shift = bit & 31;
    this.mask = (1 << this.shift) >>> 0;
    this.meanings = meanings;
  }

  get(words: Uint32Array, base: number): boolean {
    return ((words[base + this.word]! >>> this.shift) & 1) !== 0;
  }

  set(words: Uint32Array, base: number, on: boolean): void {
    const mask = 1 << this.shift;
    words[base + this.word] = on ? words[base + this.word]! | mask : words[base + this.word]! & ~mask;
  }

  /** The flag in a word at hand. */
  of(word: number): boolean {
    return ((word >>> this.shift) & 1) !== 0;
  }
}

/** Bits of both words of a dword, kept in place: those below `lo` and above `hi` read as zero. */
abstract class InPlace extends Position {
  /** The field's bits in the lower and in the upper word, unsigned. */
  declare readonly maskLo: number;
  declare readonly maskHi: number;
  /** The same as signed words, for {@link BitsField.limit}'s reason. */
  declare readonly keepLo: number;
  declare readonly keepHi: number;

  constructor(dword: number, hi: number, lo: number, doc: string, when?: string, holds?: Holds) {
    super(dword, hi, lo, dword * 2, doc, when, holds);
    this.maskLo = -(2 ** lo) >>> 0;
    this.maskHi = 2 ** (hi - 31) - 1;
    this.keepLo = this.maskLo | 0;
    this.keepHi = this.maskHi | 0;
  }

  /** As a number: exact below 2^53, and for larger values if they are multiples of 4 KiB; else rounded. */
  get(words: Uint32Array, base: number): number {
    return (
      ((words[base + this.word + 1]! & this.keepHi) >>> 0) * 2 ** 32 + ((words[base + this.word]! & this.keepLo) >>> 0)
    );
  }

  /** The value in two words at hand, as {@link get} would read it. */
  of(lo: number, hi: number): number {
    return ((hi & this.keepHi) >>> 0) * 2 ** 32 + ((lo & this.keepLo) >>> 0);
  }

  /** The lower word alone. */
  getLo(words: Uint32Array, base: number): number {
    return (words[base + this.word]! & this.keepLo) >>> 0;
  }

  /** The upper word alone. */
  getHi(words: Uint32Array, base: number): number {
    return (words[base + this.word + 1]! & this.keepHi) >>> 0;
  }
}

/**
 * An address, in bytes. `hi` is 55 at most, the largest output address of the architecture. A number holds any such
 * address if `lo` is 3 or more, and with `lo` 2 (MSI targets) those below 2^55.
 */
export class AddrField extends InPlace {
  readonly kind = 'addr' as const;

  /** @throws {@link FieldRangeError} (`ERANGE`) if `value` is no integer or has bits outside `hi` and `lo`. */
  set(words: Uint32Array, base: number, value: number): void {
    const high = Math.floor(value / 2 ** 32);
    const fits = high >= 0 && high <= 0xff_ffff && (high & ~this.keepHi) === 0 && (value & ~this.keepLo) === 0;
    if (!fits || Math.floor(value) !== value) throw this.#range(value);
    words[base + this.word] = (words[base + this.word]! & ~this.keepLo) | value;
    words[base + this.word + 1] = (words[base + this.word + 1]! & ~this.keepHi) | high;
  }

  #range(value: number): FieldRangeError {
    const step = 2 ** this.lo;
    return new FieldRangeError(this.doc, value, 2 ** (this.hi + 1) - step, step);
  }
}

/** Up to 64 bits that may exceed what a number holds: input addresses, opaque values. Too wide values lose bits. */
export class WideField extends InPlace {
  readonly kind = 'wide' as const;

  /** Writes two unsigned words. Bits that the field has no room for are dropped, as hardware drops them. */
  set(words: Uint32Array, base: number, lo: number, hi: number): void {
    words[base + this.word] = (words[base + this.word]! & ~this.keepLo) | (lo & this.keepLo);
    words[base + this.word + 1] = (words[base + this.word + 1]! & ~this.keepHi) | (hi & this.keepHi);
  }

  /** Writes an address given as a number. Bits that the field has no room for are dropped. */
  setNumber(words: Uint32Array, base: number, value: number): void {
    this.set(words, base, value >>> 0, (value / 2 ** 32) >>> 0);
  }
}

export type Field = BitsField | StraddleField | FlagField | AddrField | WideField;

/** An unsigned number inside one 32-bit word. */
export const bits = (dword: number, hi: number, lo: number, doc: string): BitsField =>
  new BitsField(dword, hi, lo, doc);

/** A number whose values have names. Values without one mean `reserved`. */
export const choice = <const E extends Values>(
  dword: number,
  hi: number,
  lo: number,
  values: E,
  doc: string,
  reserved = 'reserved',
): ChoiceField<E> => new BitsField(dword, hi, lo, doc, values, reserved) as ChoiceField<E>;

/** A {@link choice} that lies across a boundary of 32-bit words. */
export const straddle = (
  dword: number,
  hi: number,
  lo: number,
  values: Values,
  doc: string,
  reserved = 'reserved',
): StraddleField => new StraddleField(dword, hi, lo, doc, values, reserved);

/** A single bit, and what it means clear and set where "no" and "yes" do not say it. */
export const flag = (dword: number, bit: number, doc: string, meanings?: readonly [string, string]): FlagField =>
  new FlagField(dword, bit, doc, meanings);

/** An address kept in place. */
export const addr = (dword: number, hi: number, lo: number, doc: string): AddrField =>
  new AddrField(dword, hi, lo, doc);

/** Up to 64 bits kept in place, read and written as two words. */
export const wide = (dword: number, hi: number, lo: number, doc: string): WideField =>
  new WideField(dword, hi, lo, doc);

/** A field that can be one of several meanings of its bits. */
export type Alternate = BitsField | FlagField | AddrField;

/**
 * Marks a field as one of several meanings of the same bits.
 *
 * @param when - The condition in words; two fields may share bits only if both have one and the two differ.
 * @param holds - Tells from the structure whether the condition is met. Leave it out if that depends on what is outside.
 */
export function alternate<F extends Alternate>(when: string, field: F, holds?: Holds): F {
  return copy(field, when, holds) as F; // the same class, and for a choice the same values
}

function copy(field: Alternate, when: string, holds: Holds | undefined): Alternate {
  const { dword, hi, lo, doc } = field;
  switch (field.kind) {
    case 'bits':
      return new BitsField(dword, hi, lo, doc, field.values, field.reserved, when, holds);
    case 'flag':
      return new FlagField(dword, hi, doc, field.meanings, when, holds);
    case 'addr':
      return new AddrField(dword, hi, lo, doc, when, holds);
  }
}
