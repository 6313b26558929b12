/** What a bus tells the IOMMU about a bus master (Linux `struct device` with its `dev_iommu`, include/linux/iommu.h). */

/** What the IOMMU driver switches at a PCI function (Linux drivers/pci/ats.c). `@smmu/pci-ats` implements it. */
export interface PciFunctionPort {
  /** Lets the function send requests with a PASID (PCIe 10.5). */
  enablePasid(): void;
  disablePasid(): void;
  /** Requester IDs of other functions that this one's requests may carry, such as behind a PCIe-to-PCI bridge. */
  readonly aliases?: readonly number[];
  /** Whether the function has the ATS capability. */
  readonly atsSupported?: boolean;
  /** Lets the function ask for translations of pages of 2^`pageShift` bytes, and keep them (PCIe 10.5.1). */
  enableAts?(pageShift: number): void;
  disableAts?(): void;
}

/** A bus master. Its identity is the object: hand the same one to every call. */
export interface Device {
  /** As the kernel prints it: `0000:75:00.0`. */
  readonly name: string;
  readonly bus: 'pci' | 'platform';
  /** StreamIDs of its transactions. For PCI the requester ID, possibly offset by the firmware tables. */
  readonly streamIds: readonly number[];
  /** Width of its PASIDs in bits; 0 if its transactions carry none. */
  readonly pasidBits: number;
  /** Whether a faulting transaction may wait for an answer (firmware: `dma-can-stall`). */
  readonly canStall: boolean;
  /** Bits of address that it can drive; all of the IOMMU's if left out (Linux `dev->coherent_dma_mask`). */
  readonly dmaBits?: number;
  /** NUMA node; 0 if left out. */
  readonly node?: number;
  /** Devices of one IOMMU with the same name here cannot be isolated from each other (no ACS, a common bridge). */
  readonly isolation?: string;
  readonly pci?: PciFunctionPort;
}
