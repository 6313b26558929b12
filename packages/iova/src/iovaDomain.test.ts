import { Scheduler } from '@smmu/platform';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IovaDomain, type IovaDomainOptions } from './index.ts';

const code = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'none';
};
const PAGE = 4096;
const domain = (options: Partial<IovaDomainOptions> = {}): IovaDomain =>
  new IovaDomain({ granuleBytes: PAGE, startPfn: 1, last: 2 ** 48 - 1, ...options });
/** A domain of `pages` pages from page 16 on: aligned for the sizes of the tests. */
const small = (pages: number, options: Partial<IovaDomainOptions> = {}): IovaDomain =>
  domain({ startPfn: 16, last: (16 + pages) * PAGE - 1, ...options });
const ALL = 2 ** 52 - 1;

describe('a domain: pages of one granule in one range', () => {
  it.each([0, 32, 63, 96, 4095, -4096, Number.NaN])('a granule of %s bytes: EINVAL', (granuleBytes) => {
    expect(code(() => domain({ granuleBytes }))).toBe('EINVAL');
  });
  it.each([
    { startPfn: -1, rule: 'begins below 0' },
    { startPfn: 0.5, rule: 'begins inside a page' },
    { startPfn: 2 ** 36, rule: 'begins above its end' },
    { last: 2 ** 52, rule: 'ends above 52 bits' },
    { last: 4094, rule: 'has no whole page' },
    { last: Number.NaN, rule: 'ends nowhere' },
    { cpus: 0, rule: 'has no CPU' },
    { cpus: 1.5, rule: 'has half a CPU' },
  ])('one that $rule: EINVAL', ({ rule: _, ...options }) => {
    expect(code(() => domain(options))).toBe('EINVAL');
  });
  it('ends with the last whole page', () => {
    const d = domain({ last: 10 * PAGE + 17 });
    expect([d.first, d.last, d.cpus, d.granuleBytes]).toEqual([PAGE, 10 * PAGE - 1, 1, PAGE]);
  });
  it('reaches to 52 bits if nothing is said', () => {
    const d = new IovaDomain({ granuleBytes: 65536, startPfn: 1 });
    expect(d.alloc(1)).toBe(2 ** 52 - 65536);
  });
});

