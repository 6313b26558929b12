import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { curves, measureCurve } from './curves.ts';
import { measure } from './measure.ts';
import { plot } from './plot.ts';
import { render, renderCurve } from './report.ts';
import type { Workload } from './row.ts';
import { rows } from './rows.ts';
import { GOAL_STEP } from './yardstick.ts';

/** Work that takes a while, told apart by how often each part of it ran. */
function counted(): Workload & { readonly calls: Record<'reset' | 'round' | 'reference', number> } {
  const calls = { reset: 0, round: 0, reference: 0 };
  const spin = (count: number) => {
    let x = 1;
    for (let i = 0; i < count; i++) x = (x * 1103515245 + 12345) | 0;
    return x;
  };
  return {
    calls,
    operations: 10,
    reset: () => {
      calls.reset += 1;
    },
    round: () => {
      calls.round += spin(1000) === 0 ? 2 : 1;
    },
    reference: () => {
      calls.reference += spin(1000) === 0 ? 2 : 1;
    },
  };
}

describe('measure', () => {
  it('scales a goal by the yardstick, and resets before every round', async () => {
    const workload = counted();
    const result = await measure({ name: 'spin', goal: 100, prepare: () => workload }, 9);
    expect(workload.calls.round).toBeGreaterThanOrEqual(9);
    expect(workload.calls.reset).toBe(workload.calls.round);
    expect(workload.calls.reference).toBe(0);
    expect(result.goal).toBeCloseTo((100 * result.step) / GOAL_STEP);
    expect(result.ratio).toBeCloseTo(result.ns / result.goal);
    expect(result.min).toBeLessThanOrEqual(result.ns);
  });
  it('compares with a reference in turns, where a row has one', async () => {
    const workload = counted();
    const row = { name: 'both', goal: { timesReference: 2 }, prepare: () => workload };
    const result = await measure(row, 9);
    expect(workload.calls).toEqual({ reset: 10, round: 10, reference: 10 });
    expect(result.ratio).toBeCloseTo(result.timesReference! / 2);
  });
  it('says so when a reference is missing', async () => {
    const { reference: _, ...workload } = counted();
    const row = { name: 'none', goal: { timesReference: 2 }, prepare: () => workload };
    await expect(measure(row, 9)).rejects.toThrow('needs a reference');
  });
});

describe('rows', () => {
  it('have names that tell them apart', () => {
    expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
  });
  it.each(rows)('still do what they time: $name', ({ prepare }) => {
    const { reset, round, operations } = prepare();
    expect(operations).toBeGreaterThan(0);
    for (let i = 0; i < 2; i++) {
      reset?.();
      round(); // throws if a transaction does not end as it should
    }
  });
});

describe('render', () => {
  it('shows what meets its goal and what does not', () => {
    const row = { name: 'a', ns: 5, min: 4.25, goal: 10, ratio: 0.5, step: 1.7 };
    const slow = { ...row, name: 'b', ns: 2e7, min: 1500, goal: 1e7, ratio: 2, timesReference: 3 };
    const text = stripVTControlCharacters(render(1.7, [row, slow]));
    expect(text).toMatch(/ a +│ +5\.0 │ +4\.3 │ +10\.0 │ +50 % /);
    expect(text).toMatch(/ b: 3\.00 times │ 20 ms │ 1,500 │ +10 ms │ +200 % /);
    expect(text).toContain('1 of 2 goals met');
  });
});

describe.each(curves)('the cost curve of $package', (curve) => {
  it('has a point for every power of two from 16, and is drawn', () => {
    const points = measureCurve(curve, 6);
    expect(points.map(({ live }) => live)).toEqual([16, 32, 64]);
    expect(points.every(({ ns }) => ns > 0)).toBe(true);
    const svg = plot(curve, points, 1.7);
    expect(svg).toMatch(/^<svg [\s\S]*<\/svg>\s*$/);
    expect(svg).toContain(curve.operation);
    expect(stripVTControlCharacters(renderCurve({ ...curve, points }))).toContain('with 64');
  });
});
