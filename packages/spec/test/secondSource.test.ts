/**
 * Every position in every table of this package, against positions that other people wrote down: Linux, QEMU, gem5,
 * Renode, FreeBSD, Fiasco, TF-A, TF-RMM, and the architecture's own field headings for what no program names.
 * A field without a row here fails, and so does a row without a field.
 */
import { describe, expect, it } from 'vitest';
import {
  cdLayout,
  commandHeader,
  commandLayouts,
  EVENT,
  eventHeader,
  eventLayouts,
  type Field,
  type Layout,
  l1cdLayout,
  l1stdLayout,
  OPCODE,
  priqLayout,
  registers,
  s1LeafLayout,
  s1TableLayout,
  s2LeafLayout,
  s2TableLayout,
  steLayout,
} from '../src/index.ts';
import { numbers, type Row, rows, type Sources } from './second-source/notation.ts';
import { offsets, readOnlyRegisters, wideRegisters } from './second-source/offsets.ts';
import { commandParameters, commands, eventCodes, eventFields, events, opcodes } from './second-source/queues.ts';
import { registerFields, sameFields } from './second-source/registers.ts';
import { tables } from './second-source/tables.ts';

const split = (text: string): string[] => text.split(/\s+/).filter(Boolean);
const absolute = (field: Field): [hi: number, lo: number] => [field.dword * 64 + field.hi, field.dword * 64 + field.lo];

/** The bits that writing ones changes, which is what a position is good for. */
function written(field: Field, byteLength: number): [hi: number, lo: number] {
  const words = new Uint32Array(byteLength / 4 + 2);
  const base = 1;
  if (field.kind === 'flag') field.set(words, base, true);
  else if (field.kind === 'wide') field.set(words, base, 0xffff_ffff, 0xffff_ffff);
  else if (field.kind === 'addr') {
    field.set(words, base, 2 ** field.hi);
    if (field.hi > field.lo) {
      const upper = words.slice();
      field.set(words, base, 2 ** field.lo);
      for (let i = 0; i < words.length; i++) words[i]! |= upper[i]!;
    }
  } else field.set(words, base, field.max);
  const set: number[] = [];
  for (let bit = 0; bit < words.length * 32; bit++)
    if ((words[bit >>> 5]! >>> (bit & 31)) & 1) set.push(bit - base * 32);
  return [set.at(-1)!, set[0]!];
}

/** Holds a layout against what sources say of it; returns the fields that they name. */
function compare(layout: Layout, ...said: Readonly<Record<string, string>>[]): Set<string> {
  const named = new Set<string>();
  for (const sources of said)
    for (const [source, text] of Object.entries(sources))
      for (const row of rows(text)) {
        const field = layout.fields[row.name];
        if (field === undefined) continue;
        check(layout, source, row, field);
        named.add(row.name);
      }
  return named;
}

function check(layout: Layout, source: string, row: Row, field: Field): void {
  const where = `${layout.name}.${row.name} in ${source}`;
  const [hi, lo] = absolute(field);
  expect(lo, where).toBe(row.lo);
  if (row.narrow) expect(hi, where).toBeGreaterThan(row.hi);
  else expect(hi, where).toBe(row.hi);
  expect(written(field, layout.byteLength), where).toEqual([hi, lo]);
}

const everyName = (sources: Readonly<Record<string, string>>): string[] =>
  Object.values(sources).flatMap((text) => (text.trim() === '' ? [] : rows(text).map(({ name }) => name)));

const structures: Readonly<Record<string, Layout>> = {
  STE: steLayout,
  CD: cdLayout,
  L1STD: l1stdLayout,
  L1CD: l1cdLayout,
  PRIQ_ENTRY: priqLayout,
  S1_LEAF: s1LeafLayout,
  S2_LEAF: s2LeafLayout,
  S1_TABLE: s1TableLayout,
  S2_TABLE: s2TableLayout,
};

