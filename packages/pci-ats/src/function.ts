import {
  DMA_ABORT,
  type DmaPort,
  type DmaRequest,
  type DmaStatus,
  IommuError,
  type MmioWindow,
  NO_SUBSTREAM,
} from '@smmu/platform';
import { ATS, CAP_ID, EXP, EXT_CAP_ID, EXTENDED_BASE, EXTENDED_CAPABILITY, MSI, PASID, PRI } from './capabilities.ts';
import { type ConfigAccess, ConfigSpace } from './configSpace.ts';
import { BAR, BAR_COUNT, BAR_OFFSET, HEADER } from './header.ts';
import { MsiSender } from './msi.ts';
import { formatPciAddress, type PciAddress, requesterId } from './requesterId.ts';

/** A region of registers behind a BAR. */
export interface RegionOptions {
  readonly window: MmioWindow;
  /** May be placed above 4 GiB, and takes two BARs. */
  readonly wide?: boolean;
  readonly prefetchable?: boolean;
}

/** What a function is and can do. What is left out it cannot. */
export interface PciFunctionOptions extends PciAddress {
  readonly vendorId: number;
  readonly deviceId: number;
  /** Class, subclass and programming interface: 24 bits. */
  readonly classCode: number;
  readonly revision?: number;
  /** Part of the root complex rather than behind a port. */
  readonly integrated?: boolean;
  /** At most six BARs; each window is a power of two of at least 4 KiB. */
  readonly regions?: readonly RegionOptions[];
  readonly msi?: { readonly log2Vectors: number };
  readonly pasid?: { readonly bits: number; readonly exec?: boolean; readonly priv?: boolean };
  readonly ats?: { readonly queueDepth: number; readonly pageAligned?: boolean; readonly globalInvalidate?: boolean };
  readonly pri?: { readonly maxRequests: number };
  /** What the SMMU knows it as. */
  readonly streamId: number;
  /** Where its requests go. */
  readonly upstream: DmaPort;
  /** Told when software resets the function: everything of its own stops. */
  readonly onReset?: () => void;
}

const MSI_OFFSET = 0x40;
const EXP_OFFSET = 0x80;
const EXT_CAP_BYTES = 16; // each gets as many: PRI, the largest, needs them

interface Region {
  readonly index: number;
  readonly window: MmioWindow;
  readonly wide: boolean;
}

/**
 * The hardware of one PCI function: its configuration space, and the gate between its DMA engine and the bus.
 *
 * A request leaves only if software has allowed it: bus mastering for all, PASID with its execute and privilege bits for
 * those that carry one. What the gate refuses is aborted, as if the function had not dared to send it.
 */
export class PciFunction implements ConfigAccess, DmaPort {
  readonly address: PciAddress;
  readonly requesterId: number;
  readonly streamId: number;
  /** `0000:00:01.0`. */
  readonly name: string;
  /** Sends its message-signalled interrupts; without the capability every vector is refused. */
  readonly msi: MsiSender;
  /** Requests that the gate refused. */
  refused = 0;
  readonly #config: ConfigSpace = new ConfigSpace((offset, value) => this.#written(offset, value));
  readonly #regions: Region[] = [];
  readonly #upstream: DmaPort;
  readonly #onReset: (() => void) | undefined;
  readonly #pasidBits: number;
  readonly #extended: Map<number, number> = new Map();
  // What the configuration space says, kept at hand for each request.
  #master = false;
  #substreams = 0; // PASIDs below this may be sent
  #exec = false;
  #priv = false;

