/** Hints: what they name may be fetched early. They fault in silence. IHI 0070 §4.2. */
import { NO_SUBSTREAM } from '@smmu/platform';
import { CMD_PREFETCH_ADDR, CMD_PREFETCH_CONFIG, OPCODE } from '@smmu/spec';
import type { Handler } from './command.ts';

/** Translations that one command fetches at most. It is a hint: the rest is left. */
const MOST = 64;

export const prefetch: readonly Handler[] = [
  {
    opcode: OPCODE.CMD_PREFETCH_CONFIG,
    deferrable: false,
    legal: (words, base) => !CMD_PREFETCH_CONFIG.SSec.get(words, base),
    run(words, base, { enabled, translator }) {
      if (!enabled) return;
      const ssid = CMD_PREFETCH_CONFIG.SSV.get(words, base)
        ? CMD_PREFETCH_CONFIG.SubstreamID.get(words, base)
        : NO_SUBSTREAM;
      translator.resolve(CMD_PREFETCH_CONFIG.StreamID.get(words, base), ssid);
    },
  },
  {
    opcode: OPCODE.CMD_PREFETCH_ADDR,
    deferrable: false,
    legal: (words, base) => !CMD_PREFETCH_ADDR.SSec.get(words, base),
    run(words, base, { enabled, translator }) {
      if (!enabled) return;
      const sid = CMD_PREFETCH_ADDR.StreamID.get(words, base);
      const ssid = CMD_PREFETCH_ADDR.SSV.get(words, base)
        ? CMD_PREFETCH_ADDR.SubstreamID.get(words, base)
        : NO_SUBSTREAM;
      const count = Math.min(MOST, 2 ** CMD_PREFETCH_ADDR.Size.get(words, base));
      const step = 2 ** (12 + CMD_PREFETCH_ADDR.Stride.get(words, base));
      let lo = CMD_PREFETCH_ADDR.Addr.getLo(words, base);
      let hi = CMD_PREFETCH_ADDR.Addr.getHi(words, base);
      for (let i = 0; i < count; i++) {
        translator.translate(sid, ssid, lo, hi, 0);
        const sum = lo + (step % 2 ** 32);
        hi = (hi + Math.floor(step / 2 ** 32) + (sum >= 2 ** 32 ? 1 : 0)) >>> 0;
        lo = sum >>> 0;
      }
    },
  },
];
