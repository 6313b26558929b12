/** One table from opcode to handler. An opcode that is not in it is reserved, or of a feature that is never there. IHI 0070 §4.1. */
import { ats } from './ats.ts';
import { cfgi } from './cfgi.ts';
import type { Handler } from './command.ts';
import { prefetch } from './prefetch.ts';
import { resume } from './resume.ts';
import { tlbi } from './tlbi.ts';

/** By opcode, 256 of them. CMD_SYNC is the queue's own. */
export const HANDLERS: readonly (Handler | null)[] = (() => {
  const table = new Array<Handler | null>(256).fill(null);
  for (const handler of [...prefetch, ...cfgi, ...tlbi, ...ats, ...resume]) table[handler.opcode] = handler;
  return table;
})();
