// Checks every published package as its user gets it: packed; read by publint and are-the-types-wrong; installed with npm
// into an empty project, where the example of its README runs under plain Node.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { transformWithOxc } from 'vite';

const complaints = [];

/** Runs a command. What it prints is worth reading only if it fails. */
function check(what, command, args, cwd = '.') {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', cwd });
  if (status !== 0) complaints.push(`${what}:\n${stdout}${stderr}`);
}

/** The first example of a README, as JavaScript. One that is a fragment stands on what the text around it says. */
async function exampleOf(name) {
  const readme = readFileSync(join('packages', name, 'README.md'), 'utf8');
  const [, language, code] = /```(ts|js|ts fragment)\n([\s\S]*?)```/.exec(readme) ?? [];
  if (code === undefined) complaints.push(`${name}: the README has no example`);
  if (code === undefined || language === 'ts fragment') return undefined;
  return (await transformWithOxc(code, 'example.ts', { lang: 'ts' })).code;
}

execFileSync('pnpm', ['exec', 'tsc', '-b'], { stdio: 'inherit' });
const folder = mkdtempSync(join(tmpdir(), 'smmu-packages-'));
const [packed, project] = [join(folder, 'packed'), join(folder, 'project')];
mkdirSync(packed);
mkdirSync(project);
try {
  const names = readdirSync('packages');
  for (const name of names)
    execFileSync('pnpm', ['pack', '--pack-destination', packed], { cwd: join('packages', name), stdio: 'ignore' });
  const tarballs = readdirSync(packed).map((file) => join(packed, file));
  for (const path of tarballs) {
    check(`publint refuses ${path}`, 'pnpm', ['exec', 'publint', 'run', path, '--strict']);
    check(`attw refuses ${path}`, 'pnpm', ['exec', 'attw', path, '--profile', 'esm-only', '--format', 'ascii']);
  }
  writeFileSync(join(project, 'package.json'), '{ "type": "module", "private": true }');
  check('npm does not install the packages', 'npm', ['install', '--no-audit', '--no-fund', ...tarballs], project);
  let examples = 0;
  for (const name of names) {
    const code = await exampleOf(name);
    if (code === undefined) continue;
    writeFileSync(join(project, `${name}.js`), code);
    check(`the example of ${name} fails`, process.execPath, [`${name}.js`], project);
    examples += 1;
  }
  for (const complaint of complaints) console.error(complaint);
  console.log(`${names.length} packages and ${examples} examples checked, ${complaints.length} complaints`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = complaints.length === 0 ? 0 : 1;
