/** CMD_TLBI_EL2_ASID, IHI 0070 §4.4.2.10: the form for streams that live in the EL2-E2H world. */
import { CMD_TLBI_EL2_ASID, OPCODE } from '@smmu/spec';
import { begin } from './begin.ts';

/** Drops the non-global EL2-E2H translations of an ASID. */
export function tlbiEl2Asid(words: Uint32Array, at: number, asid: number): void {
  begin(words, at, OPCODE.CMD_TLBI_EL2_ASID);
  CMD_TLBI_EL2_ASID.ASID.set(words, at, asid);
}
