import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { InterruptLine, Registers, Scheduler, SystemMemory } from './index.ts';

const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8');

it('runs the example of the README', () => {
  const example = /```ts\n([\s\S]*?)```/.exec(readme)![1]!;
  const printed: unknown[][] = [];
  const body = example.replace(/^import .*$/m, '').replace(': MmioWindow', '');
  const names = { InterruptLine, Registers, Scheduler, SystemMemory };
  const run = new Function(...Object.keys(names), 'console', body);
  run(...Object.values(names), { log: (...values: unknown[]) => printed.push(values) });
  expect(printed).toEqual([[1, 100]]);
  expect(example).toContain('// 1 100');
});
