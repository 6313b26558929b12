/**
 * A PCIe endpoint with a translation cache and page requests behind the SMMUv3 model, under the SMMUv3 driver. The three
 * share no code: they meet in configuration space, in memory and registers, and in the messages of ATS and PRI.
 */
import type { Device } from '@smmu/iommu';
import { AtsDma, type AtsDmaOptions, PciDevice, PciFunction, type PciFunctionOptions } from '@smmu/pci-ats';
import { DMA_ABORT, DMA_OK, DMA_PENDING, type DmaPort, DmaRequest, Random } from '@smmu/platform';
import { SVA_IOPF } from '@smmu/sva-core';
import { describe, expect, it } from 'vitest';
import { DriverBoard, type DriverBoardOptions, NO_SUBSTREAM, NOTHING_LEFT, RAM } from './driverBoard.ts';

const READ = 1;
const READ_WRITE = 3;
const IOVA = 0x1_0000_0000;
const SID = 8;

interface Options extends DriverBoardOptions {
  readonly pci?: Partial<PciFunctionOptions>;
  readonly port?: Partial<AtsDmaOptions>;
}

/** An endpoint with ATS and PRI, and the board that it is plugged into. */
class AtsBoard extends DriverBoard {
  readonly hardware: PciFunction;
  readonly pci: PciDevice;
  readonly port: AtsDma;
  readonly endpoint: Device;

  constructor(options: Options = {}) {
    super({ ...options, features: { ats: true, pri: true, ...options.features } });
    const address = { segment: 0, bus: 0, device: SID >> 3, function: SID & 7 };
    this.hardware = new PciFunction({
      ...{ ...address, vendorId: 1, deviceId: 2, classCode: 0x12_0000, streamId: SID, upstream: this.model },
      ...{ pasid: { bits: 16 }, ats: { queueDepth: 32 }, pri: { maxRequests: 64 } },
      ...options.pci,
    });
    const { scheduler } = this;
    this.port = new AtsDma({ function: this.hardware, ats: this.model, scheduler, ...options.port });
    this.model.connect(SID, this.port);
    this.pci = new PciDevice(this.hardware, address);
    this.pci.setMaster();
    const name = this.pci.name;
    this.endpoint = { name, bus: 'pci', streamIds: [SID], pasidBits: 16, canStall: false, pci: this.pci };
    this.iommu.probeDevice(this.endpoint);
  }

  request(pasid: number, address: number, data: Uint8Array, write: boolean): DmaRequest {
    const request = new DmaRequest(data);
    Object.assign(request, { substreamId: pasid, addressLo: address >>> 0, write, length: data.length });
    request.addressHi = Math.floor(address / 2 ** 32);
    return request;
  }

  /** Carries out a transaction of the endpoint, however long it takes. */
  run(pasid: number, address: number, data: Uint8Array, write: boolean): number {
    const request = this.request(pasid, address, data, write);
    if (this.port.submit(request) === DMA_PENDING) this.scheduler.run(() => request.status !== DMA_PENDING);
    return request.status;
  }

  put(pasid: number, address: number, ...bytes: number[]): number {
    return this.run(pasid, address, Uint8Array.from(bytes), true);
  }

  get(pasid: number, address: number): { status: number; byte: number } {
    const data = new Uint8Array(1);
    return { status: this.run(pasid, address, data, false), byte: data[0]! };
  }

  /** Makes the endpoint share processes. */
  share(): void {
    this.sva.deviceInit(this.endpoint, { features: SVA_IOPF });
  }
}

/** A board with a process that is bound to the endpoint. */
function bound(options: Options = {}) {
  const board = new AtsBoard(options);
  board.share();
  const mm = board.manager.createProcess('worker');
  const bond = board.sva.bindDevice(board.endpoint, mm);
  return { board, mm, bond, pasid: bond.pasid };
}

