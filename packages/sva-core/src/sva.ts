/**
 * Binding processes to devices (Linux drivers/iommu/iommu-sva.c; `deviceInit` and `deviceShutdown` are the API that the
 * series of 2018 proposed before them, with its reviewers' questions answered).
 *
 * A process has one PASID, whichever devices it is bound to. Devices of one IOMMU share one domain on its page tables.
 * A bond is counted: the last unbind takes the device off the process, and on return none of its faults is left.
 */
import type { Mm } from '@smmu/arm64-mm';
import type { IoasidAllocator } from '@smmu/ioasid';
import type { Device, Domain, Iommu, IopfGroupLike } from '@smmu/iommu';
import { IommuError } from '@smmu/platform';
import { Bond, type ExitCallback, type SvaBond } from './bond.ts';
import { asSvaDriver, SVA_IOPF, type SvaDriver } from './driver.ts';
import { handleGroup, type SvaFaultStats } from './faultHandler.ts';
import { BoundProcess, type SvaDomain } from './process.ts';

export interface SvaOptions {
  readonly iommu: Iommu;
  /** Where PASIDs come from. */
  readonly pasids: IoasidAllocator;
  /** Faults in a row on one page, each after the last one's answer, before the device is told to give up; 64. */
  readonly maxRepeats?: number;
}

export interface SvaDeviceOptions {
  /** Bits of {@link SVA_IOPF}. */
  readonly features: number;
  /** Lowest PASID to be used; 1 if left out. Zero is not a process's: it names transactions without one. */
  readonly minPasid?: number;
  /** Highest PASID to be used; what device and IOMMU can if left out, 0 or more than that. */
  readonly maxPasid?: number;
}

export interface BindOptions {
  /** Called once when the process exits while bound; the device driver stops the device's use of the PASID. */
  readonly onExit?: ExitCallback;
}

/** A device that can be bound. */
interface SvaDevice {
  readonly driver: SvaDriver;
  readonly minPasid: number;
  readonly maxPasid: number;
  bonds: number;
}

export class Sva {
  readonly faults: SvaFaultStats = { resolved: 0, refused: 0, outOfMemory: 0, exited: 0, repeated: 0 };
  readonly #iommu: Iommu;
  readonly #pasids: IoasidAllocator;
  readonly #maxRepeats: number;
  readonly #devices: Map<Device, SvaDevice> = new Map();
  readonly #processes: WeakMap<Mm, BoundProcess> = new WeakMap();
  #bondCount = 0;

  constructor({ iommu, pasids, maxRepeats = 64 }: SvaOptions) {
    this.#iommu = iommu;
    this.#pasids = pasids;
    this.#maxRepeats = maxRepeats;
  }

  /** Bonds of all devices. */
  get bondCount(): number {
    return this.#bondCount;
  }

  /** The process's PASID, or `undefined` while it is bound to nothing. */
  pasidOf(mm: Mm): number | undefined {
    return this.#processes.get(mm)?.pasid || undefined;
  }

  /**
   * Why `device` cannot be bound to a process, as sentences with the values in them, every reason at once; empty if it
   * can, or could once {@link deviceInit} is called.
   */
  whyNot(device: Device): string[] {
    const reasons = this.#iommu.whyNot(device, 'pasid');
    const driver = this.#iommu.findDriver(device);
    if (driver === undefined) return reasons;
    const sva = asSvaDriver(driver);
    const why = sva ? sva.svaSupport(device) : `driver ${driver.name} cannot share a process's page tables`;
    if (why !== undefined && !reasons.includes(why)) reasons.push(why);
    return reasons;
  }

