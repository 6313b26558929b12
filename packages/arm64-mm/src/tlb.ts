/**
 * Which cached translations have to go after entries changed: those of the CPUs, and those that notifiers stand for
 * (Linux `struct mmu_gather`, mm/mmu_gather.c; arch/arm64/include/asm/tlbflush.h, which calls the notifiers from the
 * same place).
 *
 * The order everywhere is: change entries, flush here, then free what they named.
 */
import type { Va } from '@smmu/platform';
import type { Mm } from './mm.ts';
import type { Page } from './page.ts';

/** The TLBs of the CPUs, as a port: a board that models them, or that carries broadcasts to an SMMU, sets it. */
export interface CpuTlb {
  /** Empties one CPU's TLB (`TLBI VMALLE1`). */
  flushCpu(cpu: number): void;
  /** Forgets `[start, last]` of one ASID on all CPUs (`TLBI VAE1IS`, `TLBI RVAE1IS`). */
  flushRange(asid: number, start: Va, last: Va): void;
}

/** Forgets `[start, last]` of an address space everywhere. */
export function flushTlb(mm: Mm, start: Va, last: Va): void {
  const { cpuTlb, notifiers, context, zone } = mm;
  if (cpuTlb !== undefined && context.generation !== 0) cpuTlb.flushRange(context.asid, start, last);
  if (!notifiers.empty) zone.callOut(() => notifiers.invalidate(mm, start, last));
}

/** Changes of one address space that one flush follows. */
export class TlbGather {
  #start: Va = Number.POSITIVE_INFINITY;
  #last: Va = -1;
  /** Anonymous pages that lost their last mapping. */
  readonly #freed: Page[] = [];

  /** Cached translations of `[start, end)` are wrong now. */
  touch(start: Va, end: Va): void {
    if (start < this.#start) this.#start = start;
    if (end - 1 > this.#last) this.#last = end - 1;
  }

  /** To be freed after the flush. */
  free(page: Page): void {
    this.#freed.push(page);
  }

  /** One flush that covers everything touched, if anything was; then the pages go. */
  finish(mm: Mm): void {
    if (this.#last >= 0) flushTlb(mm, this.#start, this.#last);
    for (const page of this.#freed) mm.zone.free(page);
  }
}

/** Changes of many address spaces: ranges that touch become one. */
export class TlbBatch {
  readonly #mms: Mm[] = [];
  readonly #starts: Va[] = [];
  readonly #ends: Va[] = [];

  /** Ranges gathered so far. */
  get size(): number {
    return this.#mms.length;
  }

  /** Cached translations of `bytes` bytes at `va` are wrong now. */
  add(mm: Mm, va: Va, bytes: number): void {
    const at = mm.batchIndex; // the range that this address space touched last
    if (at >= 0) {
      if (this.#ends[at] === va) {
        this.#ends[at] = va + bytes;
        return;
      }
      if (this.#starts[at] === va + bytes) {
        this.#starts[at] = va;
        return;
      }
    }
    mm.batchIndex = this.#mms.length;
    this.#mms.push(mm);
    this.#starts.push(va);
    this.#ends.push(va + bytes);
  }

  flush(): void {
    for (const [i, mm] of this.#mms.entries()) {
      mm.batchIndex = -1;
      flushTlb(mm, this.#starts[i]!, this.#ends[i]! - 1);
    }
    this.#mms.length = 0;
    this.#starts.length = 0;
    this.#ends.length = 0;
  }
}
