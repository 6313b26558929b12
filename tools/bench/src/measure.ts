import { Bench } from 'tinybench';
import type { Measured, Row } from './row.ts';
import { GOAL_STEP, yardstick } from './yardstick.ts';

/** Runs one row in this process, between two runs of the yardstick. */
export async function measure({ name, goal, prepare }: Row, rounds: number): Promise<Measured> {
  const { operations, reset, round } = prepare();
  const before = yardstick();
  const bench = new Bench({ time: 0, iterations: rounds, warmupTime: 0, warmupIterations: 4, throws: true });
  bench.add(name, round, reset ? { beforeEach: reset } : {});
  const [task] = await bench.run();
  const step = (before + yardstick()) / 2;
  const result = task!.result;
  if (result.state !== 'completed') throw new Error(`${name} did not complete: ${result.state}`);
  const perOperation = (milliseconds: number) => (milliseconds * 1e6) / operations;
  const ns = perOperation(result.latency.p50);
  const scaled = (goal * step) / GOAL_STEP;
  return { name, ns, min: perOperation(result.latency.min), goal: scaled, ratio: ns / scaled, step };
}
