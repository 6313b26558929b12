import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AsidAllocator, type AsidAllocatorOptions, AsidContext, type AsidUser } from './asid.ts';

const user = (): AsidUser => ({ context: new AsidContext() });
const small = (more: Partial<AsidAllocatorOptions> = {}) => new AsidAllocator({ asidBits: 8, cpus: 2, ...more });
/** Uses up the generation: address spaces that run once on CPU 1 and end. */
function rollOver(asids: AsidAllocator): void {
  const { generation } = asids;
  while (asids.generation === generation) asids.checkAndSwitch(user(), 1);
}

describe('ASIDs belong to generations (arch/arm64/mm/context.c)', () => {
  it('starts at 1, because 0 is the kernel with no process', () => {
    const asids = small();
    expect([user(), user(), user()].map((mm) => asids.checkAndSwitch(mm, 0))).toEqual([1, 2, 3]);
  });
  it('keeps the number while the generation lasts, on every CPU', () => {
    const asids = small();
    const mm = user();
    expect([0, 1, 0].map((cpu) => asids.checkAndSwitch(mm, cpu))).toEqual([1, 1, 1]);
  });
  it.each([
    [8, 256],
    [16, 65_536],
  ] as const)('has 2^%i of them, all but 0 in one generation', (asidBits, count) => {
    const asids = new AsidAllocator({ asidBits, cpus: 4 });
    expect(asids.available).toBe(count);
    const seen = new Set<number>();
    for (let i = 1; i < count; i++) seen.add(asids.checkAndSwitch(user(), 0));
    expect([seen.size, Math.min(...seen), Math.max(...seen), asids.generation]).toEqual([count - 1, 1, count - 1, 1]);
    asids.checkAndSwitch(user(), 0);
    expect(asids.generation).toBe(2);
  });
  it('leaves a running process its number over a rollover', () => {
    const asids = small();
    const running = user();
    asids.checkAndSwitch(user(), 0);
    const asid = asids.checkAndSwitch(running, 0);
    for (let i = 0; i < 5; i++) rollOver(asids); // CPU 0 runs it all the time, and is never asked
    const others = new Set<number>();
    for (let i = 0; i < 200; i++) others.add(asids.checkAndSwitch(user(), 1));
    expect(others.has(asid)).toBe(false);
    expect(asids.checkAndSwitch(running, 0)).toBe(asid);
  });
  it('keeps all reserved copies of one number: a process on two CPUs over two rollovers', () => {
    const asids = new AsidAllocator({ asidBits: 8, cpus: 3 });
    const threads = user();
    const asid = asids.checkAndSwitch(threads, 0);
    asids.checkAndSwitch(threads, 2);
    rollOver(asids);
    expect(asids.checkAndSwitch(threads, 0)).toBe(asid); // CPU 2 has not switched
    asids.checkAndSwitch(user(), 0); // and CPU 0 leaves it
    rollOver(asids);
    const others = new Set<number>();
    for (let i = 0; i < 200; i++) others.add(asids.checkAndSwitch(user(), 1));
    expect(others.has(asid)).toBe(false);
    expect(asids.checkAndSwitch(threads, 0)).toBe(asid);
  });
  it('gives a process its old number back if nobody has it, another one if somebody does', () => {
    const asids = small();
    const [early, late] = [user(), user()];
    expect(asids.checkAndSwitch(early, 1)).toBe(1);
    expect(asids.checkAndSwitch(late, 1)).toBe(2);
    rollOver(asids); // whoever made it do so has number 1 now
    expect(asids.checkAndSwitch(late, 1)).toBe(2);
    expect(asids.checkAndSwitch(early, 1)).toBe(3);
  });
});

describe('a rollover empties each CPU’s TLB before it runs something of the new generation', () => {
  it('once for each CPU and rollover, at its next switch', () => {
    const flushed: number[] = [];
    const asids = small({ flushCpu: (cpu) => flushed.push(cpu) });
    const mm = user();
    asids.checkAndSwitch(mm, 0);
    expect(flushed).toEqual([]);
    rollOver(asids);
    expect(flushed).toEqual([1]);
    asids.checkAndSwitch(mm, 0);
    asids.checkAndSwitch(mm, 0);
    asids.checkAndSwitch(mm, 1);
    expect(flushed).toEqual([1, 0]);
  });
});

