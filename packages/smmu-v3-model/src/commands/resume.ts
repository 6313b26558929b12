/** Answers to stalled transactions. Their effect is certain once they are consumed. IHI 0070 §4.7; Linux arm_smmu_page_response. */
import { CMD_RESUME, CMD_STALL_TERM, OPCODE } from '@smmu/spec';
import type { Handler } from './command.ts';

export const resume: readonly Handler[] = [
  {
    opcode: OPCODE.CMD_RESUME,
    legal: (words, { stallModel }) => stallModel !== 1 && !CMD_RESUME.SSec.get(words, 0),
    run(words, { features, stalls }) {
      const { StreamID, STAG, Ac, Ab } = CMD_RESUME;
      const abort = Ab.get(words, 0) || features.termAbortOnly;
      stalls.resume(StreamID.get(words, 0), STAG.get(words, 0), Ac.get(words, 0), abort);
    },
  },
  {
    opcode: OPCODE.CMD_STALL_TERM,
    legal: (words, { stallModel }) => stallModel !== 1 && !CMD_STALL_TERM.SSec.get(words, 0),
    run(words, { stalls }) {
      stalls.terminateStream(CMD_STALL_TERM.StreamID.get(words, 0));
    },
  },
];
