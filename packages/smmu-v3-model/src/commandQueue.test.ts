/** The command queue: IHI 0070 §3.5, §4.1, §4.7.3, §4.8, §7.1. Commands are dwords typed by hand. */
import { describe, expect, it } from 'vitest';
import { CMDQ, DATA, Rig, STE_BYPASS, STE_V, USER_RW } from '../test/rig.ts';
import type { ModelFeatures } from './features.ts';

const SYNC: [bigint, bigint] = [0x46n, 0n];
const SID = 1n << 32n;
/** CMDQ_CONS.ERR. */
const errorOf = (rig: Rig): number => (rig.read(0x9c) >>> 24) & 0x7f;
const GERROR_CMDQ = 1;

describe('consumption', () => {
  it('CONS follows PROD, in time', () => {
    const rig = new Rig();
    rig.queue([0x30n, 0n], [0x30n, 0n], SYNC);
    rig.ring();
    expect(rig.read(0x9c)).toBe(0);
    expect(rig.scheduler.spin(() => rig.read(0x9c) === 3, 10_000)).toBe(true);
    expect(rig.model.stats.commands).toEqual({ CMD_TLBI_NSNH_ALL: 2, CMD_SYNC: 1 });
  });

  it('wraps: indexes carry the wrap bit round and round', () => {
    const rig = new Rig({ cmdqLog2: 2 });
    for (let i = 0; i < 25; i++) {
      rig.run([0x30n, 0n]);
      expect(rig.read(0x9c)).toBe(rig.prod);
      expect(rig.prod).toBe(((i + 1) * 2) % 8);
    }
    expect(rig.model.stats.commands.CMD_SYNC).toBe(25);
  });

  it('a full queue is consumed; more than a task takes as well', () => {
    const rig = new Rig({ cmdqLog2: 11 });
    for (let i = 0; i < 2048; i++) rig.queue([0x30n, 0n]);
    rig.ring();
    rig.settle();
    expect(rig.read(0x9c)).toBe(2048);
  });

  it('nothing is consumed while CMDQEN=0; enabling starts it', () => {
    const rig = new Rig({ off: true });
    rig.write(0x20, 4);
    rig.settle();
    rig.queue(SYNC);
    rig.ring();
    rig.settle();
    expect(rig.read(0x9c)).toBe(0);
    rig.write(0x20, 0xc);
    rig.settle();
    expect(rig.read(0x9c)).toBe(1);
  });

  it('a CMDQEN that is cleared before the task runs stops it', () => {
    const rig = new Rig();
    rig.write(0x20, 5);
    rig.scheduler.spin(() => rig.read(0x24) === 5, 90);
    rig.queue(SYNC);
    rig.ring();
    rig.settle();
    expect(rig.read(0x24)).toBe(5);
    rig.write(0x98, 0);
  });

  it('the queue lies at its base; bits below its size count as zero; LOG2SIZE counts up to IDR1.CMDQS', () => {
    const rig = new Rig({ features: { cmdqLog2Max: 4 }, off: true });
    rig.write(0x20, 4);
    rig.settle();
    rig.write64(0x90, BigInt(CMDQ + 0x60) | 10n);
    rig.write(0x20, 0xc);
    rig.settle();
    rig.put(CMDQ, ...SYNC);
    rig.write(0x98, 17); // index 1 after a wrap, if there are 16 entries
    for (let i = 1; i < 16; i++) rig.put(CMDQ + i * 16, 0x30n, 0n);
    rig.settle();
    expect(rig.read(0x9c)).toBe(17);
    expect(rig.model.stats.commands).toEqual({ CMD_SYNC: 2, CMD_TLBI_NSNH_ALL: 15 });
  });

  it('seeds vary how many commands a task takes', () => {
    const batches = [1, 2, 3, 4].map((seed) => {
      const rig = new Rig({ seed, cmdqLog2: 10 });
      for (let i = 0; i < 1000; i++) rig.queue([0x30n, 0n]);
      rig.ring();
      rig.scheduler.step();
      return rig.read(0x9c);
    });
    expect(new Set(batches).size).toBeGreaterThan(1);
    for (const batch of batches) expect(batch >= 16 && batch <= 256).toBe(true);
  });
});

