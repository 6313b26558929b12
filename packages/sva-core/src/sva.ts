/** Binding processes to devices (Linux drivers/iommu/iommu-sva.c, and the 2018 device API). */

import type { IoasidAllocator } from '@smmu/ioasid';
import type { Device, Domain, Iommu, IommuDriver, IopfGroupLike } from '@smmu/iommu';
import { IommuError } from '@smmu/platform';
import type { Mm } from './mm.ts';

const todo = (): never => {
  throw new IommuError('EOPNOTSUPP', 'not written yet');
};

/** The device's faults are recoverable: nothing has to be pinned (`IOMMU_SVA_FEAT_IOPF`). */
export const SVA_IOPF = 1;

/** What an IOMMU driver adds so that its devices can share address spaces. */
export interface SvaDriver extends IommuDriver {
  /** Why `device` cannot share address spaces, as a sentence with values; `undefined` if it can. */
  svaSupport(device: Device): string | undefined;
  /** Prepares `device` for `features`. Throws with everything given back if it cannot. */
  enableSva(device: Device, features: number): void;
  disableSva(device: Device): void;
  /** A domain on the process's own page tables. It registers its own notifier with `mm`. */
  allocSvaDomain(device: Device, mm: Mm): Domain;
}

export interface SvaDeviceOptions {
  /** Bits of {@link SVA_IOPF}. */
  readonly features: number;
  /** Lowest PASID to be used; 1 if left out. */
  readonly minPasid?: number;
  /** Highest PASID to be used; what device and IOMMU can if left out, 0 or more than that. */
  readonly maxPasid?: number;
}

export interface SvaBond {
  readonly pasid: number;
  readonly device: Device;
  readonly mm: Mm;
  readonly domain: Domain;
  /** Binds not yet undone. */
  readonly users: number;
  /** The process has exited: the device's transactions abort. */
  readonly exited: boolean;
}

export interface BindOptions {
  /** Called once when the process exits while bound; the device driver stops the device's use of the PASID. */
  readonly onExit?: (bond: SvaBond) => void;
}

export interface SvaOptions {
  readonly iommu: Iommu;
  readonly pasids: IoasidAllocator;
  /** Faults in a row on one page, each after the last one's answer, before the device is told to give up; 64. */
  readonly maxRepeats?: number;
}

export class Sva {
  readonly options: SvaOptions;
  constructor(options: SvaOptions) {
    this.options = options;
  }
  deviceInit(_device: Device, _options: SvaDeviceOptions): void {
    todo();
  }
  deviceShutdown(_device: Device): void {
    todo();
  }
  bindDevice(_device: Device, _mm: Mm, _options: BindOptions = {}): SvaBond {
    return todo();
  }
  unbindDevice(_bond: SvaBond): void {
    todo();
  }
  handleFault(_group: IopfGroupLike): void {
    todo();
  }
  whyNot(_device: Device): string[] {
    return todo();
  }
}
