/**
 * Invalidations on their way to endpoints: sent by CMD_ATC_INV, waited for by CMD_SYNC, given up after a while.
 * IHI 0070 §3.9.1.4, §3.9.1.5, §4.5.1; PCIe 6.0 §10.3.
 */
import type { AtsEndpoint } from '@smmu/platform';

/** Virtual nanoseconds that an endpoint may take, if nobody says otherwise. */
export const ATC_TIMEOUT_NS = 100_000_000;

export class AtcInvalidations {
  /** Sent and not completed. */
  outstanding = 0;
  /** Told when the last one completes. */
  onDone: () => void = () => {};
  /** Those of an older generation were given up: their completions count no more. */
  #generation = 0;

  /** Sends one. An endpoint that is not there answers Unsupported Request, which counts as done. */
  send(
    endpoint: AtsEndpoint | undefined,
    substreamId: number,
    global: boolean,
    lo: number,
    hi: number,
    log2Bytes: number,
  ): void {
    if (endpoint === undefined) return;
    const generation = this.#generation;
    let done = false;
    this.outstanding++;
    endpoint.invalidate(substreamId, global, lo, hi, log2Bytes, () => {
      if (done || generation !== this.#generation) return;
      done = true;
      if (--this.outstanding === 0) this.onDone();
    });
  }

  /** Stops waiting. */
  giveUp(): void {
    this.#generation++;
    this.outstanding = 0;
  }
}
