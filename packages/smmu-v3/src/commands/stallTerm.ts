/** CMD_STALL_TERM, IHI 0070 §4.7.2. */
import { CMD_STALL_TERM, OPCODE } from '@smmu/spec';
import { begin } from './begin.ts';

/** Aborts every stalled transaction of a stream. Only once its STE aborts new ones and that is synchronised. */
export function stallTerm(words: Uint32Array, at: number, sid: number): void {
  begin(words, at, OPCODE.CMD_STALL_TERM);
  CMD_STALL_TERM.StreamID.set(words, at, sid);
}
