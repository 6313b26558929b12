export {
  ACCELERATOR_DEVICE_ID,
  ACCELERATOR_VENDOR_ID,
  type AcceleratorOptions,
  type AcceleratorStats,
  type AcceleratorTiming,
  DEFAULT_TIMING,
  GzipAccelerator,
} from './accelerator.ts';
export type { CompressionEngine } from './job.ts';
export * from './layouts.ts';
