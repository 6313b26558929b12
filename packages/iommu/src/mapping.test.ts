import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { codeOf, device, errorOf, FakeDomain, FakeDriver, FakePagingDomain } from '../test/fakes.ts';
import { PROT } from './domain.ts';
import { Iommu } from './iommu.ts';

const K4 = 4096;
const M2 = 2 ** 21;
const G1 = 2 ** 30;

let iommu: Iommu;
let domain: FakePagingDomain;
let calls: string[];

beforeEach(() => {
  iommu = new Iommu();
  domain = new FakePagingDomain('unmanaged', []);
  calls = [];
  domain.hook = (operation, ...values) => calls.push([operation, ...values].join(' '));
});

const mapCalls = (): string[] => calls.filter((call) => call.startsWith('mapPages'));

describe('Iommu.map chooses the largest pages that addresses and size allow', () => {
  it.each([
    { rule: 'one page', iova: K4, pa: 0, bytes: K4, sizes: [[K4, 1]] },
    { rule: 'one run of small pages', iova: K4, pa: 8 * K4, bytes: 100 * K4, sizes: [[K4, 100]] },
    { rule: 'a block', iova: M2, pa: 4 * M2, bytes: M2, sizes: [[M2, 1]] },
    {
      rule: 'small pages up to the block boundary, blocks, and the rest',
      iova: M2 - 2 * K4,
      pa: 3 * M2 - 2 * K4,
      bytes: 2 * M2 + 5 * K4,
      sizes: [
        [K4, 2],
        [M2, 2],
        [K4, 3],
      ],
    },
    {
      rule: 'a block that ends where the range ends',
      iova: M2 - K4,
      pa: 3 * M2 - K4,
      bytes: M2 + K4,
      sizes: [
        [K4, 1],
        [M2, 1],
      ],
    },
    {
      rule: 'no block where the physical address is off by a page',
      iova: M2,
      pa: M2 + K4,
      bytes: 2 * M2,
      sizes: [[K4, 1024]],
    },
    {
      rule: 'no stop at a boundary behind which no block fits',
      iova: M2 - K4,
      pa: 5 * M2 - K4,
      bytes: M2,
      sizes: [[K4, 512]],
    },
    {
      rule: 'all three sizes',
      iova: G1 - M2 - K4,
      pa: 2 * G1 - M2 - K4,
      bytes: G1 + 2 * M2 + 2 * K4,
      sizes: [
        [K4, 1],
        [M2, 1],
        [G1, 1],
        [M2, 1],
        [K4, 1],
      ],
    },
    { rule: 'the top of the input range', iova: 2 ** 48 - M2, pa: 0, bytes: M2, sizes: [[M2, 1]] },
  ])('$rule', ({ iova, pa, bytes, sizes }) => {
    iommu.map(domain, iova, pa, bytes, PROT.READ);
    let at = 0;
    expect(mapCalls()).toEqual(
      sizes.map(([size, count]) => {
        const call = `mapPages ${iova + at} ${pa + at} ${size} ${count} ${PROT.READ}`;
        at += size! * count!;
        return call;
      }),
    );
    expect(domain.iovaToPhys(iova + bytes - 1)).toBe(pa + bytes - 1);
  });

  it('maps every byte to the right place, for any range, and unmaps it without rest', () => {
    const pages = fc.integer({ min: 0, max: 2000 });
    fc.assert(
      fc.property(pages, pages, fc.integer({ min: 1, max: 1500 }), fc.boolean(), (iova, pa, count, same) => {
        const table = new FakePagingDomain('unmanaged', [], { pageSizes: [K4, 16 * K4, 256 * K4] });
        const to = same ? iova + 256 * 7 : pa;
        iommu.map(table, iova * K4, to * K4, count * K4, PROT.WRITE);
        for (let i = 0; i < count; i++) expect(table.iovaToPhys((iova + i) * K4)).toBe((to + i) * K4);
        expect(table.iovaToPhys((iova + count) * K4)).toBe(-1);
        // Never more leaves than greedy choice from the left would need.
        for (const [start, leaf] of table.leaves) expect(start % leaf.pageBytes).toBe(0);
        expect(iommu.unmap(table, iova * K4, count * K4)).toBe(count * K4);
        expect(table.leaves.size).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  it('goes on where a driver mapped fewer pages than asked', () => {
    domain.mapAtMost = 3;
    iommu.map(domain, 0x10000, 0, 8 * K4, PROT.READ);
    expect(mapCalls().map((call) => call.split(' ')[4])).toEqual(['8', '5', '2']);
  });

  it('tells the hardware that caches absent translations', () => {
    iommu.map(domain, 0x10000, 0, 2 * K4, PROT.READ);
    expect(domain.syncs).toEqual(['map 10000+2000']);
  });
});

describe('Iommu.map undoes the whole range when a part fails', () => {
  it('leaves what was there before: EEXIST', () => {
    iommu.map(domain, 5 * K4 + M2, 0x7000, K4, PROT.READ);
    domain.mapAtMost = 2;
    expect(codeOf(() => iommu.map(domain, M2, 0x100000, 8 * K4, PROT.READ))).toBe('EEXIST');
    expect([...domain.leaves.keys()]).toEqual([5 * K4 + M2]);
    expect(domain.syncs.at(-1)).toBe('200000-203fff');
  });

  it('has nothing to undo when the first part fails', () => {
    iommu.map(domain, M2, 0x7000, K4, PROT.READ);
    expect(codeOf(() => iommu.map(domain, M2, 0x100000, 2 * K4, PROT.READ))).toBe('EEXIST');
    expect(calls.some((call) => call === 'sync')).toBe(false);
  });

  it('does not turn for ever around a driver that maps nothing: EIO', () => {
    domain.mapAtMost = 0;
    expect(codeOf(() => iommu.map(domain, M2, 0, K4, PROT.READ))).toBe('EIO');
  });
});

describe('Iommu.map and unmap refuse', () => {
  it.each([
    { what: 'a misaligned input address', iova: 1, pa: 0, bytes: K4, code: 'EINVAL' },
    { what: 'a misaligned size', iova: 0, pa: 0, bytes: K4 + 1, code: 'EINVAL' },
    { what: 'nothing', iova: 0, pa: 0, bytes: 0, code: 'EINVAL' },
    { what: 'no number', iova: 0, pa: 0, bytes: Number.NaN, code: 'EINVAL' },
    { what: 'a negative address', iova: -K4, pa: 0, bytes: K4, code: 'EINVAL' },
    { what: 'a range that leaves the geometry', iova: 2 ** 48 - K4, pa: 0, bytes: 2 * K4, code: 'ERANGE' },
  ])('$what: $code', ({ iova, pa, bytes, code }) => {
    expect(codeOf(() => iommu.map(domain, iova, pa, bytes, PROT.READ))).toBe(code);
    expect(codeOf(() => iommu.unmap(domain, iova, bytes))).toBe(code);
    expect(calls).toEqual([]);
  });

  it('a range below the geometry: ERANGE', () => {
    const high = new FakePagingDomain('unmanaged', [], { geometry: { start: M2, last: G1 - 1 } });
    expect(errorOf(() => iommu.map(high, 0, 0, K4, PROT.READ))).toBe(
      "ERANGE: range 0x0+0x1000: outside the domain's 0x200000 to 0x3fffffff",
    );
  });

  it('nothing for want of a geometry', () => {
    const any = new FakePagingDomain('unmanaged', [], { geometry: undefined });
    iommu.map(any, 2 ** 51, 0, K4, PROT.READ);
    expect(iommu.iovaToPhys(any, 2 ** 51 + 5)).toBe(5);
  });

  it('a misaligned or negative physical address: EINVAL', () => {
    expect(codeOf(() => iommu.map(domain, 0, 5, K4, PROT.READ))).toBe('EINVAL');
    expect(codeOf(() => iommu.map(domain, 0, -K4, K4, PROT.READ))).toBe('EINVAL');
  });

  it.each(['mapPages', 'unmapPages', 'newGather', 'iotlbSync', 'pageSizes'])(
    'a domain without %s: EINVAL',
    (missing) => {
      Object.defineProperty(domain, missing, { value: undefined });
      expect(codeOf(() => iommu.map(domain, 0, 0, K4, PROT.READ))).toBe('EINVAL');
    },
  );

  it('a domain without a page table: EINVAL', () => {
    const blocked = new FakeDomain('blocked', []);
    expect(errorOf(() => iommu.map(blocked, 0, 0, K4, PROT.READ))).toBe(
      'EINVAL: a domain of type blocked has no page table of its own to map into',
    );
    expect(codeOf(() => iommu.unmap(blocked, 0, K4))).toBe('EINVAL');
  });
});

describe('Iommu.unmap', () => {
  it('invalidates once for the whole range', () => {
    iommu.map(domain, M2 - K4, 3 * M2 - K4, M2 + 2 * K4, PROT.READ);
    domain.syncs.length = 0;
    expect(iommu.unmap(domain, M2 - K4, M2 + 2 * K4)).toBe(M2 + 2 * K4);
    expect(domain.syncs).toEqual(['1ff000-400fff']);
    expect(calls.filter((call) => call.startsWith('unmapPages'))).toEqual([
      `unmapPages ${M2 - K4} ${K4} 1`,
      `unmapPages ${M2} ${M2} 1`,
      `unmapPages ${2 * M2} ${K4} 1`,
    ]);
  });

  it('ends at a hole and says how far it came', () => {
    iommu.map(domain, 0x10000, 0, 2 * K4, PROT.READ);
    iommu.map(domain, 0x13000, 0, K4, PROT.READ);
    expect(iommu.unmap(domain, 0x10000, 4 * K4)).toBe(2 * K4);
    expect(iommu.iovaToPhys(domain, 0x13000)).toBe(0);
  });

  it('leaves invalidating to the owner of the gather: unmapFast', () => {
    iommu.map(domain, 0x10000, 0, 2 * K4, PROT.READ);
    const gather = domain.newGather();
    expect(iommu.unmapFast(domain, 0x10000, 2 * K4, gather)).toBe(2 * K4);
    expect([gather.start, gather.last]).toEqual([0x10000, 0x11fff]);
    expect(calls).not.toContain('sync');
  });
});

describe('Iommu.iovaToPhys', () => {
  it('is the address itself in an identity domain, -1 where there is no table', () => {
    expect(iommu.iovaToPhys(new FakeDomain('identity', []), 0x1234)).toBe(0x1234);
    expect(iommu.iovaToPhys(new FakeDomain('blocked', []), 0x1234)).toBe(-1);
  });
});

describe('MappedPages: memory given back while a device can reach it is found (iommu.debug_pagealloc)', () => {
  it('counts every mapping of every frame, over all domains', () => {
    iommu = new Iommu({ debugPages: true });
    const pages = iommu.mappedPages!;
    const other = new FakePagingDomain('unmanaged', []);
    iommu.map(domain, 0, 0x10000, 4 * K4, PROT.READ);
    iommu.map(other, M2, 0x12000, K4, PROT.READ);
    expect([pages.frames, pages.mappings(0x12fff), pages.mappings(0x13000), pages.mappings(0x14000)]).toEqual([
      4, 2, 1, 0,
    ]);
    expect(errorOf(() => pages.checkUnmapped(0x11000, 2 * K4))).toContain('EBUSY: 0x11000 is given back');
    iommu.unmap(domain, 0, 4 * K4);
    expect(pages.frames).toBe(1);
    pages.checkUnmapped(0x10000, 2 * K4);
    expect(codeOf(() => pages.checkUnmapped(0x12000, K4))).toBe('EBUSY');
    iommu.unmap(other, M2, K4);
    expect(pages.frames).toBe(0);
  });

  it('does not count a map that failed, and keeps what an unmap did not reach', () => {
    iommu = new Iommu({ debugPages: true });
    iommu.map(domain, 4 * K4, 0x50000, K4, PROT.READ);
    expect(codeOf(() => iommu.map(domain, 0, 0x10000, 8 * K4, PROT.READ))).toBe('EEXIST');
    expect(iommu.mappedPages!.frames).toBe(1);
    iommu.map(domain, 0, 0x10000, 2 * K4, PROT.READ);
    expect(iommu.unmap(domain, 0, 5 * K4)).toBe(2 * K4); // a hole at 2
    expect(iommu.mappedPages!.mappings(0x50000)).toBe(1);
  });

  it('leaves alone what a domain without lookup has mapped', () => {
    iommu = new Iommu({ debugPages: true });
    Object.defineProperty(domain, 'iovaToPhys', { value: undefined });
    iommu.map(domain, 0, 0x10000, K4, PROT.READ);
    iommu.unmap(domain, 0, K4);
    expect(iommu.mappedPages!.mappings(0x10000)).toBe(1);
  });

  it('does not go below zero for what a driver mapped behind its back', () => {
    iommu = new Iommu({ debugPages: true });
    domain.mapPages(0, 0x10000, K4, 1, PROT.READ);
    iommu.unmap(domain, 0, K4);
    iommu.map(domain, 0, 0x10000, K4, PROT.READ);
    expect(iommu.mappedPages!.mappings(0x10000)).toBe(1);
  });

  it('counts nothing unless asked for', () => {
    new FakeDriver().probeDevice(device('d'));
    expect(iommu.mappedPages).toBeUndefined();
  });
});