describe('alloc: the highest range below the limit (Linux alloc_iova)', () => {
  it('goes down from the top', () => {
    const d = domain();
    expect([1, 2, 3].map(() => d.alloc(PAGE))).toEqual([1, 2, 3].map((i) => 2 ** 48 - i * PAGE));
    expect(d.liveCount).toBe(3);
  });

  it('rounds up to whole pages', () => {
    const d = small(4);
    expect(d.alloc(1)).toBe(19 * PAGE);
    expect(d.alloc(PAGE + 1)).toBe(16 * PAGE);
    expect(code(() => d.alloc(PAGE + 1))).toBe('ENOSPC');
    expect(d.alloc(PAGE)).toBe(18 * PAGE);
  });

  it('aligns to the next power of two of the size unless told otherwise', () => {
    const d = small(32);
    d.alloc(PAGE);
    expect(d.alloc(5 * PAGE) / PAGE).toBe(40); // a multiple of 8
    expect(d.alloc(5 * PAGE, { sizeAligned: false }) / PAGE).toBe(35);
    expect(d.alloc(4 * PAGE) / PAGE).toBe(28);
    expect(d.alloc(2 * PAGE, { sizeAligned: false }) / PAGE).toBe(45);
  });

  it.each([
    { limit: 20 * PAGE - 1, iova: 19, rule: 'a limit at the end of a page includes the page' },
    { limit: 20 * PAGE - 2, iova: 18, rule: 'a limit inside a page does not' },
    { limit: 20 * PAGE, iova: 19, rule: 'nor the first byte of the next one' },
    { limit: ALL, iova: 47, rule: 'a limit beyond the domain changes nothing' },
  ])('$rule', ({ limit, iova }) => {
    expect(small(32).alloc(PAGE, { limit }) / PAGE).toBe(iova);
    expect(small(32).allocFast(PAGE, limit) / PAGE).toBe(iova);
  });

  it.each([0, 16 * PAGE - 1, 17 * PAGE - 2, -1])('nothing fits below %s: ENOSPC', (limit) => {
    const d = small(32);
    expect(code(() => d.alloc(PAGE, { limit }))).toBe('ENOSPC');
    expect(code(() => d.allocFast(PAGE, limit))).toBe('ENOSPC');
  });

  it.each([0, -1, Number.NaN, 2 ** 53])('%s bytes: EINVAL, for every call', (bytes) => {
    const d = domain();
    expect(code(() => d.alloc(bytes))).toBe('EINVAL');
    expect(code(() => d.allocFast(bytes))).toBe('EINVAL');
    expect(code(() => d.free(PAGE, bytes))).toBe('EINVAL');
    expect(code(() => d.freeFast(PAGE, bytes))).toBe('EINVAL');
    expect(code(() => d.retire(PAGE, bytes))).toBe('EINVAL');
    expect(code(() => d.allocBelow4GFirst(bytes, ALL, { preferred: true }))).toBe('EINVAL');
  });

  it('2^52 bytes are a size, and more than there is: ENOSPC', () => {
    const d = new IovaDomain({ granuleBytes: PAGE, startPfn: 1 });
    expect(code(() => d.alloc(2 ** 52))).toBe('ENOSPC');
    expect(d.alloc(2 ** 51)).toBe(2 ** 51);
  });

  it('says what was full', () => {
    const d = small(1);
    d.alloc(PAGE);
    expect(() => d.alloc(PAGE, { limit: 0x1ffff })).toThrow('no 4096 bytes of IOVA left in [0x10000, 0x10fff]');
    expect(() => d.allocFast(PAGE)).toThrow('no 4096 bytes of IOVA left in [0x10000, 0x10fff]');
  });
});

describe('free: only what is taken, and only whole', () => {
  it('makes room again', () => {
    const d = small(4);
    const iovas = [1, 2, 3, 4].map(() => d.alloc(PAGE));
    d.free(iovas[1]!, PAGE);
    expect(d.find(iovas[1]!)).toBeUndefined();
    expect(d.alloc(PAGE)).toBe(iovas[1]);
    for (const iova of iovas) d.free(iova, PAGE);
    expect(d.liveCount).toBe(0);
    expect([...d.ranges()]).toEqual([]);
    expect(d.alloc(4 * PAGE)).toBe(16 * PAGE);
  });

  it.each(['free', 'freeFast'] as const)(
    '%s of something that is not taken so: EINVAL, and nothing changes',
    (free) => {
      const d = small(32);
      const iova = d.alloc(4 * PAGE);
      d.reserve(20 * PAGE, 21 * PAGE - 1);
      const before = [...d.ranges()];
      for (const [at, bytes] of [
        [iova + PAGE, PAGE], // the middle
        [iova, PAGE], // a part
        [iova, 5 * PAGE], // more
        [iova + 1, 4 * PAGE], // not the first byte
        [iova - PAGE, PAGE], // free
        [20 * PAGE, PAGE], // reserved
        [0, PAGE],
        [48 * PAGE, PAGE], // right above the domain
        [2 ** 60, PAGE],
        [-PAGE, PAGE],
        [Number.NaN, PAGE],
      ] as const)
        expect(code(() => d[free](at, bytes))).toBe('EINVAL');
      expect([...d.ranges()]).toEqual(before);
      d[free](iova, 4 * PAGE);
      expect(code(() => d[free](iova, 4 * PAGE))).toBe('EINVAL');
    },
  );

  it('free takes ranges of allocFast too, rounded as they were', () => {
    const d = small(32);
    const iova = d.allocFast(3 * PAGE);
    expect(d.find(iova)).toEqual({ start: iova, last: iova + 4 * PAGE - 1, state: 'taken' });
    expect(code(() => d.free(iova, 5 * PAGE))).toBe('EINVAL');
    d.free(iova, 3 * PAGE);
    expect([d.liveCount, d.cachedCount]).toEqual([0, 0]);
    expect(code(() => d.free(iova, 3 * PAGE))).toBe('EINVAL');
  });
});

