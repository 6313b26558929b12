export { IopfGroup } from './group.ts';
export { IopfQueue, type IopfQueueOptions } from './queue.ts';
export type { IopfStats } from './stats.ts';
