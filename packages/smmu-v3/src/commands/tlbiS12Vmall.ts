/** CMD_TLBI_S12_VMALL, IHI 0070 §4.4.3.2; Linux arm-smmu-v3.c `arm_smmu_tlb_inv_context`. */
import { CMD_TLBI_S12_VMALL, OPCODE } from '@smmu/spec';
import { begin } from './begin.ts';

/** Drops every translation of a VMID, at both stages. */
export function tlbiS12Vmall(words: Uint32Array, at: number, vmid: number): void {
  begin(words, at, OPCODE.CMD_TLBI_S12_VMALL);
  CMD_TLBI_S12_VMALL.VMID.set(words, at, vmid);
}
