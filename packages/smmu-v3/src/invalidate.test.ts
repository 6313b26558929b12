import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fakeDevice } from '../test/fakeDevice.ts';
import type { Consumed } from '../test/fakeSmmu.ts';
import { type InvalidationRange, Invalidator } from './invalidate.ts';
import { INV_ASID, INV_ATS, INV_ATS_FULL, INV_VMID, INV_VMID_S1_CLEAR, Invs } from './invs.ts';

const list = (...entries: [kind: number, id: number, ssid?: number][]) =>
  new Invs(entries.map(([kind, id, ssid = 0]) => ({ kind, id, ssid, users: 1 })));
const make = (rangeInv: boolean, extra: { e2h?: boolean; cmdqLog2?: number } = {}) => {
  const { board, smmu } = fakeDevice({ features: { rangeInv }, ...extra });
  return { board, hardware: board.hardware, inv: new Invalidator(smmu) };
};
const range = (start: number, last: number, more: Partial<InvalidationRange> = {}): InvalidationRange => ({
  start,
  last,
  granuleBytes: 4096,
  tableShift: 12,
  leaf: true,
  ...more,
});

/** What a command by address covers, by the formula of §4.4.1, with the bits typed in from the manual. */
function coverage({ words: [w0, w1, w2, w3] }: Consumed) {
  const tg = (w2! >>> 10) & 3;
  const num = (w0! >>> 12) & 31;
  const scale = (w0! >>> 20) & 63;
  const ttl = (w2! >>> 8) & 3;
  const address = (w3! >>> 0) * 2 ** 32 + ((w2! & 0xffff_f000) >>> 0);
  const bytes = tg === 0 ? 0 : (num + 1) * 2 ** scale * 2 ** (10 + 2 * tg);
  return {
    tg,
    ttl,
    address,
    bytes,
    leaf: (w2! & 1) !== 0,
    asid: w1! >>> 16,
    illegal: tg !== 0 && num + scale + ttl === 0,
  };
}

describe('without range invalidation', () => {
  it('one command by address for each page', () => {
    const { hardware, inv } = make(false);
    inv.range(list([INV_ASID, 7]), range(0x5000, 0x7fff), true);
    expect(hardware.commands.slice(0, 3).map(coverage)).toMatchObject([
      { tg: 0, ttl: 0, address: 0x5000, leaf: true, asid: 7 },
      { address: 0x6000 },
      { address: 0x7000 },
    ]);
    expect(hardware.take()).toEqual([...Array(3).fill('CMD_TLBI_NH_VA'), 'CMD_SYNC']);
  });
  it('one for each block', () => {
    const { hardware, inv } = make(false);
    inv.range(list([INV_ASID, 7]), range(0x40_0000, 0x7f_ffff, { granuleBytes: 2 ** 21 }), true);
    expect(hardware.commands.slice(0, 2).map(coverage)).toMatchObject([{ address: 0x40_0000 }, { address: 0x60_0000 }]);
  });
  it('from 512 pages on the whole ASID is cheaper (Linux CMDQ_MAX_TLBI_OPS)', () => {
    const { hardware, inv } = make(false);
    inv.range(list([INV_ASID, 7]), range(0, 511 * 4096 - 1), true);
    expect(hardware.take().length).toBe(512);
    inv.range(list([INV_ASID, 7]), range(0, 512 * 4096 - 1), true);
    expect(hardware.take()).toEqual(['CMD_TLBI_NH_ASID', 'CMD_SYNC']);
  });
});

