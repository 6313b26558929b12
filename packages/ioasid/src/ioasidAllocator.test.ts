import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type CustomAllocator,
  IdTooWideError,
  INVALID_IOASID,
  IoasidAllocator,
  type IoasidSet,
  QuotaReachedError,
  RangeExhaustedError,
} from './index.ts';

const code = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'none';
};
const all = { min: 0, max: 15 };

describe('alloc: the lowest free ID of the range', () => {
  it('counts up from the first of the range', () => {
    const ids = new IoasidAllocator();
    expect([1, 2, 3].map(() => ids.alloc({ min: 5, max: 100 }))).toEqual([5, 6, 7]);
    expect(ids.liveCount).toBe(3);
  });

  it('takes the lowest that was freed first', () => {
    const ids = new IoasidAllocator();
    for (let i = 0; i < 10; i++) ids.alloc({ min: 1, max: 100 });
    for (const id of [7, 3, 9]) ids.put(id);
    expect([1, 2, 3, 4].map(() => ids.alloc({ min: 1, max: 100 }))).toEqual([3, 7, 9, 11]);
  });

  it('leaves IDs outside the range alone, on both sides', () => {
    const ids = new IoasidAllocator({ max: 15 });
    expect([1, 2].map(() => ids.alloc({ min: 7, max: 8 }))).toEqual([7, 8]);
    expect(code(() => ids.alloc({ min: 7, max: 8 }))).toBe('ENOSPC');
    expect(ids.alloc({ min: 6, max: 9 })).toBe(6);
    expect(ids.alloc({ min: 6, max: 9 })).toBe(9);
  });

  it('hands out all 2^20 IDs, each once, and none more', () => {
    const ids = new IoasidAllocator();
    const range = { min: 0, max: 2 ** 20 - 1 };
    let inOrder = true;
    for (let id = 0; id < 2 ** 20; id++) inOrder &&= ids.alloc(range) === id;
    expect(inOrder).toBe(true);
    expect(() => ids.alloc(range)).toThrow(RangeExhaustedError);
    for (const id of [2 ** 20 - 1, 2 ** 19, 0, 31, 32, 1023, 1024, 32767, 32768]) {
      expect(ids.put(id)).toBe(true);
      expect(ids.alloc(range)).toBe(id);
    }
    expect(ids.liveCount).toBe(2 ** 20);
    let last = true;
    for (let id = 0; id < 2 ** 20; id++) last &&= ids.put(id);
    expect(last).toBe(true);
    expect(ids.liveCount).toBe(0);
  });

  it.each([
    { min: -1, max: 5, rule: 'a negative ID' },
    { min: 0.5, max: 5, rule: 'a fraction as the first' },
    { min: 0, max: 5.5, rule: 'a fraction as the last' },
    { min: Number.NaN, max: 5, rule: 'no number' },
    { min: 0, max: 2 ** 32, rule: 'a number beyond 32 bits' },
    { min: 6, max: 5, rule: 'an empty range' },
  ])('refuses $rule (EINVAL)', ({ min, max }) => {
    const ids = new IoasidAllocator();
    expect(code(() => ids.alloc({ min, max }))).toBe('EINVAL');
    expect(ids.liveCount).toBe(0);
  });

  it.each([-1, 2 ** 20, 1.5, Number.NaN])('an allocator up to ID %s cannot be made (EINVAL)', (max) => {
    expect(code(() => new IoasidAllocator({ max }))).toBe('EINVAL');
  });

  it('an allocator of one ID hands out one', () => {
    const ids = new IoasidAllocator({ max: 0 });
    expect(ids.alloc({ min: 0, max: 0 })).toBe(0);
    expect(code(() => ids.alloc({ min: 0, max: 0 }))).toBe('ENOSPC');
  });
});

