import { DMA_ABORT, DMA_OK, DMA_PENDING, type DmaPort, DmaRequest, type DmaStatus, NO_SUBSTREAM } from '@smmu/platform';
import { beforeEach, describe, expect, it } from 'vitest';
import { EXT_CAP_ID, PASID_FEATURE, PciDevice, PciFunction, type PciFunctionOptions } from './index.ts';

/** The bus: notes what goes up, and answers as told. */
class Upstream implements DmaPort {
  readonly seen: { streamId: number; substreamId: number; address: number; data: number[]; write: boolean }[] = [];
  readonly held: DmaRequest[] = [];
  answer: DmaStatus = DMA_OK;
  submit(request: DmaRequest): DmaStatus {
    this.seen.push({
      streamId: request.streamId,
      substreamId: request.substreamId,
      address: request.addressHi * 2 ** 32 + request.addressLo,
      data: [...request.data],
      write: request.write,
    });
    request.status = this.answer;
    if (this.answer === DMA_PENDING) this.held.push(request);
    return this.answer;
  }
}

const window = (name: string, size: number) => ({ name, size, read32: (offset: number) => offset, write32() {} });
const ADDRESS = { segment: 0, bus: 0, device: 1, function: 0 };
const errno = (code: string) => expect.objectContaining({ code });

let upstream: Upstream;
let resets: number;
function make(options: Partial<PciFunctionOptions> = {}) {
  const hardware = new PciFunction({
    ...ADDRESS,
    vendorId: 0x1af4,
    deviceId: 0xa250,
    classCode: 0x12_0000,
    revision: 0x21,
    integrated: true,
    regions: [
      { window: window('registers', 0x8000), wide: true },
      { window: window('small', 0x1000), prefetchable: true },
    ],
    msi: { log2Vectors: 3 },
    pasid: { bits: 16, priv: true },
    ats: { queueDepth: 32, pageAligned: true },
    pri: { maxRequests: 64 },
    streamId: 0x1_0008,
    upstream,
    onReset: () => {
      resets += 1;
    },
    ...options,
  });
  return { hardware, device: new PciDevice(hardware, ADDRESS) };
}
function request(fields: Partial<DmaRequest> = {}): DmaRequest {
  return Object.assign(new DmaRequest(new Uint8Array(4)), { length: 4, substreamId: NO_SUBSTREAM, ...fields });
}
beforeEach(() => {
  upstream = new Upstream();
  resets = 0;
});

describe('what the parts of a function read from its registers', () => {
  it('rights follow each write', () => {
    const { hardware, device } = make({ ats: { queueDepth: 32, globalInvalidate: true } });
    expect(hardware.rights).toMatchObject({ master: false, substreams: 0, ats: false, pri: false });
    expect([hardware.invalidateQueueDepth, hardware.globalInvalidate]).toEqual([32, true]);
    device.setMaster();
    device.enablePasid(PASID_FEATURE.PRIV);
    device.enableAts(16);
    device.enablePri(4);
    const on = { master: true, substreams: 2 ** 16, exec: false, priv: true, ats: true, stuShift: 16, pri: true };
    expect(hardware.rights).toMatchObject(on);
    device.reset();
    expect(hardware.rights).toMatchObject({ master: false, substreams: 0, priv: false, ats: false, pri: false });
  });

  it('a function without the capabilities has none of them', () => {
    const { hardware } = make({ pasid: undefined, ats: undefined, pri: undefined } as object);
    expect([hardware.invalidateQueueDepth, hardware.globalInvalidate, hardware.pri]).toEqual([0, false, undefined]);
  });

  it('parts are told of what changed, and of nothing else', () => {
    const { hardware, device } = make();
    const told: string[] = [];
    hardware.attach({
      atsChanged: (on) => told.push(`ats ${on}`),
      priChanged: (on) => told.push(`pri ${on}`),
      priReset: () => told.push('pri reset'),
      reset: () => told.push('reset'),
    });
    hardware.attach({});
    device.setMaster();
    device.enableAts(12);
    hardware.write(0x116, 2, 0x8000); // PCI_ATS_CTRL_ENABLE again
    device.enablePri(4);
    hardware.write(0x126, 2, 3); // status alone
    device.disablePri();
    device.resetPri();
    device.disableAts();
    device.reset();
    expect(told).toEqual(['ats true', 'pri true', 'pri false', 'pri reset', 'ats false', 'reset']);
  });

  it('a translated request leaves only while ATS is enabled', () => {
    const { hardware, device } = make();
    device.setMaster();
    expect(hardware.submit(request({ translated: true }))).toBe(DMA_ABORT);
    device.enableAts(12);
    expect(hardware.submit(request({ translated: true }))).toBe(DMA_OK);
    expect(hardware.refused).toBe(1);
  });
});

