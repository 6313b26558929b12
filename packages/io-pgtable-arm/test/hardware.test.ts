/**
 * Hardware looks between any two stores, keeps what it found until it is told to forget it, and sees what a sync has
 * shown it only. The walker here is the second reading of the format, with a cache that holds as much as it may.
 */
import { IommuPages, type IommuPagesList } from '@smmu/iommu-pages';
import {
  FrameAllocator,
  type IommuError,
  NonCoherentDma,
  type PhysicalMemory,
  Random,
  SystemMemory,
} from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { type ArmPageTable, allocPgtable, type IotlbGather, type PgtableOptions, type TlbOps } from '../src/index.ts';
import { baseOf, board, RW, type Shape, shapeName } from './board.ts';
import { IntervalMap } from './intervals.ts';
import { type Leaf, leaves, regimeOf, translate } from './walker.ts';

const KIB = 1024;

/** A TLB with its walk cache: every leaf that was ever seen stays until an invalidation covers it. */
class Tlb implements TlbOps {
  readonly cached: Map<bigint, Leaf> = new Map();
  readonly pages: IommuPages;
  constructor(pages: IommuPages) {
    this.pages = pages;
  }

  fill(leaf: Leaf): void {
    const first = leaf.pa - (leaf.pa % leaf.bytes);
    // An entry that says something else about the same page is a TLB conflict: the table broke the rules.
    for (const old of this.cached.values())
      if (old.va < leaf.va + leaf.bytes && leaf.va < old.va + old.bytes) {
        const same = leaf.pa - (leaf.pa % leaf.bytes) - leaf.va === old.pa - old.va;
        if (!same || old.bytes !== leaf.bytes) throw new Error(`TLB conflict at ${leaf.va.toString(16)}`);
      }
    this.cached.set(leaf.va, { ...leaf, pa: first });
  }

  forget(start: number, bytes: number): void {
    for (const [va, leaf] of this.cached)
      if (Number(leaf.va) < start + bytes && start < Number(leaf.va + leaf.bytes)) this.cached.delete(va);
  }

  flushAll(): void {
    this.cached.clear();
  }

  flushWalk(iova: number, bytes: number): void {
    this.forget(iova, bytes);
  }

  sync(gather: IotlbGather): void {
    if (gather.pageBytes !== 0) this.forget(gather.start, gather.last - gather.start + 1);
    gather.reset();
    this.pages.putPagesList(gather.freelist);
    this.checkTables();
  }

  /** No cached entry may depend on a table that is gone. */
  checkTables(): void {
    for (const { tables } of this.cached.values())
      for (const table of tables) if (!this.pages.isLive(Number(table))) throw new Error('a freed table is cached');
  }
}

const shapes: readonly (Shape & Partial<PgtableOptions>)[] = [
  { stage: 1, granuleShift: 12, iasBits: 48, oasBits: 48 },
  { stage: 1, granuleShift: 14, iasBits: 47, oasBits: 48 },
  { stage: 1, granuleShift: 16, iasBits: 48, oasBits: 52 },
  { stage: 1, granuleShift: 12, iasBits: 48, oasBits: 48, quirks: { ttbr1: true } },
  { stage: 2, granuleShift: 12, iasBits: 40, oasBits: 40 },
  { stage: 2, granuleShift: 14, iasBits: 40, oasBits: 48, concatenate: true },
  { stage: 2, granuleShift: 12, iasBits: 52, oasBits: 52 },
];

const behaviours: readonly Partial<PgtableOptions>[] = [
  {},
  { contiguous: true, partialUnmap: 'split', bbmLevel: 0, checkBreakBeforeMake: true },
  { contiguous: true, partialUnmap: 'split', bbmLevel: 1, checkBreakBeforeMake: true },
];

