/** From a StreamID to its STE: IHI 0070 §3.3, §5.1, §6.3.24, §6.3.25. Tables are dwords typed by hand. */
import { DMA_ABORT, DMA_OK } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { DATA, Rig, type RigOptions, STE_BYPASS, STE_V, STRTAB } from '../test/rig.ts';

const BYPASS = STE_V | STE_BYPASS;
const C_BAD_STREAMID = -0x02;
const F_STE_FETCH = -0x03;
const C_BAD_STE = -0x04;
/** Nothing answers there. */
const HOLE = 0x1_0000_0000n;

/** SMMUEN with another stream table: STRTAB_BASE and STRTAB_BASE_CFG. */
function withTable(cfg: number, options: RigOptions = {}, base = BigInt(STRTAB)): Rig {
  const rig = new Rig({ ...options, off: true });
  rig.write64(0x80, base);
  rig.write(0x88, cfg);
  rig.write(0x20, 0xd);
  rig.settle();
  return rig;
}
const LINEAR = 0;
const TWO_LEVEL = 1 << 16;
const split = (bits: number): number => bits << 6;

describe('linear table', () => {
  it('the STE is at base + 64 × StreamID', () => {
    const rig = withTable(LINEAR | 6);
    rig.put(STRTAB + 63 * 64, BYPASS);
    expect(rig.translate(63, BigInt(DATA))).toBe(DATA);
    expect(rig.translate(62, BigInt(DATA))).toBe(C_BAD_STE);
  });

  it('a StreamID from 2^LOG2SIZE up is C_BAD_STREAMID', () => {
    const rig = withTable(LINEAR | 3);
    rig.put(STRTAB + 8 * 64, BYPASS);
    expect(rig.translate(7, 0n)).toBe(C_BAD_STE);
    expect(rig.translate(8, 0n)).toBe(C_BAD_STREAMID);
    expect(rig.translate(0xffff_ffff, 0n)).toBe(C_BAD_STREAMID);
  });

  it('LOG2SIZE counts no further than SIDSIZE', () => {
    const rig = withTable(LINEAR | 32, { features: { sidBits: 4 } });
    rig.put(STRTAB + 15 * 64, BYPASS);
    expect(rig.translate(15, BigInt(DATA))).toBe(DATA);
    expect(rig.translate(16, BigInt(DATA))).toBe(C_BAD_STREAMID);
  });

  it('base bits below the size of the table count as zero', () => {
    const rig = withTable(LINEAR | 6, {}, BigInt(STRTAB + 0x340));
    rig.put(STRTAB + 64, BYPASS);
    expect(rig.translate(1, BigInt(DATA))).toBe(DATA);
  });

  it.each([2, 3])('FMT=%d acts as linear', (fmt) => {
    const rig = withTable((fmt << 16) | 6);
    rig.put(STRTAB + 64, BYPASS);
    expect(rig.translate(1, BigInt(DATA))).toBe(DATA);
  });

  it('an external abort is F_STE_FETCH with its address', () => {
    const rig = withTable(LINEAR | 6, {}, HOLE);
    expect(rig.dma(5, 0x1000n)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([[0x0000_0005_0000_0003n, 0n, 0n, HOLE + 5n * 64n]]);
  });

  it('an address beyond the output size is F_STE_FETCH (§3.4.3 leaves the choice)', () => {
    const rig = withTable(LINEAR | 6, { features: { oasBits: 32 } }, HOLE | BigInt(STRTAB));
    expect(rig.translate(1, 0n)).toBe(F_STE_FETCH);
  });
});

describe('two-level table', () => {
  const leaf = (span: number, pa: number): bigint => BigInt(pa) | BigInt(span);

  it.each([6, 8, 10])('SPLIT=%d: level 1 by the upper bits, the leaf by the lower', (bits) => {
    const rig = withTable(TWO_LEVEL | split(bits) | 16);
    const table = rig.table(2 ** (bits + 6));
    rig.put(STRTAB + 3 * 8, leaf(bits + 1, table));
    const sid = 3 * 2 ** bits + (2 ** bits - 2);
    rig.put(table + (2 ** bits - 2) * 64, BYPASS);
    expect(rig.translate(sid, BigInt(DATA))).toBe(DATA);
  });

  it.each([0, 7, 9, 31])('SPLIT=%d acts as 6', (bits) => {
    const rig = withTable(TWO_LEVEL | split(bits) | 16);
    const table = rig.table();
    rig.put(STRTAB + 2 * 8, leaf(7, table));
    rig.put(table + 5 * 64, BYPASS);
    expect(rig.translate(2 * 64 + 5, BigInt(DATA))).toBe(DATA);
  });

  it('a span of n covers 2^(n-1) streams; one beyond it is C_BAD_STREAMID', () => {
    const rig = withTable(TWO_LEVEL | split(8) | 16);
    const table = rig.table();
    rig.put(STRTAB, leaf(5, table)); // 16 STEs
    rig.put(table + 15 * 64, BYPASS);
    rig.put(table + 16 * 64, BYPASS);
    expect(rig.translate(15, BigInt(DATA))).toBe(DATA);
    expect(rig.translate(16, BigInt(DATA))).toBe(C_BAD_STREAMID);
  });

  it('a span of 1 is one stream', () => {
    const rig = withTable(TWO_LEVEL | split(8) | 16);
    const table = rig.table();
    rig.put(STRTAB, leaf(1, table));
    rig.put(table, BYPASS);
    expect(rig.translate(0, BigInt(DATA))).toBe(DATA);
    expect(rig.translate(1, BigInt(DATA))).toBe(C_BAD_STREAMID);
  });

  it.each([0, 8, 12, 31])('Span=%d with SPLIT=6 is no leaf table: C_BAD_STREAMID', (span) => {
    const rig = withTable(TWO_LEVEL | split(6) | 16);
    rig.put(STRTAB, leaf(span, rig.table()));
    expect(rig.translate(0, 0n)).toBe(C_BAD_STREAMID);
  });

  it('L2Ptr bits below the size of the leaf count as zero', () => {
    const rig = withTable(TWO_LEVEL | split(8) | 16);
    const table = rig.table(0x4000);
    rig.put(STRTAB, leaf(9, table + 0x1fc0));
    rig.put(table + 64, BYPASS);
    expect(rig.translate(1, BigInt(DATA))).toBe(DATA);
  });

  it('level 1 base bits below its size count as zero', () => {
    const rig = withTable(TWO_LEVEL | split(8) | 16, {}, BigInt(STRTAB + 0x7c0));
    const table = rig.table();
    rig.put(STRTAB, leaf(1, table));
    rig.put(table, BYPASS);
    expect(rig.translate(0, BigInt(DATA))).toBe(DATA);
  });

  it('an abort on either level is F_STE_FETCH with that address', () => {
    const rig = withTable(TWO_LEVEL | split(8) | 16, {}, HOLE);
    expect(rig.dma(0x200, 0n)).toBe(DMA_ABORT);
    expect(rig.events()[0]![3]).toBe(HOLE + 16n);
    const second = withTable(TWO_LEVEL | split(8) | 16);
    second.put(STRTAB + 8, HOLE | 9n);
    expect(second.dma(0x102, 0n)).toBe(DMA_ABORT);
    expect(second.events()[0]![3]).toBe(HOLE + 128n);
  });

  it('without two-level tables FMT=1 acts as linear', () => {
    const rig = withTable(TWO_LEVEL | split(8) | 6, { features: { twoLevelStreamTable: false, sidBits: 6 } });
    rig.put(STRTAB + 64, BYPASS);
    expect(rig.translate(1, BigInt(DATA))).toBe(DATA);
  });

  it('a switch from two-level to linear is honoured', () => {
    const rig = withTable(TWO_LEVEL | split(8) | 16);
    rig.put(STRTAB, leaf(9, rig.table(0x4000)));
    expect(rig.translate(1, 0n)).toBe(C_BAD_STE);
    rig.write(0x20, 0xc);
    rig.settle();
    rig.write(0x88, 6);
    rig.write(0x20, 0xd);
    rig.settle();
    rig.run([0x04n, 31n]); // CMD_CFGI_ALL
    rig.put(STRTAB + 64, BYPASS);
    expect(rig.translate(1, BigInt(DATA))).toBe(DATA);
  });
});

describe('C_BAD_STREAMID is recorded only with CR2.RECINVSID (§7.3.3)', () => {
  it.each([
    [2, 1],
    [0, 0],
  ])('CR2=%d: %d records', (cr2, records) => {
    const rig = new Rig({ cr2 });
    expect(rig.dma(64, 0n)).toBe(DMA_ABORT);
    expect(rig.events().length).toBe(records);
    expect(rig.model.stats.silentAborts).toBe(1 - records);
  });
});

describe('the configuration cache (§4.3)', () => {
  it('an STE stays, valid or not, until a CFGI covers it', () => {
    const rig = new Rig();
    expect(rig.translate(1, 0n)).toBe(C_BAD_STE);
    rig.ste(1, BYPASS);
    expect(rig.translate(1, BigInt(DATA))).toBe(C_BAD_STE);
    rig.run([0x03n | (2n << 32n), 1n]); // another stream
    expect(rig.translate(1, BigInt(DATA))).toBe(C_BAD_STE);
    rig.run([0x03n | (1n << 32n), 1n]);
    expect(rig.translate(1, BigInt(DATA))).toBe(DATA);
    rig.ste(1, 0n);
    expect(rig.translate(1, BigInt(DATA))).toBe(DATA);
    rig.run([0x03n | (1n << 32n), 1n]);
    expect(rig.translate(1, BigInt(DATA))).toBe(C_BAD_STE);
  });

  it('a level 1 entry goes with Leaf=0 only', () => {
    const rig = withTable(TWO_LEVEL | split(8) | 16);
    expect(rig.translate(1, 0n)).toBe(C_BAD_STREAMID);
    const table = rig.table();
    rig.put(STRTAB, BigInt(table) | 6n);
    rig.put(table + 64, BYPASS);
    rig.run([0x03n | (1n << 32n), 1n]);
    expect(rig.translate(1, 0n)).toBe(C_BAD_STREAMID);
    rig.run([0x03n | (1n << 32n), 0n]);
    expect(rig.translate(1, BigInt(DATA))).toBe(DATA);
  });

  it('an SMMU may keep valid entries only', () => {
    const rig = new Rig({ features: { cacheInvalidConfig: false } });
    expect(rig.translate(1, 0n)).toBe(C_BAD_STE);
    rig.ste(1, BYPASS);
    expect(rig.translate(1, BigInt(DATA))).toBe(DATA);
    rig.ste(1, 0n);
    expect(rig.translate(1, BigInt(DATA))).toBe(DATA);
  });

  it('an aborted fetch is not kept', () => {
    const rig = withTable(LINEAR | 6, {}, HOLE);
    expect(rig.translate(1, 0n)).toBe(F_STE_FETCH);
    rig.write(0x20, 0xc);
    rig.settle();
    rig.write64(0x80, BigInt(STRTAB));
    rig.write(0x20, 0xd);
    rig.settle();
    rig.put(STRTAB + 64, BYPASS);
    expect(rig.translate(1, BigInt(DATA))).toBe(DATA);
  });

  it.each([
    [0, [4, 5]],
    [1, [4, 5, 6, 7]],
    [2, [0, 1, 2, 3, 4, 5, 6, 7]],
    [31, [0, 1, 2, 3, 4, 5, 6, 7, 8]],
  ])('CFGI_STE_RANGE Range=%d of StreamID 5 drops streams %j', (range, dropped) => {
    const rig = new Rig();
    const all = [0, 1, 2, 3, 4, 5, 6, 7, 8];
    for (const sid of all) {
      expect(rig.translate(sid, 0n)).toBe(C_BAD_STE);
      rig.ste(sid, BYPASS);
    }
    rig.run([0x04n | (5n << 32n), BigInt(range)]);
    expect(all.filter((sid) => rig.translate(sid, 0n) === 0)).toEqual(dropped);
  });

  it('more streams than it has room for are fetched again', () => {
    const rig = new Rig({ features: { configEntries: 8 }, strtabLog2: 10 });
    for (let sid = 0; sid < 100; sid++) rig.ste(sid, BYPASS);
    for (let round = 0; round < 2; round++)
      for (let sid = 0; sid < 100; sid++) expect(rig.translate(sid, BigInt(DATA))).toBe(DATA);
  });
});

it('Config=0xx aborts without a record, whatever else the STE holds (§5.2)', () => {
  const rig = new Rig();
  rig.ste(1, STE_V, ~0n, ~0n, ~0n, ~0n, ~0n, ~0n, ~0n);
  rig.ste(2, STE_V | (3n << 1n));
  for (const sid of [1, 2]) expect(rig.dma(sid, 0n)).toBe(DMA_ABORT);
  expect(rig.events()).toEqual([]);
  rig.ste(3, BYPASS);
  expect(rig.dma(3, BigInt(DATA))).toBe(DMA_OK);
});
