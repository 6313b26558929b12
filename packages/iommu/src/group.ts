/**
 * A group: devices that cannot be isolated from each other and therefore always share their domains.
 * Linux `struct iommu_group`, `__iommu_group_set_domain_internal` and `__iommu_set_group_pasid`, drivers/iommu/iommu.c.
 *
 * A change reaches every member or none. Drivers may wait inside a change, and other software runs meanwhile: who then
 * wants a change that cannot go together with it gets EBUSY. Different PASIDs do not disturb each other.
 */
import { IommuError } from '@smmu/platform';
import type { Device } from './device.ts';
import type { Domain } from './domain.ts';
import type { IommuDriver } from './driver.ts';
import { type FaultSink, NO_PASID } from './fault.ts';
import { PasidTable } from './pasidTable.ts';
import type { ReservedRegion } from './reservedRegions.ts';

/** A device behind an IOMMU, as the group keeps it (Linux `struct dev_iommu`). */
export class Member {
  readonly device: Device;
  readonly driver: IommuDriver;
  maxPasids = 0;
  regions: readonly ReservedRegion[] = [];
  sink: FaultSink | undefined = undefined;

  constructor(device: Device, driver: IommuDriver) {
    this.device = device;
    this.driver = driver;
  }

  /** Asks the driver, which knows the device by now. */
  settle(): void {
    this.maxPasids = Math.min(this.driver.maxPasids(this.device), 2 ** this.device.pasidBits);
    this.regions = this.driver.reservedRegions?.(this.device) ?? [];
  }

  /** Whether its transactions can carry a PASID. Members that cannot take no part in changes of one. */
  get hasPasids(): boolean {
    return this.maxPasids > 1;
  }

  /** Firmware wants a one-to-one mapping at all times: nobody may take the device over. */
  get requiresDirect(): boolean {
    return this.regions.some(({ type }) => type === 'direct');
  }
}

/** A PASID's place in the group. `settled` is false while a change of it is under way. */
interface Entry {
  domain: Domain | undefined;
  settled: boolean;
}

export class Group {
  readonly id: number;
  readonly driver: IommuDriver;
  /** What members have in common, or `undefined` if this group has one member only. */
  readonly key: string | undefined;
  readonly members: Member[] = [];
  readonly #defaultDomain: Domain;
  #domain: Domain;
  readonly #pasids: PasidTable<Entry> = new PasidTable();
  #changing = false;
  #pasidChanges = 0;

  constructor(id: number, driver: IommuDriver, key: string | undefined, defaultDomain: Domain) {
    this.id = id;
    this.driver = driver;
    this.key = key;
    this.#defaultDomain = defaultDomain;
    this.#domain = defaultDomain;
  }

  get devices(): readonly Device[] {
    return this.members.map(({ device }) => device);
  }

  /** What the members are in while nobody has taken them over. */
  get defaultDomain(): Domain {
    return this.#defaultDomain;
  }

  /** The domain of transactions without PASID. */
  get domain(): Domain {
    return this.#domain;
  }

