import type { Layout } from '@smmu/spec';
import { describe, expect, it } from 'vitest';
import {
  atsLayout,
  barLayout,
  CAP_ID,
  capabilityLayout,
  EXT_CAP_ID,
  expLayout,
  extendedCapabilityLayout,
  headerLayout,
  msiLayout,
  pasidLayout,
  priLayout,
} from './index.ts';

// The second source: offsets and masks typed in from Linux include/uapi/linux/pci_regs.h, none from the tables.
type Row = readonly [field: string, offset: number, mask: number];

const header: readonly Row[] = [
  ['VENDOR_ID', 0x00, 0xffff], // PCI_VENDOR_ID
  ['DEVICE_ID', 0x02, 0xffff], // PCI_DEVICE_ID
  ['MEMORY', 0x04, 0x2], // PCI_COMMAND_MEMORY
  ['MASTER', 0x04, 0x4], // PCI_COMMAND_MASTER
  ['PARITY', 0x04, 0x40], // PCI_COMMAND_PARITY
  ['SERR', 0x04, 0x100], // PCI_COMMAND_SERR
  ['INTX_DISABLE', 0x04, 0x400], // PCI_COMMAND_INTX_DISABLE
  ['CAP_LIST', 0x06, 0x10], // PCI_STATUS_CAP_LIST
  ['MASTER_DATA_PARITY', 0x06, 0x100], // PCI_STATUS_PARITY
  ['SIG_TARGET_ABORT', 0x06, 0x800], // PCI_STATUS_SIG_TARGET_ABORT
  ['REC_TARGET_ABORT', 0x06, 0x1000], // PCI_STATUS_REC_TARGET_ABORT
  ['REC_MASTER_ABORT', 0x06, 0x2000], // PCI_STATUS_REC_MASTER_ABORT
  ['SIG_SYSTEM_ERROR', 0x06, 0x4000], // PCI_STATUS_SIG_SYSTEM_ERROR
  ['DETECTED_PARITY', 0x06, 0x8000], // PCI_STATUS_DETECTED_PARITY
  ['REVISION', 0x08, 0xff], // PCI_REVISION_ID
  ['CLASS', 0x08, 0xffffff00], // PCI_CLASS_REVISION, high 24 bits
  ['CACHE_LINE_SIZE', 0x0c, 0xff], // PCI_CACHE_LINE_SIZE
  ['HEADER_TYPE', 0x0e, 0x7f], // PCI_HEADER_TYPE_MASK
  ['MULTI_FUNCTION', 0x0e, 0x80], // PCI_HEADER_TYPE_MFD
  ['BAR0', 0x10, 0xffffffff], // PCI_BASE_ADDRESS_0
  ['BAR1', 0x14, 0xffffffff],
  ['BAR2', 0x18, 0xffffffff],
  ['BAR3', 0x1c, 0xffffffff],
  ['BAR4', 0x20, 0xffffffff],
  ['BAR5', 0x24, 0xffffffff], // PCI_BASE_ADDRESS_5
  ['SUBSYSTEM_VENDOR_ID', 0x2c, 0xffff], // PCI_SUBSYSTEM_VENDOR_ID
  ['SUBSYSTEM_ID', 0x2e, 0xffff], // PCI_SUBSYSTEM_ID
  ['CAP_POINTER', 0x34, 0xff], // PCI_CAPABILITY_LIST
  ['INTERRUPT_LINE', 0x3c, 0xff], // PCI_INTERRUPT_LINE
  ['INTERRUPT_PIN', 0x3d, 0xff], // PCI_INTERRUPT_PIN
];
const bar: readonly Row[] = [
  ['IO', 0, 0x01], // PCI_BASE_ADDRESS_SPACE_IO
  ['TYPE', 0, 0x06], // PCI_BASE_ADDRESS_MEM_TYPE_MASK
  ['PREFETCHABLE', 0, 0x08], // PCI_BASE_ADDRESS_MEM_PREFETCH
  ['BASE', 0, 0xfffffff0], // PCI_BASE_ADDRESS_MEM_MASK
];
const capability: readonly Row[] = [
  ['ID', 0, 0xff], // PCI_CAP_LIST_ID
  ['NEXT', 1, 0xff], // PCI_CAP_LIST_NEXT
];
const extended: readonly Row[] = [
  ['ID', 0, 0x0000ffff], // PCI_EXT_CAP_ID
  ['VERSION', 0, 0x000f0000], // PCI_EXT_CAP_VER
  ['NEXT', 0, 0xfff00000], // PCI_EXT_CAP_NEXT
];
const msi: readonly Row[] = [
  ...capability,
  ['ENABLE', 2, 0x0001], // PCI_MSI_FLAGS_ENABLE
  ['MULTIPLE_CAPABLE', 2, 0x000e], // PCI_MSI_FLAGS_QMASK
  ['MULTIPLE_ENABLE', 2, 0x0070], // PCI_MSI_FLAGS_QSIZE
  ['ADDRESS_64', 2, 0x0080], // PCI_MSI_FLAGS_64BIT
  ['MASKABLE', 2, 0x0100], // PCI_MSI_FLAGS_MASKBIT
  ['ADDRESS_LO', 0x04, 0xffffffff], // PCI_MSI_ADDRESS_LO
  ['ADDRESS_HI', 0x08, 0xffffffff], // PCI_MSI_ADDRESS_HI
  ['DATA', 0x0c, 0xffff], // PCI_MSI_DATA_64
  ['MASK', 0x10, 0xffffffff], // PCI_MSI_MASK_64
  ['PENDING', 0x14, 0xffffffff], // PCI_MSI_PENDING_64
];
const exp: readonly Row[] = [
  ...capability,
  ['VERSION', 0x02, 0x000f], // PCI_EXP_FLAGS_VERS
  ['TYPE', 0x02, 0x00f0], // PCI_EXP_FLAGS_TYPE
  ['MAX_PAYLOAD', 0x04, 0x00000007], // PCI_EXP_DEVCAP_PAYLOAD
  ['RBER', 0x04, 0x00008000], // PCI_EXP_DEVCAP_RBER
  ['FLR', 0x04, 0x10000000], // PCI_EXP_DEVCAP_FLR
  ['CERE', 0x08, 0x0001], // PCI_EXP_DEVCTL_CERE
  ['NFERE', 0x08, 0x0002], // PCI_EXP_DEVCTL_NFERE
  ['FERE', 0x08, 0x0004], // PCI_EXP_DEVCTL_FERE
  ['URRE', 0x08, 0x0008], // PCI_EXP_DEVCTL_URRE
  ['RELAX_EN', 0x08, 0x0010], // PCI_EXP_DEVCTL_RELAX_EN
  ['PAYLOAD', 0x08, 0x00e0], // PCI_EXP_DEVCTL_PAYLOAD
  ['NOSNOOP_EN', 0x08, 0x0800], // PCI_EXP_DEVCTL_NOSNOOP_EN
  ['READRQ', 0x08, 0x7000], // PCI_EXP_DEVCTL_READRQ
  ['BCR_FLR', 0x08, 0x8000], // PCI_EXP_DEVCTL_BCR_FLR
  ['CED', 0x0a, 0x0001], // PCI_EXP_DEVSTA_CED
  ['NFED', 0x0a, 0x0002], // PCI_EXP_DEVSTA_NFED
  ['FED', 0x0a, 0x0004], // PCI_EXP_DEVSTA_FED
  ['URD', 0x0a, 0x0008], // PCI_EXP_DEVSTA_URD
  ['TRPND', 0x0a, 0x0020], // PCI_EXP_DEVSTA_TRPND
  ['EE_PREFIX', 0x24, 0x00200000], // PCI_EXP_DEVCAP2_EE_PREFIX
];
const ats: readonly Row[] = [
  ...extended,
  ['QDEP', 0x04, 0x1f], // PCI_ATS_CAP_QDEP
  ['PAGE_ALIGNED', 0x04, 0x0020], // PCI_ATS_CAP_PAGE_ALIGNED
  ['GLOBAL_INVALIDATE', 0x04, 0x0040], // PCIe §10.5.1.2 bit 6; Linux has no name for it
  ['STU', 0x06, 0x1f], // PCI_ATS_CTRL_STU
  ['ENABLE', 0x06, 0x8000], // PCI_ATS_CTRL_ENABLE
];
const pri: readonly Row[] = [
  ...extended,
  ['ENABLE', 0x04, 0x0001], // PCI_PRI_CTRL_ENABLE
  ['RESET', 0x04, 0x0002], // PCI_PRI_CTRL_RESET
  ['RF', 0x06, 0x0001], // PCI_PRI_STATUS_RF
  ['UPRGI', 0x06, 0x0002], // PCI_PRI_STATUS_UPRGI
  ['STOPPED', 0x06, 0x0100], // PCI_PRI_STATUS_STOPPED
  ['PASID_REQUIRED', 0x06, 0x8000], // PCI_PRI_STATUS_PASID
  ['MAX_REQ', 0x08, 0xffffffff], // PCI_PRI_MAX_REQ
  ['ALLOC_REQ', 0x0c, 0xffffffff], // PCI_PRI_ALLOC_REQ
];
const pasid: readonly Row[] = [
  ...extended,
  ['EXEC', 0x04, 0x0002], // PCI_PASID_CAP_EXEC
  ['PRIV', 0x04, 0x0004], // PCI_PASID_CAP_PRIV
  ['WIDTH', 0x04, 0x1f00], // PCI_PASID_CAP_WIDTH
  ['ENABLE', 0x06, 0x0001], // PCI_PASID_CTRL_ENABLE
  ['EXEC_ENABLE', 0x06, 0x0002], // PCI_PASID_CTRL_EXEC
  ['PRIV_ENABLE', 0x06, 0x0004], // PCI_PASID_CTRL_PRIV
];

