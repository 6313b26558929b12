export { hex, type Iova, type Ipa, type Pa, type Va } from './address.ts';
export {
  ATS_ABORT,
  ATS_SUCCESS,
  ATS_UNSUPPORTED,
  type AtsEndpoint,
  type AtsPort,
  AtsRequest,
  type AtsStatus,
  type PageRequestMessage,
  PRG_FAILURE,
  PRG_INVALID,
  PRG_SUCCESS,
  type PrgResponse,
} from './ats.ts';
export { coherentDma, type DmaCoherence, NonCoherentDma } from './coherence.ts';
export { DMA_ABORT, DMA_OK, DMA_PENDING, type DmaPort, DmaRequest, type DmaStatus, NO_SUBSTREAM } from './dma.ts';
export { type ErrorCode, IommuError } from './errors.ts';
export { FRAME_BYTES, FrameAllocator, type FrameFailure } from './frames.ts';
export { InterruptLine, MSI_SETSPI, MsiDoorbell } from './interrupts.ts';
export { type MmioWindow, Registers } from './mmio.ts';
export type { PhysicalMemory } from './physicalMemory.ts';
export { Random } from './random.ts';
export { Scheduler, type Task, type TaskKind } from './scheduler.ts';
export { type RamRegion, type StoreObserver, SystemMemory } from './systemMemory.ts';
export { type Lane, Trace, type TraceArgs } from './trace.ts';
export { WorkQueue } from './workQueue.ts';
