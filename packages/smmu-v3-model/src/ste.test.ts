/** Which STEs are illegal and why: IHI 0070 §5.2.2. Each row breaks one rule of a legal entry, in dwords typed by hand. */
import { describe, expect, it } from 'vitest';
import { S2_PLAIN, STE_BYPASS, STE_NESTED, STE_S1, STE_S2, STE_V } from '../test/rig.ts';
import { FULL, features, LARGE, type ModelFeatures } from './features.ts';
import { decodeSte } from './ste.ts';
import { WORLD_E2H, WORLD_EL1, WORLD_EL2 } from './tagNumbers.ts';

type Dwords = [bigint, bigint?, bigint?, bigint?];

function decode(dwords: Dwords, f: Partial<ModelFeatures> = {}, e2h = false): ReturnType<typeof decodeSte> {
  const whole = new BigUint64Array(8);
  for (const [i, dword] of dwords.entries()) whole[i] = dword ?? 0n;
  return decodeSte(1, new Uint32Array(whole.buffer), features({ ...FULL, ...f }), e2h);
}

const S1: Dwords = [STE_V | STE_S1];
const S2: Dwords = [STE_V | STE_S2, 0n, S2_PLAIN, 0x4100_0000n];
const NESTED: Dwords = [STE_V | STE_NESTED, 0n, S2_PLAIN, 0x4100_0000n];
const BYPASS: Dwords = [STE_V | STE_BYPASS];

describe('legal entries', () => {
  it.each<[string, Dwords, number]>([
    ['abort', [STE_V], 0],
    ['bypass', BYPASS, 4],
    ['stage 1', S1, 5],
    ['stage 2', S2, 6],
    ['nested', NESTED, 7],
  ])('%s', (_, dwords, config) => {
    const ste = decode(dwords);
    expect([ste.illegal, ste.config]).toEqual(['', config]);
  });

  it('STRW=2 is EL2, or EL2-E2H where CR2.E2H says so', () => {
    const strw2: Dwords = [STE_V | STE_S1, 2n << 30n];
    expect(decode(S1).world).toBe(WORLD_EL1);
    expect(decode(strw2).world).toBe(WORLD_EL2);
    expect(decode(strw2, {}, true).world).toBe(WORLD_E2H);
    expect(decode(strw2, { hyp: false }).world).toBe(WORLD_EL1);
  });

  it('reserved values act as zero: S1Fmt=3, S1DSS=3', () => {
    const ste = decode([STE_V | STE_S1 | (3n << 4n) | (4n << 59n), 3n]);
    expect([ste.illegal, ste.s1Fmt, ste.s1Dss]).toEqual(['', 0, 0]);
  });

  it('EATS=3 needs a device permission table; without one it acts as off', () => {
    const ste = decode([STE_V | STE_S1, 3n << 28n], { ats: true });
    expect([ste.illegal, ste.eats]).toEqual(['', 0]);
  });

  it('a 52-bit stage 2 with 64 KiB pages starts at level 1', () => {
    const dword2 = (12n << 32n) | (2n << 38n) | (1n << 46n) | (6n << 48n) | (1n << 51n);
    expect(decode([STE_V | STE_S2, 0n, dword2, 0x000f_0000_0000_0000n], LARGE).illegal).toBe('');
  });
});

const vmid = (n: bigint): Dwords => [STE_V | STE_S2, 0n, S2_PLAIN | n, 0x4100_0000n];
const s2 = (change: bigint, clear = 0n, ttb = 0x4100_0000n): Dwords => [
  STE_V | STE_S2,
  0n,
  (S2_PLAIN & ~clear) | change,
  ttb,
];
const T0SZ = 0x3fn << 32n;
const SL0 = 3n << 38n;
const TG = 3n << 46n;

