/** Says in words what a structure in memory holds: for command lines, logs and the explorer. */
import type { Field } from './field.ts';
import { exact, type Fields, type Layout } from './layout.ts';

/** One line of a description. */
export interface Description {
  readonly name: string;
  /** Bit numbers inside the whole structure, as the architecture counts them: `63:48` or `31`. */
  readonly bits: string;
  /** A bigint where a number could not hold it exactly. */
  readonly value: number | boolean | bigint;
  /** What the value means; empty for plain numbers and addresses. */
  readonly meaning: string;
  readonly doc: string;
  /** The condition under which the bits have this meaning, if they have several. */
  readonly when?: string;
}

/**
 * Describes a structure field by field, in the order of its table. A last line named RES0 stands for each run of
 * reserved bits that is not zero.
 *
 * Of several meanings of the same bits those that the structure itself rules out are left out. Where only its
 * surroundings can tell (a descriptor's granule, say), all are given with their condition, or those in `conditions`.
 *
 * @param base - Index of the structure's first word.
 * @param conditions - The conditions ({@link Description.when}) that hold. Without it, any may.
 * @example
 * describe(cdLayout, words, 0).find(({ name }) => name === 'TG0'); // { …, bits: '7:6', value: 1, meaning: '64KB' }
 */
export function describe(layout: Layout, words: Uint32Array, base = 0, conditions?: readonly string[]): Description[] {
  const lines: Description[] = [];
  for (const [name, field] of Object.entries(layout.fields as Fields)) {
    const { when, holds, doc } = field;
    if (when !== undefined && !(holds?.(words, base) ?? conditions?.includes(when) ?? true)) continue;
    const value = read(field, words, base);
    lines.push({
      name,
      bits: run(field.dword * 64 + field.hi, field.dword * 64 + field.lo),
      value,
      meaning: meaningOf(field, value),
      doc,
      ...(when !== undefined && { when }),
    });
  }
  return lines.concat(reservedLines(layout, words, base));
}

function read(field: Field, words: Uint32Array, base: number): number | boolean | bigint {
  if (field.kind === 'wide') return exact(field, words, base);
  if (field.kind !== 'addr') return field.get(words, base);
  const whole = exact(field, words, base);
  const rounded = field.get(words, base);
  return BigInt(rounded) === whole ? rounded : whole;
}

/** What a value of a field means, in words; empty if there is nothing to say. */
export function meaningOf(field: Field, value: number | boolean | bigint): string {
  if (field.kind === 'flag') return (field.meanings ?? ['no', 'yes'])[value ? 1 : 0];
  if (field.kind === 'addr' || field.kind === 'wide' || field.values === undefined) return '';
  for (const [meaning, encoded] of Object.entries(field.values)) {
    const [first, last] = typeof encoded === 'number' ? [encoded, encoded] : encoded;
    if (first <= Number(value) && Number(value) <= last) return meaning;
  }
  return field.reserved!; // whoever names values names the rest
}

function reservedLines(layout: Layout, words: Uint32Array, base: number): Description[] {
  const lines: Description[] = [];
  const isReserved = (bit: number): boolean => (((layout.reserved[bit >>> 5] ?? 0) >>> (bit & 31)) & 1) === 1;
  for (let lo = 0; lo < layout.byteLength * 8; lo++) {
    if (!isReserved(lo)) continue;
    let hi = lo;
    let value = 0n;
    for (; isReserved(hi); hi++) value |= BigInt((words[base + (hi >>> 5)]! >>> (hi & 31)) & 1) << BigInt(hi - lo);
    if (value !== 0n)
      lines.push({
        name: 'RES0',
        bits: run(hi - 1, lo),
        value: value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value,
        meaning: 'reserved bits that should be zero',
        doc: 'no field of this structure',
      });
    lo = hi;
  }
  return lines;
}

const run = (hi: number, lo: number): string => (hi === lo ? `${lo}` : `${hi}:${lo}`);
