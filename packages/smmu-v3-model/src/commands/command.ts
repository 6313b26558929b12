/** What a command is to the queue: how it is checked, what it does and when. IHI 0070 §4. */

import type { AtsEndpoint } from '@smmu/platform';
import { CR0ACK, CR2 } from '@smmu/spec';
import type { AtcInvalidations } from '../atcInvalidation.ts';
import type { ConfigCache } from '../configCache.ts';
import type { ModelFeatures } from '../features.ts';
import { type Invalidator, Span } from '../invalidate.ts';
import { word } from '../registers.ts';
import type { StallBuffer } from '../stall.ts';
import type { Translator } from '../transaction.ts';

/** The parts of the SMMU that commands reach. A class, because a plain object with accessors is slow to read. */
export class CommandTarget {
  readonly features: ModelFeatures;
  readonly configCache: ConfigCache;
  readonly invalidator: Invalidator;
  readonly stalls: StallBuffer;
  readonly translator: Translator;
  readonly atcInvalidations: AtcInvalidations;
  readonly endpoints: ReadonlyMap<number, AtsEndpoint>;
  /** Scratch for address ranges. */
  readonly span: Span = new Span();
  readonly #words: Uint32Array;

  constructor(
    words: Uint32Array,
    features: ModelFeatures,
    configCache: ConfigCache,
    invalidator: Invalidator,
    stalls: StallBuffer,
    translator: Translator,
    atcInvalidations: AtcInvalidations,
    endpoints: ReadonlyMap<number, AtsEndpoint>,
  ) {
    this.#words = words;
    this.features = features;
    this.configCache = configCache;
    this.invalidator = invalidator;
    this.stalls = stalls;
    this.translator = translator;
    this.atcInvalidations = atcInvalidations;
    this.endpoints = endpoints;
  }

  get e2h(): boolean {
    return CR2.fields.E2H.of(this.#words[word(CR2)]!);
  }

  /** SMMUEN as acknowledged. */
  get enabled(): boolean {
    return CR0ACK.fields.SMMUEN.of(this.#words[word(CR0ACK)]!);
  }
}

/** `base` is the index of the command's first word. */
export interface Handler {
  readonly opcode: number;
  /** Needs only be done when a later CMD_SYNC completes (§4.8). */
  readonly deferrable: boolean;
  /** False: CERROR_ILL. Looked at when the command is consumed. */
  readonly legal: (words: Uint32Array, base: number, features: ModelFeatures) => boolean;
  readonly run: (words: Uint32Array, base: number, target: CommandTarget) => void;
}
