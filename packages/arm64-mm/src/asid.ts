/**
 * Address space IDs of the CPUs: generations, rollover, pinning (Arm ARM D8.14 "address space identifiers"; Linux
 * arch/arm64/mm/context.c).
 *
 * An ASID belongs to a generation. When none is left, a new generation begins and every ASID is free again, except
 * those that a CPU may be using this moment (active or reserved) and those that are pinned. Each CPU empties its TLB
 * before it runs the first address space of a new generation. An ASID is therefore never given back one by one: that an
 * address space ended is found out at the next rollover.
 *
 * A pinned ASID is one that a device's tables name. It keeps its number over rollovers until the last user unpins it.
 */
import { IommuError } from '@smmu/platform';

/** What the allocator knows of one address space (Linux `mm_context_t`). */
export class AsidContext {
  /** 0: never ran. The pair with `generation` is the kernel's `context.id`. */
  asid = 0;
  /** Generation that `asid` belongs to; 0 before the first. */
  generation = 0;
  /** How often it is pinned. */
  pins = 0;
}

/** Whatever has an ASID: an {@link Mm}. */
export interface AsidUser {
  readonly context: AsidContext;
}

/** Parameters of an {@link AsidAllocator}. */
export interface AsidAllocatorOptions {
  /** ASIDBits of the CPUs. */
  readonly asidBits: 8 | 16;
  /** CPUs that there can be. */
  readonly cpus: number;
  /**
   * The kernel is unmapped while user code runs (Linux `arm64_kernel_unmapped_at_el0`): each address space takes a pair,
   * the even ASID in the kernel, the odd one in user mode. {@link AsidAllocator.pin} returns the odd one.
   */
  readonly kernelUnmapped?: boolean;
  /** Empties one CPU's TLB, before it first runs something of a new generation (Linux `local_flush_tlb_all`). */
  readonly flushCpu?: (cpu: number) => void;
}

/** Hands out ASIDs. */
export class AsidAllocator {
  /** ASIDs that can be had, the reserved number 0 among them. */
  readonly available: number;
  /** How many may be pinned: so many that a rollover always finds a free one. */
  readonly maxPinned: number;
  /** Which generation it is, from 1. One more than the rollovers so far. */
  generation = 1;
  /** Address spaces that are pinned now. */
  pinnedCount = 0;
  readonly #numbers: number;
  readonly #kernelUnmapped: boolean;
  readonly #flushCpu: ((cpu: number) => void) | undefined;
  /** Taken in this generation. */
  readonly #map: Uint32Array;
  /** What stays taken over a rollover: the pinned, and the odd half if the kernel is unmapped. */
  readonly #pinnedMap: Uint32Array;
  readonly #active: Uint32Array; // by CPU; 0 since the last rollover
  readonly #activeGeneration: Float64Array;
  readonly #reserved: Uint32Array; // by CPU: what it was running at the last rollover
  readonly #reservedGeneration: Float64Array;
  readonly #flushPending: Uint8Array;
  #from = 1; // where the next search begins

  /** @throws {@link IommuError} `EINVAL` if there are not at least two more ASIDs than CPUs, or no CPU. */
  constructor({ asidBits, cpus, kernelUnmapped = false, flushCpu }: AsidAllocatorOptions) {
    this.#numbers = 2 ** asidBits;
    this.available = kernelUnmapped ? this.#numbers / 2 : this.#numbers;
    if (!Number.isInteger(cpus) || cpus < 1 || this.available - 1 <= cpus)
      throw new IommuError(
        'EINVAL',
        `${cpus} CPUs: must be from 1 to ${this.available - 2} with ${asidBits}-bit ASIDs`,
      );
    this.#kernelUnmapped = kernelUnmapped;
    this.#flushCpu = flushCpu;
    // Even if each CPU has reserved one and number 0 is never given out, one is left after a rollover.
    this.maxPinned = this.available - cpus - 2;
    this.#pinnedMap = new Uint32Array(this.#numbers / 32).fill(kernelUnmapped ? 0xaaaa_aaaa : 0);
    this.#map = this.#pinnedMap.slice();
    this.#active = new Uint32Array(cpus);
    this.#activeGeneration = new Float64Array(cpus);
    this.#reserved = new Uint32Array(cpus);
    this.#reservedGeneration = new Float64Array(cpus);
    this.#flushPending = new Uint8Array(cpus);
  }

