import type { ConfigAccess, PciAddress, PciFunction } from '@smmu/pci-ats';
import { PciDevice, requesterId } from '@smmu/pci-ats';
import { hex, IommuError, type MmioWindow, type Pa, type SystemMemory } from '@smmu/platform';

/** Where the root complex is in the physical address space. */
export interface PciRootOptions {
  readonly segment: number;
  /** Where the regions of functions are placed. */
  readonly apertureBase: Pa;
  /** A multiple of 4 KiB. */
  readonly apertureBytes: number;
}

/**
 * A root complex with integrated endpoints on bus 0. It carries configuration accesses to functions, and memory accesses
 * of the CPU to whichever function's BAR they fall into; like real ones, it answers ones where nobody does.
 * Linux drivers/pci/probe.c, setup-bus.c.
 */
export class PciRoot implements MmioWindow {
  readonly name = 'pci-aperture';
  readonly size: number;
  readonly segment: number;
  readonly #base: Pa;
  readonly #functions: Map<number, PciFunction> = new Map();
  #nextFree: Pa;

  constructor({ segment, apertureBase, apertureBytes }: PciRootOptions) {
    this.segment = segment;
    this.size = apertureBytes;
    this.#base = apertureBase;
    this.#nextFree = apertureBase;
  }

  /** Makes the aperture answer in `memory`. */
  connect(memory: SystemMemory): void {
    memory.addWindow(this.#base, this);
  }

  /** Plugs a function in. @throws {@link IommuError} `EBUSY` if its place is taken. */
  plug(hardware: PciFunction): void {
    if (this.#functions.has(hardware.requesterId))
      throw new IommuError('EBUSY', `${hardware.name}: there is a function already`);
    this.#functions.set(hardware.requesterId, hardware);
  }

  /** Configuration accesses to one function, whether or not it exists. */
  config(address: PciAddress): ConfigAccess {
    const id = requesterId(address);
    return {
      read: (offset, bytes) => this.#functions.get(id)?.read(offset, bytes) ?? 2 ** (8 * bytes) - 1,
      write: (offset, bytes, value) => this.#functions.get(id)?.write(offset, bytes, value),
    };
  }

  /** Looks at every place of bus 0. Returns the functions found, in order of requester ID. */
  scan(): PciDevice[] {
    const found: PciDevice[] = [];
    for (let device = 0; device < 32; device += 1)
      for (let fn = 0; fn < 8; fn += 1) {
        const address = { segment: this.segment, bus: 0, device, function: fn };
        const access = this.config(address);
        if (access.read(0, 2) !== 0xffff) found.push(new PciDevice(access, address));
      }
    return found;
  }

  /**
   * Gives each of a function's regions a place in the aperture and lets it answer there.
   * @returns The regions' bases, by index of their BAR.
   * @throws {@link IommuError} `ENOSPC` if the aperture is full.
   */
  assign(device: PciDevice): Map<number, Pa> {
    const bases = new Map<number, Pa>();
    for (const bar of device.sizeBars()) {
      const base = Math.ceil(this.#nextFree / bar.bytes) * bar.bytes;
      if (base + bar.bytes > this.#base + this.size)
        throw new IommuError('ENOSPC', `${device.name}: no ${hex(bar.bytes)} bytes left in the PCI aperture`);
      device.assignBar(bar, base);
      bases.set(bar.index, base);
      this.#nextFree = base + bar.bytes;
    }
    device.enableMemory();
    return bases;
  }

  read32(offset: number): number {
    const hit = this.#decode(offset);
    return hit === undefined ? 0xffff_ffff : hit.window.read32(hit.offset);
  }

  write32(offset: number, value: number): void {
    const hit = this.#decode(offset);
    hit?.window.write32(hit.offset, value);
  }

  #decode(offset: number): ReturnType<PciFunction['decode']> {
    for (const hardware of this.#functions.values()) {
      const hit = hardware.decode(this.#base + offset);
      if (hit !== undefined) return hit;
    }
    return undefined;
  }
}
