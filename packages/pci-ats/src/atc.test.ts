import { ATS_ABORT, ATS_UNSUPPORTED, type AtsRequest, DmaRequest } from '@smmu/platform';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { enableAll, errno, FakeSmmu, makeFunction, NO_SUBSTREAM } from '../test/rig.ts';
import {
  AddressTranslationCache,
  ATC_ABORTED,
  ATC_EXECUTE,
  ATC_FAULT,
  ATC_MISS,
  ATC_OFF,
  ATC_READ,
  ATC_REFUSED,
  ATC_STALE,
  ATC_WRITE,
  Flight,
  needOf,
  type PciDevice,
  type PciFunction,
  type PciFunctionOptions,
} from './index.ts';

const LO = 0x1234_5000;
const HI = 0xffff;
const EXECUTE = ATC_READ | ATC_EXECUTE;

let smmu: FakeSmmu;
let hardware: PciFunction;
let device: PciDevice;
let atc: AddressTranslationCache;
function make(options: Partial<PciFunctionOptions> = {}, stuShift = 12, entries?: number): void {
  smmu = new FakeSmmu();
  ({ hardware, device } = makeFunction(smmu, options));
  atc = new AddressTranslationCache({ function: hardware, port: smmu, ...(entries && { entries }) });
  enableAll(device, stuShift);
}
beforeEach(() => make());

const translate = (need = ATC_READ, substreamId = 5, privileged = false, lo = LO, hi = HI) =>
  atc.translate(substreamId, lo, hi, need, privileged);
const lookup = (need = ATC_READ, substreamId = 5, privileged = false, lo = LO, hi = HI) =>
  atc.lookup(substreamId, lo, hi, need, privileged);
const address = (handle: number, lo = LO, hi = HI) =>
  atc.translatedHi(handle, hi) * 2 ** 32 + atc.translatedLo(handle, lo);
const answer = (completion: Partial<AtsRequest>) => {
  smmu.completion = { translated: 0x8000_0000, ...completion };
};
/** Invalidates. Returns whether it completed at once. */
function invalidate(substreamId = 5, lo = LO, hi = HI, log2Bytes = 12, global = false) {
  const complete = vi.fn();
  atc.invalidate(substreamId, global, lo, hi, log2Bytes, complete);
  return complete;
}

