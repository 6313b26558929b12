/**
 * The ledger: where QEMU's SMMUv3 and the architecture differ, as data. A new difference fails the run, and so does one
 * that is gone. `from` is the first release that is thought to show it; `confirmed` says where it was seen.
 */
import type { LedgerEntry } from '../ledger.ts';
import { configuration } from './configuration.ts';
import { mended } from './mended.ts';
import { software } from './software.ts';
import { translation } from './translation.ts';

export const entries: readonly LedgerEntry[] = [...configuration, ...translation, ...software, ...mended];
