import { readFileSync } from 'node:fs';
import * as iommuPages from '@smmu/iommu-pages';
import * as platform from '@smmu/platform';
import { transformWithOxc } from 'vite';
import { expect, it } from 'vitest';
import * as descriptors from './descriptors.ts';
import * as pgtable from './index.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const fence = (language: string): string => readme.split(`\`\`\`${language}\n`)[1]!.split('\n```')[0]!;

it('the example of the README prints what the README says', async () => {
  const { code } = await transformWithOxc(fence('ts'), 'example.ts');
  const lines: string[] = [];
  const log = (...values: unknown[]): number => lines.push(values.join(' '));
  const body = code.replace(/import (\{.*\}) from "@smmu\/([\w-]+)";/g, 'const $1 = packages["$2"];');
  new Function('packages', 'console', body)(
    { 'io-pgtable-arm': pgtable, 'iommu-pages': iommuPages, platform },
    { log },
  );
  expect(lines.join('\n')).toBe(fence('text'));
});

it('everything that the README names exists', () => {
  const rows = readme.split('\n').filter((line) => line.startsWith('| `'));
  expect(rows.length).toBeGreaterThan(10);
  for (const row of rows) {
    const [owner, member] = row.split('`')[1]!.split('.');
    expect(pgtable).toHaveProperty(owner!);
    if (member !== undefined) expect(member in pgtable.ArmPageTable.prototype, row).toBe(true);
  }
  for (const name of readme.match(/`(PTE_\w+|pteAddress|address\w+)/g)!)
    expect(descriptors).toHaveProperty(name.slice(1));
});
