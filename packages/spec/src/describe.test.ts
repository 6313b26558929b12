import { expect, it, describe as suite } from 'vitest';
import {
  CD,
  CMD_SYNC,
  cdLayout,
  commandLayouts,
  describe,
  eventLayouts,
  GATOS_PAR,
  GERROR_IRQ_CFG0,
  l1stdLayout,
  meaningOf,
  s1LeafLayout,
} from './index.ts';

const lineOf = (lines: ReturnType<typeof describe>, name: string): unknown => lines.find((line) => line.name === name);

suite('describe', () => {
  it('says where a field is, what it holds and what that means', () => {
    const words = new Uint32Array(16);
    cdLayout.encode({ TG0: 1, ASID: 0x1234, V: true, TTB0: 0x8_0000_1000, AA64: true }, words);
    const lines = describe(cdLayout, words);
    expect(lineOf(lines, 'TG0')).toEqual({ name: 'TG0', bits: '7:6', value: 1, meaning: '64KB', doc: CD.TG0.doc });
    expect(lineOf(lines, 'ASID')).toMatchObject({ bits: '63:48', value: 0x1234, meaning: '' });
    expect(lineOf(lines, 'V')).toMatchObject({ bits: '31', value: true, meaning: 'valid' });
    expect(lineOf(lines, 'WXN')).toMatchObject({ value: false, meaning: 'no' });
    expect(lineOf(lines, 'TTB0')).toMatchObject({ bits: '119:68', value: 0x8_0000_1000, meaning: '' });
    expect(lines.map(({ name }) => name)).not.toContain('RES0');
  });

  it('names a run of values, a reserved value and a value across a word', () => {
    const words = new Uint32Array(2);
    l1stdLayout.fields.Span.set(words, 0, 11);
    expect(lineOf(describe(l1stdLayout, words), 'Span')).toMatchObject({ meaning: '2^(Span-1) STEs' });
    l1stdLayout.fields.Span.set(words, 0, 12);
    expect(lineOf(describe(l1stdLayout, words), 'Span')).toMatchObject({ meaning: 'reserved, acts as 0' });
    expect(meaningOf(CD.PIIU10, 5)).toBe('RW');
    expect(meaningOf(CD.PIIU10, 4)).toBe('reserved, illegal');
  });

  it('leaves out the meanings that the structure itself rules out', () => {
    const names = (fault: boolean): string[] => {
      const words = new Uint32Array(2);
      GATOS_PAR.fields.FAULT.set(words, 0, fault);
      return describe(GATOS_PAR, words).map(({ name }) => name);
    };
    expect(names(false)).toEqual(['FAULT', 'ATTR', 'ADDR', 'Size', 'SH']);
    expect(names(true)).toEqual(['FAULT', 'IMPDEF', 'FADDR', 'FAULTCODE', 'REASON']);
  });

  it('reads a CD in the format that AA64 selects', () => {
    const names = (AA64: boolean): string[] => {
      const words = new Uint32Array(16);
      cdLayout.encode({ AA64 }, words);
      return describe(cdLayout, words).map(({ name }) => name);
    };
    expect(names(true)).toEqual(expect.arrayContaining(['HAD0', 'HWU061']));
    expect(names(true)).not.toContain('SKL0');
    expect(names(false)).toEqual(expect.arrayContaining(['DisCH0', 'SKL0']));
    expect(names(false)).not.toContain('HWU061');
  });

  it('gives all meanings that only the surroundings can tell apart, or those asked for', () => {
    const words = Uint32Array.of(0x0000_07c3, 0x0060_0000);
    const all = describe(s1LeafLayout, words);
    expect(lineOf(all, 'AP1')).toMatchObject({ value: true, when: 'direct permissions' });
    expect(lineOf(all, 'PIIndex0')).toMatchObject({ value: true, when: 'indirect permissions' });
    const some = describe(s1LeafLayout, words, 0, ['direct permissions', 'no DS', 'page']);
    expect(lineOf(some, 'PIIndex0')).toBeUndefined();
    expect(lineOf(some, 'OA_51_50')).toBeUndefined();
    expect(lineOf(some, 'SH')).toMatchObject({ meaning: 'inner shareable' });
  });

  it('gives 64-bit values as bigints, and addresses too where a number would round them', () => {
    const words = new Uint32Array(8).fill(0xffff_ffff);
    const event = describe(eventLayouts.F_TRANSLATION, words);
    expect(lineOf(event, 'InputAddr')).toMatchObject({ value: 0xffff_ffff_ffff_ffffn });
    expect(lineOf(event, 'IPA')).toMatchObject({ value: 0xff_ffff_ffff_f000 });
    expect(lineOf(describe(GERROR_IRQ_CFG0, words), 'ADDR')).toMatchObject({ value: 0xff_ffff_ffff_fffcn });
  });

  it('tells of reserved bits that are set, by run, at any base', () => {
    const words = new Uint32Array(8);
    commandLayouts.CMD_SYNC.encode({ CS: 1 }, words, 4);
    words[4]! |= 0b101 << 8;
    words[7]! |= 1 << 24;
    const lines = describe(commandLayouts.CMD_SYNC, words, 4);
    expect(lines.filter(({ name }) => name === 'RES0')).toMatchObject([
      { bits: '11:8', value: 5 },
      { bits: '126:120', value: 1 },
    ]);
    expect(CMD_SYNC.CS.get(words, 4)).toBe(1);
  });

  it('gives a wide run of reserved bits exactly', () => {
    const words = new Uint32Array(4).fill(0xffff_ffff);
    words[0] = 0x70; // CMD_DPTI_ALL
    expect(describe(commandLayouts.CMD_DPTI_ALL, words).at(-1)).toMatchObject({
      name: 'RES0',
      bits: '127:8',
      value: ((1n << 96n) - 1n) << 24n,
    });
  });
});
