/**
 * What a scenario is: memory, then steps, and what has to come of them. Plain data, so that any SMMU in any language can
 * run it; `vectors.ts` writes it as JSON and publishes the schema.
 */

/** Words put into memory, from a 4-byte aligned physical address on. */
export interface Patch {
  readonly at: number;
  readonly words: readonly number[];
}

/** One thing that software or a device does. They happen in order; each is complete before the next. */
export type Step =
  | { readonly do: 'write'; readonly offset: number; readonly value: number }
  | { readonly do: 'write64'; readonly offset: number; readonly lo: number; readonly hi: number }
  | { readonly do: 'read'; readonly offset: number }
  | { readonly do: 'store'; readonly at: number; readonly words: readonly number[] }
  | {
      /** A device reads or writes one word. `token` is what it writes. */
      readonly do: 'dma';
      readonly streamId: number;
      readonly lo: number;
      readonly hi: number;
      readonly write: boolean;
      readonly token: number;
    };

/** What an SMMU must offer for a scenario to make sense. */
export type Need =
  | 'stage1'
  | 'stage2'
  | 'nested'
  | '4k'
  | '16k'
  | '64k'
  | 'twoLevel'
  | 'rangeInv'
  | 'noStage1'
  | 'noStage2';

/** Event queue entries, eight words each. */
export type EventWords = readonly number[];

/** What a device saw of one word's transfer, and what the SMMU recorded about it. */
export interface DmaOutcome {
  /** The word that a read returned, 0 if it was aborted. 0 for writes: their effect is in {@link Outcome.stores}. */
  readonly data: number;
  readonly events: readonly EventWords[];
}

/** Registers as they stand at the end, by name. */
export const FINAL_REGISTERS = {
  CR0ACK: 0x24,
  GERROR: 0x60,
  GERRORN: 0x64,
  CMDQ_PROD: 0x98,
  CMDQ_CONS: 0x9c,
  EVENTQ_PROD: 0x100a8,
  EVENTQ_CONS: 0x100ac,
} as const;
export type FinalRegister = keyof typeof FINAL_REGISTERS;

/** All that can be seen of a run. */
export interface Outcome {
  /** The emulator ended itself. Nothing else counts then. */
  readonly died?: string;
  /** Values of the `read` steps in order. */
  readonly reads: readonly number[];
  /** Of the `dma` steps in order. */
  readonly dma: readonly DmaOutcome[];
  readonly registers: Readonly<Record<FinalRegister, number>>;
  /** Words that changed since the image and the `store` steps were put there; the event queue's own are not listed. */
  readonly stores: readonly (readonly [number, number])[];
}

export interface Scenario {
  /** Unique: `unit/what-happens`. */
  readonly name: string;
  /** The rule, in words. */
  readonly title: string;
  /** Section of IHI 0070 that decides. */
  readonly section: string;
  readonly needs: readonly Need[];
  readonly image: readonly Patch[];
  readonly steps: readonly Step[];
  /** Where the event queue lies, for reading records back. */
  readonly eventQueue: { readonly base: number; readonly log2Size: number };
  /** Random scenarios: what was made unusual, as `STE.S1CDMax`. */
  readonly tags: readonly string[];
  /** What the architecture asks for. Random scenarios have none until the model has run them. */
  readonly expect?: Outcome;
}

/** RAM of the board that scenarios run on. */
export const RAM_BASE = 0x4000_0000;
export const RAM_BYTES = 0x1000_0000;
/** StreamIDs behind which a device sits. */
export const STREAMS: readonly number[] = [0x08, 0x10, 0x11, 0x12, 0x20, 0xf8, 0x100, 0x101];
/** Devices write recognisable words: the n-th write of a scenario writes this. */
export const tokenOf = (n: number): number => (0xd0000000 | n) >>> 0;
/** Writes that one scenario can make: as many different words lie ready in each device. */
export const MOST_TOKENS = 256;
/** DMA reads of one scenario. */
export const MOST_READS = 256;

/** CMDQ_CONS.ERR is UNKNOWN while GERROR.CMDQ_ERR is not active (§6.3.28): it then counts as 0. */
export function settled(registers: Readonly<Record<FinalRegister, number>>): Readonly<Record<FinalRegister, number>> {
  if (((registers.GERROR ^ registers.GERRORN) & 1) !== 0) return registers;
  return { ...registers, CMDQ_CONS: (registers.CMDQ_CONS & 0x80ff_ffff) >>> 0 };
}