describe('the caches (Linux alloc_iova_fast, free_iova_fast)', () => {
  it('a freed range is given again, to the CPU that freed it', () => {
    const d = domain({ cpus: 2 });
    const iova = d.allocFast(PAGE, ALL, 0);
    d.freeFast(iova, PAGE, 1);
    expect([d.liveCount, d.cachedCount]).toEqual([0, 1]);
    expect(d.find(iova)?.state).toBe('cached');
    expect(d.allocFast(PAGE, ALL, 0)).toBe(iova - PAGE);
    expect(d.allocFast(PAGE, ALL, 1)).toBe(iova);
  });

  it('sizes are kept apart, and share by the power of two that they are rounded to', () => {
    const d = domain();
    const iova = d.allocFast(3 * PAGE);
    d.freeFast(iova, 4 * PAGE);
    expect(d.allocFast(2 * PAGE)).not.toBe(iova);
    expect(d.allocFast(4 * PAGE)).toBe(iova);
  });

  it('32 pages are cached, 33 are not, and are not rounded', () => {
    const d = domain();
    const [small, large] = [d.allocFast(32 * PAGE), d.allocFast(33 * PAGE)];
    expect(d.find(large)).toMatchObject({ last: large + 33 * PAGE - 1 });
    d.freeFast(small, 32 * PAGE);
    d.freeFast(large, 33 * PAGE);
    expect(d.cachedCount).toBe(1);
    expect(d.find(large)).toBeUndefined();
  });

  it('a cached range can be freed neither way (EINVAL): the second free of a range is caught', () => {
    const d = domain();
    const iova = d.allocFast(PAGE);
    expect(code(() => d.freeFast(iova + 8, PAGE))).toBe('EINVAL');
    expect(code(() => d.freeFast(iova, 2 * PAGE))).toBe('EINVAL');
    d.freeFast(iova, PAGE);
    expect(code(() => d.freeFast(iova, PAGE))).toBe('EINVAL');
    expect(code(() => d.free(iova, PAGE))).toBe('EINVAL');
    expect(code(() => d.retire(iova, PAGE))).toBe('EINVAL');
    expect(d.cachedCount).toBe(1);
  });

  it('only what lies below the limit is given; what does not stays cached', () => {
    const d = domain();
    const [high, middle, low] = [d.allocFast(PAGE), d.allocFast(PAGE), d.allocFast(PAGE)];
    for (const iova of [middle, low, high]) d.freeFast(iova, PAGE); // the highest is on top
    expect(d.allocFast(PAGE, low + PAGE - 2)).toBe(low - PAGE); // none is low enough
    expect(d.allocFast(PAGE, high + PAGE - 2)).toBe(low); // the newest that is; the top takes its place
    expect(d.cachedCount).toBe(2);
    expect(code(() => d.freeFast(middle, PAGE))).toBe('EINVAL');
    expect(d.allocFast(PAGE, middle + PAGE - 1)).toBe(middle);
    expect(d.allocFast(PAGE, high + PAGE - 1)).toBe(high);
    expect(d.cachedCount).toBe(0);
  });

  it.each([2, -1, 1000])('CPU %i of two: EINVAL', (cpu) => {
    const d = domain({ cpus: 2 });
    const iova = d.allocFast(PAGE);
    expect(code(() => d.allocFast(PAGE, ALL, cpu))).toBe('EINVAL');
    expect(code(() => d.freeFast(iova, PAGE, cpu))).toBe('EINVAL');
    expect([d.liveCount, d.cachedCount]).toEqual([1, 0]);
  });

  it('empties every cache before it gives up, and only then', () => {
    const d = small(64, { cpus: 2 });
    const iovas = Array.from({ length: 64 }, () => d.allocFast(PAGE));
    for (const [i, iova] of iovas.entries()) d.freeFast(iova, PAGE, i % 2);
    expect(d.cachedCount).toBe(64);
    expect(d.allocFast(32 * PAGE)).toBe(32 * PAGE);
    expect(d.cachedCount).toBe(0);
    expect(code(() => d.allocFast(64 * PAGE))).toBe('ENOSPC');
    expect(d.liveCount).toBe(1);
  });

  it('alloc leaves them alone; drainCaches empties them', () => {
    const d = small(1);
    d.freeFast(d.allocFast(PAGE), PAGE);
    expect(code(() => d.alloc(PAGE))).toBe('ENOSPC');
    d.drainCaches();
    expect(d.alloc(PAGE)).toBe(16 * PAGE);
  });

  it('two magazines a CPU and size, the rest in the depot: 1,000 ranges come back without the tree', () => {
    const d = domain();
    const iovas = Array.from({ length: 254 }, () => d.allocFast(PAGE));
    for (const iova of iovas) d.freeFast(iova, PAGE);
    expect(d.cachedCount).toBe(254);
    const again = iovas.map(() => d.allocFast(PAGE));
    expect([...again].sort()).toEqual([...iovas].sort());
    expect(d.cachedCount).toBe(0);
    expect(again[0]).toBe(iovas.at(-1));
  });

  it('the depot serves another CPU', () => {
    const d = domain({ cpus: 2, scheduler: new Scheduler() });
    const iovas = Array.from({ length: 3 * 127 + 1 }, () => d.allocFast(PAGE));
    for (const iova of iovas) d.freeFast(iova, PAGE, 0);
    const lowest = iovas.at(-1)!;
    expect(d.allocFast(PAGE, ALL, 1)).toBeGreaterThan(lowest);
    expect(d.cachedCount).toBe(3 * 127);
  });

  it('a depot of more than one magazine a CPU is trimmed, one each 100 ms', () => {
    const scheduler = new Scheduler();
    const d = domain({ scheduler });
    const iovas = Array.from({ length: 6 * 127 }, () => d.allocFast(PAGE));
    for (const iova of iovas) d.freeFast(iova, PAGE); // loaded, previous, 4 in the depot
    expect(d.cachedCount).toBe(6 * 127);
    const seen: [number, number][] = [];
    while (scheduler.step()) seen.push([scheduler.now / 1e6, d.cachedCount / 127]);
    expect(seen).toEqual([
      [100, 5],
      [200, 4],
      [300, 3],
    ]);
    expect(scheduler.idle).toBe(true);
  });

  it('a depot that was used up meanwhile is not trimmed', () => {
    const scheduler = new Scheduler();
    const d = domain({ scheduler });
    const iovas = Array.from({ length: 4 * 127 }, () => d.allocFast(PAGE));
    for (const iova of iovas) d.freeFast(iova, PAGE);
    for (let i = 0; i < 3 * 127; i++) d.allocFast(PAGE);
    scheduler.run();
    expect(d.cachedCount).toBe(127);
  });

  it('without a scheduler it is trimmed at once', () => {
    const d = domain();
    const iovas = Array.from({ length: 6 * 127 }, () => d.allocFast(PAGE));
    for (const iova of iovas) d.freeFast(iova, PAGE);
    expect(d.cachedCount).toBe(3 * 127);
    expect(d.liveCount).toBe(0);
    d.drainCaches();
    expect([...d.ranges()]).toEqual([]);
  });

  it('dispose leaves nothing to happen and nothing cached', () => {
    const scheduler = new Scheduler();
    const d = domain({ scheduler });
    const iovas = Array.from({ length: 6 * 127 }, () => d.allocFast(PAGE));
    for (const iova of iovas) d.freeFast(iova, PAGE);
    d.dispose();
    expect(scheduler.idle).toBe(true);
    expect([...d.ranges()]).toEqual([]);
    d.dispose();
  });

  it('ranges far apart are told apart', () => {
    const d = domain();
    const high = d.allocFast(PAGE);
    const low = d.allocFast(PAGE, 2 ** 32 - 1);
    d.freeFast(high, PAGE);
    d.freeFast(low, PAGE);
    expect(code(() => d.freeFast(high, PAGE))).toBe('EINVAL');
    expect(d.allocFast(PAGE, 2 ** 32 - 1)).toBe(low);
    expect(d.allocFast(PAGE)).toBe(high);
  });
});

