import { readFileSync } from 'node:fs';
import * as iommuPages from '@smmu/iommu-pages';
import * as platform from '@smmu/platform';
import { transformWithOxc } from 'vite';
import { expect, it } from 'vitest';
import { Board } from '../test/board.ts';
import * as arm64Mm from './index.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const fence = (language: string): string => readme.split(`\`\`\`${language}\n`)[1]!.split('\n```')[0]!;

it('the example of the README prints what the README says', async () => {
  const { code } = await transformWithOxc(fence('ts'), 'example.ts');
  const lines: string[] = [];
  const log = (...values: unknown[]): number => lines.push(values.join(' '));
  const body = code.replace(/import (\{.*\}) from "@smmu\/([\w-]+)";/g, 'const $1 = packages["$2"];');
  new Function('packages', 'console', body)({ 'arm64-mm': arm64Mm, 'iommu-pages': iommuPages, platform }, { log });
  expect(lines.join('\n')).toBe(fence('text'));
});

it('every function that the README names exists', () => {
  const { mmu } = new Board();
  const owners = new Map<string, object>(
    Object.entries({ Mm: mmu.createProcess('p'), MemoryManager: mmu, AsidAllocator: mmu.asids }),
  );
  const rows = readme.split('\n').filter((line) => line.startsWith('| `'));
  expect(rows.length).toBeGreaterThan(10);
  for (const row of rows)
    for (const name of row.split('|')[1]!.match(/[\w.]+/g)!) {
      const [owner, member] = name.split('.');
      expect(member! in owners.get(owner!)!, name).toBe(true);
    }
});