const tables: readonly (readonly [Layout, readonly Row[]])[] = [
  [headerLayout, header],
  [barLayout, bar],
  [capabilityLayout, capability],
  [extendedCapabilityLayout, extended],
  [msiLayout, msi],
  [expLayout, exp],
  [atsLayout, ats],
  [priLayout, pri],
  [pasidLayout, pasid],
];

describe.each(tables.map(([table, rows]) => [table.name, table, rows] as const))('%s', (_, table, rows) => {
  it.each(rows)('%s is where Linux pci_regs.h has it', (name, offset, mask) => {
    const bytes = new DataView(new ArrayBuffer(table.byteLength + 8));
    // The mask in place, at byte offset `offset`, as a little-endian CPU would store it.
    bytes.setBigUint64(offset & ~3, BigInt(mask) << BigInt((offset & 3) * 8), true);
    const words = new Uint32Array(bytes.buffer, 0, table.byteLength / 4);
    const found = Object.entries(table.decode(words)).filter(([, value]) => Boolean(value));
    const lowest = mask & -mask;
    const full = (mask >>> 0) / (lowest >>> 0);
    expect(found).toEqual([[name, full === 1 ? true : full]]);
  });

  it('has no field beyond those checked', () => {
    expect(Object.keys(table.fields).sort()).toEqual(rows.map(([name]) => name).sort());
  });
});

it('capability IDs are those of pci_regs.h', () => {
  expect(CAP_ID).toEqual({ MSI: 0x05, EXP: 0x10 });
  expect(EXT_CAP_ID).toEqual({ ATS: 0x0f, PRI: 0x13, PASID: 0x1b });
});
