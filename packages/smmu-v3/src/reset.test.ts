import { describe, expect, it } from 'vitest';
import { fakeDevice } from '../test/fakeDevice.ts';
import { fakeBoard, IDR0, IDR0_PLAIN, REG } from '../test/fakeSmmu.ts';
import type { SmmuFeatures } from './probe.ts';
import { Queue } from './queue.ts';
import { disableDevice, type ResetOptions, resetDevice, updateGbpa } from './reset.ts';
import { StreamTable } from './strtab.ts';

function make(features: Partial<SmmuFeatures> = {}, device: { e2h?: boolean; broadcastTlb?: boolean } = {}) {
  const { board, smmu } = fakeDevice({ features, ...device });
  const queue = (name: string, entryBytes: number) => new Queue({ ...board, name, log2Entries: 3, entryBytes });
  const options: ResetOptions = {
    strtab: new StreamTable({ ...board, sidBits: 16, twoLevel: true }),
    evtq: queue('evtq', 32),
    priq: features.pri ? queue('priq', 16) : undefined,
    connectInterrupts: () => board.lines.push('connect'),
  };
  board.hardware.writes = [];
  return { board, smmu, options, hardware: board.hardware };
}
const NAMES = new Map(Object.entries(REG).map(([name, offset]) => [offset as number, name]));
const named = (writes: { offset: number; value: number }[]) =>
  writes.map(({ offset, value }) => `${NAMES.get(offset) ?? `0x${offset.toString(16)}`}=0x${value.toString(16)}`);

