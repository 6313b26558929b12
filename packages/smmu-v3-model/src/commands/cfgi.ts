/** Configuration cache invalidation. IHI 0070 §4.3, §3.21.3; Linux arm_smmu_sync_ste_for_sid, arm_smmu_sync_cd. */
import { CFGI_ALL_RANGE, CMD_CFGI_CD, CMD_CFGI_CD_ALL, CMD_CFGI_STE, CMD_CFGI_STE_RANGE, OPCODE } from '@smmu/spec';
import type { Handler } from './command.ts';

export const cfgi: readonly Handler[] = [
  {
    opcode: OPCODE.CMD_CFGI_STE,
    deferrable: true,
    legal: (words, base) => !CMD_CFGI_STE.SSec.get(words, base),
    run(words, base, { configCache }) {
      const sid = CMD_CFGI_STE.StreamID.get(words, base);
      configCache.dropSte(sid, sid, CMD_CFGI_STE.Leaf.get(words, base));
    },
  },
  {
    opcode: OPCODE.CMD_CFGI_STE_RANGE,
    deferrable: true,
    legal: (words, base) => !CMD_CFGI_STE_RANGE.SSec.get(words, base),
    run(words, base, { configCache }) {
      const range = CMD_CFGI_STE_RANGE.Range.get(words, base);
      if (range === CFGI_ALL_RANGE) {
        configCache.clear();
        return;
      }
      const count = 2 ** (range + 1);
      const sid = CMD_CFGI_STE_RANGE.StreamID.get(words, base);
      const first = sid - (sid % count);
      configCache.dropSte(first, first + count - 1, false);
    },
  },
  {
    opcode: OPCODE.CMD_CFGI_CD,
    deferrable: true,
    legal: (words, base, features) => features.stage1 && !CMD_CFGI_CD.SSec.get(words, base),
    run(words, base, { configCache }) {
      const { StreamID, SubstreamID, Leaf } = CMD_CFGI_CD;
      configCache.dropCd(StreamID.get(words, base), SubstreamID.get(words, base), Leaf.get(words, base));
    },
  },
  {
    opcode: OPCODE.CMD_CFGI_CD_ALL,
    deferrable: true,
    legal: (words, base, features) => features.stage1 && !CMD_CFGI_CD_ALL.SSec.get(words, base),
    run(words, base, { configCache }) {
      configCache.dropAllCds(CMD_CFGI_CD_ALL.StreamID.get(words, base));
    },
  },
];
