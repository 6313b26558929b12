/** Finds a QEMU, or installs one from the distribution's backports, and says which shapes its SMMU has. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compareVersions } from '../ledger.ts';
import type { Shape } from './target.ts';

const SOURCES = '/etc/apt/sources.list.d';
const PACKAGE = 'qemu-system-arm';
const NAME = 'qemu-system-aarch64';
/** The first with an SMMUv3 that these scenarios can be put to. */
const OLDEST = '7.2';

export interface FoundQemu {
  readonly binary: string;
  readonly version: string;
}

/** @returns The QEMU, or why there is none. */
export function findQemu(binary: string = process.env.QEMU ?? NAME): FoundQemu | string {
  const asked = spawnSync(binary, ['--version'], { encoding: 'utf8' });
  if (asked.error !== undefined || asked.status !== 0) return `${binary} cannot be run`;
  const version = /version (\d+\.\d+(?:\.\d+)?)/.exec(asked.stdout)?.[1];
  if (version === undefined) return `${binary} does not say its version`;
  if (compareVersions(version, OLDEST) < 0)
    return `${binary} is ${version}; ${OLDEST} is the first that can be compared`;
  return { binary, version };
}

/** Installs QEMU with apt where that is possible. @returns Why not, or an empty string. */
export function installQemu(say: (line: string) => void): string {
  if (spawnSync('apt-get', ['--version']).error !== undefined) return 'there is no apt-get';
  if (process.getuid?.() !== 0) return 'installing takes root';
  const backports = backportsSource();
  const folder = mkdtempSync(join(tmpdir(), 'smmu-apt-'));
  try {
    const options = ['-y', '-q', '-o', 'DPkg::Lock::Timeout=60'];
    if (backports !== undefined) {
      const list = join(folder, backports.name);
      // The machine's own sources stay in force beside it: what QEMU needs comes from there.
      if (existsSync(SOURCES))
        for (const name of readdirSync(SOURCES)) copyFileSync(join(SOURCES, name), join(folder, name));
      writeFileSync(list, backports.text);
      options.push('-o', `Dir::Etc::sourceparts=${folder}/`, '-t', backports.suite);
    }
    say(`installing ${PACKAGE}${backports ? ` from ${backports.suite}` : ''} with apt-get`);
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    for (const command of [['update'], ['install', '--no-install-recommends', PACKAGE]]) {
      const done = spawnSync('apt-get', [...options, ...command], { encoding: 'utf8', env });
      if (done.status !== 0) return `apt-get ${command[0]} failed: ${(done.stderr ?? '').trim().split('\n').at(-1)}`;
    }
    return '';
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The machine's own apt source with the suite of backports in place of its own; none if it has no Debian release. */
function backportsSource(): { name: string; text: string; suite: string } | undefined {
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  const codename = /^VERSION_CODENAME=(\w+)/m.exec(release)?.[1];
  if (codename === undefined || !/^ID=debian$/m.test(release)) return undefined;
  const suite = `${codename}-backports`;
  const files = [
    '/etc/apt/sources.list',
    ...(existsSync(SOURCES) ? readdirSync(SOURCES).map((name) => join(SOURCES, name)) : []),
  ].filter((path) => existsSync(path));
  for (const path of files) {
    const text = readFileSync(path, 'utf8');
    if (path.endsWith('.sources') && new RegExp(`^Suites:.*\\b${codename}\\b`, 'm').test(text))
      return { name: 'backports.sources', text: text.replace(/^Suites:.*$/gm, `Suites: ${suite}`), suite };
    const line = text.split('\n').find((one) => new RegExp(`^deb\\s.*\\s${codename}\\s`).test(one));
    if (line !== undefined)
      return { name: 'backports.list', text: `${line.replace(` ${codename} `, ` ${suite} `)}\n`, suite };
  }
  return undefined;
}

/** Shapes of the SMMU that a QEMU can pose, the fullest first. */
export function shapesOf(version: string): Shape[] {
  if (compareVersions(version, '9.2') >= 0) return ['nested', 'stage1', 'stage2'];
  return compareVersions(version, '8.1') >= 0 ? ['stage1', 'stage2'] : ['default'];
}