  /**
   * Prepares a device to be bound to processes.
   * @throws {@link IommuError} `EEXIST` if it is prepared already; `EINVAL` for unknown features or an empty range of
   *   PASIDs; `ENODEV` if the device cannot do it, with every reason; and what the driver threw.
   */
  deviceInit(device: Device, { features, minPasid = 1, maxPasid = 0 }: SvaDeviceOptions): void {
    if (this.#devices.has(device)) throw new IommuError('EEXIST', `SVA of ${device.name} is initialised already`);
    if ((features & ~SVA_IOPF) !== 0)
      throw new IommuError('EINVAL', `SVA features 0x${features.toString(16)}: only bit 0, IOPF, is known`);
    const reasons = this.whyNot(device);
    const driver = asSvaDriver(this.#iommu.findDriver(device));
    if (reasons.length > 0 || driver === undefined)
      throw new IommuError('ENODEV', `${device.name} cannot share address spaces: ${reasons.join('; ')}`);
    const widest = Math.min(this.#iommu.maxPasids(device) - 1, this.#pasids.max);
    const last = maxPasid === 0 ? widest : Math.min(maxPasid, widest);
    if (!(minPasid >= 1 && minPasid <= last))
      throw new IommuError(
        'EINVAL',
        `PASIDs ${minPasid} to ${maxPasid || widest} of ${device.name}: it can use 1 to ${widest}`,
      );
    driver.enableSva(device, features);
    this.#devices.set(device, { driver, minPasid, maxPasid: last, bonds: 0 });
  }

  /**
   * Ends that.
   * @throws {@link IommuError} `ENODEV` if it was not initialised, `EBUSY` while processes are bound to it.
   */
  deviceShutdown(device: Device): void {
    const state = this.#device(device);
    if (state.bonds > 0)
      throw new IommuError('EBUSY', `${device.name} is bound to ${state.bonds} process(es): unbind them first`);
    this.#devices.delete(device);
    state.driver.disableSva(device);
  }

  /**
   * Lets a device use a process's addresses, under `pasid` of the bond. Bound already, the bond gets one more user.
   * @throws {@link IommuError} `ENODEV` without {@link deviceInit}; `ESRCH` if the process has exited; `EBUSY` while the
   *   last user is just unbinding; `ENOSPC` if no PASID is free for the device (a `RangeExhaustedError` says which
   *   range); `EOVERFLOW` if the process's PASID, given for another device, is outside this one's range; and what the
   *   driver threw. All is then as before.
   * @see Linux `iommu_sva_bind_device`, drivers/iommu/iommu-sva.c
   */
  bindDevice(device: Device, mm: Mm, { onExit }: BindOptions = {}): SvaBond {
    const state = this.#device(device);
    if (mm.users === 0) throw new IommuError('ESRCH', `${mm.name} has exited`);
    let bond = this.#processes.get(mm)?.bonds.get(device);
    if (bond !== undefined) {
      if (bond.unbinding) throw new IommuError('EBUSY', `${device.name} is being unbound from ${mm.name}`);
      bond.users += 1;
    } else {
      const process = this.#process(mm, state, device);
      try {
        bond = this.#attach(process, state, device);
      } catch (error) {
        this.#release(process);
        throw error;
      }
    }
    if (onExit !== undefined) bond.onExit = [...bond.onExit, onExit];
    return bond;
  }

  /**
   * Undoes one {@link bindDevice}. After the last, the device's transactions under the PASID abort, and none of its faults
   * is waiting for an answer. The device driver has stopped the device's use of the PASID before.
   * @throws {@link IommuError} `EINVAL` if the bond is not one any more; `EBUSY` while another change of the device's group
   *   is under way, and the bond is as before.
   * @see Linux `iommu_sva_unbind_device`, drivers/iommu/iommu-sva.c
   */
  unbindDevice(handle: SvaBond): void {
    const process = this.#processes.get(handle.mm);
    const bond = process?.bonds.get(handle.device);
    if (process === undefined || bond !== handle || bond.unbinding)
      throw new IommuError('EINVAL', `${handle.device.name} is not bound to ${handle.mm.name} by this bond`);
    bond.users -= 1;
    if (bond.users > 0) return;
    bond.unbinding = true; // others may run while the faults are dealt with
    try {
      this.#detach(process, bond.domain, bond.device);
    } catch (error) {
      bond.unbinding = false;
      bond.users = 1;
      throw error;
    }
    process.bonds.delete(bond.device);
    this.#device(bond.device).bonds -= 1;
    this.#bondCount -= 1;
    this.#leave(process, domainOf(process, bond.domain));
    this.#release(process);
  }

  /** The fault handler of every domain that this made; runs in process context. */
  handleFault(group: IopfGroupLike, process: BoundProcess): void {
    handleGroup(group, process.bonds.get(group.device), this.#maxRepeats, this.faults);
  }

  #device(device: Device): SvaDevice {
    const state = this.#devices.get(device);
    if (state === undefined)
      throw new IommuError('ENODEV', `SVA of ${device.name} is not initialised: call deviceInit`);
    return state;
  }

  /** The process with one more reference on its PASID. */
  #process(mm: Mm, { minPasid, maxPasid }: SvaDevice, device: Device): BoundProcess {
    let process = this.#processes.get(mm);
    if (process === undefined) this.#processes.set(mm, (process = new BoundProcess(mm)));
    if (process.pasid === 0) process.pasid = this.#pasids.alloc({ min: minPasid, max: maxPasid });
    else if (process.pasid < minPasid || process.pasid > maxPasid)
      throw new IommuError(
        'EOVERFLOW',
        `${mm.name} has PASID ${process.pasid}, ${device.name} can use ${minPasid} to ${maxPasid}: bind it there first`,
      );
    else this.#pasids.get(process.pasid);
    return process;
  }

  /** Gives that reference back. */
  #release(process: BoundProcess): void {
    if (this.#pasids.put(process.pasid)) process.pasid = 0;
  }

  #attach(process: BoundProcess, state: SvaDevice, device: Device): Bond {
    const { mm, pasid } = process;
    const sibling = this.#sibling(process, device);
    if (sibling?.unbinding) throw new IommuError('EBUSY', `${sibling.device.name} is being unbound from ${mm.name}`);
    let shared: SvaDomain;
    if (sibling) {
      shared = domainOf(process, sibling.domain);
      shared.users += 1;
    } else shared = this.#shareDomain(process, state, device) ?? this.#newDomain(process, state, device);
    if (mm.users === 0) {
      this.#detach(process, shared.domain, device); // it exited while the driver waited
      this.#leave(process, shared);
      throw new IommuError('ESRCH', `${mm.name} has exited`);
    }
    const bond = new Bond(pasid, device, mm, shared.domain);
    process.bonds.set(device, bond);
    state.bonds += 1;
    this.#bondCount += 1;
    return bond;
  }

  /** Detaches the device, unless another of its group keeps the PASID attached. */
  #detach(process: BoundProcess, domain: Domain, device: Device): void {
    if (!this.#sibling(process, device)) this.#iommu.detachDevicePasid(domain, device, process.pasid);
  }

  /** The bond of another device of the same group: PASIDs are attached to a group as a whole. */
  #sibling(process: BoundProcess, device: Device): Bond | undefined {
    if (process.bonds.size === 0) return undefined;
    const group = this.#iommu.groupOf(device);
    for (const bond of process.bonds.values())
      if (bond.device !== device && this.#iommu.groupOf(bond.device) === group) return bond;
    return undefined;
  }

  /** Attaches to a domain that another device of this IOMMU brought, if there is one that suits. */
  #shareDomain(process: BoundProcess, { driver }: SvaDevice, device: Device): SvaDomain | undefined {
    for (let i = 0; i < process.domains.length; i++) {
      const shared = process.domains[i]!;
      if (shared.driver !== driver) continue;
      try {
        return this.#join(process, shared, device);
      } catch (error) {
        if (!(error instanceof IommuError && error.code === 'EINVAL')) throw error; // EINVAL: not compatible, try another
      }
    }
    return undefined;
  }

