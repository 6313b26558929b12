/** An IOMMU driver that keeps its tables in a Map and its life in a list of lines, for tests of what is above it. */
import type {
  Device,
  Domain,
  DomainType,
  Gather,
  IommuDriver,
  IopfFault,
  PageResponse,
  ReservedRegion,
} from '@smmu/iommu';
import { IommuError, type Iova, type Pa } from '@smmu/platform';

export const device = (name: string, more: Partial<Device> = {}): Device => ({
  name,
  bus: 'pci',
  streamIds: [0],
  pasidBits: 0,
  canStall: false,
  ...more,
});

/** The error that `run` throws, as `CODE: message`; '' if it does not throw. */
export function errorOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof IommuError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return '';
}

/** The code that `run` throws, or 'ok'. */
export const codeOf = (run: () => unknown): string => errorOf(run).split(':')[0] || 'ok';

export class FakeGather implements Gather {
  start = Number.POSITIVE_INFINITY;
  last = -1;
  pageBytes = 0;
  readonly freelist: number[] = [];
  reset(): void {
    this.start = Number.POSITIVE_INFINITY;
    this.last = -1;
    this.pageBytes = 0;
  }
}

export interface Leaf {
  readonly pa: Pa;
  readonly pageBytes: number;
  readonly prot: number;
}

export class FakeDomain implements Domain {
  readonly type: DomainType;
  readonly name: string;
  readonly pageSizes: readonly number[] | undefined;
  readonly geometry: { readonly start: Iova; readonly last: Iova } | undefined;
  readonly leaves: Map<Iova, Leaf> = new Map();
  readonly log: string[];
  iopfHandler: Domain['iopfHandler'];
  freed = false;
  /** Called first in each operation with its name; may throw, or let others run. */
  hook: (operation: string, ...values: unknown[]) => void = () => {};
  /** Pages that one call of mapPages takes at most. */
  mapAtMost = Number.POSITIVE_INFINITY;

  constructor(
    type: DomainType,
    log: string[],
    options: Partial<Pick<FakeDomain, 'name' | 'pageSizes' | 'geometry'>> = {},
  ) {
    this.type = type;
    this.log = log;
    this.name = options.name ?? type;
    this.pageSizes = options.pageSizes;
    this.geometry = options.geometry;
  }

  attachDevice(target: Device): void {
    this.hook('attach', target);
    this.log.push(`${target.name} in ${this.name}`);
  }
  attachPasid(target: Device, pasid: number, old: Domain | undefined): void {
    this.hook('attachPasid', target, pasid);
    const from = old === undefined ? '' : ` from ${(old as FakeDomain).name}`;
    this.log.push(`${target.name}/${pasid} in ${this.name}${from}`);
  }
  detachPasid(target: Device, pasid: number): void {
    this.hook('detachPasid', target, pasid);
    this.log.push(`${target.name}/${pasid} out of ${this.name}`);
  }
  free(): void {
    this.freed = true;
    this.log.push(`${this.name} freed`);
  }
}

/** A domain with a page table. */
export class FakePagingDomain extends FakeDomain {
  syncs: string[] = [];
  constructor(type: DomainType, log: string[], options: ConstructorParameters<typeof FakeDomain>[2] = {}) {
    super(type, log, { pageSizes: [2 ** 30, 4096, 2 ** 21], geometry: { start: 0, last: 2 ** 48 - 1 }, ...options });
  }
  mapPages(iova: Iova, pa: Pa, pageBytes: number, count: number, prot: number): number {
    this.hook('mapPages', iova, pa, pageBytes, count, prot);
    const pages = Math.min(count, this.mapAtMost);
    for (let i = 0; i < pages; i++)
      if (this.leafAt(iova + i * pageBytes)) throw new IommuError('EEXIST', `${iova + i * pageBytes} is mapped`);
    for (let i = 0; i < pages; i++) this.leaves.set(iova + i * pageBytes, { pa: pa + i * pageBytes, pageBytes, prot });
    return pages * pageBytes;
  }
  unmapPages(iova: Iova, pageBytes: number, count: number, gather: Gather): number {
    this.hook('unmapPages', iova, pageBytes, count);
    let done = 0;
    while (done < count * pageBytes) {
      const leaf = this.leaves.get(iova + done);
      if (leaf === undefined) break;
      this.leaves.delete(iova + done);
      gather.start = Math.min(gather.start, iova + done);
      gather.last = Math.max(gather.last, iova + done + leaf.pageBytes - 1);
      gather.pageBytes = leaf.pageBytes;
      done += leaf.pageBytes;
    }
    return done;
  }
  newGather(): Gather {
    return new FakeGather();
  }
  iotlbSync(gather: Gather): void {
    this.hook('sync');
    this.syncs.push(gather.pageBytes === 0 ? 'nothing' : `${gather.start.toString(16)}-${gather.last.toString(16)}`);
    gather.reset();
  }
  flushIotlbAll(): void {
    this.syncs.push('all');
  }
  iotlbSyncMap(iova: Iova, bytes: number): void {
    this.syncs.push(`map ${iova.toString(16)}+${bytes.toString(16)}`);
  }
  leafAt(iova: Iova): (Leaf & { readonly start: Iova }) | undefined {
    for (const pageBytes of this.pageSizes!) {
      const start = iova - (iova % pageBytes);
      const leaf = this.leaves.get(start);
      if (leaf !== undefined && leaf.pageBytes === pageBytes) return { ...leaf, start };
    }
    return undefined;
  }
  iovaToPhys(iova: Iova): Pa | -1 {
    const leaf = this.leafAt(iova);
    return leaf === undefined ? -1 : leaf.pa + (iova - leaf.start);
  }
}

export class FakeDriver implements IommuDriver {
  readonly name: string;
  readonly log: string[] = [];
  readonly blockedDomain: FakeDomain = new FakeDomain('blocked', this.log);
  readonly identityDomain: FakeDomain = new FakeDomain('identity', this.log);
  readonly domains: FakePagingDomain[] = [];
  readonly responses: { device: Device; fault: IopfFault; response: PageResponse }[] = [];
  regions: (target: Device) => ReservedRegion[] = () => [];
  userPasidTable = false;
  /** What new paging domains are like. */
  paging: ConstructorParameters<typeof FakeDomain>[2] = {};
  hook: (operation: string, target: Device) => void = () => {};

  constructor(name = 'fake-iommu') {
    this.name = name;
  }
  claims(target: Device): boolean {
    return target.bus === 'pci';
  }
  probeDevice(target: Device): void {
    this.hook('probe', target);
    this.log.push(`${target.name} probed`);
  }
  releaseDevice(target: Device): void {
    this.hook('release', target);
    this.log.push(`${target.name} released`);
  }
  allocDomain(type: 'dma' | 'unmanaged', target: Device): FakePagingDomain {
    this.hook('alloc', target);
    const domain = new FakePagingDomain(type, this.log, { name: `${type}${this.domains.length}`, ...this.paging });
    this.domains.push(domain);
    return domain;
  }
  maxPasids(target: Device): number {
    return target.pasidBits === 0 ? 0 : 1024;
  }
  reservedRegions(target: Device): ReservedRegion[] {
    return this.regions(target);
  }
  pageResponse(target: Device, fault: IopfFault, response: PageResponse): void {
    this.hook('respond', target);
    this.responses.push({ device: target, fault, response });
  }
}
