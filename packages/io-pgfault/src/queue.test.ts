import { type Device, type Iommu, type IopfGroupLike, NO_PASID } from '@smmu/iommu';
import { Scheduler } from '@smmu/platform';
import { beforeEach, describe, expect, it } from 'vitest';
import { bench, codeOf, device, FakeDomain, type FakeDriver, stall } from '../test/fakes.ts';
import { IopfQueue, type IopfQueueOptions } from './queue.ts';

let scheduler: Scheduler;
let iommu: Iommu;
let driver: FakeDriver;
let queue: IopfQueue;
let dev: Device;
let other: Device;
let domain: FakeDomain;
let handled: IopfGroupLike[];

function make(options: IopfQueueOptions = {}, seed = 1): void {
  scheduler = new Scheduler(seed);
  dev = device('dev');
  other = device('other');
  ({ iommu, driver } = bench(dev, other));
  queue = new IopfQueue(scheduler, 'q', options);
  queue.addDevice(dev, driver, iommu);
  handled = [];
  domain = new FakeDomain('sva', (group) => {
    handled.push(group);
    group.respond('success');
  });
  iommu.attachDevicePasid(domain, dev, 1);
}
beforeEach(() => make());

const idle = { pending: 0, partial: 0 };
const left = (): object => ({ pending: queue.pending, partial: queue.partial });

describe('a group is handled once, later, and answered once', () => {
  it('a stall is a group by itself', () => {
    expect(queue.report(dev, stall(7))).toBe(true);
    expect([handled.length, queue.pending]).toEqual([0, 1]); // not in the event handler
    scheduler.run();
    expect(handled[0]!.faults).toEqual([stall(7)]);
    expect([handled[0]!.device, handled[0]!.domain]).toEqual([dev, domain]);
    expect(driver.answers).toEqual(['dev 7 success']);
    expect(left()).toEqual(idle);
    expect(queue.stats).toMatchObject({ faults: 1, groups: 1, success: 1, invalid: 0, late: 0 });
  });

  it('partial faults wait for the last of their group, in order of arrival', () => {
    queue.report(dev, stall(1, { last: false, address: 0x1000 }));
    queue.report(dev, stall(2, { last: false, address: 0x5000 }));
    queue.report(dev, stall(1, { last: false, address: 0x2000 }));
    scheduler.run();
    expect([handled.length, queue.partial]).toEqual([0, 3]);
    queue.report(dev, stall(1, { address: 0x3000 }));
    expect(left()).toEqual({ pending: 1, partial: 1 });
    scheduler.run();
    expect(handled[0]!.faults.map(({ address }) => address)).toEqual([0x1000, 0x2000, 0x3000]);
    queue.report(dev, stall(2, { address: 0x6000 }));
    scheduler.run();
    expect(handled[1]!.faults.map(({ address }) => address)).toEqual([0x5000, 0x6000]);
    expect(driver.answers).toEqual(['dev 1 success', 'dev 2 success']);
    expect(left()).toEqual(idle);
  });

  it('a partial fault of another PASID is not handled in this one’s address space', () => {
    queue.report(dev, stall(1, { last: false, pasid: 2 }));
    queue.report(dev, stall(1));
    scheduler.run();
    expect(handled[0]!.faults).toHaveLength(1);
    expect(queue.stats.discarded).toBe(1);
    expect(left()).toEqual(idle);
  });

  it('each fault goes to the domain that its PASID had when it came', () => {
    const seen: string[] = [];
    const main = iommu.domainOf(dev) as FakeDomain;
    const second = new FakeDomain('sva', (group) => seen.push('second') > 0 && group.respond('failure'));
    main.iopfHandler = (group) => seen.push('main') > 0 && group.respond('success');
    iommu.attachDevicePasid(second, dev, 2);
    queue.report(dev, stall(1, { pasid: 2 }));
    queue.report(dev, stall(2, { pasid: NO_PASID }));
    scheduler.run();
    expect(seen.sort()).toEqual(['main', 'second']);
    expect(driver.answers.sort()).toEqual(['dev 1 failure', 'dev 2 success']);
    expect(queue.stats).toMatchObject({ success: 1, failure: 1 });
  });

  it('the answer may come after the handler has returned', () => {
    domain.iopfHandler = (group) => handled.push(group);
    queue.report(dev, stall(3));
    scheduler.run();
    expect([handled[0]!.pending, queue.pending, driver.answers]).toEqual([true, 1, []]);
    expect(handled[0]!.respond('failure')).toBe(true);
    expect([handled[0]!.pending, queue.pending, driver.answers]).toEqual([false, 0, ['dev 3 failure']]);
  });

  it('a second answer is dropped', () => {
    queue.report(dev, stall(3));
    scheduler.run();
    expect(handled[0]!.respond('failure')).toBe(false);
    expect(driver.answers).toEqual(['dev 3 success']);
    expect(queue.stats.late).toBe(1);
  });

  it('a handler that throws has its group answered invalid', () => {
    domain.iopfHandler = () => {
      throw new TypeError('broken');
    };
    queue.report(dev, stall(3));
    expect(() => scheduler.run()).toThrow('broken');
    expect(driver.answers).toEqual(['dev 3 invalid']);
    domain.iopfHandler = (group) => {
      group.respond('success');
      throw new TypeError('broken later');
    };
    queue.report(dev, stall(4));
    expect(() => scheduler.run()).toThrow('broken later');
    expect(driver.answers).toEqual(['dev 3 invalid', 'dev 4 success']);
  });

  it('groups are numbered, so that a handler can tell what came before its last answer', () => {
    for (const id of [1, 2]) queue.report(dev, stall(id));
    domain.iopfHandler = (group) => {
      handled.push(group);
      if (handled.length === 1) queue.report(dev, stall(3));
      group.respond('success');
    };
    scheduler.step();
    expect([handled[0]!.sequence, handled[0]!.newest]).toEqual([expect.any(Number), 3]);
    scheduler.run();
    expect(handled.map(({ sequence }) => sequence).sort()).toEqual([1, 2, 3]);
  });
});