describe('translation requests (PCIe §10.2.2)', () => {
  it('ask once and are answered from the cache from then on', () => {
    const handle = translate();
    expect(address(handle, LO + 0x678)).toBe(0x8000_0678);
    expect(translate()).toBe(handle);
    expect(lookup()).toBe(handle);
    expect(smmu.asked).toEqual([
      {
        streamId: 0x77,
        substreamId: 5,
        addressLo: LO,
        addressHi: HI,
        noWrite: true,
        instruction: false,
        privileged: false,
      },
    ]);
    expect(atc.stats.fills).toBe(1);
  });

  it.each([
    { stuShift: 16, lo: 0x1234_0000, hi: HI },
    { stuShift: 21, lo: 0x1220_0000, hi: HI },
    { stuShift: 40, lo: 0, hi: 0xff00 },
  ])('name the smallest translation unit of 2^$stuShift bytes', ({ stuShift, lo, hi }) => {
    make({}, stuShift);
    answer({ read: true, log2Bytes: stuShift, translated: 2 ** 41 });
    expect(translate()).toBeGreaterThanOrEqual(0);
    expect(smmu.asked[0]).toMatchObject({ addressLo: lo, addressHi: hi });
  });

  it.each([
    ['read', ATC_READ, { noWrite: true, instruction: false }],
    ['write', ATC_WRITE, { noWrite: false, instruction: false }],
    ['execute', EXECUTE, { noWrite: true, instruction: true }],
  ])('say what is intended: %s', (_, need, expected) => {
    answer({ read: true, write: true, execute: true });
    if ((need & ATC_EXECUTE) === 0) answer({ read: true, write: true });
    expect(translate(need)).toBeGreaterThanOrEqual(0);
    expect(smmu.asked[0]).toMatchObject(expected);
  });

  it('ask again with NW clear before a write to what was asked for to read', () => {
    answer({ read: true, translated: 0x9000_0000 });
    expect(translate()).toBeGreaterThanOrEqual(0);
    answer({ read: true, write: true, translated: 0x9000_0000 });
    expect(lookup(ATC_WRITE)).toBe(ATC_MISS);
    expect(address(translate(ATC_WRITE))).toBe(0x9000_0000);
    expect(smmu.asked.map(({ noWrite }) => noWrite)).toEqual([true, false]);
    expect(translate()).toBeGreaterThanOrEqual(0);
    expect(atc.stats.fills).toBe(2);
    expect(atc.store.count).toBe(1);
  });

  it('ask for what the replaced translation permitted as well, wherever it is kept', () => {
    make({}, 12, 8);
    for (let page = 0; page < 16; page += 1) {
      answer({ read: true, write: true });
      translate(ATC_WRITE, 5, false, page * 4096);
      answer({ read: true, write: true, execute: true });
      expect(translate(EXECUTE, 5, false, page * 4096)).toBeGreaterThanOrEqual(0);
      expect(smmu.asked.at(-1)).toMatchObject({ noWrite: false });
    }
  });

  it('ask for what the replaced translation permitted as well', () => {
    answer({ read: true, write: true });
    translate(ATC_WRITE);
    answer({ read: true, write: true, execute: true });
    translate(EXECUTE);
    expect(smmu.asked[1]).toMatchObject({ noWrite: false, instruction: true });
    expect(lookup(ATC_WRITE)).toBeGreaterThanOrEqual(0);
    expect(lookup(EXECUTE)).toBeGreaterThanOrEqual(0);
  });

  it('carry nothing over from an earlier answer', () => {
    answer({
      ...{ read: true, write: true, execute: true, untranslatedOnly: true, nonSnooped: true, global: true },
      log2Bytes: 21,
    });
    translate(EXECUTE);
    smmu.completion = { read: true };
    const handle = translate(ATC_READ, 5, false, 0x7000, 0);
    expect(atc.untranslatedOnly(handle) || atc.mustSnoop(handle)).toBe(false);
    expect(lookup(ATC_WRITE, 5, false, 0x7000, 0)).toBe(ATC_MISS);
    expect(lookup(ATC_READ, 6, false, 0x7000, 0)).toBe(ATC_MISS);
    expect(lookup(ATC_READ, 5, false, 0x8000, 0)).toBe(ATC_MISS);
    expect(address(handle, 0x7000, 0)).toBe(0);
  });

  it('a memory request needs write, execute with read, or read', () => {
    const request = new DmaRequest(new Uint8Array(0));
    expect(needOf(request)).toBe(ATC_READ);
    request.instruction = true;
    expect(needOf(request)).toBe(EXECUTE);
    request.write = true;
    expect(needOf(request)).toBe(ATC_WRITE);
  });
});