describe('with range invalidation (IDR3.RIL)', () => {
  it.each([
    { pages: 1, commands: 1, rule: 'one page is one command' },
    { pages: 31, commands: 1, rule: 'so are 31' },
    { pages: 32, commands: 1, rule: 'and 32' },
    { pages: 33, commands: 2, rule: '33 are one and 32' },
    { pages: 2 ** 20, commands: 1, rule: '4 GiB are one' },
    { pages: 2 ** 20 + 1, commands: 2, rule: 'and a page' },
    { pages: 2 ** 30 - 1, commands: 6, rule: 'the most: all groups of five bits' },
  ])('$rule', ({ pages, commands }) => {
    const { hardware, inv } = make(true);
    inv.range(list([INV_ASID, 7]), range(0x1000, 0x1000 + pages * 4096 - 1), true);
    expect(hardware.commands.length).toBe(commands + 1);
  });
  it('leaves of one size carry their level, others none', () => {
    const { hardware, inv } = make(true);
    const at = (more: Partial<InvalidationRange>, last: number) => {
      inv.range(list([INV_ASID, 7]), range(0, last, more), true);
      const [first] = hardware.commands.map(coverage);
      hardware.take();
      return first!;
    };
    expect(at({}, 4095)).toMatchObject({ tg: 1, ttl: 3 });
    expect(at({ granuleBytes: 2 ** 21 }, 2 ** 21 - 1)).toMatchObject({ tg: 1, ttl: 2 });
    expect(at({ granuleBytes: 2 ** 30 }, 2 ** 30 - 1)).toMatchObject({ tg: 1, ttl: 1 });
    expect(at({ granuleBytes: 2 ** 14, tableShift: 14 }, 2 ** 14 - 1)).toMatchObject({ tg: 2, ttl: 3 });
    expect(at({ granuleBytes: 2 ** 25, tableShift: 14 }, 2 ** 25 - 1)).toMatchObject({ tg: 2, ttl: 2 });
    expect(at({ granuleBytes: 2 ** 16, tableShift: 16 }, 2 ** 16 - 1)).toMatchObject({ tg: 3, ttl: 3 });
    expect(at({ granuleBytes: 2 ** 29, tableShift: 16 }, 2 ** 29 - 1)).toMatchObject({ tg: 3, ttl: 2 });
    expect(at({ leaf: false }, 2 ** 21 - 1)).toMatchObject({ tg: 1, ttl: 0, leaf: false });
  });
  it('one page without level is two, because NUM = SCALE = TTL = 0 is illegal (§4.4.1)', () => {
    const { hardware, inv } = make(true);
    inv.range(list([INV_ASID, 7]), range(0x5000, 0x5fff, { leaf: false }), true);
    expect(hardware.commands.slice(0, -1).map(coverage)).toMatchObject([
      { address: 0x5000, bytes: 0x2000, illegal: false },
    ]);
  });
  it('8 TiB and more are the whole ASID: NUM and SCALE reach no further without IDR5.DS', () => {
    const { hardware, inv } = make(true);
    inv.range(list([INV_ASID, 7]), range(0, 2 ** 43 - 1), true);
    expect(hardware.take()).toEqual(['CMD_TLBI_NH_ASID', 'CMD_SYNC']);
  });
  it('covers the range, never illegally, never beyond the next block, for every range, level and granule', () => {
    const { hardware, inv } = make(true);
    const shift = fc.constantFrom<12 | 14 | 16>(12, 14, 16);
    fc.assert(
      fc.property(
        shift,
        fc.nat(2),
        fc.boolean(),
        fc.nat(2 ** 30),
        fc.integer({ min: 1, max: 2 ** 22 }),
        (s, up, leaf, at, n) => {
          const level = s === 12 ? up : Math.min(up, 1);
          const granuleBytes = leaf ? 2 ** (s + level * (s - 3)) : 2 ** s;
          const start = (at % 2 ** 12) * granuleBytes;
          const blocks = (n % 2 ** 12) + 1;
          const last = start + blocks * granuleBytes - 1;
          inv.range(list([INV_ASID, 7]), range(start, last, { granuleBytes, tableShift: s, leaf }), true);
          const commands = hardware.commands;
          hardware.take();
          if (commands[0]!.name === 'CMD_TLBI_NH_ASID') return;
          let reached = start;
          for (const command of commands.slice(0, -1)) {
            const { address, bytes, illegal, leaf: onlyLeaf } = coverage(command);
            expect(illegal).toBe(false);
            expect(onlyLeaf).toBe(leaf);
            expect(address).toBe(reached);
            if (leaf) expect(address % granuleBytes).toBe(0); // else unpredictable, §4.4.1
            reached += bytes;
          }
          expect(reached).toBeGreaterThan(last);
          expect(reached - last).toBeLessThanOrEqual(1 + 2 ** s);
          expect(commands.length).toBeLessThanOrEqual(8);
        },
      ),
    );
  });
});

