/**
 * Many devices, handlers that wait, and everything that can come between, in orders that a seed decides. Whatever
 * happens, each last fault gets one answer.
 */
import type { Device, IopfFault, IopfGroupLike, PageResponse } from '@smmu/iommu';
import { Scheduler } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { bench, device, FakeDomain, stall } from '../test/fakes.ts';
import { IopfQueue } from './queue.ts';

const ANSWERS: readonly PageResponse[] = ['success', 'invalid', 'failure'];

function play(seed: number, timeout: boolean): void {
  const scheduler = new Scheduler(seed);
  const random = scheduler.random.fork();
  const devices = [device('a'), device('b'), device('c')];
  const { iommu, driver } = bench(...devices);
  const queue = new IopfQueue(scheduler, 'q', timeout ? { responseTimeout: 2000 } : {});
  const deferred: IopfGroupLike[] = [];
  const domain = new FakeDomain('sva', (group) => {
    const kind = random.below(5);
    if (kind === 0) scheduler.wait(() => false, random.below(1000)); // sleeps in the middle
    if (kind === 1) {
      deferred.push(group);
      return;
    }
    group.respond(ANSWERS[random.below(3)]!);
    if (kind === 2) group.respond('success'); // answers twice
  });
  const on = new Set<Device>();
  const add = (target: Device): void => {
    queue.addDevice(target, driver, iommu);
    on.add(target);
  };
  for (const target of devices) {
    for (const pasid of [1, 2]) iommu.attachDevicePasid(domain, target, pasid);
    add(target);
  }

  const expected = new Map<string, number>();
  const answered = new Map<string, number>();
  driver.hook = (from, { groupId }) => {
    const key = `${from.name} ${groupId}`;
    answered.set(key, (answered.get(key) ?? 0) + 1);
    if (random.below(8) === 0) scheduler.wait(() => false, random.below(300)); // a command queue that is full
  };
  let nextId = 1;
  const report = (target: Device): void => {
    const groupId = nextId++;
    const faults: IopfFault[] = [];
    for (let i = random.below(3); i > 0; i--) faults.push(stall(groupId, { last: false, pasid: 1 + random.below(3) }));
    if (random.below(10) > 0) faults.push(stall(groupId, { pasid: 1 + random.below(3) })); // PASID 3 is unknown
    for (const fault of faults) {
      queue.report(target, fault);
      if (fault.last) expected.set(`${target.name} ${groupId}`, 1);
    }
  };
  for (let i = 0; i < 60; i++)
    scheduler.post(
      'software',
      () => {
        const target = devices[random.below(3)]!;
        const what = random.below(20);
        if (what < 12) report(target);
        else if (what === 12 && on.has(target)) {
          on.delete(target);
          queue.removeDevice(target);
        } else if (what === 13 && !on.has(target)) add(target);
        else if (what < 16 && on.has(target)) queue.flushDevice(target, [undefined, 1, 2][random.below(3)]);
        else if (what === 16) queue.discardPartial();
        else if (what === 17) deferred.pop()?.respond('success');
        else if (what === 18) queue.fail = random.below(2) === 0 ? () => random.below(3) === 0 : null;
        else if (what === 19) report(target);
      },
      random.below(6000),
    );
  scheduler.run();
  for (const group of deferred) group.respond('success');
  queue.free();
  scheduler.run();
  expect([queue.pending, queue.partial]).toEqual([0, 0]);
  expect(Object.fromEntries([...answered].sort())).toEqual(Object.fromEntries([...expected].sort()));
  const { success, invalid, failure } = queue.stats;
  expect(success + invalid + failure).toBe(expected.size);
}

describe('exactly one answer for each last fault, under 300 schedules', () => {
  it.each([false, true])('with a response timeout: %s', (timeout) => {
    for (let seed = 0; seed < 150; seed++) play(seed, timeout);
  });
});
