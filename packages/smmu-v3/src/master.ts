/**
 * A device as the SMMU knows it, and which device a StreamID means.
 * Linux arm-smmu-v3.h `struct arm_smmu_master`, arm-smmu-v3.c `arm_smmu_insert_master`, `arm_smmu_find_master`.
 */
import type { Device, PciFunctionPort } from '@smmu/iommu';
import { hex, IommuError } from '@smmu/platform';
import { CdTable } from './cdtab.ts';
import type { SmmuDevice } from './device.ts';
import type { SmmuDomain } from './domain.ts';

/** What a PCI function's port may offer beside PASIDs (`@smmu/pci-ats`). */
export interface AtsPort {
  readonly atsSupported: boolean;
  /** @param pageShift - Log2 of the smallest translation that the SMMU answers with. */
  enableAts(pageShift: number): void;
  disableAts(): void;
}

/** The same, for page requests. */
export interface PriPort {
  readonly priSupported: boolean;
  resetPri(): void;
  /** @param requests - Page requests that may be on their way at a time. */
  enablePri(requests: number): void;
  disablePri(): void;
  /** Whether an answer must carry the PASID of its request; else it must not (PCIe 10.5.2.3). */
  prgResponsePasidRequired(): boolean;
}

/** One device behind the SMMU. */
export class Master {
  readonly device: Device;
  /** Its StreamIDs, ascending, each once. */
  readonly streamIds: readonly number[];
  /** SubstreamID bits that device and SMMU both have; 0 for none. */
  ssidBits: number;
  /** Its faulting transactions may wait for an answer. */
  readonly stall: boolean;
  /** Its function's ATS switch, if it has one that the SMMU can serve. */
  readonly ats: AtsPort | undefined;
  /** Its function's PRI switch, if it has one that the SMMU can serve; a device that stalls has no use for it. */
  readonly priPort: PriPort | undefined;
  /** Answers to its page requests carry the PASID. */
  readonly pasidInResponses: boolean;
  /** Its descriptors, from the first domain on that needs one until it is released. */
  cdTable: CdTable | undefined;
  /** The domain of its transactions without SubstreamID. */
  domain: SmmuDomain | undefined;
  /** The domain of each SubstreamID in use, 0 excluded. */
  readonly pasids: Map<number, SmmuDomain> = new Map();
  /** ATS is on. */
  atsEnabled = false;
  /** It shares processes: its stalls go to the fault queue. */
  sva = false;
  /** So do its page requests. */
  pri = false;

  constructor(smmu: SmmuDevice, device: Device, allowAts: boolean) {
    const { features } = smmu;
    this.device = device;
    this.streamIds = [...new Set(device.streamIds)].sort((a, b) => a - b);
    const widest = features.twoLevelCdtab ? 20 : 10; // Linux CTXDESC_LINEAR_CDMAX
    this.ssidBits = Math.min(device.pasidBits, features.ssidBits, widest);
    this.stall = features.stalls === 'forced' || (features.stalls === 'selectable' && device.canStall);
    const port = device.pci as (PciFunctionPort & Partial<AtsPort> & Partial<PriPort>) | undefined;
    this.ats = allowAts && features.ats && port?.atsSupported ? (port as PciFunctionPort & AtsPort) : undefined;
    const canRequest = this.ats !== undefined && features.pri && !this.stall && port?.priSupported;
    this.priPort = canRequest ? (port as PciFunctionPort & PriPort) : undefined;
    this.pasidInResponses = this.priPort?.prgResponsePasidRequired() ?? false;
  }

  /** Makes sure that there is a CD table. @throws {@link IommuError} `ENOMEM` */
  needCdTable(smmu: SmmuDevice, leaf: '4k' | '64k'): CdTable {
    this.cdTable ??= new CdTable({
      memory: smmu.memory,
      pages: smmu.pages,
      coherence: smmu.coherence,
      ssidBits: this.ssidBits,
      twoLevel: smmu.features.twoLevelCdtab,
      leaf,
      node: this.device.node,
    });
    return this.cdTable;
  }

  /** Gives the CD table back. No entry names it any more. */
  freeCdTable(): void {
    this.cdTable?.free();
    this.cdTable = undefined;
  }
}

/** StreamID to device. */
export class StreamMap {
  readonly #masters: Map<number, Master> = new Map();

  /**
   * Registers a device under all its streams.
   * @throws {@link IommuError} `EEXIST` if another device has one of them: nobody could tell their faults apart.
   */
  insert(master: Master): void {
    for (const sid of master.streamIds) {
      const other = this.#masters.get(sid);
      if (other !== undefined)
        throw new IommuError(
          'EEXIST',
          `StreamID ${hex(sid)} of ${master.device.name} is ${other.device.name}'s already`,
        );
    }
    for (const sid of master.streamIds) this.#masters.set(sid, master);
  }

  remove(master: Master): void {
    for (const sid of master.streamIds) this.#masters.delete(sid);
  }

  /** The device that a StreamID means (Linux `arm_smmu_find_master`). */
  find(sid: number): Master | undefined {
    return this.#masters.get(sid);
  }
}