describe('resetDevice', () => {
  it('turns everything off, then on, each in its turn (§6.3, rules of initialisation)', () => {
    const { smmu, options, hardware } = make();
    resetDevice(smmu, options);
    const evtq = options.evtq.base;
    expect(named(hardware.writes)).toEqual([
      'GBPA=0x80100000',
      'IRQ_CTRL=0x0',
      'CR0=0x0',
      'CR1=0xd75', // tables and queues: inner shareable, write-back
      'CR2=0x6', // RECINVSID, PTM
      `STRTAB_BASE=0x${options.strtab.base.toString(16)}`,
      '0x84=0x40000000',
      'STRTAB_BASE_CFG=0x10210',
      'GERRORN=0x0',
      `CMDQ_BASE=0x${(smmu.cmdq.queue.base + 6).toString(16)}`,
      '0x94=0x40000000',
      'CMDQ_PROD=0x0',
      'CMDQ_CONS=0x0',
      'CR0=0x8',
      'CMDQ_PROD=0x2',
      'CMDQ_PROD=0x4',
      `EVENTQ_BASE=0x${(evtq + 3).toString(16)}`,
      '0xa4=0x40000000',
      'EVENTQ_PROD=0x0',
      'EVENTQ_CONS=0x0',
      'CR0=0xc',
      'IRQ_CTRL=0x5',
      'CR0=0xd',
    ]);
    expect(hardware.take()).toEqual(['CMD_CFGI_STE_RANGE', 'CMD_SYNC', 'CMD_TLBI_NSNH_ALL', 'CMD_SYNC']);
    expect(hardware.at(REG.CR0ACK)).toBe(0xd);
  });
  it('does not change CR0 again before it was followed (§6.3.9)', () => {
    const { smmu, options, hardware, board } = make();
    let written = -1;
    const write32 = hardware.write32.bind(hardware);
    hardware.write32 = (offset, value) => {
      if (offset === REG.CR0) {
        if (written >= 0) expect(hardware.at(REG.CR0ACK)).toBe(written);
        written = value;
      }
      write32(offset, value);
    };
    resetDevice(smmu, options);
    expect(board.lines).toContain('connect');
  });
  it('with PRI and ATS: the PRI queue, its interrupt, and checks of translated traffic', () => {
    const { smmu, options, hardware } = make({ pri: true, ats: true });
    resetDevice(smmu, options);
    expect(named(hardware.writes).filter((line) => line.startsWith('CR0='))).toEqual([
      'CR0=0x0',
      'CR0=0x8',
      'CR0=0xc',
      'CR0=0xe',
      'CR0=0x1e',
      'CR0=0x1f',
    ]);
    expect(named(hardware.writes)).toContain('IRQ_CTRL=0x7');
    expect(named(hardware.writes)).toContain(`PRIQ_BASE=0x${(options.priq!.base + 3).toString(16)}`);
  });
  it('with EL2 its translations go as well, and CR2 says which world the driver is in', () => {
    const { smmu, options, hardware } = make({ hyp: true }, { e2h: true, broadcastTlb: true });
    resetDevice(smmu, options);
    expect(hardware.take()).toEqual([
      'CMD_CFGI_STE_RANGE',
      'CMD_SYNC',
      'CMD_TLBI_EL2_ALL',
      'CMD_TLBI_NSNH_ALL',
      'CMD_SYNC',
    ]);
    expect(named(hardware.writes)).toContain('CR2=0x3');
  });
  it('an SMMU that is still on is told of, and aborts traffic meanwhile', () => {
    const { smmu, options, hardware, board } = make();
    hardware.set(REG.CR0, 9);
    resetDevice(smmu, options);
    expect(board.lines[0]).toBe('SMMU currently enabled! Resetting...');
    expect(hardware.writes[0]).toEqual({ offset: REG.GBPA, value: 0x8010_0000 });
  });
  it('errors of an earlier owner are acknowledged, else the queue would not start', () => {
    const { smmu, options, hardware } = make();
    hardware.set(REG.GERROR, 5);
    resetDevice(smmu, options);
    expect(hardware.at(REG.GERRORN)).toBe(5);
  });
  it('interrupts can be messages; without targets they are wires', () => {
    const { smmu, options, hardware } = make({ msi: true, pri: true });
    const target = (data: number) => ({ address: 0x1_0802_0040, data });
    resetDevice(smmu, { ...options, msis: { eventq: target(70), priq: target(71), gerror: target(72) } });
    for (const [offset, data] of [
      [0xb0, 70],
      [0xd0, 71],
      [0x68, 72],
    ] as const) {
      expect([0, 4, 8, 12].map((more) => hardware.at(offset + more))).toEqual([0x0802_0040, 1, data, 1]);
    }
    const wired = make({ msi: true, pri: true });
    wired.hardware.set(0xb0, 0xdead);
    resetDevice(wired.smmu, wired.options);
    expect(wired.hardware.at(0xb0)).toBe(0);
  });
  it.each([
    ['CR0', REG.CR0, /CR0 0x00000000 was not followed/],
    ['IRQ_CTRL', REG.IRQ_CTRL, /IRQ_CTRL 0x00000000 was not followed/],
    ['GBPA', REG.GBPA, /GBPA not responding/],
  ])('%s that does not follow is a timeout', (_name, offset, message) => {
    const { smmu, options, hardware } = make();
    hardware.deaf.add(offset);
    hardware.set(REG.CR0ACK, 9);
    hardware.set(REG.IRQ_CTRLACK, 1);
    hardware.set(REG.GBPA, 0x8000_0000);
    if (offset !== REG.GBPA) hardware.set(REG.GBPA, 0);
    expect(() => resetDevice(smmu, options)).toThrow(
      expect.objectContaining({ code: 'ETIMEDOUT', message: expect.stringMatching(message) }),
    );
  });
  it('GBPA whose update never ends is a timeout too', () => {
    const { smmu, hardware } = make();
    const write32 = hardware.write32.bind(hardware);
    hardware.write32 = (offset, value) => (offset === REG.GBPA ? hardware.set(offset, value) : write32(offset, value));
    expect(() => updateGbpa(smmu, 0, 0)).toThrow(expect.objectContaining({ code: 'ETIMEDOUT' }));
  });
  it('a command queue that is not consumed is a timeout', () => {
    const { smmu, options, hardware } = make();
    hardware.hung = true;
    expect(() => resetDevice(smmu, options)).toThrow(
      expect.objectContaining({ code: 'ETIMEDOUT', message: expect.stringMatching(/does not take commands/) }),
    );
  });
});

describe('updateGbpa', () => {
  it('sets and clears bits, leaving the others, with the Update handshake (§6.3.14)', () => {
    const { board, smmu } = fakeDevice();
    board.hardware.set(REG.GBPA, 0x1234);
    updateGbpa(smmu, 0x10_0000, 0x200);
    expect(board.hardware.at(REG.GBPA)).toBe(0x10_1034);
  });
});

describe('disableDevice', () => {
  it('switches interrupts and everything else off', () => {
    const { board, smmu } = fakeDevice({ board: fakeBoard() });
    board.hardware.set(REG.IRQ_CTRL, 7);
    disableDevice(smmu);
    expect([REG.IRQ_CTRLACK, REG.CR0ACK].map((offset) => board.hardware.at(offset))).toEqual([0, 0]);
  });
  it('knows the fake’s plain SMMU', () => expect(IDR0_PLAIN & IDR0.COHACC).toBe(IDR0.COHACC));
});
