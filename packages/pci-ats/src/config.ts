import { hex, IommuError, type Pa } from '@smmu/platform';
import { CAP_ID, CAPABILITY, CONFIG_BYTES, EXP, EXTENDED_BASE, EXTENDED_CAPABILITY, MSI } from './capabilities.ts';
import type { ConfigAccess, ConfigField } from './configSpace.ts';
import { BAR, BAR_COUNT, BAR_OFFSET, HEADER } from './header.ts';
import { formatPciAddress, type PciAddress, requesterId } from './requesterId.ts';

/** What a BAR asks for. */
export interface Bar {
  readonly index: number;
  readonly bytes: number;
  /** Takes the next BAR as upper half of its address. */
  readonly wide: boolean;
  readonly prefetchable: boolean;
}

/**
 * What a driver does with a function through its configuration space alone. Linux `struct pci_dev`,
 * drivers/pci/pci.c, probe.c, msi/msi.c.
 */
export class PciConfig {
  readonly address: PciAddress;
  readonly requesterId: number;
  /** `0000:00:01.0`. */
  readonly name: string;
  readonly vendorId: number;
  readonly deviceId: number;
  readonly classCode: number;
  protected readonly access: ConfigAccess;

  /** @throws {@link IommuError} `ENODEV` if nothing answers, `EOPNOTSUPP` if the header is not type 0. */
  constructor(access: ConfigAccess, address: PciAddress) {
    this.access = access;
    this.address = address;
    this.requesterId = requesterId(address);
    this.name = formatPciAddress(address);
    const id = access.read(0, 4);
    this.vendorId = HEADER.VENDOR_ID.of(id);
    this.deviceId = HEADER.DEVICE_ID.of(id);
    if (this.vendorId === 0xffff) throw new IommuError('ENODEV', `${this.name}: no function answers`);
    const type = this.get(0, HEADER.HEADER_TYPE);
    if (type !== HEADER.HEADER_TYPE.values.NORMAL)
      throw new IommuError('EOPNOTSUPP', `${this.name}: header type ${type}, only 0 (endpoint) is known`);
    this.classCode = this.get(0, HEADER.CLASS);
  }

  /** Offset of a capability of the first 256 bytes, or 0. Linux `pci_find_capability`. */
  findCapability(id: number): number {
    if (!this.flag(0, HEADER.CAP_LIST)) return 0;
    let offset = this.get(0, HEADER.CAP_POINTER) & ~3;
    for (let left = 48; left > 0 && offset >= 0x40; left -= 1) {
      const header = this.access.read(offset, 4);
      if (CAPABILITY.ID.of(header) === 0xff) return 0;
      if (CAPABILITY.ID.of(header) === id) return offset;
      offset = CAPABILITY.NEXT.of(header) & ~3;
    }
    return 0;
  }

  /** Offset of an extended capability, or 0. Linux `pci_find_ext_capability`. */
  findExtCapability(id: number): number {
    let offset = EXTENDED_BASE;
    for (let left = (CONFIG_BYTES - EXTENDED_BASE) / 8; left > 0 && offset >= EXTENDED_BASE; left -= 1) {
      const header = this.access.read(offset, 4);
      if (header === 0 || header === 0xffff_ffff) return 0;
      if (EXTENDED_CAPABILITY.ID.of(header) === id) return offset;
      offset = EXTENDED_CAPABILITY.NEXT.of(header) & ~3;
    }
    return 0;
  }

  /**
   * Asks each BAR for its size: writes ones, reads which bits stuck, puts the old value back. Linux `__pci_read_base`.
   * @throws {@link IommuError} `EOPNOTSUPP` for an I/O region, which no Arm board has.
   */
  sizeBars(): Bar[] {
    const memory = this.flag(0, HEADER.MEMORY);
    this.#command(HEADER.MEMORY, false); // half-written BARs must not decode
    const bars: Bar[] = [];
    for (let index = 0; index < BAR_COUNT; index += 1) {
      const low = this.#probe(index);
      if (low.mask === 0) continue;
      if (BAR.IO.of(low.old)) throw new IommuError('EOPNOTSUPP', `${this.name}: BAR ${index} is an I/O region`);
      const wide = BAR.TYPE.of(low.old) === BAR.TYPE.values.ANYWHERE;
      const upper = wide ? this.#probe(index + 1).mask : 0xffff_ffff;
      // The lowest bit that stuck is the size.
      const base = (low.mask & BAR.BASE.mask) >>> 0;
      const bytes = base !== 0 ? (base & -base) >>> 0 : ((upper & -upper) >>> 0) * 2 ** 32;
      bars.push({ index, bytes, wide, prefetchable: BAR.PREFETCHABLE.of(low.old) });
      if (wide) index += 1;
    }
    this.#command(HEADER.MEMORY, memory);
    return bars;
  }

  /**
   * Places a region. Linux `pci_update_resource`.
   * @param base - Bus address, a multiple of the region's size.
   * @throws {@link IommuError} `EINVAL` if misaligned, or beyond 4 GiB for a BAR of 32 bits.
   */
  assignBar(bar: Bar, base: Pa): void {
    if (base % bar.bytes !== 0 || base < 0 || (!bar.wide && base + bar.bytes > 2 ** 32))
      throw new IommuError(
        'EINVAL',
        `${this.name}: BAR ${bar.index} of ${hex(bar.bytes)} bytes cannot be at ${hex(base)}: must be a multiple of its size${bar.wide ? '' : ', below 4 GiB'}`,
      );
    const offset = BAR_OFFSET + 4 * bar.index;
    this.access.write(offset, 4, base % 2 ** 32);
    if (bar.wide) this.access.write(offset + 4, 4, Math.floor(base / 2 ** 32));
  }

