import type { GzipFacts } from '@smmu/machine';
import Table from 'cli-table3';
import type { createColors } from 'picocolors';
import { formatBoth, formatBytes, formatCount, formatTime } from './units.ts';

/** What `smmu run gzip` prints: as one JSON object with `--json`, else as {@link renderReport} shows it. */
export interface GzipReport extends GzipFacts {
  /** The output was inflated and compared with the input, byte by byte. */
  readonly verified: boolean;
  readonly input: { readonly path: string; readonly bytes: number; readonly sha256: string };
  readonly output: { readonly path: string; readonly bytes: number; readonly sha256: string };
  readonly trace?: { readonly path: string };
}

export type Colors = ReturnType<typeof createColors>;

const LABEL_WIDTH = 18;
const CLEAN = ['tablePages', 'pasids', 'pinnedAsids', 'pendingFaults'] as const;

/** The report for people: what happened in one line, the facts, where the output is and how to check it. */
export function renderReport(report: GzipReport, c: Colors): string {
  const { input, output, binding, faults, dma, iotlb, tablePages, pages } = report;
  const share = input.bytes === 0 ? '' : ` (${((100 * output.bytes) / input.bytes).toFixed(1)} %)`;
  const row = (label: string, text: string): string => `  ${c.dim(label.padEnd(LABEL_WIDTH))}${text}`;
  const title = (text: string): string => `\n${c.bold(text)}`;
  const verdict = report.verified ? c.green('verified') : c.red('NOT verified');
  const n = formatCount;
  const lines = [
    `${c.bold(`A PCI device compressed ${input.path} straight from a process's own memory`)}, ${verdict}.`,
    c.dim('The process gave it plain pointers; every page that was missing came in while the device waited.'),
    title('File'),
    row('input', formatBoth(input.bytes)),
    row('', c.dim(`sha256 ${input.sha256}`)),
    row(
      'output',
      `${formatBoth(output.bytes)}${share}, ${n(report.jobs.total)} gzip ${plural(report.jobs.total, 'member')}`,
    ),
    row('', c.dim(`sha256 ${output.sha256}`)),
    title('Binding: which address space the device worked in'),
    row('device', `${binding.device}, StreamID ${binding.sid}`),
    row('process', `PASID ${binding.pasid}, ASID ${binding.asid}, pages of ${formatBytes(pages.bytes)}`),
    title('I/O page faults: the device met a page that was not there'),
    row('faults', `${n(faults.total)}: ${answers(faults)}`),
    row(
      'pages',
      `${n(pages.read)} read from files, ${n(pages.written)} written back, ${n(pages.reclaimed)} taken away`,
    ),
    row('memory', `${formatBytes(report.memoryBytes)} of RAM`),
    title('SMMU: every access of the device went through it'),
    row('DMA', `${n(dma.transactions)} ${plural(dma.transactions, 'transaction')}, ${formatBoth(dma.bytes)}`),
    row('IOTLB', `${n(iotlb.hits)} hits, ${n(iotlb.misses)} misses, ${n(report.walks)} table walks`),
    row('page tables', `${n(tablePages.peak)} pages at the peak, ${n(tablePages.end)} at the end`),
    row('virtual time', formatTime(report.virtualTimeNs)),
    '',
    counts(report, c),
    '',
    left(report, c),
    '',
    `Output: ${c.cyan(output.path)}`,
    c.dim(`Check:  gunzip -c ${quote(output.path)} | cmp - ${quote(input.path)}`),
  ];
  if (report.trace) lines.push(c.dim(`Trace:  open ${report.trace.path} at https://ui.perfetto.dev`));
  return `${lines.join('\n')}\n`;
}

function answers({ success, invalid, failure }: GzipFacts['faults']): string {
  const parts = [`${formatCount(success)} resolved`];
  if (invalid > 0) parts.push(`${formatCount(invalid)} refused`);
  if (failure > 0) parts.push(`${formatCount(failure)} failed`);
  return parts.join(', ');
}

/** Commands and events side by side. */
function counts(report: GzipReport, c: Colors): string {
  const commands = Object.entries(report.commands);
  const events = Object.entries(report.events);
  const none = { top: '', 'top-mid': '', 'top-left': '', 'top-right': '', bottom: '', 'bottom-mid': '' };
  const table = new Table({
    head: ['Commands', '', 'Events', ''].map((text) => c.bold(text)),
    chars: {
      ...none,
      ...{ 'bottom-left': '', 'bottom-right': '', left: ' ', 'left-mid': '', mid: '', 'mid-mid': '', right: '' },
      ...{ 'right-mid': '', middle: '' },
    },
    style: { head: [], border: [], 'padding-left': 1, 'padding-right': 1, compact: true },
    colAligns: ['left', 'right', 'left', 'right'],
  });
  for (let i = 0; i < Math.max(commands.length, events.length); i += 1) {
    const [command = '', commandCount] = commands[i] ?? [];
    const [event = '', eventCount] = events[i] ?? [];
    const shown = (count: number | undefined): string => (count === undefined ? '' : formatCount(count));
    table.push([command, shown(commandCount), event === '' ? '' : `   ${event}`, shown(eventCount)]);
  }
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** Whether everything was given back. */
function left({ left: rest }: GzipReport, c: Colors): string {
  const names = { tablePages: 'table pages', pasids: 'PASIDs', pinnedAsids: 'pinned ASIDs', pendingFaults: 'faults' };
  const kept = CLEAN.filter((key) => rest[key] !== 0);
  if (kept.length === 0) return `${c.green('Nothing left behind')}: 0 ${CLEAN.map((key) => names[key]).join(', 0 ')}.`;
  return c.red(`Left behind: ${kept.map((key) => `${rest[key]} ${names[key]}`).join(', ')}`);
}

const plural = (count: number, word: string): string => (count === 1 ? word : `${word}s`);

/** A path as a shell takes it. */
const quote = (path: string): string => (/^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);
