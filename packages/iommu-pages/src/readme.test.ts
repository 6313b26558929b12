import { readFileSync } from 'node:fs';
import * as platform from '@smmu/platform';
import { transformWithOxc } from 'vite';
import { expect, it } from 'vitest';
import * as iommuPages from './index.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const classes = { IommuPages: iommuPages.IommuPages, IommuPagesList: iommuPages.IommuPagesList };
const fence = (language: string): string => readme.split(`\`\`\`${language}\n`)[1]!.split('\n```')[0]!;

it('the example of the README prints what the README says', async () => {
  const { code } = await transformWithOxc(fence('ts'), 'example.ts');
  const lines: string[] = [];
  const log = (...values: unknown[]): number => lines.push(values.join(' '));
  const body = code.replace(/import (\{.*\}) from "@smmu\/([\w-]+)";/g, 'const $1 = packages["$2"];');
  new Function('packages', 'console', body)({ 'iommu-pages': iommuPages, platform }, { log });
  expect(lines.join('\n')).toBe(fence('text'));
});

it('every function that the README names exists', () => {
  const rows = readme.split('\n').filter((line) => line.startsWith('| `'));
  expect(rows.length).toBeGreaterThan(10);
  for (const row of rows)
    for (const name of row.split('|')[1]!.match(/[\w.]+/g)!) {
      const [owner, member] = name.includes('.') ? name.split('.') : ['IommuPages', name];
      const { prototype } = new Map<string, { prototype: object }>(Object.entries(classes)).get(owner!)!;
      expect(member! in prototype, name).toBe(true);
    }
});
