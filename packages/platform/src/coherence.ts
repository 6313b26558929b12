import { hex, type Pa } from './address.ts';
import { IommuError } from './errors.ts';
import type { PhysicalMemory } from './physicalMemory.ts';

/**
 * Whether a device sees the CPU's stores by itself. Named after the kernel's DMA API: whoever writes memory that a
 * non-coherent device reads calls {@link syncForDevice} afterwards, and {@link syncForCpu} before reading what it wrote.
 */
export interface DmaCoherence {
  readonly coherent: boolean;
  /** Makes the CPU's stores to `bytes` bytes at `pa` visible to the device (Linux `dma_sync_single_for_device`). */
  syncForDevice(pa: Pa, bytes: number): void;
  /** Makes the device's stores visible to the CPU (Linux `dma_sync_single_for_cpu`). */
  syncForCpu(pa: Pa, bytes: number): void;
}

/** A device that snoops the CPU's caches: both calls do nothing. */
export const coherentDma: DmaCoherence = { coherent: true, syncForDevice() {}, syncForCpu() {} };

/** A device that does not snoop: the CPU works on `cpu`, the device on `device`, and a sync copies between them. Both calls throw `EFAULT` for what is not memory on both sides. */
export class NonCoherentDma implements DmaCoherence {
  readonly coherent = false;
  /** Bytes moved by either call, so that a test can tell a missing sync from a needless one. */
  syncedBytes = 0;
  readonly #cpu: PhysicalMemory;
  readonly #device: PhysicalMemory;
  constructor(cpu: PhysicalMemory, device: PhysicalMemory) {
    this.#cpu = cpu;
    this.#device = device;
  }
  syncForDevice(pa: Pa, bytes: number): void {
    this.#copy(this.#cpu, this.#device, pa, bytes);
  }
  syncForCpu(pa: Pa, bytes: number): void {
    this.#copy(this.#device, this.#cpu, pa, bytes);
  }
  #copy(from: PhysicalMemory, to: PhysicalMemory, pa: Pa, bytes: number): void {
    const buffer = new Uint8Array(bytes);
    if (!from.readBytes(pa, buffer, 0, bytes) || !to.writeBytes(pa, buffer, 0, bytes))
      throw new IommuError('EFAULT', `sync of ${bytes} bytes at ${hex(pa)}: not all of it is memory on both sides`);
    this.syncedBytes += bytes;
  }
}
