/** Stage 1 walks: IHI 0070 §3.4, §5.4, §7.3.12 to §7.3.16; Arm DDI 0487 D8.2. Tables and records are typed by hand. */
import { DMA_ABORT, DMA_OK } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import {
  AF,
  BLOCK,
  CD_EPD1,
  CD_PLAIN,
  CDTAB,
  DATA,
  NG,
  PAGE,
  READ_ONLY,
  Rig,
  type RigOptions,
  STE_S1,
  STE_V,
  USER,
  USER_RW,
} from '../test/rig.ts';
import { LARGE } from './features.ts';

const F_WALK_EABT = -0x0b;
const F_TRANSLATION = -0x10;
const F_ADDR_SIZE = -0x11;
const F_ACCESS = -0x12;
const F_PERMISSION = -0x13;
const HOLE = 0x1_0000_0000n;

/** A stream with one CD given by its dwords. */
function stream(rig: Rig, cd: bigint[], ste1 = 0n): void {
  rig.cd(1, ...cd);
  rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB + 64), ste1);
}
/** CD dword 0 for TTB0 alone. `tg0`: 0 4K, 1 64K, 2 16K. */
const cd0 = (t0sz: number, tg0 = 0, ips = 5): bigint =>
  (CD_PLAIN & ~(0x3fn | (7n << 32n))) | BigInt(t0sz) | (BigInt(tg0) << 6n) | (BigInt(ips) << 32n) | (1n << 48n);

const GRANULES = [
  { name: '4 KiB', shift: 12, tg0: 0, tg1: 2n, levels: [0, 1, 2, 3], blocks: [1, 2] },
  { name: '16 KiB', shift: 14, tg0: 2, tg1: 1n, levels: [0, 1, 2, 3], blocks: [2] },
  { name: '64 KiB', shift: 16, tg0: 1, tg1: 3n, levels: [1, 2, 3], blocks: [2] },
];
const sizeOf = (shift: number, level: number): bigint => 1n << BigInt(shift + (3 - level) * (shift - 3));

