import { PciFunction } from '@smmu/pci-ats';
import { DMA_OK, SystemMemory } from '@smmu/platform';
import { describe, expect, it, vi } from 'vitest';
import { BoardHarness, NOTHING_LEFT } from '../test/boardHarness.ts';
import { Board, type BoardOptions, JobRing, PciRoot, REGISTERS } from './index.ts';

const errno = (code: string) => expect.objectContaining({ code });
const board = (options: Partial<BoardOptions> = {}) =>
  new Board({ memoryBytes: 2 ** 24, granule: '4k', engine: () => -1, ...options });

describe('Board', () => {
  it('comes up as a kernel does, and goes down without a trace, twice', () => {
    const lines: string[] = [];
    const b = board({ log: (line) => lines.push(line) });
    expect(b.left()).toMatchObject({ pasids: 0, pinnedAsids: 0, pendingFaults: 0, processes: 0 });
    expect(b.left().tablePages).toBe(b.idleTablePages);
    expect(lines.some((line) => line.includes('gzip accelerator, 64 queues'))).toBe(true);
    expect(b.shutdown()).toEqual(NOTHING_LEFT);
    expect(b.shutdown()).toEqual(NOTHING_LEFT);
  });

  it('EINVAL: an unknown granule, RAM that is no multiple of 2 MiB', () => {
    expect(() => board({ granule: '8k' as '4k' })).toThrow(errno('EINVAL'));
    expect(() => board({ memoryBytes: 2 ** 22 + 4096 })).toThrow(errno('EINVAL'));
  });

  it('takes the sizes of queues and the features that it is told', () => {
    const b = board({ cmdqEntriesLog2: 5, evtqEntriesLog2: 4, smmu: { rangeInv: false }, timing: { byteNs: 2 } });
    expect(b.smmu.cmdq.queue.entries).toBe(32);
    expect(b.smmu.evtq.queue.entries).toBe(16);
    b.shutdown();
  });

  it('says what is wrong if the SMMU cannot share address spaces', () => {
    expect(() => board({ smmu: { stallModel: 1, stallMax: 0 } })).toThrow(/stall/);
    expect(() => board({ smmu: { granules: ['64k'] } })).toThrow(/./);
  });

  it('the device reaches its rings through a DMA domain beside the processes', () => {
    const b = board();
    expect(b.iommu.domainOf(b.device).type).toBe('dma');
    b.shutdown();
  });
});

describe('AcceleratorDriver', () => {
  it('opens as many queues as the device has, each with a doorbell page of its own', () => {
    const h = new BoardHarness();
    const { driver } = h.board;
    const queues = Array.from({ length: 63 }, () => driver.openQueue(h.mm, h.ring.ring, 6, () => {}));
    expect(new Set([h.queue, ...queues].map(({ doorbell }) => Math.floor(doorbell.base / 4096))).size).toBe(64);
    expect(new Set(queues.map(({ pasid }) => pasid))).toEqual(new Set([h.queue.pasid]));
    expect(h.board.left()).toMatchObject({ pasids: 1, pinnedAsids: 1 });
    expect(() => driver.openQueue(h.mm, h.ring.ring, 6, () => {})).toThrow(errno('EBUSY'));
    for (const queue of queues) driver.closeQueue(queue);
    h.end();
  });

  it('gives each process a PASID of its own', () => {
    const h = new BoardHarness();
    const other = h.board.createProcess('other');
    const ring = new JobRing(other, 4);
    const queue = h.board.driver.openQueue(other, ring.ring, 4, () => {});
    ring.connect(queue.doorbell);
    expect(queue.pasid).not.toBe(h.queue.pasid);
    // The same pointer means another page in each.
    const [mine, theirs] = [h.memory(4096), other.mmap({ bytes: 4096, kind: 'anonymous', read: true, write: true })];
    h.mm.writeBytes(mine, Uint8Array.of(1));
    other.writeBytes(theirs, Uint8Array.of(2));
    const target = h.memory(4096);
    h.finish(h.copy({ source: mine, destination: target }));
    const byte = new Uint8Array(1);
    h.mm.readBytes(target, byte);
    expect(byte[0]).toBe(1);
    h.board.driver.closeQueue(queue);
    other.exit();
    h.end();
  });

  it('EINVAL: a misaligned or too large ring; ENOENT: a queue that is closed; ESRCH: a process that is gone', () => {
    const h = new BoardHarness();
    const { driver } = h.board;
    expect(() => driver.openQueue(h.mm, h.ring.ring + 32, 6, () => {})).toThrow(errno('EINVAL'));
    expect(() => driver.openQueue(h.mm, h.ring.ring, 16, () => {})).toThrow(errno('EINVAL'));
    expect(() => driver.openQueue(h.mm, h.ring.ring, -1, () => {})).toThrow(errno('EINVAL'));
    driver.closeQueue(h.queue);
    expect(() => driver.closeQueue(h.queue)).toThrow(errno('ENOENT'));
    h.mm.exit();
    expect(() => driver.openQueue(h.mm, h.ring.ring, 6, () => {})).toThrow(errno('ESRCH'));
    expect(driver.openQueues).toBe(0);
    h.end({ closed: true });
  });

  it('EBUSY: cannot go while queues are open', () => {
    const h = new BoardHarness();
    expect(() => h.board.shutdown()).toThrow(errno('EBUSY'));
    h.end();
  });

  it('unbinds the process if the device refuses its queue', () => {
    const h = new BoardHarness();
    const second = h.board.driver.openQueue(h.mm, h.ring.ring, 6, () => {});
    const enabled = h.board.left();
    h.board.accelerator.write32(4 * REGISTERS.ENABLE.word, 0); // it forgets all, the driver does not know
    expect(() => h.board.driver.closeQueue(second)).toThrow(errno('ETIMEDOUT'));
    expect(() => h.board.driver.openQueue(h.mm, h.ring.ring, 6, () => {})).toThrow(errno('ETIMEDOUT'));
    expect(h.board.left()).toEqual(enabled);
  });

  it('EAGAIN: a device that fetches no admin command has only so many places for more', () => {
    const h = new BoardHarness();
    h.board.accelerator.write32(4 * REGISTERS.ENABLE.word, 0);
    const open = () => h.board.driver.openQueue(h.mm, h.ring.ring, 6, () => {});
    const codes = new Set<string>();
    for (let tries = 0; tries < 70; tries += 1)
      try {
        open();
      } catch (error) {
        codes.add((error as { code: string }).code);
      }
    expect([...codes]).toEqual(['ETIMEDOUT', 'EAGAIN']);
  });

  it('says what the device says: a queue that is enabled already is EBUSY, one that is not is ENOENT', () => {
    const h = new BoardHarness();
    const { driver, sva } = h.board;
    const second = driver.openQueue(h.mm, h.ring.ring, 6, () => {});
    driver.closeQueue(second);
    vi.spyOn(sva, 'unbindDevice').mockImplementationOnce(() => {
      throw new Error('stuck'); // after the device has disabled the queue
    });
    const third = driver.openQueue(h.mm, h.ring.ring, 6, () => {});
    expect(() => driver.closeQueue(third)).toThrow('stuck');
    expect(() => driver.closeQueue(third)).toThrow(errno('ENOENT'));
    vi.restoreAllMocks();
    sva.unbindDevice(third.bond);
    h.end();
  });

  it('EIO: a device that cannot reach its admin rings', () => {
    const h = new BoardHarness();
    h.board.accelerator.pci.write(4, 2, 2); // no bus mastering
    expect(() => h.board.driver.closeQueue(h.queue)).toThrow(errno('EIO'));
  });

  it('gives everything back when bringing the device up fails, whichever allocation it is', () => {
    let failures = 0;
    for (let failing = 0; ; failing += 1) {
      const b = board();
      b.driver.remove();
      const before = b.left();
      const first = b.frames.allocations;
      b.frames.fail = (nth) => nth === first + failing;
      let failed = true;
      try {
        b.probeAccelerator();
        failed = false;
      } catch (error) {
        failures += 1;
        expect(error).toMatchObject({ code: 'ENOMEM' });
        expect(b.left()).toEqual(before);
      }
      b.frames.fail = null;
      if (!failed) break;
    }
    expect(failures).toBeGreaterThan(2);
  });
});

