/** Values that a trace event carries. */
export type TraceArgs = Readonly<Record<string, string | number | boolean>>;

/** Length in microseconds of the slice at an arrow's end: the clock's step, so that no two slices half overlap. */
const ARROW_END = 0.001;

/** Where in the run an event belongs. Each lane is one line of the picture. */
export type Lane = 'process' | 'driver' | 'cmdq' | 'SMMU' | 'device';
const LANES: readonly Lane[] = ['process', 'driver', 'cmdq', 'SMMU', 'device'];

/**
 * Writes a run as Chrome trace events, which Perfetto and chrome://tracing open. Times are virtual.
 *
 * Whoever can be traced holds a `Trace | undefined` and writes `trace?.instant(…)`: when it is off, its arguments are
 * not even computed.
 */
export class Trace {
  readonly #write: (text: string) => void;
  readonly #clock: { readonly now: number };
  #separator = '[\n';

  /**
   * @param clock - Tells virtual time in nanoseconds.
   * @param write - Takes the JSON text piece by piece.
   */
  constructor(clock: { readonly now: number }, write: (text: string) => void) {
    this.#clock = clock;
    this.#write = write;
    for (const [i, lane] of LANES.entries()) {
      this.#event({ name: 'thread_name', ph: 'M', pid: 1, tid: i + 1, args: { name: lane } });
      this.#event({ name: 'thread_sort_index', ph: 'M', pid: 1, tid: i + 1, args: { sort_index: i } });
    }
  }

  /** Something that happened at one instant. */
  instant(lane: Lane, name: string, args?: TraceArgs): void {
    this.#event({ name, ph: 'i', s: 't', ...this.#where(lane, this.#clock.now), args });
  }

  /** Something that took from `start` (virtual nanoseconds) until now. */
  span(lane: Lane, name: string, start: number, args?: TraceArgs): void {
    this.#event({ name, ph: 'X', dur: (this.#clock.now - start) / 1000, ...this.#where(lane, start), args });
  }

  /**
   * A {@link span} that may overlap others of its lane, which viewers draw beside each other.
   * @param id - Tells it from those it overlaps; used once in a run.
   */
  parallelSpan(lane: Lane, name: string, id: number, start: number, args?: TraceArgs): void {
    this.#event({ name, cat: lane, ph: 'b', id, ...this.#where(lane, start), args });
    this.#event({ name, cat: lane, ph: 'e', id, ...this.#where(lane, this.#clock.now) });
  }

  /** The tail of an arrow. `id` joins it with its head; a short slice is drawn for it to start from. */
  arrowFrom(lane: Lane, name: string, id: number, args?: TraceArgs): void {
    this.#event({ name, ph: 'X', dur: ARROW_END, ...this.#where(lane, this.#clock.now), args });
    this.#event({ name, cat: 'arrow', ph: 's', id, ...this.#where(lane, this.#clock.now) });
  }

  /** The head of an arrow that {@link arrowFrom} began. */
  arrowTo(lane: Lane, name: string, id: number, args?: TraceArgs): void {
    this.#event({ name, ph: 'X', dur: ARROW_END, ...this.#where(lane, this.#clock.now), args });
    this.#event({ name, cat: 'arrow', ph: 'f', bp: 'e', id, ...this.#where(lane, this.#clock.now) });
  }

  /** Closes the JSON array. Nothing may be traced afterwards. */
  end(): void {
    this.#write('\n]\n');
  }

  #where(lane: Lane, nanoseconds: number): { pid: number; tid: number; ts: number } {
    return { pid: 1, tid: LANES.indexOf(lane) + 1, ts: nanoseconds / 1000 };
  }

  #event(event: object): void {
    this.#write(this.#separator + JSON.stringify(event));
    this.#separator = ',\n';
  }
}
