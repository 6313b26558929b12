#!/usr/bin/env node
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { curves, measureCurve, type Point } from './curves.ts';
import { measure } from './measure.ts';
import { plot } from './plot.ts';
import { render, renderCurve } from './report.ts';
import type { Measured } from './row.ts';
import { rows } from './rows.ts';
import { yardstick } from './yardstick.ts';

interface Options {
  readonly json?: true;
  readonly only: string;
  readonly rounds: number;
  readonly curves?: true;
  readonly row?: string;
  readonly curve?: string;
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 9) throw new InvalidArgumentError('give a whole number from 9 up');
  return value;
}

const program = new Command('bench')
  .description('Times every workload for which there is a goal, each in a process of its own, beside a yardstick loop.')
  .option('--only <text>', 'only rows, or curves of packages, whose name contains this', '')
  .option('--rounds <n>', 'rounds of each row; the median counts', count, 15)
  .option('--curves', 'cost over 2^4 to 2^20 live objects instead; draws packages/NAME/docs/cost.svg')
  .option('--json', 'print one JSON object')
  .option('--row <name>', 'time one row in this very process and print it as JSON')
  .option('--curve <package>', 'measure one curve in this very process and print it as JSON')
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
  console.log(
    JSON.stringify(
      await measure(
        named(rows, options.row, (row) => row.name),
        options.rounds,
      ),
    ),
  );
} else if (options.curve !== undefined) {
  const curve = named(curves, options.curve, (it) => it.package);
  console.log(JSON.stringify({ step: yardstick(), points: measureCurve(curve) }));
} else if (options.curves) {
  const chosen = matching(curves, (curve) => curve.package);
  const drawn = chosen.map((curve, i) => {
    progress(i, chosen.length, curve.package);
    const { step, points } = inOwnProcess<{ step: number; points: Point[] }>('--curve', curve.package);
    const folder = join('packages', curve.package, 'docs');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'cost.svg'), plot(curve, points, step));
    return { package: curve.package, operation: curve.operation, step, points };
  });
  progress();
  if (options.json) console.log(JSON.stringify(drawn, null, 2));
  else for (const curve of drawn) console.log(renderCurve(curve));
} else {
  const chosen = matching(rows, (row) => row.name);
  const measured = chosen.map(({ name }, i) => {
    progress(i, chosen.length, name);
    return inOwnProcess<Measured>('--row', name);
  });
  progress();
  const step = measured.map((row) => row.step).sort((a, b) => a - b)[measured.length >> 1]!;
  if (options.json) console.log(JSON.stringify({ step, rows: measured }, null, 2));
  else console.log(render(step, measured));
}

function named<T>(all: readonly T[], name: string, nameOf: (one: T) => string): T {
  const found = all.find((one) => nameOf(one) === name);
  return (
    found ?? program.error(`nothing is called '${name}'; there are ${all.map(nameOf).join(', ')}`, { exitCode: 2 })
  );
}

function matching<T>(all: readonly T[], nameOf: (one: T) => string): readonly T[] {
  const found = all.filter((one) => nameOf(one).includes(options.only));
  if (found.length === 0) program.error(`no name contains '${options.only}'`, { exitCode: 2 });
  return found;
}

/** What one measures must not warm up, or slow down, what the next one measures. */
function inOwnProcess<T>(option: string, name: string): T {
  const self = fileURLToPath(import.meta.url);
  const child = spawnSync(process.execPath, [self, option, name, '--rounds', String(options.rounds)], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (child.status !== 0) program.error(`'${name}' failed; run it alone with ${option}`, { exitCode: 1 });
  return JSON.parse(child.stdout) as T;
}

/** Says on a terminal what is being measured; without arguments takes the line away. */
function progress(done?: number, total?: number, name?: string): void {
  if (!process.stderr.isTTY) return;
  process.stderr.write(`\r\x1b[2K${done === undefined ? '' : `${done + 1}/${total} ${name}`}`);
}
