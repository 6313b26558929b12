import { IommuError } from '@smmu/platform';
import { ATS, CAP_ID, EXP, EXT_CAP_ID, PASID, PRI } from './capabilities.ts';
import { PciConfig } from './config.ts';
import type { ConfigAccess } from './configSpace.ts';
import type { PciAddress } from './requesterId.ts';

/** Features of a function's PASID capability, as the bits of both its registers. Linux `PCI_PASID_CAP_*`. */
export const PASID_FEATURE = { EXEC: PASID.EXEC_ENABLE.mask >>> 16, PRIV: PASID.PRIV_ENABLE.mask >>> 16 } as const;

/** log2 of the smallest translation unit of ATS: 4 KiB. */
const ATS_MIN_STU = 12;
const ATS_MAX_QUEUE_DEPTH = 32;

/** What {@link PciDevice.priStatus} found. */
export interface PriStatus {
  readonly responseFailure: boolean;
  readonly unexpectedGroup: boolean;
  /** Disabled with nothing outstanding. */
  readonly stopped: boolean;
}

/**
 * A function as its driver and the IOMMU driver see it: with the operations on its PASID, ATS and PRI capabilities.
 * What is on is kept here, as in Linux `struct pci_dev`, so that a second user is told. Linux drivers/pci/ats.c.
 */
export class PciDevice extends PciConfig {
  readonly #pasid: number;
  readonly #ats: number;
  readonly #pri: number;
  readonly #prefixes: boolean;
  #pasidEnabled = false;
  #atsEnabled = false;
  #priEnabled = false;
  #atsShift = 0;

  /** @throws {@link IommuError} `ENODEV` if nothing answers, `EOPNOTSUPP` if the header is not type 0. */
  constructor(access: ConfigAccess, address: PciAddress) {
    super(access, address);
    this.#pasid = this.findExtCapability(EXT_CAP_ID.PASID);
    this.#ats = this.findExtCapability(EXT_CAP_ID.ATS);
    this.#pri = this.findExtCapability(EXT_CAP_ID.PRI);
    const exp = this.findCapability(CAP_ID.EXP);
    this.#prefixes = exp !== 0 && this.flag(exp, EXP.EE_PREFIX);
  }

  get pasidEnabled(): boolean {
    return this.#pasidEnabled;
  }
  get atsEnabled(): boolean {
    return this.#atsEnabled;
  }
  get priEnabled(): boolean {
    return this.#priEnabled;
  }