describe.each(GRANULES)('$name granule', ({ shift, tg0, tg1, levels, blocks }) => {
  it('a page', () => {
    const rig = new Rig();
    const ttb = rig.table(2 ** shift);
    stream(rig, [cd0(16, tg0), BigInt(ttb)]);
    const va = 0x7abc_def0_0000n & ~(sizeOf(shift, 3) - 1n);
    rig.map(ttb, va, BigInt(DATA) | USER_RW, 3, shift, levels[0]);
    expect(rig.translate(1, va + sizeOf(shift, 3) - 1n)).toBe(DATA + 2 ** shift - 1);
    expect(rig.translate(1, va + sizeOf(shift, 3))).toBe(F_TRANSLATION);
    expect(rig.translate(1, va + 0x123n)).toBe(DATA + 0x123);
  });

  it.each(blocks)('a block at level %d', (level) => {
    const rig = new Rig();
    const ttb = rig.table(2 ** shift);
    stream(rig, [cd0(16, tg0), BigInt(ttb)]);
    const size = sizeOf(shift, level);
    const va = 0x5000_0000_0000n;
    rig.map(ttb, va, (2n * size) | (USER_RW & ~2n), level, shift, levels[0]);
    expect(rig.translate(1, va + size - 8n)).toBe(Number(3n * size - 8n));
    expect(rig.translate(1, va + 0x12_3456n)).toBe(Number(2n * size + 0x12_3456n));
    expect(rig.translate(1, va + size)).toBe(F_TRANSLATION);
    expect(rig.model.stats.iotlbMisses).toBe(2);
  });

  it('a block where none is allowed, and level 3 of type 0b01: F_TRANSLATION', () => {
    const rig = new Rig();
    const ttb = rig.table(2 ** shift);
    stream(rig, [cd0(16, tg0), BigInt(ttb)]);
    rig.map(ttb, 0n, AF | BLOCK, levels[0]!, shift, levels[0]);
    expect(rig.translate(1, 0n)).toBe(F_TRANSLATION);
    const va = sizeOf(shift, levels[0]!);
    rig.map(ttb, va, BigInt(DATA) | (USER_RW & ~2n), 3, shift, levels[0]);
    expect(rig.translate(1, va)).toBe(F_TRANSLATION);
  });

  it('an invalid descriptor at any level: F_TRANSLATION', () => {
    for (const level of levels) {
      const rig = new Rig();
      const ttb = rig.table(2 ** shift);
      stream(rig, [cd0(16, tg0), BigInt(ttb)]);
      rig.map(ttb, 0n, ~1n, level, shift, levels[0]);
      expect(rig.translate(1, 0n)).toBe(F_TRANSLATION);
    }
  });

  it('an external abort at any level: F_WALK_EABT with the address of the descriptor', () => {
    for (const level of levels.slice(1)) {
      const rig = new Rig();
      const ttb = rig.table(2 ** shift);
      stream(rig, [cd0(16, tg0), BigInt(ttb)]);
      rig.map(ttb, 0x12_3456_7000n, HOLE | 3n, level - 1, shift, levels[0]);
      expect(rig.dma(1, 0x12_3456_7000n, true)).toBe(DMA_ABORT);
      const index = (0x12_3456_7000n / sizeOf(shift, level)) % (1n << BigInt(shift - 3));
      // RnW 0, CLASS 1 (table), S2 0.
      expect(rig.events()).toEqual([[(1n << 32n) | 0x0bn, 1n << 40n, 0x12_3456_7000n, HOLE + index * 8n]]);
    }
  });

  it('a next table and an output beyond IPS: F_ADDR_SIZE', () => {
    const rig = new Rig();
    const ttb = rig.table(2 ** shift);
    stream(rig, [cd0(16, tg0, 2), BigInt(ttb)]); // 40 bits
    rig.map(ttb, 0n, (1n << 40n) | 3n, 2, shift, levels[0]);
    expect(rig.translate(1, 0n)).toBe(F_ADDR_SIZE);
    const va = sizeOf(shift, 2);
    rig.map(ttb, va, (1n << 40n) | USER_RW, 3, shift, levels[0]);
    expect(rig.translate(1, va)).toBe(F_ADDR_SIZE);
    rig.map(ttb, va + sizeOf(shift, 3), (1n << 39n) | USER_RW, 3, shift, levels[0]);
    expect(rig.translate(1, va + sizeOf(shift, 3))).toBe(2 ** 39);
    const block = sizeOf(shift, 2) * 3n;
    rig.map(ttb, block, (1n << 41n) | (USER_RW & ~2n), 2, shift, levels[0]);
    expect(rig.translate(1, block)).toBe(F_ADDR_SIZE);
  });

  it('every input size starts at its level', () => {
    for (let bits = 48; bits >= 16; bits -= bits > 40 ? 1 : 3) {
      if (shift === 16 && bits < 17) continue;
      const rig = new Rig();
      const ttb = rig.table(2 ** shift);
      stream(rig, [cd0(64 - bits, tg0), BigInt(ttb)]);
      const start = 4 - Math.max(1, Math.ceil((bits - shift) / (shift - 3)));
      const va = (1n << BigInt(bits)) - sizeOf(shift, 3);
      rig.map(ttb, va, BigInt(DATA) | USER_RW, 3, shift, start);
      expect([bits, rig.translate(1, va)]).toEqual([bits, DATA]);
      expect([bits, rig.translate(1, 1n << BigInt(bits))]).toEqual([bits, F_TRANSLATION]);
    }
  });

  it('TTB1 serves the upper half, with a granule and size of its own', () => {
    const rig = new Rig();
    const [ttb0, ttb1] = [rig.table(), rig.table(2 ** shift)];
    const upper = (cd0(16) & ~CD_EPD1) | (25n << 16n) | (tg1 << 22n); // T1SZ=25: 39 bits
    stream(rig, [upper, BigInt(ttb0), BigInt(ttb1)]);
    const low = 39 - shift > 2 * (shift - 3) ? 1 : 4 - Math.ceil((39 - shift) / (shift - 3));
    const va = 0xffff_ffff_ffff_0000n & ~(sizeOf(shift, 3) - 1n);
    const inTable = va & ((1n << 39n) - 1n);
    rig.map(ttb1, inTable, BigInt(DATA) | USER_RW, 3, shift, low);
    expect(rig.translate(1, va)).toBe(DATA);
    expect(rig.translate(1, va)).toBe(DATA);
    // Bits [63:39] must all be set.
    expect(rig.translate(1, 0xffff_ff00_0000_0000n)).toBe(F_TRANSLATION);
    expect(rig.translate(1, inTable)).toBe(F_TRANSLATION);
  });
});

