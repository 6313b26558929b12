import { DMA_OK } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { ATS, PASID, PASID_FEATURE, PciDevice, PciFunction, type PciFunctionOptions, PRI } from './index.ts';

const ADDRESS = { segment: 0, bus: 0, device: 1, function: 0 };
const errno = (code: string) => expect.objectContaining({ code });
function make(options: Partial<PciFunctionOptions> = {}) {
  const hardware = new PciFunction({
    ...ADDRESS,
    vendorId: 1,
    deviceId: 2,
    classCode: 0,
    pasid: { bits: 20, exec: true },
    ats: { queueDepth: 32 },
    pri: { maxRequests: 64 },
    streamId: 8,
    upstream: { submit: () => DMA_OK },
    ...options,
  });
  return { hardware, device: new PciDevice(hardware, ADDRESS) };
}
const plain = () => make({ pasid: undefined, ats: undefined, pri: undefined } as object);
const words = (hardware: PciFunction) => Uint32Array.from({ length: 0x140 / 4 }, (_, i) => hardware.read(4 * i, 4));

describe('PASID (Linux pci_enable_pasid and friends)', () => {
  it('enables with the features asked for, and disables all', () => {
    const { hardware, device } = make();
    expect(device.pasidFeatures()).toBe(PASID_FEATURE.EXEC);
    expect(device.maxPasids()).toBe(2 ** 20);
    device.enablePasid(PASID_FEATURE.EXEC);
    expect(device.pasidEnabled).toBe(true);
    expect(hardware.read(0x106, 2)).toBe(0x3); // PCI_PASID_CTRL_ENABLE | PCI_PASID_CTRL_EXEC
    device.disablePasid();
    expect(hardware.read(0x106, 2)).toBe(0);
    device.disablePasid();
    expect(device.pasidEnabled).toBe(false);
    expect(PASID.WIDTH.get(words(hardware), 0x100 / 4)).toBe(20);
  });

  it('features are the bits of pci_regs.h', () => {
    expect(PASID_FEATURE).toEqual({ EXEC: 0x02, PRIV: 0x04 });
  });

  it('EBUSY when enabled twice', () => {
    const { device } = make();
    device.enablePasid();
    expect(() => device.enablePasid()).toThrow(errno('EBUSY'));
  });

  it('EINVAL for a feature that the function lacks, and leaves it off', () => {
    const { hardware, device } = make();
    expect(() => device.enablePasid(PASID_FEATURE.PRIV)).toThrow(errno('EINVAL'));
    expect(hardware.read(0x106, 2)).toBe(0);
    expect(device.pasidEnabled).toBe(false);
  });

  it('EINVAL where no prefix can travel, as in a function that has none', () => {
    const { hardware } = make();
    const access = {
      read: (offset: number, bytes: 1 | 2 | 4) => (offset === 0xa4 ? 0 : hardware.read(offset, bytes)),
      write: hardware.write.bind(hardware),
    };
    expect(() => new PciDevice(access, ADDRESS).enablePasid()).toThrow(errno('EINVAL'));
  });

  it('EINVAL without the capability', () => {
    const { device } = plain();
    expect(() => device.enablePasid()).toThrow(errno('EINVAL'));
    expect(() => device.pasidFeatures()).toThrow(errno('EINVAL'));
    expect(() => device.maxPasids()).toThrow(errno('EINVAL'));
    device.disablePasid();
  });
});

describe('ATS (Linux pci_enable_ats and friends)', () => {
  it('programs the smallest translation unit in units of 4 KiB', () => {
    const { hardware, device } = make();
    expect(device.atsSupported).toBe(true);
    expect(hardware.atsEnabled).toBe(false);
    device.enableAts(16);
    expect(device.atsEnabled && hardware.atsEnabled).toBe(true);
    expect(device.atsPageShift).toBe(16);
    expect(ATS.STU.get(words(hardware), 0x110 / 4)).toBe(4);
    device.disableAts();
    device.disableAts();
    expect(hardware.atsEnabled).toBe(false);
  });

  it('reads a queue depth of 0 as 32', () => {
    expect(make().device.atsQueueDepth()).toBe(32);
    expect(make({ ats: { queueDepth: 7 } }).device.atsQueueDepth()).toBe(7);
  });

  it('tells whether requests are page aligned', () => {
    expect(make().device.atsPageAligned()).toBe(false);
    expect(make({ ats: { queueDepth: 1, pageAligned: true, globalInvalidate: true } }).device.atsPageAligned()).toBe(
      true,
    );
    expect(plain().device.atsPageAligned()).toBe(false);
  });

  it('EBUSY when enabled twice, EINVAL for small pages or without the capability', () => {
    const { device } = make();
    expect(() => device.enableAts(11)).toThrow(errno('EINVAL'));
    expect(() => device.enableAts(44)).toThrow(errno('EINVAL'));
    device.enableAts(12);
    expect(() => device.enableAts(12)).toThrow(errno('EBUSY'));
    const none = plain();
    expect(none.device.atsSupported || none.hardware.atsEnabled).toBe(false);
    expect(() => none.device.enableAts(12)).toThrow(errno('EINVAL'));
    expect(() => none.device.atsQueueDepth()).toThrow(errno('EINVAL'));
  });
});

describe('PRI (Linux pci_enable_pri and friends)', () => {
  it('grants as many requests as the function can have', () => {
    const { hardware, device } = make();
    expect(device.priSupported).toBe(true);
    device.enablePri(1000);
    expect(hardware.priEnabled && device.priEnabled).toBe(true);
    expect(PRI.ALLOC_REQ.get(words(hardware), 0x120 / 4)).toBe(64);
    expect(device.priStatus()).toEqual({ responseFailure: false, unexpectedGroup: false, stopped: false });
    device.disablePri();
    device.disablePri();
    expect(device.priStatus().stopped).toBe(true);
  });

  it('resets only while disabled', () => {
    const { device } = make();
    device.resetPri();
    device.enablePri(1);
    expect(() => device.resetPri()).toThrow(errno('EBUSY'));
  });

  it('requires PASIDs in responses where the function has PASIDs', () => {
    expect(make().device.prgResponsePasidRequired()).toBe(true);
    expect(make({ pasid: undefined } as object).device.prgResponsePasidRequired()).toBe(false);
    expect(plain().device.prgResponsePasidRequired()).toBe(false);
  });

  it('EBUSY when enabled twice or not stopped yet, EINVAL without the capability', () => {
    const { hardware, device } = make();
    const busy = {
      read: (offset: number, bytes: 1 | 2 | 4) => hardware.read(offset, bytes) & (offset === 0x124 ? ~0x0100_0000 : ~0),
      write: hardware.write.bind(hardware),
    };
    expect(() => new PciDevice(busy, ADDRESS).enablePri(1)).toThrow(errno('EBUSY'));
    device.enablePri(1);
    expect(() => device.enablePri(1)).toThrow(errno('EBUSY'));
    const none = plain();
    expect(none.device.priSupported || none.hardware.priEnabled).toBe(false);
    expect(() => none.device.enablePri(1)).toThrow(errno('EINVAL'));
    expect(() => none.device.resetPri()).toThrow(errno('EINVAL'));
    expect(() => none.device.priStatus()).toThrow(errno('EINVAL'));
  });
});
