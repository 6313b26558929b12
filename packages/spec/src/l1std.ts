/** Level 1 entry of a two-level stream table. IHI 0070 §5.1; Linux arm-smmu-v3.h STRTAB_L1_DESC_*. */
import { addr, choice } from './field.ts';
import { type Decoded, layout } from './layout.ts';

/** 8 bytes, aligned to 8. */
export const l1stdLayout = layout('L1STD', 8, 'IHI 0070 §5.1', {
  L2Ptr: addr(0, 55, 6, 'leaf STE array address; low bits up to 5+(Span-1) act as 0'),
  Span: choice(
    0,
    4,
    0,
    { 'no leaf table, L2Ptr invalid': 0, '2^(Span-1) STEs': [1, 11] },
    'leaf array size control',
    'reserved, acts as 0',
  ),
});
/** The fields, for hot code. */
export const L1STD = l1stdLayout.fields;
export type L1Std = Decoded<typeof L1STD>;