describe('a driver finds the function by its configuration space alone', () => {
  it('reads who it is', () => {
    const { hardware, device } = make();
    expect(device).toMatchObject({
      vendorId: 0x1af4,
      deviceId: 0xa250,
      classCode: 0x12_0000,
      requesterId: 8,
      name: '0000:00:01.0',
    });
    expect(hardware.read(8, 1)).toBe(0x21);
  });

  it('has registers that begin as PCIe says', () => {
    const { hardware } = make();
    expect(hardware.read(0x42, 2)).toBe(0x0186); // PCI_MSI_FLAGS_64BIT | MASKBIT, 8 vectors
    expect(hardware.read(0x88, 2)).toBe(0x2810); // PCI_EXP_DEVCTL_RELAX_EN | NOSNOOP_EN | READRQ_512B
    expect(hardware.read(0x126, 2)).toBe(0x8100); // PCI_PRI_STATUS_PASID | STOPPED
  });

  it('ENODEV where no function answers, EOPNOTSUPP for a bridge', () => {
    const empty = { read: (_: number, bytes: 1 | 2 | 4) => 2 ** (bytes * 8) - 1, write() {} };
    expect(() => new PciDevice(empty, ADDRESS)).toThrow(errno('ENODEV'));
    const bridge = { read: (offset: number) => (offset === 0xc ? 0x0001_0000 : 0), write() {} };
    expect(() => new PciDevice(bridge, ADDRESS)).toThrow(errno('EOPNOTSUPP'));
  });

  it('walks both capability lists', () => {
    const { device } = make();
    expect(device.findCapability(0x05)).toBe(0x40);
    expect(device.findCapability(0x10)).toBe(0x80);
    expect(device.findCapability(0x11)).toBe(0);
    expect(Object.values(EXT_CAP_ID).map((id) => device.findExtCapability(id))).toEqual([0x110, 0x120, 0x100]);
    expect(device.findExtCapability(0x10)).toBe(0);
  });

  it('finds an empty extended list in a function without any', () => {
    const { device, hardware } = make({ pasid: undefined, ats: undefined, pri: undefined, msi: undefined } as object);
    expect(hardware.read(0x100, 4)).toBe(0);
    expect(device.findExtCapability(EXT_CAP_ID.PASID)).toBe(0);
    expect(device.findCapability(0x05)).toBe(0);
    expect(device.findCapability(0x10)).toBe(0x80);
  });

  it('ends on a list that loops, on ones, and where there is no list', () => {
    const loop = {
      read: (offset: number) =>
        offset === 4 ? 0x10_0000 : offset === 0x34 ? 0x40 : offset >= 0x100 ? 0x1001_0002 : 0x4001,
      write() {},
    };
    const looping = new PciDevice(loop, ADDRESS);
    expect(looping.findCapability(0x05)).toBe(0);
    expect(looping.findExtCapability(EXT_CAP_ID.ATS)).toBe(0);
    const ones = { ...loop, read: (offset: number) => (offset < 0x40 ? loop.read(offset) : 0xffff_ffff) };
    expect(new PciDevice(ones, ADDRESS).findCapability(0x05)).toBe(0);
    expect(new PciDevice(ones, ADDRESS).findExtCapability(EXT_CAP_ID.ATS)).toBe(0);
    expect(new PciDevice({ read: () => 0, write() {} }, ADDRESS).findCapability(0x05)).toBe(0);
  });

  it('is a root complex integrated endpoint only if told so', () => {
    expect(make().hardware.read(0x82, 2) & 0xf0).toBe(0x90);
    expect(make({ integrated: false }).hardware.read(0x82, 2) & 0xf0).toBe(0x00);
  });
});

