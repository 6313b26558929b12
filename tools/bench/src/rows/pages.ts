import { tableMemory } from '../board.ts';
import type { Row } from '../row.ts';

const PAGE = 4096;
const ROUNDS = 65_536;

export const pagesRows: readonly Row[] = [
  {
    name: 'table page, allocate zeroed and free, hot',
    goal: 35,
    prepare() {
      const { pages } = tableMemory();
      return {
        operations: ROUNDS,
        round() {
          for (let i = 0; i < ROUNDS; i++) pages.freePages(pages.allocPages(PAGE));
        },
      };
    },
  },
  {
    name: 'table page, allocate zeroed and free, 4 MiB set',
    goal: 125,
    prepare() {
      const { pages } = tableMemory();
      const held = new Float64Array(1024);
      return {
        operations: held.length,
        round() {
          for (let i = 0; i < held.length; i++) held[i] = pages.allocPages(PAGE);
          for (let i = 0; i < held.length; i++) pages.freePages(held[i]!);
        },
      };
    },
  },
];
