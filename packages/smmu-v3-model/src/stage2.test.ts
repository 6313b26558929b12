/** Stage 2 alone and under stage 1: IHI 0070 §3.4, §5.2, §7.3.12 to §7.3.16, §7.3.22. Tables and records are typed by hand. */
import { DMA_ABORT } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import {
  AF,
  BLOCK,
  CD_PLAIN,
  CDTAB,
  DATA,
  PAGE,
  Rig,
  type RigOptions,
  S2_PLAIN,
  S2_RW,
  STE_NESTED,
  STE_S2,
  STE_V,
  USER_RW,
} from '../test/rig.ts';
import { LARGE } from './features.ts';

const F_TRANSLATION = -0x10;
const F_ADDR_SIZE = -0x11;
const F_ACCESS = -0x12;
const F_PERMISSION = -0x13;
const HOLE = 0x1_0000_0000n;
const T0SZ = 0x3fn << 32n;
const SL0 = 3n << 38n;
const PS = 7n << 48n;

/** STE dword 2. `tg`: 0 4K, 1 64K, 2 16K. */
const dword2 = (t0sz: number, sl0: number, tg = 0, ps = 5): bigint =>
  (S2_PLAIN & ~(T0SZ | SL0 | PS)) |
  (BigInt(t0sz) << 32n) |
  (BigInt(sl0) << 38n) |
  (BigInt(tg) << 46n) |
  (BigInt(ps) << 48n);

function stage2(rig: Rig, second: bigint, table: number, dword3 = 0n): void {
  rig.ste(1, STE_V | STE_S2, 0n, second, BigInt(table) | dword3);
}

const GRANULES = [
  { name: '4 KiB', shift: 12, tg: 0, top: 0, sl0: [2, 1, 0, 3], blocks: [1, 2] }, // SL0 by level 0 to 3
  { name: '16 KiB', shift: 14, tg: 2, top: 1, sl0: [3, 2, 1, 0], blocks: [2] },
  { name: '64 KiB', shift: 16, tg: 1, top: 1, sl0: [-1, 2, 1, 0], blocks: [2] },
];
const sizeOf = (shift: number, level: number): bigint => 1n << BigInt(shift + (3 - level) * (shift - 3));

