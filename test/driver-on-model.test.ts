/** The SMMUv3 driver on the SMMUv3 model: they share no code, and meet in memory, registers and interrupts. */
import { Iommu } from '@smmu/iommu';
import { IommuPages } from '@smmu/iommu-pages';
import { DMA_ABORT, DMA_OK, DMA_PENDING, FrameAllocator, InterruptLine, Random, Registers } from '@smmu/platform';
import { SmmuV3 } from '@smmu/smmu-v3';
import { KUNPENG, LARGE, QEMU, SMALL } from '@smmu/smmu-v3-model';
import { describe, expect, it } from 'vitest';
import { DriverBoard, type DriverBoardOptions, NO_SUBSTREAM, NOTHING_LEFT } from './driverBoard.ts';

const READ_WRITE = 3;
const IOVA = 0x1_0000_0000;

/** A board with a process that is bound to a device. */
function bound(options: DriverBoardOptions = {}) {
  const board = new DriverBoard(options);
  const device = board.device(8);
  const mm = board.manager.createProcess('worker');
  const bond = board.sva.bindDevice(device, mm);
  return { board, device, mm, bond, pasid: bond.pasid };
}

describe('a DMA domain', () => {
  const VARIANTS: [name: string, options: DriverBoardOptions][] = [
    ['everything the model has', {}],
    ['the newest and largest', { features: LARGE }],
    ['the smallest: linear tables, no substreams, wires', { features: SMALL }],
    ['QEMU’s', { features: QEMU }],
    ['Kunpeng’s', { features: KUNPENG }],
    ['without MSI completion', { driver: { msiCompletion: false } }],
    ['an SMMU that does not snoop', { nonCoherent: true }],
    [
      'the same with linear tables',
      { nonCoherent: true, features: { twoLevelStreamTable: false, sidBits: 6, twoLevelCdTable: false, ssidBits: 6 } },
    ],
    ['EL2-E2H streams', { driver: { e2h: true } }],
    ['stage 2', { driver: { pagingStage: 2 } }],
    ['stage 2 of 52 bits', { features: LARGE, driver: { pagingStage: 2 } }],
    ['stage 2 of 52 bits with 16 KiB pages', { features: LARGE, granuleShift: 14, driver: { pagingStage: 2 } }],
    ['stage 2 of 52 bits with 64 KiB pages', { features: LARGE, granuleShift: 16, driver: { pagingStage: 2 } }],
    ['52 bits with 64 KiB pages', { features: LARGE, granuleShift: 16 }],
    ['16 KiB pages', { granuleShift: 14 }],
    ['64 KiB pages', { granuleShift: 16 }],
    ['queues of two entries', { driver: { cmdqEntriesLog2: 1, evtqEntriesLog2: 1 } }],
    ['no range invalidation', { features: { rangeInv: false } }],
  ];
  it.each(VARIANTS)('translates, and no longer once unmapped: %s', (_name, options) => {
    const board = new DriverBoard(options);
    const device = board.device(8, { pasidBits: 0, canStall: false });
    const { iommu, page } = board;
    const domain = iommu.domainOf(device);
    const pa = board.frames.alloc(8) * 4096;
    for (const at of [0, 5 * page]) {
      iommu.map(domain, IOVA + at, pa + at, page, READ_WRITE);
      expect(board.write(device, NO_SUBSTREAM, IOVA + at + 3, 42)).toBe(DMA_OK);
      const out = new Uint8Array(1);
      board.deviceMemory.readBytes(pa + at + 3, out, 0, 1);
      expect(out[0]).toBe(42);
    }
    expect(board.events).toEqual({});
    expect(iommu.unmap(domain, IOVA, page)).toBe(page);
    expect(board.write(device, NO_SUBSTREAM, IOVA + 3, 42)).toBe(DMA_ABORT);
    expect(board.write(device, NO_SUBSTREAM, IOVA + 5 * page, 42)).toBe(DMA_OK);
    board.scheduler.run();
    expect(board.events).toEqual({ F_TRANSLATION: 1 });
    expect(board.lines.join('\n')).toMatch(
      /event: F_TRANSLATION client: 0000:00:1.0 sid: 0x8 ssid: 0x0 iova: 0x100000003 ipa: 0x/,
    );
    expect(board.lines.join('\n')).not.toMatch(/CMDQ/);
    iommu.unmap(domain, IOVA + 5 * page, page);
    board.smmu.remove();
    expect(board.pages.livePages).toBe(0);
  });
  it('a block, replaced by pages and back', () => {
    const board = new DriverBoard();
    const device = board.device(8);
    const domain = board.iommu.domainOf(device);
    const big = 2 ** 21;
    const pa = board.frames.alloc(9) * 4096;
    for (let round = 0; round < 3; round++) {
      board.iommu.map(domain, IOVA, pa, big, READ_WRITE);
      expect(board.write(device, NO_SUBSTREAM, IOVA + big - 1, 1)).toBe(DMA_OK);
      board.iommu.unmap(domain, IOVA, big);
      board.iommu.map(domain, IOVA, pa + 4096, 4096, READ_WRITE);
      expect(board.write(device, NO_SUBSTREAM, IOVA, round)).toBe(DMA_OK);
      expect(board.write(device, NO_SUBSTREAM, IOVA + 4096, round)).toBe(DMA_ABORT);
      board.iommu.unmap(domain, IOVA, 4096);
    }
  });
  it('identity passes, blocked aborts without a word', () => {
    const board = new DriverBoard();
    const device = board.device(8);
    const pa = board.frames.alloc(0) * 4096;
    board.smmu.identityDomain.attachDevice(device);
    expect(board.write(device, NO_SUBSTREAM, pa, 9)).toBe(DMA_OK);
    board.smmu.blockedDomain.attachDevice(device);
    expect(board.write(device, NO_SUBSTREAM, pa, 9)).toBe(DMA_ABORT);
    board.scheduler.run();
    expect(board.events).toEqual({});
  });
  it('a stream that nobody knows aborts without a word; one beyond the table is recorded', () => {
    const board = new DriverBoard();
    const device = board.device(8);
    expect(board.submit(9, NO_SUBSTREAM, 0, new Uint8Array(1), false).status).toBe(DMA_ABORT);
    board.scheduler.run();
    expect(board.events).toEqual({});
    board.submit(0x1_0000, NO_SUBSTREAM, 0, new Uint8Array(1), false);
    board.scheduler.run();
    expect(board.events).toEqual({ C_BAD_STREAMID: 1 });
    expect(board.iommu.domainOf(device).type).toBe('dma');
  });
});

