import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import * as ioasid from './index.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const fence = (language: string): string => readme.split(`\`\`\`${language}\n`)[1]!.split('\n```')[0]!;

it('the example of the README prints what the README says', () => {
  const lines: string[] = [];
  const log = (...values: unknown[]) =>
    lines.push(values.map((value) => (Array.isArray(value) ? `[ ${value.join(', ')} ]` : String(value))).join(' '));
  const body = fence('js').replace(/import (\{.*\}) from '@smmu\/ioasid';/, 'const $1 = ioasid;');
  new Function('ioasid', 'console', body)(ioasid, { log });
  expect(lines.join('\n')).toBe(fence('text'));
});
