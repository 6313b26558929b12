import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { EXIT, main } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'conformance-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const text = { out: '', err: '' };
  const stream = (to: 'out' | 'err') => ({ write: (part: string) => (text[to] += part) });
  const code = await main(args, {
    stdout: stream('out'),
    stderr: stream('err'),
    cwd: folder,
    env: { QEMU: '/nowhere/qemu' },
  });
  return { code, ...text };
}

describe('conformance', () => {
  it('--help teaches: examples, what is compared, exit codes', async () => {
    const { code, out } = await run('--help');
    expect(code).toBe(EXIT.OK);
    for (const text of ['--seed', '--count', '--vectors', '--replay', '--capture', 'ledger', 'Exit code'])
      expect(out).toContain(text);
  });
  it('a bad option is exit code 2 and one sentence', async () => {
    expect(await run('--count', 'many')).toMatchObject({
      code: EXIT.USAGE,
      err: expect.stringContaining('whole number'),
    });
    expect((await run('--replay', 'missing')).err).toContain('no such folder');
  });
  it('without QEMU says so in a visible line and answers the captures', async () => {
    const { code, out, err } = await run('--json');
    expect(err).toContain('SKIPPED the comparison with QEMU: /nowhere/qemu cannot be run');
    const result = JSON.parse(out);
    expect(result).toMatchObject({ qemu: { version: null }, written: null, random: null });
    expect(result.captures.map(({ name, rows, matched }: Record<string, unknown>) => [name, rows === matched])).toEqual(
      [
        ['linux-6.12-s1', true],
        ['linux-6.12-s2', true],
      ],
    );
    expect(code).toBe(EXIT.OK);
  });
  it('--ledger prints each entry with its section', async () => {
    const { code, out } = await run('--ledger');
    expect(code).toBe(EXIT.OK);
    expect(out).toContain('S2-CONCATENATED');
    expect(out).toContain('§5.2 decides');
    expect(JSON.parse((await run('--ledger', '--json')).out).length).toBeGreaterThan(40);
  });
  it('a text that no scenario has in its name is exit code 2', async () => {
    expect(await run('--only', 'nothing-like-it')).toMatchObject({ code: EXIT.USAGE });
  });
  it('writes vectors and meets them', async () => {
    expect((await run('--vectors', 'out')).code).toBe(EXIT.OK);
    const { code, out } = await run('--replay', 'out', '--json');
    expect(code).toBe(EXIT.OK);
    const { run: count, matched } = JSON.parse(out);
    expect(count).toBeGreaterThan(500);
    expect(matched).toBe(count);
  });
});
