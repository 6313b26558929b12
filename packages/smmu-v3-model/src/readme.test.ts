import { readdirSync, readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import * as platform from '@smmu/platform';
import { expect, it } from 'vitest';
import * as model from './index.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const fence = (language: string): string => readme.split(`\`\`\`${language}\n`)[1]!.split('\n```')[0]!;

it('the example of the README prints what the README says', () => {
  const lines: string[] = [];
  const text = (value: unknown): string => (typeof value === 'string' ? value : inspect(value));
  const log = (...values: unknown[]): number => lines.push(values.map(text).join(' '));
  const body = fence('js').replace(/import (\{.*\}) from '@smmu\/([\w-]+)';/g, 'const $1 = packages["$2"];');
  new Function('packages', 'console', body)({ 'smmu-v3-model': model, platform }, { log });
  expect(lines.join('\n')).toBe(fence('text'));
});

it('the README names every file, and no other', () => {
  const src = new URL('.', import.meta.url);
  const files = readdirSync(src).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'));
  const named = [...readme.matchAll(/`(\w+\.ts)`/g)].map(([, name]) => name!);
  expect(named.filter((name) => !files.includes(name))).toEqual([]);
  const small = ['index.ts', 'queue.ts', 'powers.ts', 'stats.ts', 'walkStats.ts'];
  expect(files.filter((name) => !named.includes(name) && !small.includes(name))).toEqual([]);
});
