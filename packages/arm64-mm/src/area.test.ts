import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Area, type AreaKind, AreaList } from './area.ts';
import type { FileCache } from './pageCache.ts';

const RW = { read: true, write: true };
const RO = { read: true, write: false };
/** Stands in for a file's cache: what an area asks of it. */
class Counted {
  references = 0;
  readonly file = { name: 'f' };
  get() {
    this.references += 1;
  }
  dropReference() {
    this.references -= 1;
  }
}
const asCache = (counted: Counted) => counted as unknown as FileCache;
const anonymous = (start: number, end: number, protection = RW) =>
  new Area(start, end, 'anonymous', protection, null, 0);
const shape = (list: AreaList) =>
  Array.from({ length: list.count }, (_, i) => `${list.at(i)!.start}-${list.at(i)!.end}`).join(' ');

describe('areas that could be one are one', () => {
  it.each<[string, Area, string]>([
    ['neighbours of one kind', anonymous(20, 30), '10-30 40-50'],
    ['on both sides', anonymous(20, 40), '10-50'],
    ['not with a gap', anonymous(21, 30), '10-20 21-30 40-50'],
    ['not with other permissions', anonymous(20, 40, RO), '10-20 20-40 40-50'],
    ['not of another kind', new Area(20, 40, 'guard', RW, null, 0), '10-20 20-40 40-50'],
  ])('%s', (_, area, expected) => {
    const list = new AreaList(10);
    list.insert(anonymous(10, 20));
    list.insert(anonymous(40, 50));
    list.insert(area);
    expect(shape(list)).toBe(expected);
  });
  it('of a file only where the file goes on, and with one reference less', () => {
    const cache = new Counted();
    const list = new AreaList(10);
    const of = (start: number, end: number, offset: number) =>
      new Area(start, end, 'shared', RW, asCache(cache), offset);
    list.insert(of(10, 20, 100));
    list.insert(of(20, 30, 110));
    expect([shape(list), cache.references]).toEqual(['10-30', 1]);
    list.insert(of(30, 40, 121));
    expect([shape(list), cache.references]).toEqual(['10-30 30-40', 2]);
    expect(list.find(25)!.offsetOf(25)).toBe(115);
    list.split(15);
    expect([shape(list), cache.references]).toEqual(['10-15 15-30 30-40', 3]);
    expect(list.find(25)!.offsetOf(25)).toBe(115);
    expect(list.find(25)!.fileName).toBe('f');
  });
});

describe('what an area allows', () => {
  it.each([
    { kind: 'anonymous', read: false, write: true, exec: false, accessible: true },
    { kind: 'anonymous', read: false, write: false, exec: true, accessible: true },
    { kind: 'anonymous', read: false, write: false, exec: false, accessible: false },
    { kind: 'guard', read: true, write: true, exec: true, accessible: false },
  ] as const)('$kind read $read write $write exec $exec', ({ kind, accessible, ...protection }) => {
    const area = new Area(0, 1, kind, protection, null, 0);
    const guard = kind === 'guard';
    expect(area.accessible).toBe(accessible);
    expect([area.write, area.exec]).toEqual([!guard && protection.write, !guard && protection.exec]);
    expect(area.fileName).toBeUndefined();
  });
});

describe('a place for a mapping: the highest gap that is large enough', () => {
  it.each([
    { bytes: 10, top: 200, place: 190, rule: 'at the top' },
    { bytes: 10, top: 130, place: 120, rule: 'between an area and the top' },
    { bytes: 10, top: 100, place: 70, rule: 'below an area that reaches over the top' },
    { bytes: 20, top: 100, place: 60, rule: 'that is filled up to both its ends' },
    { bytes: 25, top: 100, place: 25, rule: 'below what is in the way, down to the bottom' },
    { bytes: 26, top: 100, place: -1, rule: 'and none if it would pass the bottom' },
  ])('$rule', ({ bytes, top, place }) => {
    const list = new AreaList(10);
    list.insert(anonymous(50, 60));
    list.insert(anonymous(80, 90, RO));
    list.insert(anonymous(92, 120));
    expect(list.gap(bytes, 25, top)).toBe(place);
  });
  it('all of an empty space', () => {
    expect(new AreaList(1).gap(75, 25, 100)).toBe(25);
    expect(new AreaList(1).gap(76, 25, 100)).toBe(-1);
  });
});

describe('limits', () => {
  it('no more areas than the maximum', () => {
    const list = new AreaList(2);
    list.insert(anonymous(0, 1));
    list.reserve(1);
    list.insert(anonymous(2, 3));
    expect(() => list.reserve(1)).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
    list.reserve(0);
  });
});

describe('over any history, a list of areas is a map from addresses to meanings', () => {
  const kinds: AreaKind[] = ['anonymous', 'guard', 'shared'];
  const step = fc.record({
    op: fc.nat(2),
    start: fc.nat(59),
    length: fc.integer({ min: 1, max: 20 }),
    kind: fc.nat(2),
  });
  it('find, covers, overlaps, cut and merge agree with an array', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const cache = new Counted();
        const list = new AreaList(1000);
        const oracle: string[] = new Array(80).fill('');
        for (const { op, start, length, kind } of steps) {
          const end = start + length;
          const name = kinds[kind]!;
          const inside = oracle.slice(start, end);
          expect(list.overlaps(start, end)).toBe(inside.some((value) => value !== ''));
          expect(list.covers(start, end)).toBe(inside.every((value) => value !== ''));
          if (op === 0 && !list.overlaps(start, end)) {
            // an offset of the file equal to the address: pieces of `shared` always fit together
            list.insert(new Area(start, end, name, RW, name === 'shared' ? asCache(cache) : null, start));
            oracle.fill(`${name} true`, start, end);
          } else if (op > 0) {
            const { count } = list;
            const splits = list.splitsFor(start, end);
            list.split(start);
            list.split(end);
            expect(list.count).toBe(count + splits);
            const gone = list.cut(start, end);
            expect(gone.reduce((sum, area) => sum + area.end - area.start, 0)).toBe(inside.filter(Boolean).length);
            for (const area of gone) area.cache?.dropReference();
            if (op === 1) oracle.fill('', start, end);
            else
              for (const area of gone) {
                area.protect(RO);
                const part = area.part(area.start, area.end);
                list.insert(part);
                oracle.fill(`${area.kind} false`, area.start, area.end);
              }
          }
          for (const [at, value] of oracle.entries()) {
            const area = list.find(at);
            const write = area !== undefined && (area.write || (area.kind === 'guard' && value.endsWith('true')));
            expect(area === undefined ? '' : `${area.kind} ${write}`).toBe(value);
          }
          let files = 0;
          for (let i = 0; i < list.count; i++) {
            const area = list.at(i)!;
            if (area.cache !== null) files += 1;
            if (i > 0) {
              expect(list.at(i - 1)!.end).toBeLessThanOrEqual(area.start);
              expect(list.at(i - 1)!.continues(area)).toBe(false);
            }
          }
          expect(cache.references).toBe(files);
        }
      }),
      { numRuns: 60 },
    );
  });
});