describe('completions (PCIe §10.2.3)', () => {
  it('cover the range that they tell', () => {
    answer({ read: true, log2Bytes: 21, translated: 0x4020_0000 });
    translate();
    expect(address(lookup(ATC_READ, 5, false, 0x123f_ffff), 0x123f_ffff)).toBe(0x403f_ffff);
    expect(lookup(ATC_READ, 5, false, 0x1240_0000)).toBe(ATC_MISS);
    expect(lookup(ATC_READ, 5, false, 0x121f_f000)).toBe(ATC_MISS);
  });

  it('with neither R nor W are a page fault and are not kept', () => {
    answer({ translated: 0 });
    expect(translate()).toBe(ATC_FAULT);
    expect(translate()).toBe(ATC_FAULT);
    expect(atc.stats).toMatchObject({ fills: 2, faults: 2 });
    expect(atc.store.count).toBe(0);
  });

  it.each([
    ['read only, for a write', { read: true }, ATC_WRITE, ATC_READ],
    ['write only, for a read', { write: true }, ATC_READ, ATC_WRITE],
    ['not executable, for an instruction', { read: true }, EXECUTE, ATC_READ],
  ])('that grant less are a page fault, and are kept for what they grant: %s', (_, completion, need, granted) => {
    answer(completion);
    expect(translate(need)).toBe(ATC_FAULT);
    expect(lookup(granted)).toBeGreaterThanOrEqual(0);
  });

  it('of one privilege say nothing about the other', () => {
    answer({ read: true, privilegedGranted: true });
    expect(translate(ATC_READ, 5, true)).toBeGreaterThanOrEqual(0);
    expect(lookup(ATC_READ, 5, false)).toBe(ATC_MISS);
    answer({ read: true }); // a translator without privilege answers for the unprivileged
    expect(translate(ATC_READ, 6, true)).toBe(ATC_FAULT);
    expect(lookup(ATC_READ, 6, true)).toBe(ATC_MISS);
    expect(lookup(ATC_READ, 6, false)).toBeGreaterThanOrEqual(0);
  });

  it('with U tell that only untranslated requests may go there, whatever their address', () => {
    answer({ read: true, untranslatedOnly: true, translated: 0x123 });
    const handle = translate();
    expect(atc.untranslatedOnly(handle)).toBe(true);
    expect(atc.mustSnoop(handle)).toBe(false);
    expect(translate()).toBe(handle);
    expect(atc.stats.fills).toBe(1);
  });

  it('with N tell that requests there must snoop', () => {
    answer({ read: true, nonSnooped: true });
    expect(atc.mustSnoop(translate())).toBe(true);
  });

  it('with Global serve every PASID, where the function takes global invalidations', () => {
    answer({ read: true, global: true });
    translate();
    expect(lookup(ATC_READ, 9)).toBeGreaterThanOrEqual(0);
    expect(lookup(ATC_READ, NO_SUBSTREAM)).toBe(ATC_MISS);
    make({ ats: { queueDepth: 4 } });
    answer({ read: true, global: true });
    translate();
    expect(lookup(ATC_READ, 9)).toBe(ATC_MISS);
  });

  it('with Global to a request without PASID serve nobody else', () => {
    answer({ read: true, global: true });
    expect(translate(ATC_READ, NO_SUBSTREAM)).toBeGreaterThanOrEqual(0);
    expect(lookup(ATC_READ, 9)).toBe(ATC_MISS);
    expect(lookup(ATC_READ, NO_SUBSTREAM)).toBeGreaterThanOrEqual(0);
  });

  it.each([
    ['Unsupported Request', ATS_UNSUPPORTED, {}],
    ['a status that does not exist', 2, {}],
    ['a range smaller than STU', 0, { read: true, log2Bytes: 15 }],
    ['no range', 0, { read: true, log2Bytes: Number.NaN }],
  ] as const)('%s turns the cache off until ATS is enabled anew', (_, status, completion) => {
    make({}, 16);
    answer({ read: true, log2Bytes: 16 });
    translate();
    smmu.status = status;
    answer(completion);
    expect(translate(ATC_READ, 6)).toBe(ATC_OFF);
    expect(atc.enabled).toBe(false);
    expect(atc.stats.unsupported).toBe(1);
    expect(lookup()).toBe(ATC_MISS);
    expect(translate()).toBe(ATC_OFF);
    expect(atc.stats.fills).toBe(2);
    device.disableAts();
    device.enableAts(16);
    smmu.status = 0;
    answer({ read: true, log2Bytes: 16 });
    expect(translate()).toBeGreaterThanOrEqual(0);
  });

  it('Completer Abort is reported and leaves the cache on', () => {
    smmu.status = ATS_ABORT;
    expect(translate()).toBe(ATC_ABORTED);
    expect(atc.stats.aborts).toBe(1);
    expect(atc.enabled).toBe(true);
  });

  it.each([
    ['an address that is not aligned to the range', { read: true, log2Bytes: 21, translated: 0x8000_1000 }],
    ['an address below 0', { read: true, translated: -4096 }],
    ['an address that is no number', { read: true, translated: Number.NaN }],
    ['a range larger than there is', { read: true, log2Bytes: 64, translated: 0 }],
    ['a fraction of a bit', { read: true, log2Bytes: 12.5, translated: 0 }],
    ['execute that was not asked for', { read: true, execute: true }],
    ['execute without read', { write: true, execute: true, instruction: true }],
    ['privilege that was not asked for', { read: true, privilegedGranted: true }],
  ])('that cannot be abort the transaction: %s', (_, completion) => {
    answer(completion);
    expect(translate(ATC_WRITE)).toBe(ATC_ABORTED);
    expect(atc.stats.unexpected).toBe(1);
    expect(atc.store.count).toBe(0);
  });
});

