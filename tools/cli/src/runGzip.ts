import { resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { type Granule, GzipRun, type GzipRunOptions, MEMORY_STEP } from '@smmu/machine';
import { IommuError } from '@smmu/platform';
import pc from 'picocolors';
import { explain, RunError, UsageError } from './errors.ts';
import { InputFile, OutputFile, PendingFile, TextWriter } from './files.ts';
import { type Progress, startProgress } from './progress.ts';
import { type GzipReport, renderReport } from './report.ts';
import { hasColors, type Terminal } from './terminal.ts';
import { formatBytes, parseCount, parseSize } from './units.ts';
import { verify } from './verify.ts';

/** Options as they stand on the command line. */
export interface GzipCommand {
  readonly output?: string;
  readonly granule: string;
  readonly memory: string;
  readonly reclaim?: string;
  readonly seed: string;
  readonly trace?: string;
  readonly json?: boolean;
}

/** What a program that is told to stop has to take away. */
export type Cleanup = (action: () => void) => void;

export const MEMORY: { readonly MIN: number; readonly MAX: number } = { MIN: 2 ** 22, MAX: 2 ** 36 };
const GRANULES: readonly Granule[] = ['4k', '16k', '64k'];
const MAX_COUNT = Number.MAX_SAFE_INTEGER;
/** How long the machine runs before a signal or the terminal gets a look in. */
const SLICE_MS = 40;
/** Byte 9 of a gzip member names the system it was made on: "unknown", so that output is the same everywhere. */
const GZIP_OS = 9;
const OS_UNKNOWN = 255;

/** The accelerator's compression engine: one gzip member by Node's zlib. */
export function zlibEngine(input: Uint8Array, output: Uint8Array): number {
  const member = gzipSync(input);
  if (member.length > output.length) return -1;
  member[GZIP_OS] = OS_UNKNOWN;
  output.set(member);
  return member.length;
}

/**
 * `smmu run gzip FILE`.
 * @param onCleanup - Takes what must be done if the program is told to stop.
 * @throws UsageError for what the user can set right, RunError for a run that failed. No file is left half-written.
 */
export async function runGzip(
  file: string,
  command: GzipCommand,
  terminal: Terminal,
  onCleanup: Cleanup = () => {},
): Promise<void> {
  const options = parse(command);
  const at = (path: string): string => resolve(terminal.cwd, path);
  const undo: (() => void)[] = [];
  const discard = (): void => {
    for (const step of undo.splice(0).reverse()) step();
  };
  onCleanup(discard);
  try {
    if (file === '' || command.output === '' || command.trace === '')
      throw new UsageError('a file name is empty; name a file');
    const input = new InputFile(at(file), file);
    undo.push(() => input.close());
    const shown = command.output ?? `${file}.gz`;
    const output = new PendingFile(at(shown), shown, [{ stats: input.stats, what: 'the input' }]);
    undo.push(() => output.discard());
    const trace = command.trace === undefined ? undefined : openTrace(at(command.trace), command.trace, input, output);
    if (trace) undo.push(() => trace.discard());
    const progress = startProgress(terminal.stderr, input.size);
    undo.push(() => progress.stop());

    const report = await runAndVerify(input, output, trace, options, progress, file);
    output.commit();
    trace?.commit();
    progress.stop();
    const colors = pc.createColors(hasColors(terminal.stdout, terminal.env));
    terminal.stdout.write(command.json ? `${JSON.stringify(report, null, 2)}\n` : renderReport(report, colors));
  } finally {
    discard();
  }
}

type RunOptions = Pick<GzipRunOptions, 'granule' | 'memoryBytes' | 'seed' | 'reclaimEvery'>;

function parse(command: GzipCommand): RunOptions {
  const granule = GRANULES.find((name) => name === command.granule.toLowerCase());
  if (granule === undefined)
    throw new UsageError(`--granule ${command.granule}: no such page size; choose ${GRANULES.join(', ')}`);
  const bytes = parseSize('--memory', command.memory, MEMORY.MIN, MEMORY.MAX);
  return {
    granule,
    memoryBytes: Math.ceil(bytes / MEMORY_STEP) * MEMORY_STEP,
    seed: parseCount('--seed', command.seed, 0, MAX_COUNT),
    reclaimEvery: command.reclaim === undefined ? undefined : parseCount('--reclaim', command.reclaim, 1, MAX_COUNT),
  };
}

function openTrace(path: string, shown: string, input: InputFile, output: PendingFile): PendingFile {
  if (path === output.path) throw new UsageError(`${shown}: is the output as well; name another file for the trace`);
  return new PendingFile(path, shown, [{ stats: input.stats, what: 'the input' }]);
}

async function runAndVerify(
  input: InputFile,
  output: PendingFile,
  trace: PendingFile | undefined,
  options: RunOptions,
  progress: Progress,
  shown: string,
): Promise<GzipReport> {
  const outputFile = new OutputFile(output);
  const writer = trace && new TextWriter(trace);
  let run: GzipRun | undefined;
  try {
    run = new GzipRun({ ...options, input, output: outputFile, engine: zlibEngine, trace: writer?.write });
    await drive(run, progress);
    const facts = run.finish();
    writer?.flush();
    const verified = await verify(input, output.temporary, (bytes) =>
      progress.update('verifying', bytes, facts.faults.total),
    );
    if (verified.problem !== undefined)
      throw new RunError(
        input.changed
          ? `${shown}: somebody wrote to it while it was compressed; try again`
          : `${output.shown}: wrong, ${verified.problem}; please report this with the seed`,
      );
    return {
      verified: true,
      input: { path: shown, bytes: input.size, sha256: verified.inputSha256 },
      output: { path: output.path, bytes: verified.outputBytes, sha256: verified.outputSha256 },
      ...facts,
      ...(trace && { trace: { path: trace.path } }),
    };
  } catch (error) {
    // What the file system refused is the cause of whatever followed from it.
    if (outputFile.failure !== undefined) throw explain(output.shown, outputFile.failure);
    if (input.failure instanceof IommuError) throw new RunError(`${input.failure.message}; try again`);
    if (input.failure !== undefined) throw explain(shown, input.failure);
    throw translate(error, options.memoryBytes, run?.board.sva.faults.outOfMemory ?? 0);
  }
}

/** Steps the machine, and lets signals and the terminal have a turn now and then. */
async function drive(run: GzipRun, progress: Progress): Promise<void> {
  for (let going = true; going; ) {
    const until = performance.now() + SLICE_MS;
    while (going && performance.now() < until) for (let i = 0; i < 64 && going; i += 1) going = run.step();
    const { bytes, faults } = run.progress;
    progress.update('compressing', bytes, faults);
    await setImmediate();
  }
}

/**
 * What ended a run, in words that say what to do.
 * @param starved - I/O page faults for which there was no memory: the cause of whatever the device then reported.
 */
export function translate(error: unknown, memoryBytes: number, starved: number): unknown {
  if (!(error instanceof IommuError)) return error;
  if (error.code === 'ENOMEM' || starved > 0)
    return new RunError(
      `${formatBytes(memoryBytes)} of RAM are too little (${error.message}); give more with --memory`,
    );
  return new RunError(`${error.message}; please report this with the command and the file`);
}
