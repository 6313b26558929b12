/** The event queue and its interrupts: IHI 0070 §3.5, §3.18, §7.2, §7.3.1, §7.4, §7.5. */
import { DMA_ABORT, DMA_OK, DMA_PENDING } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { CD_PLAIN, CD_STALL, CDTAB, DATA, EVTQ, Rig, type RigOptions, STE_S1, STE_V, USER_RW } from '../test/rig.ts';

const EVTQ_ABT = 1 << 2;

/** `count` terminated faults of stream 1, at pages 1, 2, … */
function faults(rig: Rig, count: number, first = 1): void {
  for (let i = first; i < first + count; i++) expect(rig.dma(1, BigInt(i) << 12n)).toBe(DMA_ABORT);
}
function rigWith(options: RigOptions = {}, cd = CD_PLAIN): Rig {
  const rig = new Rig({ evtqLog2: 2, ...options });
  rig.stage1(1, cd);
  return rig;
}
const prod = (rig: Rig): number => rig.read(0x100a8);

describe('records', () => {
  it('are written in order, round the queue, the wrap bit with the index', () => {
    const rig = rigWith();
    for (let i = 0; i < 10; i++) {
      faults(rig, 1, i + 1);
      expect(prod(rig)).toBe((i + 1) % 8);
      expect(rig.get(EVTQ + (i % 4) * 32 + 16)).toBe(BigInt(i + 1) << 12n);
      expect(rig.events().length).toBe(1);
    }
  });

  it('the queue lies at its base; bits below its size count as zero; LOG2SIZE counts up to IDR1.EVENTQS', () => {
    const rig = new Rig({ features: { evtqLog2Max: 1 }, off: true });
    rig.write(0x20, 8);
    rig.settle();
    rig.write64(0xa0, BigInt(EVTQ + 0x20) | 5n);
    rig.write(0x20, 0xd);
    rig.settle();
    rig.stage1();
    faults(rig, 3);
    expect(prod(rig) & 3).toBe(2);
    expect(rig.get(EVTQ + 16)).toBe(0x1000n);
  });
});

describe('a queue that is full', () => {
  it('drops records and toggles OVFLG once, until it is acknowledged (§7.4)', () => {
    const rig = rigWith();
    faults(rig, 4);
    expect(prod(rig)).toBe(4);
    faults(rig, 1, 5);
    expect(prod(rig)).toBe(0x8000_0004);
    faults(rig, 3, 6);
    expect([prod(rig), rig.model.stats.unrecordedEvents]).toEqual([0x8000_0004, 4]);
    expect(rig.read(0x60)).toBe(0); // an overflow is no global error
  });

  it('a pending overflow does not stop records, and a second one before the acknowledge is not told', () => {
    const rig = rigWith();
    faults(rig, 5);
    rig.write(0x100ac, 1); // one read, not acknowledged
    faults(rig, 1, 6);
    expect(prod(rig)).toBe(0x8000_0005);
    faults(rig, 1, 7);
    expect(prod(rig)).toBe(0x8000_0005);
    rig.write(0x100ac, 0x8000_0001); // acknowledged, still full
    faults(rig, 1, 8);
    expect(prod(rig)).toBe(0x0000_0005);
  });
});

describe('a queue that is off', () => {
  it('EVENTQEN=0 drops records without an overflow', () => {
    const rig = rigWith();
    rig.write(0x20, 9);
    rig.settle();
    faults(rig, 6);
    expect([prod(rig), rig.model.stats.unrecordedEvents]).toEqual([0, 6]);
    rig.write(0x20, 0xd);
    rig.settle();
    faults(rig, 1);
    expect(prod(rig)).toBe(1);
  });
});

describe('a write that aborts (§7.2)', () => {
  it('is GERROR.EVENTQ_ABT_ERR; nothing is written until it is acknowledged', () => {
    const rig = new Rig({ off: true });
    rig.write(0x20, 8);
    rig.settle();
    rig.write64(0xa0, 0x1_0000_0002n);
    rig.write(0x20, 0xd);
    rig.settle();
    rig.stage1();
    faults(rig, 1);
    expect([rig.read(0x60), prod(rig), rig.lines.gerror.raised]).toEqual([EVTQ_ABT, 0, 1]);
    faults(rig, 5);
    expect([rig.read(0x60), prod(rig), rig.model.stats.unrecordedEvents]).toEqual([EVTQ_ABT, 0, 6]);
    rig.write(0x64, EVTQ_ABT);
    faults(rig, 1);
    expect(rig.read(0x60)).toBe(0); // toggled again
  });

  it('a stalled transaction whose record it was is not lost', () => {
    const rig = new Rig({ off: true });
    rig.write(0x20, 8);
    rig.settle();
    rig.write64(0xa0, 0x1_0000_0002n);
    rig.write(0x20, 0xd);
    rig.settle();
    const ttb = rig.stage1(1, CD_STALL);
    const request = rig.request(1, 0x1000n);
    expect(rig.model.submit(request)).toBe(DMA_PENDING);
    expect(rig.model.stats.stalled).toBe(1);
    rig.write(0x20, 9);
    rig.settle();
    rig.write64(0xa0, BigInt(EVTQ + 2));
    rig.write(0x64, EVTQ_ABT);
    rig.write(0x20, 0xd);
    rig.settle();
    const [record] = rig.events();
    expect(record![1]! & 0x8000_0000n).toBe(0x8000_0000n);
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
    rig.run([0x44n | (1n << 12n) | (1n << 32n), record![1]! & 0xffffn]);
    expect(request.status).toBe(DMA_OK);
  });
});

