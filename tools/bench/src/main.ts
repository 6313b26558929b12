#!/usr/bin/env node
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { measure } from './measure.ts';
import { render } from './report.ts';
import type { Measured } from './row.ts';
import { rows } from './rows.ts';

interface Options {
  readonly json?: true;
  readonly only?: string;
  readonly rounds: number;
  readonly row?: string;
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 9) throw new InvalidArgumentError('give a whole number from 9 up');
  return value;
}

const program = new Command('bench')
  .description('Times every workload for which there is a goal, each in a process of its own, beside a yardstick loop.')
  .option('--only <text>', 'only rows whose name contains this')
  .option('--rounds <n>', 'rounds of each row; the median counts', count, 15)
  .option('--json', 'print one JSON object')
  .option('--row <name>', 'time one row in this very process and print it as JSON')
  .addHelpText(
    'after',
    '\nA goal holds for a machine whose yardstick step takes 1.7 ns; here it is scaled by the step measured beside each row.\nExit code: 0 when the bench ran, whether or not goals are met; 1 when a row failed; 2 for a bad option.',
  )
  .exitOverride((error) =>
    process.exit(error.code.startsWith('commander.') && error.exitCode !== 0 ? 2 : error.exitCode),
  );
program.parse();
const options = program.opts<Options>();

if (options.row !== undefined) {
  const row = rows.find(({ name }) => name === options.row);
  if (!row) program.error(`no row is called '${options.row}'; run without --row to see all`, { exitCode: 2 });
  console.log(JSON.stringify(await measure(row!, options.rounds)));
} else {
  const chosen = rows.filter(({ name }) => name.includes(options.only ?? ''));
  if (chosen.length === 0) program.error(`no row's name contains '${options.only}'`, { exitCode: 2 });
  const measured: Measured[] = [];
  for (const { name } of chosen) {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${measured.length + 1}/${chosen.length} ${name}`);
    const self = fileURLToPath(import.meta.url);
    const child = spawnSync(process.execPath, [self, '--row', name, '--rounds', String(options.rounds)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (child.status !== 0) program.error(`row '${name}' failed; run it alone with --row`, { exitCode: 1 });
    measured.push(JSON.parse(child.stdout) as Measured);
  }
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[2K');
  const step = measured.map((row) => row.step).sort((a, b) => a - b)[measured.length >> 1]!;
  if (options.json) console.log(JSON.stringify({ step, rows: measured }, null, 2));
  else console.log(render(step, measured));
}
