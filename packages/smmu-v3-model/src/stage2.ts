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
  D_NT,
  D_PLAIN,
  D_S2AP_WRITE,
  D_TYPE,
  D_VALID,
  memAttrOf,
  outputAddress,
  shareabilityOf,
  stage2PermissionKey,
  stage2PermissionTable,
  swap,
} from './descriptor.ts';
import {
  attributesOf,
  BITS_FRAGMENT,
  BITS_LEVEL_SHIFT,
  BITS_S2_CLEAN,
  BITS_S2_DEVICE,
  BITS_S2_SHIFT,
  BITS_TG_SHIFT,
  PERM_ALL,
  PERM_WRITE,
} from './entryBits.ts';
import type { Fault } from './fault.ts';
import type { ModelFeatures } from './features.ts';
import { alignDown, offsetOf, POWER } from './powers.ts';
import type { StreamConfig } from './ste.ts';
import { LAYOUT_DS, type TableRange } from './tableRange.ts';
import {
  CLASS_OF_SHIFT,
  frameHi,
  frameLo,
  META_CLASS_SHIFT,
  META_TOP_SHIFT,
  PAGE_MASK,
  type TagCache,
  TOP_MASK,
  topOf,
} from './tagCache.ts';
import { deepest, keepPointer, POINTER_LEVEL } from './walkCache.ts';
import type { WalkStats } from './walkStats.ts';

/** Why a walk ended at an invalid descriptor, by level plus one: made once, for these are the faults of every day. */
export const INVALID_AT: readonly string[] = [-1, 0, 1, 2, 3].map((level) => `level ${level} descriptor is invalid`);
/** Times that an update is tried again when software changed the descriptor meanwhile. */
export const UPDATE_TRIES = 8;
/** What a translation may write into tables where HTTU is on: access flags, and dirty state as well. */
export const UPDATE_AF = 1;
export const UPDATE_DIRTY = 3;
/** Values of MemAttr below this are Device memory, with and without forced write-back. */
const FIRST_NORMAL = 4;

export class Stage2 {
  /** What {@link translate} found. */
  pa = 0;
  /** Entry bits as the IOTLB keeps them with the address, and memory type and shareability. */
  bits = 0;
  attributes = 0;
  /** The lower part of the page's address, as {@link TagCache.insert} takes it. */
  frame = 0;
  /** log2 of the bytes over which the result holds. */
  shift = 12;
  readonly #memory: PhysicalMemory;
  readonly #bbmLevel: number;
  readonly #permissions: Uint8Array;
  readonly #iotlb: TagCache;
  readonly #walkCache: TagCache;
  readonly #fault: Fault;
  readonly #stats: WalkStats;
  #aborted = false;

  constructor(
    memory: PhysicalMemory,
    features: ModelFeatures,
    iotlb: TagCache,
    walkCache: TagCache,
    fault: Fault,
    stats: WalkStats,
  ) {
    this.#memory = memory;
    this.#bbmLevel = features.bbmLevel;
    this.#permissions = stage2PermissionTable(features.xnx);
    this.#iotlb = iotlb;
    this.#walkCache = walkCache;
    this.#fault = fault;
    this.#stats = stats;
  }

