import type { BackingFile } from '@smmu/arm64-mm';
import { IommuError } from '@smmu/platform';
import { Board, type BoardOptions, type Left } from './board.ts';
import { GzipProcess, type ResizableFile } from './process/gzipProcess.ts';
import { StorageInput, StorageOutput } from './storage.ts';

export interface GzipRunOptions extends BoardOptions {
  readonly input: BackingFile;
  readonly output: ResizableFile;
  /** Bytes of source in a job; 256 KiB if left out. */
  readonly jobBytes?: number;
  /** Jobs under way at a time; 8 if left out. */
  readonly inFlight?: number;
}

/** How far a run has come. */
export interface GzipProgress {
  /** Source bytes that are compressed. */
  readonly bytes: number;
  readonly total: number;
  /** I/O page faults so far. */
  readonly faults: number;
}

/** Everything that a run found out; plain data. Times are virtual nanoseconds. */
export interface GzipFacts {
  readonly seed: number;
  readonly memoryBytes: number;
  readonly binding: {
    /** PCI address. */
    readonly device: string;
    readonly sid: number;
    readonly pasid: number;
    readonly asid: number;
    readonly granule: string;
  };
  readonly jobs: { readonly total: number; readonly byStatus: Readonly<Record<string, number>> };
  readonly faults: {
    /** I/O page faults that the device met. */
    readonly total: number;
    /** How they were answered. */
    readonly success: number;
    readonly invalid: number;
    readonly failure: number;
  };
  readonly pages: {
    /** Bytes of a page, which the other numbers count. */
    readonly bytes: number;
    readonly read: number;
    readonly written: number;
    readonly reclaimed: number;
  };
  readonly dma: { readonly transactions: number; readonly bytes: number };
  readonly iotlb: { readonly hits: number; readonly misses: number };
  readonly walks: number;
  readonly commands: Readonly<Record<string, number>>;
  readonly events: Readonly<Record<string, number>>;
  /** Interrupt messages that the device sent. */
  readonly interrupts: number;
  readonly tablePages: { readonly idle: number; readonly peak: number; readonly end: number };
  readonly left: Left;
  readonly virtualTimeNs: number;
}

/**
 * One file compressed on a board of its own: switch on, run a process, switch off. The caller steps it, so that it can
 * draw a progress bar or stop.
 */
export class GzipRun {
  readonly board: Board;
  readonly process: GzipProcess;
  readonly #seed: number;
  readonly #memoryBytes: number;
  #asid = 0;
  #pasid = 0;

  /** @throws {@link IommuError} as {@link Board} and {@link GzipProcess}. */
  constructor(options: GzipRunOptions) {
    const { input, output, jobBytes, inFlight } = options;
    this.#seed = options.seed ?? 0;
    this.#memoryBytes = options.memoryBytes;
    this.board = new Board(options);
    const { scheduler, driver, trace } = this.board;
    this.process = new GzipProcess({
      ...{ mm: this.board.createProcess('gzip'), driver, scheduler, trace },
      input: new StorageInput(input, scheduler),
      output: new StorageOutput(output, scheduler),
      ...(jobBytes !== undefined && { jobBytes }),
      ...(inFlight !== undefined && { inFlight }),
    });
    this.process.start();
  }

  get progress(): GzipProgress {
    const { bytesIn, inputBytes } = this.process;
    return { bytes: bytesIn, total: inputBytes, faults: this.board.smmu.faultQueue.stats.faults };
  }

  /**
   * Lets one thing happen.
   * @returns Whether the run goes on.
   * @throws whatever ended the process, once it has been cleaned up; {@link IommuError} `EDEADLK` if nothing is left to
   *   happen before it ends.
   */
  step(): boolean {
    const { process, board } = this;
    if (process.queue !== undefined && this.#pasid === 0) {
      this.#pasid = process.queue.pasid;
      this.#asid = process.mm.context.asid;
    }
    if (process.error !== undefined) throw process.error;
    if (process.done) return false;
    if (board.scheduler.step()) return true;
    throw new IommuError('EDEADLK', 'nothing is left to happen, but the process waits');
  }

  /** Ends the process, wherever it is, and switches the board off. */
  abort(): Left {
    if (!this.process.done) this.process.kill();
    return this.#off();
  }

  /** Switches the board off after the run. Says what happened. */
  finish(): GzipFacts {
    const { board } = this;
    const left = this.#off();
    const { stats } = board.model;
    const { counters } = board.manager;
    const iopf = board.smmu.faultQueue.stats;
    const { jobs } = board.accelerator.stats;
    return {
      seed: this.#seed,
      memoryBytes: this.#memoryBytes,
      binding: {
        device: board.device.name,
        sid: board.device.streamIds[0]!,
        pasid: this.#pasid,
        asid: this.#asid,
        granule: board.granule,
      },
      jobs: { total: Object.values(jobs).reduce((sum, count) => sum + count, 0), byStatus: jobs },
      faults: { total: iopf.faults, success: iopf.success, invalid: iopf.invalid, failure: iopf.failure },
      pages: {
        bytes: 2 ** this.process.mm.granuleShift,
        read: counters.pagesRead,
        written: counters.pagesWritten,
        reclaimed: counters.pagesReclaimed,
      },
      dma: { transactions: stats.transactions, bytes: stats.bytes },
      iotlb: { hits: stats.iotlbHits, misses: stats.iotlbMisses },
      walks: stats.walks,
      commands: stats.commands,
      events: stats.events,
      interrupts: board.accelerator.pci.msi.sent,
      tablePages: { idle: board.idleTablePages, peak: board.pages.peakPages, end: board.pages.livePages },
      left,
      virtualTimeNs: board.scheduler.now,
    };
  }

  #off(): Left {
    const left = this.board.shutdown();
    this.board.trace?.end();
    return left;
  }
}
