/** Hardware updates of access flag and dirty state: IHI 0070 §3.13; Arm DDI 0487 D8.5. */
import { DMA_ABORT, DMA_OK } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import {
  AF,
  CD_PLAIN,
  CDTAB,
  DATA,
  PAGE,
  READ_ONLY,
  Rig,
  type RigOptions,
  S2_PLAIN,
  S2_RW,
  STE_NESTED,
  STE_S1,
  STE_S2,
  STE_V,
  USER,
  USER_RW,
} from '../test/rig.ts';

const F_WALK_EABT = -0x0b;
const F_TRANSLATION = -0x10;
const F_ACCESS = -0x12;
const F_PERMISSION = -0x13;
const HA = 1n << 43n;
const HD = 1n << 42n;
const DBM = 1n << 51n;
const CLEAN = DBM | READ_ONLY;
const HTTU: RigOptions = { features: { httu: 3 } };

function stage1(cd = HA | HD, cd1 = 0n, options = HTTU): { rig: Rig; ttb: number } {
  const rig = new Rig(options);
  const ttb = rig.table();
  rig.cd(1, CD_PLAIN | cd | (1n << 48n), BigInt(ttb) | cd1, 0n, 0xffn);
  rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB + 64));
  return { rig, ttb };
}

describe('access flag, stage 1', () => {
  it('is set by a use instead of F_ACCESS', () => {
    const { rig, ttb } = stage1(HA);
    const place = rig.map(ttb, 0x1000n, BigInt(DATA) | (USER_RW & ~AF));
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
    expect(rig.get(place)).toBe(BigInt(DATA) | USER_RW);
  });
  it('is not touched without HA', () => {
    const { rig, ttb } = stage1(0n);
    const place = rig.map(ttb, 0x1000n, BigInt(DATA) | (USER_RW & ~AF));
    expect(rig.translate(1, 0x1000n)).toBe(F_ACCESS);
    expect(rig.get(place) & AF).toBe(0n);
  });
  it('wins over AFFD', () => {
    const { rig, ttb } = stage1(HA | (1n << 35n));
    const place = rig.map(ttb, 0x1000n, BigInt(DATA) | (USER_RW & ~AF));
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
    expect(rig.get(place) & AF).toBe(AF);
  });
  it('of tables with HAFT', () => {
    const { rig, ttb } = stage1(HA, 8n);
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
    let table = ttb;
    for (let level = 0; level < 3; level++) {
      expect(rig.get(table) & AF).toBe(AF);
      table = Number(rig.get(table) & 0xffff_ffff_f000n);
    }
  });
});

