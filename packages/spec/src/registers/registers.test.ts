import { describe, expect, it } from 'vitest';
import {
  CERROR,
  CMDQ_CONS,
  CR0,
  GERROR,
  GERROR_BITS,
  GERRORN,
  idRegisters,
  PRIQ_PROD,
  R_EVENTQ_PROD,
  REGISTER_PAGES,
  registerAt,
  registers,
  S_CMDQ_BASE,
  S_GERROR_IRQ_CFG0,
  S_VATOS_CTRL,
} from '../index.ts';

describe('a register is a layout with a place', () => {
  it('reads from a register file, and from a value at hand', () => {
    const file = new Uint32Array(0x100 / 4);
    file[0x20 / 4] = 0b1101;
    expect(CR0.fields.EVENTQEN.get(file, CR0.offset / 4)).toBe(true);
    expect(CR0.fields.PRIQEN.get(file, CR0.offset / 4)).toBe(false);
    expect(CR0.fields.VMW.of(0x1c0)).toBe(7);
    expect(CMDQ_CONS.fields.ERR.of(0x0100_0005)).toBe(CERROR.ILL);
  });

  it('has the rules of its interface', () => {
    expect(S_CMDQ_BASE.rule).toBe(
      'RW while S_CR0.CMDQEN=0 and S_CR0ACK.CMDQEN=0, otherwise RO (writes ignored from v3.2, unpredictable before); RO if QUEUES_PRESET=1',
    );
    expect(S_GERROR_IRQ_CFG0.present).toBe('S_IDR0.MSI=1 and S_IDR1.SECURE_IMPL=1');
    expect(registers.R_PRIQ_BASE.present).toBe('R_IDR0.PRI=1 and ROOT_IDR0.REALM_IMPL=1');
    expect(registers.R_DPT_BASE.present).toBe('R_IDR3.DPT=1 and ROOT_IDR0.REALM_IMPL=1');
    expect(registers.S_IDR6.present).toBe('S_IDR0.ECMDQ=1 and S_IDR1.SECURE_IMPL=1');
    expect(registers.S_S2PII.present).toBe('IDR3.S2PI=1 and S_IDR1.SECURE_IMPL=1');
    expect(registers.IDR0).toMatchObject({ access: 'RO', reset: 'fixed', rule: undefined, present: undefined });
    expect(registers.R_AIDR.rule).toBeUndefined();
  });

  it('knows what it resets to, field by field', () => {
    expect(registers.GBPA).toMatchObject({ reset: 'impdef', resetOf: { Update: 'zero' } });
    expect(registers.R_CR0.resetOf).toEqual({ ATSCHK: 'fixed' });
    for (const one of Object.values(registers))
      for (const field of Object.keys(one.resetOf)) expect(one.fields, one.name).toHaveProperty(field);
  });

  it('names its section', () => {
    expect(registers.ROOT_TLBI.spec).toBe('IHI 0070 §6.3.118');
    const sections = Object.values(registers).map(({ section }) => Number(section.split('.')[2]));
    expect(sections.sort((a, b) => a - b)).toEqual(Array.from({ length: 169 }, (_, i) => i + 1));
  });

  it('says what it is', () => {
    for (const one of Object.values(registers)) expect(one.title, one.name).not.toBe('');
    expect(registers.R_CMDQ_PROD.title).toBe('command queue write index (Realm)');
  });

  it('lies on a page that is described', () => {
    for (const { page } of Object.values(registers)) expect(REGISTER_PAGES).toHaveProperty(page);
  });
});

describe('registerAt', () => {
  it.each([
    [0x20, undefined, 'CR0'],
    [0x23, undefined, 'CR0'],
    [0x94, undefined, 'CMDQ_BASE'], // upper half
    [0x100a8, undefined, 'EVENTQ_PROD'],
    [0x8098, undefined, 'S_CMDQ_PROD'],
    [0x4000, undefined, 'CMDQ_CONTROL_PAGE_BASEn'],
    [0x4000 + 255 * 32 + 4, undefined, 'CMDQ_CONTROL_PAGE_BASEn'],
    [0x4008 + 32, undefined, 'CMDQ_CONTROL_PAGE_CFGn'],
    [0x400c + 64, undefined, 'CMDQ_CONTROL_PAGE_STATUSn'],
    [0xa18, 'VATOS', 'VATOS_PAR'],
    [0x20, 'R_PAGE_0', 'R_CR0'],
    [0xa8, 'R_PAGE_1', 'R_EVENTQ_PROD'],
    [0x50, 'ROOT', 'ROOT_TLBI'],
    [0x0c, 'CMDQCP', 'ECMDQ_CONSn'],
    [0xa00, 'S_VATOS', 'S_VATOS_CTRL'],
  ] as const)('0x%s on %s', (offset, page, name) => expect(registerAt(offset, page)?.name).toBe(name));

  it.each([
    [0x3c, undefined],
    [0xa8, undefined], // an alias is not the register's place
    [0x4010, undefined],
    [0x4000 + 256 * 32, undefined],
    [0x20, 'PAGE_1'],
    [0x10, 'ROOT'],
  ] as const)('0x%s on %s has none', (offset, page) => expect(registerAt(offset, page)).toBeUndefined());

  it('finds every register by its own offset', () => {
    for (const one of Object.values(registers)) expect(registerAt(one.offset, one.page)).toBe(one);
  });

  it('knows the optional aliases in page 0', () => {
    expect(PRIQ_PROD.aliases).toEqual([0xc8]);
    expect([R_EVENTQ_PROD.aliases, S_VATOS_CTRL.aliases]).toEqual([[], []]);
  });
});

describe('global errors', () => {
  it('are the bits of GERROR and of GERRORN', () => {
    for (const registerLayout of [GERROR, GERRORN])
      expect(Object.fromEntries(Object.entries(registerLayout.fields).map(([name, { lo }]) => [name, lo]))).toEqual(
        Object.fromEntries(Object.entries(GERROR_BITS).map(([name, { bit }]) => [name, bit])),
      );
  });
});

describe('identification registers', () => {
  // Arm's CoreLink values, as QEMU answers with them
  it('say who made the SMMU', () => {
    expect(idRegisters.map(({ offset }) => offset)).toEqual(Array.from({ length: 12 }, (_, i) => 0xfd0 + i * 4));
    const qemu = [0x04, 0, 0, 0, 0x84, 0xb4, 0xf0, 0x10, 0x0d, 0xf0, 0x05, 0xb1];
    for (const [i, { value }] of idRegisters.entries()) if (value !== undefined) expect(value).toBe(qemu[i]);
  });
});