describe('below 4 GiB first (Linux iommu_dma_alloc_iova)', () => {
  const LOW = 2 ** 32;
  it('a device gets low addresses while there are some, then any, and does not try again', () => {
    const d = new IovaDomain({ granuleBytes: PAGE, startPfn: LOW / PAGE - 2, last: 2 ** 40 - 1 });
    const device = { preferred: true };
    const got = [1, 2, 3].map(() => d.allocBelow4GFirst(PAGE, ALL, device));
    expect(got).toEqual([LOW - PAGE, LOW - 2 * PAGE, 2 ** 40 - PAGE]);
    expect(device.preferred).toBe(false);
    d.free(got[0]!, PAGE);
    expect(d.allocBelow4GFirst(PAGE, ALL, device)).toBe(2 ** 40 - 2 * PAGE);
    expect(d.allocBelow4GFirst(PAGE, ALL, { preferred: true })).toBe(LOW - PAGE);
  });

  it('uses the caches, but does not empty them for a low address', () => {
    const d = new IovaDomain({ granuleBytes: PAGE, startPfn: LOW / PAGE - 2, last: 2 ** 40 - 1 });
    const device = { preferred: true };
    const [a, b] = [d.allocBelow4GFirst(PAGE, ALL, device), d.allocBelow4GFirst(PAGE, ALL, device)];
    d.freeFast(a, PAGE);
    expect(d.allocBelow4GFirst(PAGE, ALL, device)).toBe(a);
    d.freeFast(a, PAGE);
    d.freeFast(b, PAGE);
    expect(d.allocBelow4GFirst(2 * PAGE, ALL, device)).toBe(2 ** 40 - 2 * PAGE);
    expect(d.cachedCount).toBe(2);
  });

  it('a device that takes 32 bits only has no second try', () => {
    const d = new IovaDomain({ granuleBytes: PAGE, startPfn: LOW / PAGE - 1, last: 2 ** 40 - 1 });
    const device = { preferred: true };
    expect(d.allocBelow4GFirst(PAGE, LOW - 1, device)).toBe(LOW - PAGE);
    expect(code(() => d.allocBelow4GFirst(PAGE, LOW - 1, device))).toBe('ENOSPC');
    expect(device.preferred).toBe(true);
  });
});

