import { describe, expect, it } from 'vitest';
import { type Difference, differences } from './compare.ts';
import { entries } from './ledger/entries.ts';
import { appliesTo, compareVersions, Ledger, type LedgerEntry, matches } from './ledger.ts';
import { ModelTarget } from './modelTarget.ts';
import { posedFeatures, QEMU_10_ID } from './posedFeatures.ts';
import type { Scenario } from './scenario.ts';
import { written } from './written/index.ts';

const entry = (more: Partial<LedgerEntry>): LedgerEntry => ({
  id: 'X',
  from: '8.0',
  confirmed: [],
  section: '1',
  right: 'architecture',
  says: '',
  kinds: ['data passed'],
  scenarios: ['a/one'],
  ...more,
});
const scenario = (name: string, tags: string[] = []): Scenario => ({ ...written[0]!, name, tags });
const seen = (...kinds: string[]): Difference[] => kinds.map((kind) => ({ kind, detail: '' }));

describe('a hand-written scenario', () => {
  const ledger = new Ledger([entry({})], '10.0');
  it('agrees if nothing differs and nothing is expected to', () => {
    expect(ledger.judge(scenario('a/two'), []).kind).toBe('agree');
  });
  it('is explained by the entry that lists it', () => {
    expect(ledger.judge(scenario('a/one'), seen('data passed'))).toEqual({
      kind: 'ledger',
      entries: ['X'],
      reasons: [],
    });
  });
  it('fails for a new difference', () => {
    expect(ledger.judge(scenario('a/two'), seen('data passed')).kind).toBe('unexplained');
    expect(ledger.judge(scenario('a/one'), seen('data passed', 'GERROR')).reasons).toEqual(['GERROR: ']);
  });
  it('fails for a difference that is gone', () => {
    const verdict = ledger.judge(scenario('a/one'), []);
    expect(verdict.kind).toBe('unexplained');
    expect(verdict.reasons[0]).toContain('gone');
  });
  it('expects nothing of a release that the entry does not name', () => {
    expect(new Ledger([entry({})], '7.2.1').judge(scenario('a/one'), []).kind).toBe('agree');
    expect(new Ledger([entry({ until: '10.0' })], '10.0').judge(scenario('a/one'), []).kind).toBe('agree');
  });
});

describe('a random scenario', () => {
  const ledger = new Ledger([entry({ tags: [['stage2', 'odd'], ['span']] })], '10.0');
  it('is explained only with all tags of one list', () => {
    expect(ledger.judgeRandom(scenario('r', ['odd', 'stage2']), seen('data passed')).kind).toBe('ledger');
    expect(ledger.judgeRandom(scenario('r', ['span']), seen('data passed')).kind).toBe('ledger');
    expect(ledger.judgeRandom(scenario('r', ['odd']), seen('data passed')).kind).toBe('unexplained');
  });
  it('need not show what it might', () => {
    expect(ledger.judgeRandom(scenario('r', ['span']), []).kind).toBe('agree');
  });
  it('is not explained by an entry without tags', () => {
    expect(new Ledger([entry({})], '10.0').judgeRandom(scenario('a/one'), seen('data passed')).kind).toBe(
      'unexplained',
    );
  });
});

describe('patterns and versions', () => {
  it('an asterisk stands for any text, everything else for itself', () => {
    expect(matches('event F_*.S2', 'event F_ACCESS.S2')).toBe(true);
    expect(matches('event F_*.S2', 'event F_ACCESSxS2')).toBe(false);
    expect(matches('event *.Addr2[11:0]', 'event F_ACCESS.Addr2[11:0]')).toBe(true);
    expect(matches('GERROR', 'GERRORN')).toBe(false);
  });
  it('versions compare part by part', () => {
    expect(compareVersions('10.0.2', '9.2')).toBeGreaterThan(0);
    expect(compareVersions('8.1', '8.1.0')).toBe(0);
    expect(appliesTo(entry({}), '8.0.0')).toBe(true);
    expect(appliesTo(entry({}), '7.2.9')).toBe(false);
  });
});

describe('the ledger itself', () => {
  it('has an identifier, a section and a sentence for each entry', () => {
    expect(new Set(entries.map(({ id }) => id)).size).toBe(entries.length);
    for (const { section, says, confirmed } of entries) {
      expect(section).toMatch(/^\d+(\.\d+)*$/);
      expect(says).toMatch(/^[A-Z].*\.$/);
      expect(confirmed.length).toBeGreaterThan(0);
    }
  });
  it('shows each entry in a hand-written scenario, and names none that is not there', () => {
    for (const { id, scenarios } of entries)
      for (const pattern of scenarios)
        expect([id, pattern, written.some(({ name }) => matches(pattern, name))]).toEqual([id, pattern, true]);
  });
});

describe('a difference', () => {
  const features = posedFeatures(QEMU_10_ID.nested);
  const model = new ModelTarget(features);
  const one = written.find(({ name }) => name === 'stage1-faults/cd-fetch')!;
  const due = model.run(one);
  it("is named by event and field, without the scenario's numbers", () => {
    const [first] = due.dma;
    const record = [...first!.events[0]!];
    record[6] = 0;
    const other = { ...due, dma: [{ ...first!, events: [record] }] };
    expect(differences(one, due, other).map(({ kind }) => kind)).toEqual(['event F_CD_FETCH.Addr2[11:0]']);
    expect(differences(one, due, { ...due, dma: [{ ...first!, events: [] }] }).map(({ kind }) => kind)).toEqual([
      'event F_CD_FETCH -> none',
    ]);
  });
  it('of an emulator that ended itself is that alone', () => {
    expect(differences(one, due, { ...due, died: 'assertion' })).toEqual([
      { kind: 'died', detail: 'ended itself: assertion' },
    ]);
  });
});
