import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { IommuError } from '@smmu/platform';
import { beforeAll, describe, expect, it } from 'vitest';
import { noise, prose, Scratch } from '../test/scratch.ts';
import { explain, RunError, systemCode } from './errors.ts';
import { InputFile, OutputFile, PendingFile, TextWriter } from './files.ts';
import type { GzipReport } from './report.ts';
import { translate, zlibEngine } from './runGzip.ts';

const scratch = new Scratch();
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function gzip(args: readonly string[]): Promise<GzipReport> {
  const { code, stdout, stderr } = await scratch.smmu(['run', 'gzip', ...args, '--json']);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  return JSON.parse(stdout) as GzipReport;
}
const NOTHING_LEFT = { tablePages: 0, pasids: 0, pinnedAsids: 0, pendingFaults: 0, processes: 0, frames: 0 };

describe('smmu run gzip: the output is a gzip file of the input', () => {
  const sizes = [0, 1, 4096, 2 ** 20, 2 ** 20 + 77];
  const runs = ['4k', '16k', '64k'].flatMap((granule) => sizes.map((size) => ({ granule, size })));
  it.each(runs)('$size random bytes, pages of $granule', async ({ granule, size }) => {
    const bytes = noise(size);
    const file = scratch.write(`noise-${size}-${granule}`, bytes);
    const report = await gzip([file, '--granule', granule]);
    const output = readFileSync(scratch.path(`${file}.gz`));
    expect(gunzipSync(output).equals(bytes)).toBe(true);
    expect(report).toMatchObject({
      verified: true,
      input: { path: file, bytes: size, sha256: sha256(bytes) },
      output: { path: scratch.path(`${file}.gz`), bytes: output.length, sha256: sha256(output) },
      binding: { device: '0000:00:01.0', sid: 8, pasid: 1, asid: 1, granule },
      tablePages: { end: 0 },
      left: NOTHING_LEFT,
    });
    expect(report.commands.CMD_RESUME).toBe(report.faults.total);
    expect(report.virtualTimeNs).toBeGreaterThan(0);
    for (const count of [report.faults.total, report.dma.transactions, report.dma.bytes, report.iotlb.misses])
      expect(count).toBeGreaterThan(0);
  });

  it.each([
    ['--memory', '4M'],
    ['--memory', '6000K'],
    ['--reclaim', '1'],
    ['--reclaim', '50'],
  ])('%s %s takes pages from the running device, and the output is the same', async (option, value) => {
    const file = scratch.write('pressed', prose(7_000_000));
    await gzip([file, '-o', 'plain.gz']);
    const report = await gzip([file, '-o', 'pressed.gz', option, value]);
    expect(readFileSync(scratch.path('pressed.gz')).equals(readFileSync(scratch.path('plain.gz')))).toBe(true);
    expect(report.commands.CMD_TLBI_NH_VA).toBeGreaterThan(50);
    expect(report.left).toEqual(NOTHING_LEFT);
  });

  it('same seed, same JSON and trace; another seed, another run and the same output', async () => {
    const file = scratch.write('seeded', prose(600_000));
    const run = async (seed: string) => {
      const args = ['run', 'gzip', file, '-o', 'seeded.gz', '--trace', 'seeded.json', '--json', '--seed', seed];
      const { stdout } = await scratch.smmu([...args, '--reclaim', '9']);
      return [
        stdout,
        ...['seeded.json', 'seeded.gz'].map((name) => readFileSync(scratch.path(name)).toString('latin1')),
      ];
    };
    const [json, trace, output] = await run('7');
    const [json2, trace2, output2] = await run('7');
    expect([json2 === json, trace2 === trace, output2 === output]).toEqual([true, true, true]);
    const [json3, trace3, output3] = await run('8');
    expect([json3 === json, trace3 === trace, output3 === output]).toEqual([false, false, true]);
    const events = JSON.parse(trace!) as { ph: string }[];
    expect(events.filter(({ ph }) => ph === 's')).toHaveLength((JSON.parse(json!) as GzipReport).faults.total);
  });

  it('neither report nor trace holds a wall-clock figure', async () => {
    const file = scratch.write('clock', prose(1000));
    const { stdout } = await scratch.smmu(['run', 'gzip', file, '--json', '--trace', 'clock.json']);
    const year = new Date().getFullYear();
    for (const text of [stdout, readFileSync(scratch.path('clock.json'), 'utf8')]) {
      expect(text).not.toMatch(new RegExp(`\\b${year}-`));
      expect(text).not.toContain(String(Date.now()).slice(0, 6));
    }
  });

  it('replaces an output that exists, and leaves nothing beside it', async () => {
    const file = scratch.write('again', prose(100));
    scratch.write('again.gz', 'something else');
    symlinkSync('again.gz', scratch.path('again-link'));
    await gzip([file, '-o', 'again-link']);
    expect(gunzipSync(readFileSync(scratch.path('again.gz'))).length).toBe(100);
    expect(scratch.list().filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('takes names with spaces, and names that look like options behind --', async () => {
    scratch.write('with a space', prose(10));
    expect((await gzip(['with a space'])).output.path).toBe(scratch.path('with a space.gz'));
    scratch.write('-x', prose(10));
    const { code } = await scratch.smmu(['run', 'gzip', '--json', '--', '-x']);
    expect(code).toBe(0);
    expect(existsSync(scratch.path('-x.gz'))).toBe(true);
  });

  it('names no system in the members, so that the output is the same everywhere', () => {
    const output = new Uint8Array(100);
    expect(zlibEngine(Buffer.from('x'), output)).toBe(21);
    expect([...output.subarray(0, 10)]).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    expect(zlibEngine(Buffer.from('x'), new Uint8Array(20))).toBe(-1);
  });
});

describe('smmu run gzip: what the user can set right is one line and exit code 2', () => {
  let before: string[];
  beforeAll(() => {
    scratch.write('good', prose(5000));
    mkdirSync(scratch.path('folder'), { recursive: true });
    symlinkSync('good', scratch.path('link'));
    linkSync(scratch.path('good'), scratch.path('hardlink'));
    symlinkSync('circle', scratch.path('circle'));
    before = scratch.list();
  });

  it.each([
    ['a missing file', ['missing'], /missing: no such file/],
    ['a directory', ['folder'], /folder: is a directory/],
    ['a part of the path that is a file', ['good/x'], /not a directory/],
    ['links in a circle', ['circle'], /links lead in a circle/],
    ['a special file', ['/dev/zero'], /\/dev\/zero: is a character device; only regular files/],
    ['a file without size', ['/proc/self/status'], /has contents but no size/],
    ['an empty name', [''], /file name is empty/],
    ['a name that is too long', ['x'.repeat(300)], /name is too long/],
    ['no file', [], /missing required argument/],
    ['two files', ['good', 'link'], /too many arguments/],
    ['an unknown option', ['good', '--frob'], /unknown option '--frob'/],
    ['an option that is nearly right', ['good', '--granul', '4k'], /Did you mean --granule/],
    ['an option without its value', ['good', '--memory'], /argument missing/],
    ['a size that is none', ['good', '--memory', 'banana'], /--memory banana: .* such as 64M/],
    ['a negative size', ['good', '--memory', '-5M'], /--memory -5M/],
    ['a size that is too small', ['good', '--memory', '1K'], /from 4 MiB/],
    ['a size that is too large', ['good', '--memory', '1000T'], /to 64 GiB/],
    ['an unknown granule', ['good', '--granule', '8k'], /choose 4k, 16k, 64k/],
    ['reclaim 0', ['good', '--reclaim', '0'], /--reclaim 0/],
    ['a seed that is none', ['good', '--seed', '0x10'], /--seed 0x10/],
    ['a seed that is too large', ['good', '--seed', '9007199254740993'], /--seed/],
    ['the input as output', ['good', '-o', 'good'], /good: is the input itself/],
    ['the input as output by a symbolic link', ['good', '-o', 'link'], /link: is the input itself/],
    ['the input as output by a hard link', ['good', '-o', 'hardlink'], /hardlink: is the input itself/],
    ['the input as trace', ['good', '--trace', 'link'], /link: is the input itself/],
    ['one file for output and trace', ['good', '-o', 'same', '--trace', 'same'], /same: is the output as well/],
    ['an output in no directory', ['good', '-o', 'nowhere/x.gz'], /its directory does not exist/],
    ['an output that is a directory', ['good', '-o', 'folder'], /folder: is a directory/],
    ['an output that is a device', ['good', '-o', '/dev/null'], /\/dev\/null: is a character device/],
    ['a trace in no directory', ['good', '--trace', 'nowhere/t'], /its directory does not exist/],
    ['an output where nobody may write', ['good', '-o', '/proc/x.gz'], /\/proc\/x\.gz/],
  ])('%s', async (_, args, message) => {
    const { code, stdout, stderr } = await scratch.smmu(['run', 'gzip', ...args]);
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^smmu: .*\n$/); // one line
    expect([code, stdout]).toEqual([2, '']);
    expect(scratch.list()).toEqual(before);
    expect(statSync(scratch.path('good')).size).toBe(5000);
  });

  it('an unknown command', async () => {
    const { code, stderr } = await scratch.smmu(['frob']);
    expect([code, stderr]).toEqual([2, "smmu: unknown command 'frob'; see smmu --help\n"]);
  });

  it('no command: the help, on stderr', async () => {
    const { code, stdout, stderr } = await scratch.smmu([]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('Usage: smmu');
  });
});

describe('smmu run gzip: a run that failed is one line and exit code 1', () => {
  /** Runs the command on a file, and meddles with the file as soon as the output is begun. */
  const meddled = async (meddle: (path: string) => void) => {
    const file = scratch.write('meddled', prose(2 ** 23));
    const before = scratch.list();
    const running = scratch.smmu(['run', 'gzip', file, '--trace', 'meddled.json']);
    await setTimeout(50);
    meddle(scratch.path(file));
    const { code, stdout, stderr } = await running;
    expect(stderr).toMatch(/^smmu: .*\n$/);
    expect([code, stdout]).toEqual([1, '']);
    expect(scratch.list()).toEqual(before);
    return stderr;
  };

  it('somebody writes to the input meanwhile', async () => {
    const stderr = await meddled((path) => {
      const fd = openSync(path, 'r+');
      writeSync(fd, 'X', 0);
      closeSync(fd);
    });
    expect(stderr).toMatch(/meddled: somebody wrote to it while it was compressed; try again/);
  });

  it('somebody cuts the input short meanwhile', async () => {
    // Which of the two is said depends on how far the run was.
    expect(await meddled((path) => truncateSync(path, 1000))).toMatch(
      /meddled(: somebody wrote| became shorter).*try again/,
    );
  });

  it.each([
    ['no memory', new IommuError('ENOMEM', 'no frame'), 0, /^4 MiB of RAM are too little \(no frame\); give more/],
    ['a fault without memory', new IommuError('EIO', 'job 3: WRITE_ABORTED'), 1, /too little .* --memory/],
    ['anything else of ours', new IommuError('EIO', 'job 3: READ_ABORTED'), 0, /^job 3: READ_ABORTED; please report/],
  ])('%s', (_, error, starved, message) => {
    const told = translate(error, 2 ** 22, starved);
    expect(told).toBeInstanceOf(RunError);
    expect((told as RunError).message).toMatch(message);
  });

  it('what nobody foresaw is passed on as it is', () => {
    const error = new RangeError('oops');
    expect(translate(error, 2 ** 22, 0)).toBe(error);
    expect(explain('file', error)).toBe(error);
    expect(explain('file', 'text').message).toBe('text');
    const odd = Object.assign(new Error('EXDEV: cross-device link'), { code: 'EXDEV', syscall: 'rename' });
    expect(explain('file', odd).message).toBe('file: EXDEV: cross-device link; try another file');
    expect(systemCode(Object.assign(new Error(), { code: 5, syscall: 'x' }))).toBeUndefined();
  });
});

describe('PendingFile: whole or not at all', () => {
  it('commits once, and discards nothing afterwards', () => {
    const file = new PendingFile(scratch.path('once'), 'once', []);
    const text = new TextWriter(file);
    text.write('a'.repeat(2 ** 18));
    text.write('b');
    text.flush();
    file.commit();
    file.discard();
    expect(readFileSync(scratch.path('once'), 'utf8')).toBe(`${'a'.repeat(2 ** 18)}b`);
  });

  it('says so if its place has become a directory', () => {
    const file = new PendingFile(scratch.path('taken'), 'taken', []);
    mkdirSync(scratch.path('taken'));
    expect(() => file.commit()).toThrow(/^taken: /);
    file.discard();
    file.discard();
    expect(scratch.list().filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('reads back what was written, zeros beyond, and forgets what was cut off', () => {
    const pending = new PendingFile(scratch.path('mapped'), 'mapped', []);
    const file = new OutputFile(pending);
    file.resize(3 * 4096);
    file.writePage(4096, new Uint8Array(4096).fill(7));
    const page = new Uint8Array(4096).fill(1);
    const read = (offset: number) => {
      file.readPage(offset, page);
      return [page[0], page[4095]];
    };
    expect([read(0), read(4096), read(8192)]).toEqual([
      [0, 0],
      [7, 7],
      [0, 0],
    ]);
    file.resize(5000);
    file.resize(3 * 4096);
    expect(read(4096)).toEqual([7, 0]);
    pending.close();
    expect(() => file.writePage(0, page)).toThrow(expect.objectContaining({ code: 'EIO' }));
    expect(file.failure).toBeDefined();
    pending.discard();
  });

  it('an input cannot be written, and fails once it is closed', () => {
    scratch.write('ro', 'text');
    const input = new InputFile(scratch.path('ro'), 'ro');
    expect(() => input.writePage()).toThrow(expect.objectContaining({ code: 'EPERM' }));
    input.close();
    expect(() => input.readPage(0, new Uint8Array(4096))).toThrow(expect.objectContaining({ code: 'EIO' }));
  });
});

describe('smmu run gzip: for people', () => {
  it('--help teaches with examples and is a success', async () => {
    const { code, stdout, stderr } = await scratch.smmu(['run', 'gzip', '--help']);
    expect([code, stderr]).toEqual([0, '']);
    for (const part of ['Usage: smmu run gzip', 'Examples:', '--memory 64M', 'perfetto.dev', 'Exit code'])
      expect(stdout).toContain(part);
  });

  it('the report says in one line what happened, and at the end how to check it', async () => {
    scratch.write("it's prose", prose(300_000));
    const { code, stdout, stderr } = await scratch.smmu(['run', 'gzip', "it's prose", '--trace', 'prose.json']);
    expect([code, stderr]).toEqual([0, '']);
    const lines = stdout.split('\n');
    expect(lines[0]).toBe("A PCI device compressed it's prose straight from a process's own memory, verified.");
    expect(stdout).toContain('300,000 bytes (293.0 KiB)');
    expect(stdout).toContain('Nothing left behind');
    expect(stdout).toContain("| cmp - 'it'\\''s prose'");
    expect(stdout).toContain('Trace:');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(140);
    expect(stdout).not.toContain('\u001b');
  });

  it('a terminal gets colours and a progress bar on stderr; NO_COLOR takes the colours away', async () => {
    scratch.write('bar', prose(2_000_000));
    const tty = await scratch.smmu(['run', 'gzip', 'bar'], { isTTY: true, env: { TERM: 'xterm' } });
    expect(tty.stdout).toContain('\u001b[1m');
    expect(tty.stderr).toContain('page faults');
    const plain = await scratch.smmu(['run', 'gzip', 'bar'], { isTTY: true, env: { NO_COLOR: '1' } });
    expect(plain.stdout).not.toContain('\u001b');
    const dumb = await scratch.smmu(['run', 'gzip', 'bar'], { isTTY: true, env: { TERM: 'dumb' } });
    expect(dumb.stdout).not.toContain('\u001b');
    const forced = await scratch.smmu(['run', 'gzip', 'bar'], { env: { FORCE_COLOR: '1' } });
    expect(forced.stdout).toContain('\u001b[1m');
    expect(forced.stderr).toBe('');
  });
});
