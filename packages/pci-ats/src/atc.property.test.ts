// The cache against a naive oracle, which keeps every completion for ever and strikes out what an invalidation names, by
// the words of PCIe §10.3.8. Whatever happens in whatever order: a hit is a completion that was granted and not struck
// out, and an invalidation has not completed while a transaction that used what it struck out is on its way.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { enableAll, FakeSmmu, makeFunction, NO_SUBSTREAM } from '../test/rig.ts';
import { AddressTranslationCache, ATC_EXECUTE, ATC_READ, ATC_WRITE, type Fill, Flight } from './index.ts';

interface Known {
  readonly substreamId: number;
  readonly privileged: boolean;
  readonly global: boolean;
  readonly first: number;
  readonly last: number;
  readonly bits: number;
  readonly to: number;
}
interface Use extends Flight {
  known?: Known;
}

const UNIT = 4096;
const PAGES = 8;
const page = fc.nat(PAGES - 1);
const who = fc.constantFrom(NO_SUBSTREAM, 0, 5, 5, 5, 6);
const size = fc.constantFrom(12, 12, 12, 13, 14, 15);
const need = fc.constantFrom(ATC_READ, ATC_WRITE, ATC_READ | ATC_EXECUTE);
const answer = fc.record({
  read: fc.boolean(),
  write: fc.boolean(),
  global: fc.boolean(),
  size,
  frame: fc.nat(1 << 20),
});
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ op: fc.constant('fill' as const), who, page, need, priv: fc.boolean(), answer }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('ask' as const), who, page, need, priv: fc.boolean(), answer }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('accept' as const), nth: fc.nat(7) }) },
  { weight: 10, arbitrary: fc.record({ op: fc.constant('begin' as const), who, page, priv: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('end' as const), nth: fc.nat(7) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      ...{ op: fc.constant('invalidate' as const), who, page, global: fc.boolean() },
      size: fc.constantFrom(12, 12, 13, 14, 15, 64),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('drop' as const), who: fc.constantFrom(0, 5, 6) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('off and on' as const) }) },
);

/** Whether an invalidation strikes a completion out. */
function names(known: Known, by: number, all: boolean, first: number, last: number): boolean {
  const inside = known.first <= last && known.last >= first;
  const hasPasid = known.substreamId !== NO_SUBSTREAM;
  if (by === NO_SUBSTREAM) return hasPasid || inside;
  if (all) return hasPasid && inside;
  return known.substreamId === by && !known.global && inside;
}

class World {
  readonly smmu = new FakeSmmu();
  readonly atc: AddressTranslationCache;
  readonly device;
  known: Known[] = [];
  readonly asked: { fill: Fill; known: Known | undefined }[] = [];
  readonly uses: Use[] = [];
  /** Transactions that invalidations wait for, and whether they have completed. */
  readonly waits: { on: Set<Use>; completed: number }[] = [];
  hits = 0;
  readonly base: { lo: number; hi: number };

  constructor(entries: number, base: { lo: number; hi: number }, globalInvalidate: boolean) {
    this.base = base;
    this.globals = globalInvalidate;
    const { hardware, device } = makeFunction(this.smmu, { ats: { queueDepth: 32, globalInvalidate } });
    this.device = device;
    this.atc = new AddressTranslationCache({ function: hardware, port: this.smmu, entries });
    enableAll(device);
  }
  readonly globals: boolean;

  lo = (n: number): number => this.base.lo + n * UNIT;

  script(s: {
    who: number;
    page: number;
    priv: boolean;
    need: number;
    answer: { read: boolean; write: boolean; global: boolean; size: number; frame: number };
  }): Known | undefined {
    const { read, write, global, frame } = s.answer;
    const bytes = 2 ** s.answer.size;
    const to = Math.floor((frame * UNIT) / bytes) * bytes;
    const execute = read && (s.need & ATC_EXECUTE) !== 0;
    this.smmu.completion = {
      read,
      write,
      execute,
      global,
      log2Bytes: s.answer.size,
      translated: to,
      privilegedGranted: s.priv,
    };
    if (!read && !write) return undefined;
    const first = Math.floor((s.page * UNIT) / bytes) * bytes;
    return {
      ...{ substreamId: s.who, privileged: s.priv, global: global && s.who >= 0 && this.globals },
      ...{ first, last: first + bytes - 1, to, bits: (read ? 1 : 0) + (write ? 2 : 0) + (execute ? 4 : 0) },
    };
  }

  /** Looks every page up for everybody. */
  check(): void {
    for (const substreamId of [NO_SUBSTREAM, 0, 5, 6])
      for (let n = 0; n < PAGES; n += 1)
        for (const bits of [ATC_READ, ATC_WRITE, ATC_READ | ATC_EXECUTE])
          for (const privileged of [false, true]) this.find(substreamId, n, bits, privileged);
    for (const { on, completed } of this.waits) expect(completed).toBe(on.size > 0 ? 0 : 1);
  }

