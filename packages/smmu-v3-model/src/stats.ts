/** What an SMMU counted since it was made. */
import { commandByOpcode, eventByCode } from '@smmu/spec';

export interface ModelStats {
  /** Transactions submitted; retries of stalled ones do not count again. */
  readonly transactions: number;
  /** Bytes moved. */
  readonly bytes: number;
  readonly iotlbHits: number;
  readonly iotlbMisses: number;
  /** Table walks, each stage by itself. */
  readonly walks: number;
  readonly descriptorReads: number;
  /** Translations in the IOTLB now. */
  readonly iotlbEntries: number;
  /** Commands consumed, by name. */
  readonly commands: Readonly<Record<string, number>>;
  /** Records written, by name of the event. */
  readonly events: Readonly<Record<string, number>>;
  /** Transactions that are stalled or wait to stall, now. */
  readonly stalled: number;
  /** Those of them that wait for a tag or for the event queue. */
  readonly waiting: number;
  /** Events that no record tells of, because the queue was full, off or broken. */
  readonly unrecordedEvents: number;
  /** Events that an equal, unread record already told (STE.MEV). */
  readonly mergedEvents: number;
  /** Transactions aborted, or answered with zeros, without an event. */
  readonly silentAborts: number;
  /** Transactions that were translated and that memory then aborted. */
  readonly externalAborts: number;
  /** ATS translation requests answered. */
  readonly atsRequests: number;
  /** Page requests written to the PRI queue, those that were not, and those of them that the SMMU answered itself. */
  readonly pageRequests: number;
  readonly droppedPageRequests: number;
  readonly automaticResponses: number;
}

/** Counts by code as counts by name, without the zeros. */
export function namedCounts(counts: Uint32Array, kind: 'command' | 'event'): Record<string, number> {
  const named: Record<string, number> = {};
  for (const [code, count] of counts.entries()) {
    if (count === 0) continue;
    const layout = kind === 'command' ? commandByOpcode(code) : eventByCode(code);
    named[layout?.name ?? `0x${code.toString(16)}`] = count;
  }
  return named;
}
