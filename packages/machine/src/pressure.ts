import type { MemoryManager } from '@smmu/arm64-mm';
import type { DmaPort, DmaRequest, DmaStatus, Random, Scheduler } from '@smmu/platform';

/**
 * Takes random resident pages away while a device works: `every` pages after each `every`-th DMA transaction, as a task
 * of the CPU's. What memory pressure does now and then, done all the time.
 */
export class ReclaimPressure implements DmaPort {
  /** Pages taken away. */
  taken = 0;
  readonly #port: DmaPort;
  readonly #scheduler: Scheduler;
  readonly #manager: MemoryManager;
  readonly #random: Random;
  readonly #every: number;
  #count = 0;
  #owed = 0;

  /** @param random - Decides which pages; its own, so that it shifts nobody else's draws. */
  constructor(port: DmaPort, scheduler: Scheduler, manager: MemoryManager, random: Random, every: number) {
    this.#port = port;
    this.#scheduler = scheduler;
    this.#manager = manager;
    this.#random = random;
    this.#every = every;
  }

  submit(request: DmaRequest): DmaStatus {
    this.#count += 1;
    if (this.#count % this.#every === 0) this.#owe();
    return this.#port.submit(request);
  }

  #owe(): void {
    this.#owed += this.#every;
    if (this.#owed > this.#every) return; // a task is on its way
    this.#scheduler.post('software', () => {
      const pages = this.#owed;
      this.#owed = 0;
      this.taken += this.#manager.reclaimRandom(pages, this.#random);
    });
  }
}
