import { allocPgtable, PROT } from '@smmu/io-pgtable-arm';
import { IoasidAllocator } from '@smmu/ioasid';
import { IovaDomain } from '@smmu/iova';
import { Random } from '@smmu/platform';
import { tableMemory } from './board.ts';

/** What one operation costs while so many objects are live. */
export interface Point {
  readonly live: number;
  readonly ns: number;
}

/** One package's cost curve: an operation repeated beside more and more live objects. */
export interface Curve {
  readonly package: string;
  /** What is repeated. */
  readonly operation: string;
  /** Makes `live` objects and returns how to replace the one with a given number, `0 … live - 1`. */
  readonly prepare: (live: number) => (victim: number) => void;
}

const PAGE = 4096;
const LOG2_FIRST = 4;
const LOG2_LAST = 20;
const OPERATIONS = 2 ** 15;
const ROUNDS = 9;

export const curves: readonly Curve[] = [
  {
    package: 'ioasid',
    operation: 'free an ID and allocate one',
    prepare(live) {
      const ids = new IoasidAllocator();
      const request = { min: 0, max: 2 ** 20 - 1 };
      for (let i = 0; i < live; i++) ids.alloc(request);
      return (victim) => {
        ids.put(victim);
        ids.alloc(request); // the lowest free one: the one that was just freed
      };
    },
  },
  {
    package: 'iommu-pages',
    operation: 'free a 64-byte table and allocate one',
    prepare(live) {
      const { pages } = tableMemory();
      const held = Float64Array.from({ length: live }, () => pages.allocPages(64));
      return (victim) => {
        pages.freePages(held[victim]!);
        held[victim] = pages.allocPages(64);
      };
    },
  },
  {
    package: 'iova',
    operation: 'free a range of 4 KiB and allocate one',
    prepare(live) {
      const domain = new IovaDomain({ granuleBytes: PAGE, startPfn: 1, last: 2 ** 40 - 1 });
      const held = Float64Array.from({ length: live }, () => domain.alloc(PAGE));
      return (victim) => {
        domain.free(held[victim]!, PAGE);
        held[victim] = domain.alloc(PAGE);
      };
    },
  },
  {
    package: 'io-pgtable-arm',
    operation: 'unmap a page of 4 KiB and map one',
    prepare(live) {
      const { pages } = tableMemory();
      const table = allocPgtable({ pages, stage: 1, granuleShift: 12, iasBits: 48, oasBits: 48 });
      const prot = PROT.READ | PROT.WRITE | PROT.CACHE;
      for (let i = 0; i < live; i++) table.mapPages(i * PAGE, i * PAGE, PAGE, 1, prot);
      const gather = table.newGather();
      return (victim) => {
        table.unmapPages(victim * PAGE, PAGE, 1, gather);
        table.mapPages(victim * PAGE, victim * PAGE, PAGE, 1, prot);
      };
    },
  },
];

/** Measures a curve in this process: powers of two of live objects, random victims, median of the rounds. */
export function measureCurve({ prepare }: Curve, log2Last: number = LOG2_LAST): Point[] {
  const random = new Random(1);
  const points: Point[] = [];
  for (let log2 = LOG2_FIRST; log2 <= log2Last; log2++) {
    const live = 2 ** log2;
    const replace = prepare(live);
    const victims = Uint32Array.from({ length: OPERATIONS }, () => random.below(live));
    const times = Array.from({ length: ROUNDS + 2 }, () => {
      const start = process.hrtime.bigint();
      for (let i = 0; i < OPERATIONS; i++) replace(victims[i]!);
      return Number(process.hrtime.bigint() - start) / OPERATIONS;
    }).slice(2); // the first two warm up
    points.push({ live, ns: times.sort((a, b) => a - b)[ROUNDS >> 1]! });
  }
  return points;
}