  /**
   * Translates an IPA. Returns false with the fault set; the caller adds what the address was for.
   * @param lo - IPA, bits [31:0].
   * @param hi - IPA, bits [55:32].
   * @param need - Permissions as in entryBits.ts; one of several privileges is named by its bit.
   * @param keep - Puts a result from memory into the IOTLB.
   * @param updates - What hardware may write: 0 nothing, {@link UPDATE_AF}, {@link UPDATE_DIRTY} as well.
   */
  translate(ste: StreamConfig, lo: number, hi: number, need: number, keep: boolean, updates: number): boolean {
    const iotlb = this.#iotlb;
    const range = ste.range2;
    const number = ste.s2Number;
    const page = frameLo(lo, hi);
    let handle = iotlb.find(page & range.pageMask, number | (topOf(hi) << META_TOP_SHIFT) | range.pageMeta);
    if (handle < 0 && (iotlb.present & ~(1 << range.pageClass)) !== 0)
      handle = iotlb.findOther(page, hi, number, number, 0, range.pageClass);
    if (handle < 0 || hi >>> 0 >= 0x10_0000) return this.#miss(ste, lo, hi, need, keep, updates);
    const bits = iotlb.tags[handle + 12]!;
    if (((bits >>> BITS_S2_SHIFT) & need) === need) {
      const shift = iotlb.shiftOf(handle);
      this.bits = bits;
      this.attributes = iotlb.attributes[iotlb.indexOf(handle)]!;
      this.shift = shift;
      this.frame = iotlb.tags[handle + 8]!;
      this.pa = iotlb.baseOf(handle) + offsetOf(lo, hi, shift);
      return true;
    }
    if ((bits & BITS_S2_CLEAN) === 0 || (need & PERM_WRITE) === 0 || updates !== UPDATE_DIRTY)
      return this.#refuse(EVENT.F_PERMISSION, lo, hi, 'cached: S2AP or XN');
    iotlb.remove(handle); // the page is writable once it is marked dirty: look at the descriptor
    return this.#miss(ste, lo, hi, need, keep, updates);
  }