describe('a DMA domain', () => {
  it.each([
    ['4 KiB pages', {}],
    ['16 KiB pages', { granuleShift: 14 }],
    ['64 KiB pages', { granuleShift: 16 }],
    ['stage 2', { driver: { pagingStage: 2 } }],
    ['invalidations that take effect late', { features: { lateInvalidation: true } }],
    ['translations that take their time', { port: { translationNs: 700 } }],
  ] as const)('is read through the cache, until it is unmapped: %s', (_, options) => {
    const board = new AtsBoard(options as Options);
    const { iommu, page, port } = board;
    const domain = iommu.domainOf(board.endpoint);
    expect(board.pci.atsEnabled).toBe(true);
    const pa = board.frames.alloc(6) * 4096;
    iommu.map(domain, IOVA, pa, page, READ_WRITE);
    expect(board.put(NO_SUBSTREAM, IOVA + 3, 42)).toBe(DMA_OK);
    expect(board.get(NO_SUBSTREAM, IOVA + 3)).toEqual({ status: DMA_OK, byte: 42 });
    expect(port.stats).toMatchObject({ hits: 1, misses: 1, untranslated: 0 });
    iommu.unmap(domain, IOVA, page);
    expect(port.atc.store.count).toBe(0);
    expect(board.get(NO_SUBSTREAM, IOVA + 3).status).toBe(DMA_ABORT);
    board.scheduler.run();
    expect(board.events).toEqual({}); // an endpoint that asks first does no wrong
    board.smmu.remove();
  });

  it('a block is one translation', () => {
    const board = new AtsBoard();
    const domain = board.iommu.domainOf(board.endpoint);
    const pa = board.frames.alloc(9) * 4096;
    board.iommu.map(domain, IOVA, pa, 2 ** 21, READ_WRITE);
    for (let at = 0; at < 2 ** 21; at += 2 ** 16) expect(board.put(NO_SUBSTREAM, IOVA + at, 1)).toBe(DMA_OK);
    expect(board.port.atc.stats.fills).toBe(1);
    board.iommu.unmap(domain, IOVA, 2 ** 21);
    expect(board.get(NO_SUBSTREAM, IOVA + 2 ** 20).status).toBe(DMA_ABORT);
  });

  it('a page to read is not written', () => {
    const board = new AtsBoard();
    const domain = board.iommu.domainOf(board.endpoint);
    board.iommu.map(domain, IOVA, board.frames.alloc(0) * 4096, 4096, READ);
    expect(board.get(NO_SUBSTREAM, IOVA).status).toBe(DMA_OK);
    expect(board.put(NO_SUBSTREAM, IOVA, 1)).toBe(DMA_ABORT);
    expect(board.get(NO_SUBSTREAM, IOVA).status).toBe(DMA_OK);
    expect(board.events).toEqual({});
  });

  it('an endpoint without ATS enabled is forbidden what it calls translated', () => {
    const board = new AtsBoard();
    const request = board.request(NO_SUBSTREAM, 0x8000_0000, new Uint8Array(4), true);
    request.translated = true;
    board.pci.disableAts();
    expect(board.port.submit(request)).toBe(DMA_ABORT);
    expect(board.hardware.refused).toBe(1);
  });
});

