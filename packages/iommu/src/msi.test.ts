import { beforeEach, describe, expect, it } from 'vitest';
import { codeOf, device, errorOf, FakeDomain, FakeDriver, FakePagingDomain } from '../test/fakes.ts';
import type { Device } from './device.ts';
import { PROT } from './domain.ts';
import { Iommu } from './iommu.ts';

const WINDOW = 0x800_0000;
const DOORBELL = 0x802_0040; // GICv2m frame, register MSI_SETSPI_NS

let driver: FakeDriver;
let iommu: Iommu;
let nic: Device;
let domain: FakePagingDomain;
beforeEach(() => {
  driver = new FakeDriver();
  iommu = new Iommu();
  iommu.registerDriver(driver);
  nic = device('nic', { isolation: 'port' });
  iommu.probeDevice(nic);
  domain = iommu.allocDomain('unmanaged', nic) as FakePagingDomain;
});

describe('Iommu.setMsiWindow', () => {
  it.each([
    { what: 'a misaligned start', iova: WINDOW + 1, bytes: 0x10_0000, code: 'EINVAL' },
    { what: 'a misaligned size', iova: WINDOW, bytes: 0x10_0001, code: 'EINVAL' },
    { what: 'a negative start', iova: -4096, bytes: 4096, code: 'EINVAL' },
    { what: 'an empty window', iova: WINDOW, bytes: 0, code: 'EINVAL' },
    { what: 'a window outside the geometry', iova: 2 ** 48, bytes: 4096, code: 'ERANGE' },
  ])('refuses $what: $code', ({ iova, bytes, code }) => {
    expect(codeOf(() => iommu.setMsiWindow(domain, iova, bytes))).toBe(code);
    expect(iommu.hasMsiWindow(domain)).toBe(false);
  });

  it('counts alignment in the domain’s smallest page', () => {
    const coarse = new FakePagingDomain('unmanaged', [], { pageSizes: [65536, 2 ** 29], geometry: undefined });
    iommu.attachDevice(coarse, nic);
    expect(errorOf(() => iommu.setMsiWindow(coarse, WINDOW + 4096, 65536))).toBe(
      "EINVAL: MSI window 0x8001000+0x10000: not a multiple of the domain's page of 0x10000",
    );
    iommu.setMsiWindow(coarse, WINDOW, 65536);
  });

  it('refuses a window below the geometry: ERANGE', () => {
    const high = new FakePagingDomain('unmanaged', [], { geometry: { start: 2 ** 32, last: 2 ** 48 - 1 } });
    expect(codeOf(() => iommu.setMsiWindow(high, WINDOW, 4096))).toBe('ERANGE');
  });

  it.each([0, 2 ** 48 - 4096])('may lie at the edge of the geometry: %d', (iova) => {
    iommu.setMsiWindow(domain, iova, 4096);
    expect(iommu.hasMsiWindow(domain)).toBe(true);
  });

  it('refuses a second window: EEXIST', () => {
    iommu.setMsiWindow(domain, WINDOW, 0x10_0000);
    expect(codeOf(() => iommu.setMsiWindow(domain, WINDOW, 0x10_0000))).toBe('EEXIST');
  });

  it('refuses a domain without a page table, and one that nobody knows: EINVAL', () => {
    expect(codeOf(() => iommu.setMsiWindow(driver.identityDomain, WINDOW, 4096))).toBe('EINVAL');
    expect(codeOf(() => iommu.setMsiWindow(new FakePagingDomain('unmanaged', []), WINDOW, 4096))).toBe('EINVAL');
  });
});

describe('Iommu.mapMsiDoorbell', () => {
  beforeEach(() => {
    iommu.setMsiWindow(domain, WINDOW, 2 * 4096);
    iommu.attachDevice(domain, nic);
  });

  it('maps the doorbell’s page into the window, write-only, never executable, as device memory', () => {
    expect(iommu.mapMsiDoorbell(nic, DOORBELL)).toBe(WINDOW + 0x40);
    expect(domain.leaves.get(WINDOW)).toEqual({
      pa: 0x802_0000,
      pageBytes: 4096,
      prot: PROT.WRITE | PROT.NOEXEC | PROT.MMIO,
    });
  });

  it('maps it once per domain: later users find it', () => {
    const disk = device('disk', { isolation: 'port' });
    iommu.probeDevice(disk);
    expect(iommu.mapMsiDoorbell(nic, DOORBELL)).toBe(WINDOW + 0x40);
    expect(iommu.mapMsiDoorbell(disk, DOORBELL + 8)).toBe(WINDOW + 0x48);
    expect(domain.leaves.size).toBe(1);
  });

  it('takes the next page for another doorbell, until the window is full: ENOSPC', () => {
    iommu.mapMsiDoorbell(nic, DOORBELL);
    expect(iommu.mapMsiDoorbell(nic, 0x900_0044)).toBe(WINDOW + 0x1044);
    expect(errorOf(() => iommu.mapMsiDoorbell(nic, 0xa00_0000))).toBe(
      'ENOSPC: MSI window 0x8000000+0x2000 is full: 2 doorbell pages',
    );
    expect(iommu.mapMsiDoorbell(nic, 0x900_0048)).toBe(WINDOW + 0x1048);
  });

  it('gives its place in the window back when the page cannot be mapped', () => {
    domain.hook = (operation) => {
      if (operation === 'mapPages') throw new TypeError('no memory');
    };
    expect(() => iommu.mapMsiDoorbell(nic, DOORBELL)).toThrow('no memory');
    domain.hook = () => {};
    expect(iommu.mapMsiDoorbell(nic, DOORBELL)).toBe(WINDOW + 0x40);
  });

  it('is gone when the domain goes', () => {
    iommu.mapMsiDoorbell(nic, DOORBELL);
    iommu.mapMsiDoorbell(nic, 0x900_0044);
    iommu.detachDevice(domain, nic);
    iommu.freeDomain(domain);
    expect(domain.leaves.size).toBe(0);
    expect(iommu.hasMsiWindow(domain)).toBe(false);
  });

  it('is the doorbell itself where addresses are not translated', () => {
    iommu.detachDevice(domain, nic);
    iommu.attachDevice(driver.identityDomain, nic);
    expect(iommu.mapMsiDoorbell(nic, DOORBELL)).toBe(DOORBELL);
  });

  it('is the doorbell itself where the hardware takes the write untranslated', () => {
    driver.regions = () => [{ type: 'msi', start: 0x900_0000, length: 0x1000 }];
    const gpu = device('gpu');
    iommu.probeDevice(gpu);
    expect(iommu.mapMsiDoorbell(gpu, 0x900_0fff)).toBe(0x900_0fff);
    expect(errorOf(() => iommu.mapMsiDoorbell(gpu, 0x900_1000))).toBe(
      'ENOENT: an interrupt of gpu has no way out: its dma domain has no MSI window',
    );
    expect(codeOf(() => iommu.mapMsiDoorbell(gpu, 0x8ff_ffff))).toBe('ENOENT');
  });

  it('refuses a device behind no IOMMU: ENODEV', () => {
    expect(codeOf(() => iommu.mapMsiDoorbell(device('x'), DOORBELL))).toBe('ENODEV');
  });
});