describe('a last fault that cannot be taken is answered invalid at once, and its group forgotten', () => {
  it.each([
    { what: 'an unknown PASID', spoil: () => iommu.detachDevicePasid(domain, dev, 1) },
    { what: 'a domain without a handler', spoil: () => (domain.iopfHandler = undefined) },
  ])('$what', ({ spoil }) => {
    queue.report(dev, stall(1, { last: false }));
    queue.report(dev, stall(2, { last: false }));
    spoil();
    expect(queue.report(dev, stall(1))).toBe(false);
    expect(driver.answers).toEqual(['dev 1 invalid']);
    expect(left()).toEqual({ pending: 0, partial: 1 });
    expect(queue.stats).toMatchObject({ unhandled: 1, invalid: 1, discarded: 1, groups: 0 });
  });

  it('no memory for a group', () => {
    queue.report(dev, stall(1, { last: false }));
    queue.fail = () => true;
    expect(queue.report(dev, stall(1))).toBe(false);
    expect(driver.answers).toEqual(['dev 1 invalid']);
    expect(left()).toEqual(idle);
    expect(queue.stats).toMatchObject({ outOfMemory: 1, invalid: 1, discarded: 1 });
  });

  it('no memory for a partial fault: the group is still answered, and its page faults again', () => {
    queue.fail = (held) => held === 0;
    expect(queue.report(dev, stall(1, { last: false }))).toBe(false);
    queue.fail = null;
    queue.report(dev, stall(1));
    scheduler.run();
    expect(handled[0]!.faults).toHaveLength(1);
    expect(driver.answers).toEqual(['dev 1 success']);
    expect(queue.stats).toMatchObject({ outOfMemory: 1, discarded: 1 });
  });

  it('more than a device may hold; other devices are not affected', () => {
    make({ maxFaults: 3 });
    queue.addDevice(other, driver, iommu);
    iommu.attachDevicePasid(domain, other, 1);
    for (const id of [1, 2, 3, 4]) queue.report(dev, stall(id, { last: false }));
    expect(queue.report(dev, stall(5))).toBe(false);
    expect(queue.report(other, stall(5))).toBe(true);
    scheduler.run();
    expect(driver.answers).toEqual(['dev 5 invalid', 'other 5 success']);
    expect(queue.partial).toBe(3);
    queue.discardPartial();
    expect(queue.report(dev, stall(6))).toBe(true); // there is room again
  });

  it('a device that was removed', () => {
    queue.removeDevice(dev);
    expect(queue.report(dev, stall(1))).toBe(false);
    expect(queue.report(dev, stall(2, { last: false }))).toBe(false);
    expect(driver.answers).toEqual(['dev 1 invalid']);
    expect(left()).toEqual(idle);
  });

  it('a device that never was here is a mistake: ENODEV', () => {
    expect(codeOf(() => queue.report(other, stall(1)))).toBe('ENODEV');
    expect(driver.answers).toEqual([]);
  });

  it('a domain that was detached while the group waited, without a flush', () => {
    queue.report(dev, stall(1));
    iommu.detachDevicePasid(domain, dev, 1);
    iommu.attachDevicePasid(new FakeDomain('sva', () => handled.push), dev, 1);
    scheduler.run();
    expect([handled, driver.answers]).toEqual([[], ['dev 1 invalid']]);
  });
});

