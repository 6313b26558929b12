import { FrameAllocator, NonCoherentDma, Scheduler, SystemMemory } from '@smmu/platform';
import { beforeEach, describe, expect, it } from 'vitest';
import { codeOf, device, errorOf, FakeDriver, type FakePagingDomain } from '../test/fakes.ts';
import type { Device } from './device.ts';
import { DmaApi } from './dmaApi.ts';
import { PROT } from './domain.ts';
import { Iommu } from './iommu.ts';
import type { ReservedRegion } from './reservedRegions.ts';

const K4 = 4096;
const RAM = 0x4000_0000;
const RAM_BYTES = 2 ** 24;
const RW = PROT.READ | PROT.WRITE | PROT.CACHE;

let driver: FakeDriver;
let iommu: Iommu;
let memory: SystemMemory;
let near: FrameAllocator;
let far: FrameAllocator;
let dma: DmaApi;

beforeEach(() => {
  driver = new FakeDriver();
  iommu = new Iommu({ debugPages: true });
  iommu.registerDriver(driver);
  memory = new SystemMemory([{ base: RAM, size: RAM_BYTES }]);
  near = new FrameAllocator(RAM, RAM_BYTES / 2, 0);
  far = new FrameAllocator(RAM + RAM_BYTES / 2, RAM_BYTES / 2, 1);
  dma = new DmaApi({ iommu, memory, frames: [near, far] });
});

function probe(name: string, more: Partial<Device> = {}): [Device, FakePagingDomain] {
  const target = device(name, more);
  iommu.probeDevice(target);
  return [target, iommu.domainOf(target) as FakePagingDomain];
}

describe('DmaApi.allocCoherent', () => {
  it('maps zeroed memory that both may read and write', () => {
    const [nic, domain] = probe('nic');
    for (let pa = RAM; pa < RAM + 8 * K4; pa += 4) memory.write32(pa, 0xdead);
    const buffer = dma.allocCoherent(nic, 5000);
    expect(buffer.bytes).toBe(5000);
    expect(buffer.pa % (2 * K4)).toBe(0);
    for (let offset = 0; offset < 2 * K4; offset += 4) {
      memory.read32(buffer.pa + offset);
      expect(memory.lo).toBe(0);
    }
    expect(domain.leaves.get(buffer.iova)).toEqual({ pa: buffer.pa, pageBytes: K4, prot: RW });
    expect(domain.iovaToPhys(buffer.iova + 2 * K4 - 1)).toBe(buffer.pa + 2 * K4 - 1);
    expect(domain.iovaToPhys(buffer.iova + 2 * K4)).toBe(-1);
  });

  it('gives a PCI device addresses below 4 GiB, the highest first', () => {
    const [nic] = probe('nic');
    expect(dma.allocCoherent(nic, K4).iova).toBe(2 ** 32 - K4);
    expect(dma.allocCoherent(nic, K4).iova).toBe(2 ** 32 - 2 * K4);
  });

  it('clears what is larger than 2 MiB too, and maps it with blocks', () => {
    const [nic, domain] = probe('nic');
    memory.write32(RAM + 0x2f_f000, 7);
    const buffer = dma.allocCoherent(nic, 3 * 2 ** 20);
    memory.read32(RAM + 0x2f_f000);
    expect(memory.lo).toBe(0);
    expect([...domain.leaves.values()].map(({ pageBytes }) => pageBytes)).toEqual([2 ** 21, 2 ** 21]);
    dma.freeCoherent(nic, buffer);
    expect([near.freeFrames, domain.leaves.size]).toEqual([near.totalFrames, 0]);
  });

  it('takes memory near the device, or elsewhere if there is none', () => {
    const [nic] = probe('nic', { node: 1 });
    expect(dma.allocCoherent(nic, K4).pa).toBeGreaterThanOrEqual(RAM + RAM_BYTES / 2);
    far.fail = () => true;
    expect(dma.allocCoherent(nic, K4).pa).toBeLessThan(RAM + RAM_BYTES / 2);
    near.fail = () => true;
    expect(errorOf(() => dma.allocCoherent(nic, 2 * K4))).toBe('ENOMEM: no 2 frames in a row for a DMA buffer of nic');
  });

  it('may be at physical address 0', () => {
    memory = new SystemMemory([{ base: 0, size: 2 ** 21 }]);
    const low = new FrameAllocator(0, 2 ** 21);
    dma = new DmaApi({ iommu, memory, frames: [low] });
    const [nic] = probe('nic');
    expect(dma.allocCoherent(nic, 2 ** 21).pa).toBe(0);
  });

  it('uses whole pages of a domain whose smallest page is larger', () => {
    driver.paging = { pageSizes: [65536, 2 ** 29] };
    const [nic, domain] = probe('nic');
    const buffer = dma.allocCoherent(nic, 10);
    expect(buffer.pa % 65536).toBe(0);
    expect(domain.leaves.get(buffer.iova)?.pageBytes).toBe(65536);
    dma.freeCoherent(nic, buffer);
    expect(near.freeFrames).toBe(near.totalFrames);
  });

  it('gives the memory back when it cannot be mapped', () => {
    const [nic, domain] = probe('nic');
    domain.hook = (operation) => {
      if (operation === 'mapPages') throw new TypeError('no table');
    };
    expect(() => dma.allocCoherent(nic, K4)).toThrow('no table');
    expect(near.freeFrames).toBe(near.totalFrames);
    domain.hook = () => {};
    expect(dma.allocCoherent(nic, K4).iova).toBe(2 ** 32 - K4);
  });

  it.each([0, -1, Number.NaN])('refuses %d bytes: EINVAL', (bytes) => {
    const [nic] = probe('nic');
    expect(codeOf(() => dma.allocCoherent(nic, bytes))).toBe('EINVAL');
    expect(codeOf(() => dma.mapSingle(nic, RAM, bytes, 'both'))).toBe('EINVAL');
  });

  it('refuses a device behind no IOMMU: ENODEV; one that was taken over: EBUSY', () => {
    expect(codeOf(() => dma.allocCoherent(device('x'), K4))).toBe('ENODEV');
    const [nic] = probe('nic');
    iommu.attachDevice(iommu.allocDomain('unmanaged', nic), nic);
    expect(errorOf(() => dma.allocCoherent(nic, K4))).toBe(
      'EBUSY: nic was taken over (its domain is unmanaged): the DMA API has no say there',
    );
    expect(codeOf(() => dma.mapSingle(nic, RAM, 1, 'both'))).toBe('EBUSY');
  });
});

