import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IdBitmap } from './idBitmap.ts';

/** Takes every ID but the ones named. */
function allBut(count: number, free: readonly number[]): IdBitmap {
  const bitmap = new IdBitmap(count);
  for (let id = 0; id < count; id++) bitmap.take(id);
  for (const id of free) bitmap.release(id);
  return bitmap;
}

describe('IdBitmap: the lowest free ID from any ID on', () => {
  it.each([1, 2, 31, 32, 33, 1023, 1024, 1025, 32767, 32768, 32769, 2 ** 20 - 1, 2 ** 20])(
    'of %i IDs the first, the last and no further one are there',
    (count) => {
      const bitmap = new IdBitmap(count);
      expect([bitmap.isFree(0), bitmap.isFree(count - 1), bitmap.isFree(count)]).toEqual([true, true, false]);
      expect(bitmap.takeNext(count - 1, count - 1)).toBe(count - 1);
      expect(bitmap.takeNext(count - 1, count - 1)).toBe(-1);
      expect(bitmap.isFree(count - 1)).toBe(false);
    },
  );

  // The neighbours of every boundary between words (2^5), groups (2^10) and tops (2^15).
  const corners = [5, 10, 15].flatMap((shift) => [-1, 0, 1].map((step) => 3 * 2 ** shift + step));
  it.each(corners)('finds ID %i from far below, from just below, from itself, and not from above', (id) => {
    const bitmap = allBut(2 ** 20, [id]);
    for (const from of [0, 1, id - 1, id]) {
      expect(bitmap.takeLowest(from, id - 1)).toBe(-1);
      expect(bitmap.takeLowest(from, 2 ** 20 - 1)).toBe(id);
      bitmap.release(id);
      expect(bitmap.takeNext(from, 2 ** 20 - 1)).toBe(id);
      bitmap.release(id);
    }
    expect(bitmap.takeNext(id + 1, 2 ** 20 - 1)).toBe(-1);
    expect(bitmap.takeLowest(id + 1, 2 ** 20 - 1)).toBe(-1);
  });

  it('keeps order when more IDs are freed than it remembers', () => {
    const freed = [900, 20, 31, 500, 40, 41, 7, 300, 301, 299, 8, 6, 1000, 100, 2];
    const bitmap = allBut(1024, []);
    expect(bitmap.takeLowest(0, 1023)).toBe(-1);
    for (const id of freed) bitmap.release(id);
    const got = freed.map(() => bitmap.takeLowest(0, 1023));
    expect(got).toEqual([...freed].sort((a, b) => a - b));
  });

  it('forgets a remembered ID that was taken by number', () => {
    const bitmap = new IdBitmap(64);
    for (let i = 0; i < 10; i++) bitmap.takeLowest(0, 63);
    bitmap.release(3);
    bitmap.release(5);
    bitmap.take(3);
    expect(bitmap.takeLowest(0, 63)).toBe(5);
    expect(bitmap.takeLowest(0, 63)).toBe(10);
  });

  it('agrees with a plain set through any run of operations', () => {
    const count = 2 ** 17;
    // Mostly IDs near the boundaries, where summaries change.
    const id = fc.oneof(
      fc.nat(100),
      fc.nat(count - 1),
      fc.tuple(fc.constantFrom(32, 1024, 32768, 65536), fc.integer({ min: -2, max: 2 })).map(([at, step]) => at + step),
    );
    const op = fc.tuple(fc.constantFrom('lowest', 'lowest', 'next', 'take', 'release', 'release'), id, id);
    const full = allBut(count, []);
    fc.assert(
      fc.property(fc.uniqueArray(id, { maxLength: 30 }), fc.array(op, { maxLength: 200 }), (start, ops) => {
        const free = new Set(start);
        for (const each of start) full.release(each);
        const expected = (from: number, last: number) => {
          const found = [...free].filter((each) => each >= from && each <= last).sort((a, b) => a - b)[0] ?? -1;
          free.delete(found);
          return found;
        };
        for (const [kind, a, b] of ops) {
          const [from, last] = [Math.min(a, b), Math.max(a, b)];
          if (kind === 'lowest') expect(full.takeLowest(from, last)).toBe(expected(from, last));
          else if (kind === 'next') expect(full.takeNext(from, last)).toBe(expected(from, last));
          else if (kind === 'take' && free.delete(a)) full.take(a);
          else if (kind === 'release' && !free.has(a)) {
            free.add(a);
            full.release(a);
          }
          expect(full.isFree(a)).toBe(free.has(a));
        }
        while (free.size > 0) expect(full.takeLowest(0, count - 1)).toBe(expected(0, count - 1));
        expect(full.takeLowest(0, count - 1)).toBe(-1);
      }),
      { numRuns: 500 },
    );
  });
});
