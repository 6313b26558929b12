/** Results for people: tables and what to look at. */
import Table from 'cli-table3';
import pc from 'picocolors';
import type { CaptureResult } from './captures.ts';
import type { LedgerEntry } from './ledger.ts';
import type { ComparisonResult, Tally } from './run.ts';

export type Colors = ReturnType<typeof pc.createColors>;

export const colorsFor = (on: boolean): Colors => pc.createColors(on);

const frame = {
  chars: {
    top: '',
    'top-mid': '',
    'top-left': '',
    'top-right': '',
    bottom: '',
    'bottom-mid': '',
    'bottom-left': '',
    'bottom-right': '',
    left: '',
    'left-mid': '',
    mid: '',
    'mid-mid': '',
    right: '',
    'right-mid': '',
    middle: '  ',
  },
  style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
};

function tallyRow(name: string, { run, agree, ledger, unexplained }: Tally, c: Colors): string[] {
  const bad = unexplained > 0 ? c.red(String(unexplained)) : String(unexplained);
  return [name, String(run), String(agree), String(ledger), bad];
}

/** The comparison with QEMU. */
export function comparisonReport(version: string, result: ComparisonResult, c: Colors, all: boolean): string {
  const table = new Table({
    head: [`QEMU ${version}`, 'run', 'agree', 'in the ledger', 'unexplained'],
    ...frame,
    colAligns: ['left', 'right', 'right', 'right', 'right'],
  });
  table.push(tallyRow('written', result.written, c), tallyRow('random', result.random, c));
  const lines = [
    table.toString(),
    '',
    c.dim(`as ${result.shapes.join(', ')}; ${Object.keys(result.entries).length} ledger entries seen`),
  ];
  for (const { scenario, shape, tags, reasons } of result.unexplained.slice(0, all ? undefined : 10)) {
    lines.push('', `${c.red('unexplained')} ${scenario} ${c.dim(`(${[shape, ...tags].join(', ')})`)}`);
    for (const reason of reasons.slice(0, 4)) lines.push(`  ${reason}`);
  }
  if (result.unexplained.length > 10 && !all)
    lines.push('', `and ${result.unexplained.length - 10} more; --json has them`);
  for (const { scenario, reasons } of result.model)
    lines.push(
      '',
      `${c.red('our model')} does not do what ${scenario} asks for`,
      ...reasons.slice(0, 4).map((reason) => `  ${reason}`),
    );
  return lines.join('\n');
}

/** The ledger, for people. */
export function ledgerReport(entries: readonly LedgerEntry[], c: Colors): string {
  return entries
    .map(({ id, from, until, confirmed, section, right, says }) => {
      const releases = until === undefined ? `from ${from}` : `from ${from}, mended in ${until}`;
      const judge = right === 'either' ? 'both may' : `§${section} decides`;
      return `${c.bold(id)}\n  ${says}\n  ${c.dim(`${judge}; ${releases}; seen in ${confirmed.join(', ')}`)}`;
    })
    .join('\n');
}

/** The captures. */
export function captureReport(results: readonly CaptureResult[], c: Colors): string {
  const table = new Table({
    head: ['capture', 'translations', 'alike', 'faults', 'alike', 'in the ledger', 'register reads', 'alike'],
    ...frame,
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'right', 'right'],
  });
  for (const { name, rows, matched, faults, mmio } of results)
    table.push([
      name,
      ...[rows, matched, faults.run, faults.matched, faults.ledger, mmio.reads, mmio.matched].map(String),
    ]);
  const wrong = results.flatMap((result) =>
    result.wrong.map((text) => `${c.red('not alike')} ${result.name}: ${text}`),
  );
  return [table.toString(), ...wrong].join('\n');
}
