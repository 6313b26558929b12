import { describe, expect, it } from 'vitest';
import { Scheduler } from './scheduler.ts';

/** The order in which ten tasks that are due together run. */
function orderOf(seed: number): number[] {
  const scheduler = new Scheduler(seed);
  const order: number[] = [];
  for (let i = 0; i < 10; i++) scheduler.post(i % 2 ? 'software' : 'hardware', () => order.push(i));
  scheduler.run();
  return order;
}

describe('Scheduler: a run is a function of its seed', () => {
  it('runs tasks in the order of their due time and moves the clock to it', () => {
    const scheduler = new Scheduler();
    const seen: [string, number][] = [];
    scheduler.post('software', () => seen.push(['late', scheduler.now]), 300);
    scheduler.post('hardware', () => seen.push(['early', scheduler.now]), 100);
    scheduler.post('software', () => seen.push(['middle', scheduler.now]), 200);
    expect(scheduler.run()).toBe(false); // nothing asked it to stop: it ran dry
    expect(seen).toEqual([
      ['early', 100],
      ['middle', 200],
      ['late', 300],
    ]);
    expect(scheduler.steps).toBe(3);
  });

  it.each([-1, Number.NaN, Number.POSITIVE_INFINITY])('takes no task in %s ns (EINVAL)', (delay) => {
    const scheduler = new Scheduler();
    expect(() => scheduler.post('software', () => {}, delay)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(scheduler.idle).toBe(true);
  });
  it('lets the seed, and nothing else, decide among tasks that are due together', () => {
    expect(orderOf(7)).toEqual(orderOf(7));
    const orders = new Set(Array.from({ length: 20 }, (_, seed) => orderOf(seed).join()));
    expect(orders.size).toBeGreaterThan(15);
  });

  it('does not run a cancelled task, and forgets it', () => {
    const scheduler = new Scheduler();
    const task = scheduler.post('software', () => expect.unreachable());
    expect(scheduler.idle).toBe(false);
    scheduler.cancel(task);
    expect(scheduler.idle).toBe(true);
    expect(scheduler.step()).toBe(false);
  });

  it('runs what a task posts, and a task whose time has passed at once', () => {
    const scheduler = new Scheduler();
    const seen: number[] = [];
    scheduler.post('software', () => scheduler.post('software', () => seen.push(scheduler.now), 5), 10);
    scheduler.advance(50);
    scheduler.run();
    expect(seen).toEqual([55]);
  });

  it('keeps the order of a thousand random delays', () => {
    const scheduler = new Scheduler(3);
    const due: number[] = [];
    for (let i = 0; i < 1000; i++) {
      const delay = scheduler.random.below(100);
      scheduler.post(i % 3 ? 'hardware' : 'software', () => due.push(delay), delay);
    }
    scheduler.run();
    expect(due).toEqual(due.toSorted((a, b) => a - b));
    expect(due).toHaveLength(1000);
  });

  it('stops a run as soon as it is done', () => {
    const scheduler = new Scheduler();
    let count = 0;
    for (let i = 0; i < 5; i++) scheduler.post('software', () => count++);
    expect(scheduler.run(() => count === 2)).toBe(true);
    expect(count).toBe(2);
  });
});

describe('Scheduler.spin: a CPU that polls keeps other software out', () => {
  it('lets hardware run and software wait', () => {
    const scheduler = new Scheduler();
    let done = false;
    let software = false;
    scheduler.post('software', () => (software = true));
    scheduler.post('hardware', () => (done = true), 10);
    expect(scheduler.spin(() => done, 100)).toBe(true);
    expect([software, scheduler.now]).toEqual([false, 10]);
    scheduler.run();
    expect(software).toBe(true);
  });

  it('gives up at its deadline, and not before', () => {
    const scheduler = new Scheduler();
    scheduler.post('hardware', () => expect.unreachable(), 101);
    expect(scheduler.spin(() => false, 100)).toBe(false);
    expect(scheduler.now).toBe(100);
  });

  it('does not pass time when the condition holds already', () => {
    const scheduler = new Scheduler();
    expect(scheduler.spin(() => true, 100)).toBe(true);
    expect(scheduler.now).toBe(0);
  });
});

describe('Scheduler.wait: a CPU that sleeps lets everything run', () => {
  it('runs software too, also waits inside waits', () => {
    const scheduler = new Scheduler();
    const seen: string[] = [];
    let inner = false;
    let outer = false;
    scheduler.post('software', () => {
      seen.push('task waits');
      scheduler.wait(() => inner);
      seen.push('task goes on');
      outer = true;
    });
    scheduler.post('hardware', () => (inner = true), 20);
    expect(scheduler.wait(() => outer)).toBe(true);
    expect(seen).toEqual(['task waits', 'task goes on']);
  });

  it('returns false when nothing is left that could make the condition true, without touching the clock', () => {
    const scheduler = new Scheduler();
    expect(scheduler.wait(() => false)).toBe(false);
    expect(scheduler.now).toBe(0);
  });

  it('does not turn the clock back when time had passed inside the last task', () => {
    const scheduler = new Scheduler();
    scheduler.post('software', () => scheduler.advance(500), 10);
    expect(scheduler.wait(() => false, 100)).toBe(false);
    expect(scheduler.now).toBe(510);
  });
});
