import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { INV_ASID, INV_ATS, INV_VMID, INV_VMID_S1_CLEAR, type Inv, Invs } from './invs.ts';

const list = (...entries: [kind: number, id: number, ssid?: number][]) =>
  new Invs(entries.map(([kind, id, ssid = 0]) => ({ kind, id, ssid, users: 1 })));
const shown = (invs: Invs) => {
  const entries = invs.entries.slice(0, invs.length);
  return {
    ids: entries.map(({ id }) => id),
    users: entries.map(({ users }) => users),
    ssids: entries.map(({ ssid }) => ssid),
    trash: invs.trash,
  };
};

describe('the eleven steps of Linux arm_smmu_v3_invs_test', () => {
  const invs1 = list([INV_VMID, 1], [INV_VMID_S1_CLEAR, 1], [INV_ATS, 3]);
  const invs2 = list([INV_VMID, 1], [INV_ATS, 4], [INV_ATS, 5]);
  const invs3 = list([INV_VMID, 1], [INV_ATS, 5], [INV_ATS, 6]);
  const invs4 = list([INV_ATS, 10, 1], [INV_ATS, 10, 3], [INV_ATS, 12, 1]);
  const invs5 = list([INV_ATS, 10, 2], [INV_ATS, 10, 3], [INV_ATS, 12, 2]);
  const zeros = (count: number) => Array.from({ length: count }, () => 0);
  it('merge, merge, unref, merge, unref, purge, unref, merge, merge, unref, purge', () => {
    let invs = new Invs();
    expect(invs.length).toBe(0);
    invs = invs.merge(invs1);
    expect(shown(invs)).toEqual({ ids: [1, 1, 3], users: [1, 1, 1], ssids: zeros(3), trash: 0 });
    invs = invs.merge(invs2);
    expect(shown(invs)).toEqual({ ids: [1, 1, 3, 4, 5], users: [2, 1, 1, 1, 1], ssids: zeros(5), trash: 0 });
    invs.unref(invs2); // what is trash at the end is cut off
    expect(shown(invs)).toEqual({ ids: [1, 1, 3], users: [1, 1, 1], ssids: zeros(3), trash: 0 });
    invs = invs.merge(invs3);
    expect(shown(invs)).toEqual({ ids: [1, 1, 3, 5, 6], users: [2, 1, 1, 1, 1], ssids: zeros(5), trash: 0 });
    invs.unref(invs1);
    expect(shown(invs)).toEqual({ ids: [1, 1, 3, 5, 6], users: [1, 0, 0, 1, 1], ssids: zeros(5), trash: 2 });
    invs = invs.purge();
    expect(shown(invs)).toEqual({ ids: [1, 5, 6], users: [1, 1, 1], ssids: zeros(3), trash: 0 });
    invs.unref(invs3);
    expect(shown(invs)).toEqual({ ids: [], users: [], ssids: [], trash: 0 });
    invs = invs.merge(invs4);
    expect(shown(invs)).toEqual({ ids: [10, 10, 12], users: [1, 1, 1], ssids: [1, 3, 1], trash: 0 });
    invs = invs.merge(invs5);
    expect(shown(invs)).toEqual({
      ids: [10, 10, 10, 12, 12],
      users: [1, 1, 2, 1, 1],
      ssids: [1, 2, 3, 1, 2],
      trash: 0,
    });
    invs.unref(invs5);
    expect(shown(invs)).toEqual({ ids: [10, 10, 10, 12], users: [1, 0, 1, 1], ssids: [1, 2, 3, 1], trash: 1 });
    invs = invs.purge();
    expect(shown(invs)).toEqual({ ids: [10, 10, 12], users: [1, 1, 1], ssids: [1, 3, 1], trash: 0 });
  });
});

describe('Invs', () => {
  it('sorts TLB tags before ATCs', () => {
    const invs = list([INV_ATS, 1]).merge(list([INV_ASID, 9]));
    expect(invs.entries.map(({ kind }) => kind)).toEqual([INV_ASID, INV_ATS]);
    expect(invs.hasAts).toBe(true);
    expect(list([INV_ASID, 9]).hasAts).toBe(false);
  });
  it('merging leaves trash out and the old list alone', () => {
    const invs = list([INV_ASID, 1], [INV_ASID, 2]);
    invs.unref(list([INV_ASID, 1]));
    const merged = invs.merge(list([INV_ASID, 3]));
    expect(shown(merged).ids).toEqual([2, 3]);
    merged.unref(list([INV_ASID, 2]));
    expect(shown(invs).users).toEqual([0, 1]);
  });
  it('what was trash can come back', () => {
    const invs = list([INV_ASID, 1], [INV_ASID, 2]);
    invs.unref(list([INV_ASID, 1]));
    expect(shown(invs.merge(list([INV_ASID, 1])))).toMatchObject({ ids: [1, 2], users: [1, 1] });
  });
  it('tells of each entry that nobody needs any more', () => {
    const invs = list([INV_ASID, 1], [INV_ATS, 2]).merge(list([INV_ASID, 1]));
    const gone: Inv[] = [];
    invs.unref(list([INV_ASID, 1], [INV_ATS, 2]), (inv) => gone.push(inv));
    expect(gone.map(({ kind, id }) => [kind, id])).toEqual([[INV_ATS, 2]]);
  });
  it('taking off what is not there is a mistake', () => {
    for (const less of [list([INV_ASID, 2]), list([INV_ASID, 1, 1]), list([INV_VMID, 1])])
      expect(() => list([INV_ASID, 1]).unref(less)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    const invs = list([INV_ASID, 1], [INV_ASID, 2]);
    invs.unref(list([INV_ASID, 1]));
    expect(() => invs.unref(list([INV_ASID, 1]))).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });
  it('a list without trash is its own purge', () => {
    const invs = list([INV_ASID, 1]);
    expect(invs.purge()).toBe(invs);
  });
  it('counts like a bag, whatever comes and goes', () => {
    const inv = fc.record({ kind: fc.constantFrom(INV_ASID, INV_ATS), id: fc.nat(3), ssid: fc.nat(2) });
    const key = (one: Omit<Inv, 'users'>) => one.kind * 100 + one.id * 10 + one.ssid;
    const more = fc.uniqueArray(inv, { selector: key, maxLength: 5 });
    fc.assert(
      fc.property(fc.array(more, { maxLength: 12 }), (attachments) => {
        let invs = new Invs();
        const bag = new Map<number, number>();
        const check = () => {
          const live = invs.entries.slice(0, invs.length).filter(({ users }) => users > 0);
          expect(live.map((one) => [key(one), one.users])).toEqual(
            [...bag].filter(([, n]) => n > 0).sort((a, b) => a[0] - b[0]),
          );
        };
        const lists = attachments.map(
          (entries) => new Invs(entries.map((one) => ({ ...one, users: 1 })).sort((a, b) => key(a) - key(b))),
        );
        for (const one of lists) {
          invs = invs.merge(one);
          for (const entry of one.entries) bag.set(key(entry), (bag.get(key(entry)) ?? 0) + 1);
          check();
        }
        for (const [i, one] of lists.entries()) {
          invs.unref(one);
          if (i % 2) invs = invs.purge();
          for (const entry of one.entries) bag.set(key(entry), bag.get(key(entry))! - 1);
          check();
        }
        expect(invs.length).toBe(0);
      }),
    );
  });
});
