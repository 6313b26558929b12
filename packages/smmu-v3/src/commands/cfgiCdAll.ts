/** CMD_CFGI_CD_ALL, IHI 0070 §4.3.4. */
import { CMD_CFGI_CD_ALL, OPCODE } from '@smmu/spec';
import { begin } from './begin.ts';

/** Drops all CDs and level 1 CD descriptors of a stream from the configuration caches. */
export function cfgiCdAll(words: Uint32Array, at: number, sid: number): void {
  begin(words, at, OPCODE.CMD_CFGI_CD_ALL);
  CMD_CFGI_CD_ALL.StreamID.set(words, at, sid);
}