describe('DmaApi.freeCoherent', () => {
  it('takes the buffer from the device before the memory is given back', () => {
    const [nic, domain] = probe('nic');
    const buffer = dma.allocCoherent(nic, K4);
    domain.syncs.length = 0;
    dma.freeCoherent(nic, buffer);
    expect(domain.syncs).toEqual(['fffff000-ffffffff']);
    expect(iommu.mappedPages?.frames).toBe(0);
    expect(dma.allocCoherent(nic, K4).iova).toBe(buffer.iova);
  });

  it('refuses what is no buffer, or was freed: EINVAL', () => {
    const [nic] = probe('nic');
    const buffer = dma.allocCoherent(nic, K4);
    expect(codeOf(() => dma.freeCoherent(nic, { ...buffer, pa: buffer.pa + K4 }))).toBe('EINVAL');
    expect(codeOf(() => dma.freeCoherent(nic, { ...buffer, iova: buffer.iova - K4 }))).toBe('EINVAL');
    dma.freeCoherent(nic, buffer);
    expect(codeOf(() => dma.freeCoherent(nic, buffer))).toBe('EINVAL');
  });

  it('finds another mapping that still leads to the memory: EBUSY', () => {
    const [nic] = probe('nic');
    const [disk] = probe('disk');
    const buffer = dma.allocCoherent(nic, K4);
    const second = dma.mapSingle(disk, buffer.pa, K4, 'both');
    expect(codeOf(() => dma.freeCoherent(nic, buffer))).toBe('EBUSY');
    dma.unmapSingle(disk, second, K4, 'both');
    expect(near.orderOf(buffer.pa / K4)).toBe(0); // not given back: that would have been the mistake
  });
});

