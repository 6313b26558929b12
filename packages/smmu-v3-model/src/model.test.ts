/** Transactions through the whole SMMU: IHI 0070 §3.4, §6.3.9.6, §6.3.14, §7.3.2, §7.3.8. */
import { DMA_ABORT, DMA_OK, DMA_PENDING, type DmaRequest, InterruptLine, Scheduler } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { CD_STALL, DATA, Rig, STE_BYPASS, STE_V, USER_RW } from '../test/rig.ts';
import { SmmuV3Model } from './index.ts';

const HOLE = 0x1_0000_0000n;

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
    expect(rig.model.stats).toMatchObject({
      transactions: 2,
      bytes: 16,
      iotlbMisses: 1,
      iotlbHits: 1,
      iotlbEntries: 1,
    });
  });

  it('from any place of the buffer, any length up to a page', () => {
    const rig = new Rig();
    const ttb = rig.stage1(1);
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
    const write = rig.request(1, 0x1ffdn, true);
    write.length = 3;
    write.dataStart = 100;
    write.data.set([1, 2, 3], 100);
    expect(rig.model.submit(write)).toBe(DMA_OK);
    expect(rig.get(DATA + 0xff8)).toBe(0x0302_0100_0000_0000n);
    const page = rig.request(1, 0x1000n, false);
    page.length = 4096;
    expect(rig.model.submit(page)).toBe(DMA_OK);
    expect([...page.data.subarray(0xffd)]).toEqual([1, 2, 3]);
    const nothing = rig.request(1, 0x1fffn);
    nothing.length = 0;
    expect(rig.model.submit(nothing)).toBe(DMA_OK);
  });

  it('an abort of memory itself is the device’s to know: no record', () => {
    const rig = new Rig();
    const ttb = rig.stage1(1);
    rig.map(ttb, 0x1000n, HOLE | USER_RW);
    expect(rig.dma(1, 0x1000n)).toBe(DMA_ABORT);
    expect([rig.events(), rig.model.stats.externalAborts]).toEqual([[], 1]);
  });
});

describe('SMMUEN=0: global bypass (§6.3.14)', () => {
  it('passes addresses through', () => {
    const rig = new Rig({ off: true });
    rig.put(DATA, 7n);
    const request = rig.request(99, BigInt(DATA));
    expect(rig.model.submit(request)).toBe(DMA_OK);
    expect(request.data[0]).toBe(7);
  });
  it('aborts with GBPA.ABORT, and beyond the output size, without a record', () => {
    const rig = new Rig({ off: true, features: { oasBits: 40 } });
    expect(rig.dma(1, 1n << 40n)).toBe(DMA_ABORT);
    rig.write(0x44, 0x8010_0000);
    expect(rig.dma(1, BigInt(DATA))).toBe(DMA_OK); // not in effect yet
    rig.settle();
    expect(rig.dma(1, BigInt(DATA))).toBe(DMA_ABORT);
    expect([rig.events(), rig.model.stats.silentAborts]).toEqual([[], 2]);
    rig.write(0x20, 0xd);
    rig.settle();
    rig.ste(1, STE_V | STE_BYPASS);
    expect(rig.dma(1, BigInt(DATA))).toBe(DMA_OK); // GBPA is for SMMUEN=0 only
  });
});

describe('F_UUT (§7.3.2)', () => {
  it.each<[string, (request: DmaRequest) => void]>([
    [
      'a transaction that leaves its 4 KiB',
      (r) => {
        r.addressLo = 0x1ffc;
      },
    ],
    [
      'one longer than 4 KiB',
      (r) => {
        r.addressLo = 0;
        r.length = 4097;
        r.data = new Uint8Array(4097);
      },
    ],
  ])('%s', (_, change) => {
    const rig = new Rig();
    const request = rig.request(5, 0x1_0000_1000n, true, 3);
    request.privileged = true;
    change(request);
    expect(rig.model.submit(request)).toBe(DMA_ABORT);
    // Code 1, SSV and SubstreamID 3; RnW 0, PnU 1.
    expect(rig.events()).toEqual([[0x0000_0005_0000_3801n, 2n << 32n, 0x1_0000_0000n + BigInt(request.addressLo), 0n]]);
  });
});

it('a Translated transaction on an SMMU without ATS is F_TRANSL_FORBIDDEN (§7.3.8)', () => {
  const rig = new Rig({ features: { ats: false, pri: false } });
  const request = rig.request(1, 0x1234_5678n, false, 9);
  request.translated = true;
  expect(rig.model.submit(request)).toBe(DMA_ABORT);
  expect(rig.events()).toEqual([[0x0000_0001_0000_0007n, 8n << 32n, 0x1234_5678n, 0n]]);
});

it('bytes outside the request’s own buffer are the caller’s mistake', () => {
  const rig = new Rig();
  const request = rig.request(1, 0n);
  request.dataStart = 4090;
  expect(() => rig.model.submit(request)).toThrow(
    expect.objectContaining({ code: 'EINVAL', message: expect.stringContaining('4096') }),
  );
  request.dataStart = -1;
  expect(() => rig.model.submit(request)).toThrow('from -1');
});

it('features that no SMMU has are refused by the constructor', () => {
  const scheduler = new Scheduler();
  const line = new InterruptLine(scheduler, 'x');
  const interrupts = { eventq: line, priq: line, gerror: line, cmdSync: line };
  const { memory } = new Rig();
  expect(() => new SmmuV3Model({ memory, scheduler, interrupts, features: { sidBits: 40 } })).toThrow('sidBits 40');
});

describe('between any two stores the hardware may look', () => {
  it('a transaction that arrives while the SMMU itself stores waits for a moment', () => {
    const rig = new Rig();
    const ttb = rig.stage1();
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
    const inner = rig.request(1, 0x1000n);
    let completed = 0;
    inner.complete = () => {
      completed++;
    };
    let status = -1;
    rig.memory.observer = () => {
      rig.memory.observer = null;
      status = rig.model.submit(inner);
    };
    expect(rig.dma(1, 0x5000n)).toBe(DMA_ABORT); // stores a record
    expect(status).toBe(DMA_PENDING);
    rig.settle();
    expect([inner.status, completed]).toEqual([DMA_OK, 1]);
  });

  it('also one that then stalls', () => {
    const rig = new Rig();
    rig.stage1(1);
    rig.stage1(2, CD_STALL, 2);
    const inner = rig.request(2, 0x1000n);
    rig.memory.observer = () => {
      rig.memory.observer = null;
      rig.model.submit(inner);
    };
    rig.dma(1, 0x5000n);
    rig.settle();
    expect(rig.events().map((record) => record[0]! >> 32n)).toEqual([1n, 2n]);
    expect(inner.status).toBe(DMA_PENDING);
  });

  it('data that is written may set off another transaction at once', () => {
    const rig = new Rig();
    const ttb = rig.stage1();
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
    let inner = -1;
    rig.memory.observer = () => {
      rig.memory.observer = null;
      inner = rig.dma(1, 0x1000n);
    };
    expect(rig.dma(1, 0x1000n, true)).toBe(DMA_OK);
    expect(inner).toBe(DMA_OK);
  });
});