describe('alloc: three reasons to fail can be told apart', () => {
  it('range exhausted: ENOSPC with the range', () => {
    const ids = new IoasidAllocator({ max: 3 });
    for (let i = 0; i < 3; i++) ids.alloc({ min: 1, max: 3 });
    const error = catchError(() => ids.alloc({ min: 1, max: 3 }));
    expect(error).toBeInstanceOf(RangeExhaustedError);
    expect(error).toMatchObject({ name: 'RangeExhaustedError', code: 'ENOSPC', min: 1, max: 3, quarantined: 0 });
    expect(error.message).toBe('every ID in [1, 3] is in use');
  });

  it('quota reached: ENOSPC with the set', () => {
    const ids = new IoasidAllocator();
    const set = ids.createSet('guest', 1);
    ids.alloc({ ...all, set });
    const error = catchError(() => ids.alloc({ ...all, set }));
    expect(error).toBeInstanceOf(QuotaReachedError);
    expect(error).toMatchObject({ name: 'QuotaReachedError', code: 'ENOSPC', set: 'guest', quota: 1 });
    expect(error.message).toContain('set guest holds its quota of 1 IDs');
  });

  it('wider than allowed: EOVERFLOW with both limits', () => {
    const ids = new IoasidAllocator({ max: 255 });
    const error = catchError(() => ids.alloc({ min: 1, max: 256 }));
    expect(error).toBeInstanceOf(IdTooWideError);
    expect(error).toMatchObject({ name: 'IdTooWideError', code: 'EOVERFLOW', id: 256, max: 255 });
    expect(error.message).toBe('ID 256 is above 255, the largest that is allowed here');
  });
});

describe('alloc, cyclic: an ID is not used again soon', () => {
  it('goes on behind the last one though lower ones are free, and wraps', () => {
    const ids = new IoasidAllocator({ max: 7 });
    const range = { min: 4, max: 7, cyclic: true };
    const got = [];
    for (let i = 0; i < 6; i++) {
      const id = ids.alloc(range);
      got.push(id);
      ids.put(id);
    }
    expect(got).toEqual([4, 5, 6, 7, 4, 5]);
  });

  it('skips what is in use, on both sides of the wrap, and fails when all is', () => {
    const ids = new IoasidAllocator({ max: 7 });
    const range = { min: 4, max: 7, cyclic: true };
    expect([1, 2, 3].map(() => ids.alloc(range))).toEqual([4, 5, 6]);
    ids.put(5);
    expect([1, 2].map(() => ids.alloc(range))).toEqual([7, 5]);
    expect(code(() => ids.alloc(range))).toBe('ENOSPC');
    expect(ids.alloc({ min: 0, max: 3, cyclic: true })).toBe(0);
  });

  it('wraps also from the middle of the range, when all above is in use', () => {
    const ids = new IoasidAllocator();
    const range = { min: 4, max: 7, cyclic: true };
    for (let i = 0; i < 2; i++) ids.alloc(range);
    ids.alloc({ min: 6, max: 7 });
    ids.alloc({ min: 6, max: 7 });
    ids.put(4);
    expect(ids.alloc(range)).toBe(4);
    expect(ids.alloc({ min: 0, max: 4 })).toBe(0);
  });

  it('an ordinary request takes the lowest all the same', () => {
    const ids = new IoasidAllocator();
    ids.put(ids.alloc({ ...all, cyclic: true }));
    expect(ids.alloc({ ...all, cyclic: true })).toBe(1);
    expect(ids.alloc(all)).toBe(0);
    expect(ids.alloc({ ...all, cyclic: true })).toBe(2);
    expect(ids.alloc(all)).toBe(3);
  });
});