describe('dirty state, stage 1', () => {
  it('a write to a writable-clean page makes it writable; a read does not', () => {
    const { rig, ttb } = stage1();
    const place = rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW | CLEAN);
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
    expect(rig.get(place)).toBe(BigInt(DATA) | USER_RW | CLEAN);
    expect(rig.translate(1, 0x1000n, true)).toBe(DATA);
    expect(rig.get(place)).toBe(BigInt(DATA) | USER_RW | DBM);
    expect(rig.translate(1, 0x1000n, true)).toBe(DATA);
    expect(rig.model.stats.iotlbEntries).toBe(1);
  });
  it('access flag and dirty state change at once', () => {
    const { rig, ttb } = stage1();
    const place = rig.map(ttb, 0x1000n, BigInt(DATA) | (USER_RW & ~AF) | CLEAN);
    expect(rig.translate(1, 0x1000n, true)).toBe(DATA);
    expect(rig.get(place)).toBe(BigInt(DATA) | USER_RW | DBM);
  });
  it('without DBM, or without HD, a read-only page is F_PERMISSION', () => {
    const { rig, ttb } = stage1();
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW | READ_ONLY);
    expect(rig.translate(1, 0x1000n, true)).toBe(F_PERMISSION);
    const without = stage1(HA);
    without.rig.map(without.ttb, 0x1000n, BigInt(DATA) | USER_RW | CLEAN);
    expect(without.rig.translate(1, 0x1000n, true)).toBe(F_PERMISSION);
  });
  it('a page of which something else forbids the write is left alone', () => {
    const { rig, ttb } = stage1();
    const place = rig.map(ttb, 0x1000n, BigInt(DATA) | ((USER_RW | CLEAN) & ~USER));
    expect(rig.translate(1, 0x1000n, true)).toBe(F_PERMISSION);
    expect(rig.get(place)).toBe(BigInt(DATA) | ((USER_RW | CLEAN) & ~USER));
    expect(rig.translate(1, 0x1000n, true)).toBe(F_PERMISSION);
  });
  it('a page that APTable makes read-only is not writable-clean', () => {
    const { rig, ttb } = stage1();
    const place = rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW | CLEAN);
    rig.put(ttb, rig.get(ttb) | (2n << 61n));
    expect(rig.translate(1, 0x1000n, true)).toBe(F_PERMISSION);
    expect(rig.get(place)).toBe(BigInt(DATA) | USER_RW | CLEAN);
  });
  it('writable-clean counts as writable for WXN', () => {
    const { rig, ttb } = stage1(HA | HD | (1n << 36n));
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW | CLEAN);
    expect(rig.model.translator.translate(1, -1, 0x1000, 0, 2)).toBe(false);
  });
  it('a big-endian table is updated in its own order', () => {
    const { rig, ttb } = stage1(HA | HD | (1n << 15n), 0n, { features: { httu: 2, tableEndian: 'mixed' } });
    const swap = (dword: bigint): bigint =>
      BigInt(`0x${dword.toString(16).padStart(16, '0').match(/../g)!.reverse().join('')}`);
    const tables = [ttb, rig.table(), rig.table(), rig.table()];
    for (let level = 0; level < 3; level++) rig.put(tables[level]!, swap(BigInt(tables[level + 1]!) | 3n));
    rig.put(tables[3]!, swap(BigInt(DATA) | (USER_RW & ~AF) | CLEAN));
    expect(rig.translate(1, 0n, true)).toBe(DATA);
    expect(swap(rig.get(tables[3]!))).toBe(BigInt(DATA) | USER_RW | DBM);
  });
});

describe('updates are atomic', () => {
  it('a descriptor that software takes away in between is not brought back', () => {
    const { rig, ttb } = stage1();
    const place = rig.map(ttb, 0x1000n, BigInt(DATA) | (USER_RW & ~AF));
    const swap = rig.memory.compareExchange64.bind(rig.memory);
    rig.memory.compareExchange64 = (...args) => {
      rig.put(place, 0n);
      rig.memory.compareExchange64 = swap;
      return swap(...args);
    };
    expect(rig.translate(1, 0x1000n)).toBe(F_TRANSLATION);
    expect(rig.get(place)).toBe(0n);
  });
  it('one that software changes is read again', () => {
    const { rig, ttb } = stage1();
    const place = rig.map(ttb, 0x1000n, BigInt(DATA) | (USER_RW & ~AF));
    const swap = rig.memory.compareExchange64.bind(rig.memory);
    rig.memory.compareExchange64 = (...args) => {
      rig.put(place, BigInt(DATA + 0x1000) | (USER_RW & ~AF));
      rig.memory.compareExchange64 = swap;
      return swap(...args);
    };
    expect(rig.translate(1, 0x1000n)).toBe(DATA + 0x1000);
  });
  it.each([1, 2])('one that never stands still ends in a fault (stage %d, page and table)', (stage) => {
    for (const table of [false, true]) {
      const rig = new Rig(HTTU);
      const ttb = rig.table();
      const leaf = BigInt(DATA) | (table ? S2_RW | USER_RW : (S2_RW | USER_RW) & ~AF);
      rig.map(ttb, 0x1000n, leaf);
      rig.cd(1, CD_PLAIN | HA, BigInt(ttb) | 8n);
      if (stage === 1) rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB + 64));
      else rig.ste(1, STE_V | STE_S2, 0n, S2_PLAIN | (1n << 56n) | (1n << 59n), BigInt(ttb));
      let tries = 0;
      rig.memory.compareExchange64 = (pa) => {
        tries++;
        rig.memory.read64(pa);
        rig.memory.hi ^= 0x40_0000; // a software bit
        return true;
      };
      expect(rig.translate(1, 0x1000n)).toBe(F_ACCESS);
      expect(tries).toBe(8);
    }
  });
  it.each([1, 2])('an abort of the update is F_WALK_EABT (stage %d, page and table)', (stage) => {
    for (const table of [false, true]) {
      const rig = new Rig(HTTU);
      const ttb = rig.table();
      rig.map(ttb, 0x1000n, BigInt(DATA) | (table ? S2_RW | USER_RW : (S2_RW | USER_RW) & ~AF));
      rig.cd(1, CD_PLAIN | HA, BigInt(ttb) | 8n);
      if (stage === 1) rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB + 64));
      else rig.ste(1, STE_V | STE_S2, 0n, S2_PLAIN | (1n << 56n) | (1n << 59n), BigInt(ttb));
      rig.memory.compareExchange64 = () => false;
      expect(rig.translate(1, 0x1000n)).toBe(F_WALK_EABT);
    }
  });
});

