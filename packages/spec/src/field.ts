/**
 * Fields of a structure in memory: where the bits are, what they mean, how to read and write them.
 *
 * Every field is an object made once. Hot code names it at the call site (`CD.ASID.get(words, base)`): the engine then
 * knows the object, inlines the closure and folds its constants, so that a read costs what a hand-written mask does. A
 * field kept in a variable that sees many fields costs ten times as much, and so does any array but `Uint32Array`.
 */
import { FieldRangeError } from './errors.ts';

/** What an encoded value means: a number, or the first and last of a run of numbers that mean the same. */
export type Values = Readonly<Record<string, number | readonly [first: number, last: number]>>;

/** What every field has. `hi` and `lo` are bit numbers inside the 64-bit `dword`, both inclusive. */
export interface Position {
  readonly dword: number;
  readonly hi: number;
  readonly lo: number;
  /** One sentence, in words. */
  readonly doc: string;
  /** Set when the bits have another meaning too: when this one holds. See {@link alternate}. */
  readonly when?: string;
  /** Tells from the structure itself whether this meaning holds, where it can be told. */
  readonly holds?: (words: Uint32Array, base: number) => boolean;
}

/** An unsigned number inside one 32-bit word. */
export interface BitsField extends Position {
  readonly kind: 'bits';
  /** Index of the word inside the structure. */
  readonly word: number;
  /** Bit number of the lowest bit inside the word. */
  readonly shift: number;
  /** The field's bits inside the word, unsigned. */
  readonly mask: number;
  /** Largest value. */
  readonly max: number;
  readonly values?: Values;
  /** What a value that `values` does not name means. */
  readonly reserved?: string;
  /** @param base - Index of the structure's first word. */
  readonly get: (words: Uint32Array, base: number) => number;
  /** @throws FieldRangeError if `value` is no unsigned number of that many bits. */
  readonly set: (words: Uint32Array, base: number, value: number) => void;
  /** The field's value in a word at hand, such as a register that was just read. */
  readonly of: (word: number) => number;
}

/** A {@link BitsField} whose encodings have names. They stay open: software may write a reserved one. */
export interface ChoiceField<E extends Values = Values> extends BitsField {
  readonly values: E;
  readonly reserved: string;
}

/** An unsigned number of up to 32 bits that crosses from one 32-bit word into the next. */
export interface StraddleField extends Position {
  readonly kind: 'straddle';
  /** Index of the lower word inside the structure. */
  readonly word: number;
  readonly max: number;
  readonly values?: Values;
  readonly reserved?: string;
  readonly get: (words: Uint32Array, base: number) => number;
  /** @throws FieldRangeError if `value` is no unsigned number of that many bits. */
  readonly set: (words: Uint32Array, base: number, value: number) => void;
}

/** A single bit. */
export interface FlagField extends Position {
  readonly kind: 'flag';
  readonly word: number;
  readonly shift: number;
  readonly mask: number;
  /** What clear and set mean, where "no" and "yes" do not say it. */
  readonly meanings?: readonly [clear: string, set: string];
  readonly get: (words: Uint32Array, base: number) => boolean;
  readonly set: (words: Uint32Array, base: number, on: boolean) => void;
  readonly of: (word: number) => boolean;
}

/** An address kept in place: its bits below `lo` and above `hi` are zero. In bytes. */
export interface AddrField extends Position {
  readonly kind: 'addr';
  /** Index of the lower word inside the structure. */
  readonly word: number;
  /** The field's bits in the lower and in the upper word, unsigned. */
  readonly maskLo: number;
  readonly maskHi: number;
  readonly get: (words: Uint32Array, base: number) => number;
  /** @throws FieldRangeError if `value` has bits outside `hi` and `lo`. */
  readonly set: (words: Uint32Array, base: number, value: number) => void;
  /** The address in two words at hand. */
  readonly of: (lo: number, hi: number) => number;
}

/** Up to 64 bits kept in place that may exceed what a number holds: input addresses, opaque values. */
export interface WideField extends Position {
  readonly kind: 'wide';
  readonly word: number;
  readonly maskLo: number;
  readonly maskHi: number;
  readonly getLo: (words: Uint32Array, base: number) => number;
  readonly getHi: (words: Uint32Array, base: number) => number;
  /** As a number: exact if the value is below 2^53 or a multiple of 4 KiB, rounded otherwise. */
  readonly get: (words: Uint32Array, base: number) => number;
  /** Writes two unsigned words. Bits that the field has no room for are dropped, as hardware drops them. */
  readonly set: (words: Uint32Array, base: number, lo: number, hi: number) => void;
  /** Writes an address given as a number. Bits that the field has no room for are dropped. */
  readonly setNumber: (words: Uint32Array, base: number, value: number) => void;
}

export type Field = BitsField | ChoiceField | StraddleField | FlagField | AddrField | WideField;

/** An unsigned number inside one 32-bit word. */
export function bits(dword: number, hi: number, lo: number, doc: string): BitsField {
  const word = dword * 2 + (lo >>> 5);
  const shift = lo & 31;
  const max = 2 ** (hi - lo + 1) - 1;
  const mask = (max << shift) >>> 0;
  return {
    kind: 'bits',
    dword,
    hi,
    lo,
    doc,
    word,
    shift,
    mask,
    max,
    get: (words, base) => ((words[base + word]! >>> shift) & max) >>> 0,
    set: (words, base, value) => {
      if (value >>> 0 !== value || value > max) throw new FieldRangeError(doc, value, max);
      words[base + word] = (words[base + word]! & ~mask) | (value << shift);
    },
    of: (value) => ((value >>> shift) & max) >>> 0,
  };
}

