import { DMA_ABORT, type DmaPort, type DmaRequest, type DmaStatus, IommuError, type MmioWindow } from '@smmu/platform';
import { ATS, CAP_ID, EXP, MSI, PRI } from './capabilities.ts';
import { type ConfigAccess, ConfigSpace } from './configSpace.ts';
import { ExtendedCapabilities, type ExtendedOptions, fits } from './extendedCapabilities.ts';
import type { FunctionPart } from './functionPart.ts';
import { BAR, BAR_COUNT, BAR_OFFSET, HEADER } from './header.ts';
import { MsiSender } from './msi.ts';
import { PriRegisters } from './priRegisters.ts';
import { formatPciAddress, type PciAddress, requesterId } from './requesterId.ts';
import { FunctionRights } from './rights.ts';

/** A region of registers behind a BAR. */
export interface RegionOptions {
  readonly window: MmioWindow;
  /** May be placed above 4 GiB, and takes two BARs. */
  readonly wide?: boolean;
  readonly prefetchable?: boolean;
}

/** What a function is and can do. What is left out it cannot. */
export interface PciFunctionOptions extends PciAddress, ExtendedOptions {
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
  /** What the SMMU knows it as. */
  readonly streamId: number;
  /** Where its requests go. */
  readonly upstream: DmaPort;
  /** Told when software resets the function: everything of its own stops. */
  readonly onReset?: () => void;
}

const MSI_OFFSET = 0x40;
const EXP_OFFSET = 0x80;

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
  /** Its page request registers, if it has any. */
  readonly pri: PriRegisters | undefined;
  /** Requests that the gate refused. */
  refused = 0;
  readonly #config: ConfigSpace = new ConfigSpace((offset, value) => this.#written(offset, value));
  readonly #regions: Region[] = [];
  readonly #upstream: DmaPort;
  readonly #onReset: (() => void) | undefined;
  readonly #extended: ExtendedCapabilities;
  readonly #rights: FunctionRights = new FunctionRights();
  readonly #parts: FunctionPart[] = [];

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
    this.#header(options);
    this.#layRegions(options.regions ?? []);
    if (options.msi) this.#addMsi(options.msi.log2Vectors);
    this.#addExp(options.integrated === true, options.pasid !== undefined);
    this.#extended = new ExtendedCapabilities(this.#config, options);
    const { pri } = this.#extended;
    this.pri = pri === 0 ? undefined : new PriRegisters(this.#config.words, pri);
    this.#config.seal();
    this.msi = new MsiSender(this.#config.words, options.msi ? MSI_OFFSET : 0, this);
  }

  read(offset: number, bytes: 1 | 2 | 4): number {
    return this.#config.read(offset, bytes);
  }

  write(offset: number, bytes: 1 | 2 | 4, value: number): void {
    this.#config.write(offset, bytes, value);
  }

  /** What software allows it now. */
  get rights(): Readonly<FunctionRights> {
    return this.#rights;
  }

  /** Whether software has allowed address translation requests (ATS). */
  get atsEnabled(): boolean {
    return this.#rights.ats;
  }

  /** Whether software has allowed page requests (PRI). */
  get priEnabled(): boolean {
    return this.#rights.pri;
  }

  /** Whether it takes invalidations of all PASIDs at once, and so may cache global translations. */
  get globalInvalidate(): boolean {
    const { ats } = this.#extended;
    return ats !== 0 && ATS.GLOBAL_INVALIDATE.get(this.#config.words, ats / 4);
  }

  /** Invalidations that it can queue; 0 without ATS. */
  get invalidateQueueDepth(): number {
    const { ats } = this.#extended;
    return ats === 0 ? 0 : ATS.QDEP.get(this.#config.words, ats / 4) || 32;
  }

  /** Tells a part from now on what software does to the registers it lives by. */
  attach(part: FunctionPart): void {
    this.#parts.push(part);
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
    if (!this.#rights.allows(request)) {
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

  /** Acts on what software wrote. */
  #written(offset: number, value: number): void {
    const { words } = this.#config;
    const reset = offset === EXP_OFFSET + 4 * EXP.BCR_FLR.word && EXP.BCR_FLR.of(value);
    if (reset) this.#config.reset();
    const { ats, pri } = this.#rights;
    this.#rights.master = HEADER.MASTER.get(words, 0);
    this.#extended.read(this.#rights);
    if (reset) {
      for (const part of this.#parts) part.reset?.();
      this.#onReset?.();
    } else {
      if (ats !== this.#rights.ats) for (const part of this.#parts) part.atsChanged?.(!ats);
      if (this.pri && offset === this.#extended.pri + 4 * PRI.ENABLE.word)
        this.#priWritten(this.pri, pri, PRI.RESET.of(value));
    }
    this.msi.flush();
  }

  /** PCIe §10.5.2.2: enabling clears the flags; a reset counts only while disabled; disabling may take its time. */
  #priWritten(registers: PriRegisters, before: boolean, reset: boolean): void {
    const { pri } = this.#rights;
    if (pri && !before) registers.clear();
    if (pri !== before) {
      if (!pri) registers.setStopped(true); // a part with requests outstanding takes it back
      for (const part of this.#parts) part.priChanged?.(pri);
    }
    if (pri || !reset) return;
    registers.setStopped(true);
    for (const part of this.#parts) part.priReset?.();
  }
}
