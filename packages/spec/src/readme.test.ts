import { readFileSync } from 'node:fs';
import { transformWithOxc } from 'vite';
import { expect, it } from 'vitest';
import * as spec from './index.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const fence = (language: string): string => readme.split(`\`\`\`${language}\n`)[1]!.split('\n```')[0]!;

it('the example of the README prints what the README says', async () => {
  const { code } = await transformWithOxc(fence('ts'), 'example.ts');
  const lines: string[] = [];
  const log = (...values: unknown[]): number => lines.push(values.join(' '));
  const body = code.replace(/import (\{.*\}) from "@smmu\/spec";/, 'const $1 = spec;');
  new Function('spec', 'console', body)(spec, { log });
  expect(lines.join('\n')).toBe(fence('text'));
});

it('every export that the README names exists', () => {
  const named = readme
    .split('\n')
    .flatMap((line) => (line.startsWith('| `') ? line.split('|')[1]!.match(/\b\w+\b/g)! : []));
  const kinds = new Set(['F_', 'C_', 'CMD_']); // families
  for (const name of named) if (!kinds.has(name)) expect(spec, name).toHaveProperty(name);
});
