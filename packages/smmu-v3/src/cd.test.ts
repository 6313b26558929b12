/** The second source: masks of Linux arm-smmu-v3.h, CTXDESC_CD_*. */
import { describe, expect, it } from 'vitest';
import { fakeBoard, REG } from '../test/fakeSmmu.ts';
import { CdWriter, cdKind, makeReleasedCd, makeStage1Cd, makeSvaCd } from './cd.ts';
import { CommandQueue } from './cmdq.ts';
import { newSte } from './ste.ts';

// 48-bit VA, 4K, walks inner/outer WBWA inner shareable, 44-bit output
const STAGE1 = {
  ttbr: 0x8_1234_5000,
  tcr: { tsz: 16, tg: 0, sh: 3, orgn: 1, irgn: 1, ips: 4 },
  mairLo: 0x0044_ff04,
  mairHi: 0x0000_0044,
};
const PLAIN = { asid: 0x1234, stall: false, hardwareAccessFlag: false, hardwareDirty: false };
const dwords = (make: (target: Uint32Array) => void): bigint[] => {
  const entry = newSte().fill(0xffff_ffff);
  make(entry);
  return [...new BigUint64Array(entry.buffer)];
};
const TCR = 16n | (1n << 8n) | (1n << 10n) | (3n << 12n);
const V = 1n << 31n;
const EPD1 = 1n << 30n;
const IPS = 4n << 32n;
const AA64 = 1n << 41n;
const HD = 1n << 42n;
const HA = 1n << 43n;
const S = 1n << 44n;
const R = 1n << 45n;
const A = 1n << 46n;
const ASET = 1n << 47n;
const ASID = 0x1234n << 48n;
const MAIR = 0x0000_0044_0044_ff04n;
const TTB0 = 0x8_1234_5000n;
const hex = (list: bigint[]) => list.map((dword) => dword.toString(16));

describe('context descriptors as the kernel writes them', () => {
  it('a domain of the driver: private ASID, faults abort and are recorded', () => {
    expect(hex(dwords((t) => makeStage1Cd(t, STAGE1, PLAIN)))).toEqual(
      hex([TCR | EPD1 | V | IPS | AA64 | R | A | ASET | ASID, TTB0, 0n, MAIR, 0n, 0n, 0n, 0n]),
    );
  });
  it('a process: shared ASID, faults stall', () => {
    expect(hex(dwords((t) => makeSvaCd(t, STAGE1, { ...PLAIN, stall: true })))).toEqual(
      hex([TCR | EPD1 | V | IPS | AA64 | S | R | A | ASID, TTB0, 0n, MAIR, 0n, 0n, 0n, 0n]),
    );
  });
  it('a process whose tables hardware updates', () => {
    const [dword0] = dwords((t) => makeSvaCd(t, STAGE1, { ...PLAIN, hardwareAccessFlag: true, hardwareDirty: true }));
    expect(dword0).toBe(TCR | EPD1 | V | IPS | AA64 | HA | HD | R | A | ASID);
  });
  it('a process that has exited: valid, no tables, aborts without records (§5.5: A=1, R=0, S=0)', () => {
    const EPD0 = 1n << 14n;
    expect(hex(dwords((t) => makeReleasedCd(t, STAGE1, 4, 0x1234, false)))).toEqual(
      hex([EPD0 | EPD1 | V | IPS | AA64 | A | ASID, 0n, 0n, MAIR, 0n, 0n, 0n, 0n]),
    );
  });
  it('an SMMU that always stalls demands that S says so (§5.4.2)', () => {
    const [dword0] = dwords((t) => makeReleasedCd(t, STAGE1, 4, 0x1234, true));
    expect(dword0! & S).toBe(S);
  });
});

describe('what a context descriptor uses', () => {
  const used = (entry: Uint32Array) => {
    const bits = newSte();
    cdKind.usedBits(entry, bits);
    return hex([...new BigUint64Array(bits.buffer)]);
  };
  it('invalid: V', () => expect(used(newSte())).toEqual([V.toString(16), ...Array(7).fill('0')]));
  it('valid: everything', () => {
    const entry = newSte();
    makeStage1Cd(entry, STAGE1, PLAIN);
    expect(used(entry)).toEqual(Array(8).fill('ffffffffffffffff'));
  });
  it('with EPD0 all but what is about TTB0', () => {
    const entry = newSte();
    makeReleasedCd(entry, STAGE1, 4, 1, false);
    // T0SZ 5:0, TG0 7:6, IR0 9:8, OR0 11:10, SH0 13:12; TTB0 119:68
    expect(used(entry)).toEqual(['ffffffffffffc000', 'ff0000000000000f', ...Array(6).fill('ffffffffffffffff')]);
  });
});

describe('CdWriter', () => {
  it('invalidates the descriptor for every stream that shares the table', () => {
    const board = fakeBoard();
    const cmdq = new CommandQueue({ ...board, log2Entries: 4, completeToMemory: false, handleGerror: () => {} });
    board.registers.write64(REG.CMDQ_BASE, cmdq.queue.base + 4, 0);
    board.registers.write32(REG.CR0, 8);
    const writer = new CdWriter(board.memory, board.coherence, cmdq);
    writer.owner = { streamIds: [8, 9] };
    writer.ssid = 5;
    const cd = newSte();
    makeStage1Cd(cd, STAGE1, PLAIN);
    writer.write(board.pages.allocPages(4096), cd);
    const step = [
      ['CMD_CFGI_CD', 0x5005, 8],
      ['CMD_CFGI_CD', 0x5005, 9],
      ['CMD_SYNC', 0x46, 0],
    ];
    expect(board.hardware.commands.map(({ name, words }) => [name, words[0], words[1]])).toEqual([...step, ...step]);
  });
});