describe('structures in memory sit where others have them', () => {
  it.each(Object.keys(tables))('%s', (name) => {
    const layout = structures[name]!;
    const named = compare(layout, tables[name]!);
    expect([...new Set(everyName(tables[name]!))].filter((field) => !(field in layout.fields))).toEqual([]);
    expect(Object.keys(layout.fields).filter((field) => !named.has(field))).toEqual([]);
  });

  it('has a second source for each structure', () => {
    expect(Object.keys(tables).sort()).toEqual(Object.keys(structures).sort());
  });
});

function queue(
  kind: string,
  layouts: Readonly<Record<string, Layout>>,
  sources: Sources,
  fields: Readonly<Record<string, string>>,
  first: string,
): void {
  describe(`${kind} sit where others have them`, () => {
    it.each(Object.keys(layouts))('%s', (name) => {
      const layout = layouts[name]!;
      const own = sources[name] ?? {};
      const named = compare(layout, sources.any!, own);
      expect(everyName(own).filter((field) => !(field in layout.fields))).toEqual([]);
      expect(Object.keys(layout.fields).filter((field) => !named.has(field) && field !== first)).toEqual([]);
      expect(new Set(Object.keys(layout.fields))).toEqual(new Set([first, ...split(fields[name]!)]));
    });

    it('has a list of fields for each of them and no other', () => {
      expect(Object.keys(fields).sort()).toEqual(Object.keys(layouts).sort());
    });
  });
}
queue('commands', { ...commandLayouts }, commands, commandParameters, 'Opcode');
queue('event records', { ...eventLayouts }, events, eventFields, 'Code');

describe('headers', () => {
  it('agree with what all commands have', () => {
    expect([...compare(commandHeader, commands.any!)].sort()).toEqual(Object.keys(commandHeader.fields).sort());
  });
  it('agree with what all event records have', () => {
    expect([...compare(eventHeader, events.any!)].sort()).toEqual(Object.keys(eventHeader.fields).sort());
  });
});

describe('codes are those that others use', () => {
  it('opcodes', () => expect(OPCODE).toEqual(Object.fromEntries(numbers(opcodes))));
  it('event codes', () => expect(EVENT).toEqual(Object.fromEntries(numbers(eventCodes))));
});

const twins = new Map(Object.entries(sameFields).flatMap(([base, names]) => split(names).map((name) => [name, base])));

describe('registers sit where others have them', () => {
  it.each(Object.entries(registers))('%s', (name, layout) => {
    const sources = registerFields[twins.get(name) ?? name]!;
    const named = compare(layout, sources);
    expect([...new Set(everyName(sources))].filter((field) => !(field in layout.fields))).toEqual([]);
    expect(Object.keys(layout.fields).filter((field) => !named.has(field))).toEqual([]);
  });

  it('are all in the second source, once', () => {
    const there = [...Object.keys(registerFields), ...twins.keys()];
    expect(there.sort()).toEqual(Object.keys(registers).sort());
  });

  const known = new Map<string, number>();
  for (const text of Object.values(offsets)) for (const [name, offset] of numbers(text)) known.set(name, offset);
  it.each(Object.entries(registers))('%s has its offset, width and access', (name, register) => {
    const pageBase = register.page === 'PAGE_1' && known.get(name)! < 0x10000 ? 0x10000 : 0;
    expect(register.offset).toBe(known.get(name)! + pageBase);
    const base = name.replace(/^[SR]_(?!VATOS)|^S_(?=VATOS)/, '');
    const isWide = new Set(split(wideRegisters)).has(base) || name === 'S_S2PII';
    expect(register.byteLength).toBe(isWide ? 8 : 4);
    expect(register.access).toBe(new Set(split(readOnlyRegisters)).has(base) ? 'RO' : 'RW');
  });

  it('are 169', () => expect(Object.keys(registers)).toHaveLength(169));
});
