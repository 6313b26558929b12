/** A process's address space as far as the driver looks at it. */
import { IommuError } from '@smmu/platform';
import type { Mm, MmuNotifier } from '@smmu/sva-core';

export class FakeMm {
  readonly name = 'gzip';
  readonly granuleShift: 12 | 14 | 16 = 12;
  hardwareAccessFlag = false;
  hardwareDirty = false;
  readonly stage1 = {
    ttbr: 0x8040_0000,
    tcr: { tsz: 16, tg: 0, sh: 3, orgn: 1, irgn: 1, ips: 5, ds: false },
    mairLo: 0x0044_ff04,
    mairHi: 0,
    upper: false,
    aa64: true,
  };
  readonly notifiers: MmuNotifier[] = [];
  /** ASID that pinning gives; 0 for none. */
  asid: number;
  pins = 0;
  exited = false;

  constructor(
    asid: number,
    settings: Partial<Pick<FakeMm, 'granuleShift'>> & { tcr?: Partial<FakeMm['stage1']['tcr']> } = {},
  ) {
    this.asid = asid;
    const { tcr, ...rest } = settings;
    Object.assign(this, rest);
    Object.assign(this.stage1.tcr, tcr);
  }
  /** The driver knows the real one’s type. */
  get mm(): Mm {
    return this as unknown as Mm;
  }
  pinAsid(): number {
    if (this.asid !== 0) this.pins += 1;
    return this.asid;
  }
  unpinAsid(): void {
    this.pins -= 1;
  }
  registerNotifier(notifier: MmuNotifier): void {
    if (this.exited) throw new IommuError('ESRCH', 'gzip has exited');
    this.notifiers.push(notifier);
  }
  unregisterNotifier(notifier: MmuNotifier): void {
    this.notifiers.splice(this.notifiers.indexOf(notifier), 1);
  }
  /** What the kernel does when the last user goes. */
  exit(): void {
    this.exited = true;
    for (const notifier of this.notifiers.splice(0)) notifier.release(this.mm);
  }
  invalidate(start: number, last: number): void {
    for (const notifier of this.notifiers) notifier.invalidateSecondaryTlbs(this.mm, start, last);
  }
}
