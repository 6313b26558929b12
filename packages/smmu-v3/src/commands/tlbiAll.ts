/** CMD_TLBI_NSNH_ALL (§4.4.4.1) and CMD_TLBI_EL2_ALL (§4.4.2.7): what a reset drops. */
import { OPCODE } from '@smmu/spec';
import { begin } from './begin.ts';

/** Drops every Non-secure EL1 translation, of all stages and VMIDs. */
export function tlbiNsnhAll(words: Uint32Array, at: number): void {
  begin(words, at, OPCODE.CMD_TLBI_NSNH_ALL);
}

/** Drops every EL2 translation. Illegal where IDR0.Hyp is 0. */
export function tlbiEl2All(words: Uint32Array, at: number): void {
  begin(words, at, OPCODE.CMD_TLBI_EL2_ALL);
}
