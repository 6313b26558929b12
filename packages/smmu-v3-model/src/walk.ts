/**
 * Stage 1: from an input address through TTB0 or TTB1 to a physical address, or to an intermediate one that stage 2
 * takes on. IHI 0070 §3.4, §7.3.12 to §7.3.16, §7.3.22; Arm DDI 0487 D8.2. Written from the architecture, not from the
 * code that builds tables.
 *
 * Order of a nested walk: at each level the descriptor's address goes through stage 2 first, then the stage 1 checks of
 * that level; after the last level stage 1's access flag and permissions, then stage 2 of the result.
 */
import type { PhysicalMemory } from '@smmu/platform';
import { EVENT, S1_LEAF } from '@smmu/spec';
import { combineAttributes, combineShareability } from './attributes.ts';
import type { ContextConfig } from './cd.ts';
import type { Context } from './context.ts';
import { FETCH_NEED, isStage2Device } from './contextTable.ts';
import {
  D_AF,
  D_AP_READ_ONLY,
  D_CONTIGUOUS,
  D_NG,
  D_TYPE,
  D_VALID,
  isStage1Clean,
  LIMITS,
  outputAddress,
  shareabilityOf,
  stage1Permissions,
  swap,
} from './descriptor.ts';
import {
  BITS_ASET,
  BITS_ATTR_SHIFT,
  BITS_FRAGMENT,
  BITS_LEVEL_SHIFT,
  BITS_NESTED,
  BITS_S1_CLEAN,
  BITS_S2_CLEAN,
  BITS_S2_SHIFT,
  BITS_SH_SHIFT,
  BITS_TG_SHIFT,
  NEEDS,
  PERM_ALL,
  PERM_WRITE,
} from './entryBits.ts';
import { CLASS_TT, type Fault } from './fault.ts';
import { INVALID_AT, type Stage2, UPDATE_TRIES } from './stage2.ts';
import { LAYOUT_DS, type TableRange } from './tableRange.ts';
import {
  CLASS_OF_SHIFT,
  META_CLASS_SHIFT,
  META_GLOBAL,
  PAGE_MASK,
  type TagCache,
  TOP_MASK,
  WORLD_EL2,
} from './tagCache.ts';
import type { WalkStats } from './walkStats.ts';

/** A stage 1 descriptor update is a privileged data write at stage 2. */
const UPDATE_NEED = 0b010000;

export class Stage1 {
  /** What {@link translate} found. */
  pa = 0;
  bits = 0;
  shift = 12;
  /** Before stage 2; the result itself if there is none. */
  ipa = 0;
  readonly #memory: PhysicalMemory;
  readonly #iotlb: TagCache;
  readonly #walkCache: TagCache;
  readonly #stage2: Stage2;
  readonly #fault: Fault;
  readonly #stats: WalkStats;
  // The address under translation and its context: fields, because a walk is too hot for a record of its own.
  #lo = 0;
  #hi = 0;
  #limits = 0;

  constructor(
    memory: PhysicalMemory,
    iotlb: TagCache,
    walkCache: TagCache,
    stage2: Stage2,
    fault: Fault,
    stats: WalkStats,
  ) {
    this.#memory = memory;
    this.#iotlb = iotlb;
    this.#walkCache = walkCache;
    this.#stage2 = stage2;
    this.#fault = fault;
    this.#stats = stats;
  }

