/**
 * How the second source writes positions down, in its sources' own ways of counting: bit numbers of the structure
 * (`63:48`, `31`), an offset and a width (`48+16`), either of them inside a dword (`d1/5:0`) or a 32-bit word
 * (`w3/1+1`). A trailing `<` says that the source's field stops at a lower top bit than the architecture's. `Name[16]`
 * stands for 16 fields in a row, Name0 first.
 */
export interface Row {
  readonly name: string;
  readonly hi: number;
  readonly lo: number;
  /** The source's field is narrower at the top. */
  readonly narrow: boolean;
}

const POSITION = /^(?:([dw])(\d+)\/)?(\d+)(?:([:+])(\d+))?(<?)$/;

export function rows(text: string): Row[] {
  const words = text.trim().split(/\s+/);
  const out: Row[] = [];
  for (let i = 0; i < words.length; i += 2) {
    const [name, at] = [words[i]!, words[i + 1] ?? ''];
    const match = POSITION.exec(at);
    if (!match) throw new Error(`second source: cannot read "${name} ${at}"`);
    const [, unit, index, first, sign, second, narrow] = match;
    const base = unit === undefined ? 0 : Number(index) * (unit === 'd' ? 64 : 32);
    const lo = base + (sign === ':' ? Number(second) : Number(first));
    const hi = sign === '+' ? lo + Number(second) - 1 : base + Number(first);
    const array = /^(\w+)\[(\d+)\]$/.exec(name);
    if (!array) out.push({ name, hi, lo, narrow: narrow === '<' });
    else
      for (let n = 0; n < Number(array[2]); n++) {
        const width = hi - lo + 1;
        out.push({ name: `${array[1]}${n}`, hi: hi + n * width, lo: lo + n * width, narrow: false });
      }
  }
  return out;
}

/** `Name value` pairs, values decimal or hexadecimal. */
export function numbers(text: string): Map<string, number> {
  const words = text.trim().split(/\s+/);
  const out = new Map<string, number>();
  for (let i = 0; i < words.length; i += 2) out.set(words[i]!, Number(words[i + 1]));
  return out;
}

/** Name of a structure to what each source says of it. */
export type Sources = Readonly<Record<string, Readonly<Record<string, string>>>>;