describe('input address', () => {
  /** T0SZ=16; `cd` more bits of dword 0; VA 0x1000 mapped. */
  function plain(extra: bigint, options: RigOptions = {}): Rig {
    const rig = new Rig(options);
    const ttb = rig.table();
    stream(rig, [cd0(16) | extra, BigInt(ttb)]);
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
    return rig;
  }

  it('bits [63:48] must equal bit 55', () => {
    const rig = plain(0n);
    for (const va of [0x0001_0000_0000_1000n, 0x0100_0000_0000_1000n, 0x8000_0000_0000_1000n])
      expect(rig.translate(1, va)).toBe(F_TRANSLATION);
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
    // The same again now that the translation is cached.
    for (const va of [0x0001_0000_0000_1000n, 0x0100_0000_0000_1000n, 0x0020_0000_0000_1000n])
      expect(rig.translate(1, va)).toBe(F_TRANSLATION);
  });

  it('TBI0 ignores the top byte; the record has the address as presented', () => {
    const rig = plain(1n << 38n);
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
    expect(rig.translate(1, 0xab00_0000_0000_1000n)).toBe(DATA);
    expect(rig.translate(1, 0x0001_0000_0000_1000n)).toBe(F_TRANSLATION);
    expect(rig.dma(1, 0xab00_0000_0000_2000n)).toBe(DMA_ABORT);
    expect(rig.events()[0]![2]).toBe(0xab00_0000_0000_2000n);
  });

  it('TBI1 ignores the top byte of the upper half', () => {
    const rig = new Rig();
    const ttb = rig.table();
    stream(rig, [(cd0(16) & ~CD_EPD1) | (16n << 16n) | (2n << 22n) | (1n << 39n), BigInt(ttb), BigInt(ttb)]);
    rig.map(ttb, 0xffff_ffff_f000n, BigInt(DATA) | USER_RW);
    expect(rig.translate(1, 0x12ff_ffff_ffff_f000n)).toBe(DATA);
    expect(rig.translate(1, 0x12fe_ffff_ffff_f000n)).toBe(F_TRANSLATION);
  });

  it('EPD0 and EPD1 disable walks: F_TRANSLATION, but cached translations still serve (§5.4)', () => {
    const rig = plain(0n);
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
    rig.cd(1, cd0(16) | (1n << 14n), 0n);
    rig.run([0x05n | (1n << 32n), 1n]);
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
    expect(rig.translate(1, 0x2000n)).toBe(F_TRANSLATION);
    rig.run([0x11n | (1n << 48n), 0n]); // TLBI_NH_ASID
    expect(rig.translate(1, 0x1000n)).toBe(F_TRANSLATION);
    expect(rig.translate(1, 0xffff_ffff_ffff_f000n)).toBe(F_TRANSLATION);
  });

  it('E0PD0 bars unprivileged accesses from the lower half', () => {
    const rig = new Rig();
    const ttb = rig.table();
    stream(rig, [cd0(16), BigInt(ttb) | 4n]);
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
    expect(rig.translate(1, 0x1000n)).toBe(F_TRANSLATION);
    expect(rig.model.translator.translate(1, -1, 0x1000, 0, 4)).toBe(true);
    expect(rig.model.translator.translate(1, -1, 0x1000, 0, 0)).toBe(false);
  });

  it('EL2 has one range: the upper half is out of it, privileges are one', () => {
    const rig = new Rig();
    const ttb = rig.table();
    stream(rig, [cd0(16) & ~CD_EPD1, BigInt(ttb)], 2n << 30n);
    rig.map(ttb, 0x1000n, BigInt(DATA) | PAGE | AF); // AP=00, not for users in a two-privilege world
    expect(rig.translate(1, 0x1000n, true)).toBe(DATA);
    expect(rig.translate(1, 0xffff_ffff_ffff_f000n)).toBe(F_TRANSLATION);
  });
});

