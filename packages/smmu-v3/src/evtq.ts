/**
 * The event queue: faults that wait for an answer go to the fault queue, the rest to whoever listens, or to the log.
 * IHI 0070 §3.5.4, §7.2 and §7.3; Linux arm-smmu-v3.c, `arm_smmu_evtq_thread` and `arm_smmu_handle_event`.
 *
 * Every stalled transaction is answered by somebody: by the fault queue for devices that it knows, and here, with an
 * abort, for all others.
 */
import type { DeviceFault, IopfFault } from '@smmu/iommu';
import { C_BAD_STE, EVENT, EVENTQ_CONS, EVENTQ_PROD, F_TRANSLATION } from '@smmu/spec';
import type { SmmuDevice } from './device.ts';
import { EVENT_WORDS, eventName, formatEvent } from './eventLog.ts';
import { RateLimit } from './internal/log.ts';
import type { Master } from './master.ts';
import { Queue, queueAdvance, queueOverflow } from './queue.ts';

const RECORD_BYTES = EVENT_WORDS * 4;
/** Records taken before the SMMU is told that their places are free. */
const CONS_EVERY = 64;

/** Where events go. */
export interface EventSinks {
  /** The device that a StreamID means. */
  readonly find: (sid: number) => Master | undefined;
  /** Takes a recoverable fault. Returns false if it had to be refused; it has been answered then. */
  readonly report: (master: Master, fault: IopfFault) => boolean;
  /** Told of an unrecoverable fault. Returns whether somebody knew what to do. */
  readonly unrecoverable: (master: Master, fault: DeviceFault) => boolean;
  /** Ends the stall of a transaction that nobody will see to. */
  readonly abort: (sid: number, stag: number) => void;
}

/** The driver's end of the event queue. */
export class EventQueue {
  readonly queue: Queue;
  /** Overflows seen: in each, records were lost. */
  overflows = 0;
  readonly #smmu: SmmuDevice;
  readonly #sinks: EventSinks;
  readonly #record: Uint32Array = new Uint32Array(EVENT_WORDS);
  readonly #limit: RateLimit;
  readonly #arrived: () => boolean;

  /** @throws IommuError `ENOMEM` if there is no memory for the queue. */
  constructor(smmu: SmmuDevice, log2Entries: number, sinks: EventSinks) {
    this.#smmu = smmu;
    this.#sinks = sinks;
    this.#limit = new RateLimit(smmu.scheduler);
    this.#arrived = () => smmu.registers.read32(EVENTQ_PROD.offset) !== this.queue.prod;
    this.queue = new Queue({
      name: 'evtq',
      memory: smmu.memory,
      pages: smmu.pages,
      coherence: smmu.coherence,
      log2Entries,
      entryBytes: RECORD_BYTES,
    });
  }

  /**
   * Takes all records that are there: what the interrupt's thread does, and whoever must be sure that none is left.
   * @returns Whether there were any.
   */
  drain(): boolean {
    const { registers } = this.#smmu;
    const { queue } = this;
    for (let any = false; ; any = true) {
      const prod = registers.read32(EVENTQ_PROD.offset);
      queue.prod = prod;
      const overflowed = queueOverflow(prod) !== queueOverflow(queue.cons);
      if (overflowed) {
        this.overflows += 1;
        this.#smmu.log('EVTQ overflow detected -- events lost');
      } else if (queue.empty) return any;
      for (let taken = 0; !queue.empty; ) {
        queue.read(queue.cons, this.#record);
        queue.cons = queueAdvance(queue.cons, 1, queue.log2Entries);
        this.#handle(this.#record);
        taken += 1;
        if (taken % CONS_EVERY === 0) registers.write32(EVENTQ_CONS.offset, queue.cons);
      }
      // Same index and wrap as PROD, and its overflow flag: that acknowledges the overflow.
      queue.cons = ((queue.cons & 0x7fff_ffff) | queueOverflow(prod)) >>> 0;
      registers.write32(EVENTQ_CONS.offset, queue.cons);
    }
  }

  /** Lets only hardware run until a record is there. Returns false if none came in that time (virtual nanoseconds). */
  waitForRecord(timeout: number): boolean {
    return this.#smmu.scheduler.spin(this.#arrived, timeout);
  }

  /** Gives the memory back. */
  free(): void {
    this.queue.free();
  }

  #handle(record: Uint32Array): void {
    const code = C_BAD_STE.Code.get(record, 0);
    const sid = C_BAD_STE.StreamID.get(record, 0);
    const master = this.#sinks.find(sid);
    this.#smmu.trace?.instant('driver', `event ${eventName(code)}`, { sid });
    if (code >= EVENT.F_TRANSLATION && code <= EVENT.F_PERMISSION) {
      if (F_TRANSLATION.Stall.get(record, 0)) {
        // A fault at stage 2 is not the process's: its pages are not to blame.
        if (master?.sva && !F_TRANSLATION.S2.get(record, 0)) {
          if (this.#sinks.report(master, stallFault(record))) return;
        } else this.#sinks.abort(sid, F_TRANSLATION.STAG.get(record, 0));
      } else if (master !== undefined && this.#sinks.unrecoverable(master, deviceFault(record, code))) return;
    }
    if (!this.#limit.allow((count) => this.#smmu.log(`events: ${count} callbacks suppressed`))) return;
    for (const line of formatEvent(record, master?.device.name)) this.#smmu.log(line);
  }
}

/** The input address of a record, 4 KiB aligned: exact in a number, whatever its upper bits are. */
const pageOf = (record: Uint32Array): number =>
  F_TRANSLATION.InputAddr.getHi(record, 0) * 2 ** 32 + ((F_TRANSLATION.InputAddr.getLo(record, 0) & 0xffff_f000) >>> 0);

const pasidOf = (record: Uint32Array): number =>
  F_TRANSLATION.SSV.get(record, 0) ? F_TRANSLATION.SubstreamID.get(record, 0) : -1;

function stallFault(record: Uint32Array): IopfFault {
  const read = F_TRANSLATION.RnW.get(record, 0);
  return {
    pasid: pasidOf(record),
    groupId: F_TRANSLATION.STAG.get(record, 0),
    address: pageOf(record),
    read,
    write: !read,
    exec: F_TRANSLATION.InD.get(record, 0),
    privileged: F_TRANSLATION.PnU.get(record, 0),
    last: true,
  };
}

function deviceFault(record: Uint32Array, code: number): DeviceFault {
  const read = F_TRANSLATION.RnW.get(record, 0);
  return {
    pasid: pasidOf(record),
    address: pageOf(record),
    read,
    write: !read,
    exec: F_TRANSLATION.InD.get(record, 0),
    privileged: F_TRANSLATION.PnU.get(record, 0),
    reason: eventName(code),
  };
}
