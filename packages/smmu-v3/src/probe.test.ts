import { Registers, SystemMemory } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { fakeBoard, IDR0, RAM_BASE, RAM_BYTES, REG } from '../test/fakeSmmu.ts';
import { probeFeatures } from './probe.ts';

const probe = (registers: Partial<Record<keyof typeof REG, number>> = {}) => {
  const board = fakeBoard();
  for (const [name, value] of Object.entries(registers)) board.hardware.set(REG[name as keyof typeof REG], value);
  return { features: probeFeatures(board.registers, board.log), lines: board.lines };
};
const LEAST = IDR0.S1P + IDR0.TTF64; // stage 1, AArch64, nothing else
const IDR1_LEAST = (3 << 21) | 1;
const IDR5_LEAST = 1 << 4;

describe('probeFeatures', () => {
  it('reads QEMU 11.1’s ID registers as that machine’s features', () => {
    const { features } = probe({ IDR0: 0x0d44_101b, IDR1: 0x0273_0010, IDR3: 0x1414, IDR5: 0x74, AIDR: 1 });
    expect(features).toMatchObject({
      architecture: 'v3.1',
      stage1: true,
      stage2: true,
      twoLevelStrtab: true,
      twoLevelCdtab: false,
      stalls: 'none',
      coherent: true,
      asidBits: 16,
      vmidBits: 16,
      sidBits: 16,
      ssidBits: 0,
      oasBits: 44,
      oas: 4,
      vaBits: 48,
      granules: [12, 14, 16],
      rangeInv: true,
      bbmLevel: 2,
      ats: false,
      pri: false,
      msi: false,
      cmdqLog2Max: 19,
      evtqLog2Max: 19,
    });
  });
  it('reads the least that can be driven', () => {
    const { features } = probe({ IDR0: LEAST, IDR1: IDR1_LEAST, IDR5: IDR5_LEAST, AIDR: 0 });
    expect(features).toMatchObject({
      stage2: false,
      twoLevelStrtab: false,
      stalls: 'selectable',
      coherent: false,
      asidBits: 8,
      vmidBits: 8,
      granules: [12],
      oasBits: 32,
      httu: 0,
    });
  });
  it.each([
    ['ATS, PRI', { IDR0: LEAST + IDR0.ATS + IDR0.PRI }, { ats: true, pri: true }],
    ['PRI is nothing without ATS', { IDR0: LEAST + IDR0.PRI }, { ats: false, pri: false }],
    ['HTTU', { IDR0: LEAST + IDR0.HTTU2 }, { httu: 2 }],
    ['EL2, BTM, MSI', { IDR0: LEAST + IDR0.HYP + IDR0.BTM + IDR0.MSI }, { hyp: true, btm: true, msi: true }],
    ['stalls forced', { IDR0: LEAST + IDR0.STALL_FORCED }, { stalls: 'forced' }],
    ['52-bit input', { IDR5: IDR5_LEAST | (1 << 10) }, { vaBits: 52 }],
    ['52-bit layout', { IDR5: IDR5_LEAST | (1 << 7) | 6 }, { ds: true, oasBits: 52 }],
    ['stage 2 alone has no substreams', { IDR0: IDR0.S2P + IDR0.TTF64 }, { stage1: false, ssidBits: 0 }],
  ] as const)('%s', (_name, registers, features) => {
    expect(probe(registers).features).toMatchObject(features);
  });
  it('an output size beyond 52 bits is used as 52', () => {
    const { features, lines } = probe({ IDR5: IDR5_LEAST | 7 });
    expect(features.oasBits).toBe(52);
    expect(lines).toEqual(['output address size of 56 bits: using 52']);
  });
  it.each([
    ['ENODEV', /IDR0 reads 0x00000000/, { IDR0: 0 }],
    ['ENODEV', /IDR0 reads 0xffffffff/, { IDR0: 0xffff_ffff }],
    ['ENXIO', /architecture other than SMMUv3/, { AIDR: 0x10 }],
    ['ENXIO', /fixed by the implementation/, { IDR1: IDR1_LEAST | (1 << 30) }],
    ['ENXIO', /fixed by the implementation/, { IDR1: IDR1_LEAST | (1 << 29) }],
    ['ENXIO', /big-endian/, { IDR0: LEAST + 3 * 2 ** 21 }],
    ['ENXIO', /AArch64/, { IDR0: IDR0.S1P + 4 }],
    ['ENXIO', /neither stage/, { IDR0: IDR0.TTF64 }],
    ['ENXIO', /stall model/, { IDR0: LEAST + 3 * 2 ** 24 }],
    ['ENXIO', /1 entries, 2 are needed/, { IDR1: 1 }],
    ['ENXIO', /SIDSIZE 33/, { IDR1: (3 << 21) | 33 }],
    ['ENXIO', /no page size/, { IDR5: 5 }],
  ] as const)('refuses with %s: %s', (code, message, registers) => {
    expect(() => probe(registers)).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }));
  });
  it('where nothing answers the bus aborts', () => {
    const memory = new SystemMemory([{ base: RAM_BASE, size: RAM_BYTES }]);
    expect(() => probeFeatures(new Registers(memory, 0x1000), () => {})).toThrow(
      expect.objectContaining({ code: 'EFAULT' }),
    );
  });
});