describe('access flag', () => {
  it('AF=0 is F_ACCESS', () => {
    const rig = new Rig();
    const ttb = rig.stage1();
    rig.map(ttb, 0x1000n, BigInt(DATA) | (USER_RW & ~AF));
    expect(rig.translate(1, 0x1000n)).toBe(F_ACCESS);
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
    expect(rig.translate(1, 0x1000n)).toBe(DATA); // a fault is not kept
  });
  it('AFFD=1 treats it as set', () => {
    const rig = new Rig();
    const ttb = rig.stage1(1, CD_PLAIN | (1n << 35n));
    rig.map(ttb, 0x1000n, BigInt(DATA) | (USER_RW & ~AF));
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
  });
  it('F_ACCESS outranks F_PERMISSION, F_ADDR_SIZE outranks both', () => {
    const rig = new Rig();
    const ttb = rig.stage1(1, (CD_PLAIN & ~(7n << 32n)) | (2n << 32n));
    rig.map(ttb, 0x1000n, BigInt(DATA) | ((USER_RW | READ_ONLY) & ~AF));
    expect(rig.translate(1, 0x1000n, true)).toBe(F_ACCESS);
    rig.map(ttb, 0x2000n, (1n << 41n) | ((USER_RW | READ_ONLY) & ~AF));
    expect(rig.translate(1, 0x2000n, true)).toBe(F_ADDR_SIZE);
  });
});

describe('permissions (D8.4)', () => {
  const UXN = 1n << 54n;
  const PXN = 1n << 53n;
  const NAMES = ['ur', 'uw', 'ux', 'pr', 'pw', 'px'];
  // access bits: write 1, execute 2, privileged 4
  const ACCESS = [0, 1, 2, 4, 5, 6];

  /** What a page allows, asked twice: of the tables and of the IOTLB. */
  function allowed(descriptor: bigint, cd = 0n, cd1 = 0n, table = 3n, ste1 = 0n): string {
    const ask = (again: boolean): string =>
      NAMES.filter((_, i) => {
        const rig = new Rig();
        const ttb = rig.table();
        stream(rig, [cd0(16) | cd, BigInt(ttb) | cd1], ste1);
        const place = rig.map(ttb, 0x1000n, BigInt(DATA) | PAGE | AF | NG | descriptor);
        const level2 = Number(rig.get(Number(rig.get(ttb) & ~0xfffn)) & ~0xfffn);
        rig.put(level2, BigInt(place & ~0xfff) | table);
        const { translator } = rig.model;
        if (again) translator.translate(1, -1, 0x1000, 0, 4);
        const done = translator.translate(1, -1, 0x1000, 0, ACCESS[i]!);
        if (!done) expect([translator.fault.code, translator.fault.stage2]).toEqual([0x13, false]);
        return done;
      }).join(' ');
    const fresh = ask(false);
    expect(ask(true)).toBe(fresh);
    return fresh;
  }

  it.each<[string, bigint, string]>([
    ['AP=00: privileged read and write', 0n, 'ux pr pw px'],
    ['AP=01: read and write for all; then privileged code does not execute it', USER, 'ur uw ux pr pw'],
    ['AP=10: privileged read', READ_ONLY, 'ux pr px'],
    ['AP=11: read for all', USER | READ_ONLY, 'ur ux pr px'],
    ['UXN', USER | READ_ONLY | UXN, 'ur pr px'],
    ['PXN', USER | READ_ONLY | PXN, 'ur ux pr'],
    ['UXN and PXN', UXN | PXN, 'pr pw'],
  ])('%s', (_, descriptor, expected) => {
    expect(allowed(descriptor)).toBe(expected);
  });

  it.each<[string, bigint, bigint, string]>([
    ['WXN: what may be written is not executed', 1n << 36n, USER, 'ur uw pr pw'],
    ['WXN, privileged only', 1n << 36n, 0n, 'ux pr pw'],
    ['WXN on a read-only page changes nothing', 1n << 36n, USER | READ_ONLY, 'ur ux pr px'],
    ['PAN: no privileged data access to a page for users', 1n << 40n, USER, 'ur uw ux'],
    ['PAN and read-only for users', 1n << 40n, USER | READ_ONLY, 'ur ux px'],
    ['PAN does not matter for privileged pages', 1n << 40n, 0n, 'ux pr pw px'],
  ])('%s', (_, cd, descriptor, expected) => {
    expect(allowed(descriptor, cd)).toBe(expected);
  });

  it('EPAN: an execute-only page for users counts as theirs', () => {
    const epan = 1n << 59n; // bit 123
    expect(allowed(0n, 1n << 40n, epan)).toBe('ux px');
    expect(allowed(UXN, 1n << 40n, epan)).toBe('pr pw px');
  });

  it.each<[string, bigint, string]>([
    ['APTable=01 takes unprivileged access', 1n << 61n, 'ux pr pw px'],
    ['APTable=10 takes writes', 2n << 61n, 'ur ux pr px'],
    ['APTable=11 takes both', 3n << 61n, 'ux pr px'],
    ['UXNTable', 1n << 60n, 'ur uw pr pw'],
    ['PXNTable', 1n << 59n, 'ur uw ux pr pw'],
    ['UXNTable and PXNTable and APTable=10', (3n << 59n) | (2n << 61n), 'ur pr'],
  ])('hierarchical: %s', (_, table, expected) => {
    expect(allowed(USER, 0n, 0n, 3n | table)).toBe(expected);
  });

  it('HAD0=1 switches hierarchical permissions off', () => {
    expect(allowed(USER, 0n, 2n, 3n | (0xfn << 59n))).toBe('ur uw ux pr pw');
  });

  it.each<[string, bigint, bigint, bigint, string]>([
    ['AP[1] does not count', READ_ONLY, 0n, 0n, 'ur ux pr px'],
    ['read and write', 0n, 0n, 0n, 'ur uw ux pr pw px'],
    ['UXN is XN', UXN, 0n, 0n, 'ur uw pr pw'],
    ['PXN does not count', PXN, 0n, 0n, 'ur uw ux pr pw px'],
    ['WXN', 0n, 1n << 36n, 0n, 'ur uw pr pw'],
    ['XNTable', 0n, 0n, 1n << 60n, 'ur uw pr pw'],
  ])('EL2: %s', (_, descriptor, cd, table, expected) => {
    expect(allowed(descriptor, cd, 0n, 3n | table, 2n << 30n)).toBe(expected);
  });

  it('a write is data even if it is marked as an instruction; its record has InD=0', () => {
    const rig = new Rig();
    const ttb = rig.stage1();
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW | UXN | PXN);
    const write = rig.request(1, 0x1000n, true);
    write.instruction = true;
    expect(rig.model.submit(write)).toBe(DMA_OK);
    write.addressLo = 0x5000;
    expect(rig.model.submit(write)).toBe(DMA_ABORT);
    expect(rig.events()[0]![1]).toBe(2n << 40n);
  });
});

