/**
 * What TLB invalidations drop: translations and walk results, by world, VMID, ASID, address and range. CFGI is in
 * configCache.ts. IHI 0070 §3.17, §4.4; Linux arm_smmu_tlb_inv_range_domain.
 *
 * More may be dropped than was asked for, never less. Entries of both stages answer to stage 1 invalidations only.
 */
import { BITS_ASET, BITS_FRAGMENT, BITS_LEVEL_SHIFT, BITS_TG_SHIFT } from './entryBits.ts';
import { alignDown, POWER } from './powers.ts';
import {
  CLASS_SHIFT,
  META_ASET,
  META_CLASS_SHIFT,
  META_GLOBAL,
  META_NUMBER,
  META_TOP_SHIFT,
  PAGE_MASK,
  type TagCache,
  TOP_MASK,
} from './tagCache.ts';
import { type TagNumbers, WORLD_E2H, WORLD_EL1, WORLD_EL2, WORLD_S2 } from './tagNumbers.ts';

/** Every ASID. */
export const ANY_ASID = -1;

/** Which addresses an invalidation covers. Reused: filled by the command, read here. */
export class Span {
  /** First input address [43:12], and [52:44] (bit 52 standing for those above). */
  page = 0;
  top = 0;
  /** Bytes; 0 for the one address, whatever the size of the entry that holds it. */
  bytes = 0;
  /** CMD_TLBI_*.TG: only entries of that granule; 0 all. */
  tg = 0;
  /** Only leaves of that level; 0 all. */
  ttl = 0;
  /** Leaves only, no table pointers. */
  leaf = false;
}

/** Probes of a range before looking at every entry is cheaper. */
const PROBES = 256;

export class Invalidator {
  readonly #iotlb: TagCache;
  readonly #walks1: TagCache;
  readonly #walks2: TagCache;
  readonly #numbers: TagNumbers;
  /** CR0.VMW: VMID bits that invalidations compare. */
  vmidMask = 0xffff;
  /** Entries of an ASID set of the SMMU's own stay (CD.ASET): for what CPUs broadcast. */
  sparesPrivate = false;

  constructor(iotlb: TagCache, walks1: TagCache, walks2: TagCache, numbers: TagNumbers) {
    this.#iotlb = iotlb;
    this.#walks1 = walks1;
    this.#walks2 = walks2;
    this.#numbers = numbers;
  }

  /** Everything, of every world. */
  all(): void {
    this.#iotlb.clear();
    this.#walks1.clear();
    this.#walks2.clear();
  }

