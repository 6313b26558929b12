import { coherentDma, NonCoherentDma, type Pa, SystemMemory } from '@smmu/platform';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fakeBoard, RAM_BASE } from '../test/fakeSmmu.ts';
import { cdKind, makeReleasedCd, makeStage1Cd, makeSvaCd } from './cd.ts';
import { ENTRY_WORDS, type EntryKind, EntryWriter } from './entryWriter.ts';
import {
  CONFIG_NESTED,
  makeAbortSte,
  makeBypassSte,
  makeCdtableSte,
  makeStage2Ste,
  newSte,
  S1DSS_BYPASS,
  S1DSS_SSID0,
  S1DSS_TERMINATE,
  steKind,
} from './ste.ts';

const ENTRY: Pa = RAM_BASE + 0x1000;

/** A writer that remembers its syncs and, between them, every value that each dword has had. */
class Recorder extends EntryWriter {
  syncs = 0;
  invalidSeen = false;
  readonly kind: Required<EntryKind>;
  readonly memory: SystemMemory;
  onSync: () => void = () => {};
  constructor(memory: SystemMemory, kind: EntryKind, coherence = coherentDma) {
    super(memory, coherence);
    this.memory = memory;
    this.kind = { safeBits: () => {}, ...kind };
  }
  usedBits(entry: Uint32Array, used: Uint32Array): void {
    this.kind.usedBits(entry, used);
  }
  override safeBits(current: Uint32Array, target: Uint32Array, safe: Uint32Array): void {
    this.kind.safeBits(current, target, safe);
  }
  protected valid(words: Uint32Array, at: number): boolean {
    return isValid(this.kind, words.subarray(at, at + ENTRY_WORDS));
  }
  protected sync(): void {
    this.syncs += 1;
    if (entryAt(this.memory)[0] === 0 && entryAt(this.memory)[1] === 0) this.invalidSeen = true;
    this.onSync();
  }
}
// V is bit 0 of a STE and bit 31 of a CD: whichever of them an empty entry uses.
const isValid = (kind: EntryKind, entry: Uint32Array): boolean =>
  (entry[0]! & used(kind, new Uint32Array(16))[0]!) !== 0;
const used = (kind: EntryKind, entry: Uint32Array): Uint32Array => {
  const bits = new Uint32Array(ENTRY_WORDS);
  kind.usedBits(entry, bits);
  return bits;
};
function entryAt(memory: SystemMemory): Uint32Array {
  const at = memory.at(ENTRY);
  return memory.words.subarray(at, at + ENTRY_WORDS);
}
const put = (memory: SystemMemory, entry: Uint32Array): void => entryAt(memory).set(entry);
const arena = new SystemMemory([{ base: RAM_BASE, size: 2 ** 21 }]);
/** The one entry of all tests, empty: taking memory anew for each pair would be most of the work. */
const newMemory = (): SystemMemory => {
  arena.observer = null;
  arena.zero(ENTRY, 64);
  return arena;
};

// The entries of the kernel's tests.
const CDTAB = 0xf0f0_f0f0_f0c0;
const OTHER_CDTAB = 0x4b_4b4b_4b40;
const built = (make: (target: Uint32Array) => void): Uint32Array => {
  const entry = newSte();
  make(entry);
  return entry;
};
interface Traits {
  ats?: boolean;
  stall?: boolean;
  e2h?: boolean;
  cdtab?: number;
}
const cdtableSte = (s1dss: number, { ats = false, stall = false, e2h = false, cdtab = CDTAB }: Traits = {}) =>
  built((target) =>
    makeCdtableSte(target, {
      cdtab: { base: cdtab, s1cdMax: 31, format: 2 },
      s1dss,
      ats,
      stall,
      stallSelectable: true,
      e2h,
      pasidInResponses: ats,
      attrTypesOverride: true,
    }),
  );
