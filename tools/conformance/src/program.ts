/** The command line: what to compare, where to write, and the exit code. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { takeCapture } from './capture.ts';
import { Capture, type CaptureResult, captureNames } from './captures.ts';
import { differences } from './compare.ts';
import { entries } from './ledger/entries.ts';
import { ModelTarget } from './modelTarget.ts';
import { offers, posedFeatures, QEMU_10_ID } from './posedFeatures.ts';
import { type FoundQemu, findQemu, installQemu, shapesOf } from './qemu/find.ts';
import { captureReport, colorsFor, comparisonReport, ledgerReport } from './report.ts';
import { type ComparisonResult, compare } from './run.ts';
import { readVectors, writeVectors } from './vectors.ts';
import { written } from './written/index.ts';

export const EXIT = { OK: 0, FAILED: 1, USAGE: 2 } as const;

/** Streams and surroundings: `process`, or a test. */
export interface Surroundings {
  readonly stdout: { write(text: string): unknown; readonly isTTY?: boolean };
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean };
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

interface Options {
  readonly seed: number;
  readonly count: number;
  readonly only: string;
  readonly json?: true;
  readonly qemu: boolean;
  readonly install: boolean;
  readonly ledger?: true;
  readonly capture?: string;
  readonly captures: string;
  readonly vectors?: string;
  readonly replay?: string;
}

const FIXTURES = fileURLToPath(new URL('../fixtures', import.meta.url));

const HELP = `
What is compared: data that devices moved, event records in every field, queue indexes with
their wrap bits, CMDQ_CONS.ERR, GERROR and GERRORN, registers read back, words in memory.

A difference must stand in the ledger (src/ledger/entries.ts) with the section of the
architecture that decides; a new one fails the run, and so does one that is gone.

Examples:
  pnpm -s conformance                      all written and 20,000 random scenarios, the captures
  pnpm -s conformance --count 500          a quick run
  pnpm -s conformance --seed 7 --json      other random scenarios, for a program to read
  pnpm -s conformance --only nested/       written scenarios whose name has "nested/"
  pnpm -s conformance --ledger             the known differences, with who is right
  pnpm -s conformance --vectors out        scenarios with what is due, as JSON, for your SMMU
  pnpm -s conformance --replay out         our model does what such files ask for
  pnpm -s conformance --capture out        one more capture of this machine's QEMU
  QEMU=/opt/qemu/bin/qemu-system-aarch64 pnpm -s conformance

Exit code: 0 all is explained, 1 something is not, 2 something to set right.`;

function whole(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new InvalidArgumentError('give a whole number from 0 up');
  return value;
}

/** Runs the command. Returns the exit code. */
export async function main(args: readonly string[], to: Surroundings): Promise<number> {
  const program = new Command('conformance')
    .description(
      'Puts the same scenarios to our SMMUv3 model and to a live QEMU, and captured Linux guests to our model.',
    )
    .option('--seed <n>', 'chooses the random scenarios', whole, 1)
    .option('--count <n>', 'how many random scenarios', whole, 20_000)
    .option('--only <text>', 'only written scenarios whose name contains this', '')
    .option('--json', 'print one JSON object')
    .option('--no-qemu', 'leave the comparison with QEMU out')
    .option('--no-install', 'do not install a missing QEMU')
    .option('--captures <dir>', 'captures to answer, in the layout of fixtures/', FIXTURES)
    .option('--ledger', 'print the ledger and end')
    .option('--capture <dir>', 'take a capture of QEMU there and end')
    .option('--vectors <dir>', 'write the scenarios as JSON vectors there and end')
    .option('--replay <dir>', 'run the JSON vectors there on our model and end')
    .addHelpText('after', HELP)
    .configureOutput({ writeOut: (text) => to.stdout.write(text), writeErr: (text) => to.stderr.write(text) })
    .exitOverride();
  try {
    program.parse([...args], { from: 'user' });
    const options = program.opts<Options>();
    if (options.ledger) return ledger(options, to);
    if (!written.some(({ name }) => name.includes(options.only)))
      throw new Error(`no written scenario's name contains '${options.only}'`);
    if (options.vectors !== undefined) return vectors(resolve(to.cwd, options.vectors), to);
    if (options.replay !== undefined) return replay(resolve(to.cwd, options.replay), options, to);
    if (options.capture !== undefined) return await capture(resolve(to.cwd, options.capture), options, to);
    return await everything(options, to);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.OK : EXIT.USAGE;
    to.stderr.write(`conformance: ${(error as Error).message}\n`);
    return EXIT.USAGE;
  }
}

const paint = (to: Surroundings): ReturnType<typeof colorsFor> =>
  colorsFor(to.stdout.isTTY === true && !to.env.NO_COLOR);

