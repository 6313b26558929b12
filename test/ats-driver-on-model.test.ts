/** The driver, the model and an endpoint with a translation cache of its own: ATS and page requests end to end. */
import { AtsDma, PciDevice, PciFunction } from '@smmu/pci-ats';
import { DMA_ABORT, DMA_OK, DMA_PENDING, DmaRequest } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { DriverBoard, type DriverBoardOptions, NO_SUBSTREAM, NOTHING_LEFT } from './driverBoard.ts';

const IOVA = 0x1_0000_0000;
const READ_WRITE = 3;

function board(options: DriverBoardOptions = {}) {
  const on = new DriverBoard({ ...options, features: { ats: true, pri: true, ...options.features } });
  const address = { segment: 0, bus: 0, device: 2, function: 0 };
  const hardware = new PciFunction({
    ...address,
    vendorId: 0x1af4,
    deviceId: 2,
    classCode: 0x120000,
    pasid: { bits: 16 },
    ats: { queueDepth: 32 },
    pri: { maxRequests: 64 },
    streamId: 16,
    upstream: on.model,
  });
  const endpoint = new AtsDma({ function: hardware, ats: on.model, scheduler: on.scheduler, maxFaults: 1000 });
  on.model.connect(16, endpoint);
  const pci = new PciDevice(hardware, address);
  pci.setMaster();
  const device = on.device(16, { canStall: false, pci });
  on.sva.deviceShutdown(device);
  on.sva.deviceInit(device, { features: 1 }); // page requests make its faults recoverable
  const dma = (substreamId: number, at: number, data: Uint8Array, write: boolean): DmaRequest => {
    const request = Object.assign(new DmaRequest(data), { substreamId, write, length: data.length });
    request.addressLo = at >>> 0;
    request.addressHi = Math.floor(at / 2 ** 32);
    request.complete = () => {};
    endpoint.submit(request);
    return request;
  };
  const settle = (request: DmaRequest): number => {
    on.scheduler.run(() => request.status !== DMA_PENDING);
    return request.status;
  };
  const write = (ssid: number, at: number, byte: number) => settle(dma(ssid, at, Uint8Array.of(byte), true));
  const read = (ssid: number, at: number) => {
    const data = new Uint8Array(1);
    return { status: settle(dma(ssid, at, data, false)), byte: data[0] };
  };
  return { on, device, endpoint, pci, dma, write, read };
}

describe('an endpoint with ATS', () => {
  it('holds translations of the DMA domain until they are unmapped, and not a moment longer', () => {
    const { on, device, endpoint, pci, write } = board();
    expect([pci.atsEnabled, pci.pasidEnabled, pci.priEnabled]).toEqual([true, true, true]);
    const domain = on.iommu.domainOf(device);
    const pa = on.frames.alloc(1) * 4096;
    on.iommu.map(domain, IOVA, pa, 8192, READ_WRITE);
    expect([write(NO_SUBSTREAM, IOVA, 1), write(NO_SUBSTREAM, IOVA, 2), write(NO_SUBSTREAM, IOVA + 4096, 3)]).toEqual([
      DMA_OK,
      DMA_OK,
      DMA_OK,
    ]);
    expect(endpoint.stats.hits).toBeGreaterThan(0);
    on.iommu.unmap(domain, IOVA, 4096);
    const hits = endpoint.stats.hits;
    expect(write(NO_SUBSTREAM, IOVA, 4)).toBe(DMA_ABORT);
    expect(endpoint.stats.hits).toBe(hits);
    expect(write(NO_SUBSTREAM, IOVA + 4096, 5)).toBe(DMA_OK);
    expect(on.lines.join('\n')).not.toMatch(/CMDQ/);
  });

  it('has its pages brought by page requests, and loses them with the process’s mapping', () => {
    const { on, device, endpoint, write, read } = board();
    const mm = on.manager.createProcess('worker');
    const bond = on.sva.bindDevice(device, mm);
    const va = on.area(mm, 16);
    for (let i = 0; i < 16; i++) expect(write(bond.pasid, va + i * 4096, i)).toBe(DMA_OK);
    expect(endpoint.stats.pageFaults).toBe(16);
    expect(on.peek(mm, va + 7 * 4096)).toBe(7);
    expect(read(bond.pasid, va + 7 * 4096)).toEqual({ status: DMA_OK, byte: 7 });
    mm.munmap(va + 7 * 4096, 4096);
    expect(read(bond.pasid, va + 7 * 4096).status).toBe(DMA_ABORT);
    mm.mprotect(va, 4096, { read: true, write: false });
    expect(write(bond.pasid, va, 1)).toBe(DMA_ABORT);
    expect(read(bond.pasid, va)).toEqual({ status: DMA_OK, byte: 0 });
    on.sva.unbindDevice(bond);
    expect(read(bond.pasid, va).status).toBe(DMA_ABORT);
    mm.exit();
    on.sva.deviceShutdown(device);
    on.smmu.remove();
    expect(on.left).toEqual(NOTHING_LEFT);
    expect(on.pages.livePages).toBe(0);
  });

  it('is cut off when the process exits', () => {
    const { on, device, write } = board();
    const mm = on.manager.createProcess('worker');
    const bond = on.sva.bindDevice(device, mm);
    const va = on.area(mm, 4);
    expect(write(bond.pasid, va, 1)).toBe(DMA_OK);
    mm.exit();
    expect(write(bond.pasid, va, 2)).toBe(DMA_ABORT);
    on.sva.unbindDevice(bond);
    expect(on.left).toEqual(NOTHING_LEFT);
  });

  it('asks for many pages at once through a PRI queue of two, whose overflows the SMMU answers: try again', () => {
    const { on, device, dma } = board({ driver: { priqEntriesLog2: 1 } });
    const mm = on.manager.createProcess('worker');
    const bond = on.sva.bindDevice(device, mm);
    const va = on.area(mm, 200);
    const requests = Array.from({ length: 200 }, (_, i) => dma(bond.pasid, va + i * 4096, Uint8Array.of(i), true));
    on.scheduler.run();
    expect(requests.filter(({ status }) => status === DMA_OK).length).toBe(200);
    expect(on.peek(mm, va + 123 * 4096)).toBe(123);
    expect(on.smmu.priq!.overflows).toBeGreaterThan(0);
    expect(on.smmu.faultQueue.partial).toBe(0);
    on.sva.unbindDevice(bond);
    mm.exit();
    expect(on.left).toEqual(NOTHING_LEFT);
  });

  it('that never answers an invalidation costs time, and nothing else', () => {
    const { on, device, endpoint, write } = board();
    const domain = on.iommu.domainOf(device);
    on.iommu.map(domain, IOVA, on.frames.alloc(0) * 4096, 4096, READ_WRITE);
    expect(write(NO_SUBSTREAM, IOVA, 1)).toBe(DMA_OK);
    on.model.connect(16, { invalidate: () => {}, pageResponse: () => {} });
    on.iommu.unmap(domain, IOVA, 4096);
    expect(on.lines.join('\n')).toMatch(/ATC invalidate timeout/);
    on.model.connect(16, endpoint);
    on.iommu.map(domain, IOVA + 4096, on.frames.alloc(0) * 4096, 4096, READ_WRITE);
    expect(write(NO_SUBSTREAM, IOVA + 4096, 1)).toBe(DMA_OK);
  });
});
