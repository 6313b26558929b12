/**
 * What a cached translation says besides its address: one word. Permissions of both stages stay apart, because a fault
 * names the stage that refused. IHI 0070 §3.17, Arm DDI 0487 D8.4.
 */

/** Permissions: bit 0 unprivileged read, 1 write, 2 execute; bits 3 to 5 the same, privileged. */
export const PERM_READ = 0b001001;
export const PERM_WRITE = 0b010010;
export const PERM_EXECUTE_UNPRIVILEGED = 0b000100;
export const PERM_EXECUTE_PRIVILEGED = 0b100000;
export const PERM_ALL = 0b111111;

/** The permission that each combination of access bits needs. Writes are data whatever the instruction bit says. */
export const NEEDS: Uint8Array = Uint8Array.of(
  0b000001,
  0b000010,
  0b000100,
  0b000010,
  0b001000,
  0b010000,
  0b100000,
  0b010000,
);

/** Stage 1 permissions sit at bit 0, stage 2 permissions here. Bits 19:12 are the cache's own. */
export const BITS_S2_SHIFT = 6;
export const BITS_S2_ALL: number = PERM_ALL << BITS_S2_SHIFT;
/** A write is allowed once hardware has updated the descriptor's dirty state. */
export const BITS_S1_CLEAN: number = 1 << 20;
export const BITS_S2_CLEAN: number = 1 << 21;
export const BITS_ASET: number = 1 << 22;
/** The stage 1 leaf is larger than the entry: an invalidation anywhere in the leaf must find it. */
export const BITS_FRAGMENT: number = 1 << 23;
/** Both stages in one. */
export const BITS_NESTED: number = 1 << 24;
/** Stage 2 maps Device memory: what S2PTW asks. */
export const BITS_S2_DEVICE: number = 1 << 25;
/** Level of the leaf plus one, for range invalidations by level. Of stage 1 if it took part. */
export const BITS_LEVEL_SHIFT = 27;
/** Granule of the leaf as CMD_TLBI_*.TG names it. */
export const BITS_TG_SHIFT = 30;

/** Memory type and shareability, kept beside: a MAIR byte (for stage 2 alone the descriptor's MemAttr) and SH above it. */
export const attributesOf = (type: number, shareability: number): number => type | (shareability << 8);