  /**
   * Prepares `cpu` to run an address space: gives it an ASID of this generation if it has none, and empties the CPU's
   * TLB if a new generation has begun (Linux `check_and_switch_context`).
   * @returns The ASID.
   * @throws {@link IommuError} `EINVAL` if there is no such CPU.
   */
  checkAndSwitch(mm: AsidUser, cpu: number): number {
    if (!Number.isInteger(cpu) || cpu < 0 || cpu >= this.#active.length)
      throw new IommuError('EINVAL', `CPU ${cpu}: there are ${this.#active.length}`);
    const { context } = mm;
    if (context.generation !== this.generation) this.#newContext(context);
    if (this.#flushPending[cpu] === 1) {
      this.#flushPending[cpu] = 0;
      this.#flushCpu?.(cpu);
    }
    this.#active[cpu] = context.asid;
    this.#activeGeneration[cpu] = context.generation;
    return context.asid;
  }

  /**
   * Pins an address space's ASID, or counts one more user of it (Linux `arm64_mm_context_get`).
   * @returns The ASID for a device's tables, or 0 if {@link maxPinned} are pinned already.
   */
  pin(mm: AsidUser): number {
    const { context } = mm;
    if (context.pins === 0) {
      if (this.pinnedCount >= this.maxPinned) return 0;
      if (context.generation !== this.generation) this.#newContext(context);
      this.pinnedCount += 1;
      setBit(this.#pinnedMap, context.asid);
    }
    context.pins += 1;
    return this.#kernelUnmapped ? context.asid + 1 : context.asid;
  }

  /**
   * Ends one user's pin (Linux `arm64_mm_context_put`). The number is free from the next rollover on.
   * @throws {@link IommuError} `EINVAL` if it is not pinned.
   */
  unpin(mm: AsidUser): void {
    const { context } = mm;
    if (context.pins === 0) throw new IommuError('EINVAL', `ASID ${context.asid} is not pinned`);
    context.pins -= 1;
    if (context.pins > 0) return;
    this.pinnedCount -= 1;
    clearBit(this.#pinnedMap, context.asid);
  }

  /** Finds an ASID of this generation for `context`, beginning the next generation if it must (Linux `new_context`). */
  #newContext(context: AsidContext): void {
    const { asid, generation } = context;
    if (generation !== 0) {
      // It was running during a rollover, or is pinned: the number is its own still. The reserved ones come first
      // even for a pinned one, because the reserved copies must follow it into this generation.
      const own = this.#updateReserved(asid, generation) || context.pins > 0;
      // Else it may have its old number back if nobody took it.
      if (own || !testBit(this.#map, asid)) {
        setBit(this.#map, asid);
        context.generation = this.generation;
        return;
      }
    }
    let free = nextZero(this.#map, this.#numbers, this.#from);
    if (free === this.#numbers) {
      this.generation += 1;
      this.#flushContext();
      free = nextZero(this.#map, this.#numbers, 1); // maxPinned sees to it that there is one
    }
    setBit(this.#map, free);
    this.#from = free;
    context.asid = free;
    context.generation = this.generation;
  }

  /** Begins a generation: only what runs or is pinned stays taken (Linux `flush_context`). */
  #flushContext(): void {
    this.#map.set(this.#pinnedMap);
    for (let cpu = 0; cpu < this.#active.length; cpu++) {
      // A CPU that ran nothing since the rollover before is still in what it had reserved then.
      if (this.#active[cpu] !== 0) {
        this.#reserved[cpu] = this.#active[cpu]!;
        this.#reservedGeneration[cpu] = this.#activeGeneration[cpu]!;
        this.#active[cpu] = 0;
      }
      setBit(this.#map, this.#reserved[cpu]!);
    }
    this.#flushPending.fill(1);
  }

  /** Takes every CPU's reserved copy of an ASID into this generation (Linux `check_update_reserved_asid`). */
  #updateReserved(asid: number, generation: number): boolean {
    let hit = false;
    for (let cpu = 0; cpu < this.#reserved.length; cpu++)
      if (this.#reserved[cpu] === asid && this.#reservedGeneration[cpu] === generation) {
        this.#reservedGeneration[cpu] = this.generation; // all copies, or a later rollover would miss one
        hit = true;
      }
    return hit;
  }
}

const testBit = (map: Uint32Array, bit: number): boolean => (map[bit >>> 5]! & (1 << (bit & 31))) !== 0;
const setBit = (map: Uint32Array, bit: number): void => {
  map[bit >>> 5]! |= 1 << (bit & 31);
};
const clearBit = (map: Uint32Array, bit: number): void => {
  map[bit >>> 5]! &= ~(1 << (bit & 31));
};

/** The first clear bit at or after `from`, or `limit`. */
function nextZero(map: Uint32Array, limit: number, from: number): number {
  for (let bit = from; bit < limit; ) {
    const free = ~map[bit >>> 5]! & (-1 << (bit & 31));
    if (free !== 0) return (bit & ~31) + 31 - Math.clz32(free & -free);
    bit = (bit & ~31) + 32;
  }
  return limit;
}