describe('merging (STE.MEV, §7.3.1)', () => {
  const MEV = 1n << 19n;
  function merging(ste1: bigint, cd = CD_PLAIN): Rig {
    const rig = new Rig();
    rig.stage1(1, cd);
    rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB + 64), ste1);
    return rig;
  }
  it('an equal record that is not read yet stands for the next; the offset in the page does not count', () => {
    const rig = merging(MEV);
    for (const address of [0x1000n, 0x1008n, 0x1ff8n]) rig.dma(1, address);
    expect(rig.model.stats.mergedEvents).toBe(2);
    expect(rig.events().map((record) => record[2])).toEqual([0x1000n]);
    rig.dma(1, 0x1000n); // the first was read
    expect(rig.events().length).toBe(1);
  });
  it('another page, direction or kind is another record', () => {
    const rig = merging(MEV);
    rig.dma(1, 0x1000n);
    rig.dma(1, 0x2000n);
    rig.dma(1, 0x2000n, true);
    expect(rig.events().length).toBe(3);
  });
  it('without MEV nothing merges, and stalls never do', () => {
    const plain = merging(0n);
    plain.dma(1, 0x1000n);
    plain.dma(1, 0x1000n);
    expect(plain.events().length).toBe(2);
    const stalls = merging(MEV, CD_STALL);
    stalls.model.submit(stalls.request(1, 0x1000n));
    stalls.model.submit(stalls.request(1, 0x1000n));
    expect(stalls.events().length).toBe(2);
  });
});

describe('interrupts (§3.18)', () => {
  it('by wire, when the queue turns non-empty', () => {
    const rig = rigWith();
    faults(rig, 3);
    expect(rig.lines.eventq.raised).toBe(1);
    rig.events();
    faults(rig, 1);
    expect(rig.lines.eventq.raised).toBe(2);
  });
  it('not without EVENTQ_IRQEN, nor before its acknowledge', () => {
    const rig = rigWith();
    rig.write(0x50, 1);
    rig.settle();
    faults(rig, 1);
    rig.events();
    rig.write(0x50, 5);
    faults(rig, 1);
    expect(rig.lines.eventq.raised).toBe(0);
  });
  it('by message where an address is set, beside the wire, after the record', () => {
    const rig = rigWith();
    rig.write(0x50, 0);
    rig.settle();
    rig.write64(0xb0, BigInt(DATA));
    rig.write(0xb8, 0xcafe);
    rig.write(0x50, 5);
    rig.settle();
    const order: number[] = [];
    rig.memory.observer = (pa) => order.push(pa);
    faults(rig, 1);
    expect(order).toEqual([EVTQ, DATA]);
    expect([rig.get(DATA), rig.lines.eventq.raised]).toEqual([0xcafen, 1]);
  });
  it('a message that aborts is GERROR.MSI_EVENTQ_ABT_ERR', () => {
    const rig = rigWith();
    rig.write(0x50, 0);
    rig.settle();
    rig.write64(0xb0, 0x1_0000_0000n);
    rig.write(0x50, 5);
    rig.settle();
    faults(rig, 1);
    expect([rig.read(0x60), rig.lines.gerror.raised]).toEqual([1 << 5, 1]);
  });
  it('global errors have a message too; one that aborts is told without another', () => {
    const rig = rigWith();
    rig.write(0x50, 0);
    rig.settle();
    rig.write64(0x68, BigInt(DATA));
    rig.write(0x70, 77);
    rig.write(0x50, 5);
    rig.settle();
    rig.run([0xffn, 0n]);
    expect([rig.get(DATA), rig.lines.gerror.raised]).toEqual([77n, 1]);
    const broken = rigWith();
    broken.write(0x50, 0);
    broken.settle();
    broken.write64(0x68, 0x1_0000_0000n);
    broken.write(0x50, 5);
    broken.settle();
    broken.run([0xffn, 0n]);
    expect([broken.read(0x60), broken.lines.gerror.raised]).toEqual([(1 << 7) | 1, 1]);
  });
  it('global errors raise nothing without GERROR_IRQEN', () => {
    const rig = rigWith();
    rig.write(0x50, 4);
    rig.settle();
    rig.run([0xffn, 0n]);
    expect([rig.read(0x60), rig.lines.gerror.raised]).toEqual([1, 0]);
  });
});