describe('STE overrides (§13.5)', () => {
  const privileged = (access: number, ste1: bigint): boolean => {
    const rig = new Rig();
    const ttb = rig.table();
    stream(rig, [cd0(16), BigInt(ttb)], ste1);
    rig.map(ttb, 0x1000n, BigInt(DATA) | PAGE | AF | NG | (1n << 54n) | (1n << 53n)); // AP=00, never executed
    return rig.model.translator.translate(1, -1, 0x1000, 0, access);
  };
  it('PRIVCFG=3 makes every access privileged, 2 none', () => {
    expect([privileged(0, 0n), privileged(0, 3n << 48n), privileged(4, 2n << 48n), privileged(4, 1n << 48n)]).toEqual([
      false,
      true,
      false,
      true,
    ]);
  });
  it('INSTCFG=3 makes reads instruction fetches, 2 data', () => {
    expect([privileged(4, 3n << 50n), privileged(6, 0n), privileged(6, 2n << 50n), privileged(5, 3n << 50n)]).toEqual([
      false,
      false,
      true,
      true,
    ]);
  });
  it('the record has what the overrides made of it', () => {
    const rig = new Rig();
    stream(rig, [cd0(16), BigInt(rig.table())], (3n << 48n) | (3n << 50n));
    expect(rig.dma(1, 0x1000n)).toBe(DMA_ABORT);
    // RnW 35, InD 34, PnU 33, CLASS IN.
    expect(rig.events()[0]![1]).toBe((2n << 40n) | (7n << 33n));
  });
});

describe('big-endian tables', () => {
  it('are read byte-reversed', () => {
    const rig = new Rig({ features: { tableEndian: 'mixed' } });
    const [ttb, level1, level2, level3] = [rig.table(), rig.table(), rig.table(), rig.table()];
    stream(rig, [cd0(16) | (1n << 15n), BigInt(ttb)]);
    const swap = (dword: bigint): bigint =>
      BigInt(`0x${dword.toString(16).padStart(16, '0').match(/../g)!.reverse().join('')}`);
    rig.put(ttb, swap(BigInt(level1) | 3n));
    rig.put(level1, swap(BigInt(level2) | 3n));
    rig.put(level2, swap(BigInt(level3) | 3n));
    rig.put(level3 + 8, swap(BigInt(DATA) | USER_RW));
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
  });
});

