/**
 * The IOMMU API: what the transactions of each device see.
 * Linux drivers/iommu/iommu.c.
 */
import { IommuError, type Iova, type Pa } from '@smmu/platform';
import type { Device } from './device.ts';
import { type Domain, type Gather, PROT } from './domain.ts';
import { type DomainState, Domains } from './domains.ts';
import type { IommuDriver } from './driver.ts';
import type { DeviceFault, DeviceFaultHandler, FaultSink, IopfFault } from './fault.ts';
import type { Group, Member } from './group.ts';
import { MappedPages } from './mappedPages.ts';
import { map, paging, smallestPage, unmap, unmapFast } from './mapping.ts';
import type { MsiSource } from './msiPages.ts';
import { insertReservedRegion, lastOf, type ReservedRegion } from './reservedRegions.ts';
import { Topology } from './topology.ts';

export interface IommuOptions {
  /** Type of the default domain where the driver has no wish; `dma` if left out (Linux `iommu.passthrough=0`). */
  readonly defaultDomainType?: 'dma' | 'identity';
  /** Count the mappings of every page, to find memory that is given back while mapped (`iommu.debug_pagealloc`). */
  readonly debugPages?: boolean;
}

/** Devices that cannot be isolated from each other. A view: it changes as the group does. */
export interface IommuGroup {
  readonly id: number;
  readonly devices: readonly Device[];
  /** What the group is in while nobody has taken it over. */
  readonly defaultDomain: Domain;
  /** The domain of transactions without PASID. */
  readonly domain: Domain;
  /** Domains by PASID, in ascending order. */
  readonly pasids: ReadonlyMap<number, Domain>;
}

/** All IOMMUs of a machine and the devices behind them. */
export class Iommu {
  /** Mappings by page, if asked for with `debugPages`. */
  readonly mappedPages: MappedPages | undefined;
  readonly #domains: Domains = new Domains(this);
  readonly #topology: Topology;