describe('CERROR_ILL (§4.1): consumption stops at the command, the reason is in CONS, GERROR becomes active', () => {
  const f = (features: Partial<ModelFeatures>): Partial<ModelFeatures> => features;
  it.each<[string, [bigint, bigint], Partial<ModelFeatures>]>([
    ['opcode 0', [0n, 0n], {}],
    ['a reserved opcode', [0xffn, 0n], {}],
    ['an implementation-defined opcode', [0x80n, 0n], {}],
    ['CFGI_VMS_PIDM without MPAM', [0x07n, 0n], {}],
    ['TLBI_EL3_ALL off the Secure queue', [0x18n, 0n], {}],
    ['TLBI_EL3_VA off the Secure queue', [0x1an, 0n], {}],
    ['TLBI_S_EL2_ALL off the Secure queue', [0x50n, 0n], {}],
    ['TLBI_S_EL2_VA off the Secure queue', [0x52n, 0n], {}],
    ['TLBI_S_S12_VMALL off the Secure queue', [0x58n, 0n], {}],
    ['TLBI_S_S2_IPA off the Secure queue', [0x5an, 0n], {}],
    ['TLBI_SNH_ALL off the Secure queue', [0x60n, 0n], {}],
    ['DPTI_ALL without a device permission table', [0x70n, 0n], {}],
    ['DPTI_PA without a device permission table', [0x73n, 0n], {}],
    ['ATC_INV without ATS', [0x40n, 0n], f({ ats: false, pri: false })],
    ['PRI_RESP without PRI', [0x41n, 0n], f({ pri: false })],
    ['CMD_SYNC CS=3', [0x46n | (3n << 12n), 0n], {}],
    ['PREFETCH_CONFIG SSec=1', [0x01n | (1n << 10n), 0n], {}],
    ['PREFETCH_ADDR SSec=1', [0x02n | (1n << 10n), 0n], {}],
    ['CFGI_STE SSec=1', [0x03n | (1n << 10n), 0n], {}],
    ['CFGI_STE_RANGE SSec=1', [0x04n | (1n << 10n), 0n], {}],
    ['CFGI_CD SSec=1', [0x05n | (1n << 10n), 0n], {}],
    ['CFGI_CD without stage 1', [0x05n, 0n], f({ stage1: false })],
    ['CFGI_CD_ALL SSec=1', [0x06n | (1n << 10n), 0n], {}],
    ['CFGI_CD_ALL without stage 1', [0x06n, 0n], f({ stage1: false })],
    ['TLBI_NH_ALL without stage 1', [0x10n, 0n], f({ stage1: false })],
    ['TLBI_NH_ASID without stage 1', [0x11n, 0n], f({ stage1: false })],
    ['TLBI_NH_VA without stage 1', [0x12n, 0n], f({ stage1: false })],
    ['TLBI_NH_VAA without stage 1', [0x13n, 0n], f({ stage1: false })],
    ['TLBI_EL2_ALL without Hyp', [0x20n, 0n], f({ hyp: false })],
    ['TLBI_EL2_ASID without Hyp', [0x21n, 0n], f({ hyp: false })],
    ['TLBI_EL2_VA without Hyp', [0x22n, 0n], f({ hyp: false })],
    ['TLBI_EL2_VAA without Hyp', [0x23n, 0n], f({ hyp: false })],
    ['TLBI_S12_VMALL without stage 2', [0x28n, 0n], f({ stage2: false })],
    ['TLBI_S2_IPA without stage 2', [0x2an, 0n], f({ stage2: false })],
    ['TLBI_NH_VA: a granule and no range', [0x12n, 1n << 10n], {}],
    ['TLBI_NH_VAA: a granule and no range', [0x13n, 2n << 10n], {}],
    ['TLBI_EL2_VA: a granule and no range', [0x22n, 3n << 10n], {}],
    ['TLBI_EL2_VAA: a granule and no range', [0x23n, 1n << 10n], {}],
    ['TLBI_S2_IPA: a granule and no range', [0x2an, 1n << 10n], {}],
    ['TLBI_NH_VA: level 1 of 16 KiB pages counts as none without DS', [0x12n, (2n << 10n) | (1n << 8n)], {}],
    ['RESUME SSec=1', [0x44n | (1n << 10n), 0n], {}],
    ['RESUME where stalls cannot be had', [0x44n, 0n], f({ stallModel: 1 })],
    ['STALL_TERM SSec=1', [0x45n | (1n << 10n), 0n], {}],
    ['STALL_TERM where stalls cannot be had', [0x45n, 0n], f({ stallModel: 1 })],
  ])('%s', (_, command, features) => {
    const rig = new Rig({ features });
    rig.queue([0x46n, 0n], command, [0x46n, 0n]);
    rig.ring();
    rig.settle();
    expect([rig.read(0x9c) & 0xfffff, errorOf(rig)]).toEqual([1, 1]);
    expect((rig.read(0x60) ^ rig.read(0x64)) & GERROR_CMDQ).toBe(1);
    expect(rig.lines.gerror.raised).toBe(1);
    expect(rig.model.stats.commands).toEqual({ CMD_SYNC: 1 });
  });

  it.each<[string, [bigint, bigint], Partial<ModelFeatures>]>([
    ['a granule with NUM', [0x12n | (1n << 12n), 1n << 10n], {}],
    ['a granule with SCALE', [0x12n | (1n << 20n), 1n << 10n], {}],
    ['a granule with a level', [0x12n, (1n << 10n) | (1n << 8n)], {}],
    ['a granule, where there are no ranges', [0x12n, 1n << 10n], { rangeInv: false }],
    ['PREFETCH_CONFIG of a stream that is not there', [0x01n | (99n << 32n), 0n], {}],
    ['RESUME of a tag that is not in use', [0x44n | SID, 5n], {}],
    ['STALL_TERM of a stream without stalls', [0x45n | SID, 0n], {}],
  ])('legal: %s', (_, command, features) => {
    const rig = new Rig({ features });
    rig.run(command);
    expect([rig.read(0x9c), rig.read(0x60)]).toEqual([2, 0]);
  });
});