  /** A hit's completion. */
  find(
    substreamId: number,
    n: number,
    bits: number,
    privileged: boolean,
  ): { handle: number; known: Known } | undefined {
    const handle = this.atc.lookup(substreamId, this.lo(n) + 0x123, this.base.hi, bits, privileged);
    if (handle < 0) return undefined;
    this.hits += 1;
    const to =
      this.atc.translatedHi(handle, this.base.hi) * 2 ** 32 + this.atc.translatedLo(handle, this.lo(n) + 0x123);
    const known = this.known.find(
      (it) =>
        (it.global ? substreamId >= 0 : it.substreamId === substreamId) &&
        it.privileged === privileged &&
        it.first <= n * UNIT &&
        it.last >= n * UNIT &&
        (it.bits & bits) === bits &&
        it.to + n * UNIT + 0x123 - it.first === to,
    );
    expect(known, `hit of PASID ${substreamId}, page ${n}, need ${bits}`).toBeDefined();
    return { handle, known: known! };
  }

  strike(gone: (known: Known) => boolean): void {
    this.known = this.known.filter((it) => !gone(it));
    for (const asked of this.asked) if (asked.known && gone(asked.known)) asked.known = undefined;
  }
}

it('never a hit outside a completion, nor after an invalidation; no invalidation completes early', () => {
  let hits = 0;
  let waits = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(8, 16, 256),
      fc.constantFrom({ lo: 0, hi: 0 }, { lo: 0xffff_8000, hi: 0xffff_ffff }, { lo: 0x8000_0000, hi: 0x7fff }),
      fc.boolean(),
      fc.array(step, { minLength: 40, maxLength: 100 }),
      (entries, base, globals, steps) => {
        const world = new World(entries, base, globals);
        const { atc } = world;
        for (const s of steps) {
          if (s.op === 'fill') {
            const priv = s.priv && s.who >= 0;
            const wanted = s.who >= 0 ? s.need : s.need & ~ATC_EXECUTE;
            const cached = atc.lookup(s.who, world.lo(s.page), base.hi, wanted, priv) >= 0;
            const known = world.script({ ...s, priv, need: wanted });
            const handle = atc.translate(s.who, world.lo(s.page), base.hi, wanted, priv);
            if (!cached && known) world.known.push(known);
            if (!cached) expect(handle >= 0).toBe(known !== undefined && (known.bits & wanted) === wanted);
          } else if (s.op === 'ask') {
            const priv = s.priv && s.who >= 0;
            const wanted = s.who >= 0 ? s.need : s.need & ~ATC_EXECUTE;
            const known = world.script({ ...s, priv, need: wanted });
            world.asked.push({ fill: atc.ask(s.who, world.lo(s.page), base.hi, wanted, priv), known });
          } else if (s.op === 'accept') {
            const [asked] = world.asked.splice(s.nth, 1);
            if (!asked) continue;
            if (asked.known) world.known.push(asked.known);
            atc.accept(asked.fill);
          } else if (s.op === 'begin') {
            const found = world.find(s.who, s.page, ATC_READ, s.priv);
            if (!found) continue;
            const use: Use = Object.assign(new Flight(), { known: found.known });
            atc.begin(use, found.handle, world.lo(s.page), base.hi);
            // What it used is its own page of the translation.
            use.known = { ...found.known, first: s.page * UNIT, last: s.page * UNIT + UNIT - 1 };
            world.uses.push(use);
          } else if (s.op === 'end') {
            const [use] = world.uses.splice(s.nth, 1);
            if (!use) continue;
            for (const { on } of world.waits) on.delete(use);
            atc.end(use);
          } else if (s.op === 'invalidate') {
            const bytes = 2 ** Math.min(s.size, 40);
            const first = s.size === 64 ? 0 : Math.floor((s.page * UNIT) / bytes) * bytes;
            const all = s.global && globals;
            const gone = (known: Known) => names(known, s.who, all, first, first + bytes - 1);
            world.strike(gone);
            const wait = { on: new Set(world.uses.filter((use) => gone(use.known!))), completed: 0 };
            world.waits.push(wait);
            atc.invalidate(s.who, s.global, world.lo(s.page), base.hi, s.size, () => {
              wait.completed += 1;
            });
            if (wait.on.size > 0) waits += 1;
          } else if (s.op === 'drop') {
            world.strike((known) => names(known, s.who, false, 0, PAGES * UNIT));
            atc.dropPasid(s.who);
          } else {
            world.device.disableAts();
            world.device.enableAts(12);
            world.strike(() => true);
          }
          world.check();
        }
        hits += world.hits;
      },
    ),
    { numRuns: 300 },
  );
  expect(hits).toBeGreaterThan(10_000); // or the property says nothing
  expect(waits).toBeGreaterThan(50);
});
