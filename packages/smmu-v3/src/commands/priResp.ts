/** CMD_PRI_RESP, IHI 0070 §4.5.2; Linux arm-smmu-v3.c `arm_smmu_handle_ppr`. */
import { CMD_PRI_RESP, OPCODE } from '@smmu/spec';
import { begin } from './begin.ts';

/** Answers of CMD_PRI_RESP. They are not the codes of the PCIe message. */
export const PRI_RESP_FAILURE = 0;
export const PRI_RESP_INVALID = 1;
export const PRI_RESP_SUCCESS = 2;

/**
 * Answers a page request group.
 * @param ssid - PASID of the group, or -1 if it had none.
 */
export function priResp(
  words: Uint32Array,
  at: number,
  sid: number,
  ssid: number,
  groupId: number,
  response: number,
): void {
  begin(words, at, OPCODE.CMD_PRI_RESP);
  CMD_PRI_RESP.SSV.set(words, at, ssid >= 0);
  if (ssid >= 0) CMD_PRI_RESP.SubstreamID.set(words, at, ssid);
  CMD_PRI_RESP.StreamID.set(words, at, sid);
  CMD_PRI_RESP.PRGIndex.set(words, at, groupId);
  CMD_PRI_RESP.Resp.set(words, at, response);
}
