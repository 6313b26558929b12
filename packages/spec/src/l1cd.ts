/** Level 1 entry of a two-level CD table. IHI 0070 §5.3; Linux arm-smmu-v3.h CTXDESC_L1_DESC_*. */
import { addr, flag } from './field.ts';
import { type Decoded, layout } from './layout.ts';
import { VALID } from './values.ts';

/** 8 bytes, aligned to 8. */
export const l1cdLayout = layout('L1CD', 8, 'IHI 0070 §5.3', {
  V: flag(0, 0, 'leaf table valid; 0 gives C_BAD_SUBSTREAMID', VALID),
  L2Ptr: addr(0, 55, 12, 'leaf CD table address; 64KB leaves use [55:16]; IPA when nested'),
});
/** The fields, for hot code. */
export const L1CD = l1cdLayout.fields;
export type L1Cd = Decoded<typeof L1CD>;