describe('get and put: an ID lasts as long as its last user', () => {
  it('put tells who was the last', () => {
    const ids = new IoasidAllocator();
    const id = ids.alloc(all);
    ids.get(id);
    ids.get(id);
    expect(ids.references(id)).toBe(3);
    expect([ids.put(id), ids.put(id)]).toEqual([false, false]);
    expect(ids.has(id)).toBe(true);
    expect(ids.put(id)).toBe(true);
    expect(ids.has(id)).toBe(false);
    expect(ids.references(id)).toBe(0);
  });

  it.each([0, 5, 15, 16, -1, 2 ** 20, 0.5, Number.NaN])('ID %s, never handed out: ENOENT', (id) => {
    const ids = new IoasidAllocator({ max: 15 });
    expect(code(() => ids.get(id))).toBe('ENOENT');
    expect(code(() => ids.put(id))).toBe('ENOENT');
    expect(code(() => ids.setData(id, 1))).toBe('ENOENT');
    expect(code(() => ids.replaceData(id, 1))).toBe('ENOENT');
    expect(code(() => ids.endQuarantine(id))).toBe('ENOENT');
    expect(ids.find(id)).toBeUndefined();
    expect(ids.has(id)).toBe(false);
    expect(ids.setOf(id)).toBeUndefined();
    expect(ids.isQuarantined(id)).toBe(false);
  });

  it('put after the last put: ENOENT, and nobody else is hurt', () => {
    const ids = new IoasidAllocator();
    const id = ids.alloc(all);
    ids.put(id);
    expect(code(() => ids.put(id))).toBe('ENOENT');
    expect(ids.alloc(all)).toBe(id);
    expect(ids.liveCount).toBe(1);
  });

  it('2^24 − 1 references are the limit (EOVERFLOW), and none is lost', () => {
    const ids = new IoasidAllocator();
    const id = ids.alloc({ ...all, data: 'mine' });
    for (let i = 1; i < 2 ** 24 - 1; i++) ids.get(id);
    expect(code(() => ids.get(id))).toBe('EOVERFLOW');
    expect(ids.references(id)).toBe(2 ** 24 - 1);
    expect(ids.find(id)).toBe('mine');
  });
});

describe('find: from an ID to its owner', () => {
  it('returns the data, also when that is falsy', () => {
    const ids = new IoasidAllocator();
    for (const data of ['mm', 0, '', false, null]) {
      const id = ids.alloc({ ...all, data });
      expect(ids.find(id)).toBe(data);
    }
    expect(ids.find(ids.alloc(all))).toBeUndefined();
  });

  it('the getter decides whether the object may still be had, and is not called for nothing', () => {
    const ids = new IoasidAllocator<{ users: number }>();
    const mm = { users: 0 };
    const id = ids.alloc({ ...all, data: mm });
    const getUnlessZero = (found: { users: number }) => found.users > 0 && ++found.users > 0;
    expect(ids.find(id, getUnlessZero)).toBeUndefined();
    mm.users = 1;
    expect(ids.find(id, getUnlessZero)).toBe(mm);
    expect(mm.users).toBe(2);
    expect(ids.find(id + 1, getUnlessZero)).toBeUndefined();
    expect(mm.users).toBe(2);
  });

  it('an ID of another set is not found', () => {
    const ids = new IoasidAllocator();
    const [mine, other] = [ids.createSet('mine'), ids.createSet('other')];
    const id = ids.alloc({ ...all, set: mine, data: 'x' });
    const loose = ids.alloc({ ...all, data: 'y' });
    expect(ids.find(id, undefined, mine)).toBe('x');
    expect(ids.find(id, undefined, other)).toBeUndefined();
    expect(ids.find(loose, undefined, mine)).toBeUndefined();
    expect(ids.find(id)).toBe('x');
  });

  it('data goes with the last reference and is not there for the next owner', () => {
    const ids = new IoasidAllocator();
    const id = ids.alloc({ ...all, data: 'old' });
    ids.get(id);
    ids.put(id);
    expect(ids.find(id)).toBe('old');
    ids.put(id);
    expect(ids.find(id)).toBeUndefined();
    expect(ids.alloc(all)).toBe(id);
    expect(ids.find(id)).toBeUndefined();
  });

  it('setData sets and clears; replaceData hands the old one back', () => {
    const ids = new IoasidAllocator<string>();
    const id = ids.alloc(all);
    ids.setData(id, undefined);
    expect(ids.find(id)).toBeUndefined();
    ids.setData(id, 'a');
    expect(ids.replaceData(id, 'b')).toBe('a');
    expect(ids.find(id)).toBe('b');
    expect(ids.replaceData(id, undefined)).toBe('b');
    expect(ids.replaceData(id, 'c')).toBeUndefined();
    expect(ids.find(id)).toBe('c');
    expect(ids.references(id)).toBe(1);
  });
});

