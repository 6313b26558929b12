// Lets `npm start` and `npm test` work in a fresh clone: installs with the package manager that the project names.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

if (!process.env.npm_config_user_agent?.startsWith('pnpm/')) {
  const { packageManager } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  const npx = process.platform === 'win32' ? 'npx.cmd' : 'npx';
  const { status, error } = spawnSync(npx, ['--yes', '--prefer-offline', packageManager, 'install'], {
    stdio: 'inherit',
    shell: process.platform === 'win32',
  });
  if (error) console.error(`cannot start npx: ${error.message}`);
  process.exitCode = status ?? 1;
}