describe('CERROR_ABT', () => {
  it('an external abort on the fetch stops the queue there', () => {
    const rig = new Rig({ off: true });
    rig.write(0x20, 4);
    rig.settle();
    rig.write64(0x90, 0x1_0000_0008n);
    rig.write(0x20, 0xd);
    rig.settle();
    rig.write(0x98, 1);
    rig.settle();
    expect([rig.read(0x9c) & 0xfffff, errorOf(rig)]).toEqual([0, 2]);
    expect(rig.read(0x60)).toBe(1);
  });

  it('also on the second half of a command', () => {
    const rig = new Rig();
    const read = rig.memory.read64.bind(rig.memory);
    rig.memory.read64 = (pa) => pa !== CMDQ + 8 && read(pa);
    rig.run();
    expect(errorOf(rig)).toBe(2);
  });

  it('a base beyond the output size is truncated (§3.4.3)', () => {
    const rig = new Rig({ features: { oasBits: 40 }, off: true });
    rig.write(0x20, 4);
    rig.settle();
    rig.write64(0x90, (1n << 44n) | BigInt(CMDQ) | 8n);
    rig.write(0x20, 0xc);
    rig.settle();
    rig.run();
    expect([rig.read(0x9c), errorOf(rig)]).toEqual([1, 0]);
  });
});

describe('restart (§7.1)', () => {
  it('when GERRORN matches, the command is fetched again from memory', () => {
    const rig = new Rig();
    rig.queue([0xffn, 0n], SYNC);
    rig.ring();
    rig.settle();
    rig.ring(); // PROD does not restart it
    rig.settle();
    expect(rig.read(0x9c) & 0xfffff).toBe(0);
    rig.put(CMDQ, 0x46n, 0n); // as Linux: the bad command becomes a CMD_SYNC
    rig.write(0x64, 1);
    rig.settle();
    expect([rig.read(0x9c), rig.read(0x60)]).toEqual([2, 1]);
    expect(rig.model.stats.commands).toEqual({ CMD_SYNC: 2 });
  });

  it('the same bad command stops it again, with another toggle', () => {
    const rig = new Rig();
    rig.queue([0xffn, 0n]);
    rig.ring();
    rig.settle();
    rig.write(0x64, 1);
    rig.settle();
    expect([rig.read(0x60), rig.lines.gerror.raised]).toEqual([0, 2]);
  });
});

describe('what software must not do (CONSTRAINED UNPREDICTABLE)', () => {
  it('PROD moved backwards is consumed round the queue until the indexes meet', () => {
    const rig = new Rig({ cmdqLog2: 2 });
    for (let i = 0; i < 4; i++) rig.put(CMDQ + i * 16, 0x30n, 0n);
    rig.write(0x98, 2);
    rig.settle();
    rig.write(0x98, 1);
    rig.settle();
    expect([rig.read(0x9c), rig.model.stats.commands.CMD_TLBI_NSNH_ALL]).toEqual([1, 9]);
  });
  it('GERRORN toggled where nothing is active makes the error active, without an interrupt', () => {
    const rig = new Rig();
    rig.write(0x64, 1);
    rig.run();
    expect([rig.read(0x9c), rig.lines.gerror.raised]).toEqual([0, 0]);
    rig.write(0x64, 0);
    rig.settle();
    expect(rig.read(0x9c)).toBe(1);
  });
});