describe('illegal entries, each with its reason', () => {
  it.each<[string, Dwords, Partial<ModelFeatures>, string]>([
    ['V=0', [STE_S1], {}, 'V=0'],
    ['stage 1 without S1P', S1, { stage1: false }, 'IDR0.S1P'],
    ['nested without S1P', NESTED, { stage1: false }, 'IDR0.S1P'],
    ['stage 2 without S2P', S2, { stage2: false }, 'IDR0.S2P'],
    ['nested without S2P', NESTED, { stage2: false }, 'IDR0.S2P'],
    ['split-stage ATS with stage 1 only', [S1[0], 2n << 28n], { ats: true, splitStageAts: true }, 'EATS=2'],
    [
      'split-stage ATS with S2S=1',
      [NESTED[0], 2n << 28n, S2_PLAIN | (1n << 57n), 0x4100_0000n],
      { ats: true, splitStageAts: true },
      'S2S=1',
    ],
    [
      'split-stage ATS where it is absent',
      [NESTED[0], 2n << 28n, S2_PLAIN, 0x4100_0000n],
      { ats: true, splitStageAts: false },
      'NS1ATS',
    ],
    [
      'full ATS with stage 2 stalls',
      [NESTED[0], 1n << 28n, S2_PLAIN | (1n << 57n), 0x4100_0000n],
      { ats: true },
      'EATS=1',
    ],
    ['STRW=1', [S1[0], 1n << 30n], {}, 'STRW=1'],
    ['STRW=3', [S1[0], 3n << 30n], {}, 'STRW=3'],
    ['S1STALLD where stalls cannot be had', [S1[0], 1n << 27n], { stallModel: 1 }, 'S1STALLD'],
    ['S1STALLD where stalls are forced', [S1[0], 1n << 27n], { stallModel: 2 }, 'S1STALLD'],
    ['S1CDMax above SSIDSIZE', [S1[0] | (9n << 59n)], { ssidBits: 8 }, 'S1CDMax=9'],
    ['2-level CD tables where absent', [S1[0] | (9n << 59n) | (1n << 4n)], { twoLevelCdTable: false }, 'S1Fmt=1'],
    ['S1ContextPtr beyond the output size', [S1[0] | (1n << 45n)], { oasBits: 44 }, 'S1ContextPtr 0x200000000000'],
    ['S2S=1 where stalls cannot be had', s2(1n << 57n), { stallModel: 1 }, 'S2S=1'],
    ['S2S=0 where stalls are forced', S2, { stallModel: 2 }, 'S2S=0'],
    ['S2AA64=0', s2(0n, 1n << 51n), {}, 'S2AA64=0'],
    ['S2HA without HTTU', s2(1n << 56n), { httu: 0 }, 'S2HA or S2HD'],
    ['S2HD with access flag only', s2((1n << 55n) | (1n << 56n)), { httu: 1 }, 'S2HD'],
    ['S2HAFT without S2HA', s2(1n << 59n), { httu: 3 }, 'S2HAFT'],
    ['S2TG=3', s2(TG), {}, 'S2TG=3'],
    ['a granule that is absent', s2(2n << 46n, TG), { granules: ['4k'] }, 'S2TG=2'],
    ['S2TTB beyond S2PS', s2(0n, 7n << 48n, 0x1_0000_0000n), {}, 'S2TTB 0x100000000'],
    ['S2TTB beyond OAS', s2(0n, 0n, 1n << 44n), { oasBits: 44 }, 'S2TTB'],
    ['S2T0SZ below 16', s2(15n << 32n, T0SZ), {}, 'S2T0SZ=15'],
    ['S2T0SZ below 64 - IAS', s2(19n << 32n, T0SZ), { oasBits: 44 }, 'S2T0SZ=19'],
    ['S2T0SZ above 39', s2((40n << 32n) | (0n << 38n), T0SZ | SL0), { smallTables: false }, 'S2T0SZ=40'],
    ['S2T0SZ above 48', s2(49n << 32n, T0SZ), {}, 'S2T0SZ=49'],
    ['S2SL0=3 (level 3) without small tables', s2((39n << 32n) | SL0, T0SZ | SL0), { smallTables: false }, 'S2SL0=3'],
    ['S2SL0=3 with 64 KiB pages', s2((1n << 46n) | SL0, SL0), {}, 'S2SL0=3'],
    ['level 0 of 16 KiB pages without DS', s2((2n << 46n) | SL0, SL0), {}, 'S2DS'],
    ['a start level that is too high for the size', s2((25n << 32n) | (2n << 38n), T0SZ | SL0), {}, 'level 0'],
    ['a start level that would join 32 tables', s2((20n << 32n) | (1n << 38n), T0SZ | SL0), {}, 'level 1'],
    ['big-endian tables', s2(1n << 52n), {}, 'S2ENDI=1'],
    ['little-endian tables on a big-endian SMMU', S2, { tableEndian: 'big' }, 'S2ENDI=0'],
    ['a VMID wider than 8 bits', vmid(0x100n), { vmid16: false }, 'S2VMID=256'],
    ['a VMID wider than 8 bits on stage 1', [S1[0], 0n, 0x100n], { vmid16: false }, 'S2VMID=256'],
  ])('%s', (_, dwords, f, reason) => {
    expect(decode(dwords, f).illegal).toContain(reason);
  });
});

describe('what makes no entry illegal', () => {
  it.each<[string, Dwords, Partial<ModelFeatures>]>([
    ['S1CDMax=0 stops S1Fmt from mattering', [S1[0] | (1n << 4n)], { twoLevelCdTable: false }],
    ['a bypass ignores STRW, EATS, S1STALLD and stage 2', [BYPASS[0], ~0n & ~(0xfn << 32n), ~0n, ~0n], { ats: true }],
    ['a wide VMID that no tag uses', [S1[0], 2n << 30n, 0x100n], { vmid16: false }],
    ['S2T0SZ=24 from level 1 joins two tables', s2((24n << 32n) | (1n << 38n), T0SZ | SL0), {}],
    ['S2T0SZ=21 from level 1 joins sixteen', s2((21n << 32n) | (1n << 38n), T0SZ | SL0), {}],
    ['S2T0SZ=48 from level 3 with small tables', s2((48n << 32n) | SL0, T0SZ | SL0), {}],
    ['S2DS is ignored where it is absent', [STE_V | STE_S2, 0n, S2_PLAIN, 0x4100_0000n | (1n << 3n)], {}],
    [
      'nested: S1ContextPtr beyond the IPA size is a fault of stage 2 when used',
      [NESTED[0] | (1n << 47n), 0n, NESTED[2]! + (4n << 32n), NESTED[3]!],
      { oasBits: 44 },
    ],
  ])('%s', (_, dwords, f) => {
    expect(decode(dwords, f).illegal).toBe('');
  });
});

it('overrides count only where IDR1 has them', () => {
  const dwords: Dwords = [BYPASS[0], (5n << 32n) | (1n << 36n) | (3n << 44n) | (2n << 48n) | (3n << 50n)];
  const all = decode(dwords);
  expect([all.memAttr, all.shCfg, all.privCfg, all.instCfg]).toEqual([0x15, 3, 2, 3]);
  const none = decode(dwords, { attrPermsOverride: false, attrTypesOverride: false });
  expect([none.memAttr, none.shCfg, none.privCfg, none.instCfg]).toEqual([0, 1, 0, 0]);
});
