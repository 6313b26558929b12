/** The parts of a driver that single parts of it are tested with. */
import type { Trace } from '@smmu/platform';
import { CommandQueue } from '../src/cmdq.ts';
import type { SmmuDevice } from '../src/device.ts';
import { handleGerror } from '../src/gerror.ts';
import { probeFeatures, type SmmuFeatures } from '../src/probe.ts';
import { type FakeBoard, fakeBoard, REG } from './fakeSmmu.ts';

export interface FakeDeviceOptions {
  readonly board?: FakeBoard;
  readonly features?: Partial<SmmuFeatures>;
  readonly e2h?: boolean;
  readonly broadcastTlb?: boolean;
  readonly trace?: Trace;
  readonly cmdqLog2?: number;
}

/** An SMMU with a running command queue and nothing else. */
export function fakeDevice({
  board = fakeBoard(),
  features,
  e2h = false,
  broadcastTlb = false,
  trace,
  cmdqLog2 = 6,
}: FakeDeviceOptions = {}): { board: FakeBoard; smmu: SmmuDevice } {
  const cmdq: CommandQueue = new CommandQueue({
    ...board,
    log2Entries: cmdqLog2,
    completeToMemory: false,
    handleGerror: () =>
      void handleGerror({ ...board, skipCommand: () => cmdq.skipError(), eventsLost: () => {}, disable: () => {} }),
  });
  board.registers.write64(REG.CMDQ_BASE, cmdq.queue.base + cmdq.queue.log2Entries, 0);
  board.registers.write32(REG.CR0, 8);
  const smmu: SmmuDevice = {
    ...board,
    name: 'arm-smmu-v3.0.auto',
    features: { ...probeFeatures(board.registers, board.log), ...features },
    cmdq,
    e2h,
    broadcastTlb,
    trace,
  };
  return { board, smmu };
}
