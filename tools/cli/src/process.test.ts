/** What needs a process of its own: limits, signals, pipes. It runs what `npm start` runs. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { beforeAll, expect, it } from 'vitest';
import { noise, prose, Scratch } from '../test/scratch.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const scratch = new Scratch();
const env = { ...process.env, INIT_CWD: scratch.directory, NO_COLOR: '1' };

beforeAll(() => {
  const tsc = fileURLToPath(new URL('node_modules/typescript/bin/tsc', `file://${root}/`));
  const { status, stdout } = spawnSync(process.execPath, [tsc, '-b', 'tools/cli'], { cwd: root, encoding: 'utf8' });
  expect(stdout).toBe('');
  expect(status).toBe(0);
}, 120_000);

/** Runs a shell command, for which `smmu` is the program. */
function shell(command: string) {
  const smmu = `'${process.execPath}' '${main}'`;
  return spawnSync('sh', ['-c', command.replaceAll('smmu ', `${smmu} `)], { cwd: root, env, encoding: 'utf8' });
}

it('relative names mean those where the command was given, not where pnpm runs it', () => {
  scratch.write('here', prose(10_000));
  const { status, stdout, stderr } = shell('smmu run gzip here');
  expect([status, stderr]).toEqual([0, '']);
  expect(stdout).toContain(scratch.path('here.gz'));
  expect(gunzipSync(readFileSync(scratch.path('here.gz'))).length).toBe(10_000);
});

it.each([
  ['for the output', '', 'here.gz'],
  ['for the trace', '--trace run.json', 'run.json'],
])('a full disk, %s: one line, exit code 2, nothing left', (_, options, name) => {
  scratch.write('big', options === '' ? noise(2 ** 20) : prose(3_000_000));
  const before = scratch.list();
  // A limit on the size of files ends a write as a full disk does.
  const blocks = options === '' ? 64 : 600;
  const { status, stdout, stderr } = shell(`ulimit -f ${blocks}; smmu run gzip big ${options} --memory 8M`);
  expect(stderr).toMatch(/^smmu: [^\n]*the file would exceed the largest size allowed[^\n]*\n$/);
  expect([status, stdout]).toEqual([2, '']);
  expect(scratch.list()).toEqual(before);
  expect(name).toBeTruthy();
});

it('a reader that goes away is no failure', () => {
  scratch.write('piped', prose(1000));
  const { status, stdout, stderr } = shell('smmu run gzip piped | head -1');
  expect([status, stderr]).toEqual([0, '']);
  expect(stdout).toContain('verified');
});

it.each(['SIGINT', 'SIGTERM'] as const)('%s: stops, and takes away what was begun', async (signal) => {
  scratch.write('long', noise(2 ** 25));
  const before = scratch.list();
  const args = [main, 'run', 'gzip', 'long', '--trace', 'long.json'];
  const child = spawn(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<number | null>((resolve) => child.on('close', (code) => resolve(code)));
  for (let tries = 0; tries < 500 && scratch.list().length < before.length + 2; tries += 1)
    await new Promise((resolve) => setTimeout(resolve, 10));
  expect(scratch.list().length).toBe(before.length + 2); // two temporary files
  child.kill(signal);
  expect(await ended).toBe(signal === 'SIGINT' ? 130 : 143);
  expect(scratch.list()).toEqual(before);
  expect(existsSync(scratch.path('long.gz'))).toBe(false);
});