describe('DmaApi.mapSingle and unmapSingle', () => {
  it.each([
    { direction: 'toDevice', prot: PROT.READ | PROT.CACHE },
    { direction: 'fromDevice', prot: PROT.WRITE | PROT.CACHE },
    { direction: 'both', prot: RW },
  ] as const)('$direction allows no more than needed', ({ direction, prot }) => {
    const [nic, domain] = probe('nic');
    const iova = dma.mapSingle(nic, RAM + 0x123, 7000, direction);
    expect(iova % K4).toBe(0x123);
    expect([...domain.leaves.values()].map((leaf) => [leaf.pa, leaf.prot])).toEqual([
      [RAM, prot],
      [RAM + K4, prot],
    ]);
    dma.unmapSingle(nic, iova, 7000, direction);
    expect(domain.leaves.size).toBe(0);
  });

  it('gives the address back when the memory cannot be mapped', () => {
    const [nic, domain] = probe('nic');
    domain.hook = (operation) => {
      if (operation === 'mapPages') throw new TypeError('no table');
    };
    expect(() => dma.mapSingle(nic, RAM, 3 * K4, 'both')).toThrow('no table');
    domain.hook = () => {};
    expect(dma.mapSingle(nic, RAM, 3 * K4, 'both')).toBe(2 ** 32 - 4 * K4); // cached sizes are powers of two
  });

  it('unmaps nothing unless it is exactly what was mapped: EINVAL', () => {
    const [nic, domain] = probe('nic');
    const iova = dma.mapSingle(nic, RAM, 3 * K4, 'both');
    const large = dma.mapSingle(nic, RAM, 40 * K4, 'both');
    const wrong: [number, number][] = [
      [iova, 2 * K4],
      [iova, 4 * K4],
      [iova, 5 * K4],
      [iova + K4, K4],
      [iova - K4, K4],
      [large, 39 * K4],
      [large, 41 * K4],
      [0x1000, K4],
    ];
    for (const [at, bytes] of wrong)
      expect(errorOf(() => dma.unmapSingle(nic, at, bytes, 'both'))).toMatch(
        /EINVAL: nic: 0x.* is not what was mapped/,
      );
    expect(domain.leaves.size).toBe(43);
    dma.unmapSingle(nic, iova, 3 * K4, 'both');
    expect(codeOf(() => dma.unmapSingle(nic, iova, 3 * K4, 'both'))).toBe('EINVAL');
    const [upper, lower] = [dma.mapSingle(nic, RAM, K4, 'both'), dma.mapSingle(nic, RAM, K4, 'both')];
    expect(upper - lower).toBe(K4);
    expect(codeOf(() => dma.unmapSingle(nic, lower, 2 * K4, 'both'))).toBe('EINVAL'); // two mappings in a row
    for (const each of [upper, lower]) dma.unmapSingle(nic, each, K4, 'both');
    dma.unmapSingle(nic, large, 40 * K4, 'both');
    expect(domain.leaves.size).toBe(0);
  });

  it('goes beyond 4 GiB when there is no room below, and stays there', () => {
    driver.paging = { pageSizes: [K4, 2 ** 30] };
    const [nic] = probe('nic');
    driver.domains[0]!.mapPages = (_iova, _pa, pageBytes, count) => pageBytes * count;
    const iovas = Array.from({ length: 5 }, () => dma.mapSingle(nic, 0, 2 ** 30, 'both'));
    // Three fit below 4 GiB: the first one lacks the page at 0.
    expect(iovas.slice(0, 3).every((iova) => iova < 2 ** 32)).toBe(true);
    expect(iovas.slice(3).every((iova) => iova >= 2 ** 32)).toBe(true);
  });

  it('stays below what the device can drive, and the domain can map: ENOSPC', () => {
    driver.paging = { geometry: { start: 0, last: 2 ** 20 - 1 } };
    const [small] = probe('small');
    expect(dma.mapSingle(small, RAM, K4, 'both')).toBe(2 ** 20 - K4);
    driver.claims = () => true;
    driver.paging = { geometry: undefined };
    const [weak] = probe('weak', { bus: 'platform', dmaBits: 16 });
    expect(dma.mapSingle(weak, RAM, K4, 'both')).toBe(0xf000);
    expect(codeOf(() => dma.mapSingle(weak, RAM, 0x10000, 'both'))).toBe('ENOSPC');
    const [wide] = probe('wide', { bus: 'platform' });
    expect(dma.mapSingle(wide, RAM, K4, 'both')).toBe(2 ** 52 - K4);
  });

  it('starts above the beginning of the geometry, and never at 0', () => {
    driver.paging = { geometry: { start: 0xf_f800, last: 0x10_1fff } };
    const [nic] = probe('nic');
    expect([dma.mapSingle(nic, RAM, K4, 'both'), dma.mapSingle(nic, RAM, K4, 'both')]).toEqual([0x10_1000, 0x10_0000]);
    expect(codeOf(() => dma.mapSingle(nic, RAM, K4, 'both'))).toBe('ENOSPC');
    driver.paging = { geometry: { start: 0, last: 0x1fff } };
    const [tiny] = probe('tiny');
    expect(dma.mapSingle(tiny, RAM, K4, 'both')).toBe(0x1000);
    expect(codeOf(() => dma.mapSingle(tiny, RAM, K4, 'both'))).toBe('ENOSPC');
  });
});

