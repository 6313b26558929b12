/**
 * What TLB invalidations drop: translations and walk results, by world, VMID, ASID, address and range. CFGI is in
 * configCache.ts. IHI 0070 §3.17, §4.4; Linux arm_smmu_tlb_inv_range_domain.
 *
 * More may be dropped than was asked for, never less. Entries of both stages answer to stage 1 invalidations only.
 */
import { BITS_FRAGMENT, BITS_LEVEL_SHIFT, BITS_TG_SHIFT } from './entryBits.ts';
import {
  CLASS_SHIFT,
  META_ASET,
  META_CLASS,
  META_CLASS_SHIFT,
  META_GLOBAL,
  META_TOP,
  META_WORLD,
  META_WORLD_SHIFT,
  PAGE_MASK,
  type TagCache,
  TOP_MASK,
  WORLD_E2H,
  WORLD_EL1,
  WORLD_EL2,
  WORLD_S2,
} from './tagCache.ts';

/** Every ASID. */
export const ANY_ASID = -1;

/** Which addresses an invalidation covers. Reused: filled by the command, read here. */
export class Span {
  /** First input address [43:12] and [63:44]. */
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
  /** CR0.VMW: VMID bits that invalidations compare. */
  vmidMask = 0xffff;

  constructor(iotlb: TagCache, walks1: TagCache, walks2: TagCache) {
    this.#iotlb = iotlb;
    this.#walks1 = walks1;
    this.#walks2 = walks2;
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
      cache.removeIf((handle) => (worldOf(cache, handle) & ~WORLD_S2) === WORLD_EL1);
  }

