/** Memory types of two stages: IHI 0070 §13.1; Arm DDI 0487 D8.6. MAIR bytes are typed by hand. */
import { describe, expect, it } from 'vitest';
import { combineAttributes, combineShareability } from './attributes.ts';

const WB = 0xff;
const WT = 0xaa;
const NC = 0x44;
const nGnRnE = 0x00;
const nGnRE = 0x04;
const GRE = 0x0c;

describe('without forced write-back: Device beats Normal, the weaker cacheability wins', () => {
  it.each<[string, number, number, number]>([
    ['WB and oWB iWB', WB, 15, WB],
    ['WT and oWB iWB', WT, 15, WT],
    ['WB and oWT iWT', WB, 10, WT],
    ['WB and oNC iNC', WB, 5, NC],
    ['NC and oWB iWB', NC, 15, NC],
    ['WB and oWB iNC: each level by itself', WB, 13, 0xf4],
    ['Device and oWB iWB', nGnRE, 15, nGnRE],
    ['WB and Device-nGnRE', WB, 1, nGnRE],
    ['Device-GRE and Device-nGnRE: the stricter', GRE, 1, nGnRE],
    ['Device-nGnRE and Device-GRE', nGnRE, 3, nGnRE],
    ['a reserved MemAttr acts as Device-nGnRnE', WB, 4, nGnRnE],
  ])('%s', (_, stage1, memAttr, expected) => {
    expect(combineAttributes(stage1, memAttr, false)).toBe(expected);
  });
});

describe('with forced write-back stage 2 decides', () => {
  it.each<[string, number, number, number]>([
    ['6: write-back whatever stage 1 says', nGnRE, 6, WB],
    ['7: stage 1 unchanged', WT, 7, WT],
    ['5: non-cacheable', WB, 5, NC],
    ['5: or Device if stage 1 is', GRE, 5, GRE],
    ['1: Device', WB, 1, nGnRE],
    ['1: Device with stage 1', nGnRnE, 1, nGnRnE],
    ['4: reserved, as 7', WT, 4, WT],
  ])('%s', (_, stage1, memAttr, expected) => {
    expect(combineAttributes(stage1, memAttr, true)).toBe(expected);
  });
});

it('the wider shareability wins; Device and non-cacheable are outer shareable', () => {
  expect([
    combineShareability(WB, 0, 0),
    combineShareability(WB, 3, 0),
    combineShareability(WB, 3, 2),
    combineShareability(WB, 0, 3),
    combineShareability(nGnRE, 0, 0),
    combineShareability(NC, 3, 3),
  ]).toEqual([0, 3, 2, 3, 2, 2]);
});
