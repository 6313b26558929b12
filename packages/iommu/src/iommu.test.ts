import { beforeEach, describe, expect, it } from 'vitest';
import { codeOf, device, errorOf, FakeDomain, FakeDriver, FakePagingDomain } from '../test/fakes.ts';
import type { Device } from './device.ts';
import { NO_PASID } from './fault.ts';
import { Iommu } from './iommu.ts';

let driver: FakeDriver;
let iommu: Iommu;

beforeEach(() => {
  driver = new FakeDriver();
  iommu = new Iommu();
  iommu.registerDriver(driver);
});

/** Probes three devices that cannot be isolated from each other; `plain` has no PASIDs. */
function trio(): Record<'first' | 'plain' | 'third', Device> {
  const devices = {
    first: device('first', { isolation: 'bridge', pasidBits: 16 }),
    plain: device('plain', { isolation: 'bridge' }),
    third: device('third', { isolation: 'bridge', pasidBits: 20 }),
  };
  for (const each of Object.values(devices)) iommu.probeDevice(each);
  driver.log.length = 0;
  return devices;
}

const failOn = (operation: string, target: Device) => (seen: string, value: unknown) => {
  if (seen === operation && value === target) throw new TypeError(`${operation} of ${target.name}`);
};

describe('drivers', () => {
  it('are registered once: EBUSY', () => {
    expect(codeOf(() => iommu.registerDriver(driver))).toBe('EBUSY');
  });

  it('take their devices along when they go, and are unknown afterwards: ENODEV', () => {
    const [a, b] = [device('a'), device('b')];
    const other = new FakeDriver('other');
    other.claims = (target) => target.bus === 'platform';
    iommu.registerDriver(other);
    const c = device('c', { bus: 'platform' });
    for (const each of [a, b, c]) iommu.probeDevice(each);
    driver.log.length = 0;
    iommu.unregisterDriver(driver);
    expect(driver.log).toEqual([
      'a in blocked',
      'a released',
      'dma0 freed',
      'b in blocked',
      'b released',
      'dma1 freed',
    ]);
    expect(codeOf(() => iommu.unregisterDriver(driver))).toBe('ENODEV');
    expect(iommu.driverOf(c)).toBe(other);
    expect(iommu.findDriver(a)).toBeUndefined();
  });
});

