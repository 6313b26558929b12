import { Command, CommanderError } from 'commander';
import { EXIT, RunError, UsageError } from './errors.ts';
import { type Cleanup, type GzipCommand, runGzip } from './runGzip.ts';
import type { Terminal } from './terminal.ts';

// One line a paragraph: commander breaks them to fit the terminal.
const DESCRIPTION =
  'Arm SMMUv3 Shared Virtual Addressing, whole: a driver, the hardware that it drives, and processes whose memory a device uses by their own pointers.';

const GZIP_DESCRIPTION = `Compress FILE with a PCI accelerator that works on a process's own memory.

A process maps FILE, is bound to the accelerator and gives it plain pointers. Nothing is in memory at first: each page that the device touches stalls it, becomes an event record, an interrupt, an I/O page fault, a page brought in, a CMD_RESUME and a retry.

The output is inflated and compared with FILE before it takes its place.`;

const GZIP_EXAMPLES = `
Examples:
  smmu run gzip notes.txt                   writes notes.txt.gz
  smmu run gzip big.img --memory 64M        less memory than the file needs:
                                            pages are taken from the running device
  smmu run gzip notes.txt --granule 64k     pages of 64 KiB: fewer faults
  smmu run gzip notes.txt --reclaim 16      16 random pages vanish after every 16th DMA
  smmu run gzip notes.txt --trace run.json  open run.json at https://ui.perfetto.dev
  smmu run gzip notes.txt --json            the facts, for a program to read

The same seed and input give the same bytes in every report and trace; any seed
gives the same output. An OUT.gz that exists is replaced once the new one is right.

Exit code: 0 done and verified, 1 the run failed, 2 something to set right.`;

/**
 * Runs the command.
 * @param args - What follows the program's name.
 * @returns The exit code.
 */
export async function main(args: readonly string[], terminal: Terminal, onCleanup?: Cleanup): Promise<number> {
  const program = makeProgram(terminal, onCleanup);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return EXIT.OK;
  } catch (error) {
    if (error instanceof CommanderError) return usage(error, terminal);
    if (!(error instanceof UsageError || error instanceof RunError)) throw error;
    terminal.stderr.write(`smmu: ${error.message}\n`);
    return error instanceof UsageError ? EXIT.USAGE : EXIT.FAILED;
  }
}

/** Help is a success; anything else that commander objects to is one line and exit code 2. */
function usage(error: CommanderError, terminal: Terminal): number {
  if (error.exitCode === 0) return EXIT.OK;
  if (error.code === 'commander.help') return EXIT.USAGE; // a command was missing: its help has been shown
  const what = error.message
    .replace(/^error: /, '')
    .replace(/\s*\n\s*/g, ' ')
    .replace(/\.$/, '');
  const help = error.code === 'commander.unknownCommand' ? 'smmu --help' : 'smmu run gzip --help';
  terminal.stderr.write(`smmu: ${what}; see ${help}\n`);
  return EXIT.USAGE;
}

function makeProgram(terminal: Terminal, onCleanup: Cleanup | undefined): Command {
  const program = new Command('smmu').description(DESCRIPTION);
  const run = program.command('run').description('run something on a board of its own');
  run
    .command('gzip')
    .description(GZIP_DESCRIPTION)
    .summary("compress a file with an accelerator that works on a process's own memory")
    .argument('<FILE>', 'what to compress')
    .option('-o, --output <OUT.gz>', 'where to put it; FILE.gz if left out')
    .option('--granule <4k|16k|64k>', 'page size', '4k')
    .option('--memory <SIZE>', "the board's RAM, such as 64M", '1G')
    .option('--reclaim <N>', 'take N random resident pages away after every N-th DMA')
    .option('--seed <N>', 'decides the order of what happens at the same time', '0')
    .option('--trace <FILE>', 'write the run as Chrome trace events, for Perfetto')
    .option('--json', 'print one JSON object and nothing else')
    .addHelpText('after', GZIP_EXAMPLES)
    .action((file: string, options: GzipCommand) => runGzip(file, options, terminal, onCleanup));
  for (const command of [program, run, ...run.commands])
    command.exitOverride().configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      // Told in one line by `usage`; but a missing command shows the help.
      writeErr: (text) => (text.startsWith('error:') ? undefined : terminal.stderr.write(text)),
    });
  return program;
}
