import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codeOf } from '../test/fakes.ts';
import {
  firmwareStreams,
  formatReservedRegions,
  insertReservedRegion,
  type ReservedRegion,
  type ReservedType,
} from './reservedRegions.ts';

const region = (type: ReservedType, start: number, length: number): ReservedRegion => ({ type, start, length });
const insertAll = (regions: readonly ReservedRegion[]): ReservedRegion[] =>
  regions.reduce<ReservedRegion[]>((list, added) => insertReservedRegion(list, added), []);

describe('insertReservedRegion: sorted by start, then type; the same type merges where it overlaps or touches', () => {
  it.each<{ rule: string; regions: ReservedRegion[]; merged: ReservedRegion[] }>([
    {
      rule: 'overlapping regions of a type become one',
      regions: [region('reserved', 0x2000, 0x2000), region('reserved', 0x3000, 0x3000)],
      merged: [region('reserved', 0x2000, 0x4000)],
    },
    {
      rule: 'touching regions of a type become one',
      regions: [region('reserved', 0x3000, 0x1000), region('reserved', 0x2000, 0x1000)],
      merged: [region('reserved', 0x2000, 0x2000)],
    },
    {
      rule: 'a gap of one byte keeps them apart',
      regions: [region('reserved', 0x2000, 0xfff), region('reserved', 0x3000, 0x1000)],
      merged: [region('reserved', 0x2000, 0xfff), region('reserved', 0x3000, 0x1000)],
    },
    {
      rule: 'a region inside another vanishes',
      regions: [region('msi', 0x2000, 0x8000), region('msi', 0x3000, 0x1000)],
      merged: [region('msi', 0x2000, 0x8000)],
    },
    {
      rule: 'types overlap without merging, the lower type first where they start together',
      regions: [region('software-msi', 0x2000, 0x1000), region('direct', 0x2000, 0x2000)],
      merged: [region('direct', 0x2000, 0x2000), region('software-msi', 0x2000, 0x1000)],
    },
    {
      rule: 'a region of another type in between does not keep two of a type apart',
      regions: [region('reserved', 0x1000, 0x2000), region('msi', 0x2000, 0x1000), region('reserved', 0x3000, 0x1000)],
      merged: [region('reserved', 0x1000, 0x3000), region('msi', 0x2000, 0x1000)],
    },
    {
      rule: 'one region can join two',
      regions: [
        region('reserved', 0x1000, 0x1000),
        region('reserved', 0x3000, 0x1000),
        region('reserved', 0x1800, 0x1800),
      ],
      merged: [region('reserved', 0x1000, 0x3000)],
    },
  ])('$rule', ({ regions, merged }) => {
    expect(insertAll(regions)).toEqual(merged);
  });

  it('keeps the streams of both when it merges', () => {
    const merged = insertAll([
      { ...region('direct', 0x1000, 0x1000), streamIds: [1, 2] },
      { ...region('direct', 0x2000, 0x1000), streamIds: [2, 3] },
    ]);
    expect(merged).toEqual([{ ...region('direct', 0x1000, 0x2000), streamIds: [1, 2, 3] }]);
  });

  it('refuses a region that is empty or ends above 2^52: EINVAL', () => {
    expect(codeOf(() => insertReservedRegion([], region('msi', 0x1000, 0)))).toBe('EINVAL');
    expect(codeOf(() => insertReservedRegion([], region('msi', -1, 2)))).toBe('EINVAL');
    expect(codeOf(() => insertReservedRegion([], region('msi', 2 ** 52 - 1, 2)))).toBe('EINVAL');
    expect(codeOf(() => insertReservedRegion([], region('msi', 2 ** 52 - 2, 2)))).toBe('ok');
  });

  it('covers the same bytes by type as a bitmap does, whatever the order', () => {
    const any = fc.record({
      type: fc.constantFrom<ReservedType>('direct', 'reserved', 'msi'),
      start: fc.nat(40),
      length: fc.integer({ min: 1, max: 12 }),
    });
    const bytes = (regions: readonly ReservedRegion[]): string[] => {
      const all = new Set<string>();
      for (const { type, start, length } of regions)
        for (let at = start; at < start + length; at++) all.add(`${type} ${at}`);
      return [...all].sort();
    };
    fc.assert(
      fc.property(fc.array(any, { maxLength: 12 }), (regions) => {
        const list = insertAll(regions);
        expect(bytes(list)).toEqual(bytes(regions));
        expect(insertAll([...regions].reverse())).toEqual(list);
        for (const type of ['direct', 'reserved', 'msi'])
          list
            .filter((entry) => entry.type === type)
            .forEach(({ start }, i, same) => {
              if (i > 0) expect(start).toBeGreaterThan(same[i - 1]!.start + same[i - 1]!.length);
            });
      }),
    );
  });
});

describe('formatReservedRegions', () => {
  it('writes a line as the kernel does in /sys/kernel/iommu_groups/N/reserved_regions', () => {
    const regions = insertAll([
      region('software-msi', 0x800_0000, 0x10_0000),
      region('direct', 0x1000, 0x1000),
      region('direct-relaxable', 0x4000, 0x1000),
      region('reserved', 2 ** 51, 2 ** 51),
      region('msi', 0xfee0_0000, 0x10_0000),
    ]);
    expect(formatReservedRegions(regions)).toBe(
      '0x0000000000001000 0x0000000000001fff direct\n' +
        '0x0000000000004000 0x0000000000004fff direct-relaxable\n' +
        '0x0000000008000000 0x00000000080fffff msi\n' +
        '0x00000000fee00000 0x00000000feefffff msi\n' +
        '0x0008000000000000 0x000fffffffffffff reserved\n',
    );
  });
});

describe('firmwareStreams: what must bypass at boot (IORT RMR)', () => {
  it('names the streams of direct regions once, sorted', () => {
    expect(
      firmwareStreams([
        { ...region('direct', 0x1000, 0x1000), streamIds: [9, 4] },
        { ...region('direct-relaxable', 0x4000, 0x1000), streamIds: [4, 1] },
        { ...region('reserved', 0x8000, 0x1000), streamIds: [7] },
        region('direct', 0xa000, 0x1000),
      ]),
    ).toEqual([1, 4, 9]);
  });
});
