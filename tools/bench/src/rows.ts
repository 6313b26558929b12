import type { Row } from './row.ts';
import { ioasidRows } from './rows/ioasid.ts';
import { pagesRows } from './rows/pages.ts';

/** Every workload that has a goal, lowest floor first. */
export const rows: readonly Row[] = [...ioasidRows, ...pagesRows];