describe('Iommu.probeDevice puts a device into its group and the group’s domain', () => {
  it('of its own, with a default DMA domain', () => {
    const target = device('a');
    iommu.probeDevice(target);
    const group = iommu.groupOf(target);
    expect(driver.log).toEqual(['a probed', 'a in dma0']);
    expect(group.devices).toEqual([target]);
    expect(group.defaultDomain).toBe(driver.domains[0]);
    expect(iommu.domainOf(target)).toBe(group.defaultDomain);
    expect(iommu.driverOf(target)).toBe(driver);
  });

  it('does nothing for a device that is there', () => {
    const target = device('a');
    iommu.probeDevice(target);
    iommu.probeDevice(target);
    expect(driver.log).toEqual(['a probed', 'a in dma0']);
  });

  it('together with those from which the bus cannot isolate it', () => {
    const { first, plain, third } = trio();
    const alone = device('alone', { isolation: 'elsewhere' });
    iommu.probeDevice(alone);
    expect(iommu.groupOf(first).devices).toEqual([first, plain, third]);
    expect(iommu.groupOf(plain)).toBe(iommu.groupOf(third));
    expect(iommu.groupOf(alone).id).not.toBe(iommu.groupOf(first).id);
    expect(driver.domains).toHaveLength(2);
  });

  it('groups by the driver’s own rule where it has one', () => {
    Object.assign(driver, { deviceGroup: () => 'all' });
    const [a, b] = [device('a', { isolation: 'x' }), device('b', { isolation: 'y' })];
    iommu.probeDevice(a);
    iommu.probeDevice(b);
    expect(iommu.groupOf(a)).toBe(iommu.groupOf(b));
  });

  it('never groups across IOMMUs', () => {
    const other = new FakeDriver('other');
    other.claims = (target) => target.bus === 'platform';
    iommu.registerDriver(other);
    const [a, b] = [device('a', { isolation: 'x' }), device('b', { isolation: 'x', bus: 'platform' })];
    iommu.probeDevice(a);
    iommu.probeDevice(b);
    expect(iommu.groupOf(a)).not.toBe(iommu.groupOf(b));
  });

  it('joins what the group is in now, PASIDs included', () => {
    const { first } = trio();
    const domain = iommu.allocDomain('unmanaged', first);
    const sva = new FakeDomain('sva', driver.log, { name: 'sva' });
    iommu.attachDevice(domain, first);
    iommu.attachDevicePasid(sva, first, 7);
    driver.log.length = 0;
    const late = device('late', { isolation: 'bridge', pasidBits: 8 });
    iommu.probeDevice(late);
    expect(driver.log).toEqual(['late probed', 'late in unmanaged1', 'late/7 in sva']);
    iommu.probeDevice(device('later', { isolation: 'bridge' }));
    expect(driver.log.slice(3)).toEqual(['later probed', 'later in unmanaged1']);
  });

  it('refuses a newcomer whose PASIDs are too narrow for one in use, and undoes the others: EINVAL', () => {
    const { first } = trio();
    const sva = new FakeDomain('sva', driver.log, { name: 'sva' });
    for (const pasid of [700, 3]) iommu.attachDevicePasid(sva, first, pasid);
    driver.log.length = 0;
    const late = device('late', { isolation: 'bridge', pasidBits: 8 });
    expect(errorOf(() => iommu.probeDevice(late))).toBe('EINVAL: PASID 700: late can use those below 256 only');
    expect(driver.log).toEqual(['late probed', 'late in dma0', 'late/3 in sva', 'late/3 out of sva', 'late released']);
    expect(iommu.findDriver(late)).toBeUndefined();
    expect(iommu.groupOf(first).devices).toHaveLength(3);
  });

  it('knows no IOMMU for it: ENODEV, with those it asked', () => {
    const target = device('a', { bus: 'platform' });
    expect(errorOf(() => iommu.probeDevice(target))).toBe('ENODEV: no IOMMU claims a: asked fake-iommu');
    expect(errorOf(() => new Iommu().probeDevice(target))).toBe('ENODEV: no IOMMU claims a: none is registered');
  });

  it('gives everything back when the driver cannot probe it', () => {
    const target = device('a');
    driver.hook = failOn('probe', target);
    expect(() => iommu.probeDevice(target)).toThrow('probe of a');
    expect([driver.log, driver.domains]).toEqual([[], []]);
    driver.hook = () => {};
    iommu.probeDevice(target);
    expect(iommu.domainOf(target).type).toBe('dma');
  });

  it('gives everything back when there is no default domain for it', () => {
    const target = device('a');
    driver.hook = failOn('alloc', target);
    expect(() => iommu.probeDevice(target)).toThrow('alloc of a');
    expect(driver.log).toEqual(['a probed', 'a released']);
    expect(codeOf(() => iommu.domainOf(target))).toBe('ENODEV');
  });

  it('gives everything back when it cannot be attached', () => {
    const target = device('a');
    driver.paging = {};
    const alloc = driver.allocDomain.bind(driver);
    driver.allocDomain = (type, each) => Object.assign(alloc(type, each), { hook: failOn('attach', target) });
    expect(() => iommu.probeDevice(target)).toThrow('attach of a');
    expect(driver.log).toEqual(['a probed', 'dma0 freed', 'a released']);
    expect(codeOf(() => iommu.groupOf(target))).toBe('ENODEV');
  });

  it('needs no driver that reserves anything', () => {
    Object.assign(driver, { reservedRegions: undefined });
    const target = device('a');
    iommu.probeDevice(target);
    expect(iommu.reservedRegions(target)).toEqual([]);
  });

  it('is not probed twice at the same time: EBUSY', () => {
    const target = device('a');
    let second = '';
    driver.hook = (operation) => {
      if (operation === 'probe') second = errorOf(() => iommu.probeDevice(target));
    };
    iommu.probeDevice(target);
    expect(second).toBe('EBUSY: a is being probed');
  });

  it('is known to the driver’s own probe, so that the driver can take its faults', () => {
    const target = device('a', { pasidBits: 4 });
    const sink = { name: 'q', report: () => true };
    let pasids = '';
    driver.hook = (operation) => {
      if (operation !== 'probe') return;
      iommu.setFaultSink(target, sink);
      pasids = errorOf(() => iommu.attachDevicePasid(new FakeDomain('sva', []), target, 1));
    };
    iommu.probeDevice(target);
    expect(codeOf(() => iommu.setFaultSink(target, sink))).toBe('EBUSY');
    expect(pasids).toBe('EINVAL: a is behind fake-iommu, but was not probed');
  });
});

