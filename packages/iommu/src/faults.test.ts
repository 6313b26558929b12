import { beforeEach, describe, expect, it } from 'vitest';
import { codeOf, device, errorOf, FakeDomain, FakeDriver } from '../test/fakes.ts';
import { type DeviceFault, type IopfFault, NO_PASID } from './fault.ts';
import { Iommu } from './iommu.ts';

const target = device('a', { pasidBits: 8 });
const fault: IopfFault = {
  pasid: 3,
  groupId: 7,
  address: 0x4000,
  read: true,
  write: false,
  exec: false,
  privileged: false,
  last: true,
};
const lost: DeviceFault = { ...fault, pasid: NO_PASID, reason: 'F_TRANSLATION' };

let driver: FakeDriver;
let iommu: Iommu;
beforeEach(() => {
  driver = new FakeDriver();
  iommu = new Iommu();
  iommu.registerDriver(driver);
  iommu.probeDevice(target);
});

describe('recoverable faults', () => {
  it('go to the one who takes them, and a second one is refused: EBUSY', () => {
    const seen: IopfFault[] = [];
    const sink = {
      name: 'queue',
      report: (_from: unknown, taken: IopfFault) => {
        seen.push(taken);
        return true;
      },
    };
    iommu.setFaultSink(target, sink);
    expect(iommu.reportPageFault(target, fault)).toBe(true);
    expect(seen).toEqual([fault]);
    expect(errorOf(() => iommu.setFaultSink(target, { ...sink }))).toBe('EBUSY: faults of a already go to queue');
    iommu.setFaultSink(target, undefined);
    iommu.setFaultSink(target, { ...sink });
  });

  it('are answered invalid when nobody takes them, if they are the last of their group', () => {
    expect(iommu.reportPageFault(target, fault)).toBe(false);
    iommu.reportPageFault(target, { ...fault, last: false });
    iommu.reportPageFault(target, { ...fault, read: false }); // a stop marker
    iommu.reportPageFault(target, { ...fault, read: false, write: true });
    iommu.reportPageFault(target, { ...fault, read: false, exec: true });
    expect(driver.responses.map(({ response, fault: { write, exec } }) => [response, write, exec])).toEqual([
      ['invalid', false, false],
      ['invalid', true, false],
      ['invalid', false, true],
    ]);
  });

  it('of a device behind no IOMMU are refused: ENODEV', () => {
    expect(codeOf(() => iommu.reportPageFault(device('x'), fault))).toBe('ENODEV');
    expect(codeOf(() => iommu.setFaultSink(device('x'), undefined))).toBe('ENODEV');
  });
});

describe('unrecoverable faults', () => {
  it('are told to the handler of the domain that they happened in', () => {
    const sva = new FakeDomain('sva', []);
    iommu.attachDevicePasid(sva, target, 3);
    const seen: string[] = [];
    iommu.setFaultHandler(iommu.domainOf(target), (from, { reason }) => seen.push(`${from.name} ${reason}`) > 0);
    iommu.setFaultHandler(sva, () => false);
    expect(iommu.reportFault(target, lost)).toBe(true);
    expect(iommu.reportFault(target, { ...lost, pasid: 3 })).toBe(false);
    expect(seen).toEqual(['a F_TRANSLATION']);
    iommu.setFaultHandler(iommu.domainOf(target), undefined);
    expect(iommu.reportFault(target, lost)).toBe(false);
  });

  it('of unknown PASIDs and devices are nobody’s', () => {
    expect(iommu.reportFault(target, { ...lost, pasid: 77 })).toBe(false);
    expect(iommu.reportFault(device('x'), lost)).toBe(false);
  });

  it('cannot be asked for of a domain that is not known: EINVAL', () => {
    expect(errorOf(() => iommu.setFaultHandler(new FakeDomain('sva', []), undefined))).toBe(
      'EINVAL: the sva domain is not known to this IOMMU API',
    );
  });
});
