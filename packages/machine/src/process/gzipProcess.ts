import type { BackingFile, Mm } from '@smmu/arm64-mm';
import { hex, IommuError, type Scheduler, type Trace, type Va } from '@smmu/platform';
import { JOB_OP, MAX_JOB_BYTES, MAX_RESULT_BYTES } from '../accelerator/layouts.ts';
import type { AcceleratorDriver, UserQueue } from '../kernel/acceleratorDriver.ts';
import { type Completion, JobRing } from './jobRing.ts';

/** A file that a process may also make longer or shorter. */
export interface ResizableFile extends BackingFile {
  /** Sets its size in bytes (`ftruncate`). @throws IommuError (`EIO`, `ENOSPC`) */
  resize(bytes: number): void;
}

export interface GzipProcessOptions {
  readonly mm: Mm;
  readonly driver: AcceleratorDriver;
  readonly scheduler: Scheduler;
  readonly input: BackingFile;
  /** Empty at first. */
  readonly output: ResizableFile;
  /** Bytes of source in a job, at most 256 KiB; that if left out. */
  readonly jobBytes?: number;
  /** Jobs that are under way at a time; 8 if left out. */
  readonly inFlight?: number;
  readonly trace?: Trace | undefined;
}

/** The device could not do a job. */
export class JobFailedError extends IommuError {
  override readonly name = 'JobFailedError';
  readonly completion: Completion;
  constructor(job: number, completion: Completion) {
    const { status, write, address } = completion;
    super('EIO', `job ${job}: ${status}${address === 0n ? '' : ` ${write ? 'writing' : 'reading'} ${hex(address)}`}`);
    this.completion = completion;
  }
}

interface Running {
  readonly job: number;
  /** Where the device puts the member. */
  readonly slot: Va;
}

const LOG2_RING = 6;
/** Room for one member: what 256 KiB can grow to, in whole pages of every granule. */
const SLOT_BYTES = MAX_RESULT_BYTES + 0xc000;
/** A CPU copies about so many bytes in a nanosecond. */
const COPY_BYTES_PER_NS = 8;

/**
 * A process that compresses a file with the accelerator: it maps the input, maps the output, and gives the device plain
 * pointers into both. Each job gives one gzip member; members in a row are a valid file (RFC 1952 §2.2).
 *
 * A member's length is not known before it is there. So the device writes it into a slot further up in the output
 * mapping, and the process moves it down behind the one before as jobs end, in the order of the input. Slots begin where
 * the members before them cannot reach even if they do not compress at all.
 */
export class GzipProcess {
  readonly mm: Mm;
  /** Its queue, from the start on. */
  queue: UserQueue | undefined;
  /** Why it failed. */
  error: unknown;
  done = false;
  /** Source bytes that are compressed and in place, and the bytes that they came to. */
  bytesIn = 0;
  bytesOut = 0;
  /** Page-outs aside, how often it slept. */
  wakeups = 0;
  readonly inputBytes: number;
  readonly #o: GzipProcessOptions;
  readonly #jobBytes: number;
  readonly #inFlight: number;
  readonly #capacity: number;
  readonly #running: Running[] = [];
  readonly #scratch: Uint8Array = new Uint8Array(SLOT_BYTES);
  #ring: JobRing | undefined;
  #input: Va = 0;
  #output: Va = 0;
  #next = 0; // first source byte that no job has been given
  #more = true; // an empty file takes one job, of nothing
  #scheduled = false; // a task will run it
  #inside = false; // it is running, or sleeps inside a system call
  #news = false; // it was woken meanwhile

  /** @throws {@link IommuError} `EINVAL` for a job size or number that the device or the ring cannot take. */
  constructor(options: GzipProcessOptions) {
    const { mm, input, jobBytes = MAX_JOB_BYTES, inFlight = 8 } = options;
    if (!Number.isInteger(jobBytes) || jobBytes < 1 || jobBytes > MAX_JOB_BYTES)
      throw new IommuError('EINVAL', `jobs of ${jobBytes} bytes: must be 1 to ${MAX_JOB_BYTES}`);
    if (!Number.isInteger(inFlight) || inFlight < 1 || inFlight > 2 ** LOG2_RING)
      throw new IommuError('EINVAL', `${inFlight} jobs at a time: must be 1 to ${2 ** LOG2_RING}`);
    this.#o = options;
    this.mm = mm;
    this.#jobBytes = jobBytes;
    this.#inFlight = inFlight;
    this.inputBytes = input.size;
    const jobs = Math.max(1, Math.ceil(this.inputBytes / jobBytes));
    this.#capacity = (jobs + 2 * inFlight) * SLOT_BYTES;
  }

