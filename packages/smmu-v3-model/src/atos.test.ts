/** Address translation operations: IHI 0070 §9.1, §6.3.37 to §6.3.40. */
import { describe, expect, it } from 'vitest';
import {
  AF,
  CD_PLAIN,
  CD_STALL,
  CDTAB,
  DATA,
  READ_ONLY,
  Rig,
  type RigOptions,
  S2_PLAIN,
  S2_RW,
  STE_BYPASS,
  STE_NESTED,
  STE_S1,
  STE_S2,
  STE_V,
  USER_RW,
} from '../test/rig.ts';

const ATOS: RigOptions = { features: { atos: true } };
const S1 = 1n << 10n;
const S2 = 2n << 10n;
const BOTH = 3n << 10n;
const READ = 1n << 8n;
const PRIVILEGED = 1n << 9n;
const HTTUI = 1n << 6n;

/** What GATOS_PAR says of a page, an access and stages. */
function par(rig: Rig, address: bigint, how: bigint, sid = 1n, ssid?: bigint): bigint {
  rig.write64(0x108, sid | (ssid === undefined ? 0n : (ssid << 32n) | (1n << 52n)));
  rig.write64(0x110, address | how);
  rig.write(0x100, 1);
  expect(rig.read(0x100)).toBe(1);
  rig.settle();
  expect(rig.read(0x100)).toBe(0);
  return (BigInt(rig.read(0x11c)) << 32n) | BigInt(rig.read(0x118));
}
const fault = (code: number, reason = 0, address = 0n): bigint =>
  1n | BigInt(reason << 1) | BigInt(code << 4) | address;

describe('stage 1 only', () => {
  it('a page: address, type, shareability', () => {
    const rig = new Rig(ATOS);
    const ttb = rig.table();
    rig.cd(1, CD_PLAIN, BigInt(ttb), 0n, 0x04ff_44n);
    rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB + 64));
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW | (1n << 2n)); // AttrIndx 1: 0xff; inner shareable
    expect(par(rig, 0x1000n, S1 | READ)).toBe((0xffn << 56n) | BigInt(DATA) | (3n << 8n));
    rig.map(ttb, 0x2000n, BigInt(DATA) | (USER_RW & ~(3n << 8n)) | (2n << 2n)); // 2: 0x04, Device
    expect(par(rig, 0x2000n, S1)).toBe((0x04n << 56n) | BigInt(DATA));
  });
  it('a block shows its size as the lowest address bit', () => {
    const rig = new Rig(ATOS);
    const ttb = rig.stage1();
    rig.map(ttb, 0x4000_0000n, 0x4800_0000n | (USER_RW & ~2n), 2);
    expect(par(rig, 0x4012_3000n, S1 | READ)).toBe((0xffn << 56n) | 0x4810_0000n | (1n << 11n) | (3n << 8n));
  });
  it.each<[string, bigint, bigint, number]>([
    ['F_TRANSLATION', 0n, READ, 0x10],
    ['F_ACCESS', BigInt(DATA) | (USER_RW & ~AF), READ, 0x12],
    ['F_PERMISSION', BigInt(DATA) | USER_RW | READ_ONLY, 0n, 0x13],
  ])('%s, and nothing is recorded or stalls', (_, descriptor, how, code) => {
    const rig = new Rig(ATOS);
    const ttb = rig.stage1(1, CD_STALL);
    rig.map(ttb, 0x1000n, descriptor);
    expect(par(rig, 0x1000n, S1 | how)).toBe(fault(code));
    expect([rig.events(), rig.model.stats.stalled]).toEqual([[], 0]);
  });
  it('privilege and kind are those of the request; STE overrides do not count', () => {
    const rig = new Rig(ATOS);
    const ttb = rig.table();
    rig.cd(1, CD_PLAIN, BigInt(ttb), 0n, 0xffn);
    rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB + 64), (2n << 48n) | (3n << 50n));
    rig.map(ttb, 0x1000n, BigInt(DATA) | (USER_RW & ~(1n << 6n)) | (3n << 53n)); // privileged data only
    expect(par(rig, 0x1000n, S1 | READ | PRIVILEGED) & 1n).toBe(0n);
    expect(par(rig, 0x1000n, S1 | READ)).toBe(fault(0x13));
    expect(par(rig, 0x1000n, S1 | READ | PRIVILEGED | (1n << 7n))).toBe(fault(0x13));
  });
  it('HTTUI=1: nothing in the tables changes, as if hardware never updated them', () => {
    const rig = new Rig({ features: { atos: true, httu: 3 } });
    const ttb = rig.table();
    rig.cd(1, CD_PLAIN | (3n << 42n), BigInt(ttb) | 8n, 0n, 0xffn);
    rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB + 64));
    const place = rig.map(ttb, 0x1000n, BigInt(DATA) | (USER_RW & ~AF) | READ_ONLY | (1n << 51n));
    const before = [rig.get(place), rig.get(ttb)];
    expect(par(rig, 0x1000n, S1 | HTTUI)).toBe(fault(0x12));
    expect([rig.get(place), rig.get(ttb)]).toEqual(before);
    expect(par(rig, 0x1000n, S1) & 1n).toBe(0n);
    expect(rig.get(place)).toBe(BigInt(DATA) | USER_RW | (1n << 51n));
  });
});

