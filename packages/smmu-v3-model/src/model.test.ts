/** Transactions through the whole SMMU. */
import { DMA_ABORT, DMA_OK, DMA_PENDING } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { CD_STALL, DATA, Rig, USER_RW } from '../test/rig.ts';

describe('a stage 1 stream', () => {
  it('moves data by input address', () => {
    const rig = new Rig();
    const ttb = rig.stage1(1);
    rig.map(ttb, 0x7000_1000n, BigInt(DATA) | USER_RW);
    rig.put(DATA + 0x10, 0x1122_3344_5566_7788n);
    const read = rig.request(1, 0x7000_1010n);
    expect(rig.model.submit(read)).toBe(DMA_OK);
    expect(Buffer.from(read.data.subarray(0, 8)).readBigUInt64LE()).toBe(0x1122_3344_5566_7788n);
    const write = rig.request(1, 0x7000_1020n, true);
    write.data.fill(0xa5, 0, 8);
    expect(rig.model.submit(write)).toBe(DMA_OK);
    expect(rig.get(DATA + 0x20)).toBe(0xa5a5_a5a5_a5a5_a5a5n);
    expect(rig.model.stats).toMatchObject({ transactions: 2, bytes: 16, iotlbMisses: 1, iotlbHits: 1 });
  });

  it('stalls, waits for CMD_RESUME and arrives anew (§3.12.2, §4.7.1)', () => {
    const rig = new Rig();
    const ttb = rig.stage1(1, CD_STALL);
    const request = rig.request(1, 0x5000_0008n);
    let completed = 0;
    request.complete = () => {
      completed++;
    };
    expect(rig.model.submit(request)).toBe(DMA_PENDING);
    rig.settle();
    const [record] = rig.events();
    expect(record![0]).toBe(0x0000_0001_0000_0010n);
    expect(record![1]! & 0xffff_ffff_0000_0000n).toBe(0x0000_0208_0000_0000n);
    expect(record![1]! & 0x8000_0000n).toBe(0x8000_0000n);
    expect(record![2]).toBe(0x5000_0008n);
    rig.map(ttb, 0x5000_0000n, BigInt(DATA) | USER_RW);
    const stag = record![1]! & 0xffffn;
    rig.run([0x44n | (1n << 12n) | (1n << 32n), stag]);
    expect(completed).toBe(1);
    expect(request.status).toBe(DMA_OK);
    expect(rig.model.stats.stalled).toBe(0);
  });

  it('aborts a transaction whose STE is invalid (C_BAD_STE)', () => {
    const rig = new Rig();
    expect(rig.dma(3, 0x1000n)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([[0x0000_0003_0000_0004n, 0n, 0n, 0n]]);
  });
});