describe('reserve: addresses that nobody gets (Linux reserve_iova)', () => {
  it('is widened to whole pages and not given', () => {
    const d = small(4);
    d.reserve(18 * PAGE + 5, 18 * PAGE + 5);
    expect([...d.ranges()]).toEqual([{ start: 18 * PAGE, last: 19 * PAGE - 1, state: 'reserved' }]);
    expect([1, 2, 3].map(() => d.alloc(PAGE) / PAGE)).toEqual([19, 17, 16]);
    expect(code(() => d.alloc(PAGE))).toBe('ENOSPC');
    expect(d.liveCount).toBe(3);
  });

  it('overlapping, touching and repeated reservations add up', () => {
    const d = small(32);
    for (const [first, last] of [
      [20, 22],
      [26, 28],
      [22, 26],
      [20, 28],
      [19, 19],
      [29, 31],
    ] as const)
      d.reserve(first * PAGE, (last + 1) * PAGE - 1);
    const pages = [...d.ranges()].map(({ start, last, state }) => [start / PAGE, (last + 1) / PAGE - 1, state]);
    expect(pages).toEqual([
      [29, 31, 'reserved'],
      [26, 28, 'reserved'],
      [23, 25, 'reserved'],
      [20, 22, 'reserved'],
      [19, 19, 'reserved'],
    ]);
    expect(d.liveCount).toBe(0);
    expect(d.alloc(16 * PAGE) / PAGE).toBe(32);
    expect(code(() => d.alloc(4 * PAGE))).toBe('ENOSPC');
  });

  it('what lies outside the domain does not matter', () => {
    const d = small(4);
    d.reserve(0, 15 * PAGE);
    d.reserve(20 * PAGE, ALL);
    expect([...d.ranges()]).toEqual([]);
    d.reserve(0, ALL);
    expect([...d.ranges()]).toEqual([{ start: 16 * PAGE, last: 20 * PAGE - 1, state: 'reserved' }]);
  });

  it.each([
    [5 * PAGE, 4 * PAGE],
    [-1, 5],
    [Number.NaN, 5],
  ])('[%s, %s]: EINVAL', (first, last) => {
    expect(code(() => domain().reserve(first, last))).toBe('EINVAL');
  });

  it('a part that somebody has: EBUSY, and nothing is reserved', () => {
    const d = small(32);
    const iova = d.alloc(PAGE, { limit: 30 * PAGE - 1 });
    expect(() => d.reserve(20 * PAGE, 32 * PAGE - 1)).toThrow('0x1d000 in it is taken');
    expect(code(() => d.reserve(iova, iova))).toBe('EBUSY');
    expect([...d.ranges()]).toEqual([{ start: iova, last: iova + PAGE - 1, state: 'taken' }]);
    d.free(iova, PAGE);
    d.reserve(20 * PAGE, 32 * PAGE - 1);
    expect(d.liveCount).toBe(0);
  });

  it('a cached part is taken out of the caches', () => {
    const d = small(32);
    const [a, b] = [d.allocFast(PAGE), d.allocFast(PAGE)];
    d.freeFast(a, PAGE);
    expect(code(() => d.reserve(b, a))).toBe('EBUSY');
    d.freeFast(b, PAGE);
    d.reserve(b, a);
    expect(d.cachedCount).toBe(0);
    expect(d.find(a)).toEqual({ start: b, last: a + PAGE - 1, state: 'reserved' });
  });

  it('a reserved range can be neither freed nor retired (EINVAL)', () => {
    const d = small(32);
    d.reserve(20 * PAGE, 21 * PAGE - 1);
    expect(code(() => d.free(20 * PAGE, PAGE))).toBe('EINVAL');
    expect(code(() => d.freeFast(20 * PAGE, PAGE))).toBe('EINVAL');
    expect(code(() => d.retire(20 * PAGE, PAGE))).toBe('EINVAL');
  });
});

