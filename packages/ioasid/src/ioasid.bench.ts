import { bench, describe } from 'vitest';
import { IoasidAllocator, type IoasidRequest } from './index.ts';

const IDS = 2 ** 16;
const any: IoasidRequest = { min: 1, max: 2 ** 20 - 1 };
const owners = Array.from({ length: IDS }, (_, i) => ({ process: i }));

describe(`${IDS} operations`, () => {
  const row = new IoasidAllocator();
  bench(
    'alloc in a row',
    () => {
      for (let i = 0; i < IDS; i++) row.alloc(any);
    },
    {
      setup: (task) => {
        task.opts.beforeEach = () => {
          for (let id = 1; row.liveCount > 0; id++) row.put(id);
        };
      },
    },
  );

  const stored = new IoasidAllocator();
  bench(
    'alloc in a row with data',
    () => {
      for (let i = 0; i < IDS; i++) stored.alloc({ min: 1, max: 2 ** 20 - 1, data: owners[i] });
    },
    {
      setup: (task) => {
        task.opts.beforeEach = () => {
          for (let id = 1; stored.liveCount > 0; id++) stored.put(id);
        };
      },
    },
  );

  for (const log2Live of [4, 8, 12, 16, 20]) {
    const ids = new IoasidAllocator();
    for (let i = 1; i < 2 ** log2Live; i++) ids.alloc(any);
    // A fixed, shuffled order: the same work in every round.
    const order = Int32Array.from({ length: IDS }, (_, i) => Math.imul(i, 0x9e3779b1) >>> (32 - log2Live));
    bench(`put + alloc, random, 2^${log2Live} live`, () => {
      for (let i = 0; i < IDS; i++) {
        const id = order[i]!;
        if (id === 0) continue;
        ids.put(id);
        ids.alloc(any);
      }
    });
  }
});