describe('SVA', () => {
  describe.each([
    ['4 KiB', { granuleShift: 12 }],
    ['16 KiB', { granuleShift: 14 }],
    ['64 KiB', { granuleShift: 16 }],
    ['Kunpeng', { features: KUNPENG }],
    ['EL2-E2H', { driver: { e2h: true } }],
    ['hardware access flag', { features: { httu: 1 } }],
    ['hardware dirty state', { features: { httu: 2 } }],
    ['64 KiB CD leaves', { driver: { cdtabLeaf: '64k' } }],
    ['linear CD table', { features: { ssidBits: 5 } }],
    ['small queues', { driver: { cmdqEntriesLog2: 1, evtqEntriesLog2: 1 } }],
    ['stalls forced', { features: { stallModel: 2 } }],
  ] as [string, DriverBoardOptions][])('%s', (_name, options) => {
    it('a device works on the process’s own memory, which comes as it is touched', () => {
      const { board, device, mm, bond, pasid } = bound(options);
      const va = board.area(mm, 8);
      mm.writeBytes(va + 2 * board.page, Uint8Array.of(7));
      expect(board.read(device, pasid, va + 2 * board.page)).toEqual({ status: DMA_OK, byte: 7 });
      expect(board.write(device, pasid, va + 5 * board.page + 1, 99)).toBe(DMA_OK);
      expect(board.peek(mm, va + 5 * board.page + 1)).toBe(99);
      expect(board.sva.faults.resolved).toBeGreaterThan(0);
      expect(board.lines.join('\n')).not.toMatch(/event|CMDQ/);
      board.sva.unbindDevice(bond);
      mm.exit();
      board.sva.deviceShutdown(device);
      board.smmu.remove();
      expect(board.left).toEqual(NOTHING_LEFT);
      expect(board.pages.livePages).toBe(0);
    });
    it('what is unmapped or protected is so for the device at once', () => {
      const { board, device, mm, pasid } = bound(options);
      const va = board.area(mm, 4);
      expect(board.write(device, pasid, va, 1)).toBe(DMA_OK);
      mm.mprotect(va, board.page, { read: true, write: false });
      expect(board.read(device, pasid, va).status).toBe(DMA_OK);
      expect(board.write(device, pasid, va, 2)).toBe(DMA_ABORT);
      mm.mprotect(va, board.page, { read: true, write: true });
      expect(board.write(device, pasid, va, 3)).toBe(DMA_OK);
      mm.munmap(va, board.page);
      expect(board.read(device, pasid, va).status).toBe(DMA_ABORT);
      expect(board.left.stalled).toBe(0);
    });
  });

  it('pages that are reclaimed under the device come back', () => {
    const { board, device, mm, pasid } = bound();
    const contents = new Map<number, Uint8Array>();
    const file = {
      name: 'data',
      size: 64 * 4096,
      readPage: (offset: number, target: Uint8Array) =>
        target.set(contents.get(offset) ?? new Uint8Array(target.length)),
      writePage: (offset: number, source: Uint8Array) => void contents.set(offset, source.slice()),
    };
    const va = mm.mmap({ bytes: 64 * 4096, kind: 'shared', file, read: true, write: true });
    for (let round = 1; round <= 4; round++)
      for (let i = 0; i < 64; i++) {
        expect(board.write(device, pasid, va + i * 4096, round * 64 + (i % 64))).toBe(DMA_OK);
        if (i % 5 === 0) board.manager.reclaim(3);
      }
    for (let i = 0; i < 64; i++) expect(board.read(device, pasid, va + i * 4096).byte).toBe((4 * 64 + i) % 256);
    expect(board.manager.counters.pagesRead).toBeGreaterThan(64);
  });

  it('the kernel’s traffic and several processes go on beside each other', () => {
    const board = new DriverBoard();
    const device = board.device(8);
    const domain = board.iommu.domainOf(device);
    board.iommu.map(domain, IOVA, board.frames.alloc(0) * 4096, 4096, READ_WRITE);
    const workers = Array.from({ length: 70 }, (_, i) => {
      const mm = board.manager.createProcess(`p${i}`);
      const va = board.area(mm, 1);
      mm.writeBytes(va, Uint8Array.of(i));
      return { mm, va, bond: board.sva.bindDevice(device, mm) };
    });
    for (const [i, { va, bond }] of workers.entries())
      expect(board.read(device, bond.pasid, va)).toEqual({ status: DMA_OK, byte: i });
    expect(board.write(device, NO_SUBSTREAM, IOVA, 1)).toBe(DMA_OK);
    for (const { bond } of workers) board.sva.unbindDevice(bond);
    for (const { va, bond } of workers) expect(board.read(device, bond.pasid, va).status).toBe(DMA_ABORT);
    board.scheduler.run();
    expect(board.events).toEqual({ C_BAD_CD: 70 });
    for (const { mm } of workers) mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });

  it('an unbound PASID used again means its new process and nothing of the old', () => {
    const board = new DriverBoard();
    const device = board.device(8);
    for (let i = 0; i < 20; i++) {
      const mm = board.manager.createProcess(`p${i}`);
      const va = board.area(mm, 1);
      mm.writeBytes(va, Uint8Array.of(i));
      const bond = board.sva.bindDevice(device, mm);
      expect(bond.pasid).toBe(1);
      expect(board.read(device, 1, va)).toEqual({ status: DMA_OK, byte: i });
      board.sva.unbindDevice(bond);
      mm.exit();
    }
  });

  it.each([
    [
      'a guard area',
      (board: DriverBoard, mm: ReturnType<typeof bound>['mm']) =>
        mm.mmap({ bytes: board.page, kind: 'guard', read: false, write: false }),
      false,
    ],
    ['an address of nobody', () => 0x10_0000, false],
    [
      'a read-only area, written',
      (board: DriverBoard, mm: ReturnType<typeof bound>['mm']) => board.area(mm, 1, false),
      true,
    ],
    ['the upper half', () => 2 ** 47 * 2 + 4096, false],
  ] as const)('a wild access aborts: %s', (_name, place, write) => {
    const { board, device, mm, pasid } = bound();
    const status = board.dma(device, pasid, place(board, mm), new Uint8Array(8), write);
    expect(status).toBe(DMA_ABORT);
    expect(board.left).toMatchObject({ stalled: 0, faults: 0 });
  });

  it('an unknown PASID aborts at once and is told', () => {
    const { board, device } = bound();
    expect(board.read(device, 500, 0x1000).status).toBe(DMA_ABORT);
    expect(board.read(device, 65_536 + 3, 0x1000).status).toBe(DMA_ABORT);
    board.scheduler.run();
    expect(board.lines.join('\n')).toMatch(/C_BAD_SUBSTREAMID client: 0000:00:1.0 sid: 0x8/);
  });

  it('process exit under traffic: silent aborts until the device is unbound, and nothing is left', () => {
    const { board, device, mm, bond, pasid } = bound();
    const va = board.area(mm, 64);
    expect(board.write(device, pasid, va, 1)).toBe(DMA_OK);
    const stalled = Array.from({ length: 40 }, (_, i) =>
      board.submit(8, pasid, va + (i + 1) * 4096, new Uint8Array(1), true),
    );
    expect(stalled.every(({ status }) => status === DMA_PENDING)).toBe(true);
    const before = board.events;
    mm.exit();
    expect(board.write(device, pasid, va, 1)).toBe(DMA_ABORT);
    board.scheduler.run();
    expect(stalled.every(({ status }) => status === DMA_ABORT)).toBe(true);
    for (let i = 0; i < 10; i++) expect(board.read(device, pasid, va).status).toBe(DMA_ABORT);
    board.scheduler.run();
    expect(board.events).toEqual(before); // not one more
    board.sva.unbindDevice(bond);
    expect(board.left).toEqual(NOTHING_LEFT);
    expect(() => board.sva.bindDevice(device, mm)).toThrow(expect.objectContaining({ code: 'ESRCH' }));
  });

  describe.each([1, 2, 3])('seed %i', (seed) => {
    it('unbinding while 4,096 transactions stall and the event queue is full ends them all', () => {
      const { board, mm, bond, pasid } = bound({ seed, driver: { evtqEntriesLog2: 4 } });
      const va = board.area(mm, 4096);
      const requests = Array.from({ length: 4096 }, (_, i) =>
        board.submit(8, pasid, va + i * 4096, new Uint8Array(1), true),
      );
      expect(board.model.stats.waiting).toBe(4096 - 16);
      for (let i = 0; i < seed * 500; i++) board.scheduler.step();
      board.sva.unbindDevice(bond);
      expect(board.left).toMatchObject({ stalled: 0, faults: 0, pasids: 0 });
      board.scheduler.run();
      for (const { status } of requests) expect([DMA_OK, DMA_ABORT]).toContain(status);
      expect(requests.filter(({ status }) => status === DMA_ABORT).length).toBeGreaterThan(0);
      mm.exit();
      expect(board.left).toEqual(NOTHING_LEFT);
    });
    it('without unbinding all 4,096 are served through sixteen places', () => {
      const { board, mm, pasid } = bound({ seed, driver: { evtqEntriesLog2: 4 } });
      const va = board.area(mm, 4096);
      const requests = Array.from({ length: 4096 }, (_, i) =>
        board.submit(8, pasid, va + i * 4096, Uint8Array.of(i), true),
      );
      board.scheduler.run();
      expect(requests.every(({ status }) => status === DMA_OK)).toBe(true);
      expect(board.peek(mm, va + 77 * 4096)).toBe(77);
      expect(board.left).toMatchObject({ stalled: 0, faults: 0 });
    });
    it('a device that is released while its transactions stall has none left', () => {
      const { board, device, mm, bond, pasid } = bound({ seed });
      const domain = board.iommu.domainOf(device);
      const va = board.area(mm, 50);
      const process = Array.from({ length: 50 }, (_, i) =>
        board.submit(8, pasid, va + i * 4096, new Uint8Array(1), true),
      );
      const kernel = Array.from({ length: 20 }, (_, i) =>
        board.submit(8, NO_SUBSTREAM, IOVA + i * 4096, new Uint8Array(1), true),
      );
      expect(domain.type).toBe('dma');
      board.sva.unbindDevice(bond);
      board.sva.deviceShutdown(device);
      board.iommu.releaseDevice(device);
      expect(board.left).toMatchObject({ stalled: 0, faults: 0, pasids: 0, pinnedAsids: 0 });
      board.scheduler.run();
      expect([...process, ...kernel].every(({ status }) => status !== DMA_PENDING)).toBe(true);
      expect(kernel.every(({ status }) => status === DMA_ABORT)).toBe(true);
    });
  });

  it('faults of another process are not touched by an unbind', () => {
    const { board, device, mm, bond, pasid } = bound();
    const other = board.manager.createProcess('other');
    const second = board.sva.bindDevice(device, other);
    const [mine, theirs] = [board.area(mm, 8), board.area(other, 8)];
    const requests = Array.from({ length: 8 }, (_, i) => [
      board.submit(8, pasid, mine + i * 4096, Uint8Array.of(i), true),
      board.submit(8, second.pasid, theirs + i * 4096, Uint8Array.of(i), true),
    ]);
    board.sva.unbindDevice(bond);
    board.scheduler.run();
    expect(requests.map(([, request]) => request!.status)).toEqual(Array(8).fill(DMA_OK));
    expect(board.peek(other, theirs + 7 * 4096)).toBe(7);
  });

  it('a domain that gives its ASID to a process goes on without a missing beat', () => {
    const board = new DriverBoard({ asidBits: 8, features: { asid16: false } });
    const device = board.device(8, { pasidBits: 8 });
    const other = board.device(16);
    const domain = board.iommu.domainOf(device);
    board.iommu.map(domain, IOVA, board.frames.alloc(0) * 4096, 4096, READ_WRITE);
    expect(board.write(device, NO_SUBSTREAM, IOVA, 1)).toBe(DMA_OK);
    const { memory } = board;
    let looks = 0;
    const look = () => {
      memory.observer = null;
      looks += 1;
      expect(board.submit(8, NO_SUBSTREAM, IOVA, Uint8Array.of(2), true).status).not.toBe(DMA_ABORT);
      memory.observer = look;
    };
    // The CPUs count up from 1, private ASIDs down from 255: processes run until the next ones have a domain's number.
    for (let i = 0; i < 252; i++) board.manager.asids.checkAndSwitch(board.manager.createProcess(`ran ${i}`), 0);
    const moved: number[] = [];
    const bonds = [253, 254, 255].map((asid) => {
      const mm = board.manager.createProcess('worker');
      memory.observer = look;
      const bond = board.sva.bindDevice(other, mm);
      memory.observer = null;
      moved.push(mm.context.asid);
      // Under the domain's old number nothing of the domain may be left: the process has its own memory there.
      mm.mmap({ bytes: board.page, address: IOVA, kind: 'anonymous', read: true, write: true });
      mm.writeBytes(IOVA, Uint8Array.of(asid));
      expect(board.read(other, bond.pasid, IOVA)).toEqual({ status: DMA_OK, byte: asid });
      expect(board.write(device, NO_SUBSTREAM, IOVA, 1)).toBe(DMA_OK);
      return bond;
    });
    expect(moved).toEqual([253, 254, 255]);
    expect(looks).toBeGreaterThan(10);
    expect(board.smmu.asids.used).toBe(5);
    board.scheduler.run();
    expect(board.write(device, NO_SUBSTREAM, IOVA, 3)).toBe(DMA_OK);
    board.iommu.unmap(domain, IOVA, 4096);
    expect(board.write(device, NO_SUBSTREAM, IOVA, 3)).toBe(DMA_ABORT);
    for (const bond of bonds) board.sva.unbindDevice(bond);
    expect(board.left).toEqual(NOTHING_LEFT);
  });

  it('wherever memory runs out while a process is bound, all is as before', () => {
    for (let nth = 0; ; nth++) {
      const board = new DriverBoard();
      const device = board.device(8);
      const mm = board.manager.createProcess('worker');
      const va = board.area(mm, 1);
      mm.writeBytes(va, Uint8Array.of(7));
      const tables = board.pages.livePages;
      const asids = board.smmu.asids.used;
      const { allocations } = board.pages;
      board.pages.fail = (n) => n >= allocations + nth;
      let bond: ReturnType<typeof board.sva.bindDevice> | undefined;
      try {
        bond = board.sva.bindDevice(device, mm, { onExit: () => {} });
      } catch (error) {
        expect(error).toEqual(expect.objectContaining({ code: 'ENOMEM' }));
        expect(board.left).toEqual(NOTHING_LEFT);
        expect([board.pages.livePages, board.smmu.asids.used]).toEqual([tables, asids]);
      }
      board.pages.fail = null;
      const failed = bond === undefined;
      bond ??= board.sva.bindDevice(device, mm);
      expect(board.read(device, bond.pasid, va)).toEqual({ status: DMA_OK, byte: 7 });
      if (!failed) break;
    }
  });
});

