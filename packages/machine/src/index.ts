export * from './accelerator/index.ts';
export { Board, type BoardOptions, GRANULE_SHIFTS, type Granule, type Left, MEMORY_STEP, RAM_BASE } from './board.ts';
export { type GzipFacts, type GzipProgress, GzipRun, type GzipRunOptions } from './gzipRun.ts';
export {
  AcceleratorDriver,
  type AcceleratorDriverOptions,
  type DeviceError,
  type MsiSlots,
  type UserQueue,
} from './kernel/acceleratorDriver.ts';
export { type AdminArguments, AdminQueue } from './kernel/adminQueue.ts';
export { PciRoot, type PciRootOptions } from './pciRoot.ts';
export { ReclaimPressure } from './pressure.ts';
export { GzipProcess, type GzipProcessOptions, JobFailedError, type ResizableFile } from './process/gzipProcess.ts';
export { type Completion, type Job, JobRing } from './process/jobRing.ts';
