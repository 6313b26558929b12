/** CMD_SYNC, IHI 0070 §4.7.3; Linux arm-smmu-v3.c `arm_smmu_cmdq_build_sync_cmd`. */
import type { Pa } from '@smmu/platform';
import { CMD_SYNC, OPCODE } from '@smmu/spec';
import { begin } from './begin.ts';

const CS_NONE = 0;
const CS_IRQ = 1;
const SHARED_INNER = 3;
const NORMAL_WRITE_BACK = 0xf;

/** Waits for everything before it. Its completion shows in CMDQ_CONS only. */
export function sync(words: Uint32Array, at: number): void {
  begin(words, at, OPCODE.CMD_SYNC);
  CMD_SYNC.CS.set(words, at, CS_NONE);
}

/**
 * The same, and the SMMU writes a zero word to `address` when it is complete: a CPU that polls memory is spared the
 * reads of a register.
 * @param address - Physical address, 4-byte aligned.
 */
export function syncToMemory(words: Uint32Array, at: number, address: Pa): void {
  begin(words, at, OPCODE.CMD_SYNC);
  CMD_SYNC.CS.set(words, at, CS_IRQ);
  CMD_SYNC.MSH.set(words, at, SHARED_INNER);
  CMD_SYNC.MSIAttr.set(words, at, NORMAL_WRITE_BACK);
  CMD_SYNC.MSIData.set(words, at, 0);
  CMD_SYNC.MSIAddress.set(words, at, address);
}
