export type { Device, PciFunctionPort } from './device.ts';
export { DmaApi, type DmaApiOptions, type DmaBuffer, type DmaDirection } from './dmaApi.ts';
export { type Domain, type DomainType, type Gather, PROT } from './domain.ts';
export type { IommuDriver } from './driver.ts';
export {
  type DeviceFault,
  type DeviceFaultHandler,
  type FaultSink,
  type IopfFault,
  type IopfGroupLike,
  NO_PASID,
  type PageResponse,
} from './fault.ts';
export { Iommu, type IommuGroup, type IommuOptions } from './iommu.ts';
export { MappedPages } from './mappedPages.ts';
export type { MsiSource } from './msiPages.ts';
export {
  firmwareStreams,
  formatReservedRegions,
  insertReservedRegion,
  type ReservedRegion,
  type ReservedType,
} from './reservedRegions.ts';
