/**
 * The PRI queue: page requests of PCIe functions. Those of devices that share processes go to the fault queue; all
 * others are denied, so that the function stops asking.
 * IHI 0070 §8; Linux arm-smmu-v3.c, `arm_smmu_priq_thread`; the series "Shared Virtual Addressing for SMMUv3", patch 24.
 */
import type { IopfFault } from '@smmu/iommu';
import { PRIQ_CONS, PRIQ_ENTRY, PRIQ_PROD, priqLayout } from '@smmu/spec';
import { PRI_RESP_FAILURE } from './commands/priResp.ts';
import type { SmmuDevice } from './device.ts';
import { hexShort64 } from './internal/hex.ts';
import { RateLimit } from './internal/log.ts';
import type { Master } from './master.ts';
import { Queue, queueAdvance, queueOverflow } from './queue.ts';

const REQUEST_WORDS = priqLayout.byteLength / 4;

/** Where page requests go. */
export interface PageRequestSinks {
  readonly find: (sid: number) => Master | undefined;
  /** Takes a request. It will be answered by whoever takes it. */
  readonly report: (master: Master, fault: IopfFault) => void;
  /** Answers a group. `ssid` is -1 if the request had none. */
  readonly respond: (sid: number, ssid: number, groupId: number, response: number) => void;
  /** Requests were lost: what is there of their groups will never be complete. */
  readonly lost: () => void;
}

/** The driver's end of the PRI queue. */
export class PriQueue {
  readonly queue: Queue;
  /** Overflows seen: in each, requests were lost. The SMMU answered the groups that this made incomplete. */
  overflows = 0;
  readonly #smmu: SmmuDevice;
  readonly #sinks: PageRequestSinks;
  readonly #request: Uint32Array = new Uint32Array(REQUEST_WORDS);
  readonly #limit: RateLimit;

  /** @throws IommuError `ENOMEM` if there is no memory for the queue. */
  constructor(smmu: SmmuDevice, log2Entries: number, sinks: PageRequestSinks) {
    this.#smmu = smmu;
    this.#sinks = sinks;
    this.#limit = new RateLimit(smmu.scheduler);
    this.queue = new Queue({
      name: 'priq',
      memory: smmu.memory,
      pages: smmu.pages,
      coherence: smmu.coherence,
      log2Entries,
      entryBytes: REQUEST_WORDS * 4,
    });
  }

  /** Takes all requests that are there. */
  drain(): void {
    const { registers } = this.#smmu;
    const { queue } = this;
    for (;;) {
      queue.prod = registers.read32(PRIQ_PROD.offset);
      const overflowed = queueOverflow(queue.prod) !== queueOverflow(queue.cons);
      if (!overflowed && queue.empty) return;
      while (!queue.empty) {
        queue.read(queue.cons, this.#request);
        queue.cons = queueAdvance(queue.cons, 1, queue.log2Entries);
        this.#handle(this.#request);
      }
      if (overflowed) {
        this.overflows += 1;
        this.#smmu.log('PRIQ overflow detected -- requests lost');
        this.#sinks.lost();
        queue.cons = ((queue.cons & 0x7fff_ffff) | queueOverflow(queue.prod)) >>> 0;
      }
      registers.write32(PRIQ_CONS.offset, queue.cons);
    }
  }

  /** Gives the memory back. */
  free(): void {
    this.queue.free();
  }

  #handle(request: Uint32Array): void {
    const sid = PRIQ_ENTRY.StreamID.get(request, 0);
    const ssid = PRIQ_ENTRY.SSV.get(request, 0) ? PRIQ_ENTRY.SubstreamID.get(request, 0) : -1;
    const groupId = PRIQ_ENTRY.PRGIndex.get(request, 0);
    const last = PRIQ_ENTRY.Last.get(request, 0);
    const read = PRIQ_ENTRY.R.get(request, 0);
    const write = PRIQ_ENTRY.W.get(request, 0);
    const exec = PRIQ_ENTRY.X.get(request, 0);
    const privileged = PRIQ_ENTRY.Priv.get(request, 0);
    const { Addr } = PRIQ_ENTRY;
    const master = this.#sinks.find(sid);
    if (master?.pri) {
      const address = Addr.getHi(request, 0) * 2 ** 32 + Addr.getLo(request, 0);
      this.#sinks.report(master, { pasid: ssid, groupId, address, read, write, exec, privileged, last });
      return;
    }
    if (this.#limit.allow((count) => this.#smmu.log(`page requests: ${count} callbacks suppressed`))) {
      this.#smmu.log('unexpected PRI request received:');
      this.#smmu.log(
        `\tsid 0x${sid.toString(16).padStart(8, '0')}.0x${Math.max(ssid, 0).toString(16).padStart(5, '0')}: [${groupId}${
          last ? 'L' : ''
        }] ${privileged ? '' : 'un'}privileged ${read ? 'R' : ''}${write ? 'W' : ''}${
          exec ? 'X' : ''
        } access at iova ${hexShort64(Addr.getLo(request, 0), Addr.getHi(request, 0))}`,
      );
    }
    if (!last || !(read || write)) return; // a stop marker expects no answer
    this.#sinks.respond(sid, master?.pasidInResponses === false ? -1 : ssid, groupId, PRI_RESP_FAILURE);
  }
}