describe('JobRing', () => {
  it('ENXIO: the doorbell before the queue is open', () => {
    const h = new BoardHarness();
    const ring = new JobRing(h.mm, 4);
    expect(() => ring.ringDoorbell()).toThrow(errno('ENXIO'));
    ring.free();
    h.end();
  });

  it('goes around with the device', () => {
    const h = new BoardHarness({}, 2);
    const source = h.memory(4096);
    const target = h.memory(4096);
    for (let i = 0; i < 20; i += 1) {
      h.mm.writeBytes(source, Uint8Array.of(i));
      const job = h.copy({ source, destination: target, sourceBytes: 1 });
      expect(h.finish(job)).toMatchObject({ status: 'DONE', bytes: 1 });
      const byte = new Uint8Array(1);
      h.mm.readBytes(target, byte);
      expect(byte[0]).toBe(i);
    }
    h.end();
  });
});

describe('PciRoot', () => {
  const address = { segment: 0, bus: 0, device: 3, function: 1 };
  const make = (bytes = 0x1000) =>
    new PciFunction({
      ...address,
      vendorId: 1,
      deviceId: 2,
      classCode: 0,
      regions: [{ window: { name: 'r', size: bytes, read32: (offset) => offset, write32() {} } }],
      streamId: 0,
      upstream: { submit: () => DMA_OK },
    });
  const root = (apertureBytes = 0x4000) => new PciRoot({ segment: 0, apertureBase: 0x1000_0000, apertureBytes });

  it('finds what is plugged in, and answers ones where nothing is', () => {
    const r = root();
    r.plug(make());
    expect(() => r.plug(make())).toThrow(errno('EBUSY'));
    expect(r.scan().map(({ name }) => name)).toEqual(['0000:00:03.1']);
    const nobody = r.config({ ...address, device: 4 });
    expect([nobody.read(0, 4), nobody.read(0, 2), nobody.read(0, 1)]).toEqual([0xffff_ffff, 0xffff, 0xff]);
    nobody.write(4, 2, 6);
  });

  it('places regions at multiples of their size, until the aperture is full', () => {
    const r = root();
    const memory = new SystemMemory([{ base: 0x4000_0000, size: 2 ** 21 }]);
    r.connect(memory);
    r.plug(make(0x2000));
    const [device] = r.scan();
    expect([...r.assign(device!)]).toEqual([[0, 0x1000_0000]]);
    expect(memory.read32(0x1000_1004)).toBe(true);
    expect(memory.lo).toBe(0x1004);
    memory.write32(0x1000_1004, 0);
    expect(memory.read32(0x1000_3000)).toBe(true);
    expect(memory.lo).toBe(0xffff_ffff);
    memory.write32(0x1000_3000, 0);
    expect([...r.assign(device!)]).toEqual([[0, 0x1000_2000]]);
    expect(() => r.assign(device!)).toThrow(errno('ENOSPC'));
  });
});
