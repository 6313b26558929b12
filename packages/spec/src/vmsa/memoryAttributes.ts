/**
 * Memory types: MAIR bytes, stage 2 types, and how the two stages combine. Arm DDI 0487 §D8.6, IHI 0070 §13.1;
 * Linux io-pgtable-arm.c ARM_LPAE_MAIR_* for its own choice of indexes.
 */

/** How early a Device write may be acknowledged, and whether accesses may gather or be reordered. */
export type DeviceType = 'nGnRnE' | 'nGnRE' | 'nGRE' | 'GRE';
/** Cacheability: none, write-through, write-back. */
export type Cacheability = 'NC' | 'WT' | 'WB';

export type MemoryType =
  | { readonly kind: 'device'; readonly device: DeviceType }
  | { readonly kind: 'normal'; readonly outer: Cacheability; readonly inner: Cacheability; readonly tagged: boolean }
  | { readonly kind: 'reserved' };

const DEVICES: readonly DeviceType[] = ['nGnRnE', 'nGnRE', 'nGRE', 'GRE'];
const RESERVED: MemoryType = { kind: 'reserved' };
const normal = (outer: Cacheability, inner: Cacheability, tagged = false): MemoryType => ({
  kind: 'normal',
  outer,
  inner,
  tagged,
});

/** One nibble of a Normal MAIR byte: 00RW and 10RW write-through, 0100 not cached, 01RW and 11RW write-back. */
function cacheability(nibble: number): Cacheability {
  if (nibble === 0b0100) return 'NC';
  return (nibble & 0b0100) === 0 ? 'WT' : 'WB';
}

/** What a MAIR byte says. XS, transient and allocation hints are left out: they have no effect on what is allowed. */
export function mairType(byte: number): MemoryType {
  const outer = (byte >>> 4) & 15;
  const inner = byte & 15;
  if (outer === 0) return (inner & 0b0010) === 0 ? { kind: 'device', device: DEVICES[inner >>> 2]! } : RESERVED;
  if (inner === 0) {
    if (byte === 0x40) return normal('NC', 'NC'); // XS=0
    if (byte === 0xa0) return normal('WT', 'WT'); // XS=0
    return byte === 0xf0 ? normal('WB', 'WB', true) : RESERVED; // Tagged
  }
  return normal(cacheability(outer), cacheability(inner));
}

const S2_CACHEABILITY: readonly (Cacheability | undefined)[] = [undefined, 'NC', 'WT', 'WB'];

/** What a stage 2 MemAttr says without forced write-back. Value 15 is write-back; the other stage decides. */
export function s2Type(memAttr: number): MemoryType {
  const outer = S2_CACHEABILITY[(memAttr >>> 2) & 3];
  const inner = S2_CACHEABILITY[memAttr & 3];
  if (outer === undefined) return { kind: 'device', device: DEVICES[memAttr & 3]! };
  return inner === undefined ? RESERVED : normal(outer, inner);
}

const ORDER: readonly Cacheability[] = ['NC', 'WT', 'WB'];
const weaker = (a: Cacheability, b: Cacheability): Cacheability => (ORDER.indexOf(a) < ORDER.indexOf(b) ? a : b);

/**
 * The type of an access that both stages translate, without forced write-back: Device beats Normal, the stricter
 * Device wins, the weaker cacheability wins at each level. A reserved type counts as Device-nGnRnE.
 */
export function combineTypes(stage1: MemoryType, stage2: MemoryType): MemoryType {
  const devices = [stage1, stage2].flatMap((type) =>
    type.kind === 'device' ? [DEVICES.indexOf(type.device)] : type.kind === 'reserved' ? [0] : [],
  );
  if (devices.length > 0) return { kind: 'device', device: DEVICES[Math.min(...devices)]! };
  const [a, b] = [stage1 as MemoryType & { kind: 'normal' }, stage2 as MemoryType & { kind: 'normal' }];
  return normal(weaker(a.outer, b.outer), weaker(a.inner, b.inner), a.tagged && b.outer === 'WB' && b.inner === 'WB');
}

/** Shareability as SH fields encode it. 1 is reserved. */
export const SH = { NON: 0, OUTER: 2, INNER: 3 } as const;

/** The wider of two shareabilities; the reserved one counts as non-shareable. Device and NC are always outer. */
export function combineShareability(a: number, b: number): number {
  if (a === SH.OUTER || b === SH.OUTER) return SH.OUTER;
  return a === SH.INNER || b === SH.INNER ? SH.INNER : SH.NON;
}

/** The MAIR bytes that Linux programs, at the indexes that its page tables use. */
export const LINUX_MAIR = {
  /** Not cacheable: mappings without IOMMU_CACHE. */
  NC: { index: 0, byte: 0x44 },
  /** Write-back, read and write allocate: IOMMU_CACHE. */
  WBRWA: { index: 1, byte: 0xff },
  /** Device-nGnRE: IOMMU_MMIO. */
  DEVICE: { index: 2, byte: 0x04 },
  /** Inner not cacheable, outer write-back: a system cache. */
  INC_OWBRWA: { index: 3, byte: 0xf4 },
} as const;

/** The stage 2 MemAttr values that Linux writes. */
export const LINUX_S2_MEM_ATTR = { OWB_IWB: 15, FWB_WB: 6, NC: 5, DEVICE: 1 } as const;
