// Checks every published package as its user gets it: packed, then read by publint and are-the-types-wrong.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

execFileSync('pnpm', ['exec', 'tsc', '-b'], { stdio: 'inherit' });
const folder = mkdtempSync(join(tmpdir(), 'smmu-pack-'));
let failed = 0;
try {
  for (const name of readdirSync('packages')) {
    execFileSync('pnpm', ['pack', '--pack-destination', folder], { cwd: join('packages', name), stdio: 'ignore' });
  }
  for (const tarball of readdirSync(folder)) {
    const path = join(folder, tarball);
    for (const [tool, ...args] of [
      ['publint', 'run', path, '--strict'],
      ['attw', path, '--profile', 'esm-only', '--format', 'ascii'],
    ]) {
      const { status, stdout, stderr } = spawnSync('pnpm', ['exec', tool, ...args], { encoding: 'utf8' });
      if (status === 0) continue;
      failed += 1;
      console.error(`${tool} refuses ${tarball}:\n${stdout}${stderr}`);
    }
  }
  console.log(`${readdirSync(folder).length} packages checked, ${failed} complaints`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = failed === 0 ? 0 : 1;
