export type { MemoryAttributes } from './attributes.ts';
export type { Broadcast, BroadcastOperation } from './btm.ts';
export type { StaleUse } from './checker.ts';
export { ACCESS_EXECUTE, ACCESS_PRIVILEGED, ACCESS_WRITE, type Fault } from './fault.ts';
export { DEFAULT, FULL, type Granule, KUNPENG, LARGE, type ModelFeatures, QEMU, SMALL } from './features.ts';
export type { InterruptLines } from './interrupts.ts';
export { type SmmuOptions, SmmuV3Model } from './model.ts';
export type { ModelStats } from './stats.ts';
export type { Translator } from './transaction.ts';