  /** CMD_TLBI_EL2_ALL: EL2 with and without E2H. */
  allEl2(): void {
    for (const cache of [this.#iotlb, this.#walks1])
      cache.removeIf((handle) => worldOf(cache, handle) === WORLD_EL2 || worldOf(cache, handle) === WORLD_E2H);
  }

  /** CMD_TLBI_NH_ALL: stage 1 of a VMID, global entries as well. */
  stage1OfVmid(vmid: number): void {
    for (const cache of [this.#iotlb, this.#walks1])
      cache.removeIf((handle) => worldOf(cache, handle) === WORLD_EL1 && this.#sameVmid(cache, handle, vmid));
  }

  /** CMD_TLBI_S12_VMALL: both stages of a VMID. */
  vmid(vmid: number): void {
    this.stage1OfVmid(vmid);
    for (const cache of [this.#iotlb, this.#walks2])
      cache.removeIf((handle) => worldOf(cache, handle) === WORLD_S2 && this.#sameVmid(cache, handle, vmid));
  }

  /** By ASID: non-global entries only. `vmid` is 0 in worlds without VMIDs. */
  asid(world: number, vmid: number, asid: number): void {
    const id = (asid << 16) | vmid;
    for (const cache of [this.#iotlb, this.#walks1]) {
      if (this.vmidMask === 0xffff && cache.mayHold(id) === 0) continue;
      cache.removeIf(
        (handle) =>
          worldOf(cache, handle) === world &&
          (cache.tags[handle + 4]! & META_GLOBAL) === 0 &&
          cache.tags[handle + 8]! >>> 16 === asid &&
          this.#sameVmid(cache, handle, vmid),
      );
    }
  }

  /** By address, of one ASID and what is global, or of {@link ANY_ASID}. */
  address(world: number, vmid: number, asid: number, span: Span): void {
    const exact = asid !== ANY_ASID && this.vmidMask === 0xffff;
    const leaves = this.#iotlb;
    if (leaves.count > 0) {
      if (!exact || !this.#probe(leaves, world, (asid << 16) | vmid, span)) this.#scan(leaves, world, vmid, asid, span);
      else if (leaves.flagged > 0) this.#fragments((asid << 16) | vmid, span);
    }
    if (span.leaf || this.#walks1.count === 0) return;
    const pointers = this.#walks1;
    if (!exact || span.tg !== 0 || !this.#probe(pointers, world, (asid << 16) | vmid, span))
      this.#scanPointers(pointers, world, vmid, asid, span);
  }

  /** CMD_TLBI_S2_IPA: stage 2 alone. */
  ipa(vmid: number, span: Span): void {
    const exact = this.vmidMask === 0xffff;
    if (!exact || !this.#probe(this.#iotlb, WORLD_S2, vmid, span))
      this.#scan(this.#iotlb, WORLD_S2, vmid, ANY_ASID, span);
    if (span.leaf || this.#walks2.count === 0) return;
    if (!exact || span.tg !== 0 || !this.#probe(this.#walks2, WORLD_S2, vmid, span))
      this.#scanPointers(this.#walks2, WORLD_S2, vmid, ANY_ASID, span);
  }

  /** Looks the span's addresses up one by one. False if that were too many. */
  #probe(cache: TagCache, world: number, id: number, span: Span): boolean {
    if (span.bytes > 0) {
      let probes = 0;
      for (let rest = cache.present; rest !== 0; rest &= rest - 1)
        probes += Math.floor(span.bytes / 2 ** CLASS_SHIFT[lowestBit(rest) & 15]!) + 2;
      if (probes > PROBES) return false;
    }
    for (let rest = cache.present; rest !== 0; rest &= rest - 1) {
      const kind = lowestBit(rest);
      const size = kind & 15;
      const global = kind >= 16;
      const step = 2 ** (CLASS_SHIFT[size]! - 12); // pages
      let page = span.page & PAGE_MASK[size]!;
      let top = span.top & TOP_MASK[size]!;
      const end = span.bytes === 0 ? 0 : pageNumber(span.page, span.top) + span.bytes / 4096;
      for (;;) {
        const meta = top | (size << META_CLASS_SHIFT) | (world << META_WORLD_SHIFT);
        if (!global) this.#dropIf(cache, cache.find(page, meta, id), span);
        else
          for (const aset of ASID_SETS)
            this.#dropIf(cache, cache.find(page, meta | META_GLOBAL | aset, id & 0xffff), span);
        const following = pageNumber(page, top) + step;
        if (following >= end) break;
        page = following | 0;
        top = (following / 2 ** 32) & META_TOP;
      }
    }
    return true;
  }

  #dropIf(cache: TagCache, handle: number, span: Span): void {
    if (handle >= 0 && isScope(cache.tags[handle + 12]!, span)) cache.remove(handle);
  }

  #scan(cache: TagCache, world: number, vmid: number, asid: number, span: Span): void {
    cache.removeIf(
      (handle) =>
        this.#same(cache, handle, world, vmid, asid) &&
        isScope(cache.tags[handle + 12]!, span) &&
        (meets(cache, handle, sizeShift(cache, handle), span) || this.#leafMeets(cache, handle, span)),
    );
  }

  /** Table pointers: with a level given, those above it; with a granule given, those of its tables. */
  #scanPointers(cache: TagCache, world: number, vmid: number, asid: number, span: Span): void {
    cache.removeIf((handle) => {
      if (!this.#same(cache, handle, world, vmid, asid)) return false;
      const shift = sizeShift(cache, handle);
      if (span.tg !== 0 && !REACHES[span.tg]!.includes(shift)) return false;
      if (span.ttl !== 0 && REACHES[span.tg]!.indexOf(shift) < 3 - span.ttl) return false;
      return meets(cache, handle, shift, span);
    });
  }

  /** Entries smaller than the stage 1 leaf that they come from go with any address of that leaf. */
  #fragments(id: number, span: Span): void {
    const cache = this.#iotlb;
    cache.removeIf(
      (handle) =>
        (cache.tags[handle + 12]! & BITS_FRAGMENT) !== 0 &&
        isScope(cache.tags[handle + 12]!, span) &&
        this.#same(cache, handle, WORLD_EL1, id & 0xffff, id >>> 16) &&
        this.#leafMeets(cache, handle, span),
    );
  }

  #leafMeets(cache: TagCache, handle: number, span: Span): boolean {
    const bits = cache.tags[handle + 12]!;
    if ((bits & BITS_FRAGMENT) === 0) return false;
    const level = ((bits >>> BITS_LEVEL_SHIFT) & 7) - 1;
    const granuleShift = 10 + 2 * (bits >>> BITS_TG_SHIFT);
    // A contiguous run is at most 128 leaves; taking it for granted drops a little more than need be.
    return meets(cache, handle, granuleShift + (3 - level) * (granuleShift - 3) + 7, span);
  }

  #same(cache: TagCache, handle: number, world: number, vmid: number, asid: number): boolean {
    if (worldOf(cache, handle) !== world || !this.#sameVmid(cache, handle, vmid)) return false;
    return (
      asid === ANY_ASID || (cache.tags[handle + 4]! & META_GLOBAL) !== 0 || cache.tags[handle + 8]! >>> 16 === asid
    );
  }

  #sameVmid(cache: TagCache, handle: number, vmid: number): boolean {
    return ((cache.tags[handle + 8]! ^ vmid) & this.vmidMask) === 0;
  }
}

const ASID_SETS: readonly number[] = [0, META_ASET];
/** Address bits below a table pointer's reach, nearest the leaf first, by granule. */
const REACHES: readonly (readonly number[])[] = [[], [21, 30, 39, 48], [25, 36, 47], [29, 42]];

const worldOf = (cache: TagCache, handle: number): number =>
  (cache.tags[handle + 4]! & META_WORLD) >>> META_WORLD_SHIFT;
const sizeShift = (cache: TagCache, handle: number): number =>
  CLASS_SHIFT[(cache.tags[handle + 4]! & META_CLASS) >>> META_CLASS_SHIFT]!;
const lowestBit = (mask: number): number => 31 - Math.clz32(mask & -mask);
/** Input address in units of 4 KiB: 52 bits. */
const pageNumber = (page: number, top: number): number => (top & META_TOP) * 2 ** 32 + (page >>> 0);

/** Whether level and granule of a leaf are those asked for. */
const isScope = (bits: number, span: Span): boolean =>
  (span.tg === 0 || bits >>> BITS_TG_SHIFT === span.tg) &&
  (span.ttl === 0 || ((bits >>> BITS_LEVEL_SHIFT) & 7) === span.ttl + 1);

/** Whether the naturally aligned 2^`shift` bytes around an entry's address and the span have an address in common. */
function meets(cache: TagCache, handle: number, shift: number, span: Span): boolean {
  const pages = 2 ** (shift - 12);
  const at = pageNumber(cache.tags[handle]!, cache.tags[handle + 4]!);
  const first = at - (at % pages);
  const start = pageNumber(span.page, span.top);
  const last = start + Math.max(1, span.bytes / 4096) - 1;
  return first <= last && start < first + pages;
}