  /** Lets the process run. It goes on by itself as the scheduler steps. */
  start(): void {
    this.#scheduled = true;
    this.#o.scheduler.post('software', () => {
      this.#guard(() => this.#open());
      this.#run();
    });
  }

  /** Ends it wherever it is: the address space goes first and the open queue after it, as in Linux `do_exit`. */
  kill(): void {
    this.done = true;
    this.mm.exit();
    this.#closeQueue();
  }

  #open(): void {
    const { mm, driver, input, output, trace } = this.#o;
    if (this.inputBytes > 0)
      this.#input = mm.mmap({ bytes: this.inputBytes, kind: 'private', file: input, read: true, write: false });
    output.resize(this.#capacity);
    this.#output = mm.mmap({ bytes: this.#capacity, kind: 'shared', file: output, read: true, write: true });
    this.#ring = new JobRing(mm, LOG2_RING);
    this.queue = driver.openQueue(mm, this.#ring.ring, LOG2_RING, () => this.#wake());
    this.#ring.connect(this.queue.doorbell);
    trace?.instant('process', 'mapped', {
      input: hex(this.#input),
      output: hex(this.#output),
      ring: hex(this.#ring.ring),
      pasid: this.queue.pasid,
    });
  }

  /** Lets it run soon. A process in a system call is one thread still: it looks again when it comes back. */
  #wake(): void {
    if (this.done || this.#scheduled) return;
    if (this.#inside) {
      this.#news = true;
      return;
    }
    this.#scheduled = true;
    this.wakeups += 1;
    this.#o.scheduler.post('software', () => this.#run());
  }

  /** What it does each time it wakes: takes what is finished, gives the device more, sleeps or ends. */
  #run(): void {
    this.#scheduled = false;
    this.#guard(() => {
      this.#takeFinished();
      this.#submit();
      if (this.#running.length === 0 && !this.#more) this.#finish();
    });
    if (this.#news) this.#wake();
  }

  #takeFinished(): void {
    for (;;) {
      const first = this.#running[0];
      if (first === undefined) return;
      const completion = this.#ring!.poll(first.job);
      if (completion === undefined) break;
      if (completion.status !== 'DONE') throw new JobFailedError(first.job, completion);
      this.#running.shift();
      this.#append(first.slot, completion.bytes);
      this.bytesIn = Math.min(this.inputBytes, this.bytesIn + this.#jobBytes);
    }
    // A job that the device could not tell us of will never complete.
    const lost = this.queue?.errors[0];
    if (lost !== undefined)
      throw new JobFailedError(lost.tag, { status: lost.code, bytes: 0, address: lost.address, write: lost.write });
  }

  /** Moves a member down behind the one before. */
  #append(slot: Va, bytes: number): void {
    const { scheduler, trace, mm } = this.#o;
    const target = this.#output + this.bytesOut;
    if (slot !== target) {
      const start = scheduler.now;
      mm.readBytes(slot, this.#scratch, 0, bytes);
      mm.writeBytes(target, this.#scratch, 0, bytes);
      scheduler.advance(Math.ceil(bytes / COPY_BYTES_PER_NS));
      trace?.span('process', 'append member', start, { bytes, from: hex(slot), to: hex(target) });
    }
    this.bytesOut += bytes;
  }

  #submit(): void {
    const ring = this.#ring!;
    const before = this.#running.length;
    while (this.#more && this.#running.length < this.#inFlight) {
      const bytes = Math.min(this.#jobBytes, this.inputBytes - this.#next);
      const slot = this.#freeSlot();
      const job = ring.push({
        op: JOB_OP.COMPRESS,
        source: bytes === 0 ? 0 : this.#input + this.#next,
        sourceBytes: bytes,
        destination: slot,
        destinationBytes: SLOT_BYTES,
      });
      this.#running.push({ job, slot });
      this.#next += bytes;
      this.#more = this.#next < this.inputBytes;
    }
    if (this.#running.length === before) return;
    this.#o.trace?.instant('process', 'doorbell', { jobs: this.#running.length - before });
    ring.ringDoorbell();
  }

  /** The lowest slot that no running job has and that the members before it cannot reach. */
  #freeSlot(): Va {
    const { granuleShift } = this.mm;
    const granule = 2 ** granuleShift;
    const reach = this.#output + this.bytesOut + this.#running.length * SLOT_BYTES;
    let slot = this.#running.length === 0 ? reach : Math.ceil(reach / granule) * granule;
    const taken = this.#running.map((job) => job.slot).sort((a, b) => a - b);
    for (const other of taken) if (other < slot + SLOT_BYTES && slot < other + SLOT_BYTES) slot = other + SLOT_BYTES;
    return slot;
  }

  /** All members are in place: cuts the file behind the last and lets go of everything. */
  #finish(): void {
    const { scheduler, output, mm, trace } = this.#o;
    this.#closeQueue();
    const start = scheduler.now;
    output.resize(this.bytesOut);
    mm.msync(this.#output, this.bytesOut);
    trace?.span('process', 'write back', start, { bytes: this.bytesOut });
    mm.munmap(this.#output, this.#capacity);
    if (this.inputBytes > 0) mm.munmap(this.#input, this.inputBytes);
    this.#ring!.free();
    this.done = true;
    mm.exit();
  }

  #closeQueue(): void {
    const { queue } = this;
    this.queue = undefined;
    if (queue !== undefined) this.#o.driver.closeQueue(queue);
  }

  /** Runs a part of the process. What goes wrong ends it, as a signal would. */
  #guard(part: () => void): void {
    if (this.done) return;
    this.#inside = true;
    this.#news = false;
    try {
      part();
    } catch (error) {
      this.error = error;
      this.kill();
    } finally {
      this.#inside = false;
    }
  }
}