describe('default domains', () => {
  it('are what the board asks for: identity', () => {
    iommu = new Iommu({ defaultDomainType: 'identity' });
    iommu.registerDriver(driver);
    const target = device('a');
    iommu.probeDevice(target);
    expect(iommu.domainOf(target)).toBe(driver.identityDomain);
    iommu.releaseDevice(target);
    expect(driver.identityDomain.freed).toBe(false);
  });

  it('are what the driver needs, if it needs one', () => {
    Object.assign(driver, { defaultDomainType: () => 'blocked' });
    const target = device('a');
    iommu.probeDevice(target);
    expect(iommu.domainOf(target)).toBe(driver.blockedDomain);
    expect(iommu.whyNot(target, 'dma')).toEqual(['a is in the blocked domain of group 0']);
  });

  it('are one for a group: who needs another cannot join: EINVAL', () => {
    trio();
    Object.assign(driver, { defaultDomainType: () => 'identity' });
    const late = device('late', { isolation: 'bridge' });
    expect(errorOf(() => iommu.probeDevice(late))).toBe(
      'EINVAL: late needs a default domain of type identity, its group 0 has dma',
    );
    Object.assign(driver, { defaultDomainType: () => 'dma' });
    iommu.probeDevice(late);
    expect(iommu.groupOf(late).id).toBe(0);
  });
});

describe('Iommu.releaseDevice', () => {
  it('blocks the device, and frees the default domain with the last of its group', () => {
    const { first, plain, third } = trio();
    iommu.releaseDevice(first);
    iommu.releaseDevice(third);
    expect(driver.log).toEqual(['first in blocked', 'first released', 'third in blocked', 'third released']);
    iommu.releaseDevice(plain);
    expect(driver.log.slice(4)).toEqual(['plain in blocked', 'plain released', 'dma0 freed']);
    expect(codeOf(() => iommu.releaseDevice(plain))).toBe('ENODEV');
  });

  it('takes the PASIDs of the group off a member that goes, and keeps them on the others', () => {
    const { first, third } = trio();
    const sva = new FakeDomain('sva', driver.log, { name: 'sva' });
    iommu.attachDevicePasid(sva, first, 5);
    driver.log.length = 0;
    iommu.releaseDevice(first);
    expect(driver.log[0]).toBe('first/5 out of sva');
    expect(iommu.domainForPasid(third, 5)).toBe(sva);
    expect(iommu.domainForPasid(first, 5)).toBeUndefined();
  });

  it('refuses the last one while PASIDs are attached: EBUSY', () => {
    const target = device('a', { pasidBits: 8 });
    iommu.probeDevice(target);
    const sva = new FakeDomain('sva', driver.log);
    iommu.attachDevicePasid(sva, target, 5);
    expect(errorOf(() => iommu.releaseDevice(target))).toBe('EBUSY: a cannot leave: PASIDs 5 are still attached');
    iommu.detachDevicePasid(sva, target, 5);
    iommu.releaseDevice(target);
  });

  it('refuses the last one while somebody has taken it over: EBUSY', () => {
    const target = device('a');
    iommu.probeDevice(target);
    const domain = iommu.allocDomain('unmanaged', target);
    iommu.attachDevice(domain, target);
    expect(codeOf(() => iommu.releaseDevice(target))).toBe('EBUSY');
    iommu.detachDevice(domain, target);
    iommu.releaseDevice(target);
    iommu.freeDomain(domain);
  });

  it('lets go of a device that was shut off', () => {
    const target = device('a');
    iommu.probeDevice(target);
    iommu.attachDevice(driver.blockedDomain, target);
    iommu.releaseDevice(target);
    expect(driver.domains[0]!.freed).toBe(true);
  });
});

