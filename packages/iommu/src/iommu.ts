/** The IOMMU API (Linux drivers/iommu/iommu.c). */
import { IommuError, type Iova, type Pa } from '@smmu/platform';
import type { Device } from './device.ts';
import type { Domain, DomainType } from './domain.ts';
import type { IommuDriver } from './driver.ts';
import type { DeviceFault, DeviceFaultHandler, FaultSink, IopfFault } from './fault.ts';
import type { ReservedRegion } from './reservedRegions.ts';

const todo = (): never => {
  throw new IommuError('EOPNOTSUPP', 'not written yet');
};

export interface IommuOptions {
  /** Domain type of devices whose driver has no wish: `dma` (the default) or `identity` (`iommu.passthrough=1`). */
  readonly defaultDomainType?: 'dma' | 'identity';
}

export interface IommuGroup {
  readonly id: number;
  readonly devices: readonly Device[];
  readonly defaultDomain: Domain;
  readonly domain: Domain;
  readonly pasids: ReadonlyMap<number, Domain>;
}

export class Iommu {
  readonly options: IommuOptions;
  constructor(options: IommuOptions = {}) {
    this.options = options;
  }
  registerDriver(_driver: IommuDriver): void {
    todo();
  }
  unregisterDriver(_driver: IommuDriver): void {
    todo();
  }
  probeDevice(_device: Device): void {
    todo();
  }
  releaseDevice(_device: Device): void {
    todo();
  }
  groupOf(_device: Device): IommuGroup {
    return todo();
  }
  domainOf(_device: Device): Domain {
    return todo();
  }
  driverOf(_device: Device): IommuDriver {
    return todo();
  }
  /** `undefined` instead of `ENODEV`. */
  findDriver(_device: Device): IommuDriver | undefined {
    return todo();
  }
  allocDomain(_type: 'dma' | 'unmanaged', _device: Device): Domain {
    return todo();
  }
  freeDomain(_domain: Domain): void {
    todo();
  }
  attachDevice(_domain: Domain, _device: Device): void {
    todo();
  }
  detachDevice(_domain: Domain, _device: Device): void {
    todo();
  }
  maxPasids(_device: Device): number {
    return todo();
  }
  attachDevicePasid(_domain: Domain, _device: Device, _pasid: number): void {
    todo();
  }
  replaceDevicePasid(_domain: Domain, _device: Device, _pasid: number): void {
    todo();
  }
  detachDevicePasid(_domain: Domain, _device: Device, _pasid: number): void {
    todo();
  }
  domainForPasid(_device: Device, _pasid: number): Domain | undefined {
    return todo();
  }
  map(_domain: Domain, _iova: Iova, _pa: Pa, _bytes: number, _prot: number): void {
    todo();
  }
  unmap(_domain: Domain, _iova: Iova, _bytes: number): number {
    return todo();
  }
  iovaToPhys(_domain: Domain, _iova: Iova): Pa | -1 {
    return todo();
  }
  reservedRegions(_device: Device): ReservedRegion[] {
    return todo();
  }
  setMsiWindow(_domain: Domain, _iova: Iova, _bytes: number): void {
    todo();
  }
  mapMsiDoorbell(_domain: Domain, _pa: Pa): Iova {
    return todo();
  }
  setFaultSink(_device: Device, _sink: FaultSink | undefined): void {
    todo();
  }
  /** Hands a recoverable fault to the device's queue. */
  reportPageFault(_device: Device, _fault: IopfFault): boolean {
    return todo();
  }
  setFaultHandler(_domain: Domain, _handler: DeviceFaultHandler | undefined): void {
    todo();
  }
  /** Tells an unrecoverable fault. Returns whether somebody knew what to do. */
  reportFault(_device: Device, _fault: DeviceFault): boolean {
    return todo();
  }
  /** Why `device` cannot do DMA or PASIDs, as sentences; empty if it can. */
  whyNot(_device: Device, _what: 'dma' | 'pasid' | DomainType): string[] {
    return todo();
  }
}
