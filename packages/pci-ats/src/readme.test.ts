import { readFileSync } from 'node:fs';
import * as platform from '@smmu/platform';
import { transformWithOxc } from 'vite';
import { expect, it } from 'vitest';
import * as pciAts from './index.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const fence = (language: string): string => readme.split(`\`\`\`${language}\n`)[1]!.split('\n```')[0]!;

it('the example of the README prints what the README says', async () => {
  const { code } = await transformWithOxc(fence('ts'), 'example.ts');
  const lines: string[] = [];
  const log = (...values: unknown[]): number => lines.push(values.join(' '));
  const body = code.replace(/import (\{.*\}) from "@smmu\/([\w-]+)";/g, 'const $1 = packages["$2"];');
  new Function('packages', 'console', body)({ 'pci-ats': pciAts, platform }, { log });
  expect(lines.join('\n')).toBe(fence('text'));
});

it('everything that the README names exists', () => {
  const rows = readme.split('\n').filter((line) => line.startsWith('| `'));
  expect(rows.length).toBeGreaterThan(10);
  const classes: Record<string, { prototype: object }> = { PciConfig: pciAts.PciConfig, PciDevice: pciAts.PciDevice };
  for (const row of rows) {
    let owner = '';
    for (const name of row.split('|')[1]!.match(/[\w.]+/g)!) {
      if (name.includes('.')) owner = name.split('.')[0]!;
      const member = name.split('.').at(-1)!;
      expect(member in (owner === '' ? pciAts : classes[owner]!.prototype), name).toBe(true);
    }
  }
});