describe('faults of a guest that owns its PASID table (nested)', () => {
  it('go to the nested domain of the device, if the driver says that its PASIDs are the guest’s', () => {
    const nested = new FakeDomain('nested', (group) => group.respond('success'));
    iommu.attachDevice(nested, dev);
    expect(queue.report(dev, stall(1, { pasid: 99 }))).toBe(false);
    driver.userPasidTable = true;
    expect(queue.report(dev, stall(2, { pasid: 99 }))).toBe(true);
    expect(queue.report(dev, stall(3))).toBe(true); // an attached PASID keeps its own domain
    scheduler.run();
    expect(driver.answers.slice(1).sort()).toEqual(['dev 2 success', 'dev 3 success']);
    expect(handled).toHaveLength(1);
  });

  it('are unknown where the device is in no nested domain', () => {
    driver.userPasidTable = true;
    expect(queue.report(dev, stall(1, { pasid: 99 }))).toBe(false);
    iommu.releaseDevice(other);
    expect(driver.answers).toEqual(['dev 1 invalid']);
  });
});

describe('IopfQueue.addDevice', () => {
  it('refuses a device that is on a queue: EBUSY', () => {
    expect(codeOf(() => queue.addDevice(dev, driver, iommu))).toBe('EBUSY');
    expect(codeOf(() => new IopfQueue(scheduler, 'r').addDevice(dev, driver, iommu))).toBe('EBUSY');
  });

  it('refuses a device behind no IOMMU: ENODEV', () => {
    expect(codeOf(() => queue.addDevice(device('x'), driver, iommu))).toBe('ENODEV');
  });

  it('makes the queue the one whom the IOMMU API tells', () => {
    expect(iommu.reportPageFault(dev, stall(1))).toBe(true);
    scheduler.run();
    expect(driver.answers).toEqual(['dev 1 success']);
  });

  it('takes a device back that was removed', () => {
    queue.removeDevice(dev);
    queue.addDevice(dev, driver, iommu);
    expect(queue.report(dev, stall(1))).toBe(true);
    scheduler.run();
    expect(driver.answers).toEqual(['dev 1 success']);
  });
});

