/** CMD_CFGI_STE_RANGE and its alias CMD_CFGI_ALL, IHI 0070 §4.3.2 and §4.3.6. */
import { CMD_CFGI_STE_RANGE, OPCODE } from '@smmu/spec';
import { begin } from './begin.ts';

/** Range value that means every StreamID: the alias CMD_CFGI_ALL. */
export const CFGI_ALL_RANGE = 31;

/** Drops the configuration of the aligned block of 2^(`range` + 1) streams that holds `sid`. */
export function cfgiSteRange(words: Uint32Array, at: number, sid: number, range: number): void {
  begin(words, at, OPCODE.CMD_CFGI_STE_RANGE);
  CMD_CFGI_STE_RANGE.StreamID.set(words, at, sid);
  CMD_CFGI_STE_RANGE.Range.set(words, at, range);
}

/** Drops all cached configuration. */
export function cfgiAll(words: Uint32Array, at: number): void {
  cfgiSteRange(words, at, 0, CFGI_ALL_RANGE);
}
