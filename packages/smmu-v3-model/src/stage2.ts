/**
 * Stage 2: from an intermediate to a physical address, for data, for stage 1's descriptors and for CDs. IHI 0070 §3.3,
 * §7.3.22; Arm DDI 0487 D8.2. Written from the architecture, not from the code that builds tables.
 */
import type { PhysicalMemory } from '@smmu/platform';
import { EVENT } from '@smmu/spec';
import {
  D_AF,
  D_CONTIGUOUS,
  D_DBM,
  D_S2AP_WRITE,
  D_TYPE,
  D_VALID,
  memAttrOf,
  outputAddress,
  shareabilityOf,
  stage2Permissions,
  swap,
} from './descriptor.ts';
import {
  BITS_ATTR_SHIFT,
  BITS_LEVEL_SHIFT,
  BITS_S2_CLEAN,
  BITS_S2_SHIFT,
  BITS_SH_SHIFT,
  BITS_TG_SHIFT,
  PERM_ALL,
  PERM_WRITE,
} from './entryBits.ts';
import type { Fault } from './fault.ts';
import type { ModelFeatures } from './features.ts';
import type { StreamConfig } from './ste.ts';
import { LAYOUT_DS, type TableRange } from './tableRange.ts';
import {
  CLASS_OF_SHIFT,
  CLASS_SHIFT,
  META_CLASS,
  META_CLASS_SHIFT,
  META_WORLD_SHIFT,
  PAGE_MASK,
  type TagCache,
  TOP_MASK,
  WORLD_S2,
} from './tagCache.ts';
import type { WalkStats } from './walkStats.ts';

const WORLD_META = WORLD_S2 << META_WORLD_SHIFT;
/** Why a walk ended at an invalid descriptor, by level plus one: made once, for these are the faults of every day. */
export const INVALID_AT: readonly string[] = [-1, 0, 1, 2, 3].map((level) => `level ${level} descriptor is invalid`);
/** Times that an update is tried again when software changed the descriptor meanwhile. */
export const UPDATE_TRIES = 8;

export class Stage2 {
  /** What {@link translate} found. */
  pa = 0;
  /** Entry bits as the IOTLB keeps them. */
  bits = 0;
  /** log2 of the bytes over which the result holds. */
  shift = 12;
  readonly #memory: PhysicalMemory;
  readonly #features: ModelFeatures;
  readonly #iotlb: TagCache;
  readonly #walkCache: TagCache;
  readonly #fault: Fault;
  readonly #stats: WalkStats;

  constructor(
    memory: PhysicalMemory,
    features: ModelFeatures,
    iotlb: TagCache,
    walkCache: TagCache,
    fault: Fault,
    stats: WalkStats,
  ) {
    this.#memory = memory;
    this.#features = features;
    this.#iotlb = iotlb;
    this.#walkCache = walkCache;
    this.#fault = fault;
    this.#stats = stats;
  }

