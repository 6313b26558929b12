/**
 * Who is behind which IOMMU: drivers, devices and their groups as they come and go.
 * Linux `iommu_device_register`, `iommu_probe_device` and `iommu_release_device`, drivers/iommu/iommu.c.
 */
import { IommuError } from '@smmu/platform';
import type { Device } from './device.ts';
import type { Domain, DomainType } from './domain.ts';
import type { Domains } from './domains.ts';
import type { IommuDriver } from './driver.ts';
import { Group, Member } from './group.ts';

export interface TopologyOptions {
  readonly domains: Domains;
  readonly defaultType: 'dma' | 'identity';
  /**
   * Maps what firmware wants one-to-one, before the member's transactions are translated for the first time.
   * Returns how to take it back.
   */
  readonly mapDirect: (domain: Domain, member: Member) => () => void;
}

export class Topology {
  readonly #domains: Domains;
  readonly #defaultType: 'dma' | 'identity';
  readonly #mapDirect: (domain: Domain, member: Member) => () => void;
  readonly #drivers: IommuDriver[] = [];
  readonly #members: Map<Device, Member> = new Map();
  readonly #groups: Map<Device, Group> = new Map();
  #nextGroupId = 0;

  constructor({ domains, defaultType, mapDirect }: TopologyOptions) {
    this.#domains = domains;
    this.#defaultType = defaultType;
    this.#mapDirect = mapDirect;
  }