  /**
   * Lets the function send PASIDs. Linux `pci_enable_pasid`.
   * @param features - {@link PASID_FEATURE} bits to allow as well.
   * @throws {@link IommuError} `EBUSY` if it is on, `EINVAL` without the capability, if no prefix can travel on the way
   *   up, or with a feature that the function lacks.
   */
  enablePasid(features = 0): void {
    if (this.#pasidEnabled) throw new IommuError('EBUSY', `${this.name}: PASID is enabled already`);
    if (!this.#prefixes)
      throw new IommuError('EINVAL', `${this.name}: TLPs cannot carry the prefix that a PASID needs`);
    const supported = this.pasidFeatures();
    if ((features & ~supported) !== 0)
      throw new IommuError('EINVAL', `${this.name}: PASID features ${features}, the function has ${supported}`);
    this.setFlag(this.#pasid, PASID.EXEC_ENABLE, (features & PASID_FEATURE.EXEC) !== 0);
    this.setFlag(this.#pasid, PASID.PRIV_ENABLE, (features & PASID_FEATURE.PRIV) !== 0);
    this.setFlag(this.#pasid, PASID.ENABLE, true);
    this.#pasidEnabled = true;
  }

  /** Stops the function from sending PASIDs; does nothing if it could not. Linux `pci_disable_pasid`. */
  disablePasid(): void {
    if (!this.#pasidEnabled) return;
    this.setFlag(this.#pasid, PASID.ENABLE, false);
    this.setFlag(this.#pasid, PASID.EXEC_ENABLE, false);
    this.setFlag(this.#pasid, PASID.PRIV_ENABLE, false);
    this.#pasidEnabled = false;
  }

  /** The {@link PASID_FEATURE} bits that it has. Linux `pci_pasid_features`. @throws {@link IommuError} `EINVAL` without the capability. */
  pasidFeatures(): number {
    const offset = this.#need(this.#pasid, 'PASID');
    return (
      (this.flag(offset, PASID.EXEC) ? PASID_FEATURE.EXEC : 0) |
      (this.flag(offset, PASID.PRIV) ? PASID_FEATURE.PRIV : 0)
    );
  }

  /** How many PASIDs it can send. Linux `pci_max_pasids`. @throws {@link IommuError} `EINVAL` without the capability. */
  maxPasids(): number {
    return 2 ** this.get(this.#need(this.#pasid, 'PASID'), PASID.WIDTH);
  }

  /** Whether it can ask for translations. Linux `pci_ats_supported`. */
  get atsSupported(): boolean {
    return this.#ats !== 0;
  }

  /**
   * Lets the function ask for translations. Linux `pci_enable_ats`.
   * @param pageShift - log2 of the smallest translation that the IOMMU answers with, at least 12.
   * @throws {@link IommuError} `EBUSY` if it is on, `EINVAL` without the capability or with a smaller page.
   */
  enableAts(pageShift: number): void {
    if (this.#atsEnabled) throw new IommuError('EBUSY', `${this.name}: ATS is enabled already`);
    const offset = this.#need(this.#ats, 'ATS');
    if (pageShift < ATS_MIN_STU || pageShift > ATS_MIN_STU + ATS.STU.max)
      throw new IommuError('EINVAL', `${this.name}: ATS with pages of 2^${pageShift} bytes: must be 2^12 to 2^43`);
    this.set(offset, ATS.STU, pageShift - ATS_MIN_STU);
    this.setFlag(offset, ATS.ENABLE, true);
    this.#atsShift = pageShift;
    this.#atsEnabled = true;
  }

  /** Stops translation requests; does nothing if they were not allowed. Linux `pci_disable_ats`. */
  disableAts(): void {
    if (!this.#atsEnabled) return;
    this.setFlag(this.#ats, ATS.ENABLE, false);
    this.#atsEnabled = false;
  }

  /** log2 of the page that ATS was last enabled with; 0 if never. */
  get atsPageShift(): number {
    return this.#atsShift;
  }

  /** Invalidations that it can queue. Linux `pci_ats_queue_depth`. @throws {@link IommuError} `EINVAL` without the capability. */
  atsQueueDepth(): number {
    return this.get(this.#need(this.#ats, 'ATS'), ATS.QDEP) || ATS_MAX_QUEUE_DEPTH;
  }

  /** Whether its requests name 4 KiB aligned addresses; false without the capability. Linux `pci_ats_page_aligned`. */
  atsPageAligned(): boolean {
    return this.#ats !== 0 && this.flag(this.#ats, ATS.PAGE_ALIGNED);
  }

  /** Whether it can ask for pages. Linux `pci_pri_supported`. */
  get priSupported(): boolean {
    return this.#pri !== 0;
  }

  /**
   * Lets the function ask for pages. Linux `pci_enable_pri`.
   * @param requests - How many it may have outstanding; cut to what it can.
   * @throws {@link IommuError} `EBUSY` if it is on or has not stopped yet, `EINVAL` without the capability.
   */
  enablePri(requests: number): void {
    if (this.#priEnabled) throw new IommuError('EBUSY', `${this.name}: PRI is enabled already`);
    const offset = this.#need(this.#pri, 'PRI');
    if (!this.flag(offset, PRI.STOPPED))
      throw new IommuError('EBUSY', `${this.name}: page requests from before are still outstanding`);
    this.access.write(offset + 4 * PRI.ALLOC_REQ.word, 4, Math.min(requests, this.get(offset, PRI.MAX_REQ)));
    this.setFlag(offset, PRI.ENABLE, true);
    this.#priEnabled = true;
  }

  /** Stops page requests; does nothing if they were not allowed. Linux `pci_disable_pri`. */
  disablePri(): void {
    if (!this.#priEnabled) return;
    this.setFlag(this.#pri, PRI.ENABLE, false);
    this.#priEnabled = false;
  }

  /** Makes the function forget its page requests. Linux `pci_reset_pri`. @throws {@link IommuError} `EBUSY` while enabled, `EINVAL` without the capability. */
  resetPri(): void {
    if (this.#priEnabled) throw new IommuError('EBUSY', `${this.name}: PRI is enabled; disable it before a reset`);
    this.setFlag(this.#need(this.#pri, 'PRI'), PRI.RESET, true);
  }

  /** @throws {@link IommuError} `EINVAL` without the capability. */
  priStatus(): PriStatus {
    const offset = this.#need(this.#pri, 'PRI');
    return {
      responseFailure: this.flag(offset, PRI.RF),
      unexpectedGroup: this.flag(offset, PRI.UPRGI),
      stopped: this.flag(offset, PRI.STOPPED),
    };
  }

  /** Whether responses must name the PASID; false without the capability. Linux `pci_prg_resp_pasid_required`. */
  prgResponsePasidRequired(): boolean {
    return this.#pri !== 0 && this.flag(this.#pri, PRI.PASID_REQUIRED);
  }

  #need(offset: number, name: string): number {
    if (offset === 0) throw new IommuError('EINVAL', `${this.name}: has no ${name} capability`);
    return offset;
  }
}