describe('direct regions: firmware wants them one-to-one (IORT RMR)', () => {
  const screen = { type: 'direct', start: 0x4000_0800, length: 0x1000, streamIds: [5] } as const;

  it('are mapped before the device is attached, in whole pages, once', () => {
    driver.regions = (target) =>
      target.name === 'gpu'
        ? [screen, { type: 'direct-relaxable', start: 0x4000_1000, length: 4096, prot: PROT.READ }]
        : [];
    const gpu = device('gpu', { isolation: 'slot' });
    iommu.probeDevice(gpu);
    const table = iommu.domainOf(gpu) as FakePagingDomain;
    expect([...table.leaves]).toEqual([
      [0x4000_0000, { pa: 0x4000_0000, pageBytes: 4096, prot: PROT.READ | PROT.WRITE }],
      [0x4000_1000, { pa: 0x4000_1000, pageBytes: 4096, prot: PROT.READ | PROT.WRITE }],
    ]);
    expect(driver.log.indexOf('gpu in dma2')).toBeGreaterThan(0);
    expect(iommu.reservedRegions(gpu).map(({ type }) => type)).toEqual(['direct', 'direct-relaxable']);
  });

  it('keep others from taking the device over: EINVAL; bypass is allowed', () => {
    driver.regions = () => [screen];
    const gpu = device('gpu');
    iommu.probeDevice(gpu);
    expect(errorOf(() => iommu.attachDevice(iommu.allocDomain('unmanaged', gpu), gpu))).toBe(
      'EINVAL: firmware demands one-to-one mappings for gpu: a domain of type unmanaged would break them',
    );
    expect(codeOf(() => iommu.attachDevice(driver.blockedDomain, gpu))).toBe('EINVAL');
    iommu.attachDevice(driver.identityDomain, gpu);
    iommu.detachDevice(driver.identityDomain, gpu);
    driver.log.length = 0;
    iommu.releaseDevice(gpu);
    expect(driver.log).toEqual(['gpu in identity', 'gpu released', 'dma2 freed']);
  });

  it('keep their device from joining a group that was taken over: EINVAL', () => {
    iommu.attachDevice(domain, nic);
    driver.regions = () => [screen];
    expect(codeOf(() => iommu.probeDevice(device('gpu', { isolation: 'port' })))).toBe('EINVAL');
    expect(iommu.groupOf(nic).devices).toEqual([nic]);
  });

  it('are taken back when the device cannot join', () => {
    driver.regions = (target) => (target.name === 'gpu' ? [screen] : []);
    const table = iommu.domainOf(nic) as FakePagingDomain;
    table.hook = (operation, target) => {
      if (operation === 'attach' && (target as Device).name === 'gpu') throw new TypeError('no');
    };
    expect(() => iommu.probeDevice(device('gpu', { isolation: 'port' }))).toThrow('no');
    expect(table.leaves.size).toBe(0);
    let pages = 0;
    table.hook = (operation) => {
      if (operation === 'mapPages' && ++pages === 2) throw new TypeError('no memory');
    };
    expect(() => iommu.probeDevice(device('gpu', { isolation: 'port' }))).toThrow('no memory');
    expect(table.leaves.size).toBe(0);
  });

  it('need no mapping where nothing is translated', () => {
    iommu = new Iommu({ defaultDomainType: 'identity' });
    iommu.registerDriver(driver);
    driver.regions = () => [screen];
    const gpu = device('gpu');
    iommu.probeDevice(gpu);
    expect(iommu.domainOf(gpu)).toBe(driver.identityDomain);
  });

  it('are merged over the group, sorted', () => {
    driver.regions = ({ name }) => [{ type: 'reserved', start: name === 'a' ? 0x3000 : 0x2000, length: 0x1000 }];
    for (const name of ['a', 'b']) iommu.probeDevice(device(name, { isolation: 'slot' }));
    const a = device('c', { isolation: 'slot' });
    iommu.probeDevice(a);
    expect(iommu.reservedRegions(a)).toEqual([{ type: 'reserved', start: 0x2000, length: 0x2000 }]);
    expect(new FakeDomain('blocked', []).pageSizes).toBeUndefined();
  });
});
