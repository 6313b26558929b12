/** CMD_ATC_INV, IHI 0070 §4.5.1; Linux arm-smmu-v3.c `arm_smmu_atc_inv_to_cmd`. */
import { hex, IommuError, type Iova } from '@smmu/platform';
import { CMD_ATC_INV, OPCODE } from '@smmu/spec';
import { begin } from './begin.ts';

const ATC_PAGE_BYTES = 4096; // ATS counts in 4 KiB pages, whatever granule the tables use
/** `log2Pages` that means the whole address space: 2^52 pages of 4 KiB. */
export const ATC_INV_ALL = 52;

/** `2 ** log2Pages` pages of 4 KiB from `address`, as CMD_ATC_INV names them. */
export interface AtcSpan {
  readonly address: Iova;
  readonly log2Pages: number;
}

/**
 * Finds the smallest span one CMD_ATC_INV can name that covers `[start, last]`.
 *
 * ATS names only naturally aligned powers of two, so the span can be far larger than the range.
 * That costs the device some re-fetches but is never wrong.
 *
 * @param start - First byte to invalidate.
 * @param last - Last byte to invalidate, inclusive, so the top of the address space does not wrap.
 * @throws {@link IommuError} `EINVAL` if `last` is below `start`.
 * @example
 * atcSpan(0x5000, 0x6fff); // { address: 0x4000, log2Pages: 2 }
 */
export function atcSpan(start: Iova, last: Iova): AtcSpan {
  if (last < start) throw new IommuError('EINVAL', `ATC range ends at ${hex(last)}, before its start ${hex(start)}`);
  let log2Pages = 0;
  let bytes = ATC_PAGE_BYTES; // division, not `>>>`: a page number can need 40 bits and shifts keep 32
  while (Math.floor(start / bytes) !== Math.floor(last / bytes)) {
    bytes *= 2;
    log2Pages += 1;
  }
  return { address: start - (start % bytes), log2Pages };
}

/**
 * Drops a span of a device's own address translation cache.
 * @param ssid - PASID whose translations go, or 0 for those of traffic without one.
 */
export function atcInv(words: Uint32Array, at: number, sid: number, ssid: number, span: AtcSpan): void {
  begin(words, at, OPCODE.CMD_ATC_INV);
  CMD_ATC_INV.SSV.set(words, at, ssid !== 0);
  CMD_ATC_INV.SubstreamID.set(words, at, ssid);
  CMD_ATC_INV.StreamID.set(words, at, sid);
  CMD_ATC_INV.Size.set(words, at, span.log2Pages);
  CMD_ATC_INV.Addr.setNumber(words, at, span.address);
}
