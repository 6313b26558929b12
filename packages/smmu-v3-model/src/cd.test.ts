/** Which CDs are illegal and why: IHI 0070 §5.4.2. Each row breaks one rule of a legal entry, in dwords typed by hand. */
import { describe, expect, it } from 'vitest';
import { CD_AA64, CD_EPD1, CD_PLAIN, CD_S, STE_S1, STE_V } from '../test/rig.ts';
import { decodeCd } from './cd.ts';
import { FULL, features, LARGE, type ModelFeatures } from './features.ts';
import { decodeSte } from './ste.ts';

type Dwords = [bigint, bigint?, bigint?, bigint?];
const toWords = (dwords: readonly (bigint | undefined)[]): Uint32Array => {
  const whole = new BigUint64Array(8);
  for (const [i, dword] of dwords.entries()) whole[i] = dword ?? 0n;
  return new Uint32Array(whole.buffer);
};

function decode(dwords: Dwords, f: Partial<ModelFeatures> = {}, steDword1 = 0n): ReturnType<typeof decodeCd> {
  const all = features({ ...FULL, ...f });
  return decodeCd(toWords(dwords), decodeSte(1, toWords([STE_V | STE_S1, steDword1]), all, false), all);
}

const CD: Dwords = [CD_PLAIN | (1n << 48n), 0x4100_0000n];
const dword0 = (set: bigint, clear = 0n, ttb0 = 0x4100_0000n, ttb1 = 0n): Dwords => [
  (CD_PLAIN & ~clear) | set,
  ttb0,
  ttb1,
];
const EL2 = 2n << 30n;

it('a plain CD is legal, and its range is worked out', () => {
  const cd = decode(CD);
  expect([cd.illegal, cd.asid, cd.range0.walkable, cd.range1.walkable]).toEqual(['', 1, true, false]);
  expect([cd.range0.startLevel, cd.range0.startShift, cd.range0.startMask, cd.range0.table]).toEqual([
    0, 39, 511, 0x4100_0000,
  ]);
});

describe('illegal descriptors, each with its reason', () => {
  it.each<[string, Dwords, Partial<ModelFeatures>, string]>([
    ['V=0', dword0(0n, 1n << 31n), {}, 'V=0'],
    ['A=0 where terminated accesses are always aborted', dword0(0n, 1n << 46n), { termAbortOnly: true }, 'A=0'],
    ['S=1 where stalls cannot be had', dword0(CD_S), { stallModel: 1 }, 'S=1'],
    ['S=0 where stalls are forced', CD, { stallModel: 2 }, 'S=0'],
    ['AA64=0', dword0(0n, CD_AA64), {}, 'AA64=0'],
    ['big-endian tables', dword0(1n << 15n), {}, 'ENDI=1'],
    ['HA without HTTU', dword0(1n << 43n), { httu: 0 }, 'HA or HD'],
    ['HD with access flag only', dword0((1n << 42n) | (1n << 43n)), { httu: 1 }, 'HD with'],
    ['HAFT without HA', [CD[0], CD[1]! | 8n], { httu: 3 }, 'HAFT'],
    ['an ASID wider than 8 bits', dword0(0x100n << 48n), { asid16: false }, 'ASID=256'],
    ['TG0=3', dword0(3n << 6n), {}, 'TG0=3'],
    ['a granule that is absent', dword0(1n << 6n), { granules: ['4k'] }, 'TG0=1'],
    ['T0SZ below 16', dword0(15n, 63n), {}, 'T0SZ=15'],
    ['T0SZ above 39', dword0(40n, 63n), { smallTables: false }, 'T0SZ=40'],
    ['T0SZ above 48', dword0(49n, 63n), {}, 'T0SZ=49'],
    ['T0SZ=48 with 64 KiB pages', dword0(48n | (1n << 6n), 63n), {}, 'T0SZ=48'],
    ['TTB0 beyond IPS', dword0(0n, 7n << 32n, 0x1_0000_0000n), {}, 'TTB0 0x100000000'],
    ['TTB0 beyond OAS', dword0(0n, 0n, 1n << 44n), { oasBits: 44 }, 'TTB0'],
    ['TTB0 beyond 48 bits without a 52-bit layout', dword0(6n << 32n, 7n << 32n, 1n << 48n), LARGE, 'TTB0'],
    ['TG1=0 (reserved) with TTB1 enabled', dword0(16n << 16n, CD_EPD1), {}, 'TG1=0'],
    ['T1SZ out of range with TTB1 enabled', dword0((15n << 16n) | (2n << 22n), CD_EPD1), {}, 'T1SZ=15'],
    ['TTB1 out of range', dword0((16n << 16n) | (2n << 22n), CD_EPD1 | (7n << 32n), 0n, 1n << 40n), {}, 'TTB1'],
  ])('%s', (_, dwords, f, reason) => {
    expect(decode(dwords, f).illegal).toContain(reason);
  });

  it('S=1 with STE.S1STALLD=1', () => {
    expect(decode(dword0(CD_S), {}, 1n << 27n).illegal).toContain('S1STALLD');
  });
});

describe('what makes no descriptor illegal', () => {
  it.each<[string, Dwords, Partial<ModelFeatures>, bigint]>([
    ['EPD0 stops size, granule and table from mattering', dword0((1n << 14n) | (3n << 6n), 63n, 1n << 50n), {}, 0n],
    ['EPD0 and EPD1 stop ENDI', dword0((1n << 14n) | (1n << 15n)), {}, 0n],
    ['EL2 has no second range', dword0(0n, CD_EPD1), {}, EL2],
    ['EL2 has no ASIDs', dword0(0x100n << 48n), { asid16: false }, EL2],
    ['T0SZ=12 with 64 KiB pages and 52 bits', dword0(12n | (1n << 6n), 63n), LARGE, 0n],
    ['T0SZ=12 with 4 KiB pages and DS', [(CD_PLAIN & ~63n) | 12n, 0x4100_0000n, 1n << 58n], LARGE, 0n],
    ['mixed-endian SMMU: either', dword0(1n << 15n), { tableEndian: 'mixed' }, 0n],
  ])('%s', (_, dwords, f, ste1) => {
    expect(decode(dwords, f, ste1).illegal).toBe('');
  });

  it('T0SZ=12 without DS is out of range, even on a 52-bit SMMU', () => {
    expect(decode(dword0(12n, 63n), LARGE).illegal).toContain('T0SZ=12');
  });
});