describe('Iommu.attachDevice moves a whole group or nobody', () => {
  it('and detachDevice returns it to its default domain', () => {
    const { first, plain } = trio();
    const domain = iommu.allocDomain('unmanaged', first);
    iommu.attachDevice(domain, plain);
    expect(driver.log).toEqual(['first in unmanaged1', 'plain in unmanaged1', 'third in unmanaged1']);
    expect(iommu.domainOf(first)).toBe(domain);
    iommu.detachDevice(domain, first);
    expect(iommu.domainOf(plain)).toBe(driver.domains[0]);
  });

  it('does nothing for the domain that the group is in by default', () => {
    const { first } = trio();
    iommu.attachDevice(driver.domains[0]!, first);
    expect(driver.log).toEqual([]);
  });

  it('returns those before the one that failed to where they were', () => {
    const { first, third } = trio();
    const domain = iommu.allocDomain('unmanaged', first) as FakePagingDomain;
    domain.hook = failOn('attach', third);
    expect(() => iommu.attachDevice(domain, first)).toThrow('attach of third');
    expect(driver.log).toEqual(['first in unmanaged1', 'plain in unmanaged1', 'first in dma0', 'plain in dma0']);
    expect(iommu.domainOf(first)).toBe(driver.domains[0]);
    iommu.freeDomain(domain); // it has no user left
  });

  it('shuts a member off that cannot even return', () => {
    const { first, third } = trio();
    const domain = iommu.allocDomain('unmanaged', first) as FakePagingDomain;
    domain.hook = failOn('attach', third);
    driver.domains[0]!.hook = failOn('attach', first);
    expect(() => iommu.attachDevice(domain, first)).toThrow('attach of third');
    expect(driver.log.slice(2)).toEqual(['first in blocked', 'plain in dma0']);
  });

  it('refuses a group that was taken over: EBUSY; a group that was shut off may be', () => {
    const { first } = trio();
    const [domain, second] = [iommu.allocDomain('unmanaged', first), iommu.allocDomain('unmanaged', first)];
    iommu.attachDevice(driver.blockedDomain, first);
    iommu.attachDevice(domain, first);
    expect(errorOf(() => iommu.attachDevice(domain, first))).toBe('EBUSY: first is attached to it already');
    expect(errorOf(() => iommu.attachDevice(second, first))).toBe(
      'EBUSY: first is attached to another domain (unmanaged) already',
    );
  });

  it('refuses a domain of another IOMMU: EINVAL', () => {
    const other = new FakeDriver('other');
    other.claims = (target) => target.bus === 'platform';
    iommu.registerDriver(other);
    const [a, b] = [device('a', { pasidBits: 4 }), device('b', { bus: 'platform' })];
    iommu.probeDevice(a);
    iommu.probeDevice(b);
    const domain = iommu.allocDomain('unmanaged', b);
    expect(errorOf(() => iommu.attachDevice(domain, a))).toBe(
      'EINVAL: a domain of other cannot be attached to group 0 behind fake-iommu',
    );
    expect(codeOf(() => iommu.attachDevicePasid(domain, a, 1))).toBe('EINVAL');
  });

  it('detachDevice refuses another domain than the one that the group is in, and the default one: EINVAL', () => {
    const { first } = trio();
    expect(codeOf(() => iommu.detachDevice(iommu.allocDomain('unmanaged', first), first))).toBe('EINVAL');
    expect(codeOf(() => iommu.detachDevice(driver.domains[0]!, first))).toBe('EINVAL');
  });

  it.each(['attachDevice', 'detachDevice', 'groupOf', 'domainOf', 'driverOf', 'maxPasids', 'allocDomain'])(
    '%s refuses a device behind no IOMMU: ENODEV',
    (name) => {
      const target = device('a');
      const domain = new FakeDomain('unmanaged', []);
      const calls: Record<string, () => unknown> = {
        attachDevice: () => iommu.attachDevice(domain, target),
        detachDevice: () => iommu.detachDevice(domain, target),
        groupOf: () => iommu.groupOf(target),
        domainOf: () => iommu.domainOf(target),
        driverOf: () => iommu.driverOf(target),
        maxPasids: () => iommu.maxPasids(target),
        allocDomain: () => iommu.allocDomain('dma', target),
      };
      expect(codeOf(calls[name]!)).toBe('ENODEV');
    },
  );

  it('a domain with users is not freed: EBUSY; nor is a group’s default domain, wherever the group is', () => {
    const { first } = trio();
    const domain = iommu.allocDomain('unmanaged', first) as FakePagingDomain;
    iommu.attachDevice(domain, first);
    iommu.attachDevicePasid(domain, first, 3);
    expect(errorOf(() => iommu.freeDomain(domain))).toBe(
      'EBUSY: the unmanaged domain still has 2 user(s): detach them first',
    );
    expect(codeOf(() => iommu.freeDomain(driver.domains[0]!))).toBe('EBUSY');
    iommu.detachDevice(domain, first);
    iommu.detachDevicePasid(domain, first, 3);
    let told = 0;
    iommu.whenFreed(domain, () => (told += 1));
    iommu.freeDomain(domain);
    expect([domain.freed, told]).toEqual([true, 1]);
    const own = new FakeDomain('sva', []);
    iommu.freeDomain(own); // one that a driver made and nobody attached
    expect(own.freed).toBe(true);
    expect(codeOf(() => iommu.whenFreed(own, () => {}))).toBe('EINVAL');
  });
});

