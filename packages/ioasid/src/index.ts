export { type CustomAllocator, INVALID_IOASID } from './customAllocators.ts';
export { IdTooWideError, QuotaReachedError, RangeExhaustedError } from './errors.ts';
export { IoasidAllocator, type IoasidOptions, type IoasidRequest } from './ioasidAllocator.ts';
export type { IoasidSet } from './ioasidSet.ts';