  #newDomain(process: BoundProcess, { driver }: SvaDevice, device: Device): SvaDomain {
    const domain = driver.allocSvaDomain(device, process.mm);
    domain.iopfHandler = (group) => this.handleFault(group, process);
    const shared: SvaDomain = { domain, driver, users: 0 };
    process.domains.push(shared);
    return this.#join(process, shared, device, true);
  }

  /** Counts a user first: others may run while the driver attaches, and must not free the domain. */
  #join(process: BoundProcess, shared: SvaDomain, device: Device, isNew = false): SvaDomain {
    shared.users += 1;
    try {
      if (isNew) process.listen(); // again, behind the driver's notifier
      this.#iommu.attachDevicePasid(shared.domain, device, process.pasid);
    } catch (error) {
      this.#leave(process, shared);
      throw error;
    }
    return shared;
  }

  #leave(process: BoundProcess, shared: SvaDomain): void {
    shared.users -= 1;
    if (shared.users > 0) return;
    process.domains.splice(process.domains.indexOf(shared), 1);
    if (process.domains.length === 0) process.stopListening();
    this.#iommu.freeDomain(shared.domain);
  }
}

function domainOf({ domains }: BoundProcess, wanted: Domain): SvaDomain {
  let i = 0;
  while (domains[i]!.domain !== wanted) i += 1;
  return domains[i]!;
}