describe('without translation', () => {
  beforeEach(() => {
    iommu = new Iommu({ defaultDomainType: 'identity' });
    iommu.registerDriver(driver);
    dma = new DmaApi({ iommu, memory, frames: [near, far] });
  });

  it('the device uses physical addresses', () => {
    const [nic] = probe('nic');
    const buffer = dma.allocCoherent(nic, 100);
    expect(buffer.iova).toBe(buffer.pa);
    dma.freeCoherent(nic, buffer);
    expect(dma.mapSingle(nic, RAM + 5, 10, 'both')).toBe(RAM + 5);
    dma.unmapSingle(nic, RAM + 5, 10, 'both');
    expect(dma.mapMsiDoorbell(nic, 0x900_0040)).toBe(0x900_0040);
    expect(near.freeFrames).toBe(near.totalFrames);
  });

  it('a device that cannot drive the address is refused: EIO', () => {
    const [nic] = probe('nic', { dmaBits: 30 });
    expect(errorOf(() => dma.mapSingle(nic, RAM, 1, 'both'))).toBe(
      'EIO: nic drives 30 bits of address, too few for 0x40000000',
    );
    expect(codeOf(() => dma.allocCoherent(nic, 1))).toBe('EIO');
    expect(near.freeFrames).toBe(near.totalFrames);
  });
});

describe('a device that does not snoop', () => {
  it('gets syncs for each direction, and no cacheable mappings', () => {
    const device2 = new SystemMemory([{ base: RAM, size: RAM_BYTES }]);
    const coherence = new NonCoherentDma(memory, device2);
    dma = new DmaApi({ iommu, memory, frames: [near, far], coherence });
    const [nic, domain] = probe('nic');
    memory.write32(RAM, 1);
    const out = dma.mapSingle(nic, RAM, 4, 'toDevice');
    device2.read32(RAM);
    expect(device2.lo).toBe(1);
    expect(domain.leaves.get(out)?.prot).toBe(PROT.READ);
    device2.write32(RAM, 2);
    dma.unmapSingle(nic, out, 4, 'toDevice');
    memory.read32(RAM);
    expect(memory.lo).toBe(1);
    const back = dma.mapSingle(nic, RAM, 4, 'fromDevice');
    device2.write32(RAM, 3);
    dma.unmapSingle(nic, back, 4, 'fromDevice');
    memory.read32(RAM);
    expect(memory.lo).toBe(3);
  });

  it('finds new coherent memory cleared on its side too', () => {
    const device2 = new SystemMemory([{ base: RAM, size: RAM_BYTES }]);
    device2.write32(RAM, 0xdead);
    dma = new DmaApi({ iommu, memory, frames: [near], coherence: new NonCoherentDma(memory, device2) });
    const [nic] = probe('nic');
    const { pa } = dma.allocCoherent(nic, K4);
    device2.read32(pa);
    expect([pa, device2.lo]).toEqual([RAM, 0]);
  });
});