describe('Iommu.attachDevicePasid: a PASID of a whole group or of nobody', () => {
  let sva: FakeDomain;
  beforeEach(() => {
    sva = new FakeDomain('sva', driver.log, { name: 'sva' });
  });

  it('leaves members without PASIDs out', () => {
    const { first, plain } = trio();
    iommu.attachDevicePasid(sva, first, 9);
    expect(driver.log).toEqual(['first/9 in sva', 'third/9 in sva']);
    expect(iommu.domainForPasid(plain, 9)).toBe(sva); // the group's
    expect([...iommu.groupOf(first).pasids]).toEqual([[9, sva]]);
    iommu.detachDevicePasid(sva, first, 9);
    expect(driver.log.slice(2)).toEqual(['first/9 out of sva', 'third/9 out of sva']);
    expect(iommu.domainForPasid(first, 9)).toBeUndefined();
  });

  it('undoes those before the one that failed', () => {
    const { first, third } = trio();
    sva.hook = failOn('attachPasid', third);
    expect(() => iommu.attachDevicePasid(sva, first, 9)).toThrow('attachPasid of third');
    expect(driver.log).toEqual(['first/9 in sva', 'first/9 out of sva']);
    expect(iommu.domainForPasid(first, 9)).toBeUndefined();
    sva.hook = () => {};
    iommu.attachDevicePasid(sva, first, 9);
  });

  it('shows the domain to faults only when the whole group is in', () => {
    const { first } = trio();
    const seen: unknown[] = [];
    sva.hook = () => seen.push(iommu.domainForPasid(first, 9), iommu.groupOf(first).pasids.size);
    iommu.attachDevicePasid(sva, first, 9);
    expect(seen).toEqual([undefined, 0, undefined, 0]);
    iommu.detachDevicePasid(sva, first, 9);
    expect(seen.slice(4)).toEqual([sva, 1, sva, 1]); // faults are drained into the domain that they belong to
  });

  it('lists PASIDs in order, and finds the domain of transactions without one', () => {
    const { first } = trio();
    for (const pasid of [900, 2, 44]) iommu.attachDevicePasid(sva, first, pasid);
    expect([...iommu.groupOf(first).pasids.keys()]).toEqual([2, 44, 900]);
    expect(iommu.domainForPasid(first, NO_PASID)).toBe(driver.domains[0]);
    expect(iommu.domainForPasid(device('stranger'), 2)).toBeUndefined();
  });

  it.each([
    { what: 'PASID 0, which stands for transactions without one', pasid: 0 },
    { what: 'a negative PASID', pasid: -1 },
    { what: 'half a PASID', pasid: 1.5 },
    { what: 'a PASID beyond what the IOMMU gives', pasid: 1024 },
  ])('refuses $what: EINVAL', ({ pasid }) => {
    const { first } = trio();
    expect(codeOf(() => iommu.attachDevicePasid(sva, first, pasid))).toBe('EINVAL');
    expect(driver.log).toEqual([]);
  });

  it('is as narrow as its narrowest member with PASIDs: EINVAL', () => {
    const { first } = trio();
    iommu.probeDevice(device('narrow', { isolation: 'bridge', pasidBits: 3 }));
    expect(errorOf(() => iommu.attachDevicePasid(sva, first, 8))).toBe(
      'EINVAL: PASID 8: narrow can use those below 8 only',
    );
    iommu.attachDevicePasid(sva, first, 7);
  });

  it('refuses a device without PASIDs, and says why: EINVAL', () => {
    const { plain } = trio();
    expect(errorOf(() => iommu.attachDevicePasid(sva, plain, 1))).toBe(
      'EINVAL: plain has no PASID capability; fake-iommu gives plain no PASIDs (maxPasids is 0)',
    );
    expect(codeOf(() => iommu.attachDevicePasid(sva, device('x'), 1))).toBe('ENODEV');
  });

  it('refuses a PASID that is taken: EBUSY', () => {
    const { first, third } = trio();
    iommu.attachDevicePasid(sva, first, 1);
    expect(codeOf(() => iommu.attachDevicePasid(new FakeDomain('sva', []), third, 1))).toBe('EBUSY');
  });

  it('refuses a domain that cannot be on a PASID: EOPNOTSUPP', () => {
    const { first } = trio();
    const domain = new FakePagingDomain('unmanaged', []);
    for (const missing of ['attachPasid', 'detachPasid']) {
      Object.defineProperty(domain, missing, { value: undefined, configurable: true });
      expect(errorOf(() => iommu.attachDevicePasid(domain, first, 1))).toBe(
        'EOPNOTSUPP: fake-iommu cannot put domains of type unmanaged on a PASID',
      );
      Reflect.deleteProperty(domain, missing);
    }
  });

  it('detachDevicePasid refuses what is not attached, or elsewhere: EINVAL', () => {
    const { first } = trio();
    expect(codeOf(() => iommu.detachDevicePasid(sva, first, 1))).toBe('EINVAL');
    iommu.attachDevicePasid(sva, first, 1);
    expect(codeOf(() => iommu.detachDevicePasid(new FakeDomain('sva', []), first, 1))).toBe('EINVAL');
    for (const pasid of [1.5, 2 ** 32 + 1])
      expect(codeOf(() => iommu.detachDevicePasid(sva, first, pasid))).toBe('EINVAL');
    expect(iommu.domainForPasid(first, 2 ** 32 + 1)).toBeUndefined();
  });
});

