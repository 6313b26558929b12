import { describe, expect, it } from 'vitest';
import { coherentDma, NonCoherentDma } from './coherence.ts';
import { SystemMemory } from './systemMemory.ts';

const RAM = 2 ** 21;
const memory = () => new SystemMemory([{ base: RAM, size: 2 ** 21 }]);

describe('NonCoherentDma: stores travel only by a sync', () => {
  it('keeps the CPU and the device apart until then, each way', () => {
    const [cpu, device] = [memory(), memory()];
    const dma = new NonCoherentDma(cpu, device);
    cpu.write32(RAM, 1);
    cpu.write32(RAM + 64, 2);
    expect(device.read32(RAM) && device.lo).toBe(0);
    dma.syncForDevice(RAM, 4);
    expect(device.read32(RAM) && device.lo).toBe(1);
    expect(device.read32(RAM + 64) && device.lo).toBe(0); // not asked for
    device.write32(RAM, 3);
    expect(cpu.read32(RAM) && cpu.lo).toBe(1);
    dma.syncForCpu(RAM, 4);
    expect(cpu.read32(RAM) && cpu.lo).toBe(3);
    expect([dma.syncedBytes, dma.coherent]).toEqual([8, false]);
  });
  it('says so where one side has no memory (EFAULT), and counts nothing', () => {
    const other = new SystemMemory([{ base: 2 * RAM, size: 2 ** 21 }]);
    const dma = new NonCoherentDma(memory(), other);
    expect(() => dma.syncForDevice(RAM, 8)).toThrow(expect.objectContaining({ code: 'EFAULT' }));
    expect(() => dma.syncForCpu(RAM, 8)).toThrow('sync of 8 bytes at 0x200000: not all of it is memory on both sides');
    expect(dma.syncedBytes).toBe(0);
  });
  it('has nothing to do where the device snoops', () => {
    expect(coherentDma.coherent).toBe(true);
    coherentDma.syncForDevice(RAM, 4);
    coherentDma.syncForCpu(RAM, 4);
  });
});
