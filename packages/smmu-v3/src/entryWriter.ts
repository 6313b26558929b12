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

const ZERO: Uint32Array = new Uint32Array(ENTRY_WORDS);

function isZero(entry: Uint32Array, first: number): boolean {
  for (let i = first; i < ENTRY_WORDS; i++) if (entry[i] !== 0) return false;
  return true;
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
  /** Whether the V bit of the entry at `words[at]` is set. */
  protected abstract valid(words: Uint32Array, at: number): boolean;
  /** Drops the entry from the SMMU's caches and waits until no fetch that saw older contents is left. */
  protected abstract sync(): void;

  /**
   * Brings the entry at `pa` to `target`.
   *
   * @param pa - Physical address of the entry, 64-byte aligned, in RAM.
   * @param target - Sixteen words. Bits that the target itself does not use must be zero.
   */
  write(pa: Pa, target: Uint32Array): UpdateKind {
    const at = this.#memory.at(pa);
    const { words } = this.#memory;
    const wasValid = this.valid(words, at);
    if (!this.valid(target, 0)) return this.#retire(pa, target, wasValid);
    if (!wasValid) return this.#bringUp(pa, target);

    const current = this.#current;
    for (let i = 0; i < ENTRY_WORDS; i++) current[i] = words[at + i]!;
    const ignored = this.#ignored;
    const differing = planUpdate(this, current, target, ignored);
    const kind = updateKind(differing);
    if (kind === 'hitless') {
      const critical = 31 - Math.clz32(differing);
      // Its ignored bits go with the store that follows anyway, which can save a sync.
      ignored[critical * 2] = current[critical * 2]!;
      ignored[critical * 2 + 1] = current[critical * 2 + 1]!;
      if (this.#store(pa, ignored, 0, DWORDS)) this.sync();
      this.#store(pa, target, critical, 1);
      this.sync();
      if (this.#store(pa, target, 0, DWORDS)) this.sync();
    } else if (kind === 'breaking') {
      // Whatever dword 0 holds, zero is invalid; the rest is then ignored and can be filled.
      ignored[0] = 0;
      ignored[1] = 0;
      this.#store(pa, ignored, 0, 1);
      this.sync();
      if (this.#store(pa, target, 1, DWORDS - 1)) this.sync();
      this.#store(pa, target, 0, 1);
      this.sync();
    } else if (this.#store(pa, target, 0, DWORDS)) {
      this.sync(); // only bits that nobody minds
      return 'hitless';
    }
    return kind;
  }

  /**
   * Makes the entry at `pa` invalid and leaves the rest of it: then it costs one sync less to bring the same back.
   * @returns False if it was invalid already.
   */
  invalidate(pa: Pa): boolean {
    const at = this.#memory.at(pa);
    if (!this.valid(this.#memory.words, at)) return false;
    this.#store(pa, ZERO, 0, 1);
    this.sync();
    return true;
  }

  /** Makes an entry invalid and clears it; the latter without a sync, {@link #bringUp} sees to that. */
  #retire(pa: Pa, target: Uint32Array, wasValid: boolean): UpdateKind {
    let changed = this.#store(pa, target, 0, 1);
    if (wasValid) this.sync();
    changed = this.#store(pa, target, 1, DWORDS - 1) || changed;
    return changed ? 'hitless' : 'none';
  }

  /** Makes an invalid entry valid: all but its first dword, then that. */
  #bringUp(pa: Pa, target: Uint32Array): UpdateKind {
    // What is there already has been there since it was last valid, and no fetch of anything else can be on its way. But
    // zeros may have been put there just now.
    if (this.#store(pa, target, 1, DWORDS - 1) || isZero(target, 2)) this.sync();
    this.#store(pa, target, 0, 1);
    this.sync();
    return 'hitless';
  }

  /** Stores the dwords that differ, each with a single store. Returns whether any did. */
  #store(pa: Pa, source: Uint32Array, first: number, count: number): boolean {
    const memory = this.#memory;
    let at = memory.at(pa);
    let { words } = memory;
    const direct = memory.observer === null && this.#coherence.coherent;
    let changed = false;
    for (let i = first * 2; i < (first + count) * 2; i += 2) {
      const lo = source[i]!;
      const hi = source[i + 1]!;
      if (words[at + i] === lo && words[at + i + 1] === hi) continue;
      changed = true;
      if (direct) {
        words[at + i] = lo;
        words[at + i + 1] = hi;
        continue;
      }
      memory.write64(pa + i * 4, lo, hi);
      if (!this.#coherence.coherent) this.#coherence.syncForDevice(pa + i * 4, 8);
      at = memory.at(pa); // whoever was told of the store may have looked elsewhere
      words = memory.words;
    }
    return changed;
  }
}