function ledger(options: Options, to: Surroundings): number {
  to.stdout.write(`${options.json ? JSON.stringify(entries, null, 2) : ledgerReport(entries, paint(to))}\n`);
  return EXIT.OK;
}

/** A QEMU, installed if need be; else why not. */
function qemu(options: Options, to: Surroundings): FoundQemu | string {
  const found = findQemu(to.env.QEMU);
  if (typeof found !== 'string' || !options.install || to.env.QEMU !== undefined) return found;
  const refused = installQemu((line) => to.stderr.write(`conformance: ${line}\n`));
  return refused === '' ? findQemu() : `${found}, and it cannot be installed: ${refused}`;
}

async function everything(options: Options, to: Surroundings): Promise<number> {
  const c = paint(to);
  const progress = (text: string): void => {
    if (to.stderr.isTTY) to.stderr.write(`\r\x1b[2K${text}`);
  };
  let found: FoundQemu | string = 'left out';
  let comparison: ComparisonResult | undefined;
  if (options.qemu) {
    found = qemu(options, to);
    if (typeof found === 'string') to.stderr.write(`conformance: SKIPPED the comparison with QEMU: ${found}\n`);
    else {
      const { binary, version } = found;
      const { seed, count, only } = options;
      comparison = await compare({ binary, version, shapes: shapesOf(version), seed, count, only, progress });
    }
  }
  const captures = runCaptures(resolve(to.cwd, options.captures), progress);
  const failed =
    (comparison !== undefined && (comparison.unexplained.length > 0 || comparison.model.length > 0)) ||
    captures.some(isWrong);
  if (options.json)
    to.stdout.write(
      `${JSON.stringify(
        {
          qemu:
            typeof found === 'string'
              ? { version: null, skipped: found }
              : { version: found.version, shapes: comparison?.shapes },
          seed: options.seed,
          written: comparison?.written ?? null,
          random: comparison?.random ?? null,
          ledger: comparison?.entries ?? {},
          unexplained: comparison?.unexplained ?? [],
          model: comparison?.model ?? [],
          captures,
        },
        null,
        2,
      )}\n`,
    );
  else {
    if (comparison !== undefined && typeof found !== 'string')
      to.stdout.write(`${comparisonReport(found.version, comparison, c, false)}\n\n`);
    to.stdout.write(`${captureReport(captures, c)}\n`);
  }
  return failed ? EXIT.FAILED : EXIT.OK;
}

const isWrong = ({ rows, matched, faults, mmio }: CaptureResult): boolean =>
  matched !== rows || faults.matched + faults.ledger !== faults.run || mmio.matched !== mmio.reads;

function runCaptures(folder: string, progress: (text: string) => void): CaptureResult[] {
  if (!existsSync(folder)) throw new Error(`${folder}: there are no captures`);
  return captureNames(folder).map((name) => {
    progress(`capture ${name}`);
    const result = new Capture(folder, name).run();
    progress('');
    return result;
  });
}

/** The scenarios with what the architecture asks for, posed as the SMMU of QEMU 10.0 with both stages. */
function vectors(folder: string, to: Surroundings): number {
  const id = QEMU_10_ID.nested;
  const features = posedFeatures(id);
  const judged = written
    .filter(({ needs }) => offers(features, needs))
    .map((scenario) => [scenario, scenario.expect!] as const);
  const names = writeVectors(folder, id, judged);
  to.stdout.write(`${judged.length} scenarios in ${names.length} files, schema.json and README.md in ${folder}\n`);
  return EXIT.OK;
}

function replay(folder: string, options: Options, to: Surroundings): number {
  if (!existsSync(folder)) throw new Error(`${folder}: no such folder`);
  let run = 0;
  const wrong: string[] = [];
  for (const { id, scenarios } of readVectors(folder)) {
    const model = new ModelTarget(posedFeatures(id));
    for (const scenario of scenarios) {
      if (!scenario.name.includes(options.only)) continue;
      run++;
      const found = differences(scenario, scenario.expect, model.run(scenario));
      if (found.length > 0) wrong.push(`${scenario.name}: ${found.map(({ detail }) => detail).join('; ')}`);
    }
  }
  if (options.json) to.stdout.write(`${JSON.stringify({ run, matched: run - wrong.length, wrong }, null, 2)}\n`);
  else
    to.stdout.write([`${run - wrong.length} of ${run} vectors are met`, ...wrong].map((line) => `${line}\n`).join(''));
  if (run === 0) throw new Error(`${folder}: no vectors`);
  return wrong.length === 0 ? EXIT.OK : EXIT.FAILED;
}

async function capture(folder: string, options: Options, to: Surroundings): Promise<number> {
  const found = qemu(options, to);
  if (typeof found === 'string') throw new Error(`no capture without QEMU: ${found}`);
  for (const line of await takeCapture(found, folder)) to.stdout.write(`${line}\n`);
  return EXIT.OK;
}
