/**
 * A domain whose page tables the driver's users fill: of the DMA API, or of somebody who maps himself.
 * Linux arm-smmu-v3.c, "IOMMU API": `arm_smmu_domain_finalise`, `arm_smmu_map_pages`, `arm_smmu_iotlb_sync`.
 */
import { type ArmPageTable, allocPgtable, IotlbGather } from '@smmu/io-pgtable-arm';
import type { Gather } from '@smmu/iommu';
import { IommuError, type Iova, type Pa } from '@smmu/platform';
import type { AsidDomain } from './asid.ts';
import type { Attacher } from './attach.ts';
import { makeStage1Cd } from './cd.ts';
import { TranslatingDomain } from './domain.ts';
import type { InvalidationRange } from './invalidate.ts';
import { INV_ASID, INV_VMID, Invs } from './invs.ts';
import type { Master } from './master.ts';
import type { GranuleShift } from './probe.ts';
import { makeStage2Ste } from './ste.ts';

/** Input address bits of stage 1 tables: as many as any SMMU has. */
const STAGE1_IAS_BITS = 48;
/** Address bits of tables with 4 KiB and 16 KiB pages outside the 52-bit layout. */
const PLAIN_BITS = 48;

/** What a paging domain is made with. */
export interface PagingDomainOptions {
  readonly type: 'dma' | 'unmanaged';
  readonly stage: 1 | 2;
  readonly granuleShift: GranuleShift;
  /** NUMA node for its tables. */
  readonly node?: number | undefined;
}

/** A DMA or unmanaged domain. */
export class PagingDomain extends TranslatingDomain implements AsidDomain {
  readonly type: 'dma' | 'unmanaged';
  readonly stage: 'stage1' | 'stage2';
  readonly table: ArmPageTable;
  readonly geometry: { readonly start: Iova; readonly last: Iova };
  /** ASID or VMID. */
  #id: number;
  #tag: Invs;
  readonly #range: InvalidationRange;

  /** @throws {@link IommuError} `ENOMEM` without memory for the root, `ENOSPC` without a free ASID or VMID. */
  constructor(attacher: Attacher, { type, stage, granuleShift, node }: PagingDomainOptions) {
    super(attacher);
    const { smmu } = attacher;
    const { features } = smmu;
    this.type = type;
    this.stage = stage === 1 ? 'stage1' : 'stage2';
    const wide = granuleShift === 16 || features.ds;
    const oasBits = wide ? features.oasBits : Math.min(features.oasBits, PLAIN_BITS);
    const iasBits = this.stage === 'stage1' ? STAGE1_IAS_BITS : oasBits;
    this.#range = { start: 0, last: 0, granuleBytes: 2 ** granuleShift, tableShift: granuleShift, leaf: true };
    this.table = allocPgtable({
      pages: smmu.pages,
      memory: smmu.memory,
      coherence: smmu.coherence,
      stage,
      granuleShift,
      iasBits,
      oasBits,
      ...(node !== undefined && { node }),
      tlb: {
        flushAll: () => this.flushIotlbAll(),
        flushWalk: (iova, bytes, granuleBytes) => this.#invalidate(iova, iova + (bytes - 1), granuleBytes, false),
      },
    });
    this.geometry = { start: 0, last: 2 ** iasBits - 1 };
    try {
      this.#id = this.stage === 'stage1' ? attacher.asids.allocPrivate(this) : attacher.vmids.alloc();
    } catch (error) {
      this.table.free();
      throw error;
    }
    this.#tag = Invs.tag(this.stage === 'stage1' ? INV_ASID : INV_VMID, this.#id);
  }

  get tag(): Invs {
    return this.#tag;
  }

  get pageSizes(): readonly number[] {
    return this.table.pageSizes;
  }

  makeCd(target: Uint32Array, master: Master): void {
    makeStage1Cd(target, this.table.stage1, {
      asid: this.#id,
      stall: master.stall,
      hardwareAccessFlag: false,
      hardwareDirty: false,
    });
  }

  makeSte(target: Uint32Array, ats: boolean, master: Master): void {
    makeStage2Ste(target, {
      stage2: this.table.stage2,
      vmid: this.#id,
      ats,
      stall: master.stall,
      attrTypesOverride: this.attacher.smmu.features.attrTypesOverride,
    });
  }

  /** Gives its ASID up for a process that needs the number (Linux `arm_smmu_share_asid`). */
  moveAsid(asid: number): void {
    const old = this.#id;
    this.#id = asid;
    this.#tag = Invs.tag(INV_ASID, asid);
    // From here on unmapping invalidates the new number; all that the old one tags is dropped below.
    this.attacher.rebuildInvs(this);
    this.attacher.rewriteCds(this);
    this.attacher.invalidator.asid(old);
  }

  mapPages(iova: Iova, pa: Pa, pageBytes: number, count: number, prot: number): number {
    return this.table.mapPages(iova, pa, pageBytes, count, prot);
  }

  unmapPages(iova: Iova, pageBytes: number, count: number, gather: Gather): number {
    return this.table.unmapPages(iova, pageBytes, count, gather as IotlbGather);
  }

  /** A gather that invalidates by itself when pages are too far apart for one range. */
  newGather(): Gather {
    return new IotlbGather(this.attacher.smmu.pages, (gather) => this.iotlbSync(gather));
  }

  iotlbSync(gather: Gather): void {
    const { freelist, uniform } = gather as IotlbGather;
    if (gather.pageBytes > 0) this.#invalidate(gather.start, gather.last, gather.pageBytes, freelist.empty && uniform);
    if (!freelist.empty) this.attacher.smmu.pages.putPagesList(freelist);
    gather.reset();
  }

  flushIotlbAll(): void {
    this.attacher.invalidator.all(this.invs);
  }

  iovaToPhys(iova: Iova): Pa | -1 {
    return this.table.iovaToPhys(iova);
  }

  free(): void {
    if (this.attachments.length > 0)
      throw new IommuError('EBUSY', `${this.attachments.length} attachments are left in the domain`);
    this.table.free();
    if (this.stage === 'stage1') this.attacher.asids.freePrivate(this.#id);
    else this.attacher.vmids.free(this.#id);
  }

  #invalidate(start: Iova, last: Iova, granuleBytes: number, leaf: boolean): void {
    const range = this.#range;
    range.start = start;
    range.last = last;
    range.granuleBytes = granuleBytes;
    range.leaf = leaf;
    this.attacher.invalidator.range(this.invs, range, true);
  }
}
