import Table from 'cli-table3';
import colour from 'picocolors';
import type { Point } from './curves.ts';
import type { Measured } from './row.ts';

function digits(ns: number): string {
  if (ns >= 1e7) return `${(ns / 1e6).toFixed(0)} ms`;
  return ns < 100 ? ns.toFixed(1) : Math.round(ns).toLocaleString('en');
}

/** The rows as a table for a terminal. */
export function render(step: number, measured: readonly Measured[]): string {
  const table = new Table({
    head: ['workload', 'ns', 'best', 'goal here', 'of goal'].map(colour.bold),
    colAligns: ['left', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [], compact: true },
  });
  for (const { name, ns, min, goal, ratio, timesReference } of measured) {
    const percent = `${Math.round(ratio * 100)} %`;
    const title = timesReference === undefined ? name : `${name}: ${timesReference.toFixed(2)} times`;
    table.push([
      title,
      digits(ns),
      digits(min),
      digits(goal),
      ratio <= 1 ? colour.green(percent) : colour.red(percent),
    ]);
  }
  const met = measured.filter(({ ratio }) => ratio <= 1).length;
  return `${table.toString()}\n${met} of ${measured.length} goals met. Yardstick: ${step.toFixed(2)} ns a step (goals are for 1.7 ns).`;
}

const BARS = '▁▂▃▄▅▆▇█';

/** A curve as a line of bars, from 2^4 live objects on the left to the most on the right. */
export function renderCurve(curve: { package: string; operation: string; points: readonly Point[] }): string {
  const times = curve.points.map(({ ns }) => ns);
  const top = Math.max(...times);
  const bars = times.map((ns) => BARS[Math.min(7, Math.floor((ns / top) * 8))]).join('');
  const [first, last] = [curve.points[0]!, curve.points.at(-1)!];
  const ends = `${digits(first.ns)} ns with ${first.live} live, ${digits(last.ns)} ns with ${last.live.toLocaleString('en')}`;
  return `${colour.bold(curve.package)}: ${curve.operation}\n  ${bars}  ${ends}; see packages/${curve.package}/docs/cost.svg`;
}
