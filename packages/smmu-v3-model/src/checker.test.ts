/** The owed-invalidation checker names each use of a stale entry: which invalidation, since which store. IHI 0070 §3.21. */
import { NO_SUBSTREAM } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import {
  CD_PLAIN,
  CD_R,
  CDTAB,
  DATA,
  READ_ONLY,
  Rig,
  type RigOptions,
  S2_PLAIN,
  S2_RW,
  STE_BYPASS,
  STE_S1,
  STE_S2,
  STE_V,
  STRTAB,
  USER_RW,
} from '../test/rig.ts';
import type { StaleUse } from './checker.ts';

function board(options: RigOptions = {}): { rig: Rig; uses: StaleUse[] } {
  const uses: StaleUse[] = [];
  const rig = new Rig({ ...options, onStale: (use) => uses.push(use) });
  rig.memory.observer = (pa, bytes) => rig.model.stored(pa, bytes);
  return { rig, uses };
}

describe('a translation', () => {
  it('that was unmapped without an invalidation', () => {
    const { rig, uses } = board();
    const ttb = rig.stage1();
    const place = rig.map(ttb, 0x7000_1000n, BigInt(DATA) | USER_RW);
    rig.dma(1, 0x7000_1010n);
    expect(uses).toEqual([]);
    rig.scheduler.advance(500);
    rig.put(place, 0n);
    const time = rig.scheduler.now;
    rig.dma(1, 0x7000_1010n, true);
    expect(uses).toEqual([
      {
        streamId: 1,
        substreamId: NO_SUBSTREAM,
        address: 0x7000_1010n,
        write: true,
        cached: '0x48000010',
        memory: 'F_TRANSLATION',
        owed: 'CMD_TLBI_NH_VA VMID=0 ASID=1 Addr=0x70001000',
        since: { pa: place, time },
        forgotten: false,
      },
    ]);
    rig.run(); // a CMD_SYNC without the invalidation before it
    rig.dma(1, 0x7000_1010n);
    expect(uses[1]!.forgotten).toBe(true);
    rig.run([0x12n | (1n << 48n), 0x7000_1001n]);
    rig.dma(1, 0x7000_1010n);
    expect(uses.length).toBe(2);
  });

  it('that refuses what memory allows', () => {
    const { rig, uses } = board();
    const ttb = rig.stage1();
    const place = rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW | READ_ONLY);
    rig.dma(1, 0x1000n);
    rig.put(place, BigInt(DATA) | USER_RW);
    rig.dma(1, 0x1000n, true);
    expect(uses.map(({ cached, memory }) => [cached, memory])).toEqual([['F_PERMISSION', '0x48000000']]);
  });

  it('of stage 2, and of EL2', () => {
    const { rig, uses } = board();
    const s2 = rig.table();
    rig.ste(1, STE_V | STE_S2, 0n, S2_PLAIN | 5n, BigInt(s2));
    const place = rig.map(s2, 0x1000n, BigInt(DATA) | S2_RW);
    rig.dma(1, 0x1000n);
    rig.put(place, 0n);
    rig.dma(1, 0x1000n);
    const ttb = rig.table();
    rig.cd(2, CD_PLAIN & ~(1n << 30n), BigInt(ttb));
    rig.ste(2, STE_V | STE_S1 | BigInt(CDTAB + 128), 2n << 30n);
    const other = rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
    rig.dma(2, 0x1000n);
    rig.put(other, 0n);
    rig.dma(2, 0x1000n);
    expect(uses.map(({ owed }) => owed)).toEqual([
      'CMD_TLBI_S2_IPA VMID=5 Addr=0x1000',
      'CMD_TLBI_EL2_VA ASID=0 Addr=0x1000',
    ]);
  });
});

describe('configuration', () => {
  it('an STE', () => {
    const { rig, uses } = board();
    rig.ste(1, STE_V | STE_BYPASS);
    rig.dma(1, BigInt(DATA));
    rig.ste(1, 0n);
    rig.dma(1, BigInt(DATA));
    expect(uses[0]).toMatchObject({ owed: 'CMD_CFGI_STE StreamID=0x1', cached: '0x48000000', memory: 'C_BAD_STE' });
    expect(uses[0]!.since!.pa).toBe(STRTAB + 64 + 56);
  });
  it('an STE that was invalid when it was read', () => {
    const { rig, uses } = board();
    rig.dma(1, BigInt(DATA));
    rig.ste(1, STE_V | STE_BYPASS);
    rig.dma(1, BigInt(DATA));
    expect(uses[0]).toMatchObject({ owed: 'CMD_CFGI_STE StreamID=0x1', cached: 'C_BAD_STE' });
  });
  it('a CD', () => {
    const { rig, uses } = board();
    const ttb = rig.stage1();
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
    rig.dma(1, 0x1000n);
    rig.cd(1, 0n);
    rig.dma(1, 0x1000n);
    expect(uses[0]).toMatchObject({ owed: 'CMD_CFGI_CD StreamID=0x1 SubstreamID=0x0', memory: 'C_BAD_CD' });
  });
  it('a CD with another table', () => {
    const { rig, uses } = board();
    rig.stage1(1, CD_PLAIN);
    const other = rig.table();
    rig.map(other, 0x1000n, BigInt(DATA) | USER_RW);
    rig.dma(1, 0x1000n);
    rig.cd(1, (CD_PLAIN & ~CD_R) | (1n << 48n), BigInt(other), 0n, 0xffn);
    rig.dma(1, 0x1000n);
    expect(uses[0]).toMatchObject({ owed: 'CMD_CFGI_CD StreamID=0x1 SubstreamID=0x0', memory: '0x48000000' });
  });
  it('a silent abort that memory no longer asks for', () => {
    const { rig, uses } = board();
    rig.ste(1, STE_V);
    rig.dma(1, BigInt(DATA));
    rig.ste(1, STE_V | STE_BYPASS);
    rig.dma(1, BigInt(DATA));
    expect(uses[0]).toMatchObject({ cached: 'silent abort', owed: 'CMD_CFGI_STE StreamID=0x1' });
  });
});

it('hardware updates are no stale entries, and the checker makes none', () => {
  const { rig, uses } = board({ features: { httu: 3 } });
  const ttb = rig.table();
  rig.cd(1, CD_PLAIN | (3n << 42n), BigInt(ttb));
  rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB + 64));
  const clean = BigInt(DATA) | (USER_RW & ~(1n << 10n)) | READ_ONLY | (1n << 51n);
  const place = rig.map(ttb, 0x1000n, clean);
  rig.dma(1, 0x1000n);
  expect(rig.get(place)).toBe(clean | (1n << 10n));
  rig.dma(1, 0x1000n, true);
  rig.dma(1, 0x1000n, true);
  expect(uses).toEqual([]);
});

it('remembers only so many stores', () => {
  const { rig, uses } = board();
  const ttb = rig.stage1();
  const place = rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
  rig.dma(1, 0x1000n);
  rig.put(place, 0n);
  for (let i = 0; i < 100_001; i++) rig.model.stored(DATA + i * 8, 8);
  rig.dma(1, 0x1000n);
  expect([uses.length, uses[0]!.since]).toEqual([1, undefined]);
});

it('without a checker nothing is kept', () => {
  const rig = new Rig();
  rig.model.stored(DATA, 8);
  expect(rig.dma(9, 0n)).toBe(1);
});
