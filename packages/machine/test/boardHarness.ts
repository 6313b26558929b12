/** A process on a board, and a queue of its own, for tests that let things go wrong. */
import type { Mm } from '@smmu/arm64-mm';
import { expect } from 'vitest';
import {
  Board,
  type BoardOptions,
  type Completion,
  JOB_OP,
  type Job,
  JobRing,
  type Left,
  type UserQueue,
} from '../src/index.ts';

/** What nothing in use looks like. */
export const NOTHING_LEFT: Left = {
  tablePages: 0,
  pasids: 0,
  pinnedAsids: 0,
  pendingFaults: 0,
  processes: 0,
  frames: 0,
};

export class BoardHarness {
  readonly board: Board;
  readonly idle: Left;
  readonly mm: Mm;
  readonly ring: JobRing;
  readonly queue: UserQueue;
  readonly granule: number;
  readonly log: string[] = [];
  #news = false;

  constructor(options: Partial<BoardOptions> = {}, log2Entries = 6) {
    this.board = new Board({
      memoryBytes: 2 ** 26,
      granule: '4k',
      engine: () => -1,
      log: (line) => this.log.push(line),
      ...options,
    });
    this.idle = this.board.left();
    this.mm = this.board.createProcess('test');
    this.granule = 2 ** this.mm.granuleShift;
    this.ring = new JobRing(this.mm, log2Entries);
    this.queue = this.board.driver.openQueue(this.mm, this.ring.ring, log2Entries, () => {
      this.#news = true;
    });
    this.ring.connect(this.queue.doorbell);
  }

  /** A copy job, submitted. */
  copy(job: Partial<Job>): number {
    const number = this.ring.push({
      op: JOB_OP.COPY,
      source: 0,
      sourceBytes: 4096,
      destination: 0,
      destinationBytes: 2 ** 18,
      ...job,
    });
    this.ring.ringDoorbell();
    return number;
  }

  /** Lets everything happen until a job has ended. */
  finish(job: number): Completion {
    let completion = this.ring.poll(job);
    this.board.scheduler.run(() => {
      if (this.#news) completion = this.ring.poll(job);
      this.#news = false;
      return completion !== undefined;
    });
    expect(completion, `job ${job} never ended`).toBeDefined();
    return completion!;
  }

  /** Lets only hardware go on, as while the CPU is busy, until so many transactions have stalled. */
  stall(transactions: number): void {
    const { scheduler, model } = this.board;
    expect(scheduler.spin(() => model.stats.stalled >= transactions, 1e9)).toBe(true);
  }

  /** Anonymous memory. */
  memory(bytes: number, write = true): number {
    return this.mm.mmap({ bytes, kind: 'anonymous', read: true, write });
  }

  /** The events that the SMMU has recorded, by name. */
  get events(): Readonly<Record<string, number>> {
    return this.board.model.stats.events;
  }

  /** Ends the process and expects that everything is as before it, and that nothing at all is left after power off. */
  end({ closed = false }: { closed?: boolean } = {}): void {
    const { board, mm } = this;
    if (!closed) board.driver.closeQueue(this.queue);
    mm.exit();
    board.scheduler.run();
    expect(board.left()).toEqual(this.idle);
    expect(board.shutdown()).toEqual(NOTHING_LEFT);
    expect(board.scheduler.run(() => false)).toBe(false);
    expect(board.scheduler.idle).toBe(true);
  }
}
