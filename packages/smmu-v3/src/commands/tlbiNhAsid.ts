/** CMD_TLBI_NH_ASID, IHI 0070 §4.4.2.2; Linux arm-smmu-v3.c `arm_smmu_tlb_inv_asid`. */
import { CMD_TLBI_NH_ASID, OPCODE } from '@smmu/spec';
import { begin } from './begin.ts';

/** Drops the non-global stage 1 translations of an ASID. */
export function tlbiNhAsid(words: Uint32Array, at: number, asid: number): void {
  begin(words, at, OPCODE.CMD_TLBI_NH_ASID);
  CMD_TLBI_NH_ASID.ASID.set(words, at, asid);
}
