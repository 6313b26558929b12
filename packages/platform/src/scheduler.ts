import { IommuError } from './errors.ts';
import { Random } from './random.ts';

/** Who runs a task. A CPU that spins keeps other software out, but the hardware goes on. */
export type TaskKind = 'hardware' | 'software';

/** Something that happens later. Keep it to {@link Scheduler.cancel} it. */
export interface Task {
  readonly run: () => void;
  /** Virtual time in nanoseconds at which it is due. */
  readonly due: number;
}

interface Queued extends Task {
  readonly order: number; // drawn from the seed: decides among tasks that are due together
  readonly sequence: number;
  cancelled: boolean;
}

/**
 * The board's time. Everything that does not happen at once is a task here: an interrupt, a work item, a device's next
 * transaction, a timeout. Tasks run one at a time in the order of their due time; the seed decides among those that are
 * due together. A run is therefore a function of its seed and its inputs.
 *
 * A task may itself wait: {@link spin} lets only hardware run meanwhile (a CPU polling a register), {@link wait} lets
 * everything run (a CPU sleeping in `wait_event`).
 */
export class Scheduler {
  readonly random: Random;
  #now = 0;
  #sequence = 0;
  #hardware: Queued[] = [];
  #software: Queued[] = [];
  /** Tasks run so far. */
  steps = 0;

  /** @param seed - Decides the order of tasks that are due together. */
  constructor(seed = 0) {
    this.random = new Random(seed);
  }

  /** Virtual time in nanoseconds since the board was switched on. */
  get now(): number {
    return this.#now;
  }

  /** Whether nothing is left to do. */
  get idle(): boolean {
    return this.#peek(this.#hardware) === undefined && this.#peek(this.#software) === undefined;
  }

  /**
   * Lets `run` happen `delay` nanoseconds from now.
   * @throws {@link IommuError} `EINVAL` if `delay` is negative or no finite number: the order of tasks hangs on it.
   */
  post(kind: TaskKind, run: () => void, delay = 0): Task {
    if (!(delay >= 0 && delay < Number.POSITIVE_INFINITY))
      throw new IommuError('EINVAL', `a task in ${delay} ns: must be 0 or more, and finite`);
    const task: Queued = {
      run,
      due: this.#now + delay,
      order: this.random.next(),
      sequence: this.#sequence++,
      cancelled: false,
    };
    push(kind === 'hardware' ? this.#hardware : this.#software, task);
    return task;
  }

  /** Takes a task back. It does not run, unless it already has. */
  cancel(task: Task): void {
    (task as Queued).cancelled = true;
  }

  /** Lets virtual time pass without running anything: the cost of what the caller just did. */
  advance(nanoseconds: number): void {
    this.#now += nanoseconds;
  }

  /** Runs the next task. Returns false if there is none. */
  step(): boolean {
    const hardware = this.#peek(this.#hardware);
    const software = this.#peek(this.#software);
    if (hardware !== undefined && (software === undefined || before(hardware, software)))
      return this.#run(this.#hardware);
    return software !== undefined && this.#run(this.#software);
  }

  /** Runs tasks until `done` says so or none is left. Returns whether `done` held. */
  run(done?: () => boolean): boolean {
    while (!done?.()) if (!this.step()) return false;
    return true;
  }

  /** Polls as a CPU does that may not sleep: only hardware tasks run. Returns false after `timeout` nanoseconds. */
  spin(done: () => boolean, timeout: number): boolean {
    return this.#until(done, timeout, true);
  }

  /** Sleeps until `done`: every task may run, also ones that wait in turn. Returns false after `timeout` nanoseconds. */
  wait(done: () => boolean, timeout: number = Number.POSITIVE_INFINITY): boolean {
    return this.#until(done, timeout, false);
  }

  #until(done: () => boolean, timeout: number, hardwareOnly: boolean): boolean {
    const deadline = this.#now + timeout;
    while (!done()) {
      const hardware = this.#peek(this.#hardware);
      const software = hardwareOnly ? undefined : this.#peek(this.#software);
      const queue =
        hardware !== undefined && (software === undefined || before(hardware, software))
          ? this.#hardware
          : this.#software;
      const next = queue === this.#hardware ? hardware : software;
      if (next === undefined || next.due > deadline) {
        if (deadline < Number.POSITIVE_INFINITY) this.#now = Math.max(this.#now, deadline);
        return false;
      }
      this.#run(queue);
    }
    return true;
  }

  #peek(queue: Queued[]): Queued | undefined {
    while (queue.length > 0 && queue[0]!.cancelled) pop(queue);
    return queue[0];
  }

  #run(queue: Queued[]): true {
    const task = pop(queue);
    if (task.due > this.#now) this.#now = task.due;
    this.steps += 1;
    task.run();
    return true;
  }
}

const before = (a: Queued, b: Queued): boolean =>
  a.due !== b.due ? a.due < b.due : a.order !== b.order ? a.order < b.order : a.sequence < b.sequence;

/** A binary heap: parents are before their children. */
function push(heap: Queued[], task: Queued): void {
  let i = heap.length;
  heap.push(task);
  while (i > 0) {
    const parent = (i - 1) >> 1;
    if (!before(task, heap[parent]!)) break;
    heap[i] = heap[parent]!;
    i = parent;
  }
  heap[i] = task;
}

function pop(heap: Queued[]): Queued {
  const top = heap[0]!;
  const last = heap.pop()!;
  if (heap.length === 0) return top;
  let i = 0;
  for (;;) {
    let child = 2 * i + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1;
    if (!before(heap[child]!, last)) break;
    heap[i] = heap[child]!;
    i = child;
  }
  heap[i] = last;
  return top;
}
