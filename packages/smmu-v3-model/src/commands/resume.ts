/** Answers to stalled transactions. Their effect is certain once they are consumed. IHI 0070 §4.7; Linux arm_smmu_page_response. */
import { CMD_RESUME, CMD_STALL_TERM, OPCODE } from '@smmu/spec';
import type { Handler } from './command.ts';

export const resume: readonly Handler[] = [
  {
    opcode: OPCODE.CMD_RESUME,
    deferrable: false,
    legal: (words, base, { stallModel }) => stallModel !== 1 && !CMD_RESUME.SSec.get(words, base),
    run(words, base, { features, stalls }) {
      const { StreamID, STAG, Ac, Ab } = CMD_RESUME;
      const abort = Ab.get(words, base) || features.termAbortOnly;
      stalls.resume(StreamID.get(words, base), STAG.get(words, base), Ac.get(words, base), abort);
    },
  },
  {
    opcode: OPCODE.CMD_STALL_TERM,
    deferrable: false,
    legal: (words, base, { stallModel }) => stallModel !== 1 && !CMD_STALL_TERM.SSec.get(words, base),
    run(words, base, { stalls }) {
      stalls.terminateStream(CMD_STALL_TERM.StreamID.get(words, base));
    },
  },
];
