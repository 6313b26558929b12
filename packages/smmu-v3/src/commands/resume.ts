/** CMD_RESUME, IHI 0070 §4.7.1; Linux arm-smmu-v3.c `arm_smmu_page_response`. */
import { CMD_RESUME, OPCODE } from '@smmu/spec';
import { begin } from './begin.ts';

/**
 * Ends a stall: the transaction is tried again, or answered with an abort.
 *
 * Once the command is consumed the effect is certain, so it needs no CMD_SYNC.
 * @param stag - Token from the stall's event record.
 */
export function resume(words: Uint32Array, at: number, sid: number, stag: number, retry: boolean): void {
  begin(words, at, OPCODE.CMD_RESUME);
  CMD_RESUME.Ac.set(words, at, retry);
  CMD_RESUME.Ab.set(words, at, !retry);
  CMD_RESUME.StreamID.set(words, at, sid);
  CMD_RESUME.STAG.set(words, at, stag);
}
