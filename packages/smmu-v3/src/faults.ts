/**
 * Everything the SMMU reports about transactions, and the answers: the event and PRI queue, the fault queue behind them,
 * CMD_RESUME and CMD_PRI_RESP.
 * IHI 0070 §3.12, §4.5.2 and §4.7.1; Linux arm-smmu-v3.c `arm_smmu_page_response`, arm-smmu-v3-sva.c
 * `arm_smmu_master_sva_enable_iopf`.
 *
 * A device that shares processes has its faults in the fault queue from {@link Faults.enable} to {@link Faults.disable}.
 */
import { IopfQueue } from '@smmu/io-pgfault';
import { type Iommu, type IommuDriver, type IopfFault, NO_PASID, type PageResponse } from '@smmu/iommu';
import { IommuError } from '@smmu/platform';
import { PRI_RESP_FAILURE, PRI_RESP_INVALID, PRI_RESP_SUCCESS, priResp } from './commands/priResp.ts';
import { resume } from './commands/resume.ts';
import type { SmmuDevice } from './device.ts';
import { EventQueue } from './evtq.ts';
import type { Master, StreamMap } from './master.ts';
import { PriQueue } from './priq.ts';

/** Page requests that a function may have on their way. */
const PRI_REQUESTS = 32;
const PRI_RESPONSES: Readonly<Record<PageResponse, number>> = {
  success: PRI_RESP_SUCCESS,
  invalid: PRI_RESP_INVALID,
  failure: PRI_RESP_FAILURE,
};
/** How long no event may arrive before a stream counts as quiet, in virtual nanoseconds, and how often one may. */
const SETTLE_NS = 10_000;
const MAX_SETTLE_ROUNDS = 4096;

/** What faults need beside the SMMU. */
export interface FaultsOptions {
  readonly iommu: Iommu;
  /** Who sends the answers: the driver that this is a part of. */
  readonly driver: IommuDriver;
  readonly streams: StreamMap;
  readonly evtqLog2: number;
  readonly priqLog2: number;
}

/** The faults of one SMMU. */
export class Faults {
  readonly evtq: EventQueue;
  /** Only of an SMMU with PRI. */
  readonly priq: PriQueue | undefined;
  readonly queue: IopfQueue;
  readonly #smmu: SmmuDevice;
  readonly #iommu: Iommu;
  readonly #driver: IommuDriver;

  /** @throws {@link IommuError} `ENOMEM` if there is no memory for the queues. */
  constructor(smmu: SmmuDevice, { iommu, driver, streams, evtqLog2, priqLog2 }: FaultsOptions) {
    this.#smmu = smmu;
    this.#iommu = iommu;
    this.#driver = driver;
    const find = (sid: number): Master | undefined => streams.find(sid);
    this.queue = new IopfQueue(smmu.scheduler, smmu.name);
    this.evtq = new EventQueue(smmu, evtqLog2, {
      find,
      report: (master, fault) => this.queue.report(master.device, fault),
      unrecoverable: (master, fault) => iommu.reportFault(master.device, fault),
      abort: (sid, stag) => this.#resume(sid, stag, false),
    });
    if (!smmu.features.pri) return;
    try {
      this.priq = new PriQueue(smmu, priqLog2, {
        find,
        report: (master, fault) => void this.queue.report(master.device, fault),
        respond: (sid, ssid, groupId, response) => this.#respond(sid, ssid, groupId, response),
        lost: () => this.queue.discardPartial(),
      });
    } catch (error) {
      this.evtq.free();
      throw error;
    }
  }

  /** Sends the answer to a fault: the stalled transaction is tried again or aborted. */
  answer(master: Master, fault: IopfFault, response: PageResponse): void {
    const sid = master.streamIds[0]!;
    this.#smmu.trace?.instant('driver', `page response ${response}`, { sid, group: fault.groupId });
    const pasid = master.pasidInResponses ? fault.pasid : NO_PASID;
    if (master.pri) this.#respond(sid, pasid, fault.groupId, PRI_RESPONSES[response]);
    else this.#resume(sid, fault.groupId, response === 'success');
  }

  /**
   * Sends a device's faults to the fault queue from now on.
   * @throws {@link IommuError} `EOPNOTSUPP` if it has no recoverable ones, with the reason; what the PCI function threw.
   */
  enable(master: Master): void {
    const whyNot = whyNoFaults(master);
    if (whyNot !== undefined) throw new IommuError('EOPNOTSUPP', whyNot);
    this.queue.addDevice(master.device, this.#driver, this.#iommu);
    if (!master.stall) {
      try {
        master.priPort!.resetPri();
        master.priPort!.enablePri(PRI_REQUESTS);
      } catch (error) {
        this.queue.removeDevice(master.device);
        throw error;
      }
      master.pri = true;
    }
    master.sva = true;
  }

  /** Ends that. */
  disable(master: Master): void {
    if (master.pri) master.priPort!.disablePri();
    this.queue.removeDevice(master.device);
    master.pri = false;
    master.sva = false;
  }

  /**
   * On return no fault of a device, or of one SubstreamID of it, is recorded, waiting to be handled, or waiting for its
   * answer. Its transactions abort already.
   */
  drain(master: Master, ssid?: number): void {
    let busy = master.stall && this.evtq.drain();
    if (master.pri) this.priq!.drain();
    if (!master.sva) return;
    busy ||= this.queue.pending > 0;
    this.#flush(master, ssid);
    if (!master.stall || !busy) return;
    // Transactions that found no place in the event queue, or no tag, wait in the SMMU: now they are looked at again, and
    // abort, which may be recorded. Whether any waits it does not tell; but they need no longer than this.
    for (let round = 0; round < MAX_SETTLE_ROUNDS && this.evtq.waitForRecord(SETTLE_NS); round++) {
      this.evtq.drain();
      this.#flush(master, ssid);
    }
  }

  /** Gives the memory back. The SMMU must be disabled. */
  free(): void {
    this.queue.free();
    this.priq?.free();
    this.evtq.free();
  }

  #flush(master: Master, ssid: number | undefined): void {
    this.queue.flushDevice(master.device, ssid);
    const { cmdq } = this.#smmu;
    if (!cmdq.queue.empty) cmdq.sync(); // answers are certain once they are consumed
  }

  #resume(sid: number, stag: number, retry: boolean): void {
    const { cmdq } = this.#smmu;
    const at = cmdq.next();
    resume(cmdq.words, at, sid, stag, retry);
    cmdq.publish();
  }

  #respond(sid: number, ssid: number, groupId: number, response: number): void {
    const { cmdq } = this.#smmu;
    const at = cmdq.next();
    priResp(cmdq.words, at, sid, ssid, groupId, response);
    cmdq.publish();
  }
}

/** Why faults of a device cannot be recovered from. */
function whyNoFaults({ device, stall, priPort, streamIds }: Master): string | undefined {
  if (!stall && priPort === undefined)
    return `transactions of ${device.name} can neither stall nor request pages: all memory would have to be pinned`;
  return streamIds.length > 1
    ? `${device.name} has ${streamIds.length} StreamIDs: the answer to a fault would not know whose it is`
    : undefined;
}
