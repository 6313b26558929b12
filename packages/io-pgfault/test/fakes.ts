/** An IOMMU with one driver that counts the answers it is asked to send, for tests of the fault queue. */
import {
  type Device,
  type Domain,
  type DomainType,
  Iommu,
  type IommuDriver,
  type IopfFault,
  type IopfGroupLike,
  type PageResponse,
} from '@smmu/iommu';
import { IommuError } from '@smmu/platform';

export const device = (name: string): Device => ({
  name,
  bus: 'pci',
  streamIds: [0],
  pasidBits: 16,
  canStall: true,
});

/** The code that `run` throws, or 'ok'. */
export function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof IommuError) return error.code;
    throw error;
  }
  return 'ok';
}

/** A stalled read: the last and only one of its group. */
export const stall = (groupId: number, more: Partial<IopfFault> = {}): IopfFault => ({
  pasid: 1,
  groupId,
  address: 0x10000 + groupId * 0x1000,
  read: true,
  write: false,
  exec: false,
  privileged: false,
  last: true,
  ...more,
});

export class FakeDomain implements Domain {
  readonly type: DomainType;
  readonly pageSizes = undefined;
  iopfHandler: Domain['iopfHandler'];
  constructor(type: DomainType, handler?: (group: IopfGroupLike) => void) {
    this.type = type;
    this.iopfHandler = handler;
  }
  attachDevice(): void {}
  attachPasid(): void {}
  detachPasid(): void {}
  free(): void {}
}

export class FakeDriver implements IommuDriver {
  readonly name: string = 'fake-iommu';
  readonly blockedDomain: Domain = new FakeDomain('blocked');
  readonly identityDomain: Domain = new FakeDomain('identity');
  userPasidTable = false;
  /** What was answered, as `device group response`. */
  readonly answers: string[] = [];
  /** Called before an answer is noted; may let others run. */
  hook: (from: Device, fault: IopfFault, response: PageResponse) => void = () => {};
  claims(): boolean {
    return true;
  }
  probeDevice(): void {}
  releaseDevice(): void {}
  allocDomain(type: 'dma' | 'unmanaged'): Domain {
    return new FakeDomain(type);
  }
  maxPasids(): number {
    return 65536;
  }
  pageResponse(from: Device, fault: IopfFault, response: PageResponse): void {
    this.hook(from, fault, response);
    this.answers.push(`${from.name} ${fault.groupId} ${response}`);
  }
}

export interface Bench {
  readonly iommu: Iommu;
  readonly driver: FakeDriver;
}

export function bench(...devices: Device[]): Bench {
  const iommu = new Iommu();
  const driver = new FakeDriver();
  iommu.registerDriver(driver);
  for (const each of devices) iommu.probeDevice(each);
  return { iommu, driver };
}