const stage2Ste = ({ ats = false, stall = false }: Traits = {}, vttbr = 0xe_beef_dead_bee0) =>
  built((target) =>
    makeStage2Ste(target, {
      stage2: { vttbr, vtcr: { ps: 1, tg: 2, sh: 3, orgn: 1, irgn: 2, sl: 3, tsz: 4 } },
      vmid: 0,
      ats,
      stall,
      attrTypesOverride: true,
    }),
  );
/** Stage 1 over stage 2, as the kernel's test composes it. */
const nestedSte = (s1dss: number, traits: Traits = {}) => {
  const entry = cdtableSte(s1dss, traits);
  entry[0]! |= CONFIG_NESTED << 1;
  entry[2]! |= 1 << 19; // MEV
  entry.set(stage2Ste(traits).subarray(4), 4);
  return entry;
};
const bypassSte = built((target) => makeBypassSte(target, true));
const abortSte = built(makeAbortSte);
const TCR = { ips: 1, tg: 2, sh: 3, orgn: 1, irgn: 2, tsz: 4 };
const STAGE1 = { ttbr: 0xe_beef_dead_bee0, tcr: TCR, mairLo: 0x1234_5678, mairHi: 0x0abc_def0 };
const CD_TRAITS = { stall: false, hardwareAccessFlag: false, hardwareDirty: false };
const stage1Cd = (asid: number, ttbr = STAGE1.ttbr, stall = false) =>
  built((target) => makeStage1Cd(target, { ...STAGE1, ttbr }, { ...CD_TRAITS, asid, stall }));
const svaCd = (asid: number, stall = true) =>
  built((target) => makeSvaCd(target, STAGE1, { asid, stall, hardwareAccessFlag: true, hardwareDirty: true }));
const releasedCd = (asid: number) => built((target) => makeReleasedCd(target, STAGE1, TCR.ips, asid, false));
const emptyCd = newSte();

const SSID0_ATS = cdtableSte(S1DSS_SSID0, { ats: true });
const BYPASS_ATS = cdtableSte(S1DSS_BYPASS, { ats: true });

// Names and numbers of arm-smmu-v3-test.c: syncs allowed, and whether V=0 must be seen.
const KUNIT: readonly [
  name: string,
  kind: EntryKind,
  from: Uint32Array,
  to: Uint32Array,
  syncs: number,
  hitless: boolean,
][] = [
  ['bypass_to_abort', steKind, bypassSte, abortSte, 2, true],
  ['abort_to_bypass', steKind, abortSte, bypassSte, 2, true],
  ['cdtable_to_abort', steKind, SSID0_ATS, abortSte, 2, true],
  ['abort_to_cdtable', steKind, abortSte, SSID0_ATS, 2, true],
  ['cdtable_to_bypass', steKind, SSID0_ATS, bypassSte, 3, true],
  ['bypass_to_cdtable', steKind, bypassSte, SSID0_ATS, 3, true],
  ['cdtable_s1dss_change', steKind, SSID0_ATS, BYPASS_ATS, 1, true],
  ['cdtable_s1dss_change, back', steKind, BYPASS_ATS, SSID0_ATS, 1, true],
  ['s1dssbypass_to_stebypass', steKind, BYPASS_ATS, bypassSte, 2, true],
  ['stebypass_to_s1dssbypass', steKind, bypassSte, BYPASS_ATS, 2, true],
  ['s2_to_abort', steKind, stage2Ste({ ats: true }), abortSte, 2, true],
  ['abort_to_s2', steKind, abortSte, stage2Ste({ ats: true }), 2, true],
  ['s2_to_bypass', steKind, stage2Ste({ ats: true }), bypassSte, 2, true],
  ['bypass_to_s2', steKind, bypassSte, stage2Ste({ ats: true }), 2, true],
  ['s1_to_s2', steKind, SSID0_ATS, stage2Ste({ ats: true }), 3, true],
  ['s2_to_s1', steKind, stage2Ste({ ats: true }), SSID0_ATS, 3, true],
  ['non_hitless', steKind, SSID0_ATS, cdtableSte(S1DSS_BYPASS, { ats: true, cdtab: OTHER_CDTAB }), 3, false],
  ['s1_to_s2_stall', steKind, cdtableSte(S1DSS_SSID0, { stall: true }), stage2Ste({ stall: true }), 3, true],
  ['s2_to_s1_stall', steKind, stage2Ste({ stall: true }), cdtableSte(S1DSS_SSID0, { stall: true }), 3, true],
  ['nested_s1dssbypass_to_s1bypass', steKind, nestedSte(S1DSS_BYPASS, { ats: true }), stage2Ste(), 3, true],
  ['nested_s1bypass_to_s1dssbypass', steKind, stage2Ste(), nestedSte(S1DSS_BYPASS, { ats: true }), 2, true],
  ['write_cd s1_clear, made', cdKind, emptyCd, stage1Cd(1997), 2, false],
  ['write_cd s1_clear, cleared', cdKind, stage1Cd(1997), emptyCd, 2, false],
  ['write_cd s1_change_asid', cdKind, stage1Cd(778), stage1Cd(1997), 1, true],
  ['write_cd s1_change_asid, back', cdKind, stage1Cd(1997), stage1Cd(778), 1, true],
  ['write_cd sva_clear, made', cdKind, emptyCd, svaCd(1997), 2, false],
  ['write_cd sva_clear, cleared', cdKind, svaCd(1997), emptyCd, 2, false],
  ['write_cd sva_release', cdKind, svaCd(1997), releasedCd(1997), 2, true],
  ['write_cd sva_release, back', cdKind, releasedCd(1997), svaCd(1997), 2, true],
];

