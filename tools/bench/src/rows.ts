import type { Row } from './row.ts';
import { gzipRows } from './rows/gzip.ts';
import { ioasidRows } from './rows/ioasid.ts';
import { iovaRows } from './rows/iova.ts';
import { modelRows } from './rows/model.ts';
import { pagesRows } from './rows/pages.ts';
import { pgtableRows } from './rows/pgtable.ts';
import { svaRows } from './rows/sva.ts';

/** Every workload that has a goal, lowest floor first. */
export const rows: readonly Row[] = [
  ...ioasidRows,
  ...pagesRows,
  ...iovaRows,
  ...pgtableRows,
  ...modelRows,
  ...svaRows,
  ...gzipRows,
];
