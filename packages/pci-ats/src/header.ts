import { bits, choice, flag, layout } from '@smmu/spec';

/**
 * The type 0 configuration header: the first 64 bytes of an endpoint's configuration space.
 * PCI Express Base §7.5.1; Linux include/uapi/linux/pci_regs.h.
 */
export const headerLayout = layout('PCI type 0 header', 64, 'PCIe §7.5.1', {
  VENDOR_ID: bits(0, 15, 0, 'who made the function; 0xffff where there is none'),
  DEVICE_ID: bits(0, 31, 16, 'which product of that vendor'),
  MEMORY: flag(0, 33, 'Command: answers accesses to its memory BARs'),
  MASTER: flag(0, 34, 'Command: may issue memory requests, MSIs included'),
  PARITY: flag(0, 38, 'Command: parity error response'),
  SERR: flag(0, 40, 'Command: SERR# enable'),
  INTX_DISABLE: flag(0, 42, 'Command: may not assert INTx'),
  CAP_LIST: flag(0, 52, 'Status: a capability list exists'),
  MASTER_DATA_PARITY: flag(0, 56, 'Status, write 1 to clear: a poisoned request or completion was seen'),
  SIG_TARGET_ABORT: flag(0, 59, 'Status, write 1 to clear: completed a request with Completer Abort'),
  REC_TARGET_ABORT: flag(0, 60, 'Status, write 1 to clear: a request of its own met Completer Abort'),
  REC_MASTER_ABORT: flag(0, 61, 'Status, write 1 to clear: a request of its own met Unsupported Request'),
  SIG_SYSTEM_ERROR: flag(0, 62, 'Status, write 1 to clear: sent an error message'),
  DETECTED_PARITY: flag(0, 63, 'Status, write 1 to clear: received a poisoned TLP'),
  REVISION: bits(1, 7, 0, 'revision of the product'),
  CLASS: bits(1, 31, 8, 'class, subclass, programming interface'),
  CACHE_LINE_SIZE: bits(1, 39, 32, 'kept for old software; no effect on PCI Express'),
  HEADER_TYPE: choice(1, 54, 48, { NORMAL: 0, BRIDGE: 1, CARDBUS: 2 }, 'layout of the header'),
  MULTI_FUNCTION: flag(1, 55, 'other functions of the device exist'),
  BAR0: bits(2, 31, 0, 'base address and kind of region 0'),
  BAR1: bits(2, 63, 32, 'base address of region 1, or upper half of region 0'),
  BAR2: bits(3, 31, 0, 'base address and kind of region 2'),
  BAR3: bits(3, 63, 32, 'base address of region 3, or upper half of region 2'),
  BAR4: bits(4, 31, 0, 'base address and kind of region 4'),
  BAR5: bits(4, 63, 32, 'base address of region 5, or upper half of region 4'),
  SUBSYSTEM_VENDOR_ID: bits(5, 47, 32, 'who made the board'),
  SUBSYSTEM_ID: bits(5, 63, 48, 'which board of that vendor'),
  CAP_POINTER: bits(6, 39, 32, 'offset of the first capability'),
  INTERRUPT_LINE: bits(7, 39, 32, 'scratch byte of the firmware'),
  INTERRUPT_PIN: bits(7, 47, 40, 'INTx pin; 0 for none'),
});
/** Fields of {@link headerLayout}. */
export const HEADER = headerLayout.fields;

/** Offset of BAR 0. Each BAR is one word. */
export const BAR_OFFSET = 0x10;
export const BAR_COUNT = 6;

/** A memory BAR's low bits say what kind of region it is; the rest is the address. */
export const barLayout = layout('memory BAR', 4, 'PCIe §7.5.1.2.1', {
  IO: flag(0, 0, 'an I/O region'),
  TYPE: choice(
    0,
    2,
    1,
    { BELOW_4G: 0, ANYWHERE: 2 },
    'where it may be placed; ANYWHERE takes the next BAR as upper half',
  ),
  PREFETCHABLE: flag(0, 3, 'reads have no side effects'),
  BASE: bits(0, 31, 4, 'base address, bits 31:4'),
});
export const BAR = barLayout.fields;