describe('sets: shares of the space', () => {
  it('a set counts what it holds and lists it in order', () => {
    const ids = new IoasidAllocator();
    const [a, b] = [ids.createSet('a'), ids.createSet('b')];
    for (let i = 0; i < 60; i++) ids.alloc({ min: 1, max: 100, set: i % 3 === 0 ? a : b });
    ids.put(31);
    ids.put(1);
    const expected = Array.from({ length: 20 }, (_, i) => 1 + 3 * i).filter((id) => id !== 31 && id !== 1);
    expect([...a]).toEqual(expected);
    expect([...a.ids()]).toEqual(expected);
    expect(a.size).toBe(18);
    expect(b.size).toBe(40);
    expect(a.has(4)).toBe(true);
    expect(a.has(5)).toBe(false);
    expect(a.has(1)).toBe(false);
    expect(a.has(2 ** 20)).toBe(false);
    expect(ids.setOf(4)).toBe(a);
    expect(ids.setOf(5)).toBe(b);
  });

  it('everything may be put while iterating, also what was still to come', () => {
    const ids = new IoasidAllocator();
    const set = ids.createSet('a');
    for (let i = 0; i < 4; i++) ids.alloc({ ...all, set });
    const seen = [];
    for (const id of set) {
      seen.push(id);
      ids.put(id);
      if (id === 0) {
        ids.put(2);
        ids.alloc({ min: 9, max: 9, set }); // came later, so it is not part of this round
      }
    }
    expect(seen).toEqual([0, 1, 3]);
    expect([...set]).toEqual([9]);
  });

  it('a quota of 0 gives nothing; a put makes room again', () => {
    const ids = new IoasidAllocator();
    expect(code(() => ids.alloc({ ...all, set: ids.createSet('none', 0) }))).toBe('ENOSPC');
    const set = ids.createSet('two', 2);
    ids.alloc({ ...all, set });
    const id = ids.alloc({ ...all, set });
    ids.get(id);
    ids.put(id);
    expect(code(() => ids.alloc({ ...all, set }))).toBe('ENOSPC');
    ids.put(id);
    expect(ids.alloc({ ...all, set })).toBe(id);
    expect(set.quota).toBe(2);
  });

  it('setQuota raises and lowers, but not below what is held (EBUSY)', () => {
    const ids = new IoasidAllocator();
    const set = ids.createSet('a', 1);
    ids.alloc({ ...all, set });
    ids.setQuota(set, 2);
    ids.alloc({ ...all, set });
    expect(code(() => ids.setQuota(set, 1))).toBe('EBUSY');
    expect(set.quota).toBe(2);
    expect(code(() => ids.setQuota(set, 0.5))).toBe('EINVAL');
    ids.put(0);
    ids.setQuota(set, 1);
    expect(set.quota).toBe(1);
  });

  it.each([-1, 0.5, Number.NaN, 2 ** 32])('a quota of %s: EINVAL', (quota) => {
    expect(code(() => new IoasidAllocator().createSet('a', quota))).toBe('EINVAL');
  });

  it('destroySet wants it empty (EBUSY); its place is used again', () => {
    const ids = new IoasidAllocator();
    const [a, b] = [ids.createSet('a'), ids.createSet('b')];
    const id = ids.alloc({ ...all, set: a });
    expect(code(() => ids.destroySet(a))).toBe('EBUSY');
    ids.put(id);
    ids.destroySet(a);
    expect(code(() => ids.alloc({ ...all, set: a }))).toBe('EINVAL');
    expect(code(() => ids.destroySet(a))).toBe('EINVAL');
    expect(code(() => ids.setQuota(a, 1))).toBe('EINVAL');
    const c = ids.createSet('c');
    expect(ids.setOf(ids.alloc({ ...all, set: c }))).toBe(c);
    expect(ids.setOf(ids.alloc({ ...all, set: b }))).toBe(b);
    expect(code(() => ids.alloc({ ...all, set: a }))).toBe('EINVAL');
  });

  it("another allocator's set, or something that only looks like one: EINVAL, nothing taken", () => {
    const ids = new IoasidAllocator();
    ids.createSet('own');
    const foreign = new IoasidAllocator().createSet('foreign');
    expect(code(() => ids.alloc({ ...all, set: foreign }))).toBe('EINVAL');
    const fake = { name: 'fake', quota: 1, size: 0 } as IoasidSet;
    expect(code(() => ids.alloc({ ...all, set: fake }))).toBe('EINVAL');
    expect(ids.liveCount).toBe(0);
  });

  it('the highest ID can be in a set like any other', () => {
    const ids = new IoasidAllocator({ max: 40 });
    const [a, b] = [ids.createSet('a'), ids.createSet('b')];
    ids.alloc({ min: 40, max: 40, set: b });
    for (let i = 0; i < 3; i++) ids.alloc({ min: 30, max: 40, set: b });
    expect(ids.setOf(40)).toBe(b);
    expect([a.size, ...b]).toEqual([0, 30, 31, 32, 40]);
    ids.put(40);
    expect([...b]).toEqual([30, 31, 32]);
  });

  it('a failed request charges nothing', () => {
    const ids = new IoasidAllocator({ max: 1 });
    const set = ids.createSet('a', 5);
    for (let i = 0; i < 2; i++) ids.alloc({ min: 0, max: 1, set });
    expect(code(() => ids.alloc({ min: 0, max: 1, set, data: 'x' }))).toBe('ENOSPC');
    expect(set.size).toBe(2);
    expect(ids.liveCount).toBe(2);
  });
});

