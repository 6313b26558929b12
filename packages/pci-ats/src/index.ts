export { PASID_FEATURE, PciDevice, type PriStatus } from './ats.ts';
export {
  ATS,
  atsLayout,
  CAP_ID,
  CAPABILITY,
  CONFIG_BYTES,
  capabilityLayout,
  EXP,
  EXT_CAP_ID,
  EXTENDED_BASE,
  EXTENDED_CAPABILITY,
  expLayout,
  extendedCapabilityLayout,
  MSI,
  msiLayout,
  PASID,
  PRI,
  pasidLayout,
  priLayout,
} from './capabilities.ts';
export { type Bar, PciConfig } from './config.ts';
export { type ConfigAccess, type ConfigField, ConfigSpace } from './configSpace.ts';
export { PciFunction, type PciFunctionOptions, type RegionOptions } from './function.ts';
export { BAR, BAR_COUNT, BAR_OFFSET, barLayout, HEADER, headerLayout } from './header.ts';
export { MsiSender } from './msi.ts';
export { formatPciAddress, type PciAddress, requesterId, StreamIdMap, type StreamIdRange } from './requesterId.ts';
