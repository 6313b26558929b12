/** What became of a transaction. A device learns no more than this: why it was aborted is the driver's to know. */
export const DMA_OK = 0;
export const DMA_ABORT = 1;
/** Not decided yet: `complete` will be called. An SMMU that stalls a faulting transaction answers so. */
export const DMA_PENDING = 2;
export type DmaStatus = typeof DMA_OK | typeof DMA_ABORT | typeof DMA_PENDING;

/** `substreamId` of a transaction that carries none. */
export const NO_SUBSTREAM = -1;

/**
 * One transaction of a bus master: at most 4 KiB, inside one naturally aligned 4 KiB, as on PCIe.
 * A device fills one, submits it, and may use it again once it is answered.
 */
export class DmaRequest {
  streamId = 0;
  /** SubstreamID (PASID), or {@link NO_SUBSTREAM}. */
  substreamId: number = NO_SUBSTREAM;
  /** The 64-bit input address as two unsigned words. */
  addressLo = 0;
  addressHi = 0;
  /** Bytes to move. */
  length = 0;
  write = false;
  privileged = false;
  instruction = false;
  /** ATS: the address is one that a translation request answered. */
  translated = false;
  /** Where read data goes or write data comes from. */
  data: Uint8Array;
  /** First byte of `data` that takes part. */
  dataStart = 0;
  status: DmaStatus = DMA_OK;
  /** Called once, later, if {@link DmaPort.submit} returned {@link DMA_PENDING}. `status` says how it ended. */
  complete: ((request: DmaRequest) => void) | null = null;

  constructor(data: Uint8Array) {
    this.data = data;
  }
}

/** Where a bus master's transactions go: an SMMU, or memory itself. */
export interface DmaPort {
  /** Carries out a transaction, or holds it. Sets and returns `request.status`. */
  submit(request: DmaRequest): DmaStatus;
}