describe('the cases of Linux arm-smmu-v3-test.c', () => {
  it.each(KUNIT)('%s', (_name, kind, from, to, syncs, hitless) => {
    const memory = newMemory();
    put(memory, from);
    const writer = new Recorder(memory, kind);
    writer.onSync = () => {
      if (writer.invalidSeen) return;
      const now = entryAt(memory);
      expect(sameInUse(kind, now, from, from, to) || sameInUse(kind, now, to, from, to)).toBe(true);
    };
    writer.write(ENTRY, to);
    expect([...entryAt(memory)]).toEqual([...to]);
    expect(writer.syncs).toBeLessThanOrEqual(syncs);
    // Leaving V=0 behind takes one sync fewer here than there: what is left of a dead entry needs none.
    expect(writer.syncs).toBe(isValid(kind, to) ? syncs : syncs - 1);
    expect(writer.invalidSeen).toBe(!hitless);
  });
});

/** Whether `view` does what `entry` does: it uses the same bits, with the same values, but for those that are safe. */
function sameInUse(
  kind: EntryKind,
  view: Uint32Array,
  entry: Uint32Array,
  from: Uint32Array,
  to: Uint32Array,
): boolean {
  const mask = used(kind, view);
  const safe = new Uint32Array(ENTRY_WORDS);
  kind.safeBits?.(from, to, safe);
  return (
    mask.every((bits, i) => (view[i]! & bits & ~safe[i]!) >>> 0 === (entry[i]! & ~safe[i]! & bits) >>> 0) &&
    // and nothing that the entry uses beyond that is missing
    used(kind, entry).every((bits, i) => (view[i]! & bits & ~safe[i]!) >>> 0 === (entry[i]! & bits & ~safe[i]!) >>> 0)
  );
}

