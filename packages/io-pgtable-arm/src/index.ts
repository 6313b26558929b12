export { MAIR_CACHE_INDEX, MAIR_DEVICE_INDEX, MAIR_INC_OCACHE_INDEX, MAIR_LO, MAIR_NC_INDEX } from './attributes.ts';
export type { DirtyOptions } from './dirty.ts';
export { BreakBeforeMakeError, type ExistingEntry, MapConflictError } from './errors.ts';
export { IotlbGather } from './gather.ts';
export { ArmPageTable, allocPgtable } from './pageTable.ts';
export type { Stage1Config, Stage2Config } from './registers.ts';
export { type PgtableOptions, PROT, type Quirks, type TableAllocator, type TableLimits, type TlbOps } from './types.ts';
export type { WalkLevel } from './walk.ts';