  /** PASIDs in use, sorted, with their domains. */
  get pasids(): ReadonlyMap<number, Domain> {
    const pasids = new Map<number, Domain>();
    for (const [pasid, { domain }] of this.#pasids) if (domain !== undefined) pasids.set(pasid, domain);
    return pasids;
  }

  /** The domain of a PASID, or `undefined`: none, or one that is being attached and may still fail. */
  domainForPasid(pasid: number): Domain | undefined {
    return pasid === NO_PASID ? this.#domain : this.#pasids.get(pasid)?.domain;
  }

  /** Takes a new member in: it joins whatever the others are attached to. */
  join(member: Member): void {
    this.#exclusively(`${member.device.name} cannot join`, () => {
      const done: number[] = [];
      try {
        this.#domain.attachDevice(member.device);
        for (const [pasid, domain] of member.hasPasids ? this.pasids : []) {
          this.#checkWidth(member, pasid);
          domain.attachPasid!(member.device, pasid, undefined);
          done.push(pasid);
        }
      } catch (error) {
        for (const pasid of done) this.#pasids.get(pasid)!.domain!.detachPasid!(member.device, pasid);
        throw error;
      }
      this.members.push(member);
    });
  }

  /** Lets a member go. It ends in the blocked domain, or one-to-one where firmware wants that. */
  leave(member: Member): void {
    this.#exclusively(`${member.device.name} cannot leave`, () => {
      if (this.members.length === 1 && this.#pasids.size > 0)
        throw new IommuError(
          'EBUSY',
          `${member.device.name} cannot leave: PASIDs ${[...this.#pasids].map(([pasid]) => pasid).join(', ')} are still attached`,
        );
      if (member.hasPasids) for (const [pasid, domain] of this.pasids) domain.detachPasid!(member.device, pasid);
      const { driver } = member;
      (member.requiresDirect ? driver.identityDomain : driver.blockedDomain).attachDevice(member.device);
      driver.releaseDevice(member.device);
      this.members.splice(this.members.indexOf(member), 1);
    });
  }

  /**
   * Attaches every member to `domain`. If one cannot be, those before it return to where they were.
   * @throws {@link IommuError} what the driver threw; `EBUSY` during another change of the group.
   */
  setDomain(domain: Domain): void {
    this.#exclusively(`cannot move to its new domain (${domain.type})`, () => {
      this.#forAll(
        this.members,
        ({ device }) => domain.attachDevice(device),
        ({ device }) => this.#domain.attachDevice(device),
        ({ device, driver }) => driver.blockedDomain.attachDevice(device),
      );
      this.#domain = domain;
    });
  }

  /**
   * Attaches `pasid` of every member that has PASIDs.
   * @throws {@link IommuError} `EOPNOTSUPP` if the domain cannot be on a PASID; `EINVAL` if a member's PASIDs are not wide
   *   enough, or `pasid` is 0, which is kept for transactions without one; `EBUSY` if it is taken; what the driver threw.
   */
  attachPasid(domain: Domain, pasid: number): void {
    this.#checkPasid(domain, pasid);
    if (this.#pasids.get(pasid) !== undefined)
      throw new IommuError('EBUSY', `${this.#name}: PASID ${pasid} is attached already; detach or replace it`);
    const entry: Entry = { domain: undefined, settled: false };
    this.#pasids.add(pasid, entry);
    try {
      this.#changePasid(domain, pasid, undefined);
      entry.domain = domain; // only now: a fault that came in earlier must not reach a domain that may yet fail
      entry.settled = true;
    } finally {
      if (!entry.settled) this.#pasids.remove(pasid);
    }
  }

  /**
   * Moves `pasid` of every member from the domain it is in to another. Returns the one it was in.
   * @throws {@link IommuError} as {@link attachPasid}; `EINVAL` if the PASID is in no domain.
   */
  replacePasid(domain: Domain, pasid: number): Domain {
    this.#checkPasid(domain, pasid);
    const entry = this.#entry(pasid);
    const old = entry.domain!;
    if (old === domain) return old;
    entry.settled = false;
    try {
      this.#changePasid(domain, pasid, old);
      entry.domain = domain;
    } finally {
      entry.settled = true;
    }
    return old;
  }

  /** @throws {@link IommuError} `EINVAL` if `pasid` is not in `domain`; `EBUSY` while it is being changed. */
  detachPasid(domain: Domain, pasid: number): void {
    const entry = this.#entry(pasid);
    if (entry.domain !== domain)
      throw new IommuError('EINVAL', `${this.#name}: PASID ${pasid} is in another domain than the one to detach`);
    entry.settled = false;
    this.#pasidChanges += 1;
    try {
      // Faults still find the domain while the driver drains them.
      for (const { device, hasPasids } of this.members) if (hasPasids) domain.detachPasid!(device, pasid);
    } finally {
      this.#pasidChanges -= 1;
      this.#pasids.remove(pasid);
    }
  }

  get #name(): string {
    return `group ${this.id} (${this.members.map(({ device }) => device.name).join(', ')})`;
  }

  #entry(pasid: number): Entry {
    const entry = this.#pasids.get(pasid);
    if (entry === undefined) throw new IommuError('EINVAL', `${this.#name}: PASID ${pasid} is in no domain`);
    if (!entry.settled) throw new IommuError('EBUSY', `${this.#name}: PASID ${pasid} is being changed`);
    return entry;
  }

  #checkPasid(domain: Domain, pasid: number): void {
    if (!domain.attachPasid || !domain.detachPasid)
      throw new IommuError('EOPNOTSUPP', `${this.driver.name} cannot put domains of type ${domain.type} on a PASID`);
    if (!Number.isInteger(pasid) || pasid <= 0)
      throw new IommuError('EINVAL', `PASID ${pasid}: must be above 0, which means transactions without PASID`);
    for (const member of this.members) if (member.hasPasids) this.#checkWidth(member, pasid);
  }

  #checkWidth({ device, maxPasids }: Member, pasid: number): void {
    if (pasid >= maxPasids)
      throw new IommuError('EINVAL', `PASID ${pasid}: ${device.name} can use those below ${maxPasids} only`);
  }

  #changePasid(domain: Domain, pasid: number, old: Domain | undefined): void {
    if (this.#changing) throw new IommuError('EBUSY', `${this.#name} is being changed`);
    this.#pasidChanges += 1;
    try {
      this.#forAll(
        this.members.filter(({ hasPasids }) => hasPasids),
        ({ device }) => domain.attachPasid!(device, pasid, old),
        ({ device }) => (old ? old.attachPasid!(device, pasid, domain) : domain.detachPasid!(device, pasid)),
        ({ device }) => domain.detachPasid!(device, pasid),
      );
    } finally {
      this.#pasidChanges -= 1;
    }
  }

  /**
   * Does `change` to each member, or to none: after a failure those done are undone. If that fails too, which is the
   * driver's mistake (it had agreed to that state before), the member is shut off rather than left in the wrong place.
   */
  #forAll(
    members: readonly Member[],
    change: (member: Member) => void,
    undo: (member: Member) => void,
    shutOff: (member: Member) => void,
  ): void {
    for (const [i, member] of members.entries()) {
      try {
        change(member);
      } catch (error) {
        for (const done of members.slice(0, i)) {
          try {
            undo(done);
          } catch {
            shutOff(done);
          }
        }
        throw error;
      }
    }
  }

  #exclusively(what: string, change: () => void): void {
    if (this.#changing || this.#pasidChanges > 0)
      throw new IommuError('EBUSY', `${this.#name} ${what}: it is being changed`);
    this.#changing = true;
    try {
      change();
    } finally {
      this.#changing = false;
    }
  }
}