describe('a shared process', () => {
  it.each([
    ['4 KiB pages', {}],
    ['16 KiB pages', { granuleShift: 14 }],
    ['64 KiB pages', { granuleShift: 16 }],
    ['translations that take their time', { port: { translationNs: 700 } }],
    ['a tiny cache', { port: { entries: 8 } }],
  ] as const)('gets its pages by page requests: %s', (_, options) => {
    const { board, mm, bond, pasid } = bound(options as Options);
    const area = board.area(mm, 20);
    for (let n = 0; n < 20; n += 1) {
      expect(board.put(pasid, area + n * board.page + 7, n)).toBe(DMA_OK);
      expect(board.peek(mm, area + n * board.page + 7)).toBe(n);
    }
    for (let n = 0; n < 20; n += 1) expect(board.get(pasid, area + n * board.page + 7).byte).toBe(n);
    expect(board.port.stats).toMatchObject({ pageFaults: 20, aborted: 0, untranslated: 0 });
    expect(board.port.pages!.stats).toMatchObject({ success: 20, unexpected: 0, failure: 0 });
    expect(board.events).toEqual({});
    board.sva.unbindDevice(bond);
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });

  it('refuses what is not its own', () => {
    const { board, mm, pasid } = bound();
    const area = board.area(mm, 1, false);
    expect(board.get(pasid, area).status).toBe(DMA_OK);
    expect(board.put(pasid, area, 1)).toBe(DMA_ABORT);
    expect(board.get(pasid, 0x1000).status).toBe(DMA_ABORT);
    expect(board.port.pages!.stats).toMatchObject({ invalid: 2, failure: 0 });
  });

  it('takes a page away: the endpoint asks anew', () => {
    const { board, mm, pasid } = bound();
    const area = board.area(mm, 4);
    board.put(pasid, area, 1);
    mm.munmap(area, board.page);
    expect(board.get(pasid, area).status).toBe(DMA_ABORT);
    const again = mm.mmap({ bytes: board.page, address: area, kind: 'anonymous', read: true, write: true });
    expect(again).toBe(area);
    expect(board.get(pasid, area)).toEqual({ status: DMA_OK, byte: 0 });
  });

  it('a page read first is asked for again before it is written', () => {
    const { board, mm, pasid } = bound();
    const area = board.area(mm, 1);
    expect(board.get(pasid, area)).toEqual({ status: DMA_OK, byte: 0 }); // the page of zeros, read-only
    expect(board.put(pasid, area, 9)).toBe(DMA_OK);
    expect(board.peek(mm, area)).toBe(9);
    expect(board.get(pasid, area).byte).toBe(9);
  });

  it('a copy made after a fork is the endpoint’s as well', () => {
    const { board, mm, pasid } = bound();
    const area = board.area(mm, 1);
    board.put(pasid, area, 1);
    const child = mm.fork('child');
    mm.writeBytes(area, Uint8Array.of(2));
    expect(board.get(pasid, area).byte).toBe(2);
    expect(board.put(pasid, area, 3)).toBe(DMA_OK);
    expect([board.peek(mm, area), board.peek(child, area)]).toEqual([3, 1]);
  });

  it('exits while transactions wait for pages', () => {
    const { board, mm, bond, pasid } = bound();
    const area = board.area(mm, 8);
    const requests = Array.from({ length: 8 }, (_, n) =>
      board.request(pasid, area + n * board.page, Uint8Array.of(n), true),
    );
    for (const request of requests) expect(board.port.submit(request)).toBe(DMA_PENDING);
    mm.exit();
    board.scheduler.run();
    expect(requests.map(({ status }) => status)).toEqual(requests.map(() => DMA_ABORT));
    expect(board.port.atc.store.count).toBe(0);
    board.sva.unbindDevice(bond);
    expect(board.left).toEqual(NOTHING_LEFT);
  });

  it('and another have one endpoint and nothing else in common', () => {
    const { board, mm, pasid } = bound();
    const other = board.manager.createProcess('other');
    const bond = board.sva.bindDevice(board.endpoint, other);
    const area = board.area(mm, 1);
    expect(other.mmap({ bytes: board.page, address: area, kind: 'anonymous', read: true, write: true })).toBe(area);
    board.put(pasid, area, 1);
    board.put(bond.pasid, area, 2);
    expect([board.get(pasid, area).byte, board.get(bond.pasid, area).byte]).toEqual([1, 2]);
    mm.munmap(area, board.page);
    expect(board.get(pasid, area).status).toBe(DMA_ABORT);
    expect(board.get(bond.pasid, area)).toEqual({ status: DMA_OK, byte: 2 });
  });

  it.each([true, false])('is left in peace once its PASID was stopped (marker: %s)', (marker) => {
    const { board, mm, bond, pasid } = bound();
    const area = board.area(mm, 2);
    board.put(pasid, area, 1);
    const waiting = board.request(pasid, area + board.page, Uint8Array.of(1), true);
    board.port.submit(waiting);
    let stopped = false;
    board.port.stopPasid(pasid, marker, () => (stopped = true));
    board.scheduler.run(() => stopped);
    expect(waiting.status).toBe(marker ? DMA_ABORT : DMA_OK);
    board.sva.unbindDevice(bond);
    const next = board.sva.bindDevice(board.endpoint, mm);
    expect(board.put(next.pasid, area + board.page, 5)).toBe(DMA_OK);
    expect(board.peek(mm, area + board.page)).toBe(5);
    board.scheduler.run();
    expect(board.port.pages!.outstandingRequests).toBe(0);
  });
});

