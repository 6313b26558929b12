/** CMD_CFGI_CD, IHI 0070 §4.3.3; Linux arm-smmu-v3.c `arm_smmu_sync_cd`. */
import { CMD_CFGI_CD, OPCODE } from '@smmu/spec';
import { begin } from './begin.ts';

/**
 * Drops one CD of a stream from the configuration caches. Every stream that shares the table needs its own.
 * @param ssid - Index in the CD table; 0 for the CD of traffic without SubstreamID.
 * @param leaf - Keep the level 1 descriptor that led to it. Pass false after installing a leaf table.
 */
export function cfgiCd(words: Uint32Array, at: number, sid: number, ssid: number, leaf: boolean): void {
  begin(words, at, OPCODE.CMD_CFGI_CD);
  CMD_CFGI_CD.SubstreamID.set(words, at, ssid);
  CMD_CFGI_CD.StreamID.set(words, at, sid);
  CMD_CFGI_CD.Leaf.set(words, at, leaf);
}