describe('reserved regions and doorbells', () => {
  const window: ReservedRegion = { type: 'software-msi', start: 0xfff0_0000, length: 0x10_0000 };

  it('are never given to buffers', () => {
    driver.regions = () => [{ type: 'reserved', start: 2 ** 32 - 0x1800, length: 0x1000 }, window];
    const [nic] = probe('nic');
    expect(dma.mapSingle(nic, RAM, K4, 'both')).toBe(0xfff0_0000 - K4);
  });

  it('of members that join later are kept free as well', () => {
    const [nic] = probe('nic', { isolation: 'port' });
    expect(dma.mapSingle(nic, RAM, K4, 'both')).toBe(2 ** 32 - K4);
    driver.regions = ({ name }) =>
      name === 'late' ? [{ type: 'reserved', start: 2 ** 32 - 3 * K4, length: 2 * K4 }] : [];
    const [late] = probe('late', { isolation: 'port' });
    expect(dma.mapSingle(late, RAM, K4, 'both')).toBe(2 ** 32 - 4 * K4);
    expect(dma.mapSingle(nic, RAM, K4, 'both')).toBe(2 ** 32 - 5 * K4);
  });

  it('the driver’s software window takes the doorbells', () => {
    driver.regions = () => [window];
    const [nic, domain] = probe('nic');
    expect(dma.mapMsiDoorbell(nic, 0x900_0040)).toBe(0xfff0_0040);
    expect(dma.mapMsiDoorbell(nic, 0x900_0044)).toBe(0xfff0_0044);
    expect(domain.leaves.size).toBe(1);
  });

  it('without one, a doorbell goes wherever there is room below 4 GiB, and stays until the domain goes', () => {
    const [nic, domain] = probe('nic');
    expect(dma.mapMsiDoorbell(nic, 0x900_0040)).toBe(2 ** 32 - K4 + 0x40);
    expect(dma.mapSingle(nic, RAM, K4, 'both')).toBe(2 ** 32 - 2 * K4);
    domain.hook = (operation) => {
      if (operation === 'mapPages') throw new TypeError('no table');
    };
    expect(() => dma.mapMsiDoorbell(nic, 0xa00_0000)).toThrow('no table');
    domain.hook = () => {};
    expect(dma.mapMsiDoorbell(nic, 0xa00_0000)).toBe(2 ** 32 - 3 * K4);
    dma.unmapSingle(nic, 2 ** 32 - 2 * K4, K4, 'both');
    iommu.releaseDevice(nic);
    expect([domain.freed, domain.leaves.size]).toEqual([true, 0]);
  });

  it('a doorbell stays inside what the domain can map', () => {
    driver.paging = { geometry: { start: 0, last: 2 ** 20 - 1 } };
    const [nic] = probe('nic');
    expect(dma.mapMsiDoorbell(nic, 0x900_0040)).toBe(2 ** 20 - K4 + 0x40);
  });

  it('a window that somebody set before is kept', () => {
    driver.regions = () => [window];
    const [nic, domain] = probe('nic');
    iommu.setMsiWindow(domain, 0x800_0000, K4);
    expect(dma.mapMsiDoorbell(nic, 0x900_0040)).toBe(0x800_0040);
  });

  it('a device that was taken over needs a window of its owner: ENOENT', () => {
    const [nic] = probe('nic');
    const domain = iommu.allocDomain('unmanaged', nic);
    iommu.attachDevice(domain, nic);
    expect(codeOf(() => dma.mapMsiDoorbell(nic, 0x900_0040))).toBe('ENOENT');
    iommu.setMsiWindow(domain, 0x800_0000, K4);
    expect(dma.mapMsiDoorbell(nic, 0x900_0040)).toBe(0x800_0040);
  });
});

describe('lazy mode: invalidations are deferred', () => {
  let scheduler: Scheduler;
  beforeEach(() => {
    scheduler = new Scheduler(1);
    dma = new DmaApi({ iommu, memory, frames: [near, far], lazy: scheduler });
  });

  it('to one flush for many unmaps; no address is used again before it', () => {
    const [nic, domain] = probe('nic');
    const iovas = Array.from({ length: 10 }, () => dma.mapSingle(nic, RAM, K4, 'both'));
    domain.syncs.length = 0;
    for (const iova of iovas) dma.unmapSingle(nic, iova, K4, 'both');
    expect(domain.syncs).toEqual([]);
    expect(iovas).not.toContain(dma.mapSingle(nic, RAM, K4, 'both'));
    domain.syncs.length = 0;
    scheduler.run();
    expect(domain.syncs[0]).toBe('all');
    expect(domain.syncs.slice(1)).toEqual(Array.from({ length: 10 }, () => 'nothing')); // tables freed, no more
    expect(iovas).toContain(dma.mapSingle(nic, RAM, K4, 'both'));
  });

  it('unless somebody asks for it', () => {
    const [nic, domain] = probe('nic');
    dma.flush(nic); // nothing was mapped yet
    const iova = dma.mapSingle(nic, RAM, K4, 'both');
    domain.syncs.length = 0;
    dma.unmapSingle(nic, iova, K4, 'both');
    dma.flush(nic);
    expect(domain.syncs).toEqual(['all', 'nothing']);
    expect(scheduler.idle).toBe(true);
  });

  it('or the domain goes', () => {
    const [nic, domain] = probe('nic');
    dma.unmapSingle(nic, dma.mapSingle(nic, RAM, K4, 'both'), K4, 'both');
    domain.syncs.length = 0;
    iommu.releaseDevice(nic);
    expect([domain.syncs, domain.freed, scheduler.idle]).toEqual([['all', 'nothing'], true, true]);
  });

  it('but not in a domain that cannot invalidate everything', () => {
    const [nic, domain] = probe('nic');
    Object.defineProperty(domain, 'flushIotlbAll', { value: undefined });
    const iova = dma.mapSingle(nic, RAM, K4, 'both');
    domain.syncs.length = 0;
    dma.unmapSingle(nic, iova, K4, 'both');
    expect(domain.syncs).toEqual(['fffff000-ffffffff']);
    dma.flush(nic);
  });
});
