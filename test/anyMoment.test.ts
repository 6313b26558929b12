// The hardware looks whenever it likes: after every single store that anybody makes, an SMMU with empty caches translates
// for the streams that are in use. Whatever the driver is just doing, those must never notice.
import { Board } from '@smmu/machine';
import { InterruptLine, NO_SUBSTREAM, Scheduler } from '@smmu/platform';
import { SmmuV3Model } from '@smmu/smmu-v3-model';
import { describe, expect, it } from 'vitest';

const PAGE = 4096;

/** A board with a process that is bound and has a resident page, and a second SMMU that looks through its registers. */
function watched(granule: '4k' | '16k' | '64k') {
  const board = new Board({ memoryBytes: 2 ** 27, granule, engine: () => 0 });
  const mm = board.createProcess('victim');
  const area = mm.mmap({ bytes: 16 * PAGE, kind: 'anonymous', read: true, write: true });
  mm.writeBytes(area, Uint8Array.of(42));
  const { pasid } = board.sva.bindDevice(board.device, mm);
  const buffer = board.dma.allocCoherent(board.device, PAGE);

  const scheduler = new Scheduler();
  const line = (name: string) => new InterruptLine(scheduler, name);
  const interrupts = { eventq: line('e'), priq: line('p'), gerror: line('g'), cmdSync: line('c') };
  const cold = new SmmuV3Model({ memory: board.memory, scheduler, interrupts });
  const [sid] = board.device.streamIds;
  const streams: { who: string; ssid: number; address: number }[] = [
    { who: 'the process', ssid: pasid, address: area },
    { who: "the kernel's buffer", ssid: NO_SUBSTREAM, address: buffer.iova },
  ];

  const noticed: string[] = [];
  let looks = 0;
  const { memory } = board;
  const look = () => {
    memory.observer = null; // its own accesses are no news
    const { lo, hi } = memory;
    cold.restore(board.model.save());
    for (const { who, ssid, address } of streams) {
      const ok = cold.translator.translate(sid!, ssid, address >>> 0, Math.floor(address / 2 ** 32), 0);
      if (!ok) noticed.push(`after store ${looks}: ${who} met event 0x${cold.translator.fault.code.toString(16)}`);
    }
    looks += 1;
    memory.lo = lo; // a look has no effect on what the CPU just read
    memory.hi = hi;
    memory.observer = look;
  };
  /** Runs `body` under observation. Returns how often the hardware looked, and what it noticed. */
  const during = (body: () => void) => {
    looks = 0;
    noticed.length = 0;
    memory.observer = look;
    body();
    memory.observer = null;
    return { looks, noticed: noticed.slice(0, 5) };
  };
  return { board, mm, area, during };
}

it('would be noticed if it were wrong for one store', () => {
  const { board, mm, area, during } = watched('4k');
  const entry = mm.tables.entryAt(Number(area), false);
  board.memory.read64(entry);
  const { lo, hi } = board.memory;
  const { looks, noticed } = during(() => {
    board.memory.write64(entry, 0, 0);
    board.memory.write64(entry, lo, hi);
  });
  expect([looks, noticed]).toEqual([2, ['after store 0: the process met event 0x10']]);
});

describe.each(['4k', '16k', '64k'] as const)('between any two stores, with pages of %s,', (granule) => {
  it('others bind and unbind', () => {
    const { board, during } = watched(granule);
    const { looks, noticed } = during(() => {
      const bonds = Array.from({ length: 70 }, (_, i) =>
        board.sva.bindDevice(board.device, board.createProcess(`p${i}`)),
      );
      for (const bond of bonds) board.sva.unbindDevice(bond); // 70 PASIDs span two leaves of the CD table
    });
    expect(noticed).toEqual([]);
    expect(looks).toBeGreaterThan(1000);
  });

  it('a process that is bound exits', () => {
    const { board, during } = watched(granule);
    const other = board.createProcess('other');
    const va = other.mmap({ bytes: 64 * PAGE, kind: 'anonymous', read: true, write: true });
    other.writeBytes(va, new Uint8Array(64 * PAGE));
    const bond = board.sva.bindDevice(board.device, other);
    const { looks, noticed } = during(() => {
      other.exit();
      board.sva.unbindDevice(bond);
    });
    expect(noticed).toEqual([]);
    expect(looks).toBeGreaterThan(10);
  });

  it('the process maps, writes, protects, unmaps and is forked around its page', () => {
    const { mm, area, during } = watched(granule);
    const page = 2 ** mm.granuleShift;
    const { looks, noticed } = during(() => {
      const va = mm.mmap({ bytes: 40 * page, kind: 'anonymous', read: true, write: true });
      mm.writeBytes(va, new Uint8Array(40 * page).fill(1));
      mm.mprotect(va, 20 * page, { read: true, write: false });
      const child = mm.fork('child');
      mm.writeBytes(va + 30 * page, Uint8Array.of(2)); // copies
      child.exit();
      mm.munmap(va, 40 * page);
      mm.readBytes(area, new Uint8Array(1));
    });
    expect(noticed).toEqual([]);
    expect(looks).toBeGreaterThan(100);
  });

  it("the kernel's driver maps and unmaps in the same domain", () => {
    const { board, during } = watched(granule);
    const { looks, noticed } = during(() => {
      const buffers = Array.from({ length: 30 }, (_, i) => board.dma.allocCoherent(board.device, PAGE << (i % 5)));
      for (const buffer of buffers) board.dma.freeCoherent(board.device, buffer);
    });
    expect(noticed).toEqual([]);
    expect(looks).toBeGreaterThan(100);
  });

  it('another device appears, is bound and leaves', () => {
    const { board, mm, during } = watched(granule);
    const { looks, noticed } = during(() => {
      for (const streamId of [9, 300, 40_000]) {
        const device = {
          name: `d${streamId}`,
          bus: 'platform',
          streamIds: [streamId],
          pasidBits: 8,
          canStall: true,
        } as const;
        board.iommu.probeDevice(device);
        board.sva.deviceInit(device, { features: 1 });
        board.sva.unbindDevice(board.sva.bindDevice(device, mm));
        board.sva.deviceShutdown(device);
        board.iommu.releaseDevice(device);
      }
    });
    expect(noticed).toEqual([]);
    expect(looks).toBeGreaterThan(100);
  });
});
