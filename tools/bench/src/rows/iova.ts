import { IovaDomain } from '@smmu/iova';
import { Random } from '@smmu/platform';
import type { Row, Workload } from '../row.ts';

const PAGE = 4096;
const LIVE = 8192;
const COUNT = 65_536;
const below4G = () => new IovaDomain({ granuleBytes: PAGE, startPfn: 1, last: 2 ** 32 - 1 });

/** Frees a random one of 8Ki live ranges and allocates another of its size. */
function churn(sizeOf: (random: Random) => number): Workload {
  const domain = below4G();
  const random = new Random(1);
  const bytes = Float64Array.from({ length: LIVE }, () => sizeOf(random));
  const live = bytes.map((size) => domain.alloc(size));
  const victims = Uint32Array.from({ length: LIVE }, () => random.below(LIVE));
  return {
    operations: LIVE,
    round() {
      for (let i = 0; i < LIVE; i++) {
        const victim = victims[i]!;
        domain.free(live[victim]!, bytes[victim]!);
        live[victim] = domain.alloc(bytes[victim]!);
      }
    },
  };
}

export const iovaRows: readonly Row[] = [
  {
    name: 'IOVA alloc 4K, 64Ki in a row',
    goal: 110,
    prepare() {
      let domain = below4G();
      return {
        operations: COUNT,
        reset() {
          domain = below4G();
        },
        round() {
          for (let i = 0; i < COUNT; i++) domain.alloc(PAGE);
        },
      };
    },
  },
  { name: 'IOVA free + alloc, 4K, 8Ki live', goal: 900, prepare: () => churn(() => PAGE) },
  {
    name: 'IOVA free + alloc, mixed sizes, 8Ki live',
    goal: 1200,
    prepare: () => churn((random) => PAGE * 2 ** random.below(5)),
  },
  {
    name: 'IOVA alloc + free through a magazine',
    goal: 15,
    prepare() {
      const domain = below4G();
      return {
        operations: COUNT,
        round() {
          for (let i = 0; i < COUNT; i++) domain.freeFast(domain.allocFast(PAGE), PAGE);
        },
      };
    },
  },
];
