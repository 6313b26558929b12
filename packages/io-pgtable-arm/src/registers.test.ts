import { describe, expect, it } from 'vitest';
import { board, tableOn } from '../test/board.ts';

const code = (name: string) => expect.objectContaining({ code: name });
const remote = { coherent: false, syncForDevice() {}, syncForCpu() {} };

// Expected values are typed in from IHI 0070 (CD §5.4, STE §5.2), not taken from the tables of @smmu/spec.
describe('what a CD is told', () => {
  it('of a coherent table of 4 KiB pages', () => {
    const table = tableOn(board());
    expect(table.stage1).toEqual({
      ttbr: table.rootPa,
      tcr: { tsz: 16, tg: 0, sh: 3, orgn: 1, irgn: 1, ips: 5, ds: false },
      mairLo: 0xf404_ff44,
      mairHi: 0,
      upper: false,
      aa64: true,
    });
  });

  it.each([
    [12, 0, 2],
    [14, 2, 1],
    [16, 1, 3],
  ] as const)('pages of 2^%i bytes are TG0 %i and TG1 %i', (granuleShift, tg0, tg1) => {
    expect(tableOn(board(), { granuleShift }).stage1.tcr.tg).toBe(tg0);
    const upper = tableOn(board(), { granuleShift, quirks: { ttbr1: true } }).stage1;
    expect([upper.tcr.tg, upper.upper]).toEqual([tg1, true]);
  });

  it.each([
    [32, 0],
    [36, 1],
    [40, 2],
    [42, 3],
    [44, 4],
    [48, 5],
    [52, 6],
  ])('%i bits of output are IPS %i', (oasBits, ips) => {
    expect(tableOn(board(), { iasBits: 32, oasBits }).stage1.tcr.ips).toBe(ips);
    expect(tableOn(board(), { stage: 2, iasBits: 32, oasBits }).stage2.vtcr.ps).toBe(ips);
  });

  it('of walks that do not snoop: not cached, outer shareable, or cached outside', () => {
    expect(tableOn(board(), { coherence: remote }).stage1.tcr).toMatchObject({ sh: 2, orgn: 0, irgn: 0 });
    expect(tableOn(board(), { coherence: remote, quirks: { outerWbwa: true } }).stage1.tcr).toMatchObject({
      sh: 2,
      orgn: 1,
      irgn: 0,
    });
    expect(tableOn(board(), { stage: 2, coherence: remote }).stage2.vtcr).toMatchObject({ sh: 2, orgn: 0, irgn: 0 });
  });

  it('of 52 bits: DS with 4 and 16 KiB pages, not with 64', () => {
    expect(tableOn(board(), { oasBits: 52 }).stage1.tcr.ds).toBe(true);
    expect(tableOn(board(), { granuleShift: 14, iasBits: 52, oasBits: 48 }).stage1.tcr.ds).toBe(true);
    expect(tableOn(board(), { granuleShift: 16, oasBits: 52 }).stage1.tcr.ds).toBe(false);
    expect(tableOn(board(), { iasBits: 52, oasBits: 52 }).stage1.tcr.tsz).toBe(12);
  });

  it('of AArch32 LPAE', () => {
    const { stage1 } = tableOn(board(), { format: 'aarch32', iasBits: 32, oasBits: 40 });
    expect([stage1.tcr.tsz, stage1.aa64]).toEqual([0, false]);
  });
});

describe('what an STE is told', () => {
  it.each([
    // granule, input, output, join, S2SL0, S2SL0_2
    [12, 48, 48, false, 2, false],
    [12, 39, 48, false, 1, false],
    [12, 34, 48, true, 0, false],
    [12, 52, 52, false, 0, true],
    [12, 52, 52, true, 2, false],
    [14, 48, 48, false, 2, false],
    [14, 52, 52, false, 3, false],
    [14, 36, 48, false, 1, false],
    [16, 48, 48, false, 2, false],
    [16, 42, 48, false, 1, false],
    [16, 32, 48, true, 0, false],
  ] as const)(
    '2^%i bytes, %i to %i bits, join %s: S2SL0 %i',
    (granuleShift, iasBits, oasBits, concatenate, sl, sl2) => {
      const table = tableOn(board(), { stage: 2, granuleShift, iasBits, oasBits, concatenate });
      expect(table.stage2.vtcr).toMatchObject({
        sl,
        sl2,
        tsz: 64 - iasBits,
        tg: { 12: 0, 14: 2, 16: 1 }[granuleShift],
        sh: 3,
        orgn: 1,
        irgn: 1,
      });
      expect(table.stage2.vttbr).toBe(table.rootPa);
      expect(table.stage2.aa64).toBe(true);
    },
  );

  it.each([
    [32, 0],
    [40, 8], // -8
    [34, 14], // -2
  ])('AArch32 LPAE with %i bits of input is T0SZ %i', (iasBits, tsz) => {
    const { stage2 } = tableOn(board(), { format: 'aarch32', stage: 2, iasBits, oasBits: 40 });
    expect([stage2.vtcr.tsz, stage2.aa64]).toEqual([tsz, false]);
  });
});

describe('quirks that contradict the table are refused', () => {
  it.each([
    ['s2fwb at stage 1', { quirks: { s2fwb: true } }],
    ['ns at stage 2', { stage: 2, quirks: { ns: true } }],
    ['ttbr1 at stage 2', { stage: 2, quirks: { ttbr1: true } }],
    ['outerWbwa at stage 2', { stage: 2, coherence: remote, quirks: { outerWbwa: true } }],
    ['table limits at stage 2', { stage: 2, tableLimits: { noExec: true } }],
    ['outerWbwa for a walker that snoops', { quirks: { outerWbwa: true } }],
  ] as const)('%s', (_, options) => {
    expect(() => tableOn(board(), options)).toThrow(code('EINVAL'));
  });
});
