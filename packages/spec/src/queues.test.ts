import { describe, expect, it } from 'vitest';
import {
  CERROR,
  CFGI_ALL_RANGE,
  CMD_CFGI_STE_RANGE,
  COMMAND,
  commandByOpcode,
  commandLayouts,
  EVENT,
  EVENT_HEADER,
  eventByCode,
  eventLayouts,
  F_TRANSLATION,
  IMPDEF_EVENTS,
  IMPDEF_OPCODES,
  OPCODE,
  PRG_RESPONSE,
} from './index.ts';

describe('commands', () => {
  it('are found by opcode', () => {
    for (const one of Object.values(commandLayouts)) expect(commandByOpcode(one.opcode)).toBe(one);
    expect(commandByOpcode(OPCODE.CMD_SYNC)?.name).toBe('CMD_SYNC');
  });
  it.each([0, 0x08, 0x74, IMPDEF_OPCODES.first, IMPDEF_OPCODES.last, 0xff])('0x%s has no layout', (opcode) => {
    expect(commandByOpcode(opcode)).toBeUndefined();
  });
  it('carry what completes them and when they are illegal', () => {
    expect(commandLayouts.CMD_TLBI_NH_VA).toMatchObject({
      completion: 'CMD_SYNC',
      broadcast: 'VA{L}E1',
      spec: 'IHI 0070 §4.4.2.4',
      byteLength: 16,
    });
    expect(commandLayouts.CMD_RESUME.completion).toBe('consumption');
    expect(commandLayouts.CMD_SYNC.completion).toBe('itself');
    expect(commandLayouts.CMD_PRI_RESP.rules).toContain('Resp=3: CERROR_ILL');
    expect(commandLayouts.CMD_TLBI_NSNH_ALL.rules).toEqual([]);
    expect(commandLayouts.CMD_SYNC.broadcast).toBeUndefined();
  });
  it('can be looked at before the opcode is known', () => {
    const words = new Uint32Array(4);
    commandLayouts.CMD_CFGI_STE_RANGE.encode({ Opcode: OPCODE.CMD_CFGI_STE_RANGE, Range: CFGI_ALL_RANGE }, words);
    expect(COMMAND.Opcode.get(words, 0)).toBe(0x04);
    expect(CMD_CFGI_STE_RANGE.Range.get(words, 0)).toBe(31);
  });
});

describe('event records', () => {
  it('are found by code', () => {
    for (const one of Object.values(eventLayouts)) expect(eventByCode(one.code)).toBe(one);
  });
  it.each([0, 0x0c, 0x14, IMPDEF_EVENTS.first, IMPDEF_EVENTS.last, 0xff])('0x%s has no layout', (code) => {
    expect(eventByCode(code)).toBeUndefined();
  });
  it('may stall if they have a Stall field, and only then', () => {
    for (const one of Object.values(eventLayouts)) expect(one.stallable).toBe('Stall' in one.fields);
  });
  it('carry what they mean and when they are recorded', () => {
    expect(eventLayouts.C_BAD_STREAMID.recordedWhen).toBe('CR2.RECINVSID=1');
    expect(eventLayouts.F_TRANSLATION).toMatchObject({ byteLength: 32, recordedWhen: undefined, stallable: true });
  });
  it('can be looked at before the code is known', () => {
    const words = new Uint32Array(8);
    eventLayouts.F_TRANSLATION.encode({ Code: EVENT.F_TRANSLATION, StreamID: 0x100, SSV: true, SubstreamID: 5 }, words);
    expect(EVENT_HEADER.Code.get(words, 0)).toBe(0x10);
    expect(EVENT_HEADER.SubstreamID.get(words, 0)).toBe(F_TRANSLATION.SubstreamID.get(words, 0));
  });
});

describe('codes', () => {
  // Linux arm-smmu-v3.h CMDQ_ERR_CERROR_*_IDX
  it('command errors', () => expect(CERROR).toEqual({ NONE: 0, ILL: 1, ABT: 2, ATC_INV_SYNC: 3 }));
  // PCIe 10.4.2.1, Linux pci-ats
  it('page request group responses', () => {
    expect(Object.values(PRG_RESPONSE)).toEqual([0b0000, 0b0001, 0b1111]);
  });
});