describe.each(GRANULES)('stage 2, $name granule', ({ shift, tg, top, sl0, blocks }) => {
  it('every start level, with one table and with sixteen joined ones', () => {
    for (let level = top; level <= 3; level++) {
      for (const joined of [0, 1, 4]) {
        const indexBits = shift - 3 + joined;
        const bits = shift + (3 - level) * (shift - 3) + indexBits;
        if (bits > 48 || bits < 64 - (shift === 16 ? 47 : 48)) continue;
        const rig = new Rig();
        const table = rig.table(2 ** (indexBits + 3));
        stage2(rig, dword2(64 - bits, sl0[level]!, tg), table);
        // The last page of the range, through tables of the rig's own below the first.
        const ipa = (1n << BigInt(bits)) - sizeOf(shift, 3);
        const index = 2 ** indexBits - 1;
        if (level === 3) rig.put(table + index * 8, BigInt(DATA) | S2_RW);
        else {
          const next = rig.table(2 ** shift);
          rig.put(table + index * 8, BigInt(next) | 3n);
          rig.map(next, ipa & (sizeOf(shift, level) - 1n), BigInt(DATA) | S2_RW, 3, shift, level + 1);
        }
        expect([level, joined, rig.translate(1, ipa + 8n)]).toEqual([level, joined, DATA + 8]);
        expect([level, joined, rig.translate(1, ipa)]).toEqual([level, joined, DATA]);
        expect([level, joined, rig.translate(1, 1n << BigInt(bits))]).toEqual([
          level,
          joined,
          bits === 48 ? F_ADDR_SIZE : F_TRANSLATION,
        ]);
      }
    }
  });

  it.each(blocks)('a block at level %d', (level) => {
    const rig = new Rig();
    const table = rig.table(2 ** (shift + 1));
    stage2(rig, dword2(shift === 14 ? 17 : 16, sl0[top]!, tg), table);
    const size = sizeOf(shift, level);
    rig.map(table, 2n * size, 3n * size + (S2_RW & ~2n), level, shift, top);
    expect(rig.translate(1, 3n * size - 8n)).toBe(Number(4n * size - 8n));
    expect(rig.translate(1, 2n * size)).toBe(Number(3n * size));
    expect(rig.model.stats.iotlbMisses).toBe(1);
  });

  it('the verdicts of a walk', () => {
    const rig = new Rig();
    const table = rig.table(2 ** (shift + 1));
    stage2(rig, dword2(shift === 14 ? 17 : 16, sl0[top]!, tg, 2), table); // 40 bits of output
    const at = (n: bigint): bigint => n * sizeOf(shift, 3);
    expect(rig.translate(1, at(1n))).toBe(F_TRANSLATION);
    rig.map(table, at(2n), (BigInt(DATA) | S2_RW) & ~AF, 3, shift, top);
    expect(rig.translate(1, at(2n))).toBe(F_ACCESS);
    rig.map(table, at(3n), (1n << 40n) | S2_RW, 3, shift, top);
    expect(rig.translate(1, at(3n))).toBe(F_ADDR_SIZE);
    rig.map(table, at(4n), BigInt(DATA) | (S2_RW & ~(1n << 7n)), 3, shift, top);
    expect([rig.translate(1, at(4n)), rig.translate(1, at(4n), true)]).toEqual([DATA, F_PERMISSION]);
    rig.map(table, at(5n), BigInt(DATA) | (S2_RW & ~2n), 3, shift, top);
    expect(rig.translate(1, at(5n))).toBe(F_TRANSLATION); // type 0b01 at level 3
    rig.map(table, sizeOf(shift, top), AF | BLOCK, top, shift, top);
    if (shift !== 12 || top === 0) expect(rig.translate(1, sizeOf(shift, top))).toBe(F_TRANSLATION);
    rig.map(table, sizeOf(shift, 2) * 3n, (1n << 40n) | 3n, 2, shift, top);
    expect(rig.translate(1, sizeOf(shift, 2) * 3n)).toBe(F_ADDR_SIZE);
  });
});

describe('stage 2 permissions (D8.4)', () => {
  const NAMES = ['ur', 'uw', 'ux', 'pr', 'pw', 'px'];
  const ACCESS = [0, 1, 2, 4, 5, 6];
  const allowed = (descriptor: bigint, options: RigOptions = {}): string => {
    const rig = new Rig(options);
    const table = rig.table();
    stage2(rig, S2_PLAIN, table);
    rig.map(table, 0x1000n, BigInt(DATA) | PAGE | AF | descriptor);
    const ask = (): string =>
      NAMES.filter((_, i) => rig.model.translator.translate(1, -1, 0x1000, 0, ACCESS[i]!)).join(' ');
    const fresh = ask();
    expect(ask()).toBe(fresh);
    return fresh;
  };
  it.each<[string, bigint, string]>([
    ['S2AP=00', 0n, 'ux px'],
    ['S2AP=01 reads', 1n << 6n, 'ur ux pr px'],
    ['S2AP=10 writes, and does not need reads', 2n << 6n, 'uw ux pw px'],
    ['S2AP=11', 3n << 6n, 'ur uw ux pr pw px'],
    ['XN=01: unprivileged execution only', (1n << 6n) | (1n << 53n), 'ur ux pr'],
    ['XN=10: none', (1n << 6n) | (2n << 53n), 'ur pr'],
    ['XN=11: privileged only', (1n << 6n) | (3n << 53n), 'ur pr px'],
  ])('%s', (_, descriptor, expected) => {
    expect(allowed(descriptor)).toBe(expected);
  });
  it('without XNX bit 53 does not count', () => {
    expect(allowed((1n << 6n) | (1n << 53n), { features: { xnx: false } })).toBe('ur ux pr px');
    expect(allowed((1n << 6n) | (3n << 53n), { features: { xnx: false } })).toBe('ur pr');
  });
});

it('S2AFFD=1 treats AF=0 as set', () => {
  const rig = new Rig();
  const table = rig.table();
  stage2(rig, S2_PLAIN | (1n << 53n), table);
  rig.map(table, 0x1000n, BigInt(DATA) | (S2_RW & ~AF));
  expect(rig.translate(1, 0x1000n)).toBe(DATA);
});

