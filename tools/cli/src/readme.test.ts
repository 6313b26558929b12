import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { prose, Scratch } from '../test/scratch.ts';

const scratch = new Scratch();
const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

it('the README names every option of the command, and no other', async () => {
  const { stdout } = await scratch.smmu(['run', 'gzip', '--help']);
  const options = (text: string) => [...new Set(text.match(/--[a-z]+/g))].sort();
  const documented = [...options(readme), '--help', '--output'].sort(); // -o; and the one that shows the others
  expect(documented).toEqual(options(stdout.split('Examples:')[0]!));
});

it('the README names every key of the JSON object', async () => {
  scratch.write('file', prose(100));
  const { stdout } = await scratch.smmu(['run', 'gzip', 'file', '--json']);
  for (const key of Object.keys(JSON.parse(stdout))) expect(readme).toContain(`\`${key}\``);
});
