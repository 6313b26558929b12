/** One line of the benchmark: a workload and what it may cost. */
export interface Row {
  readonly name: string;
  /**
   * Nanoseconds that one operation may take on a machine whose yardstick step is 1.7 ns; or how many times as long as the
   * workload's own reference a round may take.
   */
  readonly goal: number | { readonly timesReference: number };
  /** Makes the workload. Called once, in a process of its own. */
  readonly prepare: () => Workload;
}

export interface Workload {
  /** Operations that one round does. */
  readonly operations: number;
  /** Puts the state back before each round; not timed. */
  readonly reset?: () => void;
  readonly round: () => void;
  /** The same work done by somebody else, timed in turns with the rounds. */
  readonly reference?: () => void;
}

/** What was measured. All times are nanoseconds of one operation. */
export interface Measured {
  readonly name: string;
  /** Median of the rounds. */
  readonly ns: number;
  readonly min: number;
  /** The goal on this machine: scaled by the yardstick, or by the reference, which ran in the same process. */
  readonly goal: number;
  /** `ns / goal`: 1 or less meets the goal. */
  readonly ratio: number;
  /** The yardstick's step around this row. */
  readonly step: number;
  /** `ns` over the reference's median, for rows that have one. */
  readonly timesReference?: number;
}
