/** All hand-written scenarios. */
import type { Scenario } from '../scenario.ts';
import { commands } from './commands.ts';
import { invalidation } from './invalidation.ts';
import { nested } from './nested.ts';
import { registers } from './registers.ts';
import { stage1Faults } from './stage1Faults.ts';
import { stage1Tables } from './stage1Tables.ts';
import { stage2 } from './stage2.ts';
import { streamTable } from './streamTable.ts';

export const written: readonly Scenario[] = [
  ...stage1Faults,
  ...stage1Tables,
  ...streamTable,
  ...stage2,
  ...nested,
  ...invalidation,
  ...commands,
  ...registers,
];
