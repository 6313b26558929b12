/**
 * A second reading of stage 1 and stage 2, for random tests: bigints, one descriptor at a time, nothing cached, nothing
 * clever. Written from Arm DDI 0487 D8.2 to D8.4 and IHI 0070 §3.4, and sharing no line with the model.
 */
export interface Regime {
  /** log2 of the granule: 12, 14 or 16. */
  readonly granule: number;
  /** Bits of input. */
  readonly input: number;
  /** Bits of output at most. */
  readonly output: number;
  readonly table: bigint;
  readonly stage: 1 | 2;
  /** Stage 2: level of the first table. */
  readonly start?: number;
}

export type Verdict =
  | { readonly pa: bigint }
  | { readonly fault: 'abort' | 'translation' | 'size' | 'access' | 'permission' };

/** What an access to `address` meets. `read` gives a dword of memory, or undefined where nothing answers. */
export function walk(
  regime: Regime,
  address: bigint,
  write: boolean,
  read: (pa: bigint) => bigint | undefined,
): Verdict {
  const { granule, input, output } = regime;
  if (address >> BigInt(input) !== 0n) return { fault: 'translation' };
  const stride = granule - 3;
  let level = regime.start ?? 4 - Math.ceil((input - granule) / stride);
  let table = regime.table;
  let readOnly = false;
  let noUser = false;
  let top = input;
  for (;;) {
    const low = granule + (3 - level) * stride;
    const index = (address >> BigInt(low)) & ((1n << BigInt(top - low)) - 1n);
    const descriptor = read(table + index * 8n);
    if (descriptor === undefined) return { fault: 'abort' };
    if ((descriptor & 1n) === 0n) return { fault: 'translation' };
    const isTable = (descriptor & 2n) !== 0n;
    const isLeaf = level === 3 ? isTable : !isTable;
    if (level === 3 && !isTable) return { fault: 'translation' };
    const blockLevels = granule === 12 ? [1, 2] : [2];
    if (isLeaf && level < 3 && !blockLevels.includes(level)) return { fault: 'translation' };
    const bits = isLeaf ? low : granule;
    const out = descriptor & 0xffff_ffff_ffffn & ~((1n << BigInt(bits)) - 1n);
    if (out >> BigInt(output) !== 0n) return { fault: 'size' };
    if (!isLeaf) {
      if (regime.stage === 1) {
        readOnly ||= (descriptor & (1n << 62n)) !== 0n;
        noUser ||= (descriptor & (1n << 61n)) !== 0n;
      }
      table = out;
      top = low;
      level++;
      continue;
    }
    if ((descriptor & (1n << 10n)) === 0n) return { fault: 'access' };
    const ap = Number((descriptor >> 6n) & 3n);
    const mayRead = regime.stage === 1 ? (ap & 1) !== 0 && !noUser : (ap & 1) !== 0;
    const mayWrite = regime.stage === 1 ? mayRead && (ap & 2) === 0 && !readOnly : (ap & 2) !== 0;
    if (write ? !mayWrite : !mayRead) return { fault: 'permission' };
    return { pa: out | (address & ((1n << BigInt(bits)) - 1n)) };
  }
}
