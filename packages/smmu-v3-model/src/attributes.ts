/**
 * Memory types of a translation's output. IHI 0070 §13.1; Arm DDI 0487 D8.6. A type is a MAIR byte: the outer nibble
 * high, Device types below 0x10.
 */

/** A nibble's cacheability rank: non-cacheable, write-through, write-back. */
const rank = (nibble: number): number => (nibble === 4 ? 0 : (nibble & 4) !== 0 ? 2 : 1);

/** STE.MemAttr and stage 2 MemAttr (without forced write-back) as MAIR bytes. Reserved ones act as Device-nGnRnE. */
export const MEM_ATTR_BYTE: Uint8Array = Uint8Array.of(
  0x00,
  0x04,
  0x08,
  0x0c,
  0x00,
  0x44,
  0x4a,
  0x4f,
  0x00,
  0xa4,
  0xaa,
  0xaf,
  0x00,
  0xf4,
  0xfa,
  0xff,
);

const isDevice = (byte: number): boolean => byte < 0x10;

/** What stage 1 and stage 2 make together: Device beats Normal, the weaker cacheability wins. */
export function combineAttributes(stage1: number, memAttr: number, forcedWriteBack: boolean): number {
  if (forcedWriteBack) return combineForced(stage1, memAttr);
  const stage2 = MEM_ATTR_BYTE[memAttr]!;
  if (isDevice(stage1)) return isDevice(stage2) ? Math.min(stage1, stage2) : stage1;
  if (isDevice(stage2)) return stage2;
  return (weaker(stage1 >>> 4, stage2 >>> 4) << 4) | weaker(stage1 & 15, stage2 & 15);
}

const weaker = (a: number, b: number): number => (rank(a) <= rank(b) ? a : b);

/** STE.S2FWB=1: stage 2 decides. 4 and above 7 are reserved and act as 7. */
function combineForced(stage1: number, memAttr: number): number {
  if (memAttr < 4) return isDevice(stage1) ? Math.min(stage1, memAttr << 2) : memAttr << 2;
  if (memAttr === 5) return isDevice(stage1) ? stage1 : 0x44;
  return memAttr === 6 ? 0xff : stage1;
}

/** The more shareable of two: inner 3, outer 2, none 0. Device and non-cacheable are outer shareable. */
export function combineShareability(byte: number, stage1: number, stage2: number): number {
  if (isDevice(byte) || byte === 0x44) return 2;
  if (stage1 === 2 || stage2 === 2) return 2;
  return stage1 === 3 || stage2 === 3 ? 3 : 0;
}

/** Memory type and shareability of an access: a MAIR byte, and SH as descriptors encode it. */
export interface MemoryAttributes {
  readonly type: number;
  /** 0 non-shareable, 2 outer, 3 inner. */
  readonly shareability: number;
}

/** What a device's access has if nobody says otherwise (§13.1.3): write-back, non-shareable. */
export const DEFAULT_ATTRIBUTES: MemoryAttributes = { type: 0xff, shareability: 0 };

/** Overrides as STE and GBPA hold them. */
export interface AttributeOverrides {
  /** 16 | MemAttr to replace the type; 0 to keep it. */
  readonly memAttr: number;
  /** 1 keeps the shareability. */
  readonly shCfg: number;
  /** Bit 3 replaces the allocation hints: bit 2 read, bit 1 write, bit 0 transient. */
  readonly allocCfg: number;
}

/** The attributes that come in, as MTCFG, SHCFG and ALLOCCFG make them. IHI 0070 §13.1.2. */
export function overrideAttributes(incoming: MemoryAttributes, by: AttributeOverrides): MemoryAttributes {
  let type = (by.memAttr & 16) !== 0 ? MEM_ATTR_BYTE[by.memAttr & 15]! : incoming.type;
  if ((by.allocCfg & 8) !== 0 && !isDevice(type))
    type = (allocate(type >>> 4, by.allocCfg) << 4) | allocate(type & 15, by.allocCfg);
  return { type, shareability: combineShareability(type, by.shCfg === 1 ? incoming.shareability : by.shCfg, 0) };
}

/** A cacheable nibble with other allocation hints: bits 1:0 are read and write; transient is the smaller half of each kind. */
function allocate(nibble: number, allocCfg: number): number {
  const kind = rank(nibble);
  if (kind === 0) return nibble;
  const hints = (allocCfg >>> 1) & 3;
  // A transient type without any hint would be another type's encoding.
  const transient = (allocCfg & 1) !== 0 && hints !== 0;
  return (kind === 2 ? 4 : 0) | (transient ? 0 : 8) | hints;
}