describe('a pinned ASID keeps its number (arm64_mm_context_get, arm64_mm_context_put)', () => {
  it('over rollovers, until the last user unpins it', () => {
    const asids = small();
    const mm = user();
    const asid = asids.pin(mm);
    expect([asid, asids.pin(mm), asids.pinnedCount]).toEqual([1, 1, 1]);
    asids.unpin(mm);
    for (let i = 0; i < 3; i++) rollOver(asids);
    expect(asids.pin(mm)).toBe(asid);
    expect(asids.checkAndSwitch(mm, 0)).toBe(asid);
    asids.unpin(mm);
    asids.unpin(mm);
    expect(asids.pinnedCount).toBe(0);
  });
  it('is nobody else’s meanwhile, and free from the rollover after', () => {
    const asids = small();
    const mm = user();
    const asid = asids.pin(mm);
    const collect = () => {
      const seen = new Set<number>();
      const { generation } = asids;
      while (asids.generation < generation + 2) seen.add(asids.checkAndSwitch(user(), 0));
      return seen;
    };
    expect(collect().has(asid)).toBe(false);
    asids.unpin(mm);
    expect(collect().has(asid)).toBe(true);
  });
  it('takes a number of this generation for a process whose own has passed', () => {
    const asids = small();
    const mm = user();
    asids.checkAndSwitch(mm, 1);
    rollOver(asids); // number 1 has a new owner
    expect(asids.pin(mm)).not.toBe(1);
    expect(mm.context.generation).toBe(asids.generation);
  });
  it.each([
    { asidBits: 8, cpus: 2, kernelUnmapped: false, maximum: 252 },
    { asidBits: 8, cpus: 8, kernelUnmapped: true, maximum: 118 },
    { asidBits: 16, cpus: 64, kernelUnmapped: false, maximum: 65_470 },
    { asidBits: 8, cpus: 254, kernelUnmapped: false, maximum: 0 },
  ] as const)(
    'as many as $maximum with $asidBits bits and $cpus CPUs, so that a rollover finds a free one',
    (options) => {
      const asids = new AsidAllocator(options);
      expect(asids.maxPinned).toBe(options.maximum);
      const users = Array.from({ length: options.maximum + 1 }, user);
      const pinned = users.map((mm) => asids.pin(mm));
      expect(pinned.at(-1)).toBe(0);
      expect(new Set(pinned).size).toBe(options.maximum + 1);
      expect(asids.pinnedCount).toBe(options.maximum);
      for (let cpu = 0; cpu < options.cpus; cpu++) asids.checkAndSwitch(user(), cpu);
      for (let i = 0; i < 3; i++) rollOver(asids);
      for (const mm of users.slice(0, -1)) asids.unpin(mm);
      expect(asids.pinnedCount).toBe(0);
      expect(asids.pin(users.at(-1)!) !== 0).toBe(options.maximum > 0);
    },
  );
  it('gives a device the odd half of a pair while the kernel is unmapped', () => {
    const asids = small({ kernelUnmapped: true });
    const [first, second] = [user(), user()];
    expect([asids.checkAndSwitch(first, 0), asids.pin(first)]).toEqual([2, 3]);
    expect([asids.checkAndSwitch(second, 0), asids.pin(second)]).toEqual([4, 5]);
    rollOver(asids);
    expect(asids.checkAndSwitch(second, 0)).toBe(4);
  });
});

describe('misuse', () => {
  it.each([-1, 2, 0.5, Number.NaN])('CPU %s is refused', (cpu) => {
    expect(() => small().checkAndSwitch(user(), cpu)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });
  it.each([0, -1, 1.5, 255, 1000])('%s CPUs are refused with 8 bits', (cpus) => {
    expect(() => small({ cpus })).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });
  it('unpinning what is not pinned is refused', () => {
    const asids = small();
    const mm = user();
    asids.pin(mm);
    asids.unpin(mm);
    expect(() => asids.unpin(mm)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(asids.pinnedCount).toBe(0);
  });
});

describe('over any history', () => {
  // A TLB holds, by CPU and ASID, whose translations it has. Nobody may ever run on another's.
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.record({ kind: fc.constant('run' as const), who: fc.nat(299), cpu: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('pin' as const), who: fc.nat(299), cpu: fc.constant(0) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('unpin' as const), who: fc.nat(299), cpu: fc.constant(0) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('new' as const), who: fc.nat(299), cpu: fc.constant(0) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('crowd' as const), who: fc.nat(120), cpu: fc.nat(3) }) },
  );
  it.each([false, true])(
    'no two share a number, and pinned ones never move (kernel unmapped: %s)',
    (kernelUnmapped) => {
      fc.assert(
        fc.property(fc.array(step, { minLength: 50, maxLength: 400, size: 'max' }), (steps) => {
          const tlbs: Map<number, AsidUser>[] = [new Map(), new Map(), new Map(), new Map()];
          const asids = new AsidAllocator({
            ...{ asidBits: 8, cpus: 4, kernelUnmapped },
            flushCpu: (cpu) => tlbs[cpu]!.clear(),
          });
          const users = Array.from({ length: 300 }, user);
          const pinned = new Map<AsidUser, number>();
          const run = (mm: AsidUser, cpu: number) => {
            const asid = asids.checkAndSwitch(mm, cpu);
            expect(tlbs[cpu]!.get(asid) ?? mm).toBe(mm);
            tlbs[cpu]!.set(asid, mm);
          };
          for (const { kind, who, cpu } of steps) {
            const mm = users[who % users.length]!;
            if (kind === 'run') run(mm, cpu);
            else if (kind === 'crowd') for (let i = 0; i < who; i++) run(users[(who * 7 + i) % 300]!, cpu);
            else if (kind === 'pin') {
              const asid = asids.pin(mm);
              if (asid !== 0) {
                expect(pinned.get(mm) ?? asid).toBe(asid);
                pinned.set(mm, asid);
              } else expect(asids.pinnedCount).toBe(asids.maxPinned);
            } else if (kind === 'unpin') {
              while (mm.context.pins > 0) asids.unpin(mm);
              pinned.delete(mm);
            } else if (!pinned.has(mm)) users[who % users.length] = user();
            for (const [holder, asid] of pinned) expect(holder.context.asid + (kernelUnmapped ? 1 : 0)).toBe(asid);
            const current = users.filter(({ context }) => context.generation === asids.generation);
            const numbers = current.map(({ context }) => context.asid);
            expect(new Set(numbers).size).toBe(numbers.length);
            const all = [...pinned.values()];
            expect(new Set(all).size).toBe(all.length);
            expect(asids.pinnedCount).toBe(pinned.size);
          }
        }),
        { numRuns: 25 },
      );
    },
  );
});
