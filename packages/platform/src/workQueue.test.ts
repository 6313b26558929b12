import { describe, expect, it } from 'vitest';
import { Scheduler } from './scheduler.ts';
import { WorkQueue } from './workQueue.ts';

describe('WorkQueue: work that runs later', () => {
  it('runs an ordered queue first come, first served, whatever the seed', () => {
    for (let seed = 0; seed < 10; seed++) {
      const scheduler = new Scheduler(seed);
      const queue = new WorkQueue(scheduler, 'ordered', true);
      const seen: number[] = [];
      for (let i = 0; i < 20; i++) queue.queue(() => seen.push(i));
      expect(queue.outstanding).toBe(20);
      queue.flush();
      expect(seen).toEqual([...Array(20).keys()]);
      expect(queue.outstanding).toBe(0);
    }
  });

  it('runs an unordered queue in an order that the seed decides', () => {
    const orders = new Set<string>();
    for (let seed = 0; seed < 10; seed++) {
      const queue = new WorkQueue(new Scheduler(seed), 'any');
      const seen: number[] = [];
      for (let i = 0; i < 6; i++) queue.queue(() => seen.push(i));
      queue.flush();
      expect(seen.toSorted()).toEqual([0, 1, 2, 3, 4, 5]);
      orders.add(seen.join());
    }
    expect(orders.size).toBeGreaterThan(5);
  });

  it.each([true, false])('flushes what the items queue in turn (ordered: %s)', (ordered) => {
    const queue = new WorkQueue(new Scheduler(), 'q', ordered);
    let depth = 0;
    const again = () => {
      if (++depth < 5) queue.queue(again);
    };
    queue.queue(again);
    queue.flush();
    expect(depth).toBe(5);
  });

  it('refuses to flush from one of its own items, which would wait for itself', () => {
    const queue = new WorkQueue(new Scheduler(), 'q');
    let code = '';
    queue.queue(() => {
      try {
        queue.flush();
      } catch (error) {
        code = (error as { code: string }).code;
      }
    });
    queue.flush();
    expect(code).toBe('EDEADLK');
  });

  it('goes on after an item that throws', () => {
    const scheduler = new Scheduler();
    const queue = new WorkQueue(scheduler, 'q', true);
    let ran = false;
    queue.queue(() => {
      throw new Error('broken');
    });
    queue.queue(() => (ran = true));
    expect(() => scheduler.run()).toThrow('broken');
    scheduler.run();
    expect([ran, queue.outstanding]).toEqual([true, 0]);
  });

  it('queues delayed work when it is due, unless it was taken back', () => {
    const scheduler = new Scheduler();
    const queue = new WorkQueue(scheduler, 'q', true);
    const seen: number[] = [];
    queue.queueDelayed(() => seen.push(scheduler.now), 100);
    scheduler.cancel(queue.queueDelayed(() => seen.push(-1), 50));
    expect(queue.outstanding).toBe(0);
    scheduler.run();
    expect(seen).toEqual([100]);
  });
});
