import type { Outcome, Scenario } from './scenario.ts';

/** An SMMU that scenarios run on. */
export interface Target {
  readonly name: string;
  /** Runs a scenario from a clean state and says all that can be seen of it. */
  run(scenario: Scenario): Outcome;
}
