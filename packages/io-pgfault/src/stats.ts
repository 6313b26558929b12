/** What a fault queue has seen, since it was made. */
export interface IopfStats {
  /** Faults reported, stop markers not among them. */
  readonly faults: number;
  /** Groups that were handed to a handler. */
  readonly groups: number;
  /** Answers given, by kind. Refused last faults count as `invalid`. */
  readonly success: number;
  readonly invalid: number;
  readonly failure: number;
  /** Answers that came after the group had one, and were dropped. */
  readonly late: number;
  /** Groups that nobody answered in time. */
  readonly timeouts: number;
  /** Partial faults thrown away: on overflow, with their device, or because their group's last fault was refused. */
  readonly discarded: number;
  /** Faults that there was no memory for. */
  readonly outOfMemory: number;
  /** Last faults without a domain that handles them: unknown PASID, no handler, device removed. */
  readonly unhandled: number;
  readonly stopMarkers: number;
}

export type Counters = { -readonly [K in keyof IopfStats]: number };

export const noCounters = (): Counters => ({
  faults: 0,
  groups: 0,
  success: 0,
  invalid: 0,
  failure: 0,
  late: 0,
  timeouts: 0,
  discarded: 0,
  outOfMemory: 0,
  unhandled: 0,
  stopMarkers: 0,
});