  /** The last table's pointer is mostly known, and the page mostly plain: then one descriptor is all there is to read. */
  #miss(ste: StreamConfig, lo: number, hi: number, need: number, keep: boolean, updates: number): boolean {
    const range = ste.range2;
    if ((hi >>> 0) * 2 ** 32 + (lo >>> 0) >= POWER[range.inputBits]!)
      return this.#refuse(EVENT.F_TRANSLATION, lo, hi, 'address beyond S2T0SZ');
    this.#stats.walks++;
    if (range.allOdd) return this.#walk(ste, lo, hi, need, keep, updates);
    const pointers = this.#walkCache;
    const page = frameLo(lo, hi);
    const top = topOf(hi) << META_TOP_SHIFT;
    const pointer = pointers.find(page & range.pointerMask, ste.s2Number | top | range.pointerMeta);
    if (pointer < 0) return this.#walk(ste, lo, hi, need, keep, updates);
    const granuleShift = range.granuleShift;
    const index = ((lo >>> granuleShift) | (hi << (32 - granuleShift))) & range.mask;
    const at = pointers.baseOf(pointer) + index * 8;
    const memory = this.#memory;
    if (!memory.read64(at)) return this.#abort(at, lo, hi);
    const dlo = memory.lo | 0;
    const dhi = memory.hi | 0;
    if ((dlo & D_PLAIN) !== D_PLAIN || (dhi & range.odd) !== 0) return this.#walk(ste, lo, hi, need, keep, updates);
    this.#stats.reads++;
    const permissions = this.#permissions[stage2PermissionKey(dlo, dhi)]!;
    const memAttr = memAttrOf(dlo);
    const inPage = lo & ~(-1 << granuleShift);
    const frame = frameLo(dlo, dhi) & range.pageMask;
    const bits =
      PERM_ALL |
      (permissions << BITS_S2_SHIFT) |
      (memAttr < FIRST_NORMAL ? BITS_S2_DEVICE : 0) |
      range.pageBits |
      (dhi & 0xf000);
    this.bits = bits;
    this.shift = granuleShift;
    this.frame = frame;
    this.attributes = attributesOf(memAttr, shareabilityOf(dlo));
    this.pa = (dhi & 0xffff) * 2 ** 32 + (((frame << 12) | inPage) >>> 0);
    if (keep) this.#keep(page & range.pageMask, ste.s2Number | top | range.pageMeta);
    return (permissions & need) === need || this.#refuse(EVENT.F_PERMISSION, lo, hi, 'S2AP or XN');
  }

  #walk(ste: StreamConfig, lo: number, hi: number, need: number, keep: boolean, updates: number): boolean {
    const range = ste.range2;
    const memory = this.#memory;
    const page = frameLo(lo, hi);
    let level = range.startLevel;
    let shift = range.startShift;
    let table = range.table;
    let mask = range.startMask;
    let tries = 0;
    const cached = deepest(this.#walkCache, range, ste.s2Number, page, topOf(hi));
    if (cached >= 0) {
      level = this.#walkCache.tags[cached + 12]! & POINTER_LEVEL;
      shift = range.granuleShift + (3 - level) * range.stride;
      table = this.#walkCache.baseOf(cached);
      mask = range.mask;
    }
    for (;;) {
      const index = (shift < 32 ? (lo >>> shift) | (hi << (32 - shift)) : hi >>> (shift - 32)) & mask;
      const at = table + index * 8;
      if (!memory.read64(at)) return this.#abort(at, lo, hi);
      this.#stats.reads++;
      let dlo = memory.lo | 0;
      let dhi = memory.hi | 0;
      if (range.bigEndian) {
        dlo = swap(memory.hi);
        dhi = swap(memory.lo);
      }
      if ((dlo & D_VALID) === 0) return this.#refuse(EVENT.F_TRANSLATION, lo, hi, INVALID_AT[level + 1]!);
      if (level === 3 || (dlo & D_TYPE) === 0) {
        if ((dlo & D_TYPE) === 0 && (level === 3 || level < range.minBlockLevel))
          return this.#refuse(EVENT.F_TRANSLATION, lo, hi, 'a block where none is allowed');
        return this.#leaf(ste, lo, hi, level, at, dlo, dhi, need, keep, updates);
      }
      const next = outputAddress(range, dlo, dhi, range.granuleShift);
      if (next >= range.outputLimit)
        return this.#refuse(EVENT.F_ADDR_SIZE, lo, hi, 'next table beyond the output size');
      if (ste.s2Haft && updates !== 0 && (dlo & D_AF) === 0 && !this.#swap(range, at, dlo, dhi, dlo | D_AF)) {
        if (this.#aborted) return this.#abort(at, lo, hi);
        if (++tries < UPDATE_TRIES) continue; // software changed it meanwhile: look again
        return this.#refuse(EVENT.F_ACCESS, lo, hi, 'the descriptor keeps changing under its update');
      }
      keepPointer(this.#walkCache, ste.s2Number, page, topOf(hi), shift, level + 1, next);
      level++;
      shift -= range.stride;
      mask = range.mask;
      table = next;
    }
  }

  #leaf(
    ste: StreamConfig,
    lo: number,
    hi: number,
    level: number,
    at: number,
    dlo: number,
    dhi: number,
    need: number,
    keep: boolean,
    updates: number,
  ): boolean {
    const range = ste.range2;
    for (let tries = 0; tries < UPDATE_TRIES; tries++) {
      const shift = range.granuleShift + (3 - level) * range.stride;
      const base = outputAddress(range, dlo, dhi, shift);
      if (base >= range.outputLimit) return this.#refuse(EVENT.F_ADDR_SIZE, lo, hi, 'output beyond S2PS');
      let wantLo = dlo;
      if ((dlo & D_AF) === 0) {
        if (ste.s2Ha && updates !== 0) wantLo |= D_AF;
        else if (!ste.s2Affd) return this.#refuse(EVENT.F_ACCESS, lo, hi, 'AF=0');
      }
      let permissions = this.#permissions[stage2PermissionKey(dlo, dhi)]!;
      const clean = ste.s2Hd && (dhi & D_DBM) !== 0 && (dlo & D_S2AP_WRITE) === 0;
      if (
        clean &&
        updates === UPDATE_DIRTY &&
        (need & PERM_WRITE) !== 0 &&
        ((permissions | PERM_WRITE) & need) === need
      ) {
        wantLo |= D_S2AP_WRITE;
        permissions |= PERM_WRITE;
      }
      if (wantLo !== dlo && !this.#swap(range, at, dlo, dhi, wantLo)) {
        if (this.#aborted) return this.#abort(at, lo, hi);
        dlo = range.bigEndian ? swap(this.#memory.hi) : this.#memory.lo | 0;
        dhi = range.bigEndian ? swap(this.#memory.lo) : this.#memory.hi | 0;
        if ((dlo & D_VALID) === 0 || (level === 3) !== ((dlo & D_TYPE) !== 0))
          return this.#refuse(EVENT.F_TRANSLATION, lo, hi, 'the descriptor changed under its update');
        continue;
      }
      if (!this.#found(ste, lo, hi, level, shift, base, dlo, dhi, permissions, clean, keep)) return false;
      return (permissions & need) === need || this.#refuse(EVENT.F_PERMISSION, lo, hi, 'S2AP or XN');
    }
    return this.#refuse(EVENT.F_ACCESS, lo, hi, 'the descriptor keeps changing under its update');
  }

  #found(
    ste: StreamConfig,
    lo: number,
    hi: number,
    level: number,
    shift: number,
    base: number,
    dlo: number,
    dhi: number,
    permissions: number,
    clean: boolean,
    keep: boolean,
  ): boolean {
    const range = ste.range2;
    if ((dhi & D_CONTIGUOUS) !== 0) {
      const run = range.contiguousShift[level] ?? 0;
      if (run !== 0 && run <= range.inputBits) {
        base = alignDown(base, run);
        shift = run;
      }
    }
    let fragment = 0;
    if (shift > range.granuleShift && this.#bbmLevel < 2) {
      if (this.#bbmLevel === 1 && level < 3 && (dlo & D_NT) !== 0) {
        base = alignDown(base + offsetOf(lo, hi, shift), range.granuleShift);
        shift = range.granuleShift;
        fragment = BITS_FRAGMENT;
      } else if (this.#iotlb.hasInside(ste.s2Number, frameLo(lo, hi), hi, shift))
        return this.#refuse(EVENT.F_TLB_CONFLICT, lo, hi, 'a block over pages that are still cached');
    }
    const memAttr = memAttrOf(dlo);
    const baseHi = (base * 2 ** -32) | 0;
    this.bits =
      PERM_ALL |
      (permissions << BITS_S2_SHIFT) |
      (clean && (permissions & PERM_WRITE) === 0 ? BITS_S2_CLEAN : 0) |
      (memAttr < FIRST_NORMAL ? BITS_S2_DEVICE : 0) |
      ((level + 1) << BITS_LEVEL_SHIFT) |
      (range.tlbiTg << BITS_TG_SHIFT) |
      fragment |
      frameHi(baseHi);
    this.frame = frameLo(base | 0, baseHi);
    this.shift = shift;
    this.pa = base + offsetOf(lo, hi, shift);
    this.attributes = attributesOf(memAttr, range.layout === LAYOUT_DS ? ste.s2Sh0 : shareabilityOf(dlo));
    if (!keep) return true;
    const size = CLASS_OF_SHIFT[shift]!;
    const top = (topOf(hi) & TOP_MASK[size]!) << META_TOP_SHIFT;
    this.#keep(frameLo(lo, hi) & PAGE_MASK[size]!, ste.s2Number | top | (size << META_CLASS_SHIFT));
    return true;
  }

  #keep(page: number, meta: number): void {
    const iotlb = this.#iotlb;
    iotlb.attributes[iotlb.indexOf(iotlb.insert(page, meta, this.bits, this.frame))] = this.attributes;
  }

  /** Swaps a descriptor's lower word atomically. False if it was not what was read, or on an abort. */
  #swap(range: TableRange, at: number, lo: number, hi: number, newLo: number): boolean {
    const memory = this.#memory;
    const big = range.bigEndian;
    this.#aborted = !(big
      ? memory.compareExchange64(at, swap(hi), swap(lo), swap(hi), swap(newLo))
      : memory.compareExchange64(at, lo >>> 0, hi >>> 0, newLo >>> 0, hi >>> 0));
    if (this.#aborted) return false;
    return big
      ? memory.lo === swap(hi) && memory.hi === swap(lo)
      : (memory.lo | 0) === (lo | 0) && (memory.hi | 0) === (hi | 0);
  }

  #refuse(code: number, lo: number, hi: number, reason: string): false {
    this.#fault.setStage2(code, (hi >>> 0) * 2 ** 32 + (lo >>> 0), reason);
    return false;
  }

  #abort(at: number, lo: number, hi: number): false {
    this.#refuse(EVENT.F_WALK_EABT, lo, hi, 'external abort');
    this.#fault.fetchAddress = at;
    return false;
  }
}
