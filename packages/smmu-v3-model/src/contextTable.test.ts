/** From a SubstreamID to its CD: IHI 0070 §3.3.2, §5.2, §5.3, §7.3.7, §7.3.9, §7.3.10. Dwords typed by hand. */
import { DMA_ABORT, NO_SUBSTREAM } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import {
  CD_PLAIN,
  CDTAB,
  DATA,
  Rig,
  S2_PLAIN,
  S2_RW,
  STE_BYPASS,
  STE_NESTED,
  STE_S1,
  STE_S2,
  STE_V,
  USER_RW,
} from '../test/rig.ts';

const C_BAD_STE = -0x04;
const F_STREAM_DISABLED = -0x06;
const C_BAD_SUBSTREAMID = -0x08;
const F_CD_FETCH = -0x09;
const C_BAD_CD = -0x0a;
const VA = 0x1234_5000n;
const HOLE = 0x1_0000_0000n;

/** A CD at an address whose tables map VA to a page of its own. Returns that page. */
function cdAt(rig: Rig, pa: number, asid: number): number {
  const ttb = rig.table();
  const page = rig.table();
  rig.map(ttb, VA, BigInt(page) | USER_RW);
  rig.put(pa, CD_PLAIN | (BigInt(asid) << 48n), BigInt(ttb), 0n, 0xffn, 0n, 0n, 0n, 0n);
  return page;
}
const ste = (cdMax: number, format: number, dss: number, table = CDTAB): [bigint, bigint] => [
  STE_V | STE_S1 | (BigInt(format) << 4n) | BigInt(table) | (BigInt(cdMax) << 59n),
  BigInt(dss),
];

describe('S1CDMax=0: one CD', () => {
  it('serves traffic without a SubstreamID; any SubstreamID is C_BAD_SUBSTREAMID', () => {
    const rig = new Rig();
    const page = cdAt(rig, CDTAB, 1);
    rig.ste(1, ...ste(0, 0, 0));
    expect(rig.translate(1, VA)).toBe(page);
    expect(rig.translate(1, VA, false, 0)).toBe(C_BAD_SUBSTREAMID);
    expect(rig.dma(1, VA, false, 5)).toBe(DMA_ABORT);
    // No SSV bit: the SubstreamID is always valid (§7.3.9).
    expect(rig.events()).toEqual([[0x0000_0001_0000_5008n, 0n, 0n, 0n]]);
  });

  it('S1DSS and S1Fmt do not matter', () => {
    const rig = new Rig();
    const page = cdAt(rig, CDTAB, 1);
    rig.ste(1, ...ste(0, 1, 2));
    expect(rig.translate(1, VA)).toBe(page);
  });
});

describe('SubstreamIDs where there can be none', () => {
  it.each([
    ['bypass', STE_BYPASS, 0n],
    ['stage 2 only', STE_S2, S2_PLAIN],
  ])('Config of %s: C_BAD_SUBSTREAMID', (_, config, dword2) => {
    const rig = new Rig();
    rig.ste(1, STE_V | config, 0n, dword2, BigInt(rig.table()));
    expect(rig.translate(1, VA, false, 1)).toBe(C_BAD_SUBSTREAMID);
  });
  it('an illegal STE comes first', () => {
    const rig = new Rig();
    expect(rig.translate(1, VA, false, 1)).toBe(C_BAD_STE);
  });
});

