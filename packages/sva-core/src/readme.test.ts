import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Board } from '../test/board.ts';
import { SVA_IOPF, Sva } from './index.ts';

it('runs the example of the README', () => {
  const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8');
  const example = /```ts fragment\n([\s\S]*?)```/.exec(readme)![1]!.replace(/^import .*$/m, '');
  const board = new Board();
  const { iommu, pasids } = board;
  const names = { Sva, SVA_IOPF, iommu, pasids, mm: board.mmu.createProcess('p'), device: board.device('a0') };
  const printed: string[] = [];
  const run = new Function(...Object.keys(names), 'console', example);
  run(...Object.values(names), { log: (...values: unknown[]) => printed.push(values.join(' ')) });
  expect(printed).toEqual(['', '1 true 2', 'stop using PASID 1', '0']);
});
