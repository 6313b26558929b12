/** Translations that succeed: granules, input sizes, start levels, blocks, halves. Arm DDI 0487 D8.2; IHI 0070 §3.4. */
import type { Scenario } from '../scenario.ts';
import { BLOCK, S1_RW } from '../scene/bits.ts';
import { group } from '../scene/group.ts';
import { DATA, type GranuleShift, type Scene, SID, SID2, startLevelOf } from '../scene/scene.ts';

const SIZES: Record<GranuleShift, number[]> = {
  12: [48, 47, 40, 39, 38, 31, 30, 25],
  14: [48, 47, 46, 37, 36, 35, 25],
  16: [48, 47, 43, 42, 41, 30, 29, 25],
};

export const stage1Tables: readonly Scenario[] = group('stage1-tables', (add) => {
  for (const granule of [12, 14, 16] as GranuleShift[]) {
    const kib = 2 ** granule / 1024;
    for (const inputBits of SIZES[granule])
      add(
        `${kib}k-${inputBits}-bits`,
        `${kib} KiB pages, ${inputBits} bits: a walk from level ${startLevelOf(granule, inputBits)}`,
        '3.4',
        (s) => {
          const tree = s.stage1(SID, { granule, inputBits });
          const top = (1n << BigInt(inputBits)) - BigInt(2 ** granule);
          s.page(tree, 0n, DATA);
          s.page(tree, top, DATA + 0x2_0000);
          s.on()
            .reads(SID, 0x24n, DATA + 0x24)
            .writes(SID, top + 0x28n, DATA + 0x2_0028)
            .reads(SID, top + 0x2cn, DATA + 0x2_002c)
            .faults(SID, top - BigInt(2 ** granule), 'F_TRANSLATION')
            .faults(SID, 1n << BigInt(inputBits), 'F_TRANSLATION');
        },
      );
    for (const inputBits of [48, SIZES[granule][3]!])
      add(`${kib}k-upper-${inputBits}`, `${kib} KiB pages of the upper half, ${inputBits} bits`, '3.4', (s) => {
        const tree = s.stage1(SID, { granule, inputBits, upper: true });
        const bottom = (1n << 64n) - (1n << BigInt(inputBits));
        const last = (1n << 64n) - BigInt(2 ** granule);
        s.page(tree, bottom, DATA);
        s.page(tree, last, DATA + 0x2_0000);
        s.on()
          .reads(SID, bottom + 4n, DATA + 4)
          .writes(SID, last + 8n, DATA + 0x2_0008)
          .faults(SID, bottom + BigInt(2 ** granule), 'F_TRANSLATION')
          .faults(SID, 0n, 'F_TRANSLATION');
      });
    add(`${kib}k-offset`, `Every bit of the offset in a ${kib} KiB page goes through`, '3.4', (s) => {
      const tree = s.stage1(SID, { granule });
      s.page(tree, 0x5555_0000_0000n & ~BigInt(2 ** granule - 1), DATA);
      s.on();
      for (let bit = 2; bit < granule; bit++)
        s.reads(SID, (0x5555_0000_0000n & ~BigInt(2 ** granule - 1)) + BigInt(2 ** bit), DATA + 2 ** bit);
    });
    add(`${kib}k-root-align`, `TTB bits below the first table's size act as 0 (${kib} KiB)`, '5.4', (s) => {
      const inputBits = { 12: 30, 14: 36, 16: 42 }[granule];
      const tree = s.stage1(SID, { granule, inputBits });
      s.page(tree, 0x1_0000n, DATA);
      s.on().reads(SID, 0x1_0000n, DATA);
    });
  }
  for (const [granule, level, log2, va] of [
    [12, 2, 21, 0x12_3460_0000n],
    [12, 1, 30, 0x40_0000_0000n],
    [14, 2, 25, 0x12_3600_0000n],
    [16, 2, 29, 0x40_0000_0000n],
  ] as [GranuleShift, number, number, bigint][]) {
    const kib = 2 ** granule / 1024;
    const pa = 0x4800_0000 - (0x4800_0000 % 2 ** log2);
    const offset = 0x4800_0000 - pa;
    add(`block-${kib}k-l${level}`, `A level ${level} block of 2^${log2} bytes (${kib} KiB granule)`, '3.4', (s) => {
      const tree = s.stage1(SID, { granule });
      s.map(tree, va, BigInt(pa) | BLOCK | S1_RW, level);
      s.on()
        .reads(SID, va + BigInt(offset), DATA)
        .writes(SID, va + BigInt(offset + 0x10_0004), DATA + 0x10_0004)
        .reads(SID, va + BigInt(offset + 0x1_2344), DATA + 0x1_2344)
        .faults(SID, va + (1n << BigInt(log2)), 'F_TRANSLATION');
    });
    add(
      `block-${kib}k-l${level}-size`,
      `A level ${level} block beyond IPS is F_ADDR_SIZE (${kib} KiB granule)`,
      '7.3.14',
      (s) => {
        const tree = s.stage1(SID, { granule, cd: { IPS: 0 } });
        s.map(tree, va, (1n << 33n) | BLOCK | S1_RW, level);
        s.on().faults(SID, va + 0x1234n, 'F_ADDR_SIZE');
      },
    );
  }
  add('both-halves', 'Both halves at once, with granules of their own', '3.4', (s) => {
    const low = s.stage1();
    const high = s.tree1({ granule: 16, inputBits: 42, upper: true });
    s.cdAt(low.cd, { ...s.plainCd(low), EPD1: 0, T1SZ: 22, TG1: 3, TTB1: high.root });
    s.page(low, 0x1000n, DATA);
    s.page(high, 0xffff_ffff_ffff_0000n, DATA + 0x1_0000);
    s.on()
      .reads(SID, 0x1000n, DATA)
      .reads(SID, 0xffff_ffff_ffff_8000n, DATA + 0x1_8000);
  });
  add('two-streams', 'Two streams have two address spaces', '3.3', (s) => {
    const one = s.stage1(SID, { asid: 1 });
    const two = s.stage1(SID2, { asid: 2 });
    s.page(one, 0x1000n, DATA);
    s.page(two, 0x1000n, DATA + 0x1000);
    s.on()
      .reads(SID, 0x1000n, DATA)
      .reads(SID2, 0x1000n, DATA + 0x1000)
      .writes(SID, 0x1010n, DATA + 0x10);
  });
  add('shared-asid', 'Two streams with one CD share translations', '3.17', (s) => {
    const tree = s.stage1(SID);
    s.ste(SID2, { V: 1, Config: 5, S1ContextPtr: tree.cd });
    s.page(tree, 0x1000n, DATA);
    s.on()
      .reads(SID, 0x1000n, DATA)
      .reads(SID2, 0x1008n, DATA + 8);
  });
  const every = (s: Scene, sid: number): void => {
    const tree = s.stage1(sid);
    s.page(tree, 0x1000n, DATA);
    s.on()
      .reads(sid, 0x1000n, DATA)
      .writes(sid, 0x1004n, DATA + 4)
      .faults(sid, 0x2000n, 'F_TRANSLATION');
  };
  for (const sid of [0x08, 0x11, 0x12, 0xf8, 0x100, 0x101])
    add(`stream-0x${sid.toString(16)}`, `StreamID 0x${sid.toString(16)} finds its own STE`, '3.3', (s) =>
      every(s, sid),
    );
});
