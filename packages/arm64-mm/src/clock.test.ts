import { Random } from '@smmu/platform';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Clock } from './clock.ts';
import { Page } from './page.ts';

describe('the clock of reclaimable pages', () => {
  it('comes to pages in the order in which they were added, and around again', () => {
    const clock = new Clock();
    expect(clock.hand).toBeNull();
    clock.advance(); // nothing to advance over
    const pages = [1, 2, 3].map((n) => new Page(n * 4096));
    for (const page of pages) clock.add(page);
    const seen = Array.from({ length: 5 }, () => {
      const { pa } = clock.hand!;
      clock.advance();
      return pa / 4096;
    });
    expect(seen).toEqual([1, 2, 3, 1, 2]);
  });
  it('is a queue under any additions, removals and advances, and draws from all of it', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(2), fc.nat(1000)), { maxLength: 100, size: 'max' }), (steps) => {
        const clock = new Clock();
        let queue: Page[] = [];
        const random = new Random(7);
        for (const [kind, n] of steps) {
          if (kind === 0) {
            const page = new Page(n * 4096);
            clock.add(page);
            queue.push(page);
          } else if (kind === 1 && queue.length > 0) {
            const page = queue[n % queue.length]!;
            clock.remove(page);
            queue = queue.filter((other) => other !== page);
          } else {
            clock.advance();
            queue.push(...queue.splice(0, 1));
          }
          expect(clock.size).toBe(queue.length);
          expect(clock.hand).toBe(queue[0] ?? null);
          if (queue.length > 0) expect(queue).toContain(clock.draw(random));
        }
      }),
    );
  });
});
