/**
 * What the permission fields of an entry allow. Arm DDI 0487 §D8.4; IHI 0070 §5.4 for PAN, WXN and the single-privilege
 * worlds. Restrictions that other fields add (WXN, PAN, EPAN, UWXN, hierarchical bits) are the reader's to apply.
 */
/** What one privilege may do with data. */
export type DataAccess = 'none' | 'RO' | 'WO' | 'RW';

/** Stage 1, indexed by AP[2:1] = AP2·2 + AP1, for worlds with two privilege levels. */
export const S1_AP: readonly { readonly privileged: DataAccess; readonly unprivileged: DataAccess }[] = [
  { privileged: 'RW', unprivileged: 'none' },
  { privileged: 'RW', unprivileged: 'RW' },
  { privileged: 'RO', unprivileged: 'none' },
  { privileged: 'RO', unprivileged: 'RO' },
];

/** Stage 1 in worlds with one privilege level (EL2, EL3), indexed by AP2. AP1 is RES1 there and ignored. */
export const S1_AP_SINGLE: readonly DataAccess[] = ['RW', 'RO'];

/** Stage 2, indexed by S2AP = S2AP1·2 + S2AP0. */
export const S2_AP: readonly DataAccess[] = ['none', 'RO', 'WO', 'RW'];

/** Who may execute. */
export type Execute = 'none' | 'privileged' | 'unprivileged' | 'all';

/** Stage 2 with XNX, indexed by XN1·2 + XN0. */
export const S2_XN: readonly Execute[] = ['all', 'unprivileged', 'none', 'privileged'];
/** Stage 2 without XNX, indexed by XN1. */
export const S2_XN_SINGLE: readonly Execute[] = ['all', 'none'];

/** What a table's APTable takes away from everything below it at stage 1. Limits of several levels add up. */
export const AP_TABLE: readonly { readonly noWrite: boolean; readonly noUnprivileged: boolean }[] = [
  { noWrite: false, noUnprivileged: false },
  { noWrite: false, noUnprivileged: true },
  { noWrite: true, noUnprivileged: false },
  { noWrite: true, noUnprivileged: true },
];

/**
 * The permission index of a leaf under indirect permissions, from its upper and lower word: bits 54, 53, 51 and 6.
 * At stage 1 it picks CD.PIIPn and CD.PIIUn (S1_PERMISSION), at stage 2 S2PII.S2PIIn (S2_PERMISSION).
 */
export const permissionIndex = (lo: number, hi: number): number =>
  ((hi >>> 19) & 0b1100) | ((hi >>> 18) & 0b10) | ((lo >>> 6) & 1);