describe('nothing is asked that the registers do not allow (PCIe §10.5.1.3, §6.20.1)', () => {
  const ask = (need: number, substreamId: number, privileged: boolean) => () =>
    atc.ask(substreamId, LO, HI, need, privileged);

  it('EINVAL for a function without ATS, or for a size that cannot be', () => {
    const { hardware: plain } = makeFunction(new FakeSmmu(), { ats: undefined } as object);
    expect(() => new AddressTranslationCache({ function: plain, port: smmu })).toThrow(errno('EINVAL'));
    expect(() => new AddressTranslationCache({ function: hardware, port: smmu, entries: 9 })).toThrow(errno('EINVAL'));
  });

  it('ATS', () => {
    device.disableAts();
    expect(translate()).toBe(ATC_OFF);
    expect(ask(ATC_READ, 5, false)).toThrow(errno('EPERM'));
  });

  it('bus mastering', () => {
    device.clearMaster();
    expect(translate()).toBe(ATC_REFUSED);
    expect(ask(ATC_READ, 5, false)).toThrow(errno('EPERM'));
  });

  it.each([
    ['a PASID beyond the width', ATC_READ, 2 ** 16, false],
    ['a PASID below 0', ATC_READ, -2, false],
    ['execute without PASID', EXECUTE, NO_SUBSTREAM, false],
    ['privilege without PASID', ATC_READ, NO_SUBSTREAM, true],
  ])('%s', (_, need, substreamId, privileged) => {
    expect(translate(need, substreamId, privileged)).toBe(ATC_REFUSED);
    expect(ask(need, substreamId, privileged)).toThrow(errno('EPERM'));
    expect(smmu.asked).toEqual([]);
  });

  it('execute and privilege that were not enabled, and any PASID', () => {
    device.disablePasid();
    expect(translate()).toBe(ATC_REFUSED);
    device.enablePasid();
    expect(translate(EXECUTE)).toBe(ATC_REFUSED);
    expect(translate(ATC_READ, 5, true)).toBe(ATC_REFUSED);
    expect(translate(ATC_READ, NO_SUBSTREAM)).toBeGreaterThanOrEqual(0);
    expect(translate()).toBeGreaterThanOrEqual(0);
  });
});

describe('the cache is emptied (PCIe §10.3.7)', () => {
  it('when ATS is enabled or disabled', () => {
    translate();
    device.disableAts();
    expect(lookup()).toBe(ATC_MISS);
    device.enableAts(12);
    expect(lookup()).toBe(ATC_MISS);
    translate();
    expect(atc.stats.fills).toBe(2);
  });

  it('by a function level reset', () => {
    translate();
    device.reset();
    expect(atc.store.count).toBe(0);
    expect(atc.enabled).toBe(false);
  });

  it('of one PASID when its use stops, except for global translations', () => {
    translate();
    translate(ATC_READ, 6);
    answer({ read: true, global: true });
    translate(ATC_READ, 5, false, 0x7000);
    atc.dropPasid(5);
    expect(lookup()).toBe(ATC_MISS);
    expect(lookup(ATC_READ, 6)).toBeGreaterThanOrEqual(0);
    expect(lookup(ATC_READ, 5, false, 0x7000)).toBeGreaterThanOrEqual(0);
  });
});