describe('CMD_SYNC (§4.7.3)', () => {
  it('CS=0 signals nothing', () => {
    const rig = new Rig();
    rig.run();
    expect([rig.lines.cmdSync.raised, rig.wakes]).toEqual([0, 0]);
  });
  it('CS=1 raises the wire, and writes a message if there is an address', () => {
    const rig = new Rig();
    rig.queue([0x46n | (1n << 12n), 0n], [0x46n | (1n << 12n) | (0x1234_5678n << 32n), BigInt(DATA)]);
    rig.ring();
    rig.settle();
    expect(rig.lines.cmdSync.raised).toBe(2);
    expect(rig.get(DATA)).toBe(0x1234_5678n);
  });
  it('without MSI the address is ignored', () => {
    const rig = new Rig({ features: { msi: false } });
    rig.queue([0x46n | (1n << 12n) | (5n << 32n), BigInt(DATA)]);
    rig.ring();
    rig.settle();
    expect([rig.get(DATA), rig.lines.cmdSync.raised]).toEqual([0n, 1]);
  });
  it('CS=2 is a wake-up event where the SMMU has one', () => {
    for (const sev of [true, false]) {
      const rig = new Rig({ features: { sev } });
      rig.run([0x46n | (2n << 12n), 0n]);
      expect(rig.wakes).toBe(sev ? 1 : 0);
      expect(rig.read(0x9c)).toBe(2);
    }
  });
  it('a message that aborts is GERROR.MSI_CMDQ_ABT_ERR; the CMD_SYNC completes', () => {
    const rig = new Rig();
    rig.queue([0x46n | (1n << 12n), 0x1_0000_0000n]);
    rig.ring();
    rig.settle();
    expect([rig.read(0x60), rig.read(0x9c), rig.lines.cmdSync.raised]).toEqual([1 << 4, 1, 1]);
  });
  it('its effects come before its message and before CONS', () => {
    const rig = new Rig();
    const ttb = rig.stage1();
    const place = rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
    rig.put(place, 0n);
    const seen: number[] = [];
    rig.memory.observer = (pa) => {
      if (pa === DATA) seen.push(rig.translate(1, 0x1000n), rig.read(0x9c));
    };
    rig.queue([0x11n | (1n << 48n), 0n], [0x46n | (1n << 12n) | (1n << 32n), BigInt(DATA)]);
    rig.ring();
    rig.settle();
    expect(seen).toEqual([-0x10, 1]);
  });
});

describe('prefetch (§4.2): hints that may fill the caches, in silence', () => {
  it('PREFETCH_CONFIG reads STE and CD', () => {
    const rig = new Rig();
    const ttb = rig.stage1();
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
    rig.run([0x01n | SID, 0n]);
    rig.ste(1, 0n);
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
    rig.run([0x01n | SID | (1n << 11n) | (5n << 12n), 0n], [0x01n | (3n << 32n), 0n]);
    expect(rig.events()).toEqual([]);
  });
  it('PREFETCH_ADDR walks, in steps', () => {
    const rig = new Rig();
    const ttb = rig.stage1();
    const places = [0n, 1n, 2n, 3n].map((i) => rig.map(ttb, i * 0x2000n, BigInt(DATA) | USER_RW));
    // Size=2: four translations; Stride=1: every 8 KiB.
    rig.run([0x02n | SID, (1n << 5n) | 2n]);
    for (const place of places) rig.put(place, 0n);
    for (const i of [0n, 1n, 2n, 3n]) expect(rig.translate(1, i * 0x2000n)).toBe(DATA);
    rig.run([0x02n | SID | (1n << 11n), 31n | (31n << 5n) | 0xffff_ffff_ffff_f000n]);
    expect(rig.events()).toEqual([]);
  });
  it('nothing happens while SMMUEN=0', () => {
    const rig = new Rig({ off: true });
    rig.ste(1, STE_V | STE_BYPASS);
    rig.run([0x01n | SID, 0n], [0x02n | SID, 0n]);
    rig.ste(1, 0n);
    rig.write(0x20, 0xd);
    rig.settle();
    expect(rig.translate(1, 0n)).toBe(-0x04);
  });
});