describe('stage 2', () => {
  const S2HA = 1n << 56n;
  const S2HD = 1n << 55n;
  function stage2(ste2: bigint): { rig: Rig; table: number } {
    const rig = new Rig(HTTU);
    const table = rig.table();
    rig.ste(1, STE_V | STE_S2, 0n, S2_PLAIN | ste2, BigInt(table));
    return { rig, table };
  }
  const S2_CLEAN = (S2_RW & ~(1n << 7n)) | DBM;

  it('access flag', () => {
    const { rig, table } = stage2(S2HA);
    const place = rig.map(table, 0x1000n, BigInt(DATA) | (S2_RW & ~AF));
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
    expect(rig.get(place)).toBe(BigInt(DATA) | S2_RW);
  });
  it('dirty state sets S2AP[1]', () => {
    const { rig, table } = stage2(S2HA | S2HD);
    const place = rig.map(table, 0x1000n, BigInt(DATA) | S2_CLEAN);
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
    expect(rig.get(place)).toBe(BigInt(DATA) | S2_CLEAN);
    expect(rig.translate(1, 0x1000n, true)).toBe(DATA);
    expect(rig.get(place)).toBe(BigInt(DATA) | S2_RW | DBM);
  });
  it('an update that lost to software is looked at again, or faults if the page went', () => {
    for (const gone of [true, false]) {
      const { rig, table } = stage2(S2HA | S2HD);
      const place = rig.map(table, 0x1000n, BigInt(DATA) | (S2_RW & ~AF));
      const swap = rig.memory.compareExchange64.bind(rig.memory);
      rig.memory.compareExchange64 = (...args) => {
        rig.put(place, gone ? 0n : BigInt(DATA + 0x1000) | (S2_RW & ~AF));
        rig.memory.compareExchange64 = swap;
        return swap(...args);
      };
      expect(rig.translate(1, 0x1000n)).toBe(gone ? F_TRANSLATION : DATA + 0x1000);
    }
  });
  it('of tables with S2HAFT', () => {
    const { rig, table } = stage2(S2HA | (1n << 59n));
    rig.map(table, 0x1000n, BigInt(DATA) | S2_RW);
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
    expect(rig.get(table) & AF).toBe(AF);
  });
  it('without S2HD the write is F_PERMISSION', () => {
    const { rig, table } = stage2(S2HA);
    rig.map(table, 0x1000n, BigInt(DATA) | S2_CLEAN);
    expect(rig.translate(1, 0x1000n, true)).toBe(F_PERMISSION);
  });

  it('both stages together: the write of a stage 1 descriptor makes its page dirty at stage 2', () => {
    const rig = new Rig(HTTU);
    const [s1, s2] = [rig.table(), rig.table()];
    rig.map(s2, 0x4000_0000n, 0x4000_0000n | (S2_RW & ~2n), 1);
    const leafTable = rig.table();
    const tablePlace = rig.map(s2, 0x9000_0000n, BigInt(leafTable) | S2_CLEAN);
    const dataPlace = rig.map(s2, 0x8000_0000n, BigInt(DATA) | S2_CLEAN);
    rig.map(s1, 0x20_0000n, 0x9000_0003n, 2);
    rig.put(leafTable, 0x8000_0000n | (USER_RW & ~AF) | CLEAN);
    rig.cd(1, CD_PLAIN | HA | HD, BigInt(s1));
    rig.ste(1, STE_V | STE_NESTED | BigInt(CDTAB + 64), 0n, S2_PLAIN | S2HA | S2HD, BigInt(s2));
    expect(rig.translate(1, 0x20_0000n)).toBe(DATA);
    // A read: AF at stage 1, so the table's page is dirty; the data page is not.
    expect(rig.get(leafTable)).toBe(0x8000_0000n | USER_RW | CLEAN);
    expect(rig.get(tablePlace) & (1n << 7n)).toBe(1n << 7n);
    expect(rig.get(dataPlace) & (1n << 7n)).toBe(0n);
    expect(rig.translate(1, 0x20_0000n, true)).toBe(DATA);
    expect(rig.get(leafTable)).toBe(0x8000_0000n | USER_RW | DBM);
    expect(rig.get(dataPlace) & (1n << 7n)).toBe(1n << 7n);
    expect(rig.dma(1, 0x20_0000n, true)).toBe(DMA_OK);
  });

  it('a descriptor that stage 2 does not let be written: F_PERMISSION, S2=1, CLASS=TT, TTRnW=0', () => {
    const rig = new Rig(HTTU);
    const [s1, s2] = [rig.table(), rig.table()];
    rig.map(s2, 0x4000_0000n, 0x4000_0000n | (S2_RW & ~2n), 1);
    const leafTable = rig.table();
    rig.map(s2, 0x9000_0000n, BigInt(leafTable) | (S2_RW & ~(1n << 7n)));
    rig.map(s1, 0x20_0000n, 0x9000_0003n, 2);
    rig.put(leafTable, BigInt(DATA) | (PAGE | USER));
    rig.cd(1, CD_PLAIN | HA, BigInt(s1));
    rig.ste(1, STE_V | STE_NESTED | BigInt(CDTAB + 64), 0n, S2_PLAIN, BigInt(s2));
    expect(rig.dma(1, 0x20_0000n)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([[(1n << 32n) | 0x13n, (1n << 40n) | (0x88n << 32n), 0x20_0000n, 0x9000_0000n]]);
    // A table's access flag (HAFT) as well.
    rig.cd(2, CD_PLAIN | HA | (2n << 48n), 0x9000_0000n | 8n);
    rig.ste(2, STE_V | STE_NESTED | BigInt(CDTAB + 128), 0n, S2_PLAIN, BigInt(s2));
    rig.put(leafTable, 0x9000_0003n);
    expect(rig.dma(2, 0n)).toBe(DMA_ABORT);
    expect(rig.events()[0]![1]).toBe((1n << 40n) | (0x88n << 32n));
  });

  it('a CD fetch sets the access flag but never the dirty state', () => {
    const rig = new Rig(HTTU);
    const [s1, s2] = [rig.table(), rig.table()];
    rig.map(s2, 0x4000_0000n, 0x4000_0000n | (S2_RW & ~2n), 1);
    const place = rig.map(s2, 0x9000_0000n, BigInt(CDTAB) | (S2_CLEAN & ~AF));
    rig.cd(0, CD_PLAIN, BigInt(s1));
    rig.map(s1, 0x1000n, BigInt(DATA) | USER_RW);
    rig.ste(1, STE_V | STE_NESTED | 0x9000_0000n, 0n, S2_PLAIN | S2HA | S2HD, BigInt(s2));
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
    expect(rig.get(place)).toBe(BigInt(CDTAB) | S2_CLEAN);
  });
});