describe('traffic without a SubstreamID where there are several CDs', () => {
  it.each([0, 3])('S1DSS=%d: F_STREAM_DISABLED, a record with nothing but the StreamID', (dss) => {
    const rig = new Rig();
    cdAt(rig, CDTAB, 1);
    rig.ste(1, ...ste(4, 0, dss));
    expect(rig.dma(1, VA)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([[0x0000_0001_0000_0006n, 0n, 0n, 0n]]);
  });

  it('S1DSS=1: stage 1 is skipped; SubstreamID 0 is an ordinary one', () => {
    const rig = new Rig();
    const page = cdAt(rig, CDTAB, 1);
    rig.ste(1, ...ste(4, 0, 1));
    expect(rig.translate(1, VA)).toBe(Number(VA));
    expect(rig.translate(1, VA, false, 0)).toBe(page);
  });

  it('S1DSS=2: it uses CD 0, and an explicit SubstreamID 0 is F_STREAM_DISABLED', () => {
    const rig = new Rig();
    const page = cdAt(rig, CDTAB, 1);
    rig.ste(1, ...ste(4, 0, 2));
    expect(rig.translate(1, VA)).toBe(page);
    expect(rig.translate(1, VA, false, 0)).toBe(F_STREAM_DISABLED);
  });

  it('S1DSS=1 on a nested stream leaves stage 2', () => {
    const rig = new Rig();
    const s2 = rig.table();
    rig.map(s2, VA, BigInt(DATA) | S2_RW);
    rig.ste(1, STE_V | STE_NESTED | BigInt(CDTAB) | (4n << 59n), 1n, S2_PLAIN, BigInt(s2));
    expect(rig.translate(1, VA)).toBe(DATA);
  });
});

describe('linear table', () => {
  it('the CD is at base + 64 × SubstreamID, up to 2^S1CDMax', () => {
    const rig = new Rig();
    const page = cdAt(rig, CDTAB + 15 * 64, 1);
    rig.ste(1, ...ste(4, 0, 0));
    expect(rig.translate(1, VA, false, 15)).toBe(page);
    expect(rig.translate(1, VA, false, 14)).toBe(C_BAD_CD);
    expect(rig.translate(1, VA, false, 16)).toBe(C_BAD_SUBSTREAMID);
    expect(rig.translate(1, VA, false, 0xf_ffff)).toBe(C_BAD_SUBSTREAMID);
  });

  it('base bits below the size of the table count as zero', () => {
    const rig = new Rig();
    const page = cdAt(rig, CDTAB + 3 * 64, 1);
    rig.ste(1, ...ste(4, 0, 0, CDTAB + 0x240));
    expect(rig.translate(1, VA, false, 3)).toBe(page);
  });

  it('an external abort is F_CD_FETCH with its address, SubstreamID and SSV', () => {
    const rig = new Rig();
    rig.ste(1, STE_V | STE_S1 | HOLE | (4n << 59n));
    expect(rig.dma(1, VA, false, 3)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([[0x0000_0001_0000_3809n, 0n, 0n, HOLE + 3n * 64n]]);
  });
});

describe('two-level table', () => {
  it.each([
    [1, 64],
    [2, 1024],
  ])('S1Fmt=%d: leaves of %d CDs', (format, leafCds) => {
    const rig = new Rig();
    const leaf = rig.table(leafCds * 64);
    rig.put(CDTAB + 2 * 8, BigInt(leaf) | 1n);
    const ssid = 2 * leafCds + leafCds - 1;
    const page = cdAt(rig, leaf + (leafCds - 1) * 64, 1);
    rig.ste(1, ...ste(14, format, 0));
    expect(rig.translate(1, VA, false, ssid)).toBe(page);
    expect(rig.translate(1, VA, false, ssid - 1)).toBe(C_BAD_CD);
    expect(rig.translate(1, VA, false, ssid + 1)).toBe(C_BAD_SUBSTREAMID); // L1CD.V=0
  });

  it('L2Ptr bits below the size of a 64 KiB leaf count as zero', () => {
    const rig = new Rig();
    const leaf = rig.table(0x10000);
    rig.put(CDTAB, BigInt(leaf + 0x3000) | 1n);
    const page = cdAt(rig, leaf + 64, 1);
    rig.ste(1, ...ste(10, 2, 0));
    expect(rig.translate(1, VA, false, 1)).toBe(page);
  });

  it('L2Ptr beyond the output size is C_BAD_SUBSTREAMID', () => {
    const rig = new Rig();
    rig.put(CDTAB, (1n << 50n) | 1n);
    rig.ste(1, ...ste(10, 1, 0));
    expect(rig.translate(1, VA, false, 1)).toBe(C_BAD_SUBSTREAMID);
  });

  it('an abort on either level is F_CD_FETCH with that address', () => {
    const rig = new Rig();
    rig.ste(1, STE_V | STE_S1 | HOLE | (1n << 4n) | (10n << 59n));
    expect(rig.dma(1, VA, false, 130)).toBe(DMA_ABORT);
    expect(rig.events()[0]![3]).toBe(HOLE + 16n);
    rig.put(CDTAB + 16, HOLE | 1n);
    rig.ste(2, ...ste(10, 1, 0));
    expect(rig.dma(2, VA, false, 130)).toBe(DMA_ABORT);
    expect(rig.events()[0]![3]).toBe(HOLE + 128n);
  });
});

describe('the configuration cache (§4.3.3, §4.3.4)', () => {
  const cfgiCd = (sid: number, ssid: number, leaf: boolean): [bigint, bigint] => [
    0x05n | (BigInt(ssid) << 12n) | (BigInt(sid) << 32n),
    leaf ? 1n : 0n,
  ];

  it('a CD stays, valid or not, until a CFGI_CD of its stream and index', () => {
    const rig = new Rig();
    rig.ste(1, ...ste(4, 0, 0));
    expect(rig.translate(1, VA, false, 3)).toBe(C_BAD_CD);
    const page = cdAt(rig, CDTAB + 3 * 64, 1);
    rig.run(cfgiCd(1, 2, true), cfgiCd(2, 3, true));
    expect(rig.translate(1, VA, false, 3)).toBe(C_BAD_CD);
    rig.run(cfgiCd(1, 3, true));
    expect(rig.translate(1, VA, false, 3)).toBe(page);
  });

  it('a single CD is index 0', () => {
    const rig = new Rig();
    rig.ste(1, ...ste(0, 0, 0));
    expect(rig.translate(1, VA)).toBe(C_BAD_CD);
    const page = cdAt(rig, CDTAB, 1);
    rig.run(cfgiCd(1, 0, true));
    expect(rig.translate(1, VA)).toBe(page);
  });

  it('a level 1 entry goes with Leaf=0 only', () => {
    const rig = new Rig();
    rig.ste(1, ...ste(10, 1, 0));
    expect(rig.translate(1, VA, false, 70)).toBe(C_BAD_SUBSTREAMID);
    const leaf = rig.table();
    rig.put(CDTAB + 8, BigInt(leaf) | 1n);
    const page = cdAt(rig, leaf + 6 * 64, 1);
    rig.run(cfgiCd(1, 70, true));
    expect(rig.translate(1, VA, false, 70)).toBe(C_BAD_SUBSTREAMID);
    rig.run(cfgiCd(1, 70, false));
    expect(rig.translate(1, VA, false, 70)).toBe(page);
  });

  it.each<[string, [bigint, bigint]]>([
    ['CFGI_CD_ALL', [0x06n | (1n << 32n), 0n]],
    ['CFGI_STE', [0x03n | (1n << 32n), 1n]],
    ['CFGI_ALL', [0x04n, 31n]],
  ])('%s drops every CD and level 1 entry of the stream', (_, command) => {
    const rig = new Rig();
    rig.ste(1, ...ste(10, 1, 0));
    expect(rig.translate(1, VA, false, 70)).toBe(C_BAD_SUBSTREAMID);
    const leaf = rig.table();
    rig.put(CDTAB + 8, BigInt(leaf) | 1n);
    const page = cdAt(rig, leaf + 6 * 64, 1);
    rig.run(command);
    expect(rig.translate(1, VA, false, 70)).toBe(page);
  });

  it('CDs that two streams share are kept for each', () => {
    const rig = new Rig();
    rig.ste(1, ...ste(0, 0, 0));
    rig.ste(2, ...ste(0, 0, 0));
    expect([rig.translate(1, VA), rig.translate(2, VA)]).toEqual([C_BAD_CD, C_BAD_CD]);
    const page = cdAt(rig, CDTAB, 1);
    rig.run([0x06n | (1n << 32n), 0n]);
    expect([rig.translate(1, VA), rig.translate(2, VA)]).toEqual([page, C_BAD_CD]);
  });

  it('an SMMU may keep valid entries only', () => {
    const rig = new Rig({ features: { cacheInvalidConfig: false } });
    rig.ste(1, ...ste(10, 1, 0));
    expect(rig.translate(1, VA, false, 1)).toBe(C_BAD_SUBSTREAMID);
    const leaf = rig.table();
    rig.put(CDTAB, BigInt(leaf) | 1n);
    expect(rig.translate(1, VA, false, 1)).toBe(C_BAD_CD);
    const page = cdAt(rig, leaf + 64, 1);
    expect(rig.translate(1, VA, false, 1)).toBe(page);
  });
});

describe('a nested stream keeps its CDs in intermediate memory (§7.3.22)', () => {
  /** CDs at IPA 0x7000_0000, which stage 2 maps to `pa` with `attributes`; the rest one to one. */
  function nested(attributes: bigint | null, s2Dword2 = S2_PLAIN): { rig: Rig; s2: number } {
    const rig = new Rig();
    const s2 = rig.table();
    rig.map(s2, 0x4000_0000n, 0x4000_0000n | (S2_RW & ~2n), 1); // the first GiB from there, one to one
    if (attributes !== null) rig.map(s2, 0x8000_0000n, BigInt(CDTAB) | attributes);
    rig.ste(1, STE_V | STE_NESTED | 0x8000_0000n, 0n, s2Dword2, BigInt(s2));
    return { rig, s2 };
  }

  it('the CD is read through stage 2', () => {
    const { rig } = nested(S2_RW);
    const page = cdAt(rig, CDTAB, 1);
    expect(rig.translate(1, VA)).toBe(page);
  });

  it.each<[string, bigint | null, bigint, bigint]>([
    ['F_TRANSLATION', null, 0x10n, S2_PLAIN],
    ['F_ACCESS', S2_RW & ~(1n << 10n), 0x12n, S2_PLAIN],
    ['F_PERMISSION', S2_RW & ~(1n << 6n), 0x13n, S2_PLAIN],
    ['F_PERMISSION by S2PTW=1 and Device memory', S2_RW & ~(15n << 2n), 0x13n, S2_PLAIN | (1n << 54n)],
    ['F_ADDR_SIZE', S2_RW | (1n << 46n), 0x11n, (S2_PLAIN & ~(7n << 48n)) | (4n << 48n)],
  ])('%s of stage 2: S2=1, CLASS=CD, the IPA of the fetch', (_, attributes, code, dword2) => {
    const { rig } = nested(attributes, dword2);
    expect(rig.dma(1, VA)).toBe(DMA_ABORT);
    // S2 is bit 39 of dword 1, RnW 35, CLASS 41:40 (0: CD).
    expect(rig.events()).toEqual([[(1n << 32n) | code, 0x88n << 32n, VA, 0x8000_0000n]]);
  });

  it('Device memory is fine with S2PTW=0', () => {
    const { rig } = nested(S2_RW & ~(15n << 2n));
    const page = cdAt(rig, CDTAB, 1);
    expect(rig.translate(1, VA)).toBe(page);
  });

  it('an abort of the stage 2 walk is F_WALK_EABT with S2=1, CLASS=CD', () => {
    const { rig, s2 } = nested(null);
    rig.put(s2, HOLE | 3n);
    expect(rig.dma(1, VA)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([[(1n << 32n) | 0x0bn, 0x88n << 32n, VA, HOLE + 2n * 8n]]);
  });

  it('an abort of the fetch itself is F_CD_FETCH with the physical address', () => {
    const { rig, s2 } = nested(null);
    rig.map(s2, 0x8000_0000n, HOLE | S2_RW);
    expect(rig.dma(1, VA)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([[(1n << 32n) | 0x09n, 0n, 0n, HOLE]]);
  });

  it('a pointer beyond the IPA size is F_TRANSLATION of stage 2 (§3.4.3)', () => {
    const rig = new Rig({ features: { oasBits: 44 } });
    const s2 = rig.table();
    const dword2 = (S2_PLAIN & ~(0x3fn << 32n)) | (20n << 32n);
    rig.ste(1, STE_V | STE_NESTED | (1n << 46n), 0n, dword2, BigInt(s2));
    expect(rig.translate(1, VA)).toBe(-0x10);
    expect(rig.model.translator.fault.klass).toBe(0);
  });
});

it('F_CD_FETCH beyond the output size on a stage 1 stream', () => {
  const rig = new Rig({ features: { oasBits: 32 } });
  rig.ste(1, ...ste(4, 0, 0, 0xffff_fc00));
  expect(rig.translate(1, VA, false, 15)).toBe(F_CD_FETCH);
  expect(rig.translate(1, VA, false, NO_SUBSTREAM)).toBe(F_STREAM_DISABLED);
});
