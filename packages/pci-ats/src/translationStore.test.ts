import { describe, expect, it } from 'vitest';
import { errno, NO_SUBSTREAM } from '../test/rig.ts';
import { InvalidationScope, TAG_GLOBAL, TAG_VALID, tagOf } from './invalidationScope.ts';
import { ATC_EXECUTE, ATC_MISS, ATC_READ, ATC_WRITE, TranslationStore } from './translationStore.ts';

const RW = ATC_READ | ATC_WRITE;
const TAG = tagOf(5, false);
const address = (store: TranslationStore, handle: number, lo: number, hi: number) =>
  store.translatedHi(handle, hi) * 2 ** 32 + store.translatedLo(handle, lo);
function invalidate(
  store: TranslationStore,
  substreamId: number,
  lo: number,
  hi: number,
  size: number,
  global = false,
) {
  const scope = new InvalidationScope();
  scope.set(substreamId, global, lo, hi, size);
  store.invalidate(scope);
}

describe('TranslationStore', () => {
  it.each([0, 4, 7, 24, 2 ** 17, Number.NaN])('EINVAL for %d entries', (entries) => {
    expect(() => new TranslationStore(entries)).toThrow(errno('EINVAL'));
  });

  it.each([
    { size: 12, lo: 0x1234_5678, hi: 0, to: 0x8_0000_1000, expected: 0x8_0000_1678 },
    { size: 12, lo: 0xffff_ffff, hi: 0xffff_ffff, to: 0xf_ffff_ffff_f000, expected: 0xf_ffff_ffff_ffff },
    { size: 16, lo: 0x1234_5678, hi: 0, to: 0x8_0000_0000, expected: 0x8_0000_5678 },
    { size: 21, lo: 0xffff_ffff, hi: 0x7fff, to: 0x80_8020_0000, expected: 0x80_803f_ffff },
    { size: 32, lo: 0x9234_5678, hi: 0x1f, to: 0x3_0000_0000, expected: 0x3_9234_5678 },
    { size: 39, lo: 0x9234_5678, hi: 0xff, to: 0x80_0000_0000, expected: 0xff_9234_5678 },
    { size: 63, lo: 0x9234_5678, hi: 0x3_2100, to: 0, expected: 0x3_2100_9234_5678 },
  ])('adds the offset in a range of 2^$size bytes', ({ size, lo, hi, to, expected }) => {
    const store = new TranslationStore(8);
    store.insert(TAG, lo, hi, size, RW, to);
    const handle = store.find(5, lo, hi, ATC_READ, false);
    expect(address(store, handle, lo, hi)).toBe(expected);
    expect(store.size(handle)).toBe(size);
  });

  it('finds by whole address, PASID, privilege and permissions', () => {
    const store = new TranslationStore(16);
    store.insert(TAG, 0x1000, 0x10, 12, ATC_READ, 0);
    expect(store.find(5, 0x1fff, 0x10, ATC_READ, false)).toBeGreaterThanOrEqual(0);
    expect(store.find(5, 0x2000, 0x10, ATC_READ, false)).toBe(ATC_MISS);
    expect(store.find(5, 0x1000, 0x11, ATC_READ, false)).toBe(ATC_MISS);
    expect(store.find(6, 0x1000, 0x10, ATC_READ, false)).toBe(ATC_MISS);
    expect(store.find(NO_SUBSTREAM, 0x1000, 0x10, ATC_READ, false)).toBe(ATC_MISS);
    expect(store.find(5, 0x1000, 0x10, ATC_READ, true)).toBe(ATC_MISS);
    expect(store.find(5, 0x1000, 0x10, ATC_WRITE, false)).toBe(ATC_MISS);
    expect(store.find(5, 0x1000, 0x10, ATC_READ | ATC_EXECUTE, false)).toBe(ATC_MISS);
  });

  it('global translations are found with every PASID and without none', () => {
    const store = new TranslationStore(16);
    store.insert(TAG_VALID | TAG_GLOBAL, 0x1000, 0, 12, RW, 0);
    expect(store.find(5, 0x1000, 0, RW, false)).toBeGreaterThanOrEqual(0);
    expect(store.find(77, 0x1000, 0, RW, false)).toBeGreaterThanOrEqual(0);
    expect(store.find(5, 0x1000, 0, RW, true)).toBe(ATC_MISS);
    expect(store.find(NO_SUBSTREAM, 0x1000, 0, RW, false)).toBe(ATC_MISS);
    invalidate(store, 5, 0, 0, 64); // not global: stays
    expect(store.count).toBe(1);
    invalidate(store, 5, 0x1000, 0, 12, true);
    expect(store.count).toBe(0);
  });

  it('a set gives up its ways in turn, free ones first', () => {
    const store = new TranslationStore(8); // two sets
    const held = (page: number) => store.find(5, page * 4096, 0, 0, false) >= 0;
    for (let page = 0; page < 32; page += 1) {
      store.insert(TAG, page * 4096, 0, 12, RW, 0);
      expect(held(page)).toBe(true);
    }
    expect(store.count).toBe(8);
    expect(store.evictions).toBe(24);
    const again = new TranslationStore(8);
    for (let page = 0; page < 32; page += 1) again.insert(TAG, page * 4096, 0, 12, RW, 0);
    const pages = Array.from({ length: 32 }, (_, page) => page);
    expect(pages.filter((page) => again.find(5, page * 4096, 0, 0, false) >= 0)).toEqual(pages.filter(held));
    invalidate(store, 5, pages.find(held)! * 4096, 0, 12);
    expect(store.count).toBe(7);
  });

  it('the oldest of a set goes first', () => {
    const store = new TranslationStore(8);
    for (let page = 0; page < 64; page += 1) store.insert(TAG, page * 4096, 0, 12, RW, 0);
    const left = Array.from({ length: 64 }, (_, page) => page).filter((n) => store.find(5, n * 4096, 0, 0, false) >= 0);
    expect(Math.min(...left)).toBeGreaterThan(48);
  });

  it('a newer translation of an address replaces every older one of it, of whatever size', () => {
    const store = new TranslationStore(64);
    store.insert(TAG, 0x0020_0000, 0, 21, ATC_READ, 0x4000_0000);
    store.insert(TAG, 0x0020_3000, 0, 12, RW, 0x5000_0000);
    expect(store.count).toBe(1);
    expect(store.find(5, 0x0020_0000, 0, ATC_READ, false)).toBe(ATC_MISS);
    expect(address(store, store.find(5, 0x0020_3010, 0, RW, false), 0x0020_3010, 0)).toBe(0x5000_0010);
    store.insert(TAG, 0x0020_7000, 0, 21, RW, 0x4000_0000); // holds the page, but is not of its address
    expect(store.count).toBe(2);
    store.insert(TAG, 0x0020_3000, 0, 21, ATC_READ, 0x6000_0000);
    expect(store.count).toBe(1);
  });

  it.each(Array.from({ length: 16 }, (_, page) => page))('wherever that is kept: page %d', (page) => {
    const store = new TranslationStore(8);
    store.insert(TAG, page * 4096, 0, 12, ATC_READ, 0);
    store.insert(TAG, page * 4096, 0, 13, RW, 0);
    expect(store.count).toBe(1);
    invalidate(store, 5, page * 4096, 0, 12);
    expect(store.count).toBe(0);
  });

  it('goes on with a larger translation where a smaller one permits less', () => {
    const store = new TranslationStore(64);
    store.insert(TAG, 0x3000, 0, 12, ATC_READ, 0);
    store.insert(TAG, 0x7000, 0, 21, RW, 0);
    expect(store.size(store.find(5, 0x3000, 0, ATC_WRITE, false))).toBe(21);
  });

  it('drops a page from among translations of every size', () => {
    const store = new TranslationStore(64);
    for (const size of [12, 14, 16, 21, 30]) store.insert(TAG, 2 ** size, 1, size, RW, 0);
    store.insert(tagOf(5, true), 0x4000, 1, 12, RW, 0);
    store.insert(tagOf(6, false), 0x4000, 1, 12, RW, 0);
    expect(store.count).toBe(7);
    invalidate(store, 5, 0x4000, 1, 12);
    expect(store.count).toBe(5); // the 16 KiB and the privileged page are gone
    expect(store.find(6, 0x4000, 1, RW, false)).toBeGreaterThanOrEqual(0);
    invalidate(store, 5, 0, 1, 32);
    expect(store.count).toBe(1);
    invalidate(store, NO_SUBSTREAM, 0, 0, 12);
    expect(store.count).toBe(0);
    invalidate(store, 5, 0, 0, 64);
  });

  it('forgets all', () => {
    const store = new TranslationStore(64);
    store.insert(TAG, 0, 0, 12, RW, 0);
    store.insert(TAG_VALID | TAG_GLOBAL, 0x1000, 0, 21, RW, 0);
    store.clear();
    expect(store.count).toBe(0);
    expect(store.find(5, 0, 0, 0, false)).toBe(ATC_MISS);
    expect(store.find(5, 0x1000, 0, 0, false)).toBe(ATC_MISS);
  });
});
