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
import { FETCH_NEED } from './contextTable.ts';
import {
  D_AF,
  D_AP_READ_ONLY,
  D_CONTIGUOUS,
  D_NG,
  D_NT,
  D_PLAIN,
  D_TYPE,
  D_VALID,
  isStage1Clean,
  LIMITS,
  outputAddress,
  permissionKey,
  shareabilityOf,
  swap,
} from './descriptor.ts';
import {
  attributesOf,
  BITS_ASET,
  BITS_FRAGMENT,
  BITS_LEVEL_SHIFT,
  BITS_NESTED,
  BITS_S1_CLEAN,
  BITS_S2_ALL,
  BITS_S2_CLEAN,
  BITS_S2_DEVICE,
  BITS_TG_SHIFT,
  NEEDS,
  PERM_WRITE,
} from './entryBits.ts';
import { ACCESS_KEEPS_CLEAN, ACCESS_KIND, ACCESS_NO_UPDATE, CLASS_TT, type Fault } from './fault.ts';
import type { ModelFeatures } from './features.ts';
import { alignDown, offsetOf } from './powers.ts';
import { INVALID_AT, type Stage2, UPDATE_AF, UPDATE_DIRTY, UPDATE_TRIES } from './stage2.ts';
import { LAYOUT_DS, type TableRange } from './tableRange.ts';
import {
  CLASS_OF_SHIFT,
  frameHi,
  frameLo,
  META_CLASS_SHIFT,
  META_GLOBAL,
  META_TOP_SHIFT,
  PAGE_MASK,
  type TagCache,
  TOP_MASK,
  topOf,
} from './tagCache.ts';
import { deepest, keepPointer, POINTER_LEVEL } from './walkCache.ts';
import type { WalkStats } from './walkStats.ts';

/** What #lastLevel answers. */
const FAULT = 0;
const FOUND = 1;
const LOOK_AGAIN = 2;

/** A stage 1 descriptor update is a privileged data write at stage 2. */
const UPDATE_NEED = 0b010000;

export class Stage1 {
  /** What {@link translate} found: the address, IOTLB bits, log2 of the bytes over which it holds, type and shareability. */
  pa = 0;
  bits = 0;
  shift = 12;
  attributes = 0;
  /** Before stage 2, of a nested stream: address, log2 of the bytes, type and shareability. */
  ipa = 0;
  ipaShift = 12;
  ipaAttributes = 0;
  readonly #memory: PhysicalMemory;
  readonly #iotlb: TagCache;
  readonly #walkCache: TagCache;
  readonly #stage2: Stage2;
  readonly #fault: Fault;
  readonly #stats: WalkStats;
  // The address under translation: members, because every step of a walk needs them.
  #lo = 0;
  #hi = 0;
  /** What hardware may write on the way, as stage2.ts has it. */
  #updates: number = UPDATE_DIRTY;
  #aborted = false;
  readonly #bbmLevel: number;

  constructor(
    memory: PhysicalMemory,
    features: ModelFeatures,
    iotlb: TagCache,
    walkCache: TagCache,
    stage2: Stage2,
    fault: Fault,
    stats: WalkStats,
  ) {
    this.#memory = memory;
    this.#bbmLevel = features.bbmLevel;
    this.#iotlb = iotlb;
    this.#walkCache = walkCache;
    this.#stage2 = stage2;
    this.#fault = fault;
    this.#stats = stats;
  }

