/** Break-before-make: IHI 0070 §3.21.1, §7.3.17; Arm DDI 0487 D8.16. IDR3.BBML says how much of it software must do. */
import { DMA_ABORT } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { DATA, Rig, S2_PLAIN, S2_RW, STE_S2, STE_V, USER_RW } from '../test/rig.ts';

const VA = 0x4000_0000n;
const NT = 1n << 16n;
const BLOCK = 0x4820_0000n | (USER_RW & ~2n);

/** Page VA is cached; then its table gives way to a block. Returns the place of the block. */
function replaced(bbmLevel: 0 | 1 | 2, block = BLOCK): Rig {
  const rig = new Rig({ features: { bbmLevel } });
  const ttb = rig.stage1();
  rig.map(ttb, VA, BigInt(DATA) | USER_RW);
  expect(rig.translate(1, VA)).toBe(DATA);
  const level1 = Number(rig.get(ttb) & ~0xfffn);
  const level2 = Number(rig.get(level1 + 8) & ~0xfffn);
  rig.put(level2, block);
  rig.run([0x12n | (1n << 48n), 0x4010_0000n]); // Leaf=0 of another page: the pointer goes, the page stays
  return rig;
}

describe('a block that replaces pages which are still cached', () => {
  it.each([0, 1] as const)('BBML=%d: F_TLB_CONFLICT, which never stalls', (bbmLevel) => {
    const rig = replaced(bbmLevel);
    expect(rig.dma(1, VA + 0x2008n)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([[(1n << 32n) | 0x20n, 8n << 32n, VA + 0x2008n, 0n]]);
    expect(rig.translate(1, VA)).toBe(DATA); // the page serves until it is invalidated
    rig.run([0x12n | (1n << 48n), VA | 1n]);
    expect(rig.translate(1, VA + 0x2008n)).toBe(0x4820_2008);
  });

  it('BBML=2: either serves, nothing faults', () => {
    const rig = replaced(2);
    expect(rig.translate(1, VA + 0x2008n)).toBe(0x4820_2008);
    expect(rig.translate(1, VA)).toBe(DATA);
  });

  it('BBML=1 with nT=1: the block is kept in pages, and goes with any address of it', () => {
    const rig = replaced(1, BLOCK | NT);
    expect(rig.translate(1, VA + 0x2008n)).toBe(0x4820_2008);
    expect(rig.translate(1, VA + 0x5008n)).toBe(0x4820_5008);
    const misses = rig.model.stats.iotlbMisses;
    expect(rig.translate(1, VA + 0x2010n)).toBe(0x4820_2010);
    expect(rig.model.stats.iotlbMisses).toBe(misses);
    rig.run([0x12n | (1n << 48n), 0x401f_f001n]);
    expect(rig.translate(1, VA + 0x2010n)).toBe(0x4820_2010);
    expect(rig.model.stats.iotlbMisses).toBe(misses + 1);
  });

  it('a block where nothing else is cached is no conflict', () => {
    const rig = new Rig({ features: { bbmLevel: 0 } });
    const ttb = rig.stage1();
    rig.map(ttb, VA, BLOCK, 2);
    rig.map(ttb, VA + 0x20_0000n, BigInt(DATA) | USER_RW);
    expect([rig.translate(1, VA + 0x20_0000n), rig.translate(1, VA)]).toEqual([DATA, 0x4820_0000]);
  });
});

describe('stage 2', () => {
  function stage2(bbmLevel: 0 | 1, block: bigint): Rig {
    const rig = new Rig({ features: { bbmLevel } });
    const table = rig.table();
    rig.ste(1, STE_V | STE_S2, 0n, S2_PLAIN | 3n, BigInt(table));
    rig.map(table, VA, BigInt(DATA) | S2_RW);
    expect(rig.translate(1, VA)).toBe(DATA);
    const level1 = Number(rig.get(table) & ~0xfffn);
    rig.put(Number(rig.get(level1 + 8) & ~0xfffn), block);
    rig.run([0x2an | (3n << 32n), 0x4010_0000n]);
    return rig;
  }
  it('F_TLB_CONFLICT with S2=1 and the IPA', () => {
    const rig = stage2(0, 0x4820_0000n | (S2_RW & ~2n));
    expect(rig.dma(1, VA + 0x2008n)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([[(1n << 32n) | 0x20n, 0x88n << 32n, VA + 0x2008n, VA + 0x2000n]]);
  });
  it('nT=1 keeps it in pages', () => {
    const rig = stage2(1, 0x4820_0000n | NT | (S2_RW & ~2n));
    expect(rig.translate(1, VA + 0x2008n)).toBe(0x4820_2008);
    const misses = rig.model.stats.iotlbMisses;
    rig.run([0x2an | (3n << 32n), 0x401f_f001n]);
    expect([rig.translate(1, VA + 0x2008n), rig.model.stats.iotlbMisses]).toEqual([0x4820_2008, misses + 1]);
  });
});
