/** What a command is to the queue: how it is checked, what it does and when. IHI 0070 §4. */

import type { ConfigCache } from '../configCache.ts';
import type { ModelFeatures } from '../features.ts';
import type { Invalidator, Span } from '../invalidate.ts';
import type { StallBuffer } from '../stall.ts';
import type { Translator } from '../transaction.ts';

/** The parts of the SMMU that commands reach. */
export interface CommandTarget {
  readonly features: ModelFeatures;
  readonly configCache: ConfigCache;
  readonly invalidator: Invalidator;
  readonly stalls: StallBuffer;
  readonly translator: Translator;
  /** Scratch for address ranges. */
  readonly span: Span;
  /** CR2.E2H. */
  readonly e2h: boolean;
  /** CR0ACK.SMMUEN. */
  readonly enabled: boolean;
}

export interface Handler {
  readonly opcode: number;
  /** False: CERROR_ILL. Looked at when the command is consumed. */
  readonly legal?: (words: Uint32Array, features: ModelFeatures) => boolean;
  readonly run: (words: Uint32Array, target: CommandTarget) => void;
  /** Needs only be done when a later CMD_SYNC completes (§4.8). */
  readonly deferrable?: true;
}
