/**
 * ASIDs of one SMMU: private ones for domains of the driver, shared ones that are the CPUs' for processes.
 * IHI 0070 §3.17; Linux arm-smmu-v3-sva.c of the series "Shared Virtual Addressing for SMMUv3", `arm_smmu_share_asid`.
 *
 * A process comes with its ASID, because its TLB entries must answer to the CPUs' broadcasts. If a domain has that
 * number by then, the domain moves to another one: it can, nobody outside the SMMU knows its number. Private numbers are
 * handed out from the top, where the CPUs arrive last, so that few have to move.
 */
import { IommuError } from '@smmu/platform';

/** A domain whose ASID is the driver's own choice. */
export interface AsidDomain {
  /**
   * Takes the domain to another ASID: its descriptors are rewritten and the translations under the old number dropped.
   * On return, nothing in the SMMU knows the old number any more.
   */
  moveAsid(asid: number): void;
}

/** A number that is taken: by a domain, or by a process through so many domains. */
interface SharedAsid {
  readonly mm: object;
  users: number;
}

/** The ASIDs of one SMMU. */
export class AsidTable {
  /** Numbers are from 1 up to this, inclusive. */
  readonly maxAsid: number;
  readonly #domains: Map<number, AsidDomain> = new Map();
  readonly #shared: Map<number, SharedAsid> = new Map();
  #next: number;

  /** @param asidBits - Width of the SMMU's ASIDs. */
  constructor(asidBits: 8 | 16) {
    this.maxAsid = 2 ** asidBits - 1;
    this.#next = this.maxAsid;
  }

  /** Numbers taken now. */
  get used(): number {
    return this.#domains.size + this.#shared.size;
  }

  /**
   * Gives a domain a number of its own.
   * @throws {@link IommuError} `ENOSPC` if all are taken.
   */
  allocPrivate(domain: AsidDomain): number {
    if (this.used >= this.maxAsid) throw new IommuError('ENOSPC', `all ${this.maxAsid} ASIDs are taken`);
    let asid = this.#next;
    while (this.#domains.has(asid) || this.#shared.has(asid)) asid = this.#below(asid);
    this.#next = this.#below(asid);
    this.#domains.set(asid, domain);
    return asid;
  }

  /** Ends {@link allocPrivate}. No TLB entry may have the number any more. */
  freePrivate(asid: number): void {
    this.#domains.delete(asid);
  }

  /**
   * Reserves the number that the CPUs gave to a process, for one more user. A domain that has it moves.
   *
   * @param asid - Pinned at the CPUs for as long as it is shared.
   * @throws {@link IommuError} `EOPNOTSUPP` if the SMMU's ASIDs are narrower, `ENOSPC` if there is no other number for
   *   the domain that has it, `EBUSY` if another process has it: then the CPUs' allocator is wrong.
   */
  share(asid: number, mm: object): void {
    if (asid > this.maxAsid)
      throw new IommuError('EOPNOTSUPP', `ASID ${asid} of the CPUs: the SMMU's end at ${this.maxAsid}`);
    const shared = this.#shared.get(asid);
    if (shared !== undefined) {
      if (shared.mm !== mm) throw new IommuError('EBUSY', `ASID ${asid} is shared with another process already`);
      shared.users += 1;
      return;
    }
    const domain = this.#domains.get(asid);
    if (domain !== undefined) {
      domain.moveAsid(this.allocPrivate(domain));
      this.freePrivate(asid);
    }
    this.#shared.set(asid, { mm, users: 1 });
  }

  /** Ends one {@link share}. With the last, no TLB entry may have the number any more. */
  unshare(asid: number): void {
    const shared = this.#shared.get(asid)!;
    shared.users -= 1;
    if (shared.users === 0) this.#shared.delete(asid);
  }

  #below(asid: number): number {
    return asid === 1 ? this.maxAsid : asid - 1;
  }
}

/** VMIDs of one SMMU, for domains at stage 2. Zero tags streams without stage 2. */
export class VmidTable {
  readonly maxVmid: number;
  readonly #taken: Set<number> = new Set();

  constructor(vmidBits: 8 | 16) {
    this.maxVmid = 2 ** vmidBits - 1;
  }

  /** @throws {@link IommuError} `ENOSPC` if all are taken. */
  alloc(): number {
    for (let vmid = 1; vmid <= this.maxVmid; vmid++)
      if (!this.#taken.has(vmid)) {
        this.#taken.add(vmid);
        return vmid;
      }
    throw new IommuError('ENOSPC', `all ${this.maxVmid} VMIDs are taken`);
  }

  free(vmid: number): void {
    this.#taken.delete(vmid);
  }
}
