import { readFileSync } from 'node:fs';
import * as platform from '@smmu/platform';
import { transformWithOxc } from 'vite';
import { expect, it } from 'vitest';
import * as pciAts from './index.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const fences = (language: string): string[] =>
  readme
    .split(`\`\`\`${language}\n`)
    .slice(1)
    .map((text) => text.split('\n```')[0]!);

it.each([
  ['first', 0],
  ['second', 1],
])('the %s example of the README prints what the README says', async (_, n) => {
  const { code } = await transformWithOxc(fences('ts')[n]!, 'example.ts');
  const lines: string[] = [];
  const log = (...values: unknown[]) => lines.push(values.join(' '));
  const body = code.replace(
    /import (\{[^}]*\}) from "@smmu\/([\w-]+)";/g,
    (_match, names, from) => `const ${names} = modules['${from}'];`,
  );
  new Function('modules', 'console', body)({ 'pci-ats': pciAts, platform }, { log });
  expect(lines.join('\n')).toBe(fences('text')[n]!);
});