describe('quarantine: no reuse until late faults are drained', () => {
  it('an ID in quarantine is neither in use nor free', () => {
    const ids = new IoasidAllocator({ max: 1, quarantine: true });
    const id = ids.alloc({ min: 1, max: 1, data: 'x' });
    expect(ids.put(id)).toBe(true);
    expect([ids.liveCount, ids.quarantinedCount, ids.isQuarantined(id), ids.has(id)]).toEqual([0, 1, true, false]);
    expect(ids.find(id)).toBeUndefined();
    expect(code(() => ids.get(id))).toBe('ENOENT');
    expect(code(() => ids.put(id))).toBe('ENOENT');
    const error = catchError(() => ids.alloc({ min: 1, max: 1 }));
    expect(error).toMatchObject({ code: 'ENOSPC', quarantined: 1 });
    expect(error.message).toContain('1 wait in quarantine');
    ids.endQuarantine(id);
    expect([ids.quarantinedCount, ids.isQuarantined(id)]).toEqual([0, false]);
    expect(ids.alloc({ min: 1, max: 1 })).toBe(id);
  });

  it('endQuarantine of an ID in use or free: ENOENT', () => {
    const ids = new IoasidAllocator();
    const id = ids.alloc({ ...all, quarantine: true });
    expect(code(() => ids.endQuarantine(id))).toBe('ENOENT');
    ids.put(id);
    ids.endQuarantine(id);
    expect(code(() => ids.endQuarantine(id))).toBe('ENOENT');
  });

  it('is opt in, by allocator or by request', () => {
    const off = new IoasidAllocator();
    const [plain, kept] = [off.alloc(all), off.alloc({ ...all, quarantine: true })];
    off.put(plain);
    off.put(kept);
    expect([off.isQuarantined(plain), off.isQuarantined(kept)]).toEqual([false, true]);
    const on = new IoasidAllocator({ quarantine: true });
    on.put(on.alloc({ ...all, quarantine: false }));
    expect(on.quarantinedCount).toBe(0);
  });

  it('stays charged to its set, so that an owner cannot drain the space by churning', () => {
    const ids = new IoasidAllocator({ quarantine: true });
    const set = ids.createSet('a', 1);
    const id = ids.alloc({ ...all, set });
    ids.put(id);
    expect(set.has(id)).toBe(true);
    expect(ids.setOf(id)).toBe(set);
    expect(() => ids.alloc({ ...all, set })).toThrow(QuotaReachedError);
    expect(code(() => ids.destroySet(set))).toBe('EBUSY');
    ids.endQuarantine(id);
    expect(set.size).toBe(0);
    ids.destroySet(set);
  });
});