  /**
   * Translates an IPA. Returns false with the fault set; the caller adds what the address was for.
   * @param need - Permissions as in entryBits.ts; one of several privileges is named by its bit.
   * @param keep - Puts a result from memory into the IOTLB.
   * @param mayDirty - A write may mark the page dirty; a fetch never does.
   */
  translate(ste: StreamConfig, ipa: number, need: number, keep: boolean, mayDirty = true): boolean {
    const lo = ipa | 0;
    const hi = (ipa / 2 ** 32) | 0;
    const page = (lo >>> 12) | (hi << 20);
    const range = ste.range2;
    const handle = this.#iotlb.findAny(page, hi >>> 12, WORLD_META, ste.vmid, CLASS_OF_SHIFT[range.granuleShift]!);
    if (handle >= 0) {
      const bits = this.#iotlb.tags[handle + 12]!;
      if (((bits >>> BITS_S2_SHIFT) & need) === need) {
        const shift = CLASS_SHIFT[(this.#iotlb.tags[handle + 4]! & META_CLASS) >>> META_CLASS_SHIFT]!;
        this.bits = bits;
        this.shift = shift;
        this.pa = this.#iotlb.frameOf(handle) * 4096 + (ipa % 2 ** shift);
        return true;
      }
      if ((bits & BITS_S2_CLEAN) === 0 || (need & PERM_WRITE) === 0 || !mayDirty)
        return this.#refuse(EVENT.F_PERMISSION, ipa);
      this.#iotlb.remove(handle); // the page is writable once it is marked dirty: look at the descriptor
    }
    return this.#walk(ste, range, ipa, lo, hi, need, keep, mayDirty);
  }

  #walk(
    ste: StreamConfig,
    range: TableRange,
    ipa: number,
    lo: number,
    hi: number,
    need: number,
    keep: boolean,
    mayDirty: boolean,
  ): boolean {
    if (ipa >= 2 ** range.inputBits) return this.#refuse(EVENT.F_TRANSLATION, ipa, 'address beyond S2T0SZ');
    this.#stats.walks++;
    const memory = this.#memory;
    let level = range.startLevel;
    let shift = range.startShift;
    let table = range.table;
    let mask = range.startMask;
    let tries = 0;
    const cached = this.#deepest(range, ste.vmid, (lo >>> 12) | (hi << 20), hi >>> 12);
    if (cached >= 0) {
      level = this.#walkCache.tags[cached + 12]!;
      shift = range.granuleShift + (3 - level) * range.stride;
      table = this.#walkCache.frameOf(cached) * 4096;
      mask = 2 ** range.stride - 1;
    }
    for (;;) {
      const index = (shift < 32 ? (lo >>> shift) | (hi << (32 - shift)) : hi >>> (shift - 32)) & mask;
      const at = table + index * 8;
      if (!memory.read64(at)) return this.#abort(at, ipa);
      this.#stats.reads++;
      let dlo = memory.lo;
      let dhi = memory.hi;
      if (range.bigEndian) [dlo, dhi] = [swap(dhi), swap(dlo)];
      if ((dlo & D_VALID) === 0) return this.#refuse(EVENT.F_TRANSLATION, ipa, INVALID_AT[level + 1]!);
      if (level === 3 ? (dlo & D_TYPE) === 0 : (dlo & D_TYPE) === 0 && level < range.minBlockLevel)
        return this.#refuse(EVENT.F_TRANSLATION, ipa, `level ${level} takes no block`);
      if (level === 3 || (dlo & D_TYPE) === 0)
        return this.#leaf(ste, range, ipa, level, shift, at, dlo, dhi, need, keep, mayDirty);
      const next = outputAddress(range, dlo, dhi, range.granuleShift);
      if (next >= range.outputLimit)
        return this.#refuse(EVENT.F_ADDR_SIZE, ipa, `level ${level} points beyond the output size`);
      if (ste.s2Haft && (dlo & D_AF) === 0 && !this.#update(range, at, dlo, dhi, dlo | D_AF, dhi)) {
        if (this.#aborted) return this.#abort(at, ipa);
        if (++tries < UPDATE_TRIES) continue; // software changed it meanwhile: look again
        return this.#refuse(EVENT.F_ACCESS, ipa, 'the descriptor keeps changing under its update');
      }
      level++;
      shift -= range.stride;
      mask = 2 ** range.stride - 1;
      table = next;
      const size = CLASS_OF_SHIFT[shift + range.stride]!;
      const meta = ((hi >>> 12) & TOP_MASK[size]!) | (size << META_CLASS_SHIFT) | WORLD_META;
      this.#walkCache.insert(((lo >>> 12) | (hi << 20)) & PAGE_MASK[size]!, meta, ste.vmid, level, table / 4096);
    }
  }

  #leaf(
    ste: StreamConfig,
    range: TableRange,
    ipa: number,
    level: number,
    leafShift: number,
    at: number,
    dlo: number,
    dhi: number,
    need: number,
    keep: boolean,
    mayDirty: boolean,
  ): boolean {
    for (let tries = 0; tries < UPDATE_TRIES; tries++) {
      const base = outputAddress(range, dlo, dhi, leafShift);
      if (base >= range.outputLimit) return this.#refuse(EVENT.F_ADDR_SIZE, ipa, 'output beyond S2PS');
      let wantLo = dlo;
      if ((dlo & D_AF) === 0) {
        if (ste.s2Ha) wantLo |= D_AF;
        else if (!ste.s2Affd) return this.#refuse(EVENT.F_ACCESS, ipa, 'AF=0');
      }
      const clean = ste.s2Hd && (dhi & D_DBM) !== 0 && (dlo & D_S2AP_WRITE) === 0;
      let permissions = stage2Permissions(dlo, dhi, this.#features.xnx);
      if (
        clean &&
        mayDirty &&
        (need & PERM_WRITE) !== 0 &&
        (permissions | PERM_WRITE | need) === (permissions | PERM_WRITE)
      ) {
        wantLo |= D_S2AP_WRITE;
        permissions |= PERM_WRITE;
      }
      if (wantLo !== dlo) {
        if (!this.#update(range, at, dlo, dhi, wantLo, dhi)) {
          if (this.#aborted) return this.#abort(at, ipa);
          dlo = this.#memory.lo;
          dhi = this.#memory.hi;
          if (range.bigEndian) [dlo, dhi] = [swap(dhi), swap(dlo)];
          if ((dlo & D_VALID) === 0) return this.#refuse(EVENT.F_TRANSLATION, ipa, INVALID_AT[level + 1]!);
          continue;
        }
        dlo = wantLo;
      }
      this.#found(ste, range, ipa, level, leafShift, base, dlo, dhi, permissions, keep);
      if ((permissions & need) !== need) return this.#refuse(EVENT.F_PERMISSION, ipa, 'S2AP or XN');
      return true;
    }
    return this.#refuse(EVENT.F_ACCESS, ipa, 'the descriptor keeps changing under its update');
  }

  #found(
    ste: StreamConfig,
    range: TableRange,
    ipa: number,
    level: number,
    leafShift: number,
    base: number,
    dlo: number,
    dhi: number,
    permissions: number,
    keep: boolean,
  ): void {
    let shift = leafShift;
    const run = range.contiguousShift[level] ?? 0;
    if ((dhi & D_CONTIGUOUS) !== 0 && run !== 0 && run <= range.inputBits) {
      base -= base % 2 ** run;
      shift = run;
    }
    const stillClean = ste.s2Hd && (dhi & D_DBM) !== 0 && (permissions & PERM_WRITE) === 0;
    const sh = range.layout === LAYOUT_DS ? 3 : shareabilityOf(dlo);
    const bits =
      PERM_ALL |
      (permissions << BITS_S2_SHIFT) |
      (memAttrOf(dlo) << BITS_ATTR_SHIFT) |
      (sh << BITS_SH_SHIFT) |
      (stillClean ? BITS_S2_CLEAN : 0) |
      ((level + 1) << BITS_LEVEL_SHIFT) |
      (range.tlbiTg << BITS_TG_SHIFT);
    this.bits = bits;
    this.shift = shift;
    this.pa = base + (ipa % 2 ** shift);
    if (!keep) return;
    const size = CLASS_OF_SHIFT[shift]!;
    const top = (ipa / 2 ** 44) | 0;
    const meta = (top & TOP_MASK[size]!) | (size << META_CLASS_SHIFT) | WORLD_META;
    this.#iotlb.insert(((ipa / 4096) | 0) & PAGE_MASK[size]!, meta, ste.vmid, bits, base / 4096);
  }

  /** The handle of the walk cache's entry nearest to the leaf, or -1. */
  #deepest(range: TableRange, vmid: number, page: number, top: number): number {
    const cache = this.#walkCache;
    let reach = range.granuleShift + range.stride;
    for (let level = 3; level > range.startLevel; level--) {
      const size = CLASS_OF_SHIFT[reach]!;
      if ((cache.present & (1 << size)) !== 0) {
        const handle = cache.find(
          page & PAGE_MASK[size]!,
          (top & TOP_MASK[size]!) | (size << META_CLASS_SHIFT) | WORLD_META,
          vmid,
        );
        if (handle >= 0) return handle;
      }
      reach += range.stride;
    }
    return -1;
  }

  #aborted = false;

  /** Swaps a descriptor atomically. False if it was not what was read, which `memory` then holds, or on an abort. */
  #update(range: TableRange, at: number, lo: number, hi: number, newLo: number, newHi: number): boolean {
    this.#aborted = false;
    if (range.bigEndian) [lo, hi, newLo, newHi] = [swap(hi), swap(lo), swap(newHi), swap(newLo)];
    if (!this.#memory.compareExchange64(at, lo >>> 0, hi >>> 0, newLo >>> 0, newHi >>> 0)) {
      this.#aborted = true;
      return false;
    }
    return this.#memory.lo === lo >>> 0 && this.#memory.hi === hi >>> 0;
  }

  #refuse(code: number, ipa: number, reason = 'not permitted'): false {
    this.#fault.setStage2(code, ipa, reason);
    return false;
  }

  #abort(at: number, ipa: number): false {
    this.#fault.setStage2(EVENT.F_WALK_EABT, ipa, 'external abort');
    this.#fault.fetchAddress = at;
    return false;
  }
}
