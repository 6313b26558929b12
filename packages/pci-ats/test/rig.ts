import {
  ATS_SUCCESS,
  type AtsPort,
  type AtsRequest,
  type AtsStatus,
  DMA_OK,
  DMA_PENDING,
  type DmaPort,
  DmaRequest,
  type DmaStatus,
  NO_SUBSTREAM,
  type PageRequestMessage,
} from '@smmu/platform';
import { expect } from 'vitest';
import { PASID_FEATURE, PciDevice, PciFunction, type PciFunctionOptions } from '../src/index.ts';

export const ADDRESS = { segment: 0, bus: 0, device: 1, function: 0 };
export const errno = (code: string) => expect.objectContaining({ code });
export { NO_SUBSTREAM };

/** What a translation request said, apart from its answer. */
export type Asked = Pick<
  AtsRequest,
  'streamId' | 'substreamId' | 'addressLo' | 'addressHi' | 'noWrite' | 'instruction' | 'privileged'
>;

/** Plays the SMMU: answers as a script says, notes everything. */
export class FakeSmmu implements AtsPort, DmaPort {
  readonly asked: Asked[] = [];
  readonly pages: PageRequestMessage[] = [];
  readonly seen: {
    translated: boolean;
    substreamId: number;
    address: number;
    write: boolean;
    instruction: boolean;
    privileged: boolean;
  }[] = [];
  readonly held: DmaRequest[] = [];
  /** The answer to the next translation requests. */
  completion: Partial<AtsRequest> = { read: true, write: true, translated: 0x8000_0000 };
  status: AtsStatus | 2 = ATS_SUCCESS;
  dmaStatus: DmaStatus = DMA_OK;
  /** Happens inside a translation request, page request or transaction. */
  during: (() => void) | undefined;
  duringPage: ((message: PageRequestMessage) => void) | undefined;
  duringDma: (() => void) | undefined;

  translate(request: AtsRequest): AtsStatus {
    const { streamId, substreamId, addressLo, addressHi, noWrite, instruction, privileged } = request;
    this.asked.push({ streamId, substreamId, addressLo, addressHi, noWrite, instruction, privileged });
    Object.assign(request, this.completion);
    this.during?.();
    return this.status as AtsStatus;
  }

  requestPage(message: PageRequestMessage): void {
    this.pages.push(message);
    this.duringPage?.(message);
  }

  submit(request: DmaRequest): DmaStatus {
    const { translated, substreamId, addressLo, addressHi, write, instruction, privileged } = request;
    const address = addressHi * 2 ** 32 + addressLo;
    this.seen.push({ translated, substreamId, address, write, instruction, privileged });
    this.duringDma?.();
    request.status = this.dmaStatus;
    if (this.dmaStatus === DMA_PENDING) this.held.push(request);
    return this.dmaStatus;
  }

  /** Ends the oldest transaction that is held. */
  release(status: DmaStatus = DMA_OK): void {
    const request = this.held.shift()!;
    request.status = status;
    request.complete!(request);
  }
}

/** A function with everything, and its driver, enabled as far as asked. */
export function makeFunction(smmu: FakeSmmu, options: Partial<PciFunctionOptions> = {}) {
  const hardware = new PciFunction({
    ...ADDRESS,
    vendorId: 1,
    deviceId: 2,
    classCode: 0,
    pasid: { bits: 16, exec: true, priv: true },
    ats: { queueDepth: 4, globalInvalidate: true },
    pri: { maxRequests: 8 },
    streamId: 0x77,
    upstream: smmu,
    ...options,
  });
  return { hardware, device: new PciDevice(hardware, ADDRESS) };
}

export function enableAll(device: PciDevice, stuShift = 12, requests = 8): void {
  device.setMaster();
  device.enablePasid(PASID_FEATURE.EXEC | PASID_FEATURE.PRIV);
  device.enableAts(stuShift);
  device.enablePri(requests);
}

export function dmaRequest(fields: Partial<DmaRequest> = {}): DmaRequest {
  return Object.assign(new DmaRequest(new Uint8Array(16)), { length: 4, substreamId: 5, ...fields });
}
