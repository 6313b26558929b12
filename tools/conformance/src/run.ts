/** The comparison: written and random scenarios on our model and on every shape of one QEMU, weighed by the ledger. */
import { differences } from './compare.ts';
import { entries } from './ledger/entries.ts';
import { Ledger, type Verdict } from './ledger.ts';
import { ModelTarget } from './modelTarget.ts';
import { offers, posedFeatures } from './posedFeatures.ts';
import { QemuTarget, type Shape } from './qemu/target.ts';
import { randomScenario } from './random/generate.ts';
import type { Outcome, Scenario } from './scenario.ts';
import { written } from './written/index.ts';

/** Counts in the form of `--json`. */
export interface Tally {
  run: number;
  agree: number;
  ledger: number;
  unexplained: number;
}
export interface Unexplained {
  readonly scenario: string;
  readonly shape: Shape;
  readonly tags: readonly string[];
  readonly reasons: readonly string[];
}
export interface ComparisonResult {
  readonly written: Tally;
  readonly random: Tally;
  /** Scenarios by ledger entry. */
  readonly entries: Readonly<Record<string, number>>;
  readonly unexplained: readonly Unexplained[];
  /** Hand-written scenarios whose expected result is not what our model does. */
  readonly model: readonly Unexplained[];
  readonly shapes: readonly Shape[];
}

const MOST_KEPT = 500;

export interface ComparisonOptions {
  readonly binary: string;
  readonly version: string;
  readonly shapes: readonly Shape[];
  readonly seed: number;
  readonly count: number;
  /** Only hand-written scenarios whose name contains this. */
  readonly only: string;
  readonly progress: (text: string) => void;
}

/** Whether a scenario programs a two-level stream table: QEMU never forgets that, so such scenarios get a QEMU of their own. */
export const usesTwoLevels = (scenario: Scenario): boolean =>
  scenario.steps.some((step) => step.do === 'write' && step.offset === 0x88 && ((step.value >>> 16) & 3) === 1);

/** One shape of QEMU's SMMU beside our model posing as it. */
class Pair {
  readonly shape: Shape;
  readonly model: ModelTarget;
  readonly features: ReturnType<typeof posedFeatures>;
  readonly #linear: QemuTarget;
  readonly #twoLevel: QemuTarget;

  constructor(shape: Shape, linear: QemuTarget, twoLevel: QemuTarget) {
    this.shape = shape;
    this.#linear = linear;
    this.#twoLevel = twoLevel;
    this.features = posedFeatures(linear.id);
    this.model = new ModelTarget(this.features);
  }
  static async start(binary: string, shape: Shape): Promise<Pair> {
    const linear = await QemuTarget.start(binary, shape);
    try {
      return new Pair(shape, linear, await QemuTarget.start(binary, shape));
    } catch (error) {
      linear.close();
      throw error;
    }
  }
  async run(scenario: Scenario): Promise<{ ours: Outcome; found: ReturnType<typeof differences> }> {
    const ours = this.model.run(scenario);
    const target = usesTwoLevels(scenario) ? this.#twoLevel : this.#linear;
    const theirs = target.run(scenario);
    await target.revive();
    return { ours, found: differences(scenario, ours, theirs) };
  }
  close(): void {
    this.#linear.close();
    this.#twoLevel.close();
  }
}

export async function compare(options: ComparisonOptions): Promise<ComparisonResult> {
  const ledger = new Ledger(entries, options.version);
  const results = { written: tally(), random: tally() };
  const used: Record<string, number> = {};
  const unexplained: Unexplained[] = [];
  const model: Unexplained[] = [];
  const keep = (list: Unexplained[], scenario: Scenario, shape: Shape, reasons: readonly string[]): void => {
    if (list.length < MOST_KEPT) list.push({ scenario: scenario.name, shape, tags: scenario.tags, reasons });
  };
  const count = (to: Tally, verdict: Verdict, scenario: Scenario, shape: Shape): void => {
    to.run++;
    to[verdict.kind]++;
    for (const id of verdict.entries) used[id] = (used[id] ?? 0) + 1;
    if (verdict.kind === 'unexplained') keep(unexplained, scenario, shape, verdict.reasons);
  };
  for (const [number, shape] of options.shapes.entries()) {
    const pair = await Pair.start(options.binary, shape);
    try {
      const chosen = written.filter(({ name, needs }) => name.includes(options.only) && offers(pair.features, needs));
      for (const [i, scenario] of chosen.entries()) {
        if (i % 50 === 0) await breathe(options, `${shape}: ${i} of ${chosen.length} written scenarios`);
        const { ours, found } = await pair.run(scenario);
        const wrong = differences(scenario, scenario.expect!, ours);
        if (wrong.length > 0)
          keep(
            model,
            scenario,
            shape,
            wrong.map(({ kind, detail }) => `${kind}: ${detail}`),
          );
        count(results.written, ledger.judge(scenario, found), scenario, shape);
      }
      // Random scenarios are divided among the shapes.
      const share = Math.floor((options.count + number) / options.shapes.length);
      for (let i = 0; i < share; i++) {
        if (i % 100 === 0) await breathe(options, `${shape}: ${i} of ${share} random scenarios`);
        const scenario = randomScenario(options.seed, i, pair.features);
        const { found } = await pair.run(scenario);
        count(results.random, ledger.judgeRandom(scenario, found), scenario, shape);
      }
    } finally {
      pair.close();
    }
  }
  options.progress('');
  return { ...results, entries: used, unexplained, model, shapes: options.shapes };
}

/** Says how far it is, and lets signals through: everything else here waits for pipes. */
async function breathe(options: ComparisonOptions, text: string): Promise<void> {
  options.progress(text);
  await new Promise((done) => setImmediate(done));
}

const tally = (): Tally => ({ run: 0, agree: 0, ledger: 0, unexplained: 0 });
