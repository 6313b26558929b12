import { describe, expect, it } from 'vitest';
import { CONTIGUOUS_RUNS, contiguousRun, GRANULES, granuleByEncoding, granuleByShift } from '../index.ts';

const KiB = 2 ** 10;
const MiB = 2 ** 20;
const GiB = 2 ** 30;

describe('granules', () => {
  it.each(Object.values(GRANULES))(
    '$name: a table is one page of 8-byte entries, and levels join without gap',
    (one) => {
      expect(one.bitsPerLevel).toBe(one.shift - 3);
      for (const { level, indexLo, entryBytes } of one.levels) {
        expect(indexLo).toBe(one.shift + one.bitsPerLevel * (3 - level));
        expect(entryBytes).toBe(2 ** indexLo);
      }
      for (const [i, { indexHi }] of one.levels.entries())
        expect(indexHi).toBe(i === 0 ? 51 : one.levels[i - 1]!.indexLo - 1);
      expect(one.levels.at(-1)).toMatchObject({ level: 3, block: false });
    },
  );

  // the sizes that Linux's io-pgtable-arm.c and Arm DDI 0487 name
  it.each([
    ['4KB', { 0: 'DS', 1: true, 2: true }, { 1: GiB, 2: 2 * MiB, 3: 4 * KiB, 0: 512 * GiB }],
    ['16KB', { 1: 'DS', 2: true }, { 2: 32 * MiB, 3: 16 * KiB, 1: 64 * GiB }],
    ['64KB', { 1: 'LPA', 2: true }, { 2: 512 * MiB, 3: 64 * KiB, 1: 4096 * GiB }],
  ] as const)('%s: blocks stand where the architecture lets them, with its sizes', (name, blocks, sizes) => {
    const { levels } = GRANULES[name];
    const found = levels.filter(({ block }) => block !== false).map(({ level, block }) => [String(level), block]);
    expect(Object.fromEntries(found)).toEqual(blocks);
    for (const [level, bytes] of Object.entries(sizes))
      expect(levels.find((one) => one.level === Number(level))?.entryBytes).toBe(bytes);
  });

  // Linux arm-smmu-v3.h and Renode have each encoding
  it.each([
    ['tg0', ['4KB', '64KB', '16KB', undefined]],
    ['s2tg', ['4KB', '64KB', '16KB', undefined]],
    ['tg1', [undefined, '16KB', '4KB', '64KB']],
    ['tlbiTg', [undefined, '4KB', '16KB', '64KB']],
  ] as const)('%s encodes them in its own way', (field, names) => {
    expect([0, 1, 2, 3].map((value) => granuleByEncoding(field, value)?.name)).toEqual(names);
  });

  it('are found by page size', () => {
    expect([12, 14, 16, 13].map((shift) => granuleByShift(shift)?.name)).toEqual(['4KB', '16KB', '64KB', undefined]);
  });
});

describe('contiguous runs', () => {
  it.each([
    ['4KB', 3, 16, 64 * KiB],
    ['4KB', 2, 16, 32 * MiB],
    ['4KB', 1, 16, 16 * GiB],
    ['16KB', 3, 128, 2 * MiB],
    ['16KB', 2, 32, GiB],
    ['64KB', 3, 32, 2 * MiB],
    ['64KB', 2, 32, 16 * GiB],
  ] as const)('%s level %i joins %i entries', (granule, level, entries, bytes) => {
    expect(contiguousRun(granule, level)).toEqual({ granule, level, entries, bytes });
  });
  it('are no others', () => {
    expect(CONTIGUOUS_RUNS).toHaveLength(7);
    expect([contiguousRun('4KB', 0), contiguousRun('16KB', 1), contiguousRun('64KB', 1)]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});