it('52 bits with 64 KiB pages, and with 4 KiB pages and S2DS from level -1', () => {
  const rig = new Rig({ features: LARGE });
  const large = rig.table(0x10000);
  stage2(rig, dword2(12, 2, 1, 6), large);
  rig.map(large, 0xf_ffff_ffff_0000n, 0x1234_0000n | (5n << 12n) | S2_RW, 3, 16, 1);
  expect(rig.translate(1, 0xf_ffff_ffff_0000n)).toBe(0x5_0000_1234_0000);
  const small = rig.table();
  // S2DS is bit 195, S2SL0[2] 194: bits 3 and 2 of dword 3.
  rig.ste(2, STE_V | STE_S2, 0n, dword2(12, 0, 0, 6), BigInt(small) | (3n << 2n));
  const level0 = rig.table();
  rig.put(small + 15 * 8, BigInt(level0) | 3n);
  rig.map(level0, 0x1234_5000n, 0x7777_8000n | (1n << 9n) | (S2_RW & ~(3n << 8n)));
  expect(rig.translate(2, 0xf_0000_1234_5000n)).toBe(0x8_0000_7777_8000);
});

it('a contiguous run is one entry, and goes with any address of it', () => {
  const rig = new Rig();
  const table = rig.table();
  stage2(rig, S2_PLAIN | 4n, table);
  for (let i = 0n; i < 16n; i++)
    rig.map(table, 0x10000n + i * 0x1000n, (BigInt(DATA) + i * 0x1000n) | S2_RW | (1n << 52n));
  expect([rig.translate(1, 0x15008n), rig.translate(1, 0x1f000n)]).toEqual([DATA + 0x5008, DATA + 0xf000]);
  expect(rig.model.stats.iotlbMisses).toBe(1);
  rig.run([0x2an | (4n << 32n), 0x1_2001n]);
  expect([rig.translate(1, 0x15008n), rig.model.stats.iotlbMisses]).toEqual([DATA + 0x5008, 2]);
});

it('big-endian tables, with their hardware updates', () => {
  const rig = new Rig({ features: { tableEndian: 'big' } });
  const tables = [rig.table(), rig.table(), rig.table(), rig.table()];
  const swap = (dword: bigint): bigint =>
    BigInt(`0x${dword.toString(16).padStart(16, '0').match(/../g)!.reverse().join('')}`);
  stage2(rig, S2_PLAIN | (1n << 52n) | (3n << 55n), tables[0]!);
  for (let level = 0; level < 3; level++) rig.put(tables[level]!, swap(BigInt(tables[level + 1]!) | 3n));
  const clean = BigInt(DATA) | (S2_RW & ~(1n << 7n) & ~AF) | (1n << 51n);
  rig.put(tables[3]!, swap(clean));
  expect(rig.translate(1, 8n, true)).toBe(DATA + 8);
  expect(swap(rig.get(tables[3]!))).toBe(clean | AF | (1n << 7n));
  // Software changes it in between: what is there now counts.
  rig.put(tables[3]! + 8, swap(clean));
  const exchange = rig.memory.compareExchange64.bind(rig.memory);
  rig.memory.compareExchange64 = (...args) => {
    rig.put(tables[3]! + 8, swap(clean + 0x1000n));
    rig.memory.compareExchange64 = exchange;
    return exchange(...args);
  };
  expect(rig.translate(1, 0x1000n)).toBe(DATA + 0x1000);
});

