import { type DmaRequest, NO_SUBSTREAM } from '@smmu/platform';

/**
 * What software lets a function do, as its registers say: read from them after each write, kept at hand for each request.
 * PCI Express Base §6.20.1 (PASID), §7.5.1.1.3 (Bus Master Enable), §10.5 (ATS and PRI).
 */
export class FunctionRights {
  /** Command.MASTER: may issue memory requests, translation requests among them. */
  master = false;
  /** PASIDs below this may be sent; 0 for none. */
  substreams = 0;
  /** Requests with a PASID may ask for execute permission, may be privileged. */
  exec = false;
  priv = false;
  /** ATS Control.E: may ask for translations, cache them and send translated requests. */
  ats = false;
  /** ATS Control.STU: log2 of the bytes of the smallest translation. */
  stuShift = 12;
  /** PRI Control.E: may ask for pages. */
  pri = false;

  /** Whether a request of this PASID, and with these marks, may be sent. */
  allowsPasid(substreamId: number, instruction: boolean, privileged: boolean): boolean {
    if (substreamId === NO_SUBSTREAM) return !instruction && !privileged;
    return (
      substreamId >= 0 && substreamId < this.substreams && (!instruction || this.exec) && (!privileged || this.priv)
    );
  }

  /** Whether a memory request may be sent. */
  allows(request: DmaRequest): boolean {
    return (
      this.master &&
      (!request.translated || this.ats) &&
      this.allowsPasid(request.substreamId, request.instruction, request.privileged)
    );
  }
}
