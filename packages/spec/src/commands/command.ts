/** A command: 16 bytes of a command queue with an opcode. IHI 0070 §4.1. */
import { type Fields, type Layout, layout } from '../layout.ts';

/** What makes a command complete. Consumed is not complete: the queue's read index says only the former. */
export type Completion = 'CMD_SYNC' | 'consumption' | 'none' | 'itself';

/** What the architecture says about a command beside its bits. */
export interface CommandFacts {
  readonly section: string;
  /** What it does, in words. */
  readonly effect: string;
  /** When it is illegal (CERROR_ILL), ignored or unpredictable, in words. */
  readonly rules?: readonly string[];
  /** Defaults to a later CMD_SYNC on the same queue. */
  readonly completion?: Completion;
  /** The PE's TLBI instruction whose broadcast has the same effect. */
  readonly broadcast?: string;
}

export interface CommandLayout<F extends Fields = Fields> extends Layout<F>, Required<Omit<CommandFacts, 'broadcast'>> {
  readonly opcode: number;
  readonly broadcast: string | undefined;
}

export const COMMAND_BYTES = 16;

export function command<const F extends Fields>(
  name: string,
  opcode: number,
  facts: CommandFacts,
  fields: F,
): CommandLayout<F> {
  return {
    ...layout(name, COMMAND_BYTES, `IHI 0070 §${facts.section}`, fields),
    rules: [],
    completion: 'CMD_SYNC',
    broadcast: undefined,
    ...facts,
    opcode,
  };
}

// Rules that many commands share.
export const SSEC_RULE = 'SSec=1 outside the Secure queue: CERROR_ILL';
export const STAGE1_RULE = 'no stage 1: CERROR_ILL';
export const STAGE2_RULE = 'no stage 2: CERROR_ILL';
export const HYP_RULE = 'IDR0.Hyp=0: CERROR_ILL';
export const EL3_RULE = 'CERROR_ILL off the Secure queue or with RME_IMPL=1';
export const SECURE_EL2_RULE = 'CERROR_ILL off the Secure queue, or without Secure EL2/stage 2';
export const STALL_RULE = 'STALL_MODEL=1 or Realm queue: CERROR_ILL';
export const DPT_RULE = 'IDR3.DPT (R_IDR3.DPT on the Realm queue) is 0: CERROR_ILL';
export const SAMS_RULE = 'Secure queue with SAMS=1: CERROR_ILL';
export const RANGE_RULES: readonly string[] = [
  'TG nonzero with NUM, SCALE and effective TTL all 0: CERROR_ILL (16KB TTL=1 counts as 0 unless DS)',
  'base address must be aligned to the TTL level size, else the invalidated range is unpredictable',
];
