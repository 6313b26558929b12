export {
  AddressTranslationCache,
  ATC_ABORTED,
  ATC_FAULT,
  ATC_OFF,
  ATC_REFUSED,
  ATC_STALE,
  type AtcOptions,
  type AtcStats,
  Fill,
  needOf,
} from './atc.ts';
export { PASID_FEATURE, PciDevice, type PriStatus } from './ats.ts';
export { AtsDma, type AtsDmaOptions, type AtsDmaStats } from './atsDma.ts';
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
export type { ExtendedOptions } from './extendedCapabilities.ts';
export { Flight } from './flights.ts';
export { PciFunction, type PciFunctionOptions, type RegionOptions } from './function.ts';
export type { FunctionPart } from './functionPart.ts';
export { BAR, BAR_COUNT, BAR_OFFSET, barLayout, HEADER, headerLayout } from './header.ts';
export { MsiSender } from './msi.ts';
export {
  type PageGroup,
  type PageOutcome,
  PageRequester,
  type PageRequesterOptions,
  type PageRequestStats,
  type PageWanted,
} from './pageRequests.ts';
export { PriRegisters } from './priRegisters.ts';
export { formatPciAddress, type PciAddress, requesterId, StreamIdMap, type StreamIdRange } from './requesterId.ts';
export { FunctionRights } from './rights.ts';
export {
  ATC_EXECUTE,
  ATC_MISS,
  ATC_READ,
  ATC_SNOOP,
  ATC_UNTRANSLATED,
  ATC_WRITE,
  TranslationStore,
} from './translationStore.ts';