describe('retire: unmapped, but not yet forgotten', () => {
  it.each([
    { from: 'alloc', pages: 1 },
    { from: 'alloc', pages: 40 },
    { from: 'allocFast', pages: 3 },
    { from: 'allocFast', pages: 40 },
  ] as const)('a range of $pages pages from $from is freed once, by freeRetired', ({ from, pages }) => {
    const d = domain();
    const bytes = pages * PAGE;
    const iova = d[from](bytes);
    expect(code(() => d.freeRetired(iova, bytes))).toBe('EINVAL');
    expect(code(() => d.retire(iova, bytes + 8 * PAGE))).toBe('EINVAL');
    expect(code(() => d.retire(iova + PAGE, bytes))).toBe('EINVAL');
    d.retire(iova, bytes);
    expect(d.find(iova)?.state).toBe('retired');
    expect(code(() => d.retire(iova, bytes))).toBe('EINVAL');
    expect(code(() => d.free(iova, bytes))).toBe('EINVAL');
    expect(code(() => d.freeFast(iova, bytes))).toBe('EINVAL');
    expect(d.liveCount).toBe(1);
    d.freeRetired(iova, bytes);
    expect(d.liveCount).toBe(0);
    expect(d.cachedCount).toBe(from === 'allocFast' && pages <= 32 ? 1 : 0);
    expect(code(() => d.freeRetired(iova, bytes))).toBe('EINVAL');
  });
});

