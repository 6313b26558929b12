/** The memory image of a scenario as whole pages: what is written to RAM before a run and compared after it. */
import { RAM_BASE, RAM_BYTES, type Scenario } from './scenario.ts';

export const PAGE_WORDS = 1024;
const PAGE_BYTES = PAGE_WORDS * 4;

export type Pages = Map<number, Uint32Array>;

/** The page around a physical address, zero where nothing was put. */
export function pageOf(pages: Pages, at: number): Uint32Array {
  const number = Math.floor(at / PAGE_BYTES);
  let page = pages.get(number);
  if (page === undefined) {
    if (at < RAM_BASE || at >= RAM_BASE + RAM_BYTES)
      throw new RangeError(`0x${at.toString(16)} is not in the RAM of the board`);
    page = new Uint32Array(PAGE_WORDS);
    pages.set(number, page);
  }
  return page;
}

export function put(pages: Pages, at: number, words: readonly number[]): void {
  for (let i = 0; i < words.length; i++) {
    const place = at + i * 4;
    pageOf(pages, place)[(place % PAGE_BYTES) / 4] = words[i]!;
  }
}

/** Memory before the first step, with every page that a step stores to or the event queue uses. */
export function imagePages(scenario: Scenario): Pages {
  const pages: Pages = new Map();
  for (const { at, words } of scenario.image) put(pages, at, words);
  const { base, log2Size } = scenario.eventQueue;
  for (let at = base; at < base + 2 ** log2Size * 32; at += PAGE_BYTES) pageOf(pages, at);
  for (const step of scenario.steps)
    if (step.do === 'store') for (let i = 0; i < step.words.length; i++) pageOf(pages, step.at + i * 4);
  return pages;
}

/** Memory as software last left it: the image with the `store` steps made. */
export function softwarePages(scenario: Scenario, image: Pages): Pages {
  const pages: Pages = new Map([...image].map(([number, page]) => [number, page.slice()]));
  for (const step of scenario.steps) if (step.do === 'store') put(pages, step.at, step.words);
  return pages;
}

/** Words of `after` that are not as software left them, but for the event queue's. */
export function changedWords(scenario: Scenario, before: Pages, after: Pages): [number, number][] {
  const { base, log2Size } = scenario.eventQueue;
  const end = base + 2 ** log2Size * 32;
  const changed: [number, number][] = [];
  for (const [number, page] of [...before].sort((a, b) => a[0] - b[0])) {
    const now = after.get(number)!;
    for (let i = 0; i < PAGE_WORDS; i++) {
      if (page[i] === now[i]) continue;
      const at = number * PAGE_BYTES + i * 4;
      if (at < base || at >= end) changed.push([at, now[i]!]);
    }
  }
  return changed;
}

/** Event records from queue index `from` up to `to` (both with wrap bit). */
export function recordsBetween(scenario: Scenario, memory: Pages, from: number, to: number): number[][] {
  const { base, log2Size } = scenario.eventQueue;
  const mask = 2 ** (log2Size + 1) - 1;
  const records: number[][] = [];
  for (let at = from & mask; at !== (to & mask) && records.length <= mask; at = (at + 1) & mask) {
    const place = base + (at & (2 ** log2Size - 1)) * 32;
    const page = memory.get(Math.floor(place / PAGE_BYTES));
    const first = (place % PAGE_BYTES) / 4;
    records.push(page === undefined ? new Array<number>(8).fill(0) : [...page.subarray(first, first + 8)]);
  }
  return records;
}
