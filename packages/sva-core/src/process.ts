/**
 * A process as far as devices know it: its PASID, its domains, its bonds (Linux `struct iommu_mm_data`, iommu.h).
 *
 * Each bond holds a reference on the PASID, so that the number is free when the
 * last bond has gone: no transaction under it can then be left (`Domain.detachPasid` has seen to that).
 */
import type { Mm, MmuNotifier } from '@smmu/arm64-mm';
import type { Device, Domain } from '@smmu/iommu';
import type { Bond } from './bond.ts';
import type { SvaDriver } from './driver.ts';

/** A domain on the process's tables: one for all devices of an IOMMU that can share it. */
export interface SvaDomain {
  readonly domain: Domain;
  readonly driver: SvaDriver;
  /** Bonds that are attached to it. */
  users: number;
}

export class BoundProcess implements MmuNotifier {
  readonly mm: Mm;
  /** 0 while it has no bond. */
  pasid = 0;
  readonly domains: SvaDomain[] = [];
  readonly bonds: Map<Device, Bond> = new Map();
  #listening = false;

  constructor(mm: Mm) {
    this.mm = mm;
  }

  /**
   * Hears of the process's exit, after every driver whose domain exists by now: users are told when nothing is translated
   * any more.
   * @throws IommuError `ESRCH` if it has exited.
   */
  listen(): void {
    this.stopListening();
    this.mm.registerNotifier(this);
    this.#listening = true;
  }

  stopListening(): void {
    if (this.#listening) this.mm.unregisterNotifier(this);
    this.#listening = false;
  }

  /** Translations are the driver's business: its domain has a notifier of its own. */
  invalidateSecondaryTlbs(): void {}

  /** The process exits. */
  release(): void {
    for (const bond of [...this.bonds.values()]) {
      if (bond.exited) continue;
      bond.exited = true;
      for (const onExit of bond.onExit) onExit(bond);
    }
  }
}
