/**
 * Domains on a process's own page tables.
 * Linux arm-smmu-v3-sva.c: `arm_smmu_sva_domain_alloc`, `arm_smmu_mm_arch_invalidate_secondary_tlbs`,
 * `arm_smmu_mm_release`; the shared ASID is that of the series "Shared Virtual Addressing for SMMUv3", patches 10 and 11.
 *
 * A domain holds its process's ASID pinned from its making until it is freed, so that no rollover of the CPUs' ASIDs
 * gives the number to somebody else. It hears of changes to the tables as an MMU notifier. When the process exits, the
 * descriptors stay valid without tables, and the device's transactions abort quietly until its driver unbinds.
 */
import type { Domain, IopfGroupLike } from '@smmu/iommu';
import { IommuError, type Va } from '@smmu/platform';
import type { Mm, MmuNotifier } from '@smmu/sva-core';
import type { Attacher } from './attach.ts';
import { makeReleasedCd, makeSvaCd } from './cd.ts';
import { TranslatingDomain } from './domain.ts';
import type { InvalidationRange } from './invalidate.ts';
import { INV_ASID, Invs } from './invs.ts';
import type { Master } from './master.ts';
import type { GranuleShift, SmmuFeatures } from './probe.ts';

/** What the CPUs can do, as far as the SMMU has to keep up (Linux `arm_smmu_sva_supported`). */
export interface CpuFeatures {
  readonly granuleShift: GranuleShift;
  readonly vaBits: number;
  readonly paBits: number;
  readonly asidBits: 8 | 16;
}

const IPS_BITS = [32, 36, 40, 42, 44, 48, 52] as const;

/**
 * Tells why an SMMU cannot walk the tables of processes, as a sentence; `undefined` if it can.
 * @param cpu - What processes are made with, or `undefined` to judge the SMMU alone.
 */
export function whyNoSva(features: SmmuFeatures, coherent: boolean, cpu: CpuFeatures | undefined): string | undefined {
  if (!features.stage1) return 'the SMMU has no stage 1, at which processes are translated';
  if (!coherent) return 'the SMMU does not snoop the CPU caches, and processes do not flush their page tables';
  if (features.ssidBits === 0) return 'the SMMU has no SubstreamIDs to tell processes apart (IDR1.SSIDSIZE is 0)';
  if (cpu === undefined) return undefined;
  if (!features.granules.includes(cpu.granuleShift))
    return `processes have pages of ${2 ** (cpu.granuleShift - 10)} KiB, which the SMMU does not walk`;
  if (cpu.vaBits > features.vaBits)
    return `processes have ${cpu.vaBits}-bit addresses, the SMMU translates ${features.vaBits} bits`;
  if (cpu.paBits > features.oasBits)
    return `memory has ${cpu.paBits}-bit addresses, the SMMU puts out ${features.oasBits} bits`;
  if (cpu.asidBits > features.asidBits)
    return `processes have ${cpu.asidBits}-bit ASIDs, the SMMU tags with ${features.asidBits} bits`;
  return undefined;
}

/** A process's address space as a domain. Devices of one SMMU share it. */
export class SvaDomain extends TranslatingDomain implements MmuNotifier {
  readonly type: 'sva' = 'sva' as const;
  readonly stage: 'stage1' = 'stage1' as const;
  readonly mm: Mm;
  /** Set by whoever handles the process's faults. */
  iopfHandler: ((group: IopfGroupLike) => void) | undefined;
  /** The process has exited. */
  released = false;
  readonly #asid: number;
  readonly #tag: Invs;
  readonly #range: InvalidationRange;

  /**
   * @throws {@link IommuError} `EOPNOTSUPP` if the SMMU cannot walk this process's tables, `ENOSPC` if no ASID can be
   *   pinned or none is free for the domain that has this process's number, `ESRCH` if the process has exited.
   */
  constructor(attacher: Attacher, mm: Mm) {
    super(attacher);
    const { features, coherence } = attacher.smmu;
    this.mm = mm;
    const { tcr } = mm.stage1;
    const why = whyNoSva(features, coherence.coherent, {
      granuleShift: mm.granuleShift,
      vaBits: 64 - tcr.tsz,
      paBits: IPS_BITS[tcr.ips] ?? 56,
      asidBits: 8, // the number itself is looked at below
    });
    if (why !== undefined) throw new IommuError('EOPNOTSUPP', `process ${mm.name} cannot be shared: ${why}`);
    if (tcr.ds && !features.ds)
      throw new IommuError('EOPNOTSUPP', `process ${mm.name} has tables in the 52-bit layout, which the SMMU lacks`);

    const asid = mm.pinAsid();
    if (asid === 0) throw new IommuError('ENOSPC', `process ${mm.name}: as many ASIDs as may be are pinned`);
    try {
      attacher.asids.share(asid, mm);
    } catch (error) {
      mm.unpinAsid();
      throw error;
    }
    try {
      mm.registerNotifier(this);
    } catch (error) {
      attacher.asids.unshare(asid);
      mm.unpinAsid();
      throw error;
    }
    this.#asid = asid;
    this.#tag = Invs.tag(INV_ASID, asid);
    this.#range = { start: 0, last: 0, granuleBytes: 2 ** mm.granuleShift, tableShift: mm.granuleShift, leaf: false };
  }

  get tag(): Invs {
    return this.#tag;
  }

  override attachDevice(): never {
    throw new IommuError('EINVAL', 'a process is attached by PASID, not to all of a device');
  }

  /** @throws {@link IommuError} `ESRCH` if the process has exited; else as {@link Attacher.attachPasid}. */
  override attachPasid(device: Parameters<TranslatingDomain['attachPasid']>[0], pasid: number, old?: Domain): void {
    if (this.released) throw new IommuError('ESRCH', `process ${this.mm.name} has exited`);
    super.attachPasid(device, pasid, old);
  }

  makeCd(target: Uint32Array, master: Master): void {
    const { mm } = this;
    const { features } = this.attacher.smmu;
    if (this.released) {
      makeReleasedCd(target, mm.stage1, mm.stage1.tcr.ips, this.#asid, features.stalls === 'forced');
      return;
    }
    const hardwareAccessFlag = features.httu >= 1 && mm.hardwareAccessFlag;
    const hardwareDirty = hardwareAccessFlag && features.httu >= 2 && mm.hardwareDirty;
    makeSvaCd(target, mm.stage1, { asid: this.#asid, stall: master.stall, hardwareAccessFlag, hardwareDirty });
  }

  makeSte(): never {
    throw new IommuError('EINVAL', 'a process has no stage 2');
  }

  /** Entries of the process's tables changed: drops what is cached of them. Lets only hardware run meanwhile. */
  invalidateSecondaryTlbs(_mm: Mm, start: Va, last: Va): void {
    const range = this.#range;
    range.start = start as number; // under SVA the process's address is the device's
    range.last = last as number;
    const { attacher } = this;
    attacher.invalidator.range(this.invs, range, !attacher.smmu.broadcastTlb);
  }

  /** The process exits: on return nothing walks its tables. */
  release(): void {
    if (this.released) return;
    this.released = true;
    this.attacher.rewriteCds(this);
    this.attacher.invalidator.all(this.invs);
  }

  /** Gives the ASID back. The last attachment's end dropped all that was cached under it. */
  free(): void {
    if (this.attachments.length > 0)
      throw new IommuError('EBUSY', `process ${this.mm.name} is still attached to ${this.attachments.length} PASIDs`);
    if (!this.released) this.mm.unregisterNotifier(this);
    this.attacher.asids.unshare(this.#asid);
    this.mm.unpinAsid();
  }
}
