/** ID registers, IHI 0070 §6.3.1 to §6.3.8. Words and bits here are typed from the architecture's text and from real SMMUs. */
import { describe, expect, it } from 'vitest';
import {
  decodeAddressBits,
  FULL,
  features,
  idWords,
  KUNPENG,
  LARGE,
  type ModelFeatures,
  QEMU,
  SMALL,
} from './features.ts';

const words = (f: Partial<ModelFeatures>): number[] => [...idWords(features(f))];

describe('presets', () => {
  it('QEMU reads as QEMU 10.0 to 11.1 do', () => {
    expect(words(QEMU)).toEqual([0x0d44101b, 0x02730010, 0, 0x1414, 0, 0x74, 0, 1]);
  });

  it('SMALL has stage 1 alone: no stage 2, no substreams, no stalls, linear tables', () => {
    // S1P, TTF=2, COHACC, TTENDIAN=2, STALL_MODEL=1, TERM_MODEL; CMDQS=8, EVENTQS=7, SIDSIZE=6; 40 bits, 4K.
    expect(words(SMALL)).toEqual([0x0540001a, 0x01070006, 0, 0, 0, 0x12, 0, 0]);
  });

  it('KUNPENG stalls, has 16 bits of SubstreamID and no range invalidation', () => {
    const [idr0, idr1, , idr3, , idr5] = words(KUNPENG);
    expect((idr0! >>> 24) & 3).toBe(0);
    expect((idr1! >>> 6) & 31).toBe(16);
    expect(idr3! & (1 << 10)).toBe(0);
    expect(idr5! >>> 16).toBe(4096);
  });

  it('LARGE has 52 bits: OAS 6, DS, VAX 1, 32-bit StreamIDs', () => {
    const [, idr1, , , , idr5] = words(LARGE);
    expect(idr5! & 0xfff).toBe(0x400 | 0xf0 | 6);
    expect(idr1! & 0x3f).toBe(32);
  });
});

describe('each feature is its bit, and no other changes', () => {
  const base: ModelFeatures = { ...SMALL, sidBits: 6, priqLog2Max: 9 };
  it.each<[Partial<ModelFeatures>, number, number, number]>([
    // what differs, word, bits that appear, bits that go
    [{ stage2: true }, 0, 1 << 0, 0],
    [{ cohacc: false }, 0, 0, 1 << 4],
    [{ btm: true }, 0, 1 << 5, 0],
    [{ httu: 3 }, 0, 3 << 6, 0],
    [{ hyp: true }, 0, 1 << 9, 0],
    [{ ats: true }, 0, (1 << 10) | (1 << 11), 0], // NS1ATS: without both stages there is no split stage
    [{ asid16: true }, 0, 1 << 12, 0],
    [{ msi: true }, 0, 1 << 13, 0],
    [{ sev: true }, 0, 1 << 14, 0],
    [{ atos: true }, 0, 1 << 15, 0],
    [{ vmidWildcard: true }, 0, 1 << 17, 0],
    [{ vmid16: true }, 0, 1 << 18, 0],
    [{ twoLevelCdTable: true }, 0, 1 << 19, 0],
    [{ tableEndian: 'mixed' }, 0, 0, 2 << 21],
    [{ tableEndian: 'big' }, 0, 1 << 21, 0],
    [{ termAbortOnly: false }, 0, 0, 1 << 26],
    [{ twoLevelStreamTable: true }, 0, 1 << 27, 0],
    [{ attrPermsOverride: true }, 1, 1 << 26, 0],
    [{ attrTypesOverride: true }, 1, 1 << 27, 0],
    [{ ssidBits: 20 }, 1, 20 << 6, 0],
    [{ had: true }, 3, 1 << 2, 0],
    [{ xnx: true }, 3, 1 << 4, 0],
    [{ fwb: true }, 3, 1 << 8, 0],
    [{ smallTables: true }, 3, 1 << 9, 0],
    [{ rangeInv: true }, 3, 1 << 10, 0],
    [{ bbmLevel: 1 }, 3, 1 << 11, 0],
    [{ e0pd: true }, 3, 1 << 13, 0],
    [{ epan: true }, 3, 1 << 17, 0],
    [{ granules: ['4k', '16k'] }, 5, 1 << 5, 0],
    [{ granules: ['4k', '64k'] }, 5, 1 << 6, 0],
    [{ iidr: 0x1234_543b }, 6, 0x1234_543b, 0],
    [{ archMinor: 4 }, 7, 4, 0],
  ])('%o', (change, word, appear, go) => {
    const before = words(base);
    const after = words({ ...base, ...change });
    const expected = [...before];
    expected[word] = ((before[word]! | appear) & ~go) >>> 0;
    expect(after).toEqual(expected);
  });

  it('STALL_MODEL and STALL_MAX go together', () => {
    expect(words({ stallModel: 2, stallMax: 7 })[0]! & (3 << 24)).toBe(2 << 24);
    expect(words({ stallModel: 2, stallMax: 7 })[5]! >>> 16).toBe(7);
    expect(words({ stallModel: 1, stallMax: 7 })[5]! >>> 16).toBe(0);
  });

  it('PRI: its bit, PRIQS and PPS', () => {
    const base = { ats: true, pri: false, atsRecordErrors: false };
    const before = words(base);
    const after = words({ ...base, pri: true, priqLog2Max: 9, pasidOnAutoResponse: true, atsRecordErrors: true });
    expect(after[0]! ^ before[0]!).toBe((1 << 16) | (1 << 23));
    expect((after[1]! >>> 11) & 31).toBe(9);
    expect(after[3]! & (1 << 5)).toBe(1 << 5);
  });

  it('split-stage ATS clears NS1ATS', () => {
    expect(words({ ats: true, splitStageAts: true })[0]! & (1 << 11)).toBe(0);
  });
});