/** Random operations in a small place, with `between` called whenever hardware may have a look. */
function work(
  table: ArmPageTable,
  tlb: Tlb,
  options: Shape & Partial<PgtableOptions>,
  seed: number,
  operations: number,
  around: (touched: readonly [number, number], operation: () => void, map: IntervalMap) => void,
): void {
  const random = new Random(seed);
  const map = new IntervalMap();
  const base = baseOf(options);
  const [page, block] = table.pageSizes as [number, number];
  const gather = table.newGather((full) => tlb.sync(full));
  for (let i = 0; i < operations; i++) {
    const bytes = random.below(4) === 0 ? block : page;
    const area = random.below(2) * block * 2;
    const va = area + random.below(bytes === page ? 40 : 2) * bytes;
    const count = random.below(bytes === page ? 40 : 2) + 1;
    const end = va + bytes * count;
    // Unmapping may change the rest of runs and blocks around; what they map stays, but for BBM level 0.
    const touched = [va - (va % block), Math.ceil(end / block) * block] as const;
    around(
      touched,
      () => {
        if (random.below(2) === 0) {
          const pa = random.below(2) === 0 ? va : va + bytes * 3;
          try {
            table.mapPages(base + va, pa, bytes, count, RW);
            map.add({ start: va, end, pa, prot: RW, leafBytes: bytes });
          } catch (error) {
            if ((error as IommuError).code !== 'EEXIST') throw error;
          }
        } else {
          const done = table.unmapPages(base + va, bytes, count, gather);
          map.remove(va, va + done);
          tlb.sync(gather);
        }
      },
      map,
    );
  }
}

describe('a walker between any two stores finds the old state or the new, and its cache never lies', () => {
  for (const shape of shapes)
    it.each(behaviours.map((behaviour, i) => [i, behaviour] as const))(
      `${shapeName(shape)}, behaviour %i`,
      (i, behaviour) => {
        const { pages, memory } = board();
        const tlb = new Tlb(pages);
        const options = { ...shape, ...behaviour };
        const table = allocPgtable({ ...options, pages, memory, tlb });
        const regime = regimeOf(table, shape.stage);
        const base = baseOf(shape);
        const random = new Random(77 + i);
        const [page, block] = table.pageSizes as [number, number];
        let looks = 0;
        work(table, tlb, options, i, 150, (touched, operation, map) => {
          const before = new IntervalMap();
          before.list.push(...map.list.map((one) => ({ ...one })));
          memory.observer = () => {
            memory.observer = null;
            const at = random.below(4) === 0 ? random.below(2 ** 20) * page : random.below(6 * (block / page)) * page;
            const va = at % 2 ** shape.iasBits;
            const leaf = translate(memory, regime, BigInt(base) + BigInt(va));
            looks += 1;
            for (const step of leaf?.tables ?? [])
              if (!pages.isLive(Number(step))) throw new Error('walked through a table that is not allocated');
            const outside = va < touched[0] || va >= touched[1];
            if (outside) expect(leaf === undefined ? -1 : Number(leaf.pa)).toBe(before.get(va));
            if (leaf !== undefined) tlb.fill(leaf);
            memory.observer = observer;
          };
          const { observer } = memory;
          operation();
          memory.observer = null;
          // What is still cached is still true.
          for (const { va, pa } of tlb.cached.values()) expect(map.get(Number(va - BigInt(base)))).toBe(Number(pa));
        });
        expect(looks).toBeGreaterThan(500);
        const all = leaves(memory, regime).leaves;
        expect(all.every(({ va, pa }) => table.iovaToPhys(Number(va)) === Number(pa))).toBe(true);
        tlb.flushAll();
        table.free();
        expect(pages.livePages).toBe(0);
      },
    );
});

describe('one store is seen at a time, in an order that a walker can follow', () => {
  it('a new table is linked from above only when it is zeroed, and lower ones when the upper are there', () => {
    const { pages, memory } = board();
    const table = allocPgtable({ pages, memory, stage: 1, granuleShift: 12, iasBits: 48, oasBits: 48 });
    const seen: string[] = [];
    memory.observer = (pa, bytes) => {
      const way = table.walk(0);
      seen.push(`${bytes === 8 ? 'entry' : 'zeroed'} ${way.map(({ kind }) => kind).join(' ')}`);
      expect(bytes === 8 || way.every(({ tablePa }) => tablePa !== pa)).toBe(true);
    };
    table.mapPages(0, 0, 4096, 2, RW);
    expect(seen).toEqual([
      'zeroed invalid',
      'entry table invalid',
      'zeroed table invalid',
      'entry table table invalid',
      'zeroed table table invalid',
      'entry table table table invalid',
      'entry table table table page',
      'entry table table table page',
    ]);
  });

  it('each entry of a run is one store of 8 bytes, in order', () => {
    const { pages, memory } = board();
    const table = allocPgtable({ pages, memory, stage: 1, granuleShift: 12, iasBits: 48, oasBits: 48 });
    const first = table.entryAt(0, true);
    const stores: [number, number][] = [];
    memory.observer = (pa, bytes) => stores.push([pa, bytes]);
    table.mapPages(0, 0, 4096, 3, RW);
    table.unmapPages(0, 4096, 1);
    table.unmapPages(4096, 4096, 2);
    expect(stores).toEqual([0, 1, 2, 0, 1, 2].map((i) => [first + 8 * i, 8]));
  });
});

