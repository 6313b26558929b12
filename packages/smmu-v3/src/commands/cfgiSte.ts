/** CMD_CFGI_STE, IHI 0070 §4.3.1; Linux arm-smmu-v3.c `arm_smmu_sync_ste_for_sid`. */
import { CMD_CFGI_STE, OPCODE } from '@smmu/spec';
import { begin } from './begin.ts';

/**
 * Drops the STE of a stream, and every CD reached through it, from the configuration caches.
 * @param leaf - Keep the level 1 descriptor that led to it. Pass false after installing a leaf table.
 */
export function cfgiSte(words: Uint32Array, at: number, sid: number, leaf: boolean): void {
  begin(words, at, OPCODE.CMD_CFGI_STE);
  CMD_CFGI_STE.StreamID.set(words, at, sid);
  CMD_CFGI_STE.Leaf.set(words, at, leaf);
}