describe('transactions that are on their way for a while', () => {
  /** A link that holds each translated transaction for `delay` nanoseconds, or for ever, before the SMMU sees it. */
  function slow(delay: number) {
    const link: DmaPort = {
      submit: (request) => {
        if (!request.translated) return board.model.submit(request);
        const arrive = () => {
          if (board.model.submit(request) !== DMA_PENDING) request.complete!(request);
        };
        if (delay < Number.POSITIVE_INFINITY) board.scheduler.post('hardware', arrive, delay);
        return DMA_PENDING;
      },
    };
    const board: AtsBoard = new AtsBoard({ pci: { upstream: link } });
    const domain = board.iommu.domainOf(board.endpoint);
    const pa = board.frames.alloc(0) * 4096;
    board.iommu.map(domain, IOVA, pa, 4096, READ_WRITE);
    const request = board.request(NO_SUBSTREAM, IOVA, Uint8Array.of(42), true);
    request.complete = () => {};
    expect(board.port.submit(request)).toBe(DMA_PENDING);
    return { board, domain, request, pa };
  }

  it('have ended when their page is unmapped: the invalidation waits for them', () => {
    const { board, domain, request, pa } = slow(5000);
    expect(board.iommu.unmap(domain, IOVA, 4096)).toBe(4096);
    expect(request.status).toBe(DMA_OK); // before the page can become anything else
    expect(board.scheduler.now).toBeGreaterThanOrEqual(5000);
    const out = new Uint8Array(1);
    board.memory.readBytes(pa, out, 0, 1);
    expect(out[0]).toBe(42);
    expect(board.port.atc.draining).toBe(0);
  });

  it('and translations that are: one that the invalidation overtook is not used', () => {
    const board = new AtsBoard({ port: { translationNs: 50_000 } });
    const domain = board.iommu.domainOf(board.endpoint);
    const [before, after] = [board.frames.alloc(0) * 4096, board.frames.alloc(0) * 4096];
    board.iommu.map(domain, IOVA, before, 4096, READ_WRITE);
    const request = board.request(NO_SUBSTREAM, IOVA, Uint8Array.of(42), true);
    board.port.submit(request);
    board.iommu.unmap(domain, IOVA, 4096);
    board.iommu.map(domain, IOVA, after, 4096, READ_WRITE);
    expect(board.port.atc.stats.stale).toBe(0); // it has not arrived yet
    board.scheduler.run();
    expect(request.status).toBe(DMA_OK);
    expect(board.port.atc.stats.stale).toBe(1);
    const out = new Uint8Array(2);
    board.memory.readBytes(before, out, 0, 1);
    board.memory.readBytes(after, out, 1, 1);
    expect([...out]).toEqual([0, 42]);
  });

  it('for ever do not hold up the driver for ever', () => {
    const { board, domain, request } = slow(Number.POSITIVE_INFINITY);
    board.iommu.unmap(domain, IOVA, 4096);
    expect(request.status).toBe(DMA_PENDING);
    expect(board.port.atc.draining).toBe(1);
    board.scheduler.run();
    expect(board.lines.join('\n')).toMatch(/ATC invalidate timeout/);
    const other = board.device(16, { pasidBits: 0, canStall: false });
    board.iommu.map(board.iommu.domainOf(other), IOVA, RAM, 4096, READ);
    expect(board.read(other, NO_SUBSTREAM, IOVA).status).toBe(DMA_OK); // the command queue works
  });
});