describe('IopfQueue.removeDevice', () => {
  it('answers what is outstanding invalid, each once, and leaves other devices alone', () => {
    queue.addDevice(other, driver, iommu);
    iommu.attachDevicePasid(domain, other, 1);
    for (const id of [1, 2]) queue.report(dev, stall(id));
    queue.report(other, stall(3));
    queue.report(dev, stall(4, { last: false }));
    queue.removeDevice(dev);
    expect(driver.answers).toEqual(['dev 1 invalid', 'dev 2 invalid']);
    expect(left()).toEqual({ pending: 1, partial: 0 });
    scheduler.run();
    expect(driver.answers).toEqual(['dev 1 invalid', 'dev 2 invalid', 'other 3 success']);
    expect(handled).toHaveLength(1);
    expect(queue.stats.late).toBe(0);
  });

  it('while a handler waits: its answer comes too late', () => {
    domain.iopfHandler = (group) => {
      scheduler.wait(() => !group.pending);
      handled.push(group);
      group.respond('success');
    };
    queue.report(dev, stall(1));
    scheduler.post('software', () => queue.removeDevice(dev), 100);
    scheduler.run();
    expect([handled.length, driver.answers, queue.stats.late]).toEqual([1, ['dev 1 invalid'], 1]);
  });

  it('refuses a fault that an answer provokes', () => {
    queue.report(dev, stall(1));
    driver.hook = (_from, { groupId }) => {
      if (groupId === 1) queue.report(dev, stall(2));
    };
    queue.removeDevice(dev);
    scheduler.run();
    expect(driver.answers.sort()).toEqual(['dev 1 invalid', 'dev 2 invalid']);
    expect(left()).toEqual(idle);
  });

  it('works after the IOMMU API has forgotten the device', () => {
    queue.report(dev, stall(1));
    iommu.detachDevicePasid(domain, dev, 1);
    iommu.releaseDevice(dev);
    queue.removeDevice(dev);
    expect(driver.answers).toEqual(['dev 1 invalid']);
  });

  it('refuses a device that is not here: ENODEV', () => {
    expect(codeOf(() => queue.removeDevice(other))).toBe('ENODEV');
    queue.removeDevice(dev);
    expect(codeOf(() => queue.removeDevice(dev))).toBe('ENODEV');
  });
});

describe('IopfQueue.flushDevice', () => {
  it('waits until everything reported has been handled', () => {
    domain.iopfHandler = (group) => {
      scheduler.wait(() => false, 500); // a page comes from a disk
      handled.push(group);
      group.respond('success');
    };
    for (const id of [1, 2, 3]) queue.report(dev, stall(id));
    queue.flushDevice(dev);
    expect(handled).toHaveLength(3);
    expect(driver.answers.sort()).toEqual(['dev 1 success', 'dev 2 success', 'dev 3 success']);
  });

  it('of one PASID leaves the others queued', () => {
    iommu.attachDevicePasid(domain, dev, 2);
    queue.report(dev, stall(1, { last: false }));
    queue.report(dev, stall(2, { last: false, pasid: 2 }));
    queue.report(dev, stall(3));
    const slow = new FakeDomain('sva', () => {});
    iommu.attachDevicePasid(slow, dev, 3);
    queue.report(dev, stall(4, { pasid: 3 }));
    queue.flushDevice(dev, 1);
    expect(driver.answers).toEqual(['dev 3 success']);
    expect(left()).toEqual({ pending: 1, partial: 1 });
    queue.flushDevice(dev, 3);
    expect(driver.answers).toEqual(['dev 3 success', 'dev 4 invalid']);
  });

  it('answers in the place of a handler that has put it off', () => {
    domain.iopfHandler = (group) => handled.push(group);
    queue.report(dev, stall(1));
    queue.flushDevice(dev);
    expect([handled.length, driver.answers, queue.pending]).toEqual([1, ['dev 1 invalid'], 0]);
    expect(handled[0]!.respond('success')).toBe(false);
  });

  it('from inside a handler does not wait for that handler', () => {
    domain.iopfHandler = (group) => {
      queue.flushDevice(dev);
      handled.push(group);
      group.respond('success');
    };
    queue.report(dev, stall(1));
    scheduler.run();
    expect([driver.answers, queue.stats.late]).toEqual([['dev 1 invalid'], 1]);
  });

  it('during a handler’s wait does not wait for that handler either: unbind during a pending fault', () => {
    const order: string[] = [];
    let flushed = false;
    domain.iopfHandler = (group) => {
      if (group.faults[0]!.groupId === 1) scheduler.wait(() => flushed);
      order.push(`handled ${group.faults[0]!.groupId}`);
      group.respond('success');
    };
    queue.report(dev, stall(1));
    scheduler.post('software', () => queue.report(dev, stall(2)), 100);
    scheduler.post(
      'software',
      () => {
        queue.report(dev, stall(3));
        queue.flushDevice(dev, 1);
        order.push(`flushed with ${queue.pending} pending`);
        flushed = true;
      },
      200,
    );
    scheduler.run();
    expect(order).toEqual(['handled 2', 'handled 3', 'flushed with 0 pending', 'handled 1']);
    expect(driver.answers).toEqual(['dev 2 success', 'dev 3 success', 'dev 1 invalid']);
    expect(queue.stats.late).toBe(1);
  });

  it('does not wait for what arrives while it waits', () => {
    let arrived = 10;
    domain.iopfHandler = (group) => {
      if (arrived < 1000) queue.report(dev, stall(arrived++)); // a device that never stops
      handled.push(group);
      group.respond('success');
    };
    queue.report(dev, stall(1));
    queue.flushDevice(dev);
    expect(arrived).toBeLessThan(1000);
    expect(queue.pending).toBeGreaterThan(0);
  });

  it('stands a device that is removed while it waits', () => {
    domain.iopfHandler = () => queue.removeDevice(dev);
    for (const id of [1, 2]) queue.report(dev, stall(id));
    queue.flushDevice(dev);
    expect(driver.answers).toEqual(['dev 1 invalid', 'dev 2 invalid']);
    scheduler.run();
    expect(left()).toEqual(idle);
  });

  it('returns at once when nothing is pending', () => {
    const steps = scheduler.steps;
    queue.flushDevice(dev);
    expect(scheduler.steps).toBe(steps);
  });

  it('refuses a device that is not here: ENODEV', () => {
    expect(codeOf(() => queue.flushDevice(other))).toBe('ENODEV');
  });
});

