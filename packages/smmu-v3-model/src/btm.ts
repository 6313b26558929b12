/**
 * Broadcast TLB maintenance: what a CPU's TLBI instruction does to the SMMU's TLB. IHI 0070 §3.17.2 to §3.17.5;
 * Linux arch/arm64/include/asm/tlbflush.h. Its completion is the interconnect's to wait for, not CMD_SYNC's.
 */
import type { ModelFeatures } from './features.ts';
import { ANY_ASID, type Invalidator, Span } from './invalidate.ts';
import { topOf } from './tagCache.ts';
import { WORLD_E2H, WORLD_EL1, WORLD_EL2 } from './tagNumbers.ts';

/** The TLBI instructions, without the shareability suffix. Those by address take the last level only with `leaf`. */
export type BroadcastOperation =
  | 'ALLE1'
  | 'VMALLE1'
  | 'VMALLS12E1'
  | 'ASIDE1'
  | 'VAE1'
  | 'VAAE1'
  | 'IPAS2E1'
  | 'ALLE2'
  | 'ASIDE2'
  | 'VAE2'
  | 'VAAE2';

/** One TLBI instruction as the interconnect carries it. */
export interface Broadcast {
  readonly operation: BroadcastOperation;
  readonly vmid?: number;
  readonly asid?: number;
  /** First address, and how many bytes: 0 or absent for the one page. */
  readonly address?: bigint;
  readonly bytes?: number;
  readonly leaf?: boolean;
}

/** Carries an operation out. `e2h`: CR2.E2H. */
export function broadcast(op: Broadcast, f: ModelFeatures, invalidator: Invalidator, e2h: boolean): void {
  const vmid = f.stage2 ? (op.vmid ?? 0) & (f.vmid16 ? 0xffff : 0xff) : 0;
  const asid = (op.asid ?? 0) & (f.asid16 ? 0xffff : 0xff);
  const span = spanOf(op);
  // An ASID set of the SMMU's own has nothing to do with the CPUs' ASIDs (CD.ASET).
  invalidator.sparesPrivate = op.operation === 'ASIDE1' || op.operation === 'VAE1' || op.operation === 'VAE2';
  if (op.operation === 'ALLE1') invalidator.allEl1();
  else if (op.operation === 'VMALLE1') invalidator.stage1OfVmid(vmid);
  else if (op.operation === 'VMALLS12E1') invalidator.vmid(vmid);
  else if (op.operation === 'ASIDE1') invalidator.asid(WORLD_EL1, vmid, asid);
  else if (op.operation === 'VAE1') invalidator.address(WORLD_EL1, vmid, asid, span);
  else if (op.operation === 'VAAE1') invalidator.address(WORLD_EL1, vmid, ANY_ASID, span);
  else if (op.operation === 'IPAS2E1') invalidator.ipa(vmid, span);
  else if (op.operation === 'ALLE2') invalidator.allEl2();
  else if (op.operation === 'ASIDE2') invalidator.asid(WORLD_E2H, 0, asid);
  else {
    const which = op.operation === 'VAAE2' ? ANY_ASID : e2h ? asid : 0;
    invalidator.address(e2h ? WORLD_E2H : WORLD_EL2, 0, which, span);
  }
  invalidator.sparesPrivate = false;
}

function spanOf(op: Broadcast): Span {
  const span = new Span();
  const address = BigInt.asUintN(64, op.address ?? 0n);
  const lo = Number(address & 0xffff_ffffn);
  const raw = Number(address >> 32n);
  const hi = op.operation === 'IPAS2E1' ? raw : (raw << 8) >> 8;
  span.page = (lo >>> 12) | (hi << 20);
  span.top = topOf(hi);
  span.bytes = op.bytes ?? 0;
  span.leaf = op.leaf ?? false;
  return span;
}