const booleans = [false, true];
/** Every combination of what a device and its table can be. */
const traits: readonly Traits[] = booleans.flatMap((ats) =>
  booleans.flatMap((stall) => [CDTAB, OTHER_CDTAB].map((cdtab) => ({ ats, stall, cdtab }))),
);
const STES: readonly Uint32Array[] = [
  newSte(),
  abortSte,
  bypassSte,
  ...[S1DSS_TERMINATE, S1DSS_BYPASS, S1DSS_SSID0].flatMap((s1dss) => traits.map((t) => cdtableSte(s1dss, t))),
  cdtableSte(S1DSS_SSID0, { e2h: true }),
  ...traits.flatMap((t) => (t.cdtab === CDTAB ? [stage2Ste(t), stage2Ste(t, 0x8_0000_0000)] : [])),
  ...[S1DSS_BYPASS, S1DSS_SSID0].flatMap((s1dss) => traits.map((t) => nestedSte(s1dss, t))),
];
const CDS: readonly Uint32Array[] = [
  emptyCd,
  stage1Cd(1),
  stage1Cd(2),
  stage1Cd(1, 0x8_0000_0000),
  stage1Cd(2, STAGE1.ttbr, true),
  svaCd(1),
  svaCd(2, false),
  releasedCd(1),
  releasedCd(2),
];

/** In a sequence: make it invalid and leave the rest. */
const INVALIDATE = newSte();

/**
 * Runs rewrites one after the other in one place and holds each against what the hardware might see. A fetch takes the
 * dwords one by one, in any order, and only a sync ends those that are on their way: so any mixture of what the dwords
 * have been since the last sync is a possible view.
 */
function checkSequence(kind: EntryKind, entries: readonly Uint32Array[]): void {
  const memory = newMemory();
  put(memory, entries[0]!);
  const writer = new Recorder(memory, kind);
  let versions: number[][][] = []; // per dword: the [lo, hi] it has had since the last sync
  const begin = () => {
    const now = entryAt(memory);
    versions = Array.from({ length: 8 }, (_, d) => [[now[d * 2]!, now[d * 2 + 1]!]]);
  };
  begin();
  writer.onSync = begin;
  for (let step = 1; step < entries.length; step++) {
    const from = entryAt(memory).slice(); // what was invalidated keeps its rest
    const to = entries[step]!;
    let stores = 0;
    memory.observer = (pa, bytes) => {
      expect(bytes, 'a dword at a time').toBe(8);
      stores += 1;
      const dword = (pa - ENTRY) / 8;
      const now = entryAt(memory);
      versions[dword]!.push([now[dword * 2]!, now[dword * 2 + 1]!]);
      checkViews(kind, versions, from, to);
    };
    if (to === INVALIDATE) {
      expect(writer.invalidate(ENTRY)).toBe(isValid(kind, from));
      expect(isValid(kind, entryAt(memory))).toBe(false);
      continue;
    }
    const result = writer.write(ENTRY, to);
    expect([...entryAt(memory)]).toEqual([...to]);
    if (result === 'none') expect(stores).toBe(0);
  }
}

function checkViews(kind: EntryKind, versions: number[][][], from: Uint32Array, to: Uint32Array): void {
  const view = new Uint32Array(ENTRY_WORDS);
  const choose = (dword: number): void => {
    if (dword === 8) {
      checkView(kind, view, from, to);
      return;
    }
    for (const [lo, hi] of versions[dword]!) {
      view[dword * 2] = lo!;
      view[dword * 2 + 1] = hi!;
      choose(dword + 1);
    }
  };
  choose(0);
}

function checkView(kind: EntryKind, view: Uint32Array, from: Uint32Array, to: Uint32Array): void {
  if (!isValid(kind, view)) return;
  if (!sameInUse(kind, view, from, from, to) && !sameInUse(kind, view, to, from, to))
    throw new Error(`neither old nor new: ${[...view].map((w) => w.toString(16))}`);
  // The relaxed bits must not make what §5.2.2 calls illegal: stage 2 that stalls, with full ATS.
  if (kind === steKind && (view[0]! & 4) !== 0 && ((view[0]! >>> 1) & 4) !== 0)
    if (((view[2]! >>> 28) & 3) === 1 && (view[5]! & (1 << 25)) !== 0 && !illegalAnyway(from, to))
      throw new Error('EATS=1 with S2S=1');
}
const illegalAnyway = (...entries: Uint32Array[]): boolean =>
  entries.some((entry) => ((entry[2]! >>> 28) & 3) === 1 && (entry[5]! & (1 << 25)) !== 0);

