/** How differences are weighed against the ledger: every one must be expected, and every expected one must be there. */
import type { Difference } from './compare.ts';
import type { Scenario } from './scenario.ts';

/** One known difference between QEMU and the architecture, as data. */
export interface LedgerEntry {
  readonly id: string;
  /** First QEMU that is thought to differ, and the first that no longer does. */
  readonly from: string;
  readonly until?: string;
  /** Where it was seen live. */
  readonly confirmed: readonly string[];
  /** The section of IHI 0070 that decides. */
  readonly section: string;
  /** Who is right: the architecture against QEMU, or both, where it leaves the choice. */
  readonly right: 'architecture' | 'either';
  /** What happens, in a sentence. */
  readonly says: string;
  /** Kinds of difference (compare.ts) that it makes; `*` stands for anything. */
  readonly kinds: readonly string[];
  /** Hand-written scenarios that show it; `*` stands for anything. */
  readonly scenarios: readonly string[];
  /** Shapes of QEMU's SMMU on which those scenarios show it; all, if left out. */
  readonly needs?: readonly string[];
  /** Random scenarios may show it if they have all tags of one of these lists. Left out: never. */
  readonly tags?: readonly (readonly string[])[];
}

/** `*` in a pattern stands for any text. */
export function matches(pattern: string, text: string): boolean {
  if (!pattern.includes('*')) return pattern === text;
  const escaped = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${escaped.join('.*')}$`).test(text);
}

/** Compares versions such as `10.0.2` part by part. */
export function compareVersions(a: string, b: string): number {
  const [x, y] = [a, b].map((version) => version.split('.').map(Number)) as [number[], number[]];
  for (let i = 0; i < Math.max(x.length, y.length); i++) {
    const difference = (x[i] ?? 0) - (y[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

export const appliesTo = (entry: LedgerEntry, version: string): boolean =>
  compareVersions(version, entry.from) >= 0 && (entry.until === undefined || compareVersions(version, entry.until) < 0);

/** What became of one scenario. */
export interface Verdict {
  readonly kind: 'agree' | 'ledger' | 'unexplained';
  /** Entries that explain the differences. */
  readonly entries: readonly string[];
  /** Differences that none explains, and entries whose difference is gone. */
  readonly reasons: readonly string[];
}

export class Ledger {
  readonly #entries: readonly LedgerEntry[];
  readonly #byScenario: Map<string, readonly LedgerEntry[]> = new Map();

  constructor(entries: readonly LedgerEntry[], version: string) {
    this.#entries = entries.filter((entry) => appliesTo(entry, version));
  }

  get entries(): readonly LedgerEntry[] {
    return this.#entries;
  }

  /** Entries that list a hand-written scenario. */
  of(name: string): readonly LedgerEntry[] {
    let list = this.#byScenario.get(name);
    if (list === undefined) {
      list = this.#entries.filter(({ scenarios }) => scenarios.some((pattern) => matches(pattern, name)));
      this.#byScenario.set(name, list);
    }
    return list;
  }

  /** A hand-written scenario: its differences are exactly those of the entries that list it. */
  judge(scenario: Scenario, found: readonly Difference[]): Verdict {
    const listed = this.of(scenario.name);
    return weigh(found, listed, listed);
  }

  /** A random scenario: each difference is of an entry that asks for tags which the scenario has. */
  judgeRandom(scenario: Scenario, found: readonly Difference[]): Verdict {
    if (found.length === 0) return AGREE;
    const tags = new Set(scenario.tags);
    const possible = this.#entries.filter((entry) => entry.tags?.some((all) => all.every((tag) => tags.has(tag))));
    return weigh(found, possible, []);
  }
}

const AGREE: Verdict = { kind: 'agree', entries: [], reasons: [] };

/** @param due - Entries of which at least one difference must be there. */
function weigh(found: readonly Difference[], possible: readonly LedgerEntry[], due: readonly LedgerEntry[]): Verdict {
  const used = new Set<string>();
  const reasons: string[] = [];
  for (const { kind, detail } of found) {
    const entry = possible.find(({ kinds }) => kinds.some((pattern) => matches(pattern, kind)));
    if (entry === undefined) reasons.push(`${kind}: ${detail}`);
    else used.add(entry.id);
  }
  for (const { id, kinds } of due)
    if (!found.some(({ kind }) => kinds.some((pattern) => matches(pattern, kind))))
      reasons.push(`${id} is in the ledger, but the difference is gone`);
  if (reasons.length > 0) return { kind: 'unexplained', entries: [...used], reasons };
  return used.size === 0 ? AGREE : { kind: 'ledger', entries: [...used], reasons };
}
