/** PRI queue entry: a page request of a PCIe endpoint. IHI 0070 §8; Linux arm-smmu-v3.h PRIQ_*. */
import { bits, flag, wide } from './field.ts';
import { type Decoded, layout } from './layout.ts';

/** 16 bytes. With SSV=1, Last=1 and neither R nor W it is a stop marker, which gets no answer. */
export const priqLayout = layout('PRIQ_ENTRY', 16, 'IHI 0070 §8', {
  StreamID: bits(0, 31, 0, 'requester'),
  SubstreamID: bits(0, 51, 32, 'PASID, valid with SSV'),
  Priv: flag(0, 58, 'privileged request'),
  X: flag(0, 59, 'execute wanted'),
  R: flag(0, 60, 'read wanted'),
  W: flag(0, 61, 'write wanted'),
  Last: flag(0, 62, 'last of group'),
  SSV: flag(0, 63, 'SubstreamID valid'),
  PRGIndex: bits(1, 8, 0, 'group index'),
  Addr: wide(1, 63, 12, 'page address [63:12]'),
});
/** The fields, for hot code. */
export const PRIQ_ENTRY = priqLayout.fields;
export type PriqEntry = Decoded<typeof PRIQ_ENTRY>;

/** Response codes of a PCIe page request group response message, as an endpoint sees them (not CMD_PRI_RESP.Resp). */
export const PRG_RESPONSE = { Success: 0, 'Invalid Request': 1, 'Response Failure': 15 } as const;
