import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DmaRequest, InterruptLine, Registers, Scheduler, SystemMemory } from '@smmu/platform';
import { CR0, EVENTQ_BASE, IDR0, STE, STRTAB_BASE, STRTAB_BASE_CFG } from '@smmu/spec';
import { expect, it } from 'vitest';
import { SmmuV3Model } from './index.ts';

it('runs the example of the README', () => {
  const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8');
  const example = /```js\n([\s\S]*?)```/.exec(readme)![1]!.replace(/^import .*$/gm, '');
  const printed: string[] = [];
  const hardware = { DmaRequest, InterruptLine, Registers, Scheduler, SystemMemory, SmmuV3Model };
  const layouts = { CR0, EVENTQ_BASE, IDR0, STE, STRTAB_BASE, STRTAB_BASE_CFG };
  const console = { log: (...values: unknown[]) => printed.push(values.join(' ')) };
  const names = { ...hardware, ...layouts, console };
  new Function(...Object.keys(names), example)(...Object.values(names));
  expect(printed).toEqual([
    'stage 1: true',
    'status 0 data 42',
    'status 1',
    'event queue interrupt',
    'event 4 of stream 2',
  ]);
});
