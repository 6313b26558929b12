/** Memory types of two stages: IHI 0070 §13.1; Arm DDI 0487 D8.6. MAIR bytes are typed by hand. */
import { describe, expect, it } from 'vitest';
import {
  CD_PLAIN,
  CDTAB,
  DATA,
  Rig,
  S2_PLAIN,
  S2_RW,
  STE_BYPASS,
  STE_S1,
  STE_S2,
  STE_V,
  USER_RW,
} from '../test/rig.ts';
import { combineAttributes, combineShareability } from './attributes.ts';

const WB = 0xff;
const WT = 0xaa;
const NC = 0x44;
const nGnRnE = 0x00;
const nGnRE = 0x04;
const GRE = 0x0c;

describe('without forced write-back: Device beats Normal, the weaker cacheability wins', () => {
  it.each<[string, number, number, number]>([
    ['WB and oWB iWB', WB, 15, WB],
    ['WT and oWB iWB', WT, 15, WT],
    ['WB and oWT iWT', WB, 10, WT],
    ['WB and oNC iNC', WB, 5, NC],
    ['NC and oWB iWB', NC, 15, NC],
    ['WB and oWB iNC: each level by itself', WB, 13, 0xf4],
    ['Device and oWB iWB', nGnRE, 15, nGnRE],
    ['WB and Device-nGnRE', WB, 1, nGnRE],
    ['Device-GRE and Device-nGnRE: the stricter', GRE, 1, nGnRE],
    ['Device-nGnRE and Device-GRE', nGnRE, 3, nGnRE],
    ['a reserved MemAttr acts as Device-nGnRnE', WB, 4, nGnRnE],
  ])('%s', (_, stage1, memAttr, expected) => {
    expect(combineAttributes(stage1, memAttr, false)).toBe(expected);
  });
});

describe('with forced write-back stage 2 decides', () => {
  it.each<[string, number, number, number]>([
    ['6: write-back whatever stage 1 says', nGnRE, 6, WB],
    ['7: stage 1 unchanged', WT, 7, WT],
    ['5: non-cacheable', WB, 5, NC],
    ['5: or Device if stage 1 is', GRE, 5, GRE],
    ['1: Device', WB, 1, nGnRE],
    ['1: Device with stage 1', nGnRnE, 1, nGnRnE],
    ['4: reserved, as 7', WT, 4, WT],
  ])('%s', (_, stage1, memAttr, expected) => {
    expect(combineAttributes(stage1, memAttr, true)).toBe(expected);
  });
});

it('the wider shareability wins; Device and non-cacheable are outer shareable', () => {
  expect([
    combineShareability(WB, 0, 0),
    combineShareability(WB, 3, 0),
    combineShareability(WB, 3, 2),
    combineShareability(WB, 0, 3),
    combineShareability(nGnRE, 0, 0),
    combineShareability(NC, 3, 3),
  ]).toEqual([0, 3, 2, 3, 2, 2]);
});

describe('what a transaction goes on with (§13.1)', () => {
  const at = (rig: Rig, address = BigInt(DATA), incoming?: { type: number; shareability: number }): unknown =>
    rig.model.attributes(rig.request(1, address), incoming);
  const MTCFG = 1n << 36n;

  it('a bypass: what comes in, or what the STE overrides', () => {
    const rig = new Rig();
    const seen = (ste1: bigint, incoming?: { type: number; shareability: number }): unknown => {
      rig.ste(1, STE_V | STE_BYPASS, ste1);
      rig.run([0x04n, 31n]);
      return at(rig, BigInt(DATA), incoming);
    };
    const use = 1n << 44n; // SHCFG=1: use incoming
    expect(seen(use)).toEqual({ type: 0xff, shareability: 0 });
    expect(seen(use, { type: WT, shareability: 3 })).toEqual({ type: WT, shareability: 3 });
    expect(seen(use | MTCFG | (1n << 32n))).toEqual({ type: nGnRE, shareability: 2 });
    expect(seen(use | MTCFG | (5n << 32n))).toEqual({ type: NC, shareability: 2 });
    expect(seen(3n << 44n)).toEqual({ type: WB, shareability: 3 });
    expect(seen(0n, { type: WB, shareability: 3 })).toEqual({ type: WB, shareability: 0 });
    // ALLOCCFG: override with read allocation only; transient; none; on memory that has no caches.
    expect(seen(use | (0xcn << 37n))).toEqual({ type: 0xee, shareability: 0 });
    expect(seen(use | (0xfn << 37n))).toEqual({ type: 0x77, shareability: 0 });
    expect(seen(use | (0x9n << 37n))).toEqual({ type: 0xcc, shareability: 0 });
    expect(seen(use | (0xcn << 37n), { type: WT, shareability: 0 })).toEqual({ type: 0xaa, shareability: 0 });
    expect(seen(use | (0xfn << 37n), { type: WT, shareability: 0 })).toEqual({ type: 0x33, shareability: 0 });
    expect(seen(use | (0xcn << 37n), { type: NC, shareability: 0 })).toEqual({ type: NC, shareability: 2 });
    expect(seen(use | (0xcn << 37n), { type: GRE, shareability: 0 })).toEqual({ type: GRE, shareability: 2 });
  });

  it('stage 1 replaces it; stage 2 alone is combined with it', () => {
    const rig = new Rig();
    const ttb = rig.table();
    rig.cd(1, CD_PLAIN, BigInt(ttb), 0n, 0xaan);
    rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB + 64), MTCFG | (1n << 32n));
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
    expect(at(rig, 0x1000n)).toEqual({ type: WT, shareability: 3 });
    expect(at(rig, 0x2000n)).toBe(undefined);
    expect(rig.events()).toEqual([]);
    const other = new Rig();
    const s2 = other.table();
    other.ste(1, STE_V | STE_S2, 1n << 44n, S2_PLAIN, BigInt(s2));
    other.map(s2, 0x1000n, BigInt(DATA) | (S2_RW & ~(15n << 2n)) | (5n << 2n));
    expect(at(other, 0x1000n)).toEqual({ type: NC, shareability: 2 });
  });

  it('SMMUEN=0: what GBPA overrides, or nothing where it aborts', () => {
    const rig = new Rig({ off: true });
    const gbpa = (value: number): void => {
      rig.write(0x44, value | 0x8000_0000);
      rig.settle();
    };
    gbpa(0x1000);
    expect(at(rig)).toEqual({ type: WB, shareability: 0 });
    gbpa(0x3000 | 0x1a);
    expect(at(rig)).toEqual({ type: WT, shareability: 3 });
    gbpa(1 << 20);
    expect(at(rig)).toBe(undefined);
    const without = new Rig({ off: true, features: { attrTypesOverride: false } });
    without.write(0x44, 0x8000_3011);
    without.settle();
    expect(at(without)).toEqual({ type: WB, shareability: 0 });
  });
});
