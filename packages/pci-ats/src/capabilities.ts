import { bits, choice, flag, layout } from '@smmu/spec';

/**
 * The capability structures that a function with SVA shows, from MSI to PRI, in the order of their offsets.
 * PCI Express Base §7.5.3, §7.7.1, §7.8.8, §10.5; Linux include/uapi/linux/pci_regs.h.
 */

/** IDs in the list that starts at the header's CAP_POINTER. */
export const CAP_ID = { MSI: 0x05, EXP: 0x10 } as const;
/** IDs in the list that starts at {@link EXTENDED_BASE}. */
export const EXT_CAP_ID = { ATS: 0x0f, PRI: 0x13, PASID: 0x1b } as const;

/** Bytes of a function's configuration space, and where its extended part begins. */
export const CONFIG_BYTES = 4096;
export const EXTENDED_BASE = 0x100;

const capability = {
  ID: bits(0, 7, 0, 'which capability'),
  NEXT: bits(0, 15, 8, 'offset of the next one; 0 ends the list'),
};
/** What every capability of the first 256 bytes begins with. */
export const capabilityLayout = layout('capability header', 4, 'PCIe §7.5.3.1', capability);
export const CAPABILITY = capabilityLayout.fields;

const extendedCapability = {
  ID: bits(0, 15, 0, 'which extended capability'),
  VERSION: bits(0, 19, 16, 'version of its layout'),
  NEXT: bits(0, 31, 20, 'offset of the next one; 0 ends the list'),
};
/** What every capability from {@link EXTENDED_BASE} on begins with. */
export const extendedCapabilityLayout = layout('extended capability header', 4, 'PCIe §7.6.3', extendedCapability);
export const EXTENDED_CAPABILITY = extendedCapabilityLayout.fields;

/** Message-signalled interrupts, with a 64-bit address and a mask bit for each vector. */
export const msiLayout = layout('MSI capability', 24, 'PCIe §7.7.1', {
  ...capability,
  ENABLE: flag(0, 16, 'Control: interrupts are messages, not INTx'),
  MULTIPLE_CAPABLE: bits(0, 19, 17, 'Control: log2 of the vectors that it can use'),
  MULTIPLE_ENABLE: bits(0, 22, 20, 'Control: log2 of the vectors that it may use'),
  ADDRESS_64: flag(0, 23, 'Control: can send to addresses from 4 GiB up'),
  MASKABLE: flag(0, 24, 'Control: has mask and pending bits'),
  ADDRESS_LO: bits(0, 63, 32, 'where to write, bits 31:0, a multiple of 4'),
  ADDRESS_HI: bits(1, 31, 0, 'where to write, bits 63:32'),
  DATA: bits(1, 47, 32, 'what to write; the vector number replaces its low MULTIPLE_ENABLE bits'),
  MASK: bits(2, 31, 0, 'one bit a vector: hold its message back'),
  PENDING: bits(2, 63, 32, 'one bit a vector: a message is held back'),
});
export const MSI = msiLayout.fields;

/** The PCI Express capability, as far as a root complex integrated endpoint has registers. */
export const expLayout = layout('PCI Express capability', 60, 'PCIe §7.5.3', {
  ...capability,
  VERSION: bits(0, 19, 16, 'Flags: version of the layout'),
  TYPE: choice(0, 23, 20, { ENDPOINT: 0, RC_END: 9 }, 'Flags: what kind of function it is'),
  MAX_PAYLOAD: bits(0, 34, 32, 'Device Capabilities: largest payload, 128 << n bytes'),
  RBER: flag(0, 47, 'Device Capabilities: role-based error reporting'),
  FLR: flag(0, 60, 'Device Capabilities: can be reset alone'),
  CERE: flag(1, 0, 'Device Control: report correctable errors'),
  NFERE: flag(1, 1, 'Device Control: report non-fatal errors'),
  FERE: flag(1, 2, 'Device Control: report fatal errors'),
  URRE: flag(1, 3, 'Device Control: report unsupported requests'),
  RELAX_EN: flag(1, 4, 'Device Control: may relax the order of its requests'),
  PAYLOAD: bits(1, 7, 5, 'Device Control: largest payload to send, 128 << n bytes'),
  NOSNOOP_EN: flag(1, 11, 'Device Control: may send requests that do not snoop'),
  READRQ: bits(1, 14, 12, 'Device Control: largest read to send, 128 << n bytes'),
  BCR_FLR: flag(1, 15, 'Device Control: write 1 to reset the function; reads 0'),
  CED: flag(1, 16, 'Device Status, write 1 to clear: correctable error'),
  NFED: flag(1, 17, 'Device Status, write 1 to clear: non-fatal error'),
  FED: flag(1, 18, 'Device Status, write 1 to clear: fatal error'),
  URD: flag(1, 19, 'Device Status, write 1 to clear: unsupported request'),
  TRPND: flag(1, 21, 'Device Status: requests without completion are outstanding'),
  EE_PREFIX: flag(4, 53, 'Device Capabilities 2: TLPs may carry end-end prefixes, which PASIDs travel in'),
});
export const EXP = expLayout.fields;

/** Address Translation Services. */
export const atsLayout = layout('ATS capability', 8, 'PCIe §10.5.1', {
  ...extendedCapability,
  QDEP: bits(0, 36, 32, 'Capability: invalidations that it can queue; 0 means 32'),
  PAGE_ALIGNED: flag(0, 37, 'Capability: untranslated addresses in its requests are 4 KiB aligned'),
  GLOBAL_INVALIDATE: flag(0, 38, 'Capability: takes invalidations of all PASIDs at once'),
  STU: bits(0, 52, 48, 'Control: log2 of the smallest translation in units of 4 KiB'),
  ENABLE: flag(0, 63, 'Control: may ask for translations and cache them'),
});
export const ATS = atsLayout.fields;

/** Page Request Interface. */
export const priLayout = layout('PRI capability', 16, 'PCIe §10.5.2', {
  ...extendedCapability,
  ENABLE: flag(0, 32, 'Control: may send page requests'),
  RESET: flag(0, 33, 'Control: write 1 while disabled to forget its state; reads 0'),
  RF: flag(0, 48, 'Status, write 1 to clear: a response said Failure; nothing more is sent until enabled again'),
  UPRGI: flag(0, 49, 'Status, write 1 to clear: a response named a group that it does not wait for'),
  STOPPED: flag(0, 56, 'Status: disabled, and no request is outstanding'),
  PASID_REQUIRED: flag(0, 63, 'Status: responses must carry the PASID if the request did'),
  MAX_REQ: bits(1, 31, 0, 'page requests that it can have outstanding'),
  ALLOC_REQ: bits(1, 63, 32, 'page requests that it may have outstanding'),
});
export const PRI = priLayout.fields;

/** Process Address Space IDs. */
export const pasidLayout = layout('PASID capability', 8, 'PCIe §7.8.8', {
  ...extendedCapability,
  EXEC: flag(0, 33, 'Capability: can ask for execute permission'),
  PRIV: flag(0, 34, 'Capability: can send privileged requests'),
  WIDTH: bits(0, 44, 40, 'Capability: bits of PASID that it can send'),
  ENABLE: flag(0, 48, 'Control: may send requests with a PASID'),
  EXEC_ENABLE: flag(0, 49, 'Control: may ask for execute permission'),
  PRIV_ENABLE: flag(0, 50, 'Control: may send privileged requests'),
});
export const PASID = pasidLayout.fields;