describe('IopfQueue.discardPartial: the hardware queue overflowed', () => {
  it('forgets incomplete groups of all devices, and still answers those that complete', () => {
    queue.addDevice(other, driver, iommu);
    iommu.attachDevicePasid(domain, other, 1);
    queue.report(dev, stall(1, { last: false }));
    queue.report(other, stall(1, { last: false }));
    queue.report(dev, stall(2));
    queue.discardPartial();
    expect(left()).toEqual({ pending: 1, partial: 0 });
    queue.report(dev, stall(1)); // its last fault had not been lost
    scheduler.run();
    expect(driver.answers.sort()).toEqual(['dev 1 success', 'dev 2 success']);
    expect(queue.stats.discarded).toBe(2);
  });
});

describe('PCIe stop markers (10.4.1.2.1)', () => {
  it('get no answer, end the incomplete groups of their PASID, and are told', () => {
    const told: string[] = [];
    make({ onStopMarker: (from, pasid) => told.push(`${from.name} ${pasid}`) });
    queue.report(dev, stall(1, { last: false }));
    queue.report(dev, stall(2, { last: false, pasid: 2 }));
    expect(queue.report(dev, stall(0, { read: false }))).toBe(false);
    expect([told, driver.answers, queue.partial]).toEqual([['dev 1'], [], 1]);
    expect(queue.stats).toMatchObject({ stopMarkers: 1, faults: 2, discarded: 1 });
    iommu.attachDevicePasid(domain, dev, 2);
    queue.report(dev, stall(2, { pasid: 2 }));
    scheduler.run();
    expect(handled[0]!.faults).toHaveLength(2); // the other PASID's group was left alone
    driver.answers.length = 0;
    queue.removeDevice(dev);
    queue.report(dev, stall(0, { read: false, pasid: 2 }));
    expect([told, driver.answers]).toEqual([['dev 1', 'dev 2'], []]);
  });

  it.each(['write', 'exec'] as const)('are not requests to %s', (access) => {
    expect(queue.report(dev, stall(1, { read: false, [access]: true }))).toBe(true);
    queue.report(dev, stall(2, { read: false, last: false }));
    expect(queue.stats.stopMarkers).toBe(0);
  });

  it('need no listener', () => {
    expect(queue.report(dev, stall(0, { read: false }))).toBe(false);
  });
});