describe('BARs: software learns the size from the bits that stick (PCIe §7.5.1.2.1)', () => {
  it('sizes them and leaves them as they were', () => {
    const { device, hardware } = make();
    device.assignBar({ index: 2, bytes: 0x1000, wide: false, prefetchable: true }, 0x1000_0000);
    expect(device.sizeBars()).toEqual([
      { index: 0, bytes: 0x8000, wide: true, prefetchable: false },
      { index: 2, bytes: 0x1000, wide: false, prefetchable: true },
    ]);
    expect(hardware.read(0x18, 4)).toBe(0x1000_0008);
  });

  it('decodes accesses to them once memory space is on', () => {
    const { device, hardware } = make();
    const [wide, small] = device.sizeBars();
    device.assignBar(wide!, 0x80_0000_0000);
    device.assignBar(small!, 0xfff0_0000);
    expect(hardware.decode(0x80_0000_0000)).toBeUndefined();
    device.enableMemory();
    expect(hardware.decode(0x80_0000_7ffc)).toMatchObject({ window: { name: 'registers' }, offset: 0x7ffc });
    expect(hardware.decode(0xfff0_0010)).toMatchObject({ window: { name: 'small' }, offset: 0x10 });
    expect(hardware.decode(0x80_0000_8000)).toBeUndefined();
    device.disableMemory();
    expect(hardware.decode(0xfff0_0010)).toBeUndefined();
  });

  it('keeps memory space on across a sizing', () => {
    const { device, hardware } = make();
    device.enableMemory();
    device.sizeBars();
    expect(hardware.read(4, 2)).toBe(2);
  });

  it('sizes a region of 4 GiB and more by its upper half', () => {
    const words: Record<number, number> = { 16: 4, 20: 0 };
    const masks: Record<number, number> = { 16: 0, 20: 0xffff_fffc };
    const access = {
      read: (offset: number) => words[offset & ~3] ?? 0,
      write: (offset: number, bytes: number, value: number) => {
        if (bytes === 4 && offset in masks)
          words[offset] = ((value & masks[offset]!) | (offset === 0x10 ? 4 : 0)) >>> 0;
      },
    };
    expect(new PciDevice(access, ADDRESS).sizeBars()).toEqual([
      { index: 0, bytes: 4 * 2 ** 32, wide: true, prefetchable: false },
    ]);
  });

  it('EINVAL: misaligned, or out of reach of 32 bits; EOPNOTSUPP: an I/O region', () => {
    const { device } = make();
    const [wide, small] = device.sizeBars();
    expect(() => device.assignBar(wide!, 0x1000)).toThrow(errno('EINVAL'));
    expect(() => device.assignBar(small!, 2 ** 32)).toThrow(errno('EINVAL'));
    const io = { read: (offset: number) => (offset === 0x10 ? 0xffff_fff1 : 0), write() {} };
    expect(() => new PciDevice(io, ADDRESS).sizeBars()).toThrow(errno('EOPNOTSUPP'));
  });

  it.each([
    ['not a power of two', [{ window: window('odd', 0x3000) }]],
    ['below 4 KiB', [{ window: window('tiny', 0x800) }]],
    ['above 2 GiB', [{ window: window('huge', 2 ** 32) }]],
    ['more than six BARs', Array.from({ length: 4 }, () => ({ window: window('wide', 0x1000), wide: true }))],
  ])('EINVAL: a region %s', (_, regions) => {
    expect(() => make({ regions })).toThrow(errno('EINVAL'));
  });
});

describe('the gate: a request leaves only if software has allowed it', () => {
  it('refuses everything before bus mastering is on, and names the StreamID afterwards', () => {
    const { hardware, device } = make();
    const dma = request({ addressLo: 0x1000 });
    expect(hardware.submit(dma)).toBe(DMA_ABORT);
    expect(dma.status).toBe(DMA_ABORT);
    device.setMaster();
    expect(hardware.submit(dma)).toBe(DMA_OK);
    device.clearMaster();
    expect(hardware.submit(dma)).toBe(DMA_ABORT);
    expect(upstream.seen.map((seen) => seen.streamId)).toEqual([0x1_0008]);
    expect(hardware.refused).toBe(2);
  });

  it.each([
    ['a PASID while PASID is off', { substreamId: 1 }, undefined],
    ['a PASID wider than the capability', { substreamId: 0x1_0000 }, 0],
    ['execute without the feature', { substreamId: 1, instruction: true }, PASID_FEATURE.PRIV],
    ['privilege that was not enabled', { substreamId: 1, privileged: true }, 0],
    ['privilege without a PASID', { privileged: true }, PASID_FEATURE.PRIV],
    ['execute without a PASID', { instruction: true }, PASID_FEATURE.PRIV],
  ])('refuses %s', (_, fields, features) => {
    const { hardware, device } = make();
    device.setMaster();
    if (features !== undefined) device.enablePasid(features);
    expect(hardware.submit(request(fields))).toBe(DMA_ABORT);
    expect(upstream.seen).toEqual([]);
  });

  it('lets pass what was enabled', () => {
    const { hardware, device } = make({ pasid: { bits: 16, exec: true, priv: true } });
    device.setMaster();
    device.enablePasid(PASID_FEATURE.EXEC | PASID_FEATURE.PRIV);
    expect(hardware.submit(request({ substreamId: 0xffff, privileged: true, instruction: true }))).toBe(DMA_OK);
    device.disablePasid();
    expect(hardware.submit(request({ substreamId: 1 }))).toBe(DMA_ABORT);
  });
});