describe('custom allocators: stacked and torn down as in Linux 5.x ioasid.c', () => {
  /** Gives IDs downwards from the last of the range, and logs. */
  const downwards = (log: string[], name: string): CustomAllocator<string> => ({
    context: name,
    alloc: (min, max, context) => {
      const id = max - log.filter((line) => line.includes('alloc')).length;
      log.push(`${context} alloc`);
      return id < min ? INVALID_IOASID : id;
    },
    free: (id, context) => void log.push(`${context} free ${id}`),
  });

  it('chooses the number, and gets it back', () => {
    const log: string[] = [];
    const ids = new IoasidAllocator();
    ids.registerAllocator(downwards(log, 'host'));
    const id = ids.alloc({ min: 1, max: 100, data: 'mm', cyclic: true });
    expect(id).toBe(100);
    expect(ids.find(id)).toBe('mm');
    ids.get(id);
    ids.put(id);
    expect(log).toEqual(['host alloc']);
    ids.put(id);
    expect(log).toEqual(['host alloc', 'host free 100']);
  });

  it('the first registered is active; without it the next one, then the default one', () => {
    const [logA, logB]: string[][] = [[], []];
    const ids = new IoasidAllocator();
    const [a, b] = [downwards(logA!, 'a'), downwards(logB!, 'b')];
    ids.registerAllocator(a);
    ids.registerAllocator(b);
    ids.put(ids.alloc(all));
    expect(logB).toEqual([]);
    ids.unregisterAllocator(a);
    ids.put(ids.alloc(all));
    expect(logB).toEqual(['b alloc', 'b free 15']);
    ids.unregisterAllocator(b);
    expect(ids.alloc(all)).toBe(0);
    expect(logA!.length + logB!.length).toBe(4);
  });

  it('removing one that only waits changes nothing, whatever is in use', () => {
    const log: string[] = [];
    const ids = new IoasidAllocator();
    const [a, b] = [downwards(log, 'a'), downwards([], 'b')];
    ids.registerAllocator(a);
    ids.registerAllocator(b);
    const id = ids.alloc(all);
    ids.unregisterAllocator(b);
    ids.put(id);
    expect(log).toEqual(['a alloc', 'a free 15']);
  });

  it('those with the same functions share an ID space, which outlives all but the last of them', () => {
    const log: string[] = [];
    const ids = new IoasidAllocator();
    const first = downwards(log, 'first');
    const second = { ...first, context: 'second' };
    ids.registerAllocator(first);
    ids.registerAllocator(second);
    const id = ids.alloc(all);
    ids.unregisterAllocator(first);
    expect(ids.has(id)).toBe(true);
    expect(code(() => ids.unregisterAllocator(second))).toBe('EBUSY');
    ids.put(id);
    expect(log).toEqual(['first alloc', 'second free 15']);
    ids.unregisterAllocator(second);
    expect(ids.alloc(all)).toBe(0);
  });

  it('the same alloc with another free is another space', () => {
    const log: string[] = [];
    const ids = new IoasidAllocator();
    const a = downwards(log, 'a');
    const b = { ...a, context: 'b', free: (id: number) => void log.push(`own free ${id}`) };
    ids.registerAllocator(a);
    ids.registerAllocator(b);
    const id = ids.alloc(all);
    expect(code(() => ids.unregisterAllocator(a))).toBe('EBUSY');
    ids.put(id);
    ids.unregisterAllocator(a);
    ids.put(ids.alloc(all));
    expect(log).toEqual(['a alloc', 'a free 15', 'b alloc', 'own free 14']);
  });

  it('twice the same: EEXIST, also as a later one of a shared space; unknown: ENOENT', () => {
    const ids = new IoasidAllocator();
    const first = downwards([], 'first');
    const second = { ...first, context: 'second' };
    expect(code(() => ids.unregisterAllocator(first))).toBe('ENOENT');
    ids.registerAllocator(first);
    expect(code(() => ids.registerAllocator(first))).toBe('EEXIST');
    ids.registerAllocator(second);
    expect(code(() => ids.registerAllocator(second))).toBe('EEXIST');
    expect(code(() => ids.unregisterAllocator({ ...first }))).toBe('ENOENT');
  });

  it('needs a space without IDs of the default allocator, in use or in quarantine (EAGAIN)', () => {
    const ids = new IoasidAllocator({ quarantine: true });
    const id = ids.alloc(all);
    const custom = downwards([], 'a');
    expect(code(() => ids.registerAllocator(custom))).toBe('EAGAIN');
    ids.put(id);
    expect(code(() => ids.registerAllocator(custom))).toBe('EAGAIN');
    ids.endQuarantine(id);
    ids.registerAllocator(custom);
    expect(ids.alloc(all)).toBe(15);
  });

  it('a second one may register while the first has IDs out', () => {
    const ids = new IoasidAllocator();
    ids.registerAllocator(downwards([], 'a'));
    ids.alloc(all);
    ids.registerAllocator(downwards([], 'b'));
    expect(ids.liveCount).toBe(1);
  });

  it('an ID in quarantine goes back to it at the end of the quarantine, and keeps it from going (EBUSY)', () => {
    const log: string[] = [];
    const ids = new IoasidAllocator({ quarantine: true });
    const custom = downwards(log, 'a');
    ids.registerAllocator(custom);
    ids.put(ids.alloc(all));
    expect(log).toEqual(['a alloc']);
    expect(code(() => ids.unregisterAllocator(custom))).toBe('EBUSY');
    ids.endQuarantine(15);
    expect(log).toEqual(['a alloc', 'a free 15']);
    ids.unregisterAllocator(custom);
  });

  it('having none left is the range exhausted', () => {
    const ids = new IoasidAllocator();
    ids.registerAllocator(downwards([], 'a'));
    ids.alloc({ min: 3, max: 3 });
    expect(() => ids.alloc({ min: 3, max: 3 })).toThrow(RangeExhaustedError);
  });

  it.each([
    { answer: 16, code: 'EOVERFLOW', rule: 'above the range' },
    { answer: 0, code: 'EINVAL', rule: 'below the range' },
    { answer: 1.5, code: 'EINVAL', rule: 'no whole number' },
    { answer: -7, code: 'EINVAL', rule: 'negative' },
  ])('an answer $rule goes back to it ($code)', ({ answer, code: expected }) => {
    const freed: number[] = [];
    const ids = new IoasidAllocator();
    ids.registerAllocator({ alloc: () => answer, free: (id) => void freed.push(id), context: undefined });
    expect(code(() => ids.alloc({ min: 1, max: 15 }))).toBe(expected);
    expect(freed).toEqual([answer]);
    expect(ids.liveCount).toBe(0);
  });

  it('an answer that is in use stays with its user: EEXIST, and nothing is given back', () => {
    const freed: number[] = [];
    const ids = new IoasidAllocator();
    const set = ids.createSet('a');
    ids.registerAllocator({ alloc: () => 5, free: (id) => void freed.push(id), context: undefined });
    ids.alloc({ ...all, data: 'first' });
    expect(code(() => ids.alloc({ ...all, data: 'second', set }))).toBe('EEXIST');
    expect(freed).toEqual([]);
    expect(ids.find(5)).toBe('first');
    expect([ids.liveCount, set.size]).toEqual([1, 0]);
  });
});