describe('at every store, whatever the hardware has fetched since the last sync is the old entry, the new one, or invalid', () => {
  it(`for each of ${STES.length ** 2} pairs of stream table entries`, () => {
    for (const from of STES) for (const to of STES) checkSequence(steKind, [from, to]);
  });
  it(`for each of ${CDS.length ** 2} pairs of context descriptors`, () => {
    for (const from of CDS) for (const to of CDS) checkSequence(cdKind, [from, to]);
  });
  it('for sequences of rewrites of one stream table entry', () => {
    const entry = fc.constantFrom(...STES, INVALIDATE);
    fc.assert(fc.property(fc.array(entry, { minLength: 2, maxLength: 8 }), (list) => checkSequence(steKind, list)));
  });
  it('for sequences of rewrites of one context descriptor, dead ones in between', () => {
    const entry = fc.constantFrom(...CDS, INVALIDATE);
    fc.assert(fc.property(fc.array(entry, { minLength: 2, maxLength: 8 }), (list) => checkSequence(cdKind, list)));
  });
  it('and V=0 is seen only where there is no other way', () => {
    for (const from of STES)
      for (const to of STES) {
        if (!isValid(steKind, from) || !isValid(steKind, to)) continue;
        const memory = newMemory();
        put(memory, from);
        const writer = new Recorder(memory, steKind);
        const kind = writer.write(ENTRY, to);
        expect(writer.invalidSeen).toBe(kind === 'breaking');
        expect(writer.syncs).toBeLessThanOrEqual(3);
      }
  });
});

describe('EntryWriter', () => {
  it('brings the same entry back with one sync, another one with two', () => {
    const memory = newMemory();
    put(memory, svaCd(1));
    const writer = new Recorder(memory, cdKind);
    const syncs = (step: () => void) => {
      writer.syncs = 0;
      step();
      return writer.syncs;
    };
    expect(syncs(() => writer.invalidate(ENTRY))).toBe(1);
    expect(syncs(() => writer.write(ENTRY, svaCd(1)))).toBe(1);
    writer.invalidate(ENTRY);
    expect(syncs(() => writer.write(ENTRY, stage1Cd(1, 0x8_0000_0000)))).toBe(2);
    expect([writer.invalidate(ENTRY), writer.invalidate(ENTRY)]).toEqual([true, false]);
  });
  it('leaves an entry that is right alone', () => {
    const memory = newMemory();
    put(memory, bypassSte);
    const writer = new Recorder(memory, steKind);
    expect(writer.write(ENTRY, bypassSte)).toBe('none');
    expect(writer.syncs).toBe(0);
  });
  it('tidies up what an entry ignores', () => {
    const memory = newMemory();
    put(memory, abortSte);
    entryAt(memory)[6] = 0xabc0;
    const writer = new Recorder(memory, steKind);
    expect(writer.write(ENTRY, abortSte)).toBe('hitless');
    expect(entryAt(memory)[6]).toBe(0);
    expect(writer.syncs).toBe(1);
  });
  it('makes each dword visible to an SMMU that does not snoop, before the sync that counts on it', () => {
    let device!: SystemMemory;
    const board = fakeBoard({ coherence: (cpu, other) => new NonCoherentDma(cpu, (device = other)) });
    const writer = new Recorder(board.memory, steKind, board.coherence);
    writer.onSync = () => expect([...entryAt(device)]).toEqual([...entryAt(board.memory)]);
    for (const entry of [abortSte, SSID0_ATS, bypassSte, stage2Ste(), newSte()]) writer.write(ENTRY, entry);
    expect([...entryAt(device)]).toEqual([...entryAt(board.memory)]);
  });
});
