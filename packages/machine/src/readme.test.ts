import { readFileSync } from 'node:fs';
import { transformWithOxc } from 'vite';
import { expect, it } from 'vitest';
import * as machine from './index.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const fence = (language: string): string => readme.split(`\`\`\`${language}\n`)[1]!.split('\n```')[0]!;

it('the example of the README prints what the README says', async () => {
  const { code } = await transformWithOxc(fence('ts'), 'example.ts');
  const lines: string[] = [];
  const log = (...values: unknown[]): number => lines.push(values.join(' '));
  const body = code.replace(/import (\{.*\}) from "@smmu\/machine";/g, 'const $1 = machine;');
  new Function('machine', 'console', body)(machine, { log });
  expect(lines.join('\n')).toBe(fence('text'));
});

it('everything that the README names exists', () => {
  const rows = readme.split('\n').filter((line) => line.startsWith('| `') && !line.includes('.ts`'));
  expect(rows.length).toBeGreaterThan(7);
  for (const row of rows)
    for (const name of row.split('|')[1]!.match(/\w+/g)!) expect(name in machine, name).toBe(true);
});
