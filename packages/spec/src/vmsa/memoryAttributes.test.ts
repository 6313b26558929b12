import { describe, expect, it } from 'vitest';
import {
  combineShareability,
  combineTypes,
  LINUX_MAIR,
  LINUX_S2_MEM_ATTR,
  type MemoryType,
  mairType,
  S2_MEM_ATTR,
  SH,
  s2Type,
} from '../index.ts';

const device = (type: 'nGnRnE' | 'nGnRE' | 'nGRE' | 'GRE'): MemoryType => ({ kind: 'device', device: type });
type Cache = 'NC' | 'WT' | 'WB';
const normal = (outer: Cache, inner: Cache, tagged = false): MemoryType => ({ kind: 'normal', outer, inner, tagged });
const reserved: MemoryType = { kind: 'reserved' };

describe('mairType', () => {
  it.each([
    [0x00, device('nGnRnE')],
    [0x04, device('nGnRE')],
    [0x08, device('nGRE')],
    [0x0c, device('GRE')],
    [0x05, device('nGnRE')], // XS=0
    [0x02, reserved],
    [0x0f, reserved],
    [0x44, normal('NC', 'NC')],
    [0xff, normal('WB', 'WB')],
    [0xf4, normal('WB', 'NC')],
    [0x4f, normal('NC', 'WB')],
    [0xbb, normal('WT', 'WT')],
    [0x33, normal('WT', 'WT')], // transient
    [0x77, normal('WB', 'WB')], // transient
    [0x40, normal('NC', 'NC')], // XS=0
    [0xa0, normal('WT', 'WT')], // XS=0
    [0xf0, normal('WB', 'WB', true)],
    [0x50, reserved],
  ])('0x%s', (byte, type) => expect(mairType(byte)).toEqual(type));

  it('knows the bytes that Linux programs', () => {
    expect(Object.values(LINUX_MAIR).map(({ byte }) => mairType(byte))).toEqual([
      normal('NC', 'NC'),
      normal('WB', 'WB'),
      device('nGnRE'),
      normal('WB', 'NC'),
    ]);
    expect(Object.values(LINUX_MAIR).map(({ index }) => index)).toEqual([0, 1, 2, 3]);
  });
});

describe('s2Type', () => {
  it('reads every value as its name says', () => {
    const names = new Map(Object.entries(S2_MEM_ATTR).map(([name, value]) => [value as number, name]));
    for (let value = 0; value < 16; value++) {
      const type = s2Type(value);
      const name = names.get(value);
      if (type.kind === 'device')
        expect(name ?? 'reserved').toMatch(value % 4 === 0 && value > 0 ? /reserved/ : /^Device/);
      else if (type.kind === 'normal') expect(name).toMatch(new RegExp(`^o${type.outer} i${type.inner}`));
      else expect(name).toBeUndefined();
    }
  });
  it('knows the values that Linux writes', () => {
    expect(s2Type(LINUX_S2_MEM_ATTR.OWB_IWB)).toEqual(normal('WB', 'WB'));
    expect(s2Type(LINUX_S2_MEM_ATTR.NC)).toEqual(normal('NC', 'NC'));
    expect(s2Type(LINUX_S2_MEM_ATTR.DEVICE)).toEqual(device('nGnRE'));
  });
});

describe('combineTypes: the stricter stage wins', () => {
  it.each([
    ['device over normal', device('GRE'), normal('WB', 'WB'), device('GRE')],
    ['whichever stage it is in', normal('WB', 'WB'), device('nGRE'), device('nGRE')],
    ['the stricter device', device('GRE'), device('nGnRE'), device('nGnRE')],
    ['not cached over write-back, level by level', normal('NC', 'WB'), normal('WB', 'WT'), normal('NC', 'WT')],
    ['write-through over write-back', normal('WB', 'WB'), normal('WT', 'WB'), normal('WT', 'WB')],
    [
      'tagged stays only if stage 2 keeps write-back',
      normal('WB', 'WB', true),
      normal('WB', 'WB'),
      normal('WB', 'WB', true),
    ],
    ['tagged is lost otherwise', normal('WB', 'WB', true), normal('WB', 'WT'), normal('WB', 'WT')],
    ['a reserved type is the strictest', reserved, device('GRE'), device('nGnRnE')],
  ])('%s', (_, stage1, stage2, result) => expect(combineTypes(stage1, stage2)).toEqual(result));
});

describe('combineShareability: the wider one wins', () => {
  it.each([
    [SH.NON, SH.NON, SH.NON],
    [SH.NON, SH.INNER, SH.INNER],
    [SH.INNER, SH.OUTER, SH.OUTER],
    [SH.OUTER, SH.NON, SH.OUTER],
    [1, SH.NON, SH.NON],
    [SH.INNER, 1, SH.INNER],
  ])('%i with %i is %i', (a, b, result) => expect(combineShareability(a, b)).toBe(result));
});