/** What a device must find is known from a shadow of every page; what it finds instead, late invalidation would show. */
describe('a long run of everything at random', () => {
  it.each([
    [1, {}],
    [2, { granuleShift: 14 }],
    [3, { features: KUNPENG }],
    [4, { features: { httu: 2, rangeInv: false } }],
    [5, { driver: { cmdqEntriesLog2: 2, evtqEntriesLog2: 2, msiCompletion: false } }],
    [6, { asidBits: 8, features: { asid16: false } }],
    [7, { driver: { e2h: true, cdtabLeaf: '64k' } }],
  ] as [number, DriverBoardOptions][])('seed %i', (seed, options) => {
    const board = new DriverBoard({ ...options, seed });
    const random = new Random(seed);
    const { page } = board;
    const devices = [board.device(8), board.device(16), board.device(300)];
    interface Worker {
      mm: ReturnType<typeof bound>['mm'];
      va: number;
      pages: Map<number, number>; // page index to its first byte; absent: unmapped
      readOnly: Set<number>;
      bonds: Map<(typeof devices)[number], ReturnType<typeof bound>['bond']>;
    }
    const workers: Worker[] = [];
    const buffers = new Map<(typeof devices)[number], Map<number, number>>();
    for (const device of devices) buffers.set(device, new Map());
    const frames: number[] = Array.from({ length: 8 }, () => board.frames.alloc(Math.log2(page / 4096)) * 4096);
    const pick = <T>(list: readonly T[]): T => list[random.below(list.length)]!;
    const exit = (worker: Worker) => {
      for (const bond of worker.bonds.values()) board.sva.unbindDevice(bond);
      worker.mm.exit();
      workers.splice(workers.indexOf(worker), 1);
    };
    for (let step = 0; step < 3000; step++) {
      const what = random.below(100);
      if (workers.length === 0 || (what < 4 && workers.length < 12)) {
        const mm = board.manager.createProcess(`w${step}`);
        const va = board.area(mm, 16);
        workers.push({
          mm,
          va,
          pages: new Map(Array.from({ length: 16 }, (_, i) => [i, 0])),
          readOnly: new Set(),
          bonds: new Map(),
        });
        continue;
      }
      const worker = pick(workers);
      const device = pick(devices);
      const index = random.below(16);
      const at = worker.va + index * page;
      const bond = worker.bonds.get(device);
      if (what < 6) exit(worker);
      else if (what < 12 && bond === undefined) worker.bonds.set(device, board.sva.bindDevice(device, worker.mm));
      else if (what < 15 && bond !== undefined) {
        board.sva.unbindDevice(bond);
        worker.bonds.delete(device);
      } else if (what < 20) {
        worker.mm.munmap(at, page);
        worker.pages.delete(index);
        worker.readOnly.delete(index);
      } else if (what < 25 && worker.pages.has(index)) {
        const write = random.below(2) === 0;
        worker.mm.mprotect(at, page, { read: true, write });
        if (write) worker.readOnly.delete(index);
        else worker.readOnly.add(index);
      } else if (what < 30 && !worker.pages.has(index)) {
        worker.mm.mmap({ bytes: page, address: at, kind: 'anonymous', read: true, write: true });
        worker.pages.set(index, 0);
      } else if (what < 40 && worker.pages.has(index) && !worker.readOnly.has(index)) {
        worker.mm.writeBytes(at, Uint8Array.of(step));
        worker.pages.set(index, step & 255);
      } else if (what < 50) {
        const domain = board.iommu.domainOf(device);
        const map = buffers.get(device)!;
        const iova = IOVA + index * page;
        if (map.has(index)) {
          board.iommu.unmap(domain, iova, page);
          map.delete(index);
          expect(board.write(device, NO_SUBSTREAM, iova, 1)).toBe(DMA_ABORT);
        } else {
          const pa = pick(frames);
          board.iommu.map(domain, iova, pa, page, READ_WRITE);
          map.set(index, pa);
          expect(board.write(device, NO_SUBSTREAM, iova, step)).toBe(DMA_OK);
          board.memory.read32(pa);
          expect(board.memory.lo & 255).toBe(step & 255);
        }
      } else if (bond !== undefined) {
        const known = worker.pages.get(index);
        if (what < 75) {
          const expected = known === undefined ? { status: DMA_ABORT } : { status: DMA_OK, byte: known };
          expect(board.read(device, bond.pasid, at), `step ${step}`).toMatchObject(expected);
        } else {
          const allowed = known !== undefined && !worker.readOnly.has(index);
          expect(board.write(device, bond.pasid, at, step), `step ${step}`).toBe(allowed ? DMA_OK : DMA_ABORT);
          if (allowed) worker.pages.set(index, step & 255);
        }
      }
    }
    for (const worker of [...workers]) exit(worker);
    for (const [device, map] of buffers)
      for (const index of map.keys()) board.iommu.unmap(board.iommu.domainOf(device), IOVA + index * page, page);
    for (const device of devices) board.sva.deviceShutdown(device);
    board.smmu.remove();
    expect(board.left).toEqual(NOTHING_LEFT);
    expect(board.pages.livePages).toBe(0);
    expect(board.lines.join('\n')).not.toMatch(/CMDQ|EVTQ/);
  });
});

