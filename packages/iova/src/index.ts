export { IovaFlushQueue, type IovaFlushQueueOptions } from './flushQueue.ts';
export { type Below4G, IovaDomain, type IovaDomainOptions, type IovaRange, type IovaRequest } from './iovaDomain.ts';