  /** @throws {@link IommuError} `EBUSY` if it is registered. */
  register(driver: IommuDriver): void {
    if (this.#drivers.includes(driver)) throw new IommuError('EBUSY', `${driver.name} is registered already`);
    this.#drivers.push(driver);
  }

  /** @throws {@link IommuError} `ENODEV` if it is not registered, `EBUSY` if a device cannot be released. */
  unregister(driver: IommuDriver): void {
    const i = this.#drivers.indexOf(driver);
    if (i < 0) throw new IommuError('ENODEV', `${driver.name} is not registered`);
    for (const member of [...this.#members.values()]) if (member.driver === driver) this.release(member.device);
    this.#drivers.splice(this.#drivers.indexOf(driver), 1);
  }

  findMember(device: Device): Member | undefined {
    return this.#members.get(device);
  }

  findGroup(device: Device): Group | undefined {
    return this.#groups.get(device);
  }

  /** @throws {@link IommuError} `ENODEV` */
  member(device: Device): Member {
    return this.#members.get(device) ?? this.#absent(device);
  }

  /** @throws {@link IommuError} `ENODEV` */
  group(device: Device): Group {
    return this.#groups.get(device) ?? this.#absent(device);
  }

  /** @throws {@link IommuError} `ENODEV`, `EINVAL`, `EBUSY` while it is being probed, and what the driver threw. */
  probe(device: Device): void {
    if (this.#groups.has(device)) return;
    if (this.#members.has(device)) throw new IommuError('EBUSY', `${device.name} is being probed`);
    const driver = this.#drivers.find((candidate) => candidate.claims(device));
    if (driver === undefined) throw new IommuError('ENODEV', this.#unclaimed(device));
    const member = new Member(device, driver);
    this.#members.set(device, member); // known to the driver's callbacks, as `dev->iommu` is
    try {
      driver.probeDevice(device);
      try {
        member.settle();
        this.#join(member);
      } catch (error) {
        driver.releaseDevice(device);
        throw error;
      }
    } catch (error) {
      this.#members.delete(device);
      throw error;
    }
  }

  /** @throws {@link IommuError} `ENODEV`, `EBUSY` */
  release(device: Device): void {
    const member = this.member(device);
    const group = this.group(device);
    const last = group.members.length === 1;
    if (last && group.domain !== group.defaultDomain && group.domain !== group.driver.blockedDomain)
      throw new IommuError(
        'EBUSY',
        `${device.name} is still attached to a domain (${group.domain.type}): detach it first`,
      );
    group.leave(member);
    this.#members.delete(device);
    this.#groups.delete(device);
    if (!last) return;
    this.left(group, group.domain);
    this.#freeDefaultDomain(group);
  }

  /** A group is no longer in `domain`. Its default domain stays its own, whether the group is in it or not. */
  left(group: Group, domain: Domain): void {
    if (domain !== group.defaultDomain) this.#domains.of(domain, group.driver).users -= 1;
  }

  /** Why a device cannot have its transactions translated, or use PASIDs: sentences, none if it can. */
  whyNot(device: Device, what: 'dma' | 'pasid'): string[] {
    const member = this.#members.get(device);
    const group = this.#groups.get(device);
    if (member === undefined || group === undefined) {
      const claimer = this.#drivers.find((driver) => driver.claims(device));
      return [claimer ? `${device.name} is behind ${claimer.name}, but was not probed` : this.#unclaimed(device)];
    }
    if (what === 'dma')
      return group.domain.type === 'blocked' ? [`${device.name} is in the blocked domain of group ${group.id}`] : [];
    const reasons: string[] = [];
    if (device.pasidBits === 0) reasons.push(`${device.name} has no PASID capability`);
    const most = member.driver.maxPasids(device);
    if (most <= 1) reasons.push(`${member.driver.name} gives ${device.name} no PASIDs (maxPasids is ${most})`);
    return reasons;
  }

  #absent(device: Device): never {
    throw new IommuError('ENODEV', `${device.name} is behind no IOMMU: probe it first`);
  }

  #unclaimed(device: Device): string {
    const names = this.#drivers.map(({ name }) => name).join(', ');
    return `no IOMMU claims ${device.name}: ${names === '' ? 'none is registered' : `asked ${names}`}`;
  }

  /** Puts a new member into the group that it shares with others, or one of its own. */
  #join(member: Member): void {
    const { device, driver } = member;
    const key = driver.deviceGroup ? driver.deviceGroup(device) : device.isolation;
    const wish = driver.defaultDomainType?.(device);
    const shared = this.#groupWith(driver, key);
    if (shared !== undefined && wish !== undefined && wish !== shared.defaultDomain.type)
      throw new IommuError(
        'EINVAL',
        `${device.name} needs a default domain of type ${wish}, its group ${shared.id} has ${shared.defaultDomain.type}`,
      );
    const group = shared ?? new Group(this.#nextGroupId++, driver, key, this.#allocDefaultDomain(driver, device, wish));
    this.#groups.set(device, group);
    let undo: (() => void) | undefined;
    try {
      if (member.requiresDirect && group.domain !== group.defaultDomain)
        throw new IommuError(
          'EINVAL',
          `firmware demands one-to-one mappings for ${device.name}, but its group ${group.id} has been taken over`,
        );
      undo = this.#mapDirect(group.defaultDomain, member);
      group.join(member);
    } catch (error) {
      undo?.();
      this.#groups.delete(device);
      if (shared === undefined) this.#freeDefaultDomain(group);
      throw error;
    }
  }

  #groupWith(driver: IommuDriver, key: string | undefined): Group | undefined {
    if (key === undefined) return undefined;
    for (const group of this.#groups.values()) if (group.driver === driver && group.key === key) return group;
    return undefined;
  }

  #allocDefaultDomain(driver: IommuDriver, device: Device, wish: DomainType | undefined): Domain {
    const type = wish ?? this.#defaultType;
    if (type === 'identity') return driver.identityDomain;
    if (type === 'blocked') return driver.blockedDomain;
    const domain = driver.allocDomain('dma', device);
    this.#domains.of(domain, driver).users = 1; // the group's, until the group is gone
    return domain;
  }

  #freeDefaultDomain({ defaultDomain, driver }: Group): void {
    if (defaultDomain === driver.identityDomain || defaultDomain === driver.blockedDomain) return;
    this.#domains.of(defaultDomain, driver).users -= 1;
    this.#domains.free(defaultDomain);
  }
}