describe('of a nested stream', () => {
  function nested(): { rig: Rig; s1: number; s2: number } {
    const rig = new Rig(ATOS);
    const [s1, s2] = [rig.table(), rig.table()];
    rig.map(s2, 0x4000_0000n, 0x4000_0000n | (S2_RW & ~2n), 1);
    rig.cd(1, CD_PLAIN, BigInt(s1), 0n, 0x44n);
    rig.ste(1, STE_V | STE_NESTED | BigInt(CDTAB + 64), 0n, S2_PLAIN, BigInt(s2));
    rig.map(s1, 0x20_0000n, 0x8000_0000n | (USER_RW & ~2n), 2);
    rig.map(s2, 0x8000_1000n, BigInt(DATA) | S2_RW);
    return { rig, s1, s2 };
  }
  const IPA_BLOCK = (0x44n << 56n) | 0x8010_0000n | (1n << 11n) | (3n << 8n);

  it('TYPE=1 gives the IPA and the type of stage 1, whatever stage 2 says of it', () => {
    const { rig } = nested();
    expect(par(rig, 0x20_1000n, S1 | READ)).toBe(IPA_BLOCK);
    expect(par(rig, 0x20_1000n, S1 | READ)).toBe(IPA_BLOCK);
    expect(par(rig, 0x20_5000n, S1 | READ)).toBe(IPA_BLOCK);
    expect(par(rig, 0x60_0000n, S1 | READ)).toBe(fault(0x10));
  });
  it('TYPE=1 shows trouble of stage 2 on the way as aborts', () => {
    const { rig, s1, s2 } = nested();
    rig.put(s1 + 8, 0x9000_0003n);
    expect(par(rig, 1n << 39n, S1 | READ)).toBe(fault(0x0b));
    rig.ste(2, STE_V | STE_NESTED | 0x9000_0000n, 0n, S2_PLAIN, BigInt(s2));
    expect(par(rig, 0n, S1 | READ, 2n)).toBe(fault(0x09));
  });
  it('TYPE=2 looks an IPA up', () => {
    const { rig } = nested();
    expect(par(rig, 0x8000_1000n, S2 | READ) & 0xff_ffff_f001n).toBe(BigInt(DATA));
    expect(par(rig, 0x8000_5000n, S2 | READ)).toBe(fault(0x10, 3));
  });
  it('TYPE=3 goes all the way; a fault of stage 2 says where and of which IPA', () => {
    const { rig, s1, s2 } = nested();
    expect(par(rig, 0x20_1000n, BOTH | READ) & 0xff_ffff_f001n).toBe(BigInt(DATA));
    expect(par(rig, 0x20_5000n, BOTH | READ)).toBe(fault(0x10, 3, 0x8000_5000n));
    rig.put(s1 + 8, 0x9000_0003n);
    expect(par(rig, 1n << 39n, BOTH | READ)).toBe(fault(0x10, 2, 0x9000_0000n));
    rig.ste(2, STE_V | STE_NESTED | 0x9000_0000n, 0n, S2_PLAIN, BigInt(s2));
    expect(par(rig, 0n, BOTH | READ, 2n)).toBe(fault(0x10, 1, 0x9000_0000n));
  });
  it('E0PD bars TYPE=1 as well', () => {
    const { rig, s1 } = nested();
    rig.cd(1, CD_PLAIN, BigInt(s1) | 4n);
    expect(par(rig, 0x20_1000n, S1 | READ)).toBe(fault(0x10));
  });
});