describe('Iommu.replaceDevicePasid: no moment without a domain', () => {
  let old: FakeDomain;
  let next: FakeDomain;
  let first: Device;
  let third: Device;
  beforeEach(() => {
    old = new FakeDomain('sva', driver.log, { name: 'old' });
    next = new FakeDomain('sva', driver.log, { name: 'next' });
    ({ first, third } = trio());
    iommu.attachDevicePasid(old, first, 4);
    driver.log.length = 0;
  });

  it('moves each member from one domain to the other', () => {
    iommu.replaceDevicePasid(next, third, 4);
    expect(driver.log).toEqual(['first/4 in next from old', 'third/4 in next from old']);
    expect(iommu.domainForPasid(first, 4)).toBe(next);
    iommu.freeDomain(old);
    expect(codeOf(() => iommu.freeDomain(next))).toBe('EBUSY');
  });

  it('does nothing for the same domain', () => {
    iommu.replaceDevicePasid(old, first, 4);
    expect(driver.log).toEqual([]);
    iommu.detachDevicePasid(old, first, 4);
    iommu.freeDomain(old);
  });

  it('moves those back that had moved when one fails', () => {
    next.hook = failOn('attachPasid', third);
    expect(() => iommu.replaceDevicePasid(next, first, 4)).toThrow('attachPasid of third');
    expect(driver.log).toEqual(['first/4 in next from old', 'first/4 in old from next']);
    expect(iommu.domainForPasid(first, 4)).toBe(old);
    iommu.freeDomain(next);
  });

  it('shuts a PASID off that cannot move back', () => {
    next.hook = failOn('attachPasid', third);
    old.hook = failOn('attachPasid', first);
    expect(() => iommu.replaceDevicePasid(next, first, 4)).toThrow('attachPasid of third');
    expect(driver.log).toEqual(['first/4 in next from old', 'first/4 out of next']);
  });

  it('refuses a PASID that is in no domain: EINVAL', () => {
    expect(codeOf(() => iommu.replaceDevicePasid(next, first, 5))).toBe('EINVAL');
  });
});

