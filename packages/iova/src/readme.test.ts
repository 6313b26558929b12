import { readFileSync } from 'node:fs';
import * as platform from '@smmu/platform';
import { expect, it } from 'vitest';
import * as iova from './index.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const fence = (language: string): string => readme.split(`\`\`\`${language}\n`)[1]!.split('\n```')[0]!;

it('the example of the README prints what the README says', () => {
  const lines: string[] = [];
  const log = (...values: unknown[]) => lines.push(values.map(String).join(' '));
  const body = fence('js').replace(/import (\{.*\}) from '@smmu\/(\w+)';/g, 'const $1 = $2;');
  new Function('iova', 'platform', 'console', body)(iova, platform, { log });
  expect(lines.join('\n')).toBe(fence('text'));
});
