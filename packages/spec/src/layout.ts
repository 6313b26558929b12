/**
 * A structure is one table of fields: it encodes, decodes, checks itself for overlaps, knows its reserved bits and
 * prints its own documentation. IHI 0070 numbers bits inside 64-bit dwords, and so do the tables.
 */
import { LayoutError } from './errors.ts';
import type { AddrField, Field, FlagField, WideField } from './field.ts';

export type Fields = Readonly<Record<string, Field>>;

/** A structure's fields as plain values: numbers, booleans, and bigints where a number may be too small. */
export type Decoded<F extends Fields> = {
  -readonly [K in keyof F]: F[K] extends FlagField ? boolean : F[K] extends WideField ? bigint : number;
};

export interface Layout<F extends Fields = Fields> {
  readonly name: string;
  readonly byteLength: number;
  /** Where the architecture defines it. */
  readonly spec: string;
  readonly fields: F;
  /** For each word the bits that no field claims. They must be zero; what a 1 there does is the structure's own rule. */
  readonly reserved: Uint32Array;
  /** All fields as values, every alternate included. For traces and tools, not per transaction. */
  decode(words: Uint32Array, base?: number): Decoded<F>;
  /**
   * Clears the structure and writes the given fields.
   * @throws FieldRangeError if a value does not fit its field.
   */
  encode(value: Partial<Decoded<F>>, words: Uint32Array, base?: number): void;
  /** Whether any reserved bit is set. */
  hasReservedBits(words: Uint32Array, base?: number): boolean;
  /** The fields as a Markdown table. */
  markdown(): string;
}

/**
 * Makes a layout.
 *
 * @param name - The architecture's own name.
 * @param byteLength - Size in memory, a multiple of 4.
 * @param spec - The section that defines it.
 * @param fields - Name to field. Insertion order is the order of documentation.
 * @throws LayoutError if two fields share a bit without being alternates of each other, or if one lies outside.
 */
export function layout<const F extends Fields>(name: string, byteLength: number, spec: string, fields: F): Layout<F> {
  const reserved = claim(name, byteLength, fields);
  const wordCount = byteLength / 4;
  return {
    name,
    byteLength,
    spec,
    fields,
    reserved,
    decode(words, base = 0) {
      const out: Record<string, number | boolean | bigint> = {};
      for (const key in fields) out[key] = read(fields[key]!, words, base);
      return out as Decoded<F>;
    },
    encode(value, words, base = 0) {
      words.fill(0, base, base + wordCount);
      for (const key in value) {
        const given = value[key];
        if (given !== undefined) write(fields[key]!, words, base, given);
      }
    },
    hasReservedBits(words, base = 0) {
      for (let i = 0; i < wordCount; i++) if ((words[base + i]! & reserved[i]!) !== 0) return true;
      return false;
    },
    markdown: () => markdown(fields),
  };
}

/** Checks that the fields neither overlap nor lie outside, and returns the bits that are left. */
function claim(name: string, byteLength: number, fields: Fields): Uint32Array {
  const reserved = new Uint32Array(byteLength / 4).fill(~0);
  const owners: [key: string, field: Field][][] = Array.from({ length: byteLength * 8 }, () => []);
  for (const [key, field] of Object.entries(fields)) {
    for (let bit = field.dword * 64 + field.lo; bit <= field.dword * 64 + field.hi; bit++) {
      const others = owners[bit];
      if (!others) throw new LayoutError(`${name}.${key}: bit ${bit} lies outside its ${byteLength} bytes`);
      for (const [other, { when }] of others)
        if (when === undefined || field.when === undefined || when === field.when)
          throw new LayoutError(`${name}.${key} and ${name}.${other} both claim bit ${bit}`);
      others.push([key, field]);
      reserved[bit >>> 5]! &= ~(1 << (bit & 31));
    }
  }
  return reserved;
}

function read(field: Field, words: Uint32Array, base: number): number | boolean | bigint {
  return field.kind === 'wide' ? exact(field, words, base) : field.get(words, base);
}

/** A field's bits, in place for addresses and wide values, as a bigint that no rounding touched. */
export function exact(field: AddrField | WideField, words: Uint32Array, base: number): bigint {
  const low = (words[base + field.word]! & field.maskLo) >>> 0;
  const high = (words[base + field.word + 1]! & field.maskHi) >>> 0;
  return (BigInt(high) << 32n) | BigInt(low);
}

function write(field: Field, words: Uint32Array, base: number, value: unknown): void {
  if (field.kind === 'wide') {
    const whole = BigInt.asUintN(64, value as bigint);
    field.set(words, base, Number(whole & 0xffff_ffffn), Number(whole >> 32n));
  } else if (field.kind === 'flag') field.set(words, base, value as boolean);
  else field.set(words, base, value as number);
}

/** `hi:lo`, or the one bit, inside its dword. */
export const position = (field: Field): string => (field.hi === field.lo ? `${field.lo}` : `${field.hi}:${field.lo}`);

function markdown(fields: Fields): string {
  const rows = Object.entries(fields).map(
    ([key, field]) =>
      `| ${key} | ${field.dword} | ${position(field)} | ${field.doc}${field.when ? ` (${field.when})` : ''} | ${legend(field)} |`,
  );
  return ['| field | dword | bits | what | values |', '| --- | --- | --- | --- | --- |', ...rows].join('\n');
}

/** What a field's values mean, in one line. */
function legend(field: Field): string {
  if (field.kind === 'flag') return field.meanings ? `0 ${field.meanings[0]}, 1 ${field.meanings[1]}` : '';
  if (!('values' in field) || field.values === undefined) return '';
  const named = Object.entries(field.values).map(
    ([meaning, value]) => `${typeof value === 'number' ? value : `${value[0]}–${value[1]}`} ${meaning}`,
  );
  return named.join(', ');
}
