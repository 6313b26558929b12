export type { Mm, MmuNotifier } from '@smmu/arm64-mm';
export type { ExitCallback, SvaBond } from './bond.ts';
export { SVA_IOPF, type SvaDriver } from './driver.ts';
export type { SvaFaultStats } from './faultHandler.ts';
export { type BindOptions, Sva, type SvaDeviceOptions, type SvaOptions } from './sva.ts';
