import { bench, describe } from 'vitest';
import { IovaDomain } from './index.ts';

const PAGE = 4096;
const COUNT = 2 ** 16;
const domain = (): IovaDomain => new IovaDomain({ granuleBytes: PAGE, startPfn: 1, last: 2 ** 48 - 1 });
/** A fixed, shuffled order: the same work in every round. */
const shuffled = (i: number, log2: number): number => (log2 === 0 ? 0 : Math.imul(i, 0x9e3779b1) >>> (32 - log2));

describe(`${COUNT} operations`, () => {
  bench('alloc 4K in a row', () => {
    const d = domain();
    for (let i = 0; i < COUNT; i++) d.alloc(PAGE);
  });

  for (const sizes of ['4K', 'mixed'] as const)
    for (const log2Live of [4, 8, 13, 16, 20]) {
      const d = domain();
      const bytes = Float64Array.from({ length: 2 ** log2Live }, (_, i) =>
        sizes === '4K' ? PAGE : PAGE << (shuffled(i, 32) % 6),
      );
      const live = bytes.map((each) => d.alloc(each));
      bench(`free + alloc, ${sizes}, 2^${log2Live} live`, () => {
        for (let i = 0; i < COUNT; i++) {
          const [a, b] = [shuffled(i, log2Live), shuffled(i + COUNT, log2Live)];
          d.free(live[a]!, bytes[a]!);
          bytes[a] = sizes === '4K' ? PAGE : PAGE << (b % 6);
          live[a] = d.alloc(bytes[a]!);
        }
      });
    }

  const cached = domain();
  bench('alloc + free through a magazine', () => {
    for (let i = 0; i < COUNT; i++) cached.freeFast(cached.allocFast(PAGE), PAGE);
  });
});
