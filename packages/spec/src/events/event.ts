/** An event record: 32 bytes of an event queue. IHI 0070 §7.3. */
import { type Fields, type Layout, layout } from '../layout.ts';

/** What the architecture says about an event beside its bits. */
export interface EventFacts {
  readonly section: string;
  /** What happened, in words. */
  readonly meaning: string;
  /** Whether the transaction may be held for CMD_RESUME: the record then has Stall and STAG. */
  readonly stallable?: boolean;
  /** The condition, where the event is not always recorded. */
  readonly recordedWhen?: string;
}

export interface EventLayout<F extends Fields = Fields> extends Layout<F>, Required<Omit<EventFacts, 'recordedWhen'>> {
  readonly code: number;
  readonly recordedWhen: string | undefined;
}

export const EVENT_BYTES = 32;

export function event<const F extends Fields>(
  name: string,
  code: number,
  facts: EventFacts,
  fields: F,
): EventLayout<F> {
  return {
    ...layout(name, EVENT_BYTES, `IHI 0070 §${facts.section}`, fields),
    stallable: false,
    recordedWhen: undefined,
    ...facts,
    code,
  };
}