  constructor(options: IommuOptions = {}) {
    this.mappedPages = options.debugPages ? new MappedPages() : undefined;
    this.#topology = new Topology({
      domains: this.#domains,
      defaultType: options.defaultDomainType ?? 'dma',
      mapDirect: (domain, member) => this.#mapDirect(domain, member),
    });
  }

  /**
   * Adds an IOMMU (Linux `iommu_device_register`). Devices come with {@link probeDevice}.
   * @throws {@link IommuError} `EBUSY` if it is registered.
   */
  registerDriver(driver: IommuDriver): void {
    this.#topology.register(driver);
  }

  /**
   * Releases an IOMMU's devices and forgets it (Linux `iommu_device_unregister`).
   * @throws {@link IommuError} `ENODEV` if it is not registered, `EBUSY` if a device is still bound somewhere.
   */
  unregisterDriver(driver: IommuDriver): void {
    this.#topology.unregister(driver);
  }

  /**
   * Puts a device under its IOMMU's control: it joins its group and the group's domains. Nothing happens if it is there.
   * @throws {@link IommuError} `ENODEV` if no IOMMU claims it; `EINVAL` if it needs another default domain than its group
   *   has, or its PASIDs are too narrow for one that the group uses; `EBUSY` while it is being probed; and what its
   *   driver threw. Everything is then as before.
   * @see Linux `iommu_probe_device`, drivers/iommu/iommu.c
   */
  probeDevice(device: Device): void {
    this.#topology.probe(device);
  }

  /**
   * Takes a device out: its transactions are blocked and its driver forgets it (Linux `iommu_release_device`).
   * @throws {@link IommuError} `ENODEV` if it was not probed; `EBUSY` if it is its group's last and PASIDs or a domain
   *   other than the default are still attached.
   */
  releaseDevice(device: Device): void {
    this.#topology.release(device);
  }

  /** @throws {@link IommuError} `ENODEV` if the device is behind no IOMMU. */
  groupOf(device: Device): IommuGroup {
    return this.#topology.group(device);
  }

  /** The domain of the device's transactions without PASID. @throws {@link IommuError} `ENODEV` */
  domainOf(device: Device): Domain {
    return this.#topology.group(device).domain;
  }

  /** @throws {@link IommuError} `ENODEV` if the device is behind no IOMMU. */
  driverOf(device: Device): IommuDriver {
    return this.#topology.member(device).driver;
  }

  /** {@link driverOf} that answers `undefined` instead. */
  findDriver(device: Device): IommuDriver | undefined {
    return this.#topology.findMember(device)?.driver;
  }

  /** PASIDs that the device can use, 0 included: what device and IOMMU have in common. @throws {@link IommuError} `ENODEV` */
  maxPasids(device: Device): number {
    return this.#topology.member(device).maxPasids;
  }

  /**
   * Makes a domain for `device`, with nothing mapped (Linux `iommu_paging_domain_alloc`). Free it with {@link freeDomain}.
   * @throws {@link IommuError} `ENODEV` if the device is behind no IOMMU, and what its driver threw.
   */
  allocDomain(type: 'dma' | 'unmanaged', device: Device): Domain {
    const { driver } = this.#topology.member(device);
    const domain = driver.allocDomain(type, device);
    this.#domains.of(domain, driver);
    return domain;
  }

  /**
   * Frees a domain, and the doorbells mapped into it (Linux `iommu_domain_free`).
   * @throws {@link IommuError} `EBUSY` if it is still attached somewhere.
   */
  freeDomain(domain: Domain): void {
    this.#domains.free(domain);
  }

  /**
   * Calls back before a domain is freed, for those who keep something of their own with it.
   * @throws {@link IommuError} `EINVAL` if the domain was neither allocated here nor ever attached.
   */
  whenFreed(domain: Domain, callback: () => void): void {
    this.#domains.known(domain).whenFreed.push(callback);
  }

  /**
   * Attaches the device's whole group to `domain`, or leaves everything as it was.
   * @throws {@link IommuError} `ENODEV`; `EINVAL` if the domain belongs to another IOMMU, or firmware demands one-to-one
   *   mappings; `EBUSY` if somebody else has taken the group over; and what the driver threw.
   * @see Linux `iommu_attach_group`, drivers/iommu/iommu.c
   */
  attachDevice(domain: Domain, device: Device): void {
    const group = this.#topology.group(device);
    const state = this.#compatible(domain, group);
    if (group.domain !== group.defaultDomain && group.domain !== group.driver.blockedDomain)
      throw new IommuError(
        'EBUSY',
        `${device.name} is attached to ${group.domain === domain ? 'it' : `another domain (${group.domain.type})`} already`,
      );
    this.#move(group, domain, state);
  }

  /**
   * Returns the device's whole group to its default domain (Linux `iommu_detach_group`).
   * @throws {@link IommuError} `ENODEV`; `EINVAL` if it is not in `domain`; and what the driver threw.
   */
  detachDevice(domain: Domain, device: Device): void {
    const group = this.#topology.group(device);
    if (group.domain !== domain || domain === group.defaultDomain)
      throw new IommuError('EINVAL', `${device.name} is in its ${group.domain.type} domain, not in the one to detach`);
    this.#move(group, group.defaultDomain, this.#domains.of(group.defaultDomain, group.driver));
  }

  /**
   * Attaches a PASID of the device's whole group, members without PASIDs left out; or leaves everything as it was.
   * @param pasid - 1 up to, not including, what every member with PASIDs can use.
   * @throws {@link IommuError} `ENODEV`; `EOPNOTSUPP` if the domain cannot be on a PASID; `EINVAL` if the device has no
   *   PASIDs, this one is too wide for a member, or the domain belongs to another IOMMU; `EBUSY` if it is attached; and
   *   what the driver threw.
   * @see Linux `iommu_attach_device_pasid`, drivers/iommu/iommu.c
   */
  attachDevicePasid(domain: Domain, device: Device, pasid: number): void {
    const group = this.#pasidGroup(device);
    this.#using(this.#compatible(domain, group), () => group.attachPasid(domain, pasid));
  }

  /**
   * Moves a PASID of the device's whole group to another domain, with no moment in between.
   * @throws {@link IommuError} as {@link attachDevicePasid}, and `EINVAL` if the PASID is in no domain.
   * @see Linux `iommu_replace_device_pasid`, drivers/iommu/iommu.c
   */
  replaceDevicePasid(domain: Domain, device: Device, pasid: number): void {
    const group = this.#pasidGroup(device);
    const old = this.#using(this.#compatible(domain, group), () => group.replacePasid(domain, pasid));
    this.#domains.of(old, group.driver).users -= 1;
  }

  /**
   * Takes a PASID of the device's whole group out of `domain`. On return its faults are dealt with.
   * @throws {@link IommuError} `ENODEV`; `EINVAL` if it is not in `domain`; `EBUSY` while it is being changed.
   * @see Linux `iommu_detach_device_pasid`, drivers/iommu/iommu.c
   */
  detachDevicePasid(domain: Domain, device: Device, pasid: number): void {
    const group = this.#topology.group(device);
    group.detachPasid(domain, pasid);
    this.#domains.of(domain, group.driver).users -= 1;
  }

  /** The domain of a PASID of the device, or of its transactions without one (`NO_PASID`). `undefined` if there is none. */
  domainForPasid(device: Device, pasid: number): Domain | undefined {
    return this.#topology.findGroup(device)?.domainForPasid(pasid);
  }

  /**
   * Maps a range, with the largest pages that fit. Undone as a whole if a part cannot be mapped.
   * @param iova - Multiple of the domain's smallest page, as are `pa` and `bytes`.
   * @param prot - Bits of {@link PROT}.
   * @throws {@link IommuError} `EINVAL`, `ERANGE`, and what the driver threw (`EEXIST`, `ENOMEM`).
   * @see Linux `iommu_map`, drivers/iommu/iommu.c
   */
  map(domain: Domain, iova: Iova, pa: Pa, bytes: number, prot: number): void {
    map(domain, iova, pa, bytes, prot, this.mappedPages);
  }

  /**
   * Unmaps a range and invalidates it. @returns Bytes unmapped; a hole ends the run.
   * @throws {@link IommuError} `EINVAL`, `ERANGE`
   * @see Linux `iommu_unmap`, drivers/iommu/iommu.c
   */
  unmap(domain: Domain, iova: Iova, bytes: number): number {
    return unmap(domain, iova, bytes, this.mappedPages);
  }

  /** {@link unmap} that leaves invalidating to the owner of `gather` (Linux `iommu_unmap_fast`). */
  unmapFast(domain: Domain, iova: Iova, bytes: number, gather: Gather): number {
    return unmapFast(domain, iova, bytes, gather, this.mappedPages);
  }

  /** Where an input address of a domain leads; itself in an identity domain; -1 if nowhere. */
  iovaToPhys(domain: Domain, iova: Iova): Pa | -1 {
    return domain.type === 'identity' ? (iova as number) : (domain.iovaToPhys?.(iova) ?? -1);
  }

  /** Reserved regions of the device's whole group, sorted and merged. @throws {@link IommuError} `ENODEV` */
  reservedRegions(device: Device): ReservedRegion[] {
    let regions: ReservedRegion[] = [];
    for (const member of this.#topology.group(device).members)
      for (const region of member.regions) regions = insertReservedRegion(regions, region);
    return regions;
  }

  /**
   * Gives a domain a window of input addresses for the doorbells of its devices' interrupts. It lasts as long as the domain.
   * @param iova - First input address, a multiple of the domain's smallest page, as is `bytes`.
   * @throws {@link IommuError} `EINVAL` if misaligned, empty, or not a domain with a page table; `EEXIST` if it has a window;
   *   `ERANGE` outside the domain's geometry.
   * @see Linux `iommu_get_msi_cookie`, drivers/iommu/dma-iommu.c
   */
  setMsiWindow(domain: Domain, iova: Iova, bytes: number): void {
    this.#domains.setMsiWindow(domain, iova, bytes);
  }

  /** {@link setMsiWindow} with addresses of the caller's choice. @throws {@link IommuError} `EINVAL`, `EEXIST` */
  setMsiSource(domain: Domain, source: MsiSource): void {
    this.#domains.setMsiSource(domain, source);
  }

  /** Whether {@link setMsiWindow} or {@link setMsiSource} was called for the domain. */
  hasMsiWindow(domain: Domain): boolean {
    return this.#domains.find(domain)?.msi !== undefined;
  }

  /**
   * What `device` has to write to so that its interrupt arrives at the doorbell `pa`. The doorbell's page is mapped once
   * per domain and found again by later users.
   * @throws {@link IommuError} `ENODEV`; `ENOENT` if the device's domain has no MSI window; `ENOSPC` if that is full; and
   *   what the driver threw.
   * @see Linux `iommu_dma_prepare_msi`, drivers/iommu/dma-iommu.c
   */
  mapMsiDoorbell(device: Device, pa: Pa): Iova {
    const { regions } = this.#topology.member(device);
    if (regions.some((region) => region.type === 'msi' && pa >= region.start && pa <= lastOf(region)))
      return pa as number;
    const domain = this.domainOf(device);
    if (domain.type === 'identity') return pa as number;
    const msi = this.#domains.find(domain)?.msi;
    if (msi === undefined)
      throw new IommuError(
        'ENOENT',
        `an interrupt of ${device.name} has no way out: its ${domain.type} domain has no MSI window`,
      );
    return msi.map(pa);
  }

  /**
   * Says who takes the device's recoverable faults; `undefined`: nobody any more.
   * @throws {@link IommuError} `ENODEV`; `EBUSY` if somebody else does.
   */
  setFaultSink(device: Device, sink: FaultSink | undefined): void {
    const member = this.#topology.member(device);
    if (sink !== undefined && member.sink !== undefined)
      throw new IommuError('EBUSY', `faults of ${device.name} already go to ${member.sink.name}`);
    member.sink = sink;
  }

  /**
   * Hands a recoverable fault to whoever takes the device's faults. Without one, a last fault is answered `invalid`.
   * @returns Whether it was taken; if not, it has been answered.
   * @throws {@link IommuError} `ENODEV` if the device is behind no IOMMU.
   * @see Linux `iommu_report_device_fault`, drivers/iommu/io-pgfault.c
   */
  reportPageFault(device: Device, fault: IopfFault): boolean {
    const member = this.#topology.member(device);
    if (member.sink !== undefined) return member.sink.report(device, fault);
    if (fault.last && (fault.read || fault.write || fault.exec)) member.driver.pageResponse(device, fault, 'invalid');
    return false;
  }

  /**
   * Says who is told of the domain's unrecoverable faults; `undefined`: nobody (Linux `iommu_set_fault_handler`).
   * @throws {@link IommuError} `EINVAL` if the domain was neither allocated here nor ever attached.
   */
  setFaultHandler(domain: Domain, handler: DeviceFaultHandler | undefined): void {
    this.#domains.known(domain).faultHandler = handler;
  }

  /** Tells an unrecoverable fault. @returns Whether somebody knew what to do (Linux `report_iommu_fault`). */
  reportFault(device: Device, fault: DeviceFault): boolean {
    const domain = this.domainForPasid(device, fault.pasid);
    const handler = domain && this.#domains.find(domain)?.faultHandler;
    return handler?.(device, fault) ?? false;
  }

  /**
   * Why the device cannot do something, as sentences with the values in them; empty if it can.
   * @param what - `dma`: have its transactions translated at all. `pasid`: use several address spaces.
   */
  whyNot(device: Device, what: 'dma' | 'pasid'): string[] {
    return this.#topology.whyNot(device, what);
  }

  #pasidGroup(device: Device): Group {
    if (!this.#topology.member(device).hasPasids)
      throw new IommuError('EINVAL', this.whyNot(device, 'pasid').join('; '));
    return this.#topology.group(device);
  }

  #compatible(domain: Domain, group: Group): DomainState {
    const state = this.#domains.of(domain, group.driver);
    if (state.driver !== group.driver)
      throw new IommuError(
        'EINVAL',
        `a domain of ${state.driver.name} cannot be attached to group ${group.id} behind ${group.driver.name}`,
      );
    return state;
  }

  #move(group: Group, domain: Domain, state: DomainState): void {
    const old = group.domain;
    if (old === domain) return;
    const direct = group.members.find(({ requiresDirect }) => requiresDirect);
    if (direct !== undefined && domain !== group.defaultDomain && domain.type !== 'identity')
      throw new IommuError(
        'EINVAL',
        `firmware demands one-to-one mappings for ${direct.device.name}: a domain of type ${domain.type} would break them`,
      );
    if (domain === group.defaultDomain) group.setDomain(domain);
    else this.#using(state, () => group.setDomain(domain));
    this.#topology.left(group, old);
  }

  /** Counts a new user of a domain before it attaches: others may run meanwhile, and nobody may free the domain then. */
  #using<Result>(state: DomainState, attach: () => Result): Result {
    state.users += 1;
    try {
      return attach();
    } catch (error) {
      state.users -= 1;
      throw error;
    }
  }

  /** Maps what is not yet, page by page. Returns how to take it back. */
  #mapDirect(domain: Domain, member: Member): () => void {
    const mapped: Iova[] = [];
    const page = domain.mapPages === undefined ? 0 : smallestPage(paging(domain));
    const undo = (): void => {
      for (const iova of mapped) this.unmap(domain, iova, page);
    };
    if (page === 0) return undo;
    try {
      for (const { type, start, length, prot } of member.regions) {
        if (type !== 'direct' && type !== 'direct-relaxable') continue;
        for (let at: number = start - (start % page); at < start + length; at += page) {
          if (this.iovaToPhys(domain, at) !== -1) continue;
          this.map(domain, at, at, page, prot ?? PROT.READ | PROT.WRITE);
          mapped.push(at);
        }
      }
    } catch (error) {
      undo();
      throw error;
    }
    return undo;
  }
}
