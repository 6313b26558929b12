/** Two outcomes side by side: every difference as a short, stable name that the ledger can list. */

import { type EventWords, FINAL_REGISTERS, type FinalRegister, type Outcome, type Scenario } from './scenario.ts';
import { CODES } from './scene/bits.ts';

/** One difference. */
export interface Difference {
  /** What kind it is, without numbers of this scenario: `event C_BAD_STREAMID -> C_BAD_STE`, `data`, `GERROR`. */
  readonly kind: string;
  /** For people: where, and the two values. */
  readonly detail: string;
}

const NAMES = new Map<number, string>(Object.entries(CODES).map(([name, code]) => [code, name]));
/** Bits of an event record by field, for naming what differs: words and masks. */
const FIELDS: readonly (readonly [string, number, number])[] = [
  ['SSV', 0, 0x800],
  ['SubstreamID', 0, 0xffff_f000],
  ['StreamID', 1, 0xffff_ffff],
  ['STAG', 2, 0xffff],
  ['Stall', 2, 0x8000_0000],
  ['PnU', 3, 0x2],
  ['InD', 3, 0x4],
  ['RnW', 3, 0x8],
  ['S2', 3, 0x80],
  ['CLASS', 3, 0x300],
  ['TTRnW', 3, 0x1000],
  ['InputAddr', 4, 0xffff_ffff],
  ['InputAddr', 5, 0xffff_ffff],
  ['Addr2[11:0]', 6, 0xfff],
  ['Addr2', 6, 0xffff_f000],
  ['Addr2', 7, 0x00ff_ffff],
];

const hex = (value: number | undefined): string => `0x${(value ?? 0).toString(16)}`;
export const eventName = (words: EventWords): string => NAMES.get(words[0]! & 0xff) ?? `event ${hex(words[0]! & 0xff)}`;
export const eventText = (words: EventWords): string =>
  words.map((word) => word.toString(16).padStart(8, '0')).join(' ');

/** Everything in which `other` is not `ours`. */
export function differences(scenario: Scenario, ours: Outcome, other: Outcome): Difference[] {
  if (ours.died !== undefined || other.died !== undefined) {
    if (ours.died === other.died) return [];
    return [{ kind: 'died', detail: `ended itself: ${other.died ?? ours.died}` }];
  }
  const found: Difference[] = [];
  const offsets = scenario.steps.flatMap((step) => (step.do === 'read' ? [step.offset] : []));
  for (const [i, value] of ours.reads.entries())
    if (value !== other.reads[i])
      found.push({
        kind: `read ${hex(offsets[i])}`,
        detail: `read ${i} of ${hex(offsets[i])}: ${hex(value)}, ${hex(other.reads[i])}`,
      });
  for (const [i, mine] of ours.dma.entries()) {
    const theirs = other.dma[i]!;
    if (mine.data !== theirs.data) {
      const how = theirs.data === 0 ? 'aborted' : mine.data === 0 ? 'passed' : 'other';
      found.push({ kind: `data ${how}`, detail: `DMA ${i}: ${hex(mine.data)}, ${hex(theirs.data)}` });
    }
    for (let at = 0; at < Math.max(mine.events.length, theirs.events.length); at++)
      found.push(...eventDifferences(i, mine.events[at], theirs.events[at]));
  }
  // Fewer or more records move the index: that says nothing new.
  const records = (outcome: Outcome): number => outcome.dma.reduce((sum, { events }) => sum + events.length, 0);
  const mask = 2 ** (scenario.eventQueue.log2Size + 1) - 1;
  const moved = (other.registers.EVENTQ_PROD - ours.registers.EVENTQ_PROD - records(other) + records(ours)) & mask;
  const follows = moved === 0 && (other.registers.EVENTQ_PROD ^ ours.registers.EVENTQ_PROD) >>> 0 <= mask;
  for (const name of Object.keys(FINAL_REGISTERS) as FinalRegister[])
    if (ours.registers[name] !== other.registers[name] && !(name === 'EVENTQ_PROD' && follows))
      found.push({ kind: name, detail: `${name}: ${hex(ours.registers[name])}, ${hex(other.registers[name])}` });
  const theirs = new Map(other.stores);
  const mine = new Map(ours.stores);
  for (const at of new Set([...mine.keys(), ...theirs.keys()]))
    if (mine.get(at) !== theirs.get(at)) {
      const how = !mine.has(at) ? 'passed' : !theirs.has(at) ? 'aborted' : 'other';
      found.push({
        kind: `store ${how}`,
        detail: `word at ${hex(at)}: ${show(mine.get(at))}, ${show(theirs.get(at))}`,
      });
    }
  return found;
}

const show = (value: number | undefined): string => (value === undefined ? 'not written' : hex(value));

/** In which fields two records differ; `dma` says where, for people. */
export function eventDifferences(
  dma: number,
  mine: EventWords | undefined,
  theirs: EventWords | undefined,
): Difference[] {
  const ours = mine === undefined ? 'none' : eventName(mine);
  const other = theirs === undefined ? 'none' : eventName(theirs);
  if (ours !== other)
    return [
      {
        kind: `event ${ours} -> ${other}`,
        detail: `DMA ${dma}: ${mine ? eventText(mine) : 'no event'}, ${theirs ? eventText(theirs) : 'no event'}`,
      },
    ];
  const named = new Map<string, string>();
  for (const [field, word, mask] of FIELDS) {
    const [a, b] = [(mine![word]! & mask) >>> 0, (theirs![word]! & mask) >>> 0];
    if (a !== b && !named.has(field))
      named.set(field, `DMA ${dma} ${ours}.${field} in word ${word}: ${hex(a)}, ${hex(b)}`);
  }
  return [...named].map(([field, detail]) => ({ kind: `event ${ours}.${field}`, detail }));
}