describe('Invalidator', () => {
  it('ASIDs, VMIDs and nested stage 1 each have their command', () => {
    const { hardware, inv } = make(true);
    inv.range(list([INV_ASID, 7], [INV_VMID, 8], [INV_VMID_S1_CLEAR, 9]), range(0, 4095), true);
    expect(hardware.take()).toEqual(['CMD_TLBI_NH_VA', 'CMD_TLBI_S2_IPA', 'CMD_TLBI_S12_VMALL', 'CMD_SYNC']);
    inv.all(list([INV_ASID, 7], [INV_VMID, 8]));
    expect(hardware.take()).toEqual(['CMD_TLBI_NH_ASID', 'CMD_TLBI_S12_VMALL', 'CMD_SYNC']);
    inv.vmid(3);
    expect(hardware.commands[0]!.words[1]).toBe(3);
  });
  it('streams in the EL2-E2H world need the EL2 forms', () => {
    const { hardware, inv } = make(true, { e2h: true });
    inv.range(list([INV_ASID, 7]), range(0, 4095), true);
    inv.asid(7);
    expect(hardware.take()).toEqual(['CMD_TLBI_EL2_VA', 'CMD_SYNC', 'CMD_TLBI_EL2_ASID', 'CMD_SYNC']);
  });
  it('the TLB is empty before a device is told to forget (§4.5.1)', () => {
    const { hardware, inv } = make(true);
    const invs = list([INV_ASID, 7], [INV_ATS, 0x10, 5], [INV_ATS_FULL, 0x11]);
    inv.range(invs, range(0x5000, 0x6fff), true);
    const [, , atc, full] = hardware.commands;
    expect(atc!.words).toEqual([0x5840, 0x10, 0x4002, 0]); // 16 KiB around the two pages, SSID 5
    expect(full!.words.slice(1, 3)).toEqual([0x11, 52]);
    expect(hardware.take()).toEqual(['CMD_TLBI_NH_VA', 'CMD_SYNC', 'CMD_ATC_INV', 'CMD_ATC_INV', 'CMD_SYNC']);
    inv.all(invs);
    expect(hardware.take()).toEqual(['CMD_TLBI_NH_ASID', 'CMD_SYNC', 'CMD_ATC_INV', 'CMD_ATC_INV', 'CMD_SYNC']);
  });
  it('with broadcasts only devices are told', () => {
    const { hardware, inv } = make(true);
    inv.range(list([INV_ASID, 7], [INV_ATS, 0x10]), range(0, 4095), false);
    expect(hardware.take()).toEqual(['CMD_ATC_INV', 'CMD_SYNC']);
    inv.range(list([INV_ASID, 7]), range(0, 4095), false);
    expect(hardware.take()).toEqual([]);
  });
  it('what nobody needs any more is not invalidated', () => {
    const { hardware, inv } = make(true);
    const invs = list([INV_ASID, 1], [INV_ASID, 2], [INV_ATS, 3], [INV_ATS, 4]);
    invs.unref(list([INV_ASID, 1], [INV_ATS, 3]));
    inv.range(invs, range(0, 4095), true);
    inv.all(invs);
    expect(
      hardware.commands.filter(({ name }) => name !== 'CMD_SYNC').map(({ words }) => [words[0]! & 0xff, words[1]]),
    ).toEqual([
      [0x12, 0x20000],
      [0x40, 4],
      [0x11, 0x20000],
      [0x40, 4],
    ]);
    inv.all(new Invs());
    inv.range(new Invs(), range(0, 4095), true);
  });
  it('drops what an entry stands for', () => {
    const { hardware, inv } = make(true);
    for (const { entries } of [list([INV_ASID, 1]), list([INV_VMID, 2]), list([INV_ATS, 3, 4])]) inv.entry(entries[0]!);
    expect(hardware.take()).toEqual([
      'CMD_TLBI_NH_ASID',
      'CMD_SYNC',
      'CMD_TLBI_S12_VMALL',
      'CMD_SYNC',
      'CMD_ATC_INV',
      'CMD_SYNC',
    ]);
  });
  it('a batch longer than the queue comes through', () => {
    const { hardware, inv } = make(false, { cmdqLog2: 3 });
    inv.range(list([INV_ASID, 7]), range(0, 300 * 4096 - 1), true);
    expect(hardware.take().length).toBe(301);
  });
});