describe('contiguous runs', () => {
  it('16 pages of 4 KiB are one entry: one walk, and an invalidation of any page drops all', () => {
    const rig = new Rig();
    const ttb = rig.stage1();
    for (let i = 0n; i < 16n; i++)
      rig.map(ttb, 0x10000n + i * 0x1000n, (BigInt(DATA) + i * 0x1000n) | USER_RW | (1n << 52n));
    expect(rig.translate(1, 0x15000n)).toBe(DATA + 0x5000);
    expect(rig.translate(1, 0x1f008n)).toBe(DATA + 0xf008);
    expect(rig.model.stats.iotlbMisses).toBe(1);
    rig.run([0x12n | (1n << 48n), 0x12000n]);
    expect(rig.translate(1, 0x1f008n)).toBe(DATA + 0xf008);
    expect(rig.model.stats.iotlbMisses).toBe(2);
  });
  it('an SMMU may ignore the hint', () => {
    const rig = new Rig({ features: { contiguous: false } });
    const ttb = rig.stage1();
    for (let i = 0n; i < 2n; i++)
      rig.map(ttb, 0x10000n + i * 0x1000n, (BigInt(DATA) + i * 0x1000n) | USER_RW | (1n << 52n));
    expect([rig.translate(1, 0x10000n), rig.translate(1, 0x11000n)]).toEqual([DATA, DATA + 0x1000]);
    expect(rig.model.stats.iotlbMisses).toBe(2);
  });
  it('a run larger than the input range is not one', () => {
    const rig = new Rig();
    const ttb = rig.table();
    stream(rig, [cd0(48), BigInt(ttb)]); // 64 KiB of input: a run of 16 pages is all of it
    rig.map(ttb, 0x3000n, (BigInt(DATA) + 0x3000n) | USER_RW | (1n << 52n), 3, 12, 3);
    expect(rig.translate(1, 0x5000n)).toBe(F_TRANSLATION);
    expect(rig.translate(1, 0x3000n)).toBe(DATA + 0x3000);
    expect(rig.translate(1, 0x5000n)).toBe(DATA + 0x5000);
  });
});

describe('52 bits', () => {
  it('64 KiB granule: output bits [51:48] are descriptor bits [15:12]', () => {
    const rig = new Rig({ features: LARGE });
    const ttb = rig.table(0x10000);
    stream(rig, [cd0(12, 1, 6), BigInt(ttb)]);
    const va = 0x000f_ffff_ffff_0000n;
    rig.map(ttb, va, 0x0000_1234_5678_0000n | (0xan << 12n) | USER_RW, 3, 16, 1);
    expect(rig.translate(1, va)).toBe(0xa_1234_5678_0000);
    expect(rig.translate(1, va)).toBe(0xa_1234_5678_0000);
    rig.map(ttb, 0n, 0x0000_1234_4000_0000n | (0xan << 12n) | (USER_RW & ~2n), 2, 16, 1);
    expect(rig.translate(1, 0x1fff_fff8n)).toBe(0xa_1234_5fff_fff8);
    rig.map(ttb, 1n << 42n, (0xan << 12n) | (USER_RW & ~2n), 1, 16, 1);
    expect(rig.translate(1, (1n << 42n) + 8n)).toBe(0xa_0000_0000_0008);
  });

  it('64 KiB granule with IPS below 52: those bits must be zero', () => {
    const rig = new Rig({ features: LARGE });
    const ttb = rig.table(0x10000);
    stream(rig, [cd0(16, 1, 5), BigInt(ttb)]);
    rig.map(ttb, 0n, (1n << 12n) | USER_RW, 3, 16, 1);
    expect(rig.translate(1, 0n)).toBe(F_ADDR_SIZE);
  });

  it('4 KiB granule with DS: five levels, output bits [51:50] are descriptor bits [9:8]', () => {
    const rig = new Rig({ features: LARGE });
    const ttb = rig.table();
    stream(rig, [cd0(12, 0, 6), BigInt(ttb), 1n << 58n]);
    const va = 0x000f_1234_5678_9000n;
    const level0 = rig.table();
    rig.put(ttb + 15 * 8, BigInt(level0) | 3n);
    const plainRw = USER_RW & ~(3n << 8n);
    rig.map(level0, va & 0xffff_ffff_ffffn, 0x0003_4567_89ab_c000n | (2n << 8n) | plainRw);
    expect(rig.translate(1, va)).toBe(0xb_4567_89ab_c000);
    expect(rig.translate(1, va)).toBe(0xb_4567_89ab_c000);
    rig.put(level0, 0x0001_0000_0000_0000n | (1n << 8n) | (plainRw & ~2n)); // a 512 GiB block at level 0
    expect(rig.translate(1, 0x000f_0000_1234_5008n)).toBe(0x5_0000_1234_5008);
  });

  it('16 KiB granule with DS: level 0 indexes bits [51:47], level 1 takes blocks', () => {
    const rig = new Rig({ features: LARGE });
    const ttb = rig.table(0x4000);
    stream(rig, [cd0(12, 2, 6), BigInt(ttb), 1n << 58n]);
    const plainRw = USER_RW & ~(3n << 8n);
    const va = 0x000f_8000_0000_0000n;
    rig.map(ttb, va, 0x0002_0000_0000_0000n | (3n << 8n) | (plainRw & ~2n), 1, 14, 0);
    expect(rig.translate(1, va + 0xf_ffff_fff8n)).toBe(0xe_000f_ffff_fff8);
  });

  it('without a 52-bit layout descriptor bits [51:48] are no address', () => {
    const rig = new Rig();
    const ttb = rig.stage1();
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW | (7n << 48n));
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
  });
});