describe('invalidations (PCIe §10.3)', () => {
  it('drop a page of a PASID and complete at once', () => {
    translate();
    translate(ATC_READ, 6);
    expect(invalidate()).toHaveBeenCalledTimes(1);
    expect(lookup()).toBe(ATC_MISS);
    expect(lookup(ATC_READ, 6)).toBeGreaterThanOrEqual(0);
    expect(atc.stats.invalidations).toBe(1);
  });

  it('drop a range, and everything', () => {
    for (const lo of [0, 0x1000, 0x4000]) translate(ATC_READ, 5, false, lo);
    invalidate(5, 0, HI, 14);
    expect([0, 0x1000, 0x4000].map((lo) => lookup(ATC_READ, 5, false, lo) >= 0)).toEqual([false, false, true]);
    invalidate(5, 0, 0, 64);
    expect(atc.store.count).toBe(0);
  });

  it('are rounded up to the smallest translation unit', () => {
    make({}, 14);
    answer({ read: true, log2Bytes: 14 });
    translate(ATC_READ, 5, false, 0x4000);
    invalidate(5, 0x7000, HI, 12);
    expect(lookup(ATC_READ, 5, false, 0x4000)).toBe(ATC_MISS);
  });

  it('of all PASIDs drop global translations too, and none without PASID', () => {
    translate();
    translate(ATC_READ, 6);
    translate(ATC_READ, NO_SUBSTREAM);
    answer({ read: true, global: true });
    translate(ATC_READ, 5, false, 0x7000);
    invalidate(5, 0, 0, 64, true);
    expect(atc.store.count).toBe(1);
    expect(lookup(ATC_READ, NO_SUBSTREAM)).toBeGreaterThanOrEqual(0);
  });

  it('of all PASIDs mean one where the function does not support more', () => {
    make({ ats: { queueDepth: 4 } });
    translate();
    translate(ATC_READ, 6);
    invalidate(5, 0, 0, 64, true);
    expect(lookup()).toBe(ATC_MISS);
    expect(lookup(ATC_READ, 6)).toBeGreaterThanOrEqual(0);
  });

  it('complete while ATS is off, or bus mastering', () => {
    device.clearMaster();
    expect(invalidate()).toHaveBeenCalledTimes(1);
    device.disableAts();
    expect(invalidate()).toHaveBeenCalledTimes(1);
    device.reset();
    expect(invalidate(NO_SUBSTREAM, 0, 0, 64)).toHaveBeenCalledTimes(1);
  });
});