describe('records of a stage-2-only stream', () => {
  it.each<[string, bigint, bigint]>([
    ['F_TRANSLATION', 0n, 0x10n],
    ['F_ADDR_SIZE', (1n << 46n) | S2_RW, 0x11n],
    ['F_ACCESS', BigInt(DATA) | (S2_RW & ~AF), 0x12n],
    ['F_PERMISSION', BigInt(DATA) | (S2_RW & ~(3n << 6n)), 0x13n],
  ])('%s: S2=1, CLASS=IN, the page of the input as IPA', (_, descriptor, code) => {
    const rig = new Rig();
    const table = rig.table();
    stage2(rig, dword2(16, 2, 0, 4), table);
    rig.map(table, 0x1234_5000n, descriptor);
    expect(rig.dma(1, 0x1234_5678n)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([[(1n << 32n) | code, (2n << 40n) | (0x88n << 32n), 0x1234_5678n, 0x1234_5000n]]);
  });

  it('F_WALK_EABT: S2=1, CLASS=IN, the address of the descriptor', () => {
    const rig = new Rig();
    const table = rig.table();
    stage2(rig, S2_PLAIN, table);
    rig.put(table, HOLE | 3n);
    expect(rig.dma(1, 0x4000_5678n, true)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([[(1n << 32n) | 0x0bn, (2n << 40n) | (0x80n << 32n), 0x4000_5678n, HOLE + 8n]]);
  });

  it('S2R=0 silences faults; S2S=1 stalls them and records all the same', () => {
    const rig = new Rig();
    const table = rig.table();
    stage2(rig, S2_PLAIN & ~(1n << 58n), table);
    expect(rig.dma(1, 0x1000n)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([]);
    rig.ste(2, STE_V | STE_S2, 0n, (S2_PLAIN & ~(1n << 58n)) | (1n << 57n), BigInt(table));
    expect(rig.dma(2, 0x1000n)).toBe(2);
    expect(rig.events()[0]![1]! & 0x8000_0000n).toBe(0x8000_0000n);
  });

  it('an input beyond the IPA size is F_ADDR_SIZE of stage 1, and never stalls (§3.4)', () => {
    const rig = new Rig({ features: { oasBits: 44 } });
    stage2(rig, dword2(20, 2, 0, 4) | (1n << 57n), rig.table());
    expect(rig.dma(1, 1n << 44n)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([[(1n << 32n) | 0x11n, (2n << 40n) | (8n << 32n), 1n << 44n, 0n]]);
  });

  it('bypass beyond the output size is F_ADDR_SIZE as well (§3.4)', () => {
    const rig = new Rig({ features: { oasBits: 44 } });
    rig.ste(1, STE_V | (4n << 1n));
    expect(rig.dma(1, 1n << 44n)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([[(1n << 32n) | 0x11n, (2n << 40n) | (8n << 32n), 1n << 44n, 0n]]);
    expect(rig.translate(1, (1n << 44n) - 8n)).toBe(2 ** 44 - 8);
  });
});

/** A nested stream: stage 1 tables at `s1`, stage 2 at `s2` with RAM one to one in 1 GiB blocks. */
function nested(options: RigOptions = {}, extra = { cd: 0n, ste2: 0n }): { rig: Rig; s1: number; s2: number } {
  const rig = new Rig(options);
  const [s1, s2] = [rig.table(), rig.table()];
  rig.map(s2, 0x4000_0000n, 0x4000_0000n | (S2_RW & ~2n), 1);
  rig.cd(1, CD_PLAIN | extra.cd | (1n << 48n), BigInt(s1), 0n, 0xffn);
  rig.ste(1, STE_V | STE_NESTED | BigInt(CDTAB + 64), 0n, S2_PLAIN | extra.ste2, BigInt(s2));
  return { rig, s1, s2 };
}
const IPA = 0x8000_3000n;
const VA = 0x7000_1000n;

describe('nested', () => {
  it('the output of stage 1 goes through stage 2', () => {
    const { rig, s1, s2 } = nested();
    rig.map(s1, VA, IPA | USER_RW);
    rig.map(s2, IPA, BigInt(DATA) | S2_RW);
    for (let i = 0; i < 3; i++) expect(rig.translate(1, VA + 0x18n)).toBe(DATA + 0x18);
    expect(rig.model.stats.iotlbMisses).toBe(1);
  });

  it('tables of stage 1 lie in intermediate memory', () => {
    const { rig, s2 } = nested();
    const [real1, real2, real3, real4] = [rig.table(), rig.table(), rig.table(), rig.table()];
    for (const [i, real] of [real1, real2, real3, real4].entries())
      rig.map(s2, 0x9000_0000n + BigInt(i) * 0x1000n, BigInt(real) | S2_RW);
    rig.put(real1, 0x9000_1003n);
    rig.put(real2 + 8, 0x9000_2003n);
    rig.put(real3 + 384 * 8, 0x9000_3003n);
    rig.put(real4 + 8, BigInt(DATA) | USER_RW);
    rig.cd(2, CD_PLAIN | (2n << 48n), 0x9000_0000n, 0n, 0xffn);
    rig.ste(2, STE_V | STE_NESTED | BigInt(CDTAB + 128), 0n, S2_PLAIN, BigInt(s2));
    expect(rig.translate(2, VA)).toBe(DATA);
  });

  it('a large page of stage 1 on small pages of stage 2 is kept in pieces', () => {
    const { rig, s1, s2 } = nested();
    rig.map(s1, 0x7000_0000n, 0x8000_0000n | (USER_RW & ~2n), 2);
    rig.map(s2, 0x8000_3000n, BigInt(DATA) | S2_RW);
    rig.map(s2, 0x8000_4000n, BigInt(DATA + 0x9000) | S2_RW);
    for (let i = 0; i < 2; i++) {
      expect(rig.translate(1, 0x7000_3010n)).toBe(DATA + 0x10);
      expect(rig.translate(1, 0x7000_4010n)).toBe(DATA + 0x9010);
    }
    expect(rig.model.stats.iotlbMisses).toBe(2);
    expect(rig.translate(1, 0x7000_5000n)).toBe(F_TRANSLATION);
  });

  it('a small page of stage 1 in a block of stage 2', () => {
    const { rig, s1 } = nested();
    rig.map(s1, VA, BigInt(DATA) | USER_RW);
    expect(rig.translate(1, VA + 4n)).toBe(DATA + 4);
    expect(rig.translate(1, VA + 0x1000n)).toBe(F_TRANSLATION);
  });

  it.each<[string, bigint, boolean, bigint]>([
    ['F_TRANSLATION', 0n, false, 0x10n],
    ['F_ADDR_SIZE', (1n << 47n) | S2_RW, false, 0x11n],
    ['F_ACCESS', BigInt(DATA) | (S2_RW & ~AF), true, 0x12n],
    ['F_PERMISSION', BigInt(DATA) | (S2_RW & ~(1n << 7n)), true, 0x13n],
  ])('%s of the final IPA: S2=1, CLASS=IN', (_, descriptor, write, code) => {
    const { rig, s1, s2 } = nested();
    rig.ste(1, STE_V | STE_NESTED | BigInt(CDTAB + 64), 0n, (S2_PLAIN & ~PS) | (4n << 48n), BigInt(s2));
    rig.map(s1, VA, IPA | USER_RW);
    rig.map(s2, IPA, descriptor);
    for (let i = 0; i < 2; i++) {
      expect(rig.dma(1, VA + 0x10n, write)).toBe(DMA_ABORT);
      expect(rig.events()).toEqual([
        [(1n << 32n) | code, (2n << 40n) | ((write ? 0x80n : 0x88n) << 32n), VA + 0x10n, IPA],
      ]);
    }
  });

  it('a permission fault of stage 2 from the IOTLB names the same IPA', () => {
    const { rig, s1, s2 } = nested();
    rig.map(s1, VA, IPA | USER_RW);
    rig.map(s2, IPA, BigInt(DATA) | (S2_RW & ~(1n << 7n)));
    expect(rig.translate(1, VA)).toBe(DATA);
    expect(rig.dma(1, VA + 0x20n, true)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([[(1n << 32n) | 0x13n, (2n << 40n) | (0x80n << 32n), VA + 0x20n, IPA]]);
    expect(rig.model.stats.iotlbHits).toBe(1);
  });

  it('stage 1 permissions come before stage 2 of the result', () => {
    const { rig, s1, s2 } = nested();
    rig.map(s1, VA, IPA | USER_RW | (1n << 7n));
    rig.map(s2, IPA, 0n);
    expect(rig.dma(1, VA, true)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([[(1n << 32n) | 0x13n, 2n << 40n, VA, 0n]]);
  });

  it.each<[string, bigint, bigint, bigint]>([
    ['F_TRANSLATION', 0n, 0x10n, 0n],
    ['F_ACCESS', S2_RW & ~AF, 0x12n, 0n],
    ['F_PERMISSION, TTRnW=1 (a read)', S2_RW & ~(1n << 6n), 0x13n, 1n << 44n],
  ])('%s of a stage 1 table: S2=1, CLASS=TT, the IPA of the descriptor', (_, attributes, code, ttrnw) => {
    const { rig, s1, s2 } = nested();
    rig.map(s1, VA, IPA | USER_RW);
    const table = rig.table();
    if (attributes !== 0n) rig.map(s2, 0x9000_0000n, BigInt(table) | attributes);
    rig.put(s1, 0x9000_0003n); // the second table
    expect(rig.dma(1, VA)).toBe(DMA_ABORT);
    const index = (VA >> 30n) & 511n;
    expect(rig.events()).toEqual([
      [(1n << 32n) | code, ttrnw | (1n << 40n) | (0x88n << 32n), VA, (0x9000_0000n + index * 8n) & ~0xfffn],
    ]);
  });

  it('S2PTW=1: a stage 1 table in Device memory is F_PERMISSION of CLASS TT', () => {
    const { rig, s2 } = nested({}, { cd: 0n, ste2: 1n << 54n });
    rig.map(s2, 0x9000_0000n, BigInt(rig.table()) | (S2_RW & ~(15n << 2n)));
    rig.cd(2, CD_PLAIN, 0x9000_0000n);
    rig.ste(2, STE_V | STE_NESTED | BigInt(CDTAB + 128), 0n, S2_PLAIN | (1n << 54n), BigInt(s2));
    expect(rig.dma(2, VA)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([[(2n << 32n) | 0x13n, (1n << 44n) | (1n << 40n) | (0x88n << 32n), VA, 0x9000_0000n]]);
    const plain = nested();
    plain.rig.map(plain.s2, 0x9000_0000n, BigInt(plain.rig.table()) | (S2_RW & ~(15n << 2n)));
    plain.rig.cd(2, CD_PLAIN, 0x9000_0000n);
    plain.rig.ste(2, STE_V | STE_NESTED | BigInt(CDTAB + 128), 0n, S2_PLAIN, BigInt(plain.s2));
    expect([plain.rig.translate(2, VA), plain.rig.model.translator.fault.stage2]).toEqual([F_TRANSLATION, false]);
  });

  it('aborts: of a stage 1 descriptor S2=0 CLASS=TT; of a stage 2 descriptor on the way S2=1 CLASS=TT', () => {
    const { rig, s1, s2 } = nested();
    rig.map(s2, 0x9000_0000n, HOLE | S2_RW);
    rig.put(s1, 0x9000_0003n);
    expect(rig.dma(1, VA)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([[(1n << 32n) | 0x0bn, (1n << 40n) | (8n << 32n), VA, HOLE + 8n]]);
    rig.put(s1 + 8, 0xc000_0003n);
    rig.put(Number(rig.get(s2) & ~0xfffn) + 3 * 8, HOLE | 3n);
    expect(rig.dma(1, VA + (1n << 39n))).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([[(1n << 32n) | 0x0bn, (1n << 40n) | (0x88n << 32n), VA + (1n << 39n), HOLE]]);
  });

  it('faults of stage 2 go by S2S and S2R wherever they happen, those of stage 1 by the CD', () => {
    const { rig, s1 } = nested({}, { cd: 0n, ste2: 1n << 57n });
    rig.map(s1, VA, IPA | USER_RW);
    expect(rig.dma(1, VA)).toBe(2); // stage 2: stalls
    expect(rig.dma(1, VA + 0x1000n)).toBe(DMA_ABORT); // stage 1: does not
  });

  it('stage 1 descriptors that point beyond the IPA size fail at stage 2 or as F_ADDR_SIZE of stage 1', () => {
    const { rig, s1 } = nested();
    rig.map(s1, VA, (1n << 47n) | USER_RW);
    expect(rig.translate(1, VA)).toBe(F_TRANSLATION);
    expect(rig.model.translator.fault.stage2).toBe(true);
  });
});