describe('while a driver waits inside a change, others may run', () => {
  it('a second change of the same group cannot: EBUSY', () => {
    const { first, third } = trio();
    const domain = iommu.allocDomain('unmanaged', first) as FakePagingDomain;
    const sva = new FakeDomain('sva', []);
    const seen: string[] = [];
    domain.hook = (operation) => {
      if (operation !== 'attach' || seen.length > 0) return;
      seen.push(
        codeOf(() => iommu.attachDevice(driver.blockedDomain, third)),
        codeOf(() => iommu.attachDevicePasid(sva, first, 1)),
        codeOf(() => iommu.releaseDevice(third)),
        codeOf(() => iommu.probeDevice(device('late', { isolation: 'bridge' }))),
      );
    };
    iommu.attachDevice(domain, first);
    expect(seen).toEqual(['EBUSY', 'EBUSY', 'EBUSY', 'EBUSY']);
    expect(iommu.groupOf(first).devices).toHaveLength(3);
    expect(iommu.domainForPasid(first, 1)).toBeUndefined();
    iommu.attachDevicePasid(sva, first, 1);
  });

  it.each(['attachPasid', 'detachPasid'])('during %s the same PASID cannot change: EBUSY, others can', (operation) => {
    const target = device('a', { pasidBits: 8 });
    iommu.probeDevice(target);
    const [slow, other] = [new FakeDomain('sva', []), new FakeDomain('sva', [])];
    iommu.attachDevicePasid(other, target, 2);
    const seen: string[] = [];
    slow.hook = (now) => {
      if (now !== operation || seen.length > 0) return;
      seen.push(
        codeOf(() => iommu.attachDevicePasid(other, target, 1)),
        codeOf(() => iommu.detachDevicePasid(slow, target, 1)),
        codeOf(() => iommu.replaceDevicePasid(other, target, 1)),
        codeOf(() => iommu.releaseDevice(target)),
        codeOf(() => iommu.attachDevicePasid(other, target, 3)),
        codeOf(() => iommu.detachDevicePasid(other, target, 2)),
      );
    };
    iommu.attachDevicePasid(slow, target, 1);
    iommu.detachDevicePasid(slow, target, 1);
    expect(seen).toEqual(['EBUSY', 'EBUSY', 'EBUSY', 'EBUSY', 'ok', 'ok']);
    expect([...iommu.groupOf(target).pasids.keys()]).toEqual([3]);
  });

  it('the domain that is being attached cannot be freed: EBUSY', () => {
    const target = device('a', { pasidBits: 8 });
    iommu.probeDevice(target);
    const sva = new FakeDomain('sva', []);
    const domain = iommu.allocDomain('unmanaged', target) as FakePagingDomain;
    const seen: string[] = [];
    for (const each of [sva, domain]) each.hook = () => seen.push(codeOf(() => iommu.freeDomain(each)));
    iommu.attachDevicePasid(sva, target, 1);
    iommu.replaceDevicePasid(domain, target, 1);
    iommu.attachDevice(domain, target);
    expect(seen).toEqual(['EBUSY', 'EBUSY', 'EBUSY']);
    iommu.freeDomain(sva);
    expect(sva.freed).toBe(true);
  });

  it('during a replace the PASID cannot be taken away: EBUSY', () => {
    const target = device('a', { pasidBits: 8 });
    iommu.probeDevice(target);
    const [old, next] = [new FakeDomain('sva', []), new FakeDomain('sva', [])];
    iommu.attachDevicePasid(old, target, 1);
    const seen: string[] = [];
    next.hook = () => seen.push(codeOf(() => iommu.detachDevicePasid(old, target, 1)));
    iommu.replaceDevicePasid(next, target, 1);
    expect(seen).toEqual(['EBUSY']);
    iommu.detachDevicePasid(next, target, 1);
  });
});

describe('Iommu.whyNot names every reason', () => {
  it('why there is no translation', () => {
    const target = device('a');
    expect(iommu.whyNot(device('p', { bus: 'platform' }), 'dma')).toEqual(['no IOMMU claims p: asked fake-iommu']);
    expect(iommu.whyNot(target, 'dma')).toEqual(['a is behind fake-iommu, but was not probed']);
    iommu.probeDevice(target);
    expect(iommu.whyNot(target, 'dma')).toEqual([]);
  });

  it('why there are no PASIDs', () => {
    const [plain, good] = [device('plain'), device('good', { pasidBits: 20 })];
    iommu.probeDevice(plain);
    iommu.probeDevice(good);
    expect(iommu.whyNot(plain, 'pasid')).toEqual([
      'plain has no PASID capability',
      'fake-iommu gives plain no PASIDs (maxPasids is 0)',
    ]);
    expect(iommu.whyNot(good, 'pasid')).toEqual([]);
    expect([iommu.maxPasids(plain), iommu.maxPasids(good)]).toEqual([0, 1024]);
  });
});
