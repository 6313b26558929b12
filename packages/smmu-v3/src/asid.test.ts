import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AsidDomain, AsidTable, VmidTable } from './asid.ts';

class TestDomain implements AsidDomain {
  asid = 0;
  moves = 0;
  moveAsid(asid: number): void {
    this.asid = asid;
    this.moves += 1;
  }
}
const privately = (table: AsidTable): TestDomain => {
  const domain = new TestDomain();
  domain.asid = table.allocPrivate(domain);
  return domain;
};
const process = () => ({});

describe('AsidTable', () => {
  it('private ASIDs come from the top, where the CPUs’ arrive last', () => {
    const table = new AsidTable(16);
    expect([privately(table).asid, privately(table).asid]).toEqual([65535, 65534]);
    expect(table.used).toBe(2);
  });
  it('ASID 0 is nobody’s', () => {
    const table = new AsidTable(8);
    const all = Array.from({ length: 255 }, () => privately(table).asid);
    expect(new Set(all).size).toBe(255);
    expect(Math.min(...all)).toBe(1);
    expect(() => privately(table)).toThrow(expect.objectContaining({ code: 'ENOSPC' }));
    table.freePrivate(77);
    expect(privately(table).asid).toBe(77);
  });
  it('after the lowest comes the highest that is free', () => {
    const table = new AsidTable(8);
    for (let i = 0; i < 254; i++) privately(table);
    table.freePrivate(255);
    expect([privately(table).asid, privately(table).asid]).toEqual([1, 255]);
  });
  it('a process brings its number: a domain that has it moves', () => {
    const table = new AsidTable(8);
    const domain = privately(table);
    table.share(255, process());
    expect(domain).toMatchObject({ asid: 254, moves: 1 });
    expect(table.used).toBe(2);
  });
  it('the domain keeps its number until it has moved', () => {
    const table = new AsidTable(8);
    let taken = 0;
    const domain: AsidDomain = { moveAsid: () => (taken = table.used) };
    expect(table.allocPrivate(domain)).toBe(255);
    table.share(255, process());
    expect(taken).toBe(2); // the old one and the new one
    expect(table.used).toBe(2);
  });
  it('without another number for the domain the process is refused, and nothing has changed', () => {
    const table = new AsidTable(8);
    const domains = Array.from({ length: 255 }, () => privately(table));
    expect(() => table.share(7, process())).toThrow(expect.objectContaining({ code: 'ENOSPC' }));
    expect(domains.every(({ moves }) => moves === 0)).toBe(true);
    expect(table.used).toBe(255);
  });
  it('domains of one process share its number, until the last is gone', () => {
    const table = new AsidTable(8);
    const mm = process();
    table.share(9, mm);
    table.share(9, mm);
    expect(() => table.share(9, process())).toThrow(expect.objectContaining({ code: 'EBUSY' }));
    table.unshare(9);
    expect(table.used).toBe(1);
    table.unshare(9);
    expect(table.used).toBe(0);
    table.share(9, process());
  });
  it('a number wider than the SMMU’s is refused', () => {
    expect(() => new AsidTable(8).share(256, process())).toThrow(expect.objectContaining({ code: 'EOPNOTSUPP' }));
  });
  it('never gives one number to two, whatever comes and goes', () => {
    const step = fc.tuple(
      fc.constantFrom('private', 'free', 'share', 'unshare'),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const table = new AsidTable(8);
        const domains: TestDomain[] = [];
        const shared = new Map<number, object>();
        for (const [what, pick, asid] of steps) {
          if (what === 'private' && table.used < 255) domains.push(privately(table));
          else if (what === 'free' && domains.length > 0)
            table.freePrivate(domains.splice(pick % domains.length, 1)[0]!.asid);
          else if (what === 'share' && !shared.has(asid) && table.used < 255) {
            const mm = process();
            table.share(asid, mm);
            shared.set(asid, mm);
          } else if (what === 'unshare' && shared.delete(asid)) table.unshare(asid);
          const taken = [...domains.map((domain) => domain.asid), ...shared.keys()];
          expect(new Set(taken).size).toBe(taken.length);
          expect(table.used).toBe(taken.length);
        }
      }),
    );
  });
});

describe('VmidTable', () => {
  it('hands out numbers from 1, the lowest first, until there is none', () => {
    const table = new VmidTable(8);
    expect([table.alloc(), table.alloc(), table.alloc()]).toEqual([1, 2, 3]);
    table.free(2);
    expect(table.alloc()).toBe(2);
    for (let i = 4; i <= 255; i++) table.alloc();
    expect(() => table.alloc()).toThrow(expect.objectContaining({ code: 'ENOSPC' }));
  });
});