describe('against a naive model', () => {
  it('any run of operations gives the same IDs, data, references and counts', () => {
    const max = 70; // two words and a bit
    const op = fc.record({
      kind: fc.constantFrom('alloc', 'alloc', 'alloc', 'put', 'put', 'get', 'data', 'end'),
      a: fc.nat(max),
      b: fc.nat(max),
      cyclic: fc.boolean(),
      quarantine: fc.boolean(),
      set: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(op, { maxLength: 300 }), (ops) => {
        const ids = new IoasidAllocator<number>({ max });
        const set = ids.createSet('set', 20);
        type Entry = { references: number; data: number | undefined; set: boolean; quarantine: boolean };
        const live = new Map<number, Entry>();
        let next = 0;
        const charged = () => [...live.values()].filter((entry) => entry.set).length;
        for (const [i, o] of ops.entries()) {
          const entry = live.get(o.a);
          if (o.kind === 'alloc') {
            const [from, last] = [Math.min(o.a, o.b), Math.max(o.a, o.b)];
            const range = Array.from({ length: last - from + 1 }, (_, k) => from + k).filter((id) => !live.has(id));
            const start = o.cyclic && next >= from && next <= last ? next : from;
            const id = range.find((each) => each >= start) ?? range[0];
            const request = { min: from, max: last, data: i, cyclic: o.cyclic, quarantine: o.quarantine };
            const run = () => ids.alloc(o.set ? { ...request, set } : request);
            if (id === undefined || (o.set && charged() >= 20)) expect(code(run)).toBe('ENOSPC');
            else {
              expect(run()).toBe(id);
              live.set(id, { references: 1, data: i, set: o.set, quarantine: o.quarantine });
              if (o.cyclic) next = id + 1;
            }
          } else if (o.kind === 'end') {
            const waits = entry?.references === 0;
            expect(code(() => ids.endQuarantine(o.a))).toBe(waits ? 'none' : 'ENOENT');
            if (waits) live.delete(o.a);
          } else if (entry === undefined || entry.references === 0) {
            expect(code(() => ids.put(o.a))).toBe('ENOENT');
          } else if (o.kind === 'put') {
            entry.references -= 1;
            expect(ids.put(o.a)).toBe(entry.references === 0);
            if (entry.references === 0) {
              entry.data = undefined;
              if (!entry.quarantine) live.delete(o.a);
            }
          } else if (o.kind === 'get') {
            entry.references += 1;
            ids.get(o.a);
          } else {
            expect(ids.replaceData(o.a, o.b)).toBe(entry.data);
            entry.data = o.b;
          }
        }
        const all = [...live.entries()];
        expect(ids.liveCount).toBe(all.filter(([, entry]) => entry.references > 0).length);
        expect(ids.quarantinedCount).toBe(all.filter(([, entry]) => entry.references === 0).length);
        for (let id = 0; id <= max; id++) {
          expect(ids.references(id)).toBe(live.get(id)?.references ?? 0);
          expect(ids.find(id)).toBe(live.get(id)?.data);
        }
        expect([...set]).toEqual(
          all
            .filter(([, entry]) => entry.set)
            .map(([id]) => id)
            .sort((x, y) => x - y),
        );
      }),
      { numRuns: 300 },
    );
  });
});

function catchError(action: () => unknown): Error {
  try {
    action();
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
}
