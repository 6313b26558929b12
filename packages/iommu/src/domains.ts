/**
 * What the API remembers about domains besides what their drivers do: whose they are, how often they are attached,
 * the doorbells mapped into them, who is told of their faults (Linux `struct iommu_domain`, include/linux/iommu.h).
 */
import { hex, IommuError, type Iova } from '@smmu/platform';
import type { Domain } from './domain.ts';
import type { IommuDriver } from './driver.ts';
import type { DeviceFaultHandler } from './fault.ts';
import { paging, smallestPage } from './mapping.ts';
import { type MsiMapper, MsiPages, type MsiSource, MsiWindow } from './msiPages.ts';

export interface DomainState {
  readonly driver: IommuDriver;
  /** Attachments of groups and of their PASIDs, and the group whose default domain it is. */
  users: number;
  msi: MsiPages | undefined;
  faultHandler: DeviceFaultHandler | undefined;
  /** Called before the domain is freed. */
  readonly whenFreed: (() => void)[];
}

export class Domains {
  // Domains may also be made by drivers (SVA) and be forgotten without a word: nothing here keeps them alive.
  readonly #states: WeakMap<Domain, DomainState> = new WeakMap();
  readonly #mapper: MsiMapper;

  constructor(mapper: MsiMapper) {
    this.#mapper = mapper;
  }

  find(domain: Domain): DomainState | undefined {
    return this.#states.get(domain);
  }

  /** The state of a domain. One that is met for the first time belongs to `driver`. */
  of(domain: Domain, driver: IommuDriver): DomainState {
    let state = this.#states.get(domain);
    if (state === undefined) {
      state = { driver, users: 0, msi: undefined, faultHandler: undefined, whenFreed: [] };
      this.#states.set(domain, state);
    }
    return state;
  }

  /** @throws {@link IommuError} `EINVAL` if the domain was neither allocated here nor ever attached. */
  known(domain: Domain): DomainState {
    const state = this.#states.get(domain);
    if (state === undefined) throw new IommuError('EINVAL', `the ${domain.type} domain is not known to this IOMMU API`);
    return state;
  }

  /** @throws {@link IommuError} `EBUSY` if it is still attached somewhere. */
  free(domain: Domain): void {
    const state = this.#states.get(domain);
    if (state !== undefined && state.users > 0)
      throw new IommuError('EBUSY', `the ${domain.type} domain still has ${state.users} user(s): detach them first`);
    for (const callback of state?.whenFreed ?? []) callback();
    state?.msi?.free();
    this.#states.delete(domain);
    domain.free();
  }

  /** @throws {@link IommuError} `EINVAL`, `ERANGE`, `EEXIST`: see `Iommu.setMsiWindow` */
  setMsiWindow(domain: Domain, iova: Iova, bytes: number): void {
    const window = new MsiWindow(iova, bytes, smallestPage(paging(domain)));
    const { geometry } = domain;
    if (geometry !== undefined && (iova < geometry.start || iova + bytes - 1 > geometry.last))
      throw new IommuError(
        'ERANGE',
        `MSI window ${hex(iova)}+${hex(bytes)}: outside the domain's ${hex(geometry.start)} to ${hex(geometry.last)}`,
      );
    this.setMsiSource(domain, window);
  }

  /** @throws {@link IommuError} `EINVAL`, `EEXIST` */
  setMsiSource(domain: Domain, source: MsiSource): void {
    const state = this.known(domain);
    if (state.msi !== undefined) throw new IommuError('EEXIST', `the ${domain.type} domain has an MSI window already`);
    state.msi = new MsiPages(domain, source, this.#mapper);
  }
}
