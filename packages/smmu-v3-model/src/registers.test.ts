/** The register map as software sees it. Offsets and bits from IHI 0070 §6, typed by hand. */
import { describe, expect, it } from 'vitest';
import { CMDQ, EVTQ, Rig, STRTAB } from '../test/rig.ts';
import { QEMU } from './features.ts';

describe('identification', () => {
  it('ID registers and CoreSight identification ignore writes', () => {
    const rig = new Rig({ features: QEMU });
    const offsets = [0x0, 0x4, 0x8, 0xc, 0x10, 0x14, 0x18, 0x1c, 0xff0, 0xff4, 0xff8, 0xffc];
    const before = offsets.map((offset) => rig.read(offset));
    for (const offset of offsets) rig.write(offset, 0xffff_ffff);
    expect(offsets.map((offset) => rig.read(offset))).toEqual(before);
    expect(before).toEqual([0x0d44101b, 0x02730010, 0, 0x1414, 0, 0x74, 0, 1, 0x0d, 0xf0, 0x05, 0xb1]);
  });

  it('unmapped offsets read zero and ignore writes (§6.2)', () => {
    const rig = new Rig();
    for (const offset of [0x4c, 0x58, 0xe0, 0x200, 0x1000, 0x8000, 0xfffc, 0x10000, 0x1fffc]) {
      rig.write(offset, 0xffff_ffff);
      expect(rig.read(offset)).toBe(0);
    }
  });
});

describe('CR0 and CR0ACK (§6.3.9, §6.3.10)', () => {
  it('the acknowledge comes later, not with the write', () => {
    const rig = new Rig();
    rig.write(0x20, 0xc);
    expect([rig.read(0x20), rig.read(0x24)]).toEqual([0xc, 0xd]);
    expect(rig.scheduler.spin(() => rig.read(0x24) === 0xc, 1000)).toBe(true);
  });

  it('a second change before the acknowledge replaces the first', () => {
    const rig = new Rig();
    rig.write(0x20, 0);
    rig.write(0x20, 0xd);
    rig.settle();
    expect(rig.read(0x24)).toBe(0xd);
  });

  it('bits of absent features and reserved bits stay zero', () => {
    const rig = new Rig({ features: { vmidWildcard: false, ats: false, pri: false } });
    rig.write(0x20, 0xffff_ffff);
    rig.settle();
    expect(rig.read(0x24)).toBe(0xd); // no PRIQEN, ATSCHK, VMW, DPT_WALK_EN
    const all = new Rig();
    all.write(0x20, 0xffff_ffff);
    expect(all.read(0x20)).toBe(0x1df);
  });

  it('writes to CR0ACK, STATUSR, GERROR and IRQ_CTRLACK are ignored', () => {
    const rig = new Rig();
    for (const offset of [0x24, 0x40, 0x54, 0x60]) {
      const before = rig.read(offset);
      rig.write(offset, ~before >>> 0);
      expect(rig.read(offset)).toBe(before);
    }
  });
});

describe('locked registers ignore writes (§6.2; v3.2 and later)', () => {
  const LOCKS: [string, number, number][] = [
    // name, offset, CR0 bit that locks it
    ['STRTAB_BASE', 0x80, 1],
    ['STRTAB_BASE high', 0x84, 1],
    ['STRTAB_BASE_CFG', 0x88, 1],
    ['CR2', 0x2c, 1],
    ['CMDQ_BASE', 0x90, 8],
    ['CMDQ_CONS', 0x9c, 8],
    ['EVENTQ_BASE', 0xa0, 4],
    ['EVENTQ_PROD', 0x100a8, 4],
  ];
  it.each(LOCKS)('%s', (_, offset, bit) => {
    const rig = new Rig();
    const before = rig.read(offset);
    rig.write(offset, before ^ (2 ** 1));
    expect(rig.read(offset)).toBe(before);
    rig.write(0x20, 0xd & ~bit);
    rig.write(offset, before ^ (2 ** 1));
    expect(rig.read(offset)).toBe(before); // cleared, but not yet acknowledged
    rig.settle();
    rig.write(offset, before ^ (2 ** 16 + 2 ** 6 + 1));
    expect(rig.read(offset)).not.toBe(before);
  });

  it('CR1: attributes of tables by SMMUEN, those of queues by any queue (§6.3.11)', () => {
    const rig = new Rig();
    rig.write(0x28, 0xfff);
    expect(rig.read(0x28)).toBe(0);
    rig.write(0x20, 0xc);
    rig.settle();
    rig.write(0x28, 0xfff);
    expect(rig.read(0x28)).toBe(0xfc0);
    rig.write(0x20, 1);
    rig.settle();
    rig.write(0x28, 0x03f);
    expect(rig.read(0x28)).toBe(0xfff);
  });

  it('interrupt messages are locked by their enable', () => {
    const rig = new Rig(); // IRQ_CTRL: GERROR and EVENTQ
    for (const offset of [0x68, 0x70, 0x74, 0xb0, 0xb8, 0xbc]) {
      rig.write(offset, 0x14);
      expect(rig.read(offset)).toBe(0);
    }
    rig.write(0x50, 0);
    rig.write(0x68, 0x14);
    expect(rig.read(0x68)).toBe(0);
    rig.settle();
    for (const offset of [0x68, 0x70, 0x74, 0xb0, 0xb8, 0xbc]) {
      rig.write(offset, 0x14);
      expect(rig.read(offset)).toBe(0x14);
    }
  });
});