describe('the response timeout, in virtual time', () => {
  beforeEach(() => {
    make({ responseTimeout: 1000 });
    domain.iopfHandler = (group) => handled.push(group);
  });

  it('answers invalid what nobody answers, and drops the late answer', () => {
    queue.report(dev, stall(1));
    scheduler.run();
    expect([scheduler.now, driver.answers, queue.pending]).toEqual([1000, ['dev 1 invalid'], 0]);
    expect(handled[0]!.respond('success')).toBe(false);
    expect(queue.stats).toMatchObject({ timeouts: 1, late: 1, invalid: 1 });
  });

  it('is counted for each group from its own report', () => {
    queue.report(dev, stall(1));
    scheduler.post('software', () => queue.report(dev, stall(2)), 300);
    scheduler.post('software', () => queue.report(dev, stall(3)), 300);
    const times: number[] = [];
    driver.hook = () => times.push(scheduler.now);
    scheduler.run();
    expect(times).toEqual([1000, 1300, 1300]);
    expect(queue.stats.timeouts).toBe(3);
  });

  it('does not keep the board busy when everything is answered', () => {
    for (const id of [1, 2]) queue.report(dev, stall(id));
    scheduler.run(() => handled.length === 2);
    for (const group of handled) group.respond('success');
    expect(scheduler.idle).toBe(true);
    scheduler.run();
    expect(scheduler.now).toBe(0);
  });

  it('follows the oldest that is left', () => {
    queue.report(dev, stall(1));
    scheduler.post('software', () => handled[0]!.respond('success'), 500);
    scheduler.post('software', () => queue.report(dev, stall(2)), 400);
    const times: string[] = [];
    driver.hook = (_from, { groupId }) => times.push(`${scheduler.now} ${groupId}`);
    scheduler.run();
    expect(times).toEqual(['500 1', '1400 2']);
  });

  it('stands an answer that answers others', () => {
    for (const id of [1, 2, 3]) queue.report(dev, stall(id));
    driver.hook = () => {
      driver.hook = () => {};
      for (const group of handled) group.respond('success');
    };
    scheduler.run();
    expect(driver.answers.map((answer) => answer.split(' ')[1]).sort()).toEqual(['1', '2', '3']);
    expect(queue.pending).toBe(0);
  });

  it('keeps the time of those who come and wait while an answer takes its time', () => {
    queue.report(dev, stall(1));
    scheduler.post('software', () => queue.report(dev, stall(2)), 300);
    scheduler.post('software', () => queue.report(dev, stall(3)), 1100);
    const times: string[] = [];
    driver.hook = (_from, { groupId }) => {
      times.push(`${groupId} at ${scheduler.now}`);
      if (groupId === 1) scheduler.wait(() => false, 200); // the command queue is full until 1200
    };
    scheduler.run();
    expect(times).toEqual(['1 at 1000', '2 at 1300', '3 at 2100']);
  });

  it('goes on with what an answer provokes', () => {
    queue.report(dev, stall(1));
    driver.hook = (_from, { groupId }) => {
      if (groupId < 4) queue.report(dev, stall(groupId + 1));
    };
    scheduler.run();
    expect(driver.answers).toEqual([4, 3, 2, 1].reverse().map((id) => `dev ${id} invalid`));
    expect(scheduler.now).toBe(4000);
  });
});

describe('IopfQueue.free', () => {
  it('removes all devices, answers what is outstanding, and takes nobody any more: ENODEV', () => {
    queue.addDevice(other, driver, iommu);
    iommu.attachDevicePasid(domain, other, 1);
    queue.report(dev, stall(1));
    queue.report(other, stall(2));
    queue.free();
    expect(driver.answers).toEqual(['dev 1 invalid', 'other 2 invalid']);
    expect(codeOf(() => queue.addDevice(dev, driver, iommu))).toBe('ENODEV');
    scheduler.run();
    expect([left(), handled]).toEqual([idle, []]);
  });
});
