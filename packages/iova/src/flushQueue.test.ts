import { Scheduler } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { IovaDomain, IovaFlushQueue, type IovaFlushQueueOptions } from './index.ts';

const PAGE = 4096;
const code = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'none';
};

function setUp(options: Partial<IovaFlushQueueOptions<string>> = {}, cpus = 2) {
  const scheduler = new Scheduler();
  const domain = new IovaDomain({ granuleBytes: PAGE, startPfn: 1, last: 2 ** 40 - 1, cpus });
  const log: string[] = [];
  const queue = new IovaFlushQueue<string>({
    domain,
    scheduler,
    flush: () => void log.push(`flush at ${scheduler.now / 1e6} ms`),
    release: (data) => void log.push(`release ${data}`),
    ...options,
  });
  return { scheduler, domain, log, queue };
}

describe('IovaFlushQueue: addresses are given again only after a flush', () => {
  it('waits 10 ms from the first range on, then one flush covers all', () => {
    const { scheduler, domain, log, queue } = setUp();
    const [a, b] = [domain.allocFast(PAGE), domain.allocFast(3 * PAGE)];
    queue.queue(a, PAGE, 'table a', 0);
    scheduler.advance(4e6);
    queue.queue(b, 3 * PAGE, undefined, 1);
    expect([queue.pending, domain.liveCount]).toEqual([2, 2]);
    expect(domain.allocFast(PAGE)).not.toBe(a);
    scheduler.run();
    expect(log).toEqual(['flush at 10 ms', 'release table a']);
    expect([queue.pending, queue.flushes, domain.liveCount, domain.cachedCount]).toEqual([0, 1, 1, 2]);
    expect(domain.allocFast(PAGE, domain.last, 0)).toBe(a);
    expect(domain.allocFast(4 * PAGE, domain.last, 1)).toBe(b);
  });

  it('starts the time anew after a flush', () => {
    const { scheduler, domain, log, queue } = setUp();
    queue.queue(domain.allocFast(PAGE), PAGE);
    scheduler.run();
    scheduler.advance(90e6);
    queue.queue(domain.allocFast(PAGE), PAGE);
    scheduler.run();
    expect(log).toEqual(['flush at 10 ms', 'flush at 110 ms']);
    expect(scheduler.idle).toBe(true);
  });

  it('a full queue flushes at once and takes the new range', () => {
    const { domain, log, queue, scheduler } = setUp({ entries: 3 });
    const iovas = [1, 2, 3, 4].map(() => domain.allocFast(PAGE));
    for (const [i, iova] of iovas.entries()) queue.queue(iova, PAGE, `${i}`);
    expect(log).toEqual(['flush at 0 ms', 'release 0', 'release 1', 'release 2']);
    expect([queue.pending, domain.liveCount]).toEqual([1, 1]);
    scheduler.run();
    expect(log.slice(4)).toEqual(['flush at 10 ms', 'release 3']);
  });

  it('256 ranges a CPU fit, the 257th flushes', () => {
    const { domain, queue } = setUp({}, 1);
    for (let i = 0; i < 256; i++) queue.queue(domain.allocFast(PAGE), PAGE);
    expect([queue.flushes, queue.pending]).toEqual([0, 256]);
    queue.queue(domain.allocFast(PAGE), PAGE);
    expect([queue.flushes, queue.pending]).toEqual([1, 1]);
  });

  it("another CPU's flush frees what came before it, at the next chance, and nothing that came after", () => {
    const { domain, log, queue } = setUp({ entries: 2 });
    const iovas = [1, 2, 3, 4, 5, 6].map(() => domain.allocFast(PAGE));
    queue.queue(iovas[0]!, PAGE, 'cpu 1, before', 1);
    for (const i of [1, 2, 3]) queue.queue(iovas[i]!, PAGE, `cpu 0, ${i}`, 0);
    expect(log).toEqual(['flush at 0 ms', 'release cpu 0, 1', 'release cpu 0, 2']);
    queue.queue(iovas[4]!, PAGE, 'cpu 1, after', 1);
    expect(log.slice(3)).toEqual(['release cpu 1, before']);
    queue.queue(iovas[5]!, PAGE, 'cpu 1, later', 1);
    expect(log.length).toBe(4);
    expect(queue.pending).toBe(3);
  });

  it('a range queued while a flush is under way waits for the next one', () => {
    const { scheduler, domain } = setUp();
    const late = domain.allocFast(PAGE);
    let inside = true;
    const released: string[] = [];
    const queue = new IovaFlushQueue<string>({
      domain,
      scheduler,
      flush: () => {
        if (inside) queue.queue(late, PAGE, 'late');
        inside = false;
      },
      release: (data) => void released.push(data),
    });
    queue.queue(domain.allocFast(PAGE), PAGE, 'early');
    scheduler.step();
    expect(released).toEqual(['early']);
    expect(queue.pending).toBe(1);
    scheduler.run();
    expect(released).toEqual(['early', 'late']);
  });

  it('drain flushes now, and not if nothing waits; no timer is left', () => {
    const { scheduler, domain, log, queue } = setUp();
    queue.drain();
    expect(log).toEqual([]);
    queue.queue(domain.allocFast(PAGE), PAGE, 'a', 1);
    queue.drain();
    expect(log).toEqual(['flush at 0 ms', 'release a']);
    expect(scheduler.idle).toBe(true);
    expect([queue.pending, domain.liveCount]).toEqual([0, 0]);
  });

  it('a single queue holds 32,768 ranges of all CPUs for 1 s', () => {
    const { scheduler, domain, log, queue } = setUp({ kind: 'single' });
    for (let i = 0; i < 32_768; i++) queue.queue(domain.allocFast(PAGE), PAGE, undefined, i % 2);
    expect([queue.flushes, queue.pending]).toEqual([0, 32_768]);
    queue.queue(domain.allocFast(PAGE), PAGE, 'last', 1);
    expect([queue.flushes, queue.pending]).toEqual([1, 1]);
    scheduler.run();
    expect(log).toEqual(['flush at 0 ms', 'flush at 1000 ms', 'release last']);
  });

  it('size and time can be chosen, release left out', () => {
    const scheduler = new Scheduler();
    const domain = new IovaDomain({ granuleBytes: PAGE, startPfn: 1 });
    let flushes = 0;
    const queue = new IovaFlushQueue({ domain, scheduler, flush: () => void (flushes += 1), timeoutNs: 500 });
    queue.queue(domain.alloc(40 * PAGE), 40 * PAGE, 'no one asks');
    scheduler.run();
    expect([flushes, scheduler.now, domain.liveCount]).toEqual([1, 500, 0]);
  });

  it.each([0, 1.5, -1, Number.NaN])('%s entries: EINVAL', (entries) => {
    expect(code(() => setUp({ entries }))).toBe('EINVAL');
  });

  it.each(['per-cpu', 'single'] as const)('%s: an unknown CPU is refused (EINVAL), nothing is queued', (kind) => {
    const { domain, queue } = setUp({ kind });
    const iova = domain.allocFast(PAGE);
    for (const cpu of [2, -1, 0.5]) expect(code(() => queue.queue(iova, PAGE, 'x', cpu))).toBe('EINVAL');
    expect(queue.pending).toBe(0);
    queue.queue(iova, PAGE);
  });

  it('a range that is not taken, or already queued, is refused at once (EINVAL)', () => {
    const { domain, queue } = setUp();
    const iova = domain.allocFast(PAGE);
    expect(code(() => queue.queue(iova + PAGE, PAGE))).toBe('EINVAL');
    queue.queue(iova, PAGE);
    expect(code(() => queue.queue(iova, PAGE))).toBe('EINVAL');
    expect(queue.pending).toBe(1);
  });
});
