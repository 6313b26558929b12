/**
 * What all domains of the driver have in common: attachments, and the list of what to invalidate.
 * Linux arm-smmu-v3.h, `struct arm_smmu_domain`.
 */
import type { Device, Domain, DomainType } from '@smmu/iommu';
import type { Attacher } from './attach.ts';
import { Invs } from './invs.ts';
import type { Master } from './master.ts';

/** One device, or one SubstreamID of it, in a domain. */
export interface Attachment {
  readonly master: Master;
  /** 0: the transactions without SubstreamID. */
  readonly ssid: number;
  /** What it added to the domain's list. */
  invs: Invs;
}

/** How a domain appears in a stream table entry. */
export type DomainStage = 'abort' | 'bypass' | 'stage1' | 'stage2';

/** A domain of this driver. Devices come and go through the {@link Attacher}. */
export abstract class SmmuDomain implements Domain {
  abstract readonly type: DomainType;
  abstract readonly stage: DomainStage;
  readonly attacher: Attacher;

  constructor(attacher: Attacher) {
    this.attacher = attacher;
  }

  attachDevice(device: Device): void {
    this.attacher.attachDevice(this, device);
  }

  /** Gives everything back. Called with no device attached. */
  abstract free(): void;
}

/** A domain that translates: its entries in the TLB have a tag. */
export abstract class TranslatingDomain extends SmmuDomain {
  abstract override readonly stage: 'stage1' | 'stage2';
  readonly attachments: Attachment[] = [];
  /** What a change of its tables has to invalidate. */
  invs: Invs = new Invs();

  /** Its TLB tag: a list of that one entry. All attachments without ATS have it in common. */
  abstract get tag(): Invs;
  /** Builds the descriptor for one of its devices. Only of stage 1. */
  abstract makeCd(target: Uint32Array, master: Master): void;
  /** Builds the stream table entry for one of its devices. Only of stage 2. */
  abstract makeSte(target: Uint32Array, ats: boolean, master: Master): void;

  attachPasid(device: Device, pasid: number, old: Domain | undefined): void {
    this.attacher.attachPasid(this, device, pasid, old);
  }

  detachPasid(device: Device, pasid: number): void {
    this.attacher.detachPasid(this, device, pasid);
  }
}

/** Where nothing is translated: every transaction aborts, or passes unchanged. One of each per SMMU. */
export class PlainDomain extends SmmuDomain {
  readonly type: 'blocked' | 'identity';
  readonly stage: 'abort' | 'bypass';

  constructor(attacher: Attacher, type: 'blocked' | 'identity') {
    super(attacher);
    this.type = type;
    this.stage = type === 'blocked' ? 'abort' : 'bypass';
  }

  /** There is nothing to give back. */
  free(): void {}
}