/** A board whose walkers do not snoop: they have a memory of their own, and a sync copies. */
function remoteBoard(failing = false) {
  const regions = [{ base: 2 ** 30, size: 2 ** 24 }];
  const cpu = new SystemMemory(regions);
  const device = new SystemMemory(regions);
  // What a device finds in memory before the CPU has ever written there is not zero.
  for (let pa = 2 ** 30; pa < 2 ** 30 + 2 ** 24; pa += 2 ** 21) {
    const at = device.at(pa);
    device.words.fill(0xffff_ffff, at, at + 2 ** 19);
  }
  const frames = new FrameAllocator(2 ** 30, 2 ** 24);
  const dma = new NonCoherentDma(cpu, device);
  const coherence = Object.assign(dma, failing ? { map: () => -1 } : {});
  const pages = new IommuPages({ memory: cpu, frames: [frames], coherence });
  return { cpu, device, frames, pages, dma };
}

describe('a walker that does not snoop finds everything that was done, and nothing that was not', () => {
  it.each(shapes.map((shape) => [shapeName(shape), shape] as const))('%s', (_, shape) => {
    for (const [i, behaviour] of behaviours.entries()) {
      const { cpu, device, pages } = remoteBoard();
      const tlb = new Tlb(pages);
      const options = { ...shape, ...behaviour };
      const table = allocPgtable({ ...options, pages, tlb });
      const regime = regimeOf(table, shape.stage);
      const view = (memory: PhysicalMemory): string =>
        leaves(memory, regime)
          .leaves.map(({ va, descriptor }) => `${va} ${descriptor}`)
          .join();
      let operations = 0;
      work(table, tlb, options, i, 60, (_touched, operation) => {
        operation();
        if (++operations % 4 === 0) expect(view(device) === view(cpu)).toBe(true);
      });
      tlb.flushAll();
      table.free();
      expect(pages.livePages).toBe(0);
    }
  });

  it('a table is cleaned before it is linked: what was in its memory is never walked', () => {
    const { cpu, device, pages } = remoteBoard();
    const table = allocPgtable({ pages, stage: 1, granuleShift: 12, iasBits: 48, oasBits: 48 });
    const regime = regimeOf(table, 1);
    cpu.observer = () => {
      cpu.observer = null;
      expect(translate(device, regime, 0x5000n)).toBe(undefined);
      cpu.observer = observer;
    };
    const { observer } = cpu;
    table.entryAt(0, true);
    cpu.observer = null;
    table.mapPages(0x5000, 0x7000, 4 * KIB, 1, RW);
    expect(Number(translate(device, regime, 0x5000n)!.pa)).toBe(0x7000);
  });

  it('the sync bit says that an entry to a table was made visible; one without it is synced again', () => {
    const { cpu, device, pages, dma } = remoteBoard();
    const table = allocPgtable({ pages, stage: 1, granuleShift: 12, iasBits: 48, oasBits: 48 });
    table.entryAt(0, true);
    const way = table.walk(0);
    for (const { kind, hi } of way) expect((hi & (1 << 23)) !== 0).toBe(kind === 'table');
    // As if another CPU had stored the entry and not come to its sync: the device has it not.
    const { entryPa, lo, hi } = way[1]!;
    cpu.write64(entryPa, lo, hi & ~(1 << 23));
    device.write64(entryPa, 0, 0);
    table.mapPages(2 ** 21, 0, 4 * KIB, 1, RW);
    expect(translate(device, regimeOf(table, 1), 2n ** 21n)).toBeDefined();
    const before = dma.syncedBytes;
    table.mapPages(2 ** 21 + 4 * KIB, 0, 4 * KIB, 1, RW);
    expect(dma.syncedBytes - before).toBe(8 + 8); // the entry that has no bit, and the page
  });

  it('syncs a run of entries at once, and nothing beside', () => {
    const { pages, dma } = remoteBoard();
    const table = allocPgtable({ pages, stage: 1, granuleShift: 12, iasBits: 48, oasBits: 48 });
    table.entryAt(0, true);
    const before = dma.syncedBytes;
    table.mapPages(0, 0, 4 * KIB, 100, RW);
    expect(dma.syncedBytes - before).toBe(800);
    table.unmapPages(0, 4 * KIB, 100);
    expect(dma.syncedBytes - before).toBe(1600);
  });

  it('dirty state that the walker wrote is fetched before it is judged', () => {
    const { device, pages } = remoteBoard();
    const table = allocPgtable({ pages, stage: 1, granuleShift: 12, iasBits: 48, oasBits: 48, quirks: { hd: true } });
    table.mapPages(0, 0, 4 * KIB, 1, RW);
    expect(table.readAndClearDirty(0, 4 * KIB, () => {})).toBe(1);
    const { entryPa, lo, hi } = table.walk(0).at(-1)!;
    device.write64(entryPa, lo & ~0x80, hi);
    expect(table.readAndClearDirty(0, 4 * KIB, () => {})).toBe(1);
    expect(table.readAndClearDirty(0, 4 * KIB, () => {})).toBe(0);
  });

  it('a table that the walker cannot reach is given back', () => {
    const { pages } = remoteBoard(true);
    expect(() => allocPgtable({ pages, stage: 1, granuleShift: 12, iasBits: 48, oasBits: 48 })).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    );
    expect(pages.livePages).toBe(0);
  });

  it('tables on a list are no longer in non-coherent use', () => {
    const { pages } = remoteBoard();
    const table = allocPgtable({ pages, stage: 1, granuleShift: 12, iasBits: 48, oasBits: 48 });
    table.entryAt(0, true);
    const list: IommuPagesList = table.newGather().freelist;
    table.detachTables(0, 2 ** 21 - 1, list);
    pages.putPagesList(list);
    expect(pages.livePages).toBe(3);
  });
});

