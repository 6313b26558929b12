import { IoasidAllocator } from '@smmu/ioasid';
import { Random } from '@smmu/platform';
import type { Row } from '../row.ts';

const COUNT = 65_536;
const RANGE = { min: 1, max: 2 ** 20 - 1 };

function filled(data: boolean): IoasidAllocator<object> {
  const ids = new IoasidAllocator<object>();
  for (let i = 0; i < COUNT; i++) ids.alloc(data ? { ...RANGE, data: ids } : RANGE);
  return ids;
}

function inARow(name: string, goal: number, data: boolean): Row {
  return {
    name,
    goal,
    prepare() {
      let ids = new IoasidAllocator<object>();
      const request = data ? { ...RANGE, data: ids } : RANGE;
      return {
        operations: COUNT,
        reset() {
          ids = new IoasidAllocator<object>();
        },
        round() {
          for (let i = 0; i < COUNT; i++) ids.alloc(request);
        },
      };
    },
  };
}

export const ioasidRows: readonly Row[] = [
  inARow('ID alloc, 64Ki in a row', 10, false),
  inARow('ID alloc with data stored, 64Ki in a row', 28, true),
  {
    name: 'ID free + alloc, random',
    goal: 20,
    prepare() {
      const ids = filled(false);
      const random = new Random(1);
      const victims = Uint32Array.from({ length: COUNT }, () => 1 + random.below(COUNT));
      return {
        operations: COUNT,
        round() {
          for (let i = 0; i < COUNT; i++) {
            ids.put(victims[i]!);
            ids.alloc(RANGE);
          }
        },
      };
    },
  },
];