/** A number whose values have names. Values without one mean `reserved`. */
export function choice<const E extends Values>(
  dword: number,
  hi: number,
  lo: number,
  values: E,
  doc: string,
  reserved = 'reserved',
): ChoiceField<E> {
  return { ...bits(dword, hi, lo, doc), values, reserved };
}

/** A {@link choice} that lies across a boundary of 32-bit words. */
export function straddle(
  dword: number,
  hi: number,
  lo: number,
  values: Values,
  doc: string,
  reserved = 'reserved',
): StraddleField {
  const word = dword * 2 + (lo >>> 5);
  const shift = lo & 31;
  const max = 2 ** (hi - lo + 1) - 1;
  const lowMask = (max << shift) >>> 0;
  const carried = 32 - shift; // bits that the lower word holds
  const highMask = max >>> carried;
  return {
    kind: 'straddle',
    dword,
    hi,
    lo,
    doc,
    word,
    max,
    values,
    reserved,
    get: (words, base) => ((words[base + word]! >>> shift) | ((words[base + word + 1]! & highMask) << carried)) >>> 0,
    set: (words, base, value) => {
      if (value >>> 0 !== value || value > max) throw new FieldRangeError(doc, value, max);
      words[base + word] = (words[base + word]! & ~lowMask) | (value << shift);
      words[base + word + 1] = (words[base + word + 1]! & ~highMask) | (value >>> carried);
    },
  };
}

/** A single bit, and what it means clear and set where "no" and "yes" do not say it. */
export function flag(dword: number, bit: number, doc: string, meanings?: readonly [string, string]): FlagField {
  const word = dword * 2 + (bit >>> 5);
  const shift = bit & 31;
  const mask = (1 << shift) >>> 0;
  return {
    kind: 'flag',
    dword,
    hi: bit,
    lo: bit,
    doc,
    word,
    shift,
    mask,
    ...(meanings && { meanings }),
    get: (words, base) => (words[base + word]! & mask) !== 0,
    set: (words, base, on) => {
      words[base + word] = on ? words[base + word]! | mask : words[base + word]! & ~mask;
    },
    of: (value) => (value & mask) !== 0,
  };
}

/** The masks of `hi:lo` in the lower and upper word of a dword. */
function halves(hi: number, lo: number): { maskLo: number; maskHi: number } {
  return { maskLo: -(2 ** lo) >>> 0, maskHi: 2 ** (hi - 31) - 1 };
}

/**
 * An address kept in place. `hi` may be up to 55, the largest output address of the architecture: a double holds any
 * such address exactly if `lo` is 3 or more, and with `lo` 2 any below 2^55.
 */
export function addr(dword: number, hi: number, lo: number, doc: string): AddrField {
  const word = dword * 2;
  const { maskLo, maskHi } = halves(hi, lo);
  const end = 2 ** (hi + 1);
  const step = 2 ** lo;
  return {
    kind: 'addr',
    dword,
    hi,
    lo,
    doc,
    word,
    maskLo,
    maskHi,
    get: (words, base) => (words[base + word + 1]! & maskHi) * 2 ** 32 + ((words[base + word]! & maskLo) >>> 0),
    set: (words, base, value) => {
      if (!(value >= 0 && value < end) || value % step !== 0) throw new FieldRangeError(doc, value, end - step, step);
      words[base + word] = (words[base + word]! & ~maskLo) | value;
      words[base + word + 1] = (words[base + word + 1]! & ~maskHi) | (value / 2 ** 32);
    },
    of: (low, high) => (high & maskHi) * 2 ** 32 + ((low & maskLo) >>> 0),
  };
}

/** Up to 64 bits kept in place, read and written as two words. */
export function wide(dword: number, hi: number, lo: number, doc: string): WideField {
  const word = dword * 2;
  const { maskLo, maskHi } = halves(hi, lo);
  return {
    kind: 'wide',
    dword,
    hi,
    lo,
    doc,
    word,
    maskLo,
    maskHi,
    getLo: (words, base) => (words[base + word]! & maskLo) >>> 0,
    getHi: (words, base) => (words[base + word + 1]! & maskHi) >>> 0,
    get: (words, base) => ((words[base + word + 1]! & maskHi) >>> 0) * 2 ** 32 + ((words[base + word]! & maskLo) >>> 0),
    set: (words, base, low, high) => {
      words[base + word] = (words[base + word]! & ~maskLo) | (low & maskLo);
      words[base + word + 1] = (words[base + word + 1]! & ~maskHi) | (high & maskHi);
    },
    setNumber: (words, base, value) => {
      words[base + word] = (words[base + word]! & ~maskLo) | (value & maskLo);
      words[base + word + 1] = (words[base + word + 1]! & ~maskHi) | ((value / 2 ** 32) & maskHi);
    },
  };
}

/**
 * Marks a field as one of several meanings of the same bits.
 *
 * @param when - The condition in words; two fields may share bits only if both have one and the two differ.
 * @param holds - Tells from the structure whether the condition is met. Leave it out if that depends on what is outside.
 */
export function alternate<F extends Field>(
  when: string,
  field: F,
  holds?: (words: Uint32Array, base: number) => boolean,
): F {
  return { ...field, when, ...(holds && { holds }) };
}