describe('an invalidation completes when nothing on its way uses what it drops (PCIe §10.3.3)', () => {
  function fly(substreamId = 5, lo = LO): Flight {
    const flight = new Flight();
    atc.begin(flight, translate(ATC_READ, substreamId, false, lo), lo, HI);
    return flight;
  }

  it('after the last such transaction, whatever their order', () => {
    const flights = [fly(), fly(6), fly(), fly()];
    const complete = invalidate();
    expect(lookup()).toBe(ATC_MISS); // gone at once
    expect(atc.draining).toBe(1);
    for (const i of [2, 1, 0]) atc.end(flights[i]!);
    expect(complete).not.toHaveBeenCalled();
    atc.end(flights[3]!);
    expect(complete).toHaveBeenCalledTimes(1);
    expect(atc.draining).toBe(0);
    expect(atc.inFlight).toBe(0);
  });

  it('not waiting for other pages, other PASIDs or transactions with a newer translation', () => {
    const [page, pasid] = [fly(5, 0x7000), fly(6)];
    expect(invalidate()).toHaveBeenCalledTimes(1);
    const old = fly();
    const first = invalidate();
    const newer = fly();
    atc.end(old);
    expect(first).toHaveBeenCalledTimes(1);
    for (const flight of [page, pasid, newer]) atc.end(flight);
  });

  it('several at once', () => {
    const [one, two] = [fly(), fly(5, 0x7000)];
    const narrow = invalidate();
    const wide = invalidate(5, 0, 0, 64);
    const all = invalidate(NO_SUBSTREAM, 0, 0, 12);
    atc.end(one);
    expect(narrow).toHaveBeenCalledTimes(1);
    expect(wide).not.toHaveBeenCalled();
    atc.end(two);
    expect(wide).toHaveBeenCalledTimes(1);
    expect(all).toHaveBeenCalledTimes(1);
  });

  it('of a global translation, from whatever PASID it was used', () => {
    answer({ read: true, global: true });
    const flight = fly(5);
    expect(invalidate(5)).toHaveBeenCalledTimes(1); // does not concern global ones
    const complete = invalidate(9, LO, HI, 12, true);
    expect(complete).not.toHaveBeenCalled();
    atc.end(flight);
    expect(complete).toHaveBeenCalledTimes(1);
  });

  it('also after a reset in between', () => {
    const flight = fly();
    const complete = invalidate();
    device.reset();
    expect(complete).not.toHaveBeenCalled();
    atc.end(flight);
    expect(complete).toHaveBeenCalledTimes(1);
  });

  it('counting those that came when the announced queue was full', () => {
    const flight = fly();
    for (let i = 0; i < 6; i += 1) invalidate();
    expect(atc.stats.beyondDepth).toBe(2);
    atc.end(flight);
    expect(atc.draining).toBe(0);
  });
});

describe('a completion that an invalidation overtook is discarded (PCIe §10.3.6)', () => {
  const ask = (need = ATC_READ, substreamId = 5) => atc.ask(substreamId, LO, HI, need, false);

  it('if it covers the same page', () => {
    const fill = ask();
    expect(invalidate()).toHaveBeenCalledTimes(1); // a completion that will be discarded holds nothing up
    expect(atc.accept(fill)).toBe(ATC_STALE);
    expect(lookup()).toBe(ATC_MISS);
    expect(atc.stats.stale).toBe(1);
  });

  it('or any part of the larger range that was answered', () => {
    answer({ read: true, log2Bytes: 21 });
    const fill = ask();
    invalidate(5, 0x1220_0000);
    expect(atc.accept(fill)).toBe(ATC_STALE);
  });

  it('but not if it is of another page or another PASID', () => {
    const fill = ask();
    invalidate(5, LO + 0x1000);
    invalidate(6);
    expect(atc.accept(fill)).toBeGreaterThanOrEqual(0);
  });

  it('or global', () => {
    answer({ read: true, global: true });
    const fill = ask();
    invalidate(9, LO, HI, 12, true);
    expect(atc.accept(fill)).toBe(ATC_STALE);
  });

  it('whatever its page, if it is not answered yet: its range may be any', () => {
    smmu.during = () => void invalidate(5, 0x7000);
    expect(translate()).toBe(ATC_STALE);
    smmu.during = undefined;
    expect(translate()).toBeGreaterThanOrEqual(0);
  });

  it('when its PASID stops, or ATS is switched off and on', () => {
    const stopped = ask();
    atc.dropPasid(5);
    expect(atc.accept(stopped)).toBe(ATC_STALE);
    const switched = ask();
    device.disableAts();
    device.enableAts(12);
    expect(atc.accept(switched)).toBe(ATC_STALE);
    const off = ask();
    device.disableAts();
    expect(atc.accept(off)).toBe(ATC_OFF);
  });

  it('among others on their way, which are not', () => {
    const fills = [ask(), ask(ATC_READ, 6), ask(ATC_READ, 7)];
    invalidate(6);
    expect([1, 0, 2].map((i) => atc.accept(fills[i]!) >= 0)).toEqual([false, true, true]);
    expect(translate()).toBeGreaterThanOrEqual(0);
  });
});