  /** @throws {@link IommuError} `EINVAL` if an option does not fit its register. */
  constructor(options: PciFunctionOptions) {
    this.address = {
      segment: options.segment,
      bus: options.bus,
      device: options.device,
      function: options.function,
    };
    this.requesterId = requesterId(options);
    this.streamId = options.streamId;
    this.name = formatPciAddress(options);
    this.#upstream = options.upstream;
    this.#onReset = options.onReset;
    this.#pasidBits = options.pasid?.bits ?? 0;
    this.#header(options);
    this.#layRegions(options.regions ?? []);
    if (options.msi) this.#addMsi(options.msi.log2Vectors);
    this.#addExp(options.integrated === true, options.pasid !== undefined);
    if (options.pasid) this.#addPasid(options.pasid);
    if (options.ats) this.#addAts(options.ats);
    if (options.pri) this.#addPri(options.pri.maxRequests);
    this.#config.seal();
    this.msi = new MsiSender(this.#config.words, options.msi ? MSI_OFFSET : 0, this);
  }

  read(offset: number, bytes: 1 | 2 | 4): number {
    return this.#config.read(offset, bytes);
  }

  write(offset: number, bytes: 1 | 2 | 4, value: number): void {
    this.#config.write(offset, bytes, value);
  }

  /** Whether software has allowed address translation requests (ATS). */
  get atsEnabled(): boolean {
    const offset = this.#extended.get(EXT_CAP_ID.ATS);
    return offset !== undefined && ATS.ENABLE.get(this.#config.words, offset / 4);
  }

  /** Whether software has allowed page requests (PRI). */
  get priEnabled(): boolean {
    const offset = this.#extended.get(EXT_CAP_ID.PRI);
    return offset !== undefined && PRI.ENABLE.get(this.#config.words, offset / 4);
  }

  /** Finds the register that a memory access of the CPU means, if it is one of this function's. */
  decode(address: number): { readonly window: MmioWindow; readonly offset: number } | undefined {
    const { words } = this.#config;
    if (!HEADER.MEMORY.get(words, 0)) return undefined;
    for (const { index, window, wide } of this.#regions) {
      const bar = BAR_OFFSET / 4 + index;
      const base = ((words[bar]! & BAR.BASE.mask) >>> 0) + (wide ? words[bar + 1]! * 2 ** 32 : 0);
      if (address >= base && address < base + window.size) return { window, offset: address - base };
    }
    return undefined;
  }

  /** Puts a request on the bus under this function's StreamID, or aborts it if software has not allowed it. */
  submit(request: DmaRequest): DmaStatus {
    const allowed =
      this.#master &&
      (request.substreamId === NO_SUBSTREAM
        ? !request.instruction && !request.privileged
        : request.substreamId < this.#substreams &&
          (!request.instruction || this.#exec) &&
          (!request.privileged || this.#priv));
    if (!allowed) {
      this.refused += 1;
      request.status = DMA_ABORT;
      return DMA_ABORT;
    }
    request.streamId = this.streamId;
    return this.#upstream.submit(request);
  }

  #header(options: PciFunctionOptions): void {
    const { words } = this.#config;
    const revision = options.revision ?? 0;
    fits('vendor ID', options.vendorId, 0xfffe);
    fits('device ID', options.deviceId, 0xffff);
    fits('class code', options.classCode, 0xff_ffff);
    fits('revision', revision, 0xff);
    HEADER.VENDOR_ID.set(words, 0, options.vendorId);
    HEADER.DEVICE_ID.set(words, 0, options.deviceId);
    HEADER.CLASS.set(words, 0, options.classCode);
    HEADER.REVISION.set(words, 0, revision);
    HEADER.CAP_LIST.set(words, 0, true);
    HEADER.CAP_POINTER.set(words, 0, options.msi ? MSI_OFFSET : EXP_OFFSET);
    const { MEMORY, MASTER, PARITY, SERR, INTX_DISABLE, CACHE_LINE_SIZE, INTERRUPT_LINE } = HEADER;
    this.#config.allow(0, MEMORY, MASTER, PARITY, SERR, INTX_DISABLE, CACHE_LINE_SIZE, INTERRUPT_LINE);
    const { MASTER_DATA_PARITY, SIG_TARGET_ABORT, REC_TARGET_ABORT, REC_MASTER_ABORT } = HEADER;
    this.#config.allowClear(0, MASTER_DATA_PARITY, SIG_TARGET_ABORT, REC_TARGET_ABORT, REC_MASTER_ABORT);
    this.#config.allowClear(0, HEADER.SIG_SYSTEM_ERROR, HEADER.DETECTED_PARITY);
  }

  /** A BAR's address bits below the region's size read zero whatever is written: that is how software learns the size. */
  #layRegions(regions: readonly RegionOptions[]): void {
    let index = 0;
    for (const { window, wide = false, prefetchable = false } of regions) {
      const { size } = window;
      if (size < 4096 || size > 2 ** 31 || !Number.isInteger(Math.log2(size)))
        throw new IommuError(
          'EINVAL',
          `region ${window.name} of ${size} bytes: must be a power of two from 4 KiB to 2 GiB`,
        );
      if (index + (wide ? 2 : 1) > BAR_COUNT)
        throw new IommuError(
          'EINVAL',
          `region ${window.name}: a function has ${BAR_COUNT} BARs, and a wide one takes two`,
        );
      const bar = BAR_OFFSET / 4 + index;
      BAR.TYPE.set(this.#config.words, bar, wide ? BAR.TYPE.values.ANYWHERE : BAR.TYPE.values.BELOW_4G);
      BAR.PREFETCHABLE.set(this.#config.words, bar, prefetchable);
      this.#config.allowBits(bar * 4, -size >>> 0);
      if (wide) this.#config.allowBits(bar * 4 + 4, 0xffff_ffff);
      this.#regions.push({ index, window, wide });
      index += wide ? 2 : 1;
    }
  }

  #addMsi(log2Vectors: number): void {
    fits('log2 of MSI vectors', log2Vectors, 5);
    const { words } = this.#config;
    const base = MSI_OFFSET / 4;
    MSI.ID.set(words, base, CAP_ID.MSI);
    MSI.NEXT.set(words, base, EXP_OFFSET);
    MSI.MULTIPLE_CAPABLE.set(words, base, log2Vectors);
    MSI.ADDRESS_64.set(words, base, true);
    MSI.MASKABLE.set(words, base, true);
    this.#config.allow(MSI_OFFSET, MSI.ENABLE, MSI.MULTIPLE_ENABLE, MSI.ADDRESS_HI, MSI.DATA);
    this.#config.allowBits(MSI_OFFSET + 4 * MSI.ADDRESS_LO.word, 0xffff_fffc);
    this.#config.allowBits(MSI_OFFSET + 4 * MSI.MASK.word, 2 ** (2 ** log2Vectors) - 1);
  }

  #addExp(integrated: boolean, prefixes: boolean): void {
    const { words } = this.#config;
    const base = EXP_OFFSET / 4;
    EXP.ID.set(words, base, CAP_ID.EXP);
    EXP.VERSION.set(words, base, 2);
    EXP.TYPE.set(words, base, integrated ? EXP.TYPE.values.RC_END : EXP.TYPE.values.ENDPOINT);
    EXP.MAX_PAYLOAD.set(words, base, 5);
    EXP.RBER.set(words, base, true);
    EXP.FLR.set(words, base, true);
    EXP.EE_PREFIX.set(words, base, prefixes);
    EXP.READRQ.set(words, base, 2);
    EXP.RELAX_EN.set(words, base, true);
    EXP.NOSNOOP_EN.set(words, base, true);
    const { CERE, NFERE, FERE, URRE, RELAX_EN, PAYLOAD, NOSNOOP_EN, READRQ } = EXP;
    this.#config.allow(EXP_OFFSET, CERE, NFERE, FERE, URRE, RELAX_EN, PAYLOAD, NOSNOOP_EN, READRQ);
    this.#config.allowClear(EXP_OFFSET, EXP.CED, EXP.NFED, EXP.FED, EXP.URD);
  }

  /** Appends an extended capability to the chain. Returns its offset. */
  #extend(id: number): number {
    const { words } = this.#config;
    const offset = EXTENDED_BASE + this.#extended.size * EXT_CAP_BYTES;
    EXTENDED_CAPABILITY.ID.set(words, offset / 4, id);
    EXTENDED_CAPABILITY.VERSION.set(words, offset / 4, 1);
    if (this.#extended.size > 0) EXTENDED_CAPABILITY.NEXT.set(words, (offset - EXT_CAP_BYTES) / 4, offset);
    this.#extended.set(id, offset);
    return offset;
  }

  #addPasid({ bits, exec = false, priv = false }: NonNullable<PciFunctionOptions['pasid']>): void {
    fits('PASID width', bits, 20);
    const offset = this.#extend(EXT_CAP_ID.PASID);
    const { words } = this.#config;
    PASID.WIDTH.set(words, offset / 4, bits);
    PASID.EXEC.set(words, offset / 4, exec);
    PASID.PRIV.set(words, offset / 4, priv);
    this.#config.allow(offset, PASID.ENABLE);
    if (exec) this.#config.allow(offset, PASID.EXEC_ENABLE);
    if (priv) this.#config.allow(offset, PASID.PRIV_ENABLE);
  }

  #addAts({ queueDepth, pageAligned, globalInvalidate }: NonNullable<PciFunctionOptions['ats']>): void {
    if (!Number.isInteger(queueDepth) || queueDepth < 1 || queueDepth > 32)
      throw new IommuError('EINVAL', `ATS queue depth ${queueDepth}: must be 1 to 32`);
    const offset = this.#extend(EXT_CAP_ID.ATS);
    const { words } = this.#config;
    ATS.QDEP.set(words, offset / 4, queueDepth % 32);
    ATS.PAGE_ALIGNED.set(words, offset / 4, pageAligned === true);
    ATS.GLOBAL_INVALIDATE.set(words, offset / 4, globalInvalidate === true);
    this.#config.allow(offset, ATS.STU, ATS.ENABLE);
  }

  #addPri(maxRequests: number): void {
    fits('PRI requests', maxRequests, 0xffff_ffff);
    const offset = this.#extend(EXT_CAP_ID.PRI);
    const { words } = this.#config;
    PRI.MAX_REQ.set(words, offset / 4, maxRequests);
    PRI.STOPPED.set(words, offset / 4, true);
    PRI.PASID_REQUIRED.set(words, offset / 4, this.#pasidBits > 0);
    this.#config.allow(offset, PRI.ENABLE, PRI.ALLOC_REQ);
    this.#config.allowClear(offset, PRI.RF, PRI.UPRGI);
  }

  /** Acts on what software wrote. */
  #written(offset: number, value: number): void {
    const { words } = this.#config;
    if (offset === EXP_OFFSET + 4 * EXP.BCR_FLR.word && EXP.BCR_FLR.of(value)) {
      this.#config.reset();
      this.#onReset?.();
    }
    const pri = this.#extended.get(EXT_CAP_ID.PRI);
    if (pri !== undefined && offset === pri + 4 * PRI.ENABLE.word) {
      const enabled = PRI.ENABLE.get(words, pri / 4);
      if (enabled || PRI.RESET.of(value)) PRI.RF.set(words, pri / 4, false);
      if (!enabled && PRI.RESET.of(value)) PRI.UPRGI.set(words, pri / 4, false);
      PRI.STOPPED.set(words, pri / 4, !enabled);
    }
    this.#master = HEADER.MASTER.get(words, 0);
    const pasid = this.#extended.get(EXT_CAP_ID.PASID);
    if (pasid !== undefined) {
      this.#substreams = PASID.ENABLE.get(words, pasid / 4) ? 2 ** this.#pasidBits : 0;
      this.#exec = PASID.EXEC_ENABLE.get(words, pasid / 4);
      this.#priv = PASID.PRIV_ENABLE.get(words, pasid / 4);
    }
    this.msi.flush();
  }
}

function fits(what: string, value: number, max: number): void {
  if (!Number.isInteger(value) || value < 0 || value > max)
    throw new IommuError('EINVAL', `${what} ${value}: must be a whole number up to ${max}`);
}