  /**
   * Walks for an address that no cached translation answers, and keeps what it finds.
   * @param lo - Input address, bits [31:0].
   * @param hi - Bits [63:32], the top byte already as TBI makes it.
   * @param access - As in fault.ts, after the stream's overrides.
   */
  translate(context: Context, lo: number, hi: number, access: number): boolean {
    const cd = context.cd!;
    const upper = (hi & 0x80_0000) !== 0 && context.twoRanges;
    const range = upper ? cd.range1 : cd.range0;
    if (!range.walkable)
      return this.#refuse(
        EVENT.F_TRANSLATION,
        upper ? 'EPD1=1: the upper half has no walks' : 'EPD0=1: the lower half has no walks',
      );
    if (!inRange(lo, hi, range.inputBits, upper)) return this.#refuse(EVENT.F_TRANSLATION, 'address beyond TxSZ');
    this.#stats.walks++;
    this.#lo = lo;
    this.#hi = hi;
    this.#updates = updatesOf(access);
    if (!range.allOdd) {
      const pointer = this.#walkCache.find(
        frameLo(lo, hi) & range.pointerMask,
        context.number | (topOf(hi) << META_TOP_SHIFT) | range.pointerMeta,
      );
      if (pointer >= 0) {
        const verdict = this.#lastLevel(context, range, pointer, access);
        if (verdict !== LOOK_AGAIN) return verdict === FOUND;
      }
    }
    return this.#walk(context, range, lo, hi, access);
  }

  /**
   * The last table's pointer is mostly known, and the page mostly plain: then one descriptor is all there is to read.
   * Anything out of the ordinary is {@link LOOK_AGAIN}, and the whole walk looks at it.
   */
  #lastLevel(context: Context, range: TableRange, pointer: number, access: number): number {
    const lo = this.#lo;
    const hi = this.#hi;
    const walkCache = this.#walkCache;
    const memory = this.#memory;
    const granuleShift = range.granuleShift;
    const index = ((lo >>> granuleShift) | (hi << (32 - granuleShift))) & range.mask;
    let at = walkCache.baseOf(pointer) + index * 8;
    if (context.nested) {
      if (!this.#locate(context, walkCache.loOf(pointer, index * 8), walkCache.hiOf(pointer), FETCH_NEED)) return FAULT;
      at = this.#stage2.pa;
    }
    if (!memory.read64(at)) return LOOK_AGAIN;
    const dlo = memory.lo | 0;
    const dhi = memory.hi | 0;
    if ((dlo & D_PLAIN) !== D_PLAIN || (dhi & range.odd) !== 0) return LOOK_AGAIN;
    this.#stats.reads++;
    const cd = context.cd!;
    const need = NEEDS[access & ACCESS_KIND]!;
    const permissions = cd.permissions[permissionKey(dlo, dhi, walkCache.tags[pointer + 12]!, false)]!;
    const type = mairByte(cd, S1_LEAF.AttrIndx.of(dlo));
    const ipaLo = (dlo & (-1 << granuleShift)) | (lo & ~(-1 << granuleShift));
    const granted = (permissions & need) !== 0;
    this.shift = granuleShift;
    if (context.nested) {
      if (!granted) return LOOK_AGAIN;
      this.bits = permissions | range.pageBits;
      return this.#nest(context, dlo, ipaLo, dhi & 0xffff, need, type, shareabilityOf(dlo)) ? FOUND : FAULT;
    }
    this.pa = (dhi & 0xffff) * 2 ** 32 + (ipaLo >>> 0);
    this.bits = permissions | BITS_S2_ALL | range.pageBits | (dhi & 0xf000);
    this.attributes = attributesOf(type, shareabilityOf(dlo));
    const iotlb = this.#iotlb;
    const meta =
      (topOf(hi) << META_TOP_SHIFT) |
      range.pageMeta |
      ((dlo & D_NG) !== 0 || !context.twoRanges ? context.number : context.globalNumber | META_GLOBAL | context.aset);
    const handle = iotlb.insert(frameLo(lo, hi) & range.pageMask, meta, this.bits, frameLo(dlo, dhi) & range.pageMask);
    iotlb.attributes[iotlb.indexOf(handle)] = this.attributes;
    return granted ? FOUND : LOOK_AGAIN;
  }

  #walk(context: Context, range: TableRange, lo: number, hi: number, access: number): boolean {
    const cd = context.cd!;
    const memory = this.#memory;
    const page = (lo >>> 12) | (hi << 20);
    let level = range.startLevel;
    let shift = range.startShift;
    let mask = range.startMask;
    let table = range.table;
    let limits = 0;
    let tries = 0;
    const cached = deepest(this.#walkCache, range, context.number, page, topOf(hi));
    if (cached >= 0) {
      const bits = this.#walkCache.tags[cached + 12]!;
      level = bits & POINTER_LEVEL;
      limits = bits & LIMITS;
      shift = range.granuleShift + (3 - level) * range.stride;
      mask = range.mask;
      table = this.#walkCache.baseOf(cached);
    }
    for (;;) {
      const index = (shift < 32 ? (lo >>> shift) | (hi << (32 - shift)) : hi >>> (shift - 32)) & mask;
      let at = table + index * 8;
      if (context.nested) {
        if (!this.#locate(context, at | 0, (at * 2 ** -32) | 0, FETCH_NEED)) return false;
        at = this.#stage2.pa;
      }
      if (!memory.read64(at)) return this.#abort(at);
      this.#stats.reads++;
      let dlo = memory.lo | 0;
      let dhi = memory.hi | 0;
      if (range.bigEndian) {
        dlo = swap(memory.hi);
        dhi = swap(memory.lo);
      }
      if ((dlo & D_VALID) === 0) return this.#refuse(EVENT.F_TRANSLATION, INVALID_AT[level + 1]!);
      if (level === 3 || (dlo & D_TYPE) === 0) {
        if ((dlo & D_TYPE) === 0 && (level === 3 || level < range.minBlockLevel))
          return this.#refuse(EVENT.F_TRANSLATION, 'a block where none is allowed');
        return this.#leaf(context, range, level, limits, at, table + index * 8, dlo, dhi, access);
      }
      const next = outputAddress(range, dlo, dhi, range.granuleShift);
      if (next >= range.outputLimit) return this.#refuse(EVENT.F_ADDR_SIZE, 'next table beyond the output size');
      if (cd.haft && this.#updates !== 0 && (dlo & D_AF) === 0) {
        const place = table + index * 8;
        if (context.nested && !this.#locate(context, place | 0, (place * 2 ** -32) | 0, UPDATE_NEED)) return false;
        if (!this.#swap(range, at, dlo, dhi, dlo | D_AF)) {
          if (this.#aborted) return this.#abort(at);
          if (++tries < UPDATE_TRIES) continue; // software changed it meanwhile: look again
          return this.#refuse(EVENT.F_ACCESS, 'the descriptor keeps changing under its update');
        }
      }
      if (!range.had) limits |= dhi & LIMITS;
      keepPointer(
        this.#walkCache,
        context.number,
        page,
        topOf(hi),
        shift,
        limits | (level + 1) | (cd.aset ? BITS_ASET : 0),
        next,
      );
      level++;
      shift -= range.stride;
      mask = range.mask;
      table = next;
    }
  }

  /** Access flag and permissions of a leaf, with the updates that hardware makes; then what follows from it. */
  #leaf(
    context: Context,
    range: TableRange,
    level: number,
    limits: number,
    at: number,
    atIpa: number,
    dlo: number,
    dhi: number,
    access: number,
  ): boolean {
    const cd = context.cd!;
    const need = NEEDS[access & ACCESS_KIND]!;
    for (let tries = 0; tries < UPDATE_TRIES; tries++) {
      const shift = range.granuleShift + (3 - level) * range.stride;
      const base = outputAddress(range, dlo, dhi, shift);
      if (base >= range.outputLimit) return this.#refuse(EVENT.F_ADDR_SIZE, 'output beyond the intermediate size');
      let wantLo = dlo;
      if ((dlo & D_AF) === 0) {
        if (cd.ha && this.#updates !== 0) wantLo |= D_AF;
        else if (!cd.affd) return this.#refuse(EVENT.F_ACCESS, 'AF=0');
      }
      let clean = cd.hd && isStage1Clean(dlo, dhi, limits);
      let permissions = cd.permissions[permissionKey(dlo, dhi, limits, clean)]!;
      if (clean) {
        if ((need & PERM_WRITE) !== 0 && (permissions & need) !== 0 && this.#updates === UPDATE_DIRTY) {
          wantLo &= ~D_AP_READ_ONLY;
          clean = false;
        } else permissions &= ~PERM_WRITE;
      }
      if (wantLo !== dlo) {
        if (context.nested && !this.#locate(context, atIpa | 0, (atIpa * 2 ** -32) | 0, UPDATE_NEED)) return false;
        if (!this.#swap(range, at, dlo, dhi, wantLo)) {
          if (this.#aborted) return this.#abort(at);
          dlo = range.bigEndian ? swap(this.#memory.hi) : this.#memory.lo | 0;
          dhi = range.bigEndian ? swap(this.#memory.lo) : this.#memory.hi | 0;
          if ((dlo & D_VALID) === 0 || (level === 3) !== ((dlo & D_TYPE) !== 0))
            return this.#refuse(EVENT.F_TRANSLATION, 'the descriptor changed under its update');
          continue;
        }
      }
      const bits =
        permissions |
        (clean ? BITS_S1_CLEAN : 0) |
        (cd.aset ? BITS_ASET : 0) |
        ((level + 1) << BITS_LEVEL_SHIFT) |
        (range.tlbiTg << BITS_TG_SHIFT);
      return this.#finish(context, range, level, shift, base, dlo, dhi, bits, need);
    }
    return this.#refuse(EVENT.F_ACCESS, 'the descriptor keeps changing under its update');
  }

  /** The verdict on permissions, stage 2 of the result, and the cache. */
  #finish(
    context: Context,
    range: TableRange,
    level: number,
    shift: number,
    base: number,
    dlo: number,
    dhi: number,
    bits: number,
    need: number,
  ): boolean {
    const cd = context.cd!;
    if ((dhi & D_CONTIGUOUS) !== 0) {
      const run = range.contiguousShift[level] ?? 0;
      if (run !== 0 && run <= range.inputBits) {
        base = alignDown(base, run);
        shift = run;
      }
    }
    if (shift > range.granuleShift && this.#bbmLevel < 2) {
      if (this.#bbmLevel === 1 && level < 3 && (dlo & D_NT) !== 0) {
        base = alignDown(base + offsetOf(this.#lo, this.#hi, shift), range.granuleShift);
        shift = range.granuleShift;
        bits |= BITS_FRAGMENT;
      } else if (this.#iotlb.hasInside(context.number, frameLo(this.#lo, this.#hi), this.#hi, shift)) {
        // Software replaced pages by a block without break-before-make: both are cached now (§3.21.1).
        return this.#refuse(EVENT.F_TLB_CONFLICT, 'a block over pages that are still cached');
      }
    }
    const type = mairByte(cd, S1_LEAF.AttrIndx.of(dlo));
    const share = range.layout === LAYOUT_DS ? (range === cd.range1 ? cd.sh1 : cd.sh0) : shareabilityOf(dlo);
    const ipa = base + offsetOf(this.#lo, this.#hi, shift);
    this.shift = shift;
    this.bits = bits;
    if (context.nested) {
      if ((bits & need) === 0) return this.#refuse(EVENT.F_PERMISSION, 'AP, XN, PAN or WXN');
      return this.#nest(context, dlo, ipa | 0, (ipa * 2 ** -32) | 0, need, type, share);
    }
    const baseHi = (base * 2 ** -32) | 0;
    this.pa = ipa;
    this.bits = bits | BITS_S2_ALL | frameHi(baseHi);
    this.attributes = attributesOf(type, share);
    this.#keep(context, dlo, frameLo(base | 0, baseHi));
    return (bits & need) !== 0 || this.#refuse(EVENT.F_PERMISSION, 'AP, XN, PAN or WXN');
  }

  /** Takes the result of stage 1, whose bits and size are set, through stage 2, and keeps both in one. */
  #nest(
    context: Context,
    dlo: number,
    ipaLo: number,
    ipaHi: number,
    need: number,
    type: number,
    share: number,
  ): boolean {
    const stage2 = this.#stage2;
    const ipa = ipaHi * 2 ** 32 + (ipaLo >>> 0);
    this.ipa = ipa;
    this.ipaShift = this.shift;
    this.ipaAttributes = attributesOf(type, share);
    if (!stage2.translate(context.ste, ipaLo, ipaHi, need, false, this.#updates)) return false;
    const combined = combineAttributes(type, stage2.attributes & 15, context.ste.s2Fwb);
    let bits = this.bits | (stage2.bits & (BITS_S2_ALL | BITS_S2_CLEAN | BITS_S2_DEVICE)) | BITS_NESTED;
    if (stage2.shift < this.shift) {
      bits |= BITS_FRAGMENT;
      this.shift = stage2.shift;
    }
    this.pa = stage2.pa;
    this.attributes = attributesOf(combined, combineShareability(combined, share, stage2.attributes >>> 8));
    const base = alignDown(stage2.pa, this.shift);
    const baseHi = (base * 2 ** -32) | 0;
    this.bits = bits | frameHi(baseHi);
    const handle = this.#keep(context, dlo, frameLo(base | 0, baseHi));
    this.#iotlb.ipas[this.#iotlb.indexOf(handle)] = alignDown(ipa, this.shift);
    return true;
  }

  #keep(context: Context, dlo: number, frame: number): number {
    const iotlb = this.#iotlb;
    const hi = this.#hi;
    const size = CLASS_OF_SHIFT[this.shift]!;
    const global = (dlo & D_NG) === 0 && context.twoRanges;
    const meta =
      ((topOf(hi) & TOP_MASK[size]!) << META_TOP_SHIFT) |
      (size << META_CLASS_SHIFT) |
      (global ? context.globalNumber | META_GLOBAL | context.aset : context.number);
    const handle = iotlb.insert(frameLo(this.#lo, hi) & PAGE_MASK[size]!, meta, this.bits, frame);
    iotlb.attributes[iotlb.indexOf(handle)] = this.attributes;
    return handle;
  }

  /** Stage 2 for a descriptor of stage 1: a fault is of class TT. */
  #locate(context: Context, lo: number, hi: number, need: number): boolean {
    const stage2 = this.#stage2;
    const fault = this.#fault;
    if (stage2.translate(context.ste, lo, hi, need, true, this.#updates)) {
      if (!context.ste.s2Ptw || (stage2.bits & BITS_S2_DEVICE) === 0) return true;
      fault.setStage2(EVENT.F_PERMISSION, hi * 2 ** 32 + (lo >>> 0), 'S2PTW=1 and stage 2 maps the table as Device');
    }
    fault.klass = CLASS_TT;
    fault.tableRead = need === FETCH_NEED;
    return false;
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

/** What a transaction lets hardware write into tables. */
export const updatesOf = (access: number): number =>
  (access & ACCESS_NO_UPDATE) !== 0 ? 0 : (access & ACCESS_KEEPS_CLEAN) !== 0 ? UPDATE_AF : UPDATE_DIRTY;

const mairByte = (cd: ContextConfig, index: number): number =>
  ((index >= 4 ? cd.mairHi : cd.mairLo) >>> ((index & 3) * 8)) & 0xff;

/** Whether all address bits from `bits` up equal bit 55: all clear in the lower half, all set in the upper. */
export function inRange(lo: number, hi: number, bits: number, upper: boolean): boolean {
  if (bits > 32) return hi >> (bits - 32) === (upper ? -1 : 0);
  if ((hi | 0) !== (upper ? -1 : 0)) return false;
  return bits === 32 || lo >> bits === (upper ? -1 : 0) || (!upper && lo >>> bits === 0);
}
