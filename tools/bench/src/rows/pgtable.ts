import { type ArmPageTable, allocPgtable, PROT } from '@smmu/io-pgtable-arm';
import { Random } from '@smmu/platform';
import { tableMemory } from '../board.ts';
import type { Row, Workload } from '../row.ts';

const PAGE = 4096;
const PAGES = 2 ** 18; // 1 GiB
const RUN = 256;
const BLOCK = 2 ** 21;
const BLOCKS = 2 ** 14;
const RW = PROT.READ | PROT.WRITE | PROT.CACHE;
/** Where the mappings lead; nothing is there, and nobody looks. */
const TARGET = 2 ** 36;

/** The pages of 1 GiB in random order. */
function shuffled(): Float64Array {
  const random = new Random(1);
  const order = Float64Array.from({ length: PAGES }, (_, i) => i * PAGE);
  for (let i = PAGES - 1; i > 0; i--) {
    const j = random.below(i + 1);
    const held = order[i]!;
    order[i] = order[j]!;
    order[j] = held;
  }
  return order;
}

/** A workload on a table of 4 KiB granule and 4 levels. `fresh`: empty before each round; else 1 GiB is mapped. */
function onTable(operations: number, fresh: boolean, round: (table: ArmPageTable) => void): Workload {
  const { pages } = tableMemory();
  const make = () => allocPgtable({ pages, stage: 1, granuleShift: 12, iasBits: 48, oasBits: 48 });
  const fill = (table: ArmPageTable) => {
    for (let i = 0; i < PAGES; i += 512) table.mapPages(i * PAGE, TARGET + i * PAGE, PAGE, 512, RW);
  };
  let table = make();
  return {
    operations,
    reset() {
      table.free();
      table = make();
      if (!fresh) fill(table);
    },
    round() {
      round(table);
    },
  };
}

/** A workload that only reads a table with 1 GiB mapped. */
function onMapped(operations: number, round: (table: ArmPageTable) => void): Workload {
  const workload = onTable(operations, false, round);
  workload.reset!();
  return { operations, round: workload.round };
}

let sink = 0;

export const pgtableRows: readonly Row[] = [
  {
    name: 'map 4K, 1 GiB in order, fresh tables',
    goal: 14.8,
    prepare: () =>
      onTable(PAGES, true, (table) => {
        for (let i = 0; i < PAGES; i++) table.mapPages(i * PAGE, TARGET + i * PAGE, PAGE, 1, RW);
      }),
  },
  {
    name: 'map 4K, random order',
    goal: 24,
    prepare() {
      const order = shuffled();
      return onTable(PAGES, true, (table) => {
        for (let i = 0; i < PAGES; i++) table.mapPages(order[i]!, TARGET + order[i]!, PAGE, 1, RW);
      });
    },
  },
  {
    name: 'mapPages 256 x 4K, a call',
    goal: 320,
    prepare: () =>
      onTable(PAGES / RUN, true, (table) => {
        for (let i = 0; i < PAGES; i += RUN) table.mapPages(i * PAGE, TARGET + i * PAGE, PAGE, RUN, RW);
      }),
  },
  {
    name: 'map 2M',
    goal: 15,
    prepare: () =>
      onTable(BLOCKS, true, (table) => {
        for (let i = 0; i < BLOCKS; i++) table.mapPages(i * BLOCK, TARGET + i * BLOCK, BLOCK, 1, RW);
      }),
  },
  {
    name: 'iovaToPhys, random over 1 GiB of 4K',
    goal: 18,
    prepare() {
      const order = shuffled();
      return onMapped(PAGES, (table) => {
        for (let i = 0; i < PAGES; i++) sink += table.iovaToPhys(order[i]!);
      });
    },
  },
  {
    name: 'iovaToPhys, in order',
    goal: 12,
    prepare: () =>
      onMapped(PAGES, (table) => {
        for (let i = 0; i < PAGES; i++) sink += table.iovaToPhys(i * PAGE);
      }),
  },
  {
    name: 'unmap 4K, gathered',
    goal: 11.9,
    prepare: () =>
      onTable(PAGES, false, (table) => {
        const gather = table.newGather();
        for (let i = 0; i < PAGES; i++) table.unmapPages(i * PAGE, PAGE, 1, gather);
      }),
  },
  {
    name: 'unmapPages 256 x 4K, gathered, a call',
    goal: 190,
    prepare: () =>
      onTable(PAGES / RUN, false, (table) => {
        const gather = table.newGather();
        for (let i = 0; i < PAGES; i += RUN) table.unmapPages(i * PAGE, PAGE, RUN, gather);
      }),
  },
];

/** Keeps the engine from dropping reads whose result nobody uses. */
export const readSink = (): number => sink;