describe('what a fault of stage 1 becomes: {A, R, S} (§5.5)', () => {
  const run = (a: bigint, r: bigint, s: bigint): [number, number, number] => {
    const rig = new Rig();
    const cd = (CD_PLAIN & ~(7n << 44n)) | (s << 44n) | (r << 45n) | (a << 46n);
    rig.stage1(1, cd);
    const request = rig.request(1, 0x1000n);
    request.data.fill(0xff);
    const status = rig.model.submit(request);
    return [status, rig.events().length, request.data[0]!];
  };
  it.each<[string, bigint, bigint, bigint, number, number, number]>([
    ['000: reads as zero, silent', 0n, 0n, 0n, 0, 0, 0],
    ['010: reads as zero, recorded', 0n, 1n, 0n, 0, 1, 0],
    ['100: abort, silent', 1n, 0n, 0n, 1, 0, 255],
    ['110: abort, recorded', 1n, 1n, 0n, 1, 1, 255],
    ['001: stall, always recorded', 0n, 0n, 1n, 2, 1, 255],
    ['101: stall', 1n, 0n, 1n, 2, 1, 255],
    ['011: stall', 0n, 1n, 1n, 2, 1, 255],
    ['111: stall', 1n, 1n, 1n, 2, 1, 255],
  ])('%s', (_, a, r, s, ...expected) => {
    expect(run(a, r, s)).toEqual(expected);
  });

  it('a write that is ignored changes nothing', () => {
    const rig = new Rig();
    const ttb = rig.stage1(1, CD_PLAIN & ~(7n << 44n));
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW | READ_ONLY);
    rig.put(DATA, 5n);
    expect(rig.dma(1, 0x1000n, true)).toBe(DMA_OK);
    expect(rig.get(DATA)).toBe(5n);
  });

  it('F_WALK_EABT always aborts and is always recorded', () => {
    const rig = new Rig();
    const ttb = rig.stage1(1, CD_PLAIN & ~(7n << 44n));
    rig.put(ttb, HOLE | 3n);
    expect(rig.translate(1, 0n)).toBe(F_WALK_EABT);
    expect(rig.dma(1, 0n)).toBe(DMA_ABORT);
    expect(rig.events().length).toBe(1);
  });
});

it('F_PERMISSION from the IOTLB: an entry that became writable in memory keeps refusing until it is invalidated', () => {
  const rig = new Rig();
  const ttb = rig.stage1();
  rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW | READ_ONLY);
  expect(rig.translate(1, 0x1000n, true)).toBe(F_PERMISSION);
  rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
  expect(rig.translate(1, 0x1000n, true)).toBe(F_PERMISSION);
  rig.run([0x12n | (1n << 48n), 0x1001n]);
  expect(rig.translate(1, 0x1000n, true)).toBe(DATA);
});