  /** Lets the function answer accesses to its regions. Linux `pci_enable_device_mem`. */
  enableMemory(): void {
    this.#command(HEADER.MEMORY, true);
  }

  disableMemory(): void {
    this.#command(HEADER.MEMORY, false);
  }

  /** Lets the function issue DMA and MSIs. Linux `pci_set_master`. */
  setMaster(): void {
    this.#command(HEADER.MASTER, true);
  }

  /** Linux `pci_clear_master`. */
  clearMaster(): void {
    this.#command(HEADER.MASTER, false);
  }

  /**
   * Programs and enables MSI, each vector one number above the one before.
   * @param address - Where the function writes: what the DMA API mapped the doorbell to, a multiple of 4.
   * @param data - First number, a multiple of 2^`log2Vectors`.
   * @throws {@link IommuError} `EINVAL` without the capability or with a bad address or number, `ENOSPC` if the function
   *   has fewer vectors (as Linux `pci_alloc_irq_vectors`).
   */
  enableMsi(address: number, data: number, log2Vectors = 0): void {
    const offset = this.#msi();
    if (log2Vectors > this.get(offset, MSI.MULTIPLE_CAPABLE))
      throw new IommuError(
        'ENOSPC',
        `${this.name}: ${2 ** log2Vectors} MSI vectors, the function has ${2 ** this.get(offset, MSI.MULTIPLE_CAPABLE)}`,
      );
    if (address % 4 !== 0 || data % 2 ** log2Vectors !== 0 || data < 0 || data > 0xffff)
      throw new IommuError('EINVAL', `${this.name}: MSI ${data} to ${hex(address)}: misaligned, or beyond 16 bits`);
    this.access.write(offset + 4 * MSI.ADDRESS_LO.word, 4, address % 2 ** 32);
    this.access.write(offset + 4 * MSI.ADDRESS_HI.word, 4, Math.floor(address / 2 ** 32));
    this.access.write(offset + 4 * MSI.DATA.word, 2, data);
    this.set(offset, MSI.MULTIPLE_ENABLE, log2Vectors);
    this.setFlag(offset, MSI.ENABLE, true);
  }

  /** @throws {@link IommuError} `EINVAL` without the capability. */
  disableMsi(): void {
    this.setFlag(this.#msi(), MSI.ENABLE, false);
  }

  /** Holds back (true) or lets go vectors, one bit each. @throws {@link IommuError} `EINVAL` without the capability. */
  maskMsi(vectors: number, masked: boolean): void {
    const offset = this.#msi();
    const mask = this.get(offset, MSI.MASK);
    this.access.write(offset + 4 * MSI.MASK.word, 4, (masked ? mask | vectors : mask & ~vectors) >>> 0);
  }

  /**
   * Resets the function alone. Its configuration is gone. Linux `pcie_flr`.
   * @throws {@link IommuError} `EOPNOTSUPP` if it cannot be.
   */
  reset(): void {
    const offset = this.findCapability(CAP_ID.EXP);
    if (offset === 0 || !this.flag(offset, EXP.FLR))
      throw new IommuError('EOPNOTSUPP', `${this.name}: cannot be reset alone`);
    this.setFlag(offset, EXP.BCR_FLR, true);
  }

  /** Reads a number of the structure at `offset`. */
  protected get(offset: number, field: { readonly word: number; readonly of: (word: number) => number }): number {
    return field.of(this.access.read(offset + 4 * field.word, 4));
  }

  protected flag(offset: number, field: { readonly word: number; readonly of: (word: number) => boolean }): boolean {
    return field.of(this.access.read(offset + 4 * field.word, 4));
  }

  protected set(offset: number, field: ConfigField, value: number): void {
    this.#replace(offset, field, (value << field.shift) >>> 0);
  }

  protected setFlag(offset: number, field: ConfigField, on: boolean): void {
    this.#replace(offset, field, on ? field.mask : 0);
  }

  /** Writes the halves of the word that the field lies in and no other, so that status bits beside it stay. */
  #replace(offset: number, field: ConfigField, inPlace: number): void {
    for (const half of [0, 2] as const) {
      const mask = (field.mask >>> (half * 8)) & 0xffff;
      if (mask === 0) continue;
      const at = offset + 4 * field.word + half;
      this.access.write(at, 2, (this.access.read(at, 2) & ~mask) | ((inPlace >>> (half * 8)) & mask));
    }
  }

  #command(field: ConfigField, on: boolean): void {
    this.setFlag(0, field, on);
  }

  #probe(index: number): { old: number; mask: number } {
    const offset = BAR_OFFSET + 4 * index;
    const old = this.access.read(offset, 4);
    this.access.write(offset, 4, 0xffff_ffff);
    const mask = this.access.read(offset, 4);
    this.access.write(offset, 4, old);
    return { old, mask };
  }

  #msi(): number {
    const offset = this.findCapability(CAP_ID.MSI);
    if (offset === 0) throw new IommuError('EINVAL', `${this.name}: has no MSI capability`);
    return offset;
  }
}
