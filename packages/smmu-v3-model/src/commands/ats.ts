/** Messages to PCIe endpoints. Both are ignored while SMMUEN=0. IHI 0070 §4.5; Linux arm_smmu_atc_inv_master. */
import { NO_SUBSTREAM, PRG_FAILURE, PRG_INVALID, PRG_SUCCESS, type PrgResponse } from '@smmu/platform';
import { CMD_ATC_INV, CMD_PRI_RESP, OPCODE } from '@smmu/spec';
import type { Handler } from './command.ts';

/** CMD_ATC_INV.Size that names everything; larger ones are illegal. */
const SIZE_ALL = 52;
/** CMD_PRI_RESP.Resp as PCIe encodes it. */
const RESPONSES: readonly PrgResponse[] = [PRG_FAILURE, PRG_INVALID, PRG_SUCCESS];

export const ats: readonly Handler[] = [
  {
    opcode: OPCODE.CMD_ATC_INV,
    deferrable: false,
    legal: (words, base, f) => f.ats && CMD_ATC_INV.Size.get(words, base) <= SIZE_ALL,
    run(words, base, { enabled, endpoints, atcInvalidations }) {
      if (!enabled) return;
      const ssid = CMD_ATC_INV.SSV.get(words, base) ? CMD_ATC_INV.SubstreamID.get(words, base) : NO_SUBSTREAM;
      const log2Bytes = 12 + CMD_ATC_INV.Size.get(words, base);
      // Aligned down to the size.
      const lo = log2Bytes >= 32 ? 0 : (CMD_ATC_INV.Addr.getLo(words, base) & (-1 << log2Bytes)) >>> 0;
      const hi = log2Bytes >= 64 ? 0 : CMD_ATC_INV.Addr.getHi(words, base) & (-1 << Math.max(0, log2Bytes - 32));
      const global = ssid !== NO_SUBSTREAM && CMD_ATC_INV.Global.get(words, base);
      const endpoint = endpoints.get(CMD_ATC_INV.StreamID.get(words, base));
      atcInvalidations.send(endpoint, ssid, global, lo, hi >>> 0, log2Bytes);
    },
  },
  {
    opcode: OPCODE.CMD_PRI_RESP,
    deferrable: false,
    legal: (words, base, f) => f.pri && RESPONSES[CMD_PRI_RESP.Resp.get(words, base)] !== undefined,
    run(words, base, { enabled, endpoints }) {
      if (!enabled) return;
      const ssid = CMD_PRI_RESP.SSV.get(words, base) ? CMD_PRI_RESP.SubstreamID.get(words, base) : NO_SUBSTREAM;
      const response = RESPONSES[CMD_PRI_RESP.Resp.get(words, base)]!;
      const endpoint = endpoints.get(CMD_PRI_RESP.StreamID.get(words, base));
      endpoint?.pageResponse(ssid, CMD_PRI_RESP.PRGIndex.get(words, base), response);
    },
  },
];
