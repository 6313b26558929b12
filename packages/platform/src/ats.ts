/**
 * What passes between a PCIe endpoint and whoever translates for it: translation requests and invalidations (ATS), page
 * requests and their answers (PRI). PCIe 6.0 §10; IHI 0070 §3.9.
 */
import { NO_SUBSTREAM } from './dma.ts';

/** How a translation request ended: PCIe completion status (§2.2.9). */
export const ATS_SUCCESS = 0;
/** Unsupported Request: ATS is not enabled for this stream. The endpoint must not ask again. */
export const ATS_UNSUPPORTED = 1;
/** Completer Abort: the configuration is wrong. */
export const ATS_ABORT = 4;
export type AtsStatus = typeof ATS_SUCCESS | typeof ATS_UNSUPPORTED | typeof ATS_ABORT;

/** One translation request and, once answered, its completion (PCIe §10.2). An endpoint may use it again. */
export class AtsRequest {
  streamId = 0;
  /** PASID, or {@link NO_SUBSTREAM}. */
  substreamId: number = NO_SUBSTREAM;
  /** The 64-bit untranslated address as two unsigned words. */
  addressLo = 0;
  addressHi = 0;
  /** NW: the endpoint does not intend to write, so the page need not become dirty. */
  noWrite = false;
  /** Execute and privileged access are asked for; only with a PASID. */
  instruction = false;
  privileged = false;

  status: AtsStatus = ATS_SUCCESS;
  /** Translated address of the first byte of the range, valid if {@link read} or {@link write}. */
  translated = 0;
  /** log2 of the bytes of the naturally aligned range that the completion covers; 12 at least. */
  log2Bytes = 12;
  read = false;
  write = false;
  execute = false;
  /** The completion holds for privileged accesses. */
  privilegedGranted = false;
  /** Holds for every PASID. */
  global = false;
  /** U: access the range with untranslated requests only. */
  untranslatedOnly = false;
  /** N (PCIe §10.2.3.3): accesses must be made with No Snoop clear. */
  nonSnooped = false;
}

/** One Page Request message (PCIe §10.4.1). Neither read nor write, with `last`: a stop marker. */
export interface PageRequestMessage {
  readonly streamId: number;
  readonly substreamId: number;
  /** Page address: two unsigned words, the low 12 bits zero. */
  readonly addressLo: number;
  readonly addressHi: number;
  readonly read: boolean;
  readonly write: boolean;
  readonly execute: boolean;
  readonly privileged: boolean;
  readonly last: boolean;
  /** Page Request Group index, 9 bits. */
  readonly group: number;
}

/** Response codes of a Page Request group (PCIe §10.4.2). */
export const PRG_SUCCESS = 0;
export const PRG_INVALID = 1;
export const PRG_FAILURE = 15;
export type PrgResponse = typeof PRG_SUCCESS | typeof PRG_INVALID | typeof PRG_FAILURE;

/** Who translates: an SMMU. */
export interface AtsPort {
  /** Answers a translation request at once, in the request. Returns its status. */
  translate(request: AtsRequest): AtsStatus;
  /** Takes a page request. Its group is answered later through {@link AtsEndpoint.pageResponse}, or not at all. */
  requestPage(message: PageRequestMessage): void;
}

/** What whoever translates may send to an endpoint that caches translations. */
export interface AtsEndpoint {
  /**
   * Drop what is cached of a range (PCIe §10.3). `complete` is called once, now or later, when no transaction with an
   * old translation is on its way any more; an endpoint that never does makes the invalidation time out.
   * @param substreamId - PASID, or NO_SUBSTREAM for translations of requests without one.
   * @param global - For every PASID.
   * @param log2Bytes - Size of the naturally aligned range; 64 for everything.
   */
  invalidate(
    substreamId: number,
    global: boolean,
    addressLo: number,
    addressHi: number,
    log2Bytes: number,
    complete: () => void,
  ): void;
  /** Ends a group of page requests. `substreamId` is NO_SUBSTREAM if the response carries none. */
  pageResponse(substreamId: number, group: number, response: PrgResponse): void;
}