  /** CMD_TLBI_NSNH_ALL: EL1 at all stages and VMIDs. */
  allEl1(): void {
    for (const cache of [this.#iotlb, this.#walks1, this.#walks2])
      cache.removeIf((handle) => this.#world(cache, handle) === WORLD_EL1 || this.#world(cache, handle) === WORLD_S2);
  }

  /** CMD_TLBI_EL2_ALL: EL2 with and without E2H. */
  allEl2(): void {
    for (const cache of [this.#iotlb, this.#walks1])
      cache.removeIf((handle) => this.#world(cache, handle) === WORLD_EL2 || this.#world(cache, handle) === WORLD_E2H);
  }

  /** CMD_TLBI_NH_ALL: stage 1 of a VMID, global entries as well. */
  stage1OfVmid(vmid: number): void {
    for (const cache of [this.#iotlb, this.#walks1])
      cache.removeIf((handle) => this.#same(cache, handle, WORLD_EL1, vmid, ANY_ASID));
  }

  /** CMD_TLBI_S12_VMALL: both stages of a VMID. */
  vmid(vmid: number): void {
    this.stage1OfVmid(vmid);
    for (const cache of [this.#iotlb, this.#walks2])
      cache.removeIf((handle) => this.#same(cache, handle, WORLD_S2, vmid, ANY_ASID));
  }

  /** By ASID: non-global entries only. `vmid` is 0 in worlds without VMIDs. */
  asid(world: number, vmid: number, asid: number): void {
    const exact = this.vmidMask === 0xffff;
    const number = exact ? this.#numbers.find(world, asid, vmid) : -1;
    if (exact && number < 0) return;
    for (const cache of [this.#iotlb, this.#walks1]) {
      if (exact && cache.holds(number) === 0) continue;
      cache.removeIf(
        (handle) =>
          (cache.tags[handle + 4]! & META_GLOBAL) === 0 &&
          !this.#spared(cache, handle) &&
          this.#same(cache, handle, world, vmid, asid),
      );
    }
  }

  /** By address, of one ASID and what is global, or of {@link ANY_ASID}. */
  address(world: number, vmid: number, asid: number, span: Span): void {
    this.#leaves(world, vmid, asid, span);
    if (!span.leaf) this.#pointers(this.#walks1, world, vmid, asid, span);
  }

  /**
   * One address of one ASID, and what is global: the invalidation of every day. Same as {@link address} with a span of
   * no bytes, without the span.
   * @returns false if that takes more than looking the address up.
   */
  page(world: number, vmid: number, asid: number, page: number, top: number, leaf: boolean): boolean {
    const leaves = this.#iotlb;
    if (this.vmidMask !== 0xffff || leaves.flagged !== 0) return false;
    const number = this.#numbers.find(world, asid, vmid);
    const pointers = leaf ? 0 : this.#walks1.present;
    if (((leaves.present | pointers) & GLOBAL_KINDS) !== 0) return false;
    if (number < 0) return true;
    for (let rest = leaves.present; rest !== 0; rest &= rest - 1) dropSize(leaves, page, top, lowestBit(rest), number);
    for (let rest = pointers; rest !== 0; rest &= rest - 1) dropSize(this.#walks1, page, top, lowestBit(rest), number);
    return true;
  }

  /** CMD_TLBI_S2_IPA: stage 2 alone. */
  ipa(vmid: number, span: Span): void {
    this.#leaves(WORLD_S2, vmid, 0, span);
    if (!span.leaf) this.#pointers(this.#walks2, WORLD_S2, vmid, 0, span);
  }

  #leaves(world: number, vmid: number, asid: number, span: Span): void {
    const cache = this.#iotlb;
    if (cache.count === 0) return;
    const probed = asid !== ANY_ASID && this.vmidMask === 0xffff && this.#probe(cache, world, vmid, asid, span);
    if (probed && cache.flagged === 0) return;
    // Entries smaller than the stage 1 leaf that they come from go with any address of that leaf.
    cache.removeIf(
      (handle) =>
        (!probed || (cache.tags[handle + 12]! & BITS_FRAGMENT) !== 0) &&
        !this.#spared(cache, handle) &&
        this.#same(cache, handle, world, vmid, asid) &&
        isScope(cache.tags[handle + 12]!, span) &&
        meets(cache, handle, leafShift(cache, handle), span),
    );
  }

  /** Table pointers: with a level given, those above it; with a granule given, those of its tables. */
  #pointers(cache: TagCache, world: number, vmid: number, asid: number, span: Span): void {
    if (cache.count === 0) return;
    if (span.tg === 0 && asid !== ANY_ASID && this.vmidMask === 0xffff && this.#probe(cache, world, vmid, asid, span))
      return;
    cache.removeIf((handle) => {
      if (this.#spared(cache, handle) || !this.#same(cache, handle, world, vmid, asid)) return false;
      const shift = cache.shiftOf(handle);
      if (span.tg !== 0 && !REACHES[span.tg]!.includes(shift)) return false;
      if (span.ttl !== 0 && REACHES[span.tg]!.indexOf(shift) < 3 - span.ttl) return false;
      return meets(cache, handle, shift, span);
    });
  }

  /** Looks the span's addresses up one by one, for one ASID and what is global. False if that were too many. */
  #probe(cache: TagCache, world: number, vmid: number, asid: number, span: Span): boolean {
    const number = this.#numbers.find(world, asid, vmid);
    if (span.bytes > 0) return this.#probeRange(cache, world, vmid, number, span);
    for (let rest = cache.present; rest !== 0; rest &= rest - 1) {
      const kind = lowestBit(rest);
      if (kind < 16) this.#dropAt(cache, span.page, span.top, kind, number, span);
      else this.#dropGlobalAt(cache, span.page, span.top, kind & 15, this.#numbers.find(world, 0, vmid), span);
    }
    return true;
  }

  #probeRange(cache: TagCache, world: number, vmid: number, number: number, span: Span): boolean {
    let probes = 0;
    for (let rest = cache.present; rest !== 0; rest &= rest - 1)
      probes += Math.floor(span.bytes / POWER[CLASS_SHIFT[lowestBit(rest) & 15]!]!) + 2;
    if (probes > PROBES) return false;
    const start = pageNumber(span.page, span.top);
    const end = start + span.bytes / 4096;
    for (let rest = cache.present; rest !== 0; rest &= rest - 1) {
      const kind = lowestBit(rest);
      const log2Pages = CLASS_SHIFT[kind & 15]! - 12;
      for (let at = alignDown(start, log2Pages); at < end; at += POWER[log2Pages]!) {
        const top = (at / 2 ** 32) & 0x1ff;
        if (kind < 16) this.#dropAt(cache, at | 0, top, kind, number, span);
        else this.#dropGlobalAt(cache, at | 0, top, kind & 15, this.#numbers.find(world, 0, vmid), span);
      }
    }
    return true;
  }

  /** Drops the entry of one size and tag number that holds an address. */
  #dropAt(cache: TagCache, page: number, top: number, size: number, number: number, span: Span): void {
    if (number < 0) return;
    const meta = number | ((top & TOP_MASK[size]!) << META_TOP_SHIFT) | (size << META_CLASS_SHIFT);
    const handle = cache.find(page & PAGE_MASK[size]!, meta);
    if (handle >= 0 && isScope(cache.tags[handle + 12]!, span) && !this.#spared(cache, handle)) cache.remove(handle);
  }

  #dropGlobalAt(cache: TagCache, page: number, top: number, size: number, number: number, span: Span): void {
    if (number < 0) return;
    this.#dropAt(cache, page, top, size, number | META_GLOBAL, span);
    this.#dropAt(cache, page, top, size, number | META_GLOBAL | META_ASET, span);
  }

  #spared(cache: TagCache, handle: number): boolean {
    return this.sparesPrivate && (cache.tags[handle + 12]! & BITS_ASET) !== 0;
  }

  #world(cache: TagCache, handle: number): number {
    return this.#numbers.worldOf(cache.tags[handle + 4]! & META_NUMBER);
  }

  /** Whether an entry is of that world, VMID (as far as CR0.VMW compares it) and ASID, or global. */
  #same(cache: TagCache, handle: number, world: number, vmid: number, asid: number): boolean {
    const meta = cache.tags[handle + 4]!;
    const number = meta & META_NUMBER;
    const numbers = this.#numbers;
    if (numbers.worldOf(number) !== world || ((numbers.vmidOf(number) ^ vmid) & this.vmidMask) !== 0) return false;
    return asid === ANY_ASID || (meta & META_GLOBAL) !== 0 || numbers.asidOf(number) === asid;
  }
}

const GLOBAL_KINDS = 0xffff << 16;

/** Drops the entry of one size and tag number that holds an address. */
function dropSize(cache: TagCache, page: number, top: number, size: number, number: number): void {
  const meta = number | ((top & TOP_MASK[size]!) << META_TOP_SHIFT) | (size << META_CLASS_SHIFT);
  const handle = cache.find(page & PAGE_MASK[size]!, meta);
  if (handle >= 0) cache.remove(handle);
}

/** Address bits below a table pointer's reach, nearest the leaf first, by granule. */
const REACHES: readonly (readonly number[])[] = [[], [21, 30, 39, 48], [25, 36, 47], [29, 42]];

const lowestBit = (mask: number): number => 31 - Math.clz32(mask & -mask);
/** Input address in units of 4 KiB: 41 bits, the top one standing for all above. */
const pageNumber = (page: number, top: number): number => top * 2 ** 32 + (page >>> 0);

/** Whether level and granule of a leaf are those asked for. A pointer's bits are not asked: its spans have neither. */
const isScope = (bits: number, span: Span): boolean =>
  (span.tg === 0 || bits >>> BITS_TG_SHIFT === span.tg) &&
  (span.ttl === 0 || ((bits >>> BITS_LEVEL_SHIFT) & 7) === span.ttl + 1);

/** log2 of the bytes that an invalidation of any address in them drops the entry for. */
function leafShift(cache: TagCache, handle: number): number {
  const bits = cache.tags[handle + 12]!;
  if ((bits & BITS_FRAGMENT) === 0) return cache.shiftOf(handle);
  const level = ((bits >>> BITS_LEVEL_SHIFT) & 7) - 1;
  const granuleShift = 10 + 2 * (bits >>> BITS_TG_SHIFT);
  // The leaf may be one of a contiguous run of up to 128: taking that for granted drops a little more than need be.
  return granuleShift + (3 - level) * (granuleShift - 3) + 7;
}

/** Whether the naturally aligned 2^`shift` bytes around an entry's address and the span have an address in common. */
function meets(cache: TagCache, handle: number, shift: number, span: Span): boolean {
  const at = pageNumber(cache.tags[handle]!, (cache.tags[handle + 4]! >>> META_TOP_SHIFT) & 0x1ff);
  const first = alignDown(at, shift - 12);
  const start = pageNumber(span.page, span.top);
  const last = start + Math.max(1, span.bytes / 4096) - 1;
  return first <= last && start < first + POWER[shift - 12]!;
}