describe('memory may run out at any allocation', () => {
  it.each(shapes.map((shape) => [shapeName(shape), shape] as const))('%s', (_, shape) => {
    const { pages, memory, frames } = board();
    for (let nth = 0; ; nth++) {
      const start = frames.allocations;
      frames.fail = (now) => now === start + nth;
      let failed = false;
      const attempt = (call: () => void): void => {
        try {
          call();
        } catch (error) {
          expect((error as IommuError).code).toBe('ENOMEM');
          failed = true;
        }
      };
      let table: ArmPageTable | undefined;
      attempt(() => (table = allocPgtable({ ...shape, pages, memory, partialUnmap: 'split' })));
      if (table !== undefined) {
        const made = table;
        const base = baseOf(shape);
        const regime = regimeOf(made, shape.stage);
        const [page, block] = made.pageSizes as [number, number];
        const list = made.newGather().freelist;
        attempt(() => made.mapPages(base, block, block, 2, RW));
        attempt(() => made.mapPages(base + block * 3 - page * 2, 0, page, 4, RW));
        attempt(() => made.unmapPages(base + page, page, 1));
        attempt(() => made.entryAt(base + block * 9, true));
        // Nothing half done: what is there can be walked, and looks as the table says.
        for (const { va, pa } of leaves(memory, regime).leaves) expect(made.iovaToPhys(Number(va))).toBe(Number(pa));
        expect(list.empty).toBe(true);
        made.free();
      }
      expect(pages.livePages).toBe(0);
      expect(frames.freeFrames).toBe(frames.totalFrames);
      if (!failed) {
        expect(nth).toBeGreaterThan(2);
        break;
      }
    }
  });
});
