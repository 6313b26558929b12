export { IopfGroup, IopfQueue, type IopfQueueOptions, type IopfStats } from './queue.ts';