describe('command errors on the model', () => {
  it('a command that the SMMU refuses is skipped, and the work around it goes on', () => {
    const { board, device, mm, pasid } = bound();
    const va = board.area(mm, 2);
    expect(board.write(device, pasid, va, 1)).toBe(DMA_OK);
    const { cmdq } = board.smmu;
    const at = cmdq.next();
    cmdq.words.set([0xee, 0xdead_beef, 0x89ab_cdef, 0x0123_4567], at);
    mm.munmap(va, board.page); // waits behind the bad command
    expect(board.lines.slice(-5)).toEqual([
      'arm-smmu-v3 arm-smmu-v3.0.auto: unexpected global error reported (0x00000001), this could be serious',
      expect.stringMatching(/CMDQ error \(cons 0x01[0-9a-f]{6}\): Illegal command/),
      'arm-smmu-v3 arm-smmu-v3.0.auto: skipping command in error state:',
      'arm-smmu-v3 arm-smmu-v3.0.auto: \t0xdeadbeef000000ee',
      'arm-smmu-v3 arm-smmu-v3.0.auto: \t0x0123456789abcdef',
    ]);
    expect(board.read(device, pasid, va).status).toBe(DMA_ABORT);
  });
  it('an SMMU that was left running by somebody else is taken over', () => {
    const board = new DriverBoard();
    const device = board.device(8);
    const before = board.frames.alloc(0) * 4096;
    board.iommu.map(board.iommu.domainOf(device), 0x1000, before, 4096, READ_WRITE);
    expect(board.submit(8, NO_SUBSTREAM, 0x1000, Uint8Array.of(1), true).status).toBe(DMA_OK);

    // A crash: nobody takes anything down, and a new kernel, with memory of its own, finds the SMMU on.
    const { memory, scheduler, smmu } = board;
    const frames = new FrameAllocator(board.frames.alloc(12) * 4096, 2 ** 24);
    const interrupts = {
      eventq: new InterruptLine(scheduler, 'eventq'),
      priq: new InterruptLine(scheduler, 'priq'),
      gerror: new InterruptLine(scheduler, 'gerror'),
    };
    const iommu = new Iommu();
    const pages = new IommuPages({ memory, frames: [frames] });
    const registers = new Registers(memory, 0x0905_0000);
    const again = SmmuV3.probe({ name: 'after', memory, registers, pages, scheduler, interrupts, iommu });
    expect(again.features).toEqual(smmu.features);
    expect(board.submit(8, NO_SUBSTREAM, 0x1000, Uint8Array.of(2), true).status).toBe(DMA_ABORT); // the old tables count no more
    iommu.probeDevice(device);
    const after = frames.alloc(0) * 4096;
    iommu.map(iommu.domainOf(device), 0x1000, after, 4096, READ_WRITE);
    expect(board.submit(8, NO_SUBSTREAM, 0x1000, Uint8Array.of(3), true).status).toBe(DMA_OK);
    const bytes = new Uint8Array(1);
    memory.readBytes(before, bytes, 0, 1);
    expect(bytes[0]).toBe(1);
    memory.readBytes(after, bytes, 0, 1);
    expect(bytes[0]).toBe(3);
    iommu.releaseDevice(device);
    again.remove();
    frames.free(after / 4096);
    expect(pages.livePages).toBe(0);
  });
});
