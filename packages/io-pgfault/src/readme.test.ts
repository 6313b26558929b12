import { readFileSync } from 'node:fs';
import * as iommu from '@smmu/iommu';
import * as platform from '@smmu/platform';
import { transformWithOxc } from 'vite';
import { expect, it } from 'vitest';
import * as pgfault from './index.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const fence = (language: string): string => readme.split(`\`\`\`${language}\n`)[1]!.split('\n```')[0]!;

it('the example of the README prints what the README says', async () => {
  const { code } = await transformWithOxc(fence('ts'), 'example.ts');
  const lines: string[] = [];
  const log = (...values: unknown[]) => lines.push(values.join(' '));
  const body = code.replace(/import (\{[^}]*\}) from "@smmu\/(?:io-)?(\w+)";/g, 'const $1 = modules.$2;');
  new Function('modules', 'console', body)({ iommu, platform, pgfault }, { log });
  expect(lines.join('\n')).toBe(fence('text'));
});