  /**
   * Walks for an address that no cached translation answers, and keeps what it finds.
   * @param lo - Input address, bits [31:0]; the top byte already as TBI makes it.
   * @param access - As in fault.ts, after the stream's overrides.
   */
  translate(context: Context, lo: number, hi: number, access: number): boolean {
    const cd = context.cd!;
    const upper = (hi & 0x80_0000) !== 0 && context.ste.world !== WORLD_EL2;
    const range = upper ? cd.range1 : cd.range0;
    if (!range.walkable)
      return this.#refuse(
        EVENT.F_TRANSLATION,
        upper ? 'EPD1=1: no walks of the upper half' : 'EPD0=1: no walks of the lower half',
      );
    if (!inRange(lo, hi, range.inputBits, upper))
      return this.#refuse(EVENT.F_TRANSLATION, `address outside ${range.inputBits} bits`);
    this.#stats.walks++;
    this.#lo = lo;
    this.#hi = hi;
    return this.#walk(context, cd, range, access);
  }

  #walk(context: Context, cd: ContextConfig, range: TableRange, access: number): boolean {
    const lo = this.#lo;
    const hi = this.#hi;
    const memory = this.#memory;
    const nested = context.nested;
    let level = range.startLevel;
    let shift = range.startShift;
    let mask = range.startMask;
    let table = range.table;
    let limits = 0;
    let tries = 0;
    const cached = this.#deepest(context, range, (lo >>> 12) | (hi << 20), hi >>> 12);
    if (cached >= 0) {
      const bits = this.#walkCache.tags[cached + 12]!;
      level = bits & 3;
      limits = bits & LIMITS;
      shift = range.granuleShift + (3 - level) * range.stride;
      mask = 2 ** range.stride - 1;
      table = this.#walkCache.frameOf(cached) * 4096;
    }
    for (;;) {
      const index = (shift < 32 ? (lo >>> shift) | (hi << (32 - shift)) : hi >>> (shift - 32)) & mask;
      let at = table + index * 8;
      if (nested) {
        if (!this.#locate(context, at, FETCH_NEED)) return false;
        at = this.#stage2.pa;
      }
      if (!memory.read64(at)) return this.#abort(at);
      this.#stats.reads++;
      let dlo = memory.lo;
      let dhi = memory.hi;
      if (range.bigEndian) {
        dlo = swap(memory.hi);
        dhi = swap(memory.lo);
      }
      if ((dlo & D_VALID) === 0) return this.#refuse(EVENT.F_TRANSLATION, INVALID_AT[level + 1]!);
      if ((dlo & D_TYPE) === 0 && (level === 3 || level < range.minBlockLevel))
        return this.#refuse(EVENT.F_TRANSLATION, `level ${level} takes no block`);
      if (level === 3 || (dlo & D_TYPE) === 0) {
        this.#limits = limits;
        return this.#leaf(context, cd, range, level, shift, at, table + index * 8, dlo, dhi, access);
      }
      const next = outputAddress(range, dlo, dhi, range.granuleShift);
      if (next >= range.outputLimit)
        return this.#refuse(EVENT.F_ADDR_SIZE, `level ${level} points beyond the output size`);
      if (cd.haft && (dlo & D_AF) === 0) {
        if (nested && !this.#locate(context, table + index * 8, UPDATE_NEED)) return false;
        if (!this.#swap(range, at, dlo, dhi, (dlo | D_AF) >>> 0)) {
          if (this.#aborted) return this.#abort(at);
          if (++tries < UPDATE_TRIES) continue; // software changed it meanwhile: look again
          return this.#refuse(EVENT.F_ACCESS, 'the descriptor keeps changing under its update');
        }
      }
      if (!range.had) limits |= dhi & LIMITS;
      level++;
      shift -= range.stride;
      mask = 2 ** range.stride - 1;
      table = next;
      const size = CLASS_OF_SHIFT[shift + range.stride]!;
      const meta = ((hi >>> 12) & TOP_MASK[size]!) | (size << META_CLASS_SHIFT) | context.world;
      this.#walkCache.insert(
        ((lo >>> 12) | (hi << 20)) & PAGE_MASK[size]!,
        meta,
        context.id,
        limits | level,
        table / 4096,
      );
    }
  }

  #leaf(
    context: Context,
    cd: ContextConfig,
    range: TableRange,
    level: number,
    shift: number,
    at: number,
    atIpa: number,
    dlo: number,
    dhi: number,
    access: number,
  ): boolean {
    const twoLevels = context.ste.world !== WORLD_EL2;
    const limits = this.#limits;
    for (let tries = 0; tries < UPDATE_TRIES; tries++) {
      const base = outputAddress(range, dlo, dhi, shift);
      if (base >= range.outputLimit) return this.#refuse(EVENT.F_ADDR_SIZE, 'output beyond the intermediate size');
      let wantLo = dlo;
      if ((dlo & D_AF) === 0) {
        if (cd.ha) wantLo |= D_AF;
        else if (!cd.affd) return this.#refuse(EVENT.F_ACCESS, 'AF=0');
      }
      const clean = cd.hd && isStage1Clean(dlo, dhi, limits);
      const granted = stage1Permissions(dlo, dhi, limits, cd, twoLevels, clean);
      const need = NEEDS[access & 7]!;
      const dirties = clean && (need & PERM_WRITE) !== 0 && (granted & need) === need;
      if (dirties) wantLo &= ~D_AP_READ_ONLY;
      if (wantLo !== dlo) {
        if (context.nested && !this.#locate(context, atIpa, UPDATE_NEED)) return false;
        if (!this.#swap(range, at, dlo, dhi, wantLo >>> 0)) {
          if (this.#aborted) return this.#abort(at);
          dlo = range.bigEndian ? swap(this.#memory.hi) : this.#memory.lo;
          dhi = range.bigEndian ? swap(this.#memory.lo) : this.#memory.hi;
          if ((dlo & D_VALID) === 0 || (level === 3) !== ((dlo & D_TYPE) !== 0))
            return this.#refuse(EVENT.F_TRANSLATION, `level ${level} descriptor changed under its update`);
          continue;
        }
      }
      const permissions = clean && !dirties ? granted & ~PERM_WRITE : granted;
      return this.#finish(context, cd, range, level, shift, base, dlo, dhi, permissions, clean && !dirties, access);
    }
    return this.#refuse(EVENT.F_ACCESS, 'the descriptor keeps changing under its update');
  }

  /** Permissions, then stage 2 of the result, then the cache. */
  #finish(
    context: Context,
    cd: ContextConfig,
    range: TableRange,
    level: number,
    leafShift: number,
    base: number,
    dlo: number,
    dhi: number,
    permissions: number,
    clean: boolean,
    access: number,
  ): boolean {
    let shift = leafShift;
    const run = range.contiguousShift[level] ?? 0;
    if ((dhi & D_CONTIGUOUS) !== 0 && run !== 0 && run <= range.inputBits) {
      base -= base % 2 ** run;
      shift = run;
    }
    const need = NEEDS[access & 7]!;
    const refused = (permissions & need) !== need;
    const attribute = mairByte(cd, S1_LEAF.AttrIndx.of(dlo));
    const share = range.layout === LAYOUT_DS ? (range === cd.range1 ? cd.sh1 : cd.sh0) : shareabilityOf(dlo);
    let bits =
      permissions |
      (clean ? BITS_S1_CLEAN : 0) |
      (cd.aset ? BITS_ASET : 0) |
      ((level + 1) << BITS_LEVEL_SHIFT) |
      (range.tlbiTg << BITS_TG_SHIFT);
    const ipa = base + offsetOf(this.#lo, this.#hi, shift);
    this.ipa = ipa;
    if (!context.nested) {
      bits |= (PERM_ALL << BITS_S2_SHIFT) | (attribute << BITS_ATTR_SHIFT) | (share << BITS_SH_SHIFT);
      this.#keep(context, dlo, shift, bits, base, 0);
      this.pa = ipa;
      this.bits = bits;
      this.shift = shift;
      return refused ? this.#refuse(EVENT.F_PERMISSION, 'AP, XN, PAN or WXN') : true;
    }
    if (refused) return this.#refuse(EVENT.F_PERMISSION, 'AP, XN, PAN or WXN');
    const stage2 = this.#stage2;
    if (!stage2.translate(context.ste, ipa, need, false)) return false;
    const memAttr = (stage2.bits >>> BITS_ATTR_SHIFT) & 15;
    const combined = combineAttributes(attribute, memAttr, context.ste.s2Fwb);
    const fragment = stage2.shift < shift;
    if (fragment) shift = stage2.shift;
    bits |=
      (stage2.bits & ((PERM_ALL << BITS_S2_SHIFT) | BITS_S2_CLEAN)) |
      (combined << BITS_ATTR_SHIFT) |
      BITS_NESTED |
      (combineShareability(combined, share, (stage2.bits >>> BITS_SH_SHIFT) & 3) << BITS_SH_SHIFT) |
      (fragment ? BITS_FRAGMENT : 0);
    this.pa = stage2.pa;
    this.bits = bits;
    this.shift = shift;
    this.#keep(context, dlo, shift, bits, stage2.pa - (stage2.pa % 2 ** shift), ipa - (ipa % 2 ** shift));
    return true;
  }

  #keep(context: Context, dlo: number, shift: number, bits: number, base: number, ipa: number): void {
    const size = CLASS_OF_SHIFT[shift]!;
    let meta = ((this.#hi >>> 12) & TOP_MASK[size]!) | (size << META_CLASS_SHIFT) | context.world;
    let id = context.id;
    if ((dlo & D_NG) === 0 && context.ste.world !== WORLD_EL2) {
      meta |= META_GLOBAL | context.aset;
      id &= 0xffff;
    }
    const handle = this.#iotlb.insert(
      ((this.#lo >>> 12) | (this.#hi << 20)) & PAGE_MASK[size]!,
      meta,
      id,
      bits,
      base / 4096,
    );
    if (context.nested) this.#iotlb.setIpa(handle, ipa);
  }

  /** Stage 2 for a descriptor of stage 1: a fault is of class TT. */
  #locate(context: Context, ipa: number, need: number): boolean {
    const stage2 = this.#stage2;
    const fault = this.#fault;
    if (!stage2.translate(context.ste, ipa, need, true)) {
      fault.klass = CLASS_TT;
      fault.tableRead = need === FETCH_NEED;
      return false;
    }
    if (!context.ste.s2Ptw || !isStage2Device(stage2.bits)) return true;
    fault.setStage2(EVENT.F_PERMISSION, ipa, 'S2PTW=1 and stage 2 maps the table as Device');
    fault.klass = CLASS_TT;
    fault.tableRead = need === FETCH_NEED;
    return false;
  }

  /** The handle of the walk cache's entry nearest to the leaf, or -1. */
  #deepest(context: Context, range: TableRange, page: number, top: number): number {
    const cache = this.#walkCache;
    let reach = range.granuleShift + range.stride;
    for (let level = 3; level > range.startLevel; level--) {
      const size = CLASS_OF_SHIFT[reach]!;
      if ((cache.present & (1 << size)) !== 0) {
        const meta = (top & TOP_MASK[size]!) | (size << META_CLASS_SHIFT) | context.world;
        const handle = cache.find(page & PAGE_MASK[size]!, meta, context.id);
        if (handle >= 0) return handle;
      }
      reach += range.stride;
    }
    return -1;
  }

  #aborted = false;

  /** Swaps a descriptor's lower word atomically. False if it was not what was read, or on an abort. */
  #swap(range: TableRange, at: number, lo: number, hi: number, newLo: number): boolean {
    const memory = this.#memory;
    const big = range.bigEndian;
    this.#aborted = !(big
      ? memory.compareExchange64(at, swap(hi), swap(lo), swap(hi), swap(newLo))
      : memory.compareExchange64(at, lo, hi, newLo, hi));
    if (this.#aborted) return false;
    return big ? memory.lo === swap(hi) && memory.hi === swap(lo) : memory.lo === lo >>> 0 && memory.hi === hi >>> 0;
  }

  #refuse(code: number, reason: string): false {
    this.#fault.set(code, reason);
    return false;
  }

  #abort(at: number): false {
    this.#fault.setFetch(EVENT.F_WALK_EABT, at);
    this.#fault.klass = CLASS_TT;
    return false;
  }
}

const mairByte = (cd: ContextConfig, index: number): number =>
  ((index >= 4 ? cd.mairHi : cd.mairLo) >>> ((index & 3) * 8)) & 0xff;

/** The address's bits below `shift`. */
export function offsetOf(lo: number, hi: number, shift: number): number {
  if (shift < 32) return lo & (2 ** shift - 1);
  return (lo >>> 0) + (hi & (2 ** (shift - 32) - 1)) * 2 ** 32;
}

/** Whether all address bits from `bits` up equal bit 55: all clear in the lower half, all set in the upper. */
export function inRange(lo: number, hi: number, bits: number, upper: boolean): boolean {
  if (bits < 32) return upper ? lo >> bits === -1 && (hi | 0) === -1 : lo >>> bits === 0 && (hi | 0) === 0;
  if (bits === 32) return (hi | 0) === (upper ? -1 : 0);
  return (hi | 0) >> (bits - 32) === (upper ? -1 : 0);
}
