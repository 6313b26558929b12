/**
 * Rewrites a stream table entry or context descriptor while the SMMU may be using it.
 * IHI 0070 §3.21.3; Linux arm-smmu-v3.c, `arm_smmu_write_entry`.
 *
 * The hardware may look between any two stores, and a store is one dword of the eight. An entry uses only some of its
 * bits: which ones, its own contents say. So bits that the present contents ignore can be set first, then a single
 * dword turns the entry from the old configuration into the new one, and what the new one ignores is cleared last. The
 * traffic sees the old entry or the new one and nothing in between. Where more than one dword has to change in used
 * bits there is no such way, and the entry goes through V=0 on purpose.
 *
 * Between the steps stands an invalidation with CMD_SYNC, so that no earlier fetch is still on its way.
 */
import type { DmaCoherence, Pa, SystemMemory } from '@smmu/platform';

/** Words of an entry: a STE and a CD both have 64 bytes. */
export const ENTRY_WORDS = 16;
const DWORDS = 8;

/** What a kind of entry knows about itself (Linux `struct arm_smmu_entry_writer_ops`, less the sync). */
export interface EntryKind {
  /** Adds to `used` (zero before) every bit of `entry` that the hardware looks at, given the contents of `entry`. */
  usedBits(entry: Uint32Array, used: Uint32Array): void;
  /** Adds to `safe` (zero before) used bits that may change at any time without harm, on the way from one to the other. */
  safeBits?(current: Uint32Array, target: Uint32Array, safe: Uint32Array): void;
}

/** How an entry gets from its present contents to the target. */
export type UpdateKind = 'none' | 'hitless' | 'breaking';

const currentUsed: Uint32Array = new Uint32Array(ENTRY_WORDS);
const targetUsed: Uint32Array = new Uint32Array(ENTRY_WORDS);
const safe: Uint32Array = new Uint32Array(ENTRY_WORDS);

/**
 * Plans an update (Linux `arm_smmu_entry_qword_diff`).
 *
 * @param current - What is in memory.
 * @param target - What shall be there; a bit that the target itself does not use must be zero.
 * @param ignoredUpdate - Receives `current` with every bit that it ignores already as in `target`.
 * @returns A bit for each dword in which used bits still differ after that: none, one (hitless) or more (breaking).
 */
export function planUpdate(
  kind: EntryKind,
  current: Uint32Array,
  target: Uint32Array,
  ignoredUpdate: Uint32Array,
): number {
  currentUsed.fill(0);
  targetUsed.fill(0);
  kind.usedBits(current, currentUsed);
  kind.usedBits(target, targetUsed);
  if (kind.safeBits !== undefined) {
    safe.fill(0);
    kind.safeBits(current, target, safe);
    // Bits that only one of the two uses are put in order by that one's being used or not.
    for (let i = 0; i < ENTRY_WORDS; i++) currentUsed[i]! &= ~(safe[i]! & currentUsed[i]! & targetUsed[i]!);
  }
  let differing = 0;
  for (let i = 0; i < ENTRY_WORDS; i++) {
    const used = currentUsed[i]!;
    ignoredUpdate[i] = (current[i]! & used) | (target[i]! & ~used);
    if ((ignoredUpdate[i]! & targetUsed[i]!) >>> 0 !== target[i]) differing |= 1 << (i >> 1);
  }
  return differing;
}

/** What kind of update the plan's dwords mean, once `current` is known to differ from the target or not. */
export function updateKind(differing: number): UpdateKind {
  if (differing === 0) return 'none';
  return (differing & (differing - 1)) === 0 ? 'hitless' : 'breaking';
}

/**
 * Writes entries of one kind. A subclass says which bits count and how the hardware is told.
 *
 * One object serves all entries of a table: whoever calls {@link write} first says, in the subclass's own fields,
 * whose entry it is.
 */
export abstract class EntryWriter implements EntryKind {
  readonly #memory: SystemMemory;
  readonly #coherence: DmaCoherence;
  readonly #current: Uint32Array = new Uint32Array(ENTRY_WORDS);
  readonly #ignored: Uint32Array = new Uint32Array(ENTRY_WORDS);

  constructor(memory: SystemMemory, coherence: DmaCoherence) {
    this.#memory = memory;
    this.#coherence = coherence;
  }

  abstract usedBits(entry: Uint32Array, used: Uint32Array): void;
  safeBits?(current: Uint32Array, target: Uint32Array, safeBits: Uint32Array): void;
  /** Whether an entry's V bit is set. */
  protected abstract valid(entry: Uint32Array): boolean;
  /** Drops the entry from the SMMU's caches and waits until no fetch that saw older contents is left. */
  protected abstract sync(): void;

  /**
   * Brings the entry at `pa` to `target`.
   *
   * @param pa - Physical address of the entry, 64-byte aligned, in RAM.
   * @param target - Sixteen words. Bits that the target itself does not use must be zero.
   */
  write(pa: Pa, target: Uint32Array): UpdateKind {
    const current = this.#current;
    const ignored = this.#ignored;
    const at = this.#memory.at(pa);
    const { words } = this.#memory;
    for (let i = 0; i < ENTRY_WORDS; i++) current[i] = words[at + i]!;

    const differing = planUpdate(this, current, target, ignored);
    const kind = updateKind(differing);
    if (kind === 'hitless') {
      const critical = 31 - Math.clz32(differing);
      // Its ignored bits go with the store that follows anyway, which can save a sync.
      ignored[critical * 2] = current[critical * 2]!;
      ignored[critical * 2 + 1] = current[critical * 2 + 1]!;
      const changed = this.#store(pa, ignored, 0, DWORDS);
      // Leftovers of an invalid entry are cleared without a sync, below: an entry that comes alive must not meet them.
      if (changed || this.#comesAlive(current, target)) this.sync();
      this.#store(pa, target, critical, 1);
      this.sync();
      if (this.#store(pa, target, 0, DWORDS) && this.valid(target)) this.sync();
    } else if (kind === 'breaking') {
      // Whatever dword 0 holds, zero is invalid; the rest is then ignored and can be filled.
      ignored[0] = 0;
      ignored[1] = 0;
      if (this.#store(pa, ignored, 0, 1)) this.sync();
      if (this.#store(pa, target, 1, DWORDS - 1)) this.sync();
      if (this.#store(pa, target, 0, 1)) this.sync();
    } else if (this.#store(pa, target, 0, DWORDS)) {
      this.sync(); // only bits that nobody minds
      return 'hitless';
    }
    return kind;
  }

  /** Whether an invalid entry becomes one that uses more than its first dword. `planUpdate` has just run. */
  #comesAlive(current: Uint32Array, target: Uint32Array): boolean {
    if (this.valid(current) || !this.valid(target)) return false;
    for (let i = 2; i < ENTRY_WORDS; i++) if (targetUsed[i] !== 0) return true;
    return false;
  }

  /** Stores the dwords that differ, each with a single store. Returns whether any did. */
  #store(pa: Pa, source: Uint32Array, first: number, count: number): boolean {
    const current = this.#current;
    let changed = false;
    for (let i = first * 2; i < (first + count) * 2; i += 2) {
      const lo = source[i]!;
      const hi = source[i + 1]!;
      if (current[i] === lo && current[i + 1] === hi) continue;
      this.#memory.write64(pa + i * 4, lo, hi);
      if (!this.#coherence.coherent) this.#coherence.syncForDevice(pa + i * 4, 8);
      current[i] = lo;
      current[i + 1] = hi;
      changed = true;
    }
    return changed;
  }
}
