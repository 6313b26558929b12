import { describe, expect, it } from 'vitest';
import { Random } from './random.ts';

const draw = (random: Random, count: number) => Array.from({ length: count }, () => random.next());

describe('Random: the only source of chance', () => {
  it('repeats itself for a seed, also for one beyond 32 bits', () => {
    expect(draw(new Random(5), 8)).toEqual(draw(new Random(5), 8));
    expect(draw(new Random(2 ** 40 + 5), 8)).not.toEqual(draw(new Random(5), 8));
  });
  it('draws unsigned words that fill their range', () => {
    const values = draw(new Random(1), 20_000);
    expect(values.every((v) => Number.isInteger(v) && v >= 0 && v < 2 ** 32)).toBe(true);
    for (let bit = 0; bit < 32; bit++) {
      const ones = values.filter((v) => Math.floor(v / 2 ** bit) % 2 === 1).length;
      expect(Math.abs(ones - 10_000), `bit ${bit}`).toBeLessThan(400); // 5.6 standard deviations
    }
  });
  it('stays below a limit and reaches each value', () => {
    const random = new Random(2);
    const seen = new Set(Array.from({ length: 500 }, () => random.below(7)));
    expect([...seen].sort()).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(random.below(1)).toBe(0);
  });
  it('forks a generator whose draws do not shift its own', () => {
    const [a, b] = [new Random(9), new Random(9)];
    draw(a.fork(), 100);
    b.fork();
    expect(draw(a, 5)).toEqual(draw(b, 5));
  });
});
