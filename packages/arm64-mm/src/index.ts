export { AsidAllocator, type AsidAllocatorOptions, AsidContext, type AsidUser } from './asid.ts';
export type { BackingFile } from './backingFile.ts';
export { MemoryManager, type MemoryManagerOptions } from './manager.ts';
export type { Access, AreaKind, FaultResult, Mm, MmapOptions, Protection, Stage1Config } from './mm.ts';
export type { MmuNotifier } from './notifier.ts';