describe('MSI: a write of the number, without PASID, to where software said (PCIe §6.1.4)', () => {
  it('sends each vector its own number', () => {
    const { hardware, device } = make();
    device.setMaster();
    device.enableMsi(0x800_0040, 0x120, 2);
    hardware.msi.raise(0);
    hardware.msi.raise(3);
    expect(upstream.seen).toEqual([
      { streamId: 0x1_0008, substreamId: NO_SUBSTREAM, address: 0x800_0040, data: [0x20, 1, 0, 0], write: true },
      { streamId: 0x1_0008, substreamId: NO_SUBSTREAM, address: 0x800_0040, data: [0x23, 1, 0, 0], write: true },
    ]);
    expect(hardware.msi.sent).toBe(2);
  });

  it('shares numbers when fewer vectors were granted than are used', () => {
    const { hardware, device } = make();
    device.setMaster();
    device.enableMsi(0x9_0000_0040, 0x30, 1);
    hardware.msi.raise(5);
    expect(upstream.seen[0]).toMatchObject({ address: 0x9_0000_0040, data: [0x31, 0, 0, 0] });
  });

  it('holds a masked vector back until it is unmasked, once', () => {
    const { hardware, device } = make();
    device.setMaster();
    device.enableMsi(0x800_0040, 0, 3);
    device.maskMsi(0b101, true);
    for (const vector of [0, 0, 1, 2]) hardware.msi.raise(vector);
    expect(upstream.seen.map((seen) => seen.data[0])).toEqual([1]);
    expect(hardware.read(0x54, 4)).toBe(0b101);
    device.maskMsi(0b101, false);
    expect(upstream.seen.map((seen) => seen.data[0])).toEqual([1, 0, 2]);
    expect(hardware.read(0x54, 4)).toBe(0);
  });

  it('is silent while off, and without the capability', () => {
    const { hardware, device } = make();
    device.setMaster();
    hardware.msi.raise(0);
    device.enableMsi(0x800_0040, 0);
    device.disableMsi();
    hardware.msi.raise(0);
    const none = make({ msi: undefined } as object);
    none.hardware.msi.raise(0);
    expect(upstream.seen).toEqual([]);
    expect(() => none.device.disableMsi()).toThrow(errno('EINVAL'));
  });

  it('counts aborted messages, at once or later', () => {
    const { hardware, device } = make();
    device.setMaster();
    device.enableMsi(0x800_0040, 0);
    upstream.answer = DMA_ABORT;
    hardware.msi.raise(0);
    upstream.answer = DMA_PENDING;
    hardware.msi.raise(0);
    expect(hardware.msi.aborted).toBe(1);
    const held = upstream.held[0]!;
    held.status = DMA_ABORT;
    held.complete?.(held);
    expect(hardware.msi.aborted).toBe(2);
  });

  it('ENOSPC: more vectors than there are; EINVAL: misaligned address or number, number beyond 16 bits', () => {
    const { device } = make();
    expect(() => device.enableMsi(0x40, 0, 4)).toThrow(errno('ENOSPC'));
    expect(() => device.enableMsi(0x42, 0)).toThrow(errno('EINVAL'));
    expect(() => device.enableMsi(0x40, 1, 1)).toThrow(errno('EINVAL'));
    expect(() => device.enableMsi(0x40, 0x1_0000)).toThrow(errno('EINVAL'));
    expect(() => device.enableMsi(0x40, -1)).toThrow(errno('EINVAL'));
  });
});

describe('function level reset (PCIe §6.6.2)', () => {
  it('forgets what software set and stops the device', () => {
    const { hardware, device } = make();
    device.setMaster();
    device.enablePasid();
    device.reset();
    expect(resets).toBe(1);
    expect(hardware.read(4, 2)).toBe(0);
    expect(hardware.read(0x106, 2)).toBe(0);
    expect(hardware.read(0x88, 2) & 0x8000).toBe(0);
    expect(hardware.submit(request())).toBe(DMA_ABORT);
  });

  it('EOPNOTSUPP for a function that cannot', () => {
    expect(() => new PciDevice({ read: () => 0, write() {} }, ADDRESS).reset()).toThrow(errno('EOPNOTSUPP'));
  });
});

describe('options that do not fit their registers', () => {
  it.each([
    [{ vendorId: 0xffff }],
    [{ deviceId: 0x1_0000 }],
    [{ classCode: -1 }],
    [{ revision: 256 }],
    [{ pasid: { bits: 21 } }],
    [{ msi: { log2Vectors: 6 } }],
    [{ ats: { queueDepth: 0 } }],
    [{ ats: { queueDepth: 33 } }],
    [{ pri: { maxRequests: 2 ** 32 } }],
    [{ device: 32 }],
  ] as Partial<PciFunctionOptions>[][])('EINVAL: %o', (options) => {
    expect(() => make(options)).toThrow(errno('EINVAL'));
  });
});
