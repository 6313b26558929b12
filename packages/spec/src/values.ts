/** Encodings that several structures share: IHI 0070 §5.2, §5.4, §6.3 and §13.1. Keys are what a value means. */

/** Memory type of an override or of an MSI write. */
export const MEM_ATTR = {
  'Device-nGnRnE': 0,
  'Device-nGnRE': 1,
  'Device-nGRE': 2,
  'Device-GRE': 3,
  'Normal oNC iNC': 5,
  'Normal oNC iWT': 6,
  'Normal oNC iWB': 7,
  'Normal oWT iNC': 9,
  'Normal oWT iWT': 10,
  'Normal oWT iWB': 11,
  'Normal oWB iNC': 13,
  'Normal oWB iWT': 14,
  'Normal oWB iWB': 15,
} as const;
export const MEM_ATTR_RESERVED = 'reserved, acts as Device-nGnRnE';

/** Shareability of an access. */
export const SHAREABILITY = { 'non-shareable': 0, 'outer shareable': 2, 'inner shareable': 3 } as const;
/** Shareability override, whose second value keeps what came in. */
export const SHCFG = { 'non-shareable': 0, 'use incoming': 1, 'outer shareable': 2, 'inner shareable': 3 } as const;
export const ACTS_AS_0 = 'reserved, acts as 0';

/** Cacheability of the SMMU's own table and queue accesses (CR1). */
export const CACHEABILITY = { 'non-cacheable': 0, 'write-back': 1, 'write-through': 2 } as const;
/** Cacheability of CD fetches. */
export const CD_CACHEABILITY = {
  'non-cacheable': 0,
  'WB read allocate': 1,
  'WT read allocate': 2,
  'WB no read allocate': 3,
} as const;
/** Cacheability of translation table walks. */
export const WALK_CACHEABILITY = {
  'non-cacheable': 0,
  'WB read+write allocate': 1,
  'WT read allocate': 2,
  'WB read allocate, no write allocate': 3,
} as const;

/** Cacheability of granule protection table fetches. */
export const GPT_CACHEABILITY = {
  'non-cacheable': 0,
  'WB read+write allocate': 1,
  'WT read allocate': 2,
  'WB read allocate': 3,
} as const;

/** Address sizes as OAS, IPS, S2PS and PPS encode them. */
export const ADDRESS_SIZE = {
  '32 bits': 0,
  '36 bits': 1,
  '40 bits': 2,
  '42 bits': 3,
  '44 bits': 4,
  '48 bits': 5,
  '52 bits': 6,
  '56 bits': 7,
} as const;
/** The same for tables that end at 52 bits. */
export const ADDRESS_SIZE_52 = {
  '32 bits': 0,
  '36 bits': 1,
  '40 bits': 2,
  '42 bits': 3,
  '44 bits': 4,
  '48 bits': 5,
  '52 bits': 6,
} as const;

/** Granule as CD.TG0, STE.S2TG and the permission tables encode it. */
export const TG0 = { '4KB': 0, '64KB': 1, '16KB': 2 } as const;
/** Granule as CD.TG1 encodes it: not as TG0. */
export const TG1 = { '16KB': 1, '4KB': 2, '64KB': 3 } as const;
/** Granule as the TLBI commands encode it. */
export const TLBI_TG = { 'any, no range or hint': 0, '4KB': 1, '16KB': 2, '64KB': 3 } as const;

/** Stage 2 permission of an index or an overlay, 1 and 5 reserved. */
export const S2_PERMISSION = {
  'no access': 0,
  'mostly read-only': 2,
  'mostly read-only, TL1': 3,
  'write-only': 4,
  'mostly read-only, TL0': 6,
  'mostly read-only, TL0+TL1': 7,
  read: 8,
  'read + unprivileged execute': 9,
  'read + privileged execute': 10,
  'read + any execute': 11,
  'read/write': 12,
  'read/write + unprivileged execute': 13,
  'read/write + privileged execute': 14,
  'read/write + any execute': 15,
} as const;
export const NO_ACCESS = 'reserved, no access';
/** Stage 1 permission of an index, 4 and 6 illegal. */
export const S1_PERMISSION = { none: 0, R: 1, X: 2, RX: 3, RW: 5, RWX: 7 } as const;
export const ILLEGAL = 'reserved, illegal';

/** Levels of look-up that a walk with 128-bit descriptors skips at its start. */
export const LEVELS_SKIPPED = { 'no levels skipped': 0, 'skip 1': 1, 'skip 2': 2, 'skip 3': 3 } as const;
/** Span of an entry of a level 0 permission table. */
export const L0_SPAN = { '30 bits (1GB)': 0, '34 bits (16GB)': 4, '36 bits (64GB)': 6, '39 bits (512GB)': 9 } as const;
/** Size of an invalidation by physical address. */
export const PA_SPAN = {
  '4KB': 0,
  '16KB': 1,
  '64KB': 2,
  '2MB': 3,
  '32MB': 4,
  '512MB': 5,
  '1GB': 6,
  '16GB': 7,
  '64GB': 8,
  '512GB': 9,
} as const;

/** Why a command queue stopped: the error code of CMDQ_CONS.ERR, IHI 0070 §7.1. */
export const CERROR = { NONE: 0, ILL: 1, ABT: 2, ATC_INV_SYNC: 3 } as const;
export const CERROR_NAMES = {
  CERROR_NONE: CERROR.NONE,
  CERROR_ILL: CERROR.ILL,
  CERROR_ABT: CERROR.ABT,
  CERROR_ATC_INV_SYNC: CERROR.ATC_INV_SYNC,
} as const;

// What a flag means clear and set, where "no" and "yes" do not say it.
export const DIRECTION = ['write', 'read'] as const;
export const PRIVILEGE = ['unprivileged', 'privileged'] as const;
export const ACCESS_KIND = ['data', 'instruction'] as const;
export const SPACE = ['Secure', 'Non-secure'] as const;
export const SSEC = ['Non-secure', 'Secure'] as const;
export const VALID = ['invalid', 'valid'] as const;
export const LEAF = ['all levels', 'leaf only'] as const;
export const STAGE = ['stage 1', 'stage 2'] as const;
export const ENDIANNESS = ['little', 'big'] as const;
export const FORMAT = ['AArch32 LPAE (TTF[0]) or 128-bit (D128)', 'VMSAv8-64'] as const;
export const AF_FAULT = ['AF=0 faults', 'AF=0 treated as 1'] as const;
export const STALLS = ['terminate', 'stall'] as const;
export const RECORDS = ['silent', 'record'] as const;
export const WALKS = ['walk', 'F_TRANSLATION'] as const;
export const HIERARCHY = ['used', 'ignored'] as const;
export const ABORTS = ['RAZ/WI', 'abort'] as const;

/** What becomes of a faulting transaction, as IDR0, S_IDR0 and R_IDR0 tell it. */
export const STALL_MODEL = {
  'stall and terminate selectable': 0,
  'terminate only': 1,
  'stall forced for stallable faults': 2,
} as const;
