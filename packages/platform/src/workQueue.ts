import { IommuError } from './errors.ts';
import type { Scheduler, Task } from './scheduler.ts';

/** Work that runs later in process context, as Linux `alloc_workqueue` gives it. */
export class WorkQueue {
  readonly name: string;
  readonly #scheduler: Scheduler;
  readonly #ordered: boolean;
  readonly #waiting: (() => void)[] = [];
  #outstanding = 0;
  #running = 0;
  #scheduled = false;

  /** @param ordered - One item at a time, first come first served (`alloc_ordered_workqueue`); else in any order. */
  constructor(scheduler: Scheduler, name: string, ordered = false) {
    this.#scheduler = scheduler;
    this.name = name;
    this.#ordered = ordered;
  }

  /** Items queued or running; delayed ones count once they are due. */
  get outstanding(): number {
    return this.#outstanding;
  }

  /** Runs `work` later. */
  queue(work: () => void): void {
    this.#outstanding += 1;
    if (this.#ordered) {
      this.#waiting.push(work);
      this.#kick();
    } else this.#scheduler.post('software', () => this.#run(work));
  }

  /** Queues `work` after `delay` nanoseconds. Cancel the task to take it back. */
  queueDelayed(work: () => void, delay: number): Task {
    return this.#scheduler.post('software', () => this.queue(work), delay);
  }

  /**
   * Waits until everything queued is done, including what the items queue in turn (Linux `drain_workqueue`).
   * @throws {@link IommuError} `EDEADLK` from inside one of the queue's own items.
   */
  flush(): void {
    if (this.#running > 0)
      throw new IommuError('EDEADLK', `flush of work queue ${this.name} from one of its own items`);
    this.#scheduler.wait(() => this.#outstanding === 0);
  }

  #kick(): void {
    if (this.#scheduled || this.#running > 0 || this.#waiting.length === 0) return;
    this.#scheduled = true;
    this.#scheduler.post('software', () => {
      this.#scheduled = false;
      const work = this.#waiting.shift();
      if (work) this.#run(work);
    });
  }

  #run(work: () => void): void {
    this.#running += 1;
    try {
      work();
    } finally {
      this.#running -= 1;
      this.#outstanding -= 1;
      if (this.#ordered) this.#kick();
    }
  }
}
