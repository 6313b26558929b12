/** A device bound to a process: what a device driver holds (Linux `struct iommu_sva`, iommu-sva.c). */
import type { Mm } from '@smmu/arm64-mm';
import type { Device, Domain } from '@smmu/iommu';
import { RepeatedFaults } from './repeats.ts';

export interface SvaBond {
  /** Names the process on the device's transactions. */
  readonly pasid: number;
  readonly device: Device;
  readonly mm: Mm;
  readonly domain: Domain;
  /** Binds not yet undone. */
  readonly users: number;
  /** The process has exited: the device's transactions abort. */
  readonly exited: boolean;
}

export type ExitCallback = (bond: SvaBond) => void;

const NOBODY: readonly ExitCallback[] = [];

export class Bond implements SvaBond {
  readonly pasid: number;
  readonly device: Device;
  readonly mm: Mm;
  readonly domain: Domain;
  users = 1;
  exited = false;
  /** Its last user has left, and its faults are being dealt with. */
  unbinding = false;
  onExit: readonly ExitCallback[] = NOBODY;
  #repeats: RepeatedFaults | undefined;

  constructor(pasid: number, device: Device, mm: Mm, domain: Domain) {
    this.pasid = pasid;
    this.device = device;
    this.mm = mm;
    this.domain = domain;
  }

  /** What its device faulted on. Most bonds never need it. */
  get repeats(): RepeatedFaults {
    this.#repeats ??= new RepeatedFaults();
    return this.#repeats;
  }
}