describe('features that no SMMU has together are refused with EINVAL', () => {
  it.each<[Partial<ModelFeatures>, string]>([
    [{ sidBits: 33 }, 'sidBits 33'],
    [{ ssidBits: 21 }, 'ssidBits 21'],
    [{ ssidBits: -1 }, 'ssidBits -1'],
    [{ cmdqLog2Max: 20 }, 'cmdqLog2Max 20'],
    [{ evtqLog2Max: 1.5 }, 'evtqLog2Max 1.5'],
    [{ priqLog2Max: 20 }, 'priqLog2Max 20'],
    [{ stallMax: 65536 }, 'stallMax 65536'],
    [{ oasBits: 45 as 44 }, 'oasBits 45'],
    [{ stage1: false, stage2: false }, 'neither stage'],
    [{ granules: [] }, 'no granule'],
    [{ twoLevelStreamTable: false }, 'twoLevelStreamTable'],
    [{ pri: true, ats: false }, 'pri without ats'],
    [{ ds: true }, 'ds with oasBits 48'],
    [{ stallMax: 0 }, 'stallMax 0'],
    [{ iotlbEntries: 100 }, 'iotlbEntries 100'],
    [{ walkCacheEntries: 4 }, 'walkCacheEntries 4'],
    [{ configEntries: 0 }, 'configEntries 0'],
  ])('%o', (change, text) => {
    expect(() => features(change)).toThrow(text);
    expect(() => features(change)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });

  it('what is given wins over the default, which is everything but broadcasts', () => {
    expect(features()).toEqual({ ...FULL, btm: false });
    expect(features({ oasBits: 44 }).oasBits).toBe(44);
  });
});

it('address sizes decode as IDR5.OAS, CD.IPS and STE.S2PS encode them; 7 acts as the largest known', () => {
  expect([0, 1, 2, 3, 4, 5, 6, 7].map(decodeAddressBits)).toEqual([32, 36, 40, 42, 44, 48, 52, 52]);
});
