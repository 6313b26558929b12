import { Bench } from 'tinybench';
import type { Measured, Row, Workload } from './row.ts';
import { GOAL_STEP, yardstick } from './yardstick.ts';

interface Times {
  readonly median: number;
  readonly min: number;
}

/** Runs one row in this process, between two runs of the yardstick. */
export async function measure({ name, goal, prepare }: Row, rounds: number): Promise<Measured> {
  const workload = prepare();
  const before = yardstick();
  if (typeof goal === 'number') {
    const { median, min } = await timeRounds(name, workload, rounds);
    const step = (before + yardstick()) / 2;
    const scaled = (goal * step) / GOAL_STEP;
    return { name, ns: median, min, goal: scaled, ratio: median / scaled, step };
  }
  const { ours, reference } = timeInTurns(workload, rounds);
  const step = (before + yardstick()) / 2;
  const allowed = goal.timesReference * reference.median;
  const timesReference = ours.median / reference.median;
  return { name, ns: ours.median, min: ours.min, goal: allowed, ratio: ours.median / allowed, step, timesReference };
}

async function timeRounds(name: string, { operations, reset, round }: Workload, rounds: number): Promise<Times> {
  const bench = new Bench({ time: 0, iterations: rounds, warmupTime: 0, warmupIterations: 4, throws: true });
  bench.add(name, round, { async: false, ...(reset && { beforeEach: reset }) }); // else it would try a round first, without reset
  const [task] = await bench.run();
  const { result } = task!;
  if (result.state !== 'completed') throw new Error(`${name} did not complete: ${result.state}`);
  const perOperation = (milliseconds: number) => (milliseconds * 1e6) / operations;
  return { median: perOperation(result.latency.p50), min: perOperation(result.latency.min) };
}

/** Both in turns, so that a machine that slows down slows both. One turn each to warm up. */
function timeInTurns({ operations, reset, round, reference }: Workload, rounds: number) {
  if (reference === undefined) throw new Error('a goal of times the reference needs a reference');
  const [ours, theirs]: [number[], number[]] = [[], []];
  for (let i = 0; i <= rounds; i++) {
    reset?.();
    const start = process.hrtime.bigint();
    round();
    const middle = process.hrtime.bigint();
    reference();
    const end = process.hrtime.bigint();
    if (i === 0) continue;
    ours.push(Number(middle - start) / operations);
    theirs.push(Number(end - middle) / operations);
  }
  return { ours: timesOf(ours), reference: timesOf(theirs) };
}

function timesOf(times: number[]): Times {
  times.sort((a, b) => a - b);
  return { median: times[times.length >> 1]!, min: times[0]! };
}