describe('what cannot be looked up', () => {
  it.each<[string, bigint, Partial<NonNullable<RigOptions['features']>>, (rig: Rig) => void, number]>([
    ['TYPE=0: INV_REQ', 0n, {}, () => {}, 0xff],
    ['stage 1 without stage 1: INV_REQ', S1, { stage1: false }, () => {}, 0xff],
    ['stage 2 without stage 2: INV_REQ', S2, { stage2: false }, () => {}, 0xff],
    ['both without stage 2: INV_REQ', BOTH, { stage2: false }, () => {}, 0xff],
    ['C_BAD_STE', S1, {}, () => {}, 0x04],
    [
      'stage 1 of a stage 2 stream: INV_STAGE',
      S1,
      {},
      (rig) => rig.ste(1, STE_V | STE_S2, 0n, S2_PLAIN, BigInt(rig.table())),
      0xfe,
    ],
    ['stage 2 of a stage 1 stream: INV_STAGE', S2, {}, (rig) => rig.stage1(), 0xfe],
    ['both of a stage 1 stream: INV_STAGE', BOTH, {}, (rig) => rig.stage1(), 0xfe],
    ['a bypass: INV_STAGE', S1, {}, (rig) => rig.ste(1, STE_V | STE_BYPASS), 0xfe],
    ['C_BAD_CD', S1, {}, (rig) => rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB + 64)), 0x0a],
  ])('%s', (_, how, features, setUp, code) => {
    const rig = new Rig({ features: { atos: true, ...features } });
    setUp(rig);
    expect(par(rig, 0n, how)).toBe(fault(code));
  });
  it('C_BAD_STREAMID, C_BAD_SUBSTREAMID', () => {
    const rig = new Rig(ATOS);
    rig.stage1();
    expect(par(rig, 0n, S1, 99n)).toBe(fault(0x02));
    expect(par(rig, 0n, S1, 1n, 5n)).toBe(fault(0x08));
  });
  it('SMMUEN=0: INTERNAL_ERR', () => {
    expect(par(new Rig({ ...ATOS, off: true }), 0n, S1)).toBe(fault(0xfd));
  });
});

it('S1DSS=1: stage 1 is skipped, the result is the address', () => {
  const rig = new Rig(ATOS);
  rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB) | (4n << 59n), 1n);
  expect(par(rig, 0x1234_5000n, S1 | READ)).toBe((0xffn << 56n) | 0x1234_5000n);
});

it('the registers are locked while RUN=1; without ATOS there are none', () => {
  const rig = new Rig(ATOS);
  rig.write64(0x110, S1 | 0x1000n);
  rig.write(0x100, 1);
  rig.write64(0x110, 0n);
  rig.write(0x100, 0);
  expect([rig.read(0x110), rig.read(0x100)]).toEqual([0x1400, 1]);
  const without = new Rig({ features: { atos: false } });
  without.write(0x100, 1);
  without.write(0x108, 5);
  expect([without.read(0x100), without.read(0x108)]).toEqual([0, 0]);
});