describe('against a naive model', () => {
  it('no two ranges ever overlap, none leaves its limits, and the end is as the beginning', () => {
    const op = fc.record({
      kind: fc.constantFrom('alloc', 'fast', 'fast', 'low', 'free', 'free', 'freeFast', 'freeFast', 'retire', 'time'),
      pages: fc.oneof(fc.constantFrom(1, 1, 2, 3, 4), fc.integer({ min: 1, max: 70 })),
      limit: fc.integer({ min: 100, max: 700 }),
      cpu: fc.nat(1),
      pick: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(op, { maxLength: 400 }), (ops) => {
        const scheduler = new Scheduler();
        const base = 2 ** 32 / PAGE - 256;
        const d = new IovaDomain({
          granuleBytes: PAGE,
          startPfn: base,
          last: (base + 600) * PAGE - 1,
          cpus: 2,
          scheduler,
        });
        d.reserve((base + 300) * PAGE, (base + 310) * PAGE - 1);
        const live: { iova: number; bytes: number; fast: boolean; retired: boolean }[] = [];
        const overlaps = (iova: number, bytes: number) =>
          live.some((each) => iova < each.iova + each.bytes && each.iova < iova + bytes);
        for (const o of ops) {
          const bytes = o.pages * PAGE;
          const limit = (base + o.limit) * PAGE - 1;
          if (o.kind === 'alloc' || o.kind === 'fast' || o.kind === 'low') {
            let iova: number;
            try {
              if (o.kind === 'alloc') iova = d.alloc(bytes, { limit });
              else if (o.kind === 'fast') iova = d.allocFast(bytes, limit, o.cpu);
              else iova = d.allocBelow4GFirst(bytes, limit, { preferred: true }, o.cpu);
            } catch (error) {
              expect((error as { code: string }).code).toBe('ENOSPC');
              continue;
            }
            let align = PAGE;
            while (align < bytes) align *= 2;
            expect(iova % align).toBe(0);
            expect(iova).toBeGreaterThanOrEqual(d.first);
            expect(iova + bytes - 1).toBeLessThanOrEqual(Math.min(limit, d.last));
            expect(overlaps(iova, bytes)).toBe(false);
            expect(iova + bytes <= (base + 300) * PAGE || iova >= (base + 310) * PAGE).toBe(true);
            live.push({ iova, bytes, fast: o.kind !== 'alloc', retired: false });
          } else if (o.kind === 'time') scheduler.run();
          else if (live.length > 0) {
            const at = o.pick % live.length;
            const { iova, bytes, retired } = live[at]!;
            if (o.kind === 'retire' && !retired) {
              d.retire(iova, bytes);
              live[at]!.retired = true;
            } else {
              live.splice(at, 1);
              if (retired) d.freeRetired(iova, bytes, o.cpu);
              else if (o.kind === 'free') d.free(iova, bytes);
              else d.freeFast(iova, bytes, o.cpu);
            }
          }
          expect(d.liveCount).toBe(live.length);
        }
        for (const { iova, bytes, retired } of live) {
          if (retired) d.freeRetired(iova, bytes);
          else d.free(iova, bytes);
        }
        d.dispose();
        expect([...d.ranges()].map(({ state }) => state)).toEqual(['reserved']);
        expect(scheduler.idle).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});