describe('a PRI queue that overflows', () => {
  // The function insists on PASIDs in answers. An SMMU that gives automatic ones knows by IDR3.PPS=1 or by STE.PPAR=1.
  it.each([
    ['IDR3.PPS', { pasidOnAutoResponse: true }],
    ['STE.PPAR', { pasidOnAutoResponse: false }],
  ])('loses no transaction: the endpoint is told to try again, with its PASID by %s', (_, features) => {
    const { board, mm, pasid } = bound({ driver: { priqEntriesLog2: 1 }, features });
    const area = board.area(mm, 40);
    const requests = Array.from({ length: 40 }, (_, n) =>
      board.request(pasid, area + n * board.page, Uint8Array.of(n), true),
    );
    for (const request of requests) board.port.submit(request);
    board.scheduler.run();
    expect(requests.map(({ status }) => status)).toEqual(requests.map(() => DMA_OK));
    expect(board.model.stats.automaticResponses).toBeGreaterThan(0);
    expect(board.port.pages!.stats).toMatchObject({ unexpected: 0, failure: 0 });
    for (let n = 0; n < 40; n += 1) expect(board.peek(mm, area + n * board.page)).toBe(n);
  });
});

describe('whatever the process does to its memory meanwhile, the endpoint sees what the CPU sees', () => {
  it.each([
    [1, {}],
    [2, { port: { translationNs: 300 } }],
    [3, { port: { entries: 8 }, granuleShift: 14 }],
    [4, { port: { translationNs: 2000, entries: 16 }, granuleShift: 16 }],
  ] as const)('seed %d', (seed, options) => {
    const { board, mm, bond, pasid } = bound({ ...(options as Options), seed });
    const random = new Random(seed);
    const { page } = board;
    const PAGES = 24;
    const area = board.area(mm, PAGES);
    const bytes = new Uint8Array(PAGES); // the first byte of each page
    const mapped = new Array<boolean>(PAGES).fill(true);
    for (let round = 0; round < 600; round += 1) {
      const n = random.below(PAGES);
      const va = area + n * page;
      const choice = random.below(20);
      if (choice < 8) {
        bytes[n] = mapped[n] ? round & 0xff : 0;
        expect(board.put(pasid, va, round & 0xff)).toBe(mapped[n] ? DMA_OK : DMA_ABORT);
      } else if (choice < 14) {
        const { status, byte } = board.get(pasid, va);
        expect([status, byte]).toEqual(mapped[n] ? [DMA_OK, bytes[n]] : [DMA_ABORT, 0]);
      } else if (choice < 16 && mapped[n]) {
        bytes[n] = ~round & 0xff;
        mm.writeBytes(va, Uint8Array.of(bytes[n]));
      } else if (choice === 16) {
        if (mapped[n]) mm.munmap(va, page);
        else mm.mmap({ bytes: page, address: va, kind: 'anonymous', read: true, write: true });
        mapped[n] = !mapped[n];
        bytes[n] = 0;
      } else if (choice === 17) mm.fork('child').exit();
      else board.manager.reclaimRandom(4, random);
    }
    expect(board.events).toEqual({});
    expect(board.port.pages!.stats).toMatchObject({ unexpected: 0, failure: 0, ignored: 0 });
    expect(board.port.stats.hits).toBeGreaterThan(20);
    board.sva.unbindDevice(bond);
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
});