describe('reserved bits and absent registers', () => {
  it('bases keep the bits that the architecture gives them', () => {
    const rig = new Rig({ off: true });
    rig.write64(0x80, 0xffff_ffff_ffff_ffffn);
    expect([rig.read(0x80), rig.read(0x84)]).toEqual([0xffff_ffc0, 0x40ff_ffff]);
    rig.write(0x88, 0xffff_ffff);
    expect(rig.read(0x88)).toBe(0x0003_07ff);
  });

  it('without MSI there are no message registers', () => {
    const rig = new Rig({ features: { msi: false } });
    rig.write(0x50, 0);
    rig.settle();
    for (const offset of [0x68, 0x6c, 0x70, 0x74, 0xb0, 0xb8, 0xbc]) {
      rig.write(offset, 0xff);
      expect(rig.read(offset)).toBe(0);
    }
  });

  it('without PRI there is no PRI queue', () => {
    const rig = new Rig({ features: { pri: false } });
    for (const offset of [0xc0, 0xc4, 0xd0, 0xd8, 0xdc, 0x100c8, 0x100cc]) {
      rig.write(offset, 0xff);
      expect(rig.read(offset)).toBe(0);
    }
  });

  it('CR2 has E2H with Hyp, PTM with BTM, REC_CFG_ATS with ATSRECERR', () => {
    const all = new Rig({ off: true, features: { btm: true, ats: true, atsRecordErrors: true } });
    all.write(0x2c, 0xffff_ffff);
    expect(all.read(0x2c)).toBe(0xf);
    const few = new Rig({ off: true, features: { hyp: false, atsRecordErrors: false } });
    few.write(0x2c, 0xffff_ffff);
    expect(few.read(0x2c)).toBe(2);
  });
});

describe('width (§6.2)', () => {
  it('a 64-bit register takes one 64-bit or two 32-bit writes', () => {
    const rig = new Rig({ off: true });
    rig.write64(0x80, 0x0000_0001_2345_6000n);
    expect([rig.read(0x80), rig.read(0x84)]).toEqual([0x2345_6000, 1]);
    rig.write(0x84, 2);
    rig.write(0x80, 0x9999_9000);
    expect([rig.read(0x80), rig.read(0x84)]).toEqual([0x9999_9000, 2]);
  });

  it('a 64-bit write over two 32-bit registers is two writes, the lower first', () => {
    const rig = new Rig({ off: true });
    rig.write64(0x28, 0x0000_0002_0000_0fffn); // CR1, CR2
    expect([rig.read(0x28), rig.read(0x2c)]).toEqual([0xfc0, 2]);
  });
});

describe('page 1 (§6.3.95 to §6.3.98)', () => {
  it('the event queue indexes are in page 1, and in page 0 where the SMMU says so', () => {
    const rig = new Rig();
    rig.write(0xac, 0x8000_0007);
    expect([rig.read(0xac), rig.read(0x100ac)]).toEqual([0x8000_0007, 0x8000_0007]);
  });

  it('without the alias page 0 reads zero and ignores writes', () => {
    const rig = new Rig({ features: { page0Queues: false } });
    rig.write(0xac, 7);
    expect([rig.read(0xac), rig.read(0x100ac), rig.read(0xa8)]).toEqual([0, 0, 0]);
    rig.write(0x100ac, 7);
    expect(rig.read(0x100ac)).toBe(7);
  });
});

describe('GBPA (§6.3.14)', () => {
  it('changes only with Update=1, which hardware clears', () => {
    const rig = new Rig({ off: true });
    rig.write(0x44, 1 << 20);
    expect(rig.read(0x44)).toBe(0);
    rig.write(0x44, 0x8010_1000);
    expect(rig.read(0x44)).toBe(0x8010_1000);
    rig.write(0x44, 0x8000_0000); // while an update is under way: ignored
    rig.settle();
    expect(rig.read(0x44)).toBe(0x0010_1000);
  });
});

describe('save and restore', () => {
  it('bases, indexes and enables go along; identification stays', () => {
    const one = new Rig();
    one.run([0x30n, 0n]);
    const saved = one.model.save();
    expect(saved[0x98 / 4]).toBe(2);
    const other = new Rig({ features: QEMU, off: true });
    other.model.restore(saved);
    expect(other.read(0x0)).toBe(0x0d44101b);
    expect([other.read(0x20), other.read(0x24), other.read(0x98), other.read(0x9c)]).toEqual([0xd, 0xd, 2, 2]);
    expect(other.read(0x80)).toBe(STRTAB);
    expect(other.read(0x90)).toBe(CMDQ + 8);
    expect(other.read(0xa0)).toBe(EVTQ + 7);
  });

  it('a dump that is too short restores what it has', () => {
    const rig = new Rig();
    rig.model.restore(new Uint32Array(4));
    expect([rig.read(0x20), rig.read(0x24), rig.read(0x98)]).toEqual([0, 0, 0]);
  });
});
