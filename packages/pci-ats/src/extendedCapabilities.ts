import { IommuError } from '@smmu/platform';
import { ATS, EXT_CAP_ID, EXTENDED_BASE, EXTENDED_CAPABILITY, PASID, PRI } from './capabilities.ts';
import type { ConfigSpace } from './configSpace.ts';
import type { FunctionRights } from './rights.ts';

/** What a function can do beyond plain DMA. What is left out it cannot. */
export interface ExtendedOptions {
  readonly pasid?: { readonly bits: number; readonly exec?: boolean; readonly priv?: boolean };
  readonly ats?: { readonly queueDepth: number; readonly pageAligned?: boolean; readonly globalInvalidate?: boolean };
  readonly pri?: { readonly maxRequests: number };
}

const EXT_CAP_BYTES = 16; // each gets as many: PRI, the largest, needs them

/**
 * The chain of extended capabilities of a function: PASID, ATS, PRI, as far as it has them.
 * PCI Express Base §7.8.8, §10.5.1, §10.5.2; Linux drivers/pci/ats.c.
 */
export class ExtendedCapabilities {
  /** Offsets; 0 where the function has none. */
  readonly pasid: number;
  readonly ats: number;
  readonly pri: number;
  readonly #config: ConfigSpace;
  #next = EXTENDED_BASE;

  /** @throws {@link IommuError} `EINVAL` if an option does not fit its register. */
  constructor(config: ConfigSpace, { pasid, ats, pri }: ExtendedOptions) {
    this.#config = config;
    this.pasid = pasid ? this.#addPasid(pasid) : 0;
    this.ats = ats ? this.#addAts(ats) : 0;
    this.pri = pri ? this.#addPri(pri.maxRequests, pasid !== undefined && pasid.bits > 0) : 0;
  }

  /** Takes over what the registers say. */
  read(rights: FunctionRights): void {
    const { words } = this.#config;
    const { pasid, ats, pri } = this;
    if (pasid !== 0) {
      rights.substreams = PASID.ENABLE.get(words, pasid / 4) ? 2 ** PASID.WIDTH.get(words, pasid / 4) : 0;
      rights.exec = PASID.EXEC_ENABLE.get(words, pasid / 4);
      rights.priv = PASID.PRIV_ENABLE.get(words, pasid / 4);
    }
    if (ats !== 0) {
      rights.stuShift = 12 + ATS.STU.get(words, ats / 4);
      rights.ats = ATS.ENABLE.get(words, ats / 4);
    }
    if (pri !== 0) rights.pri = PRI.ENABLE.get(words, pri / 4);
  }

  /** Appends a capability to the chain. Returns its offset. */
  #extend(id: number): number {
    const { words } = this.#config;
    const offset = this.#next;
    this.#next += EXT_CAP_BYTES;
    EXTENDED_CAPABILITY.ID.set(words, offset / 4, id);
    EXTENDED_CAPABILITY.VERSION.set(words, offset / 4, 1);
    if (offset > EXTENDED_BASE) EXTENDED_CAPABILITY.NEXT.set(words, (offset - EXT_CAP_BYTES) / 4, offset);
    return offset;
  }

  #addPasid({ bits, exec = false, priv = false }: NonNullable<ExtendedOptions['pasid']>): number {
    fits('PASID width', bits, 20);
    const offset = this.#extend(EXT_CAP_ID.PASID);
    const { words } = this.#config;
    PASID.WIDTH.set(words, offset / 4, bits);
    PASID.EXEC.set(words, offset / 4, exec);
    PASID.PRIV.set(words, offset / 4, priv);
    this.#config.allow(offset, PASID.ENABLE);
    if (exec) this.#config.allow(offset, PASID.EXEC_ENABLE);
    if (priv) this.#config.allow(offset, PASID.PRIV_ENABLE);
    return offset;
  }

  #addAts({ queueDepth, pageAligned, globalInvalidate }: NonNullable<ExtendedOptions['ats']>): number {
    if (!Number.isInteger(queueDepth) || queueDepth < 1 || queueDepth > 32)
      throw new IommuError('EINVAL', `ATS queue depth ${queueDepth}: must be 1 to 32`);
    const offset = this.#extend(EXT_CAP_ID.ATS);
    const { words } = this.#config;
    ATS.QDEP.set(words, offset / 4, queueDepth % 32);
    ATS.PAGE_ALIGNED.set(words, offset / 4, pageAligned === true);
    ATS.GLOBAL_INVALIDATE.set(words, offset / 4, globalInvalidate === true);
    this.#config.allow(offset, ATS.STU, ATS.ENABLE);
    return offset;
  }

  #addPri(maxRequests: number, pasids: boolean): number {
    fits('PRI requests', maxRequests, 0xffff_ffff);
    const offset = this.#extend(EXT_CAP_ID.PRI);
    const { words } = this.#config;
    PRI.MAX_REQ.set(words, offset / 4, maxRequests);
    PRI.STOPPED.set(words, offset / 4, true);
    PRI.PASID_REQUIRED.set(words, offset / 4, pasids);
    this.#config.allow(offset, PRI.ENABLE, PRI.ALLOC_REQ);
    this.#config.allowClear(offset, PRI.RF, PRI.UPRGI);
    return offset;
  }
}

/** @throws {@link IommuError} `EINVAL` unless `value` is a whole number up to `max`. */
export function fits(what: string, value: number, max: number): void {
  if (!Number.isInteger(value) || value < 0 || value > max)
    throw new IommuError('EINVAL', `${what} ${value}: must be a whole number up to ${max}`);
}
