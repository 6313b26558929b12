/** Stage 2 alone: geometry, faults, permissions. IHI 0070 §3.3, §5.2, §7.3; Arm DDI 0487 D8.2. */
import type { Scenario } from '../scenario.ts';
import { AF, BLOCK, S2_RO, S2_RW, S2_WO, type SteValues } from '../scene/bits.ts';
import { group } from '../scene/group.ts';
import { DATA, type GranuleShift, NOWHERE, type Scene, SID, type Stage2Options } from '../scene/scene.ts';

const IPA = 0x12_3456_7000n;
const LOW = 0x3456_7000n;
const S2 = { S2: 1 } as const;
const ipaOf = (address: bigint): { S2: 1; IPA: bigint } => ({ S2: 1, IPA: address & ~0xfffn });

const badSte =
  (values: SteValues, options: Stage2Options = {}) =>
  (s: Scene): void => {
    const tree = s.stage2(SID, { ...options, ste: values });
    s.page2(tree, IPA & 0xffff_ffffn);
    s.on().faults(SID, IPA & 0xffff_ffffn, 'C_BAD_STE');
  };
const goodSte =
  (values: SteValues, options: Stage2Options = {}) =>
  (s: Scene): void => {
    const tree = s.stage2(SID, { ...options, ste: values });
    s.page2(tree, IPA);
    s.on()
      .reads(SID, IPA + 4n, DATA + 4)
      .writes(SID, IPA + 8n, DATA + 8);
  };

/** Granule, bits of IPA, start level. */
const SHAPES: [GranuleShift, number, number][] = [
  [12, 44, 0],
  [12, 43, 1],
  [12, 42, 1],
  [12, 40, 1],
  [12, 39, 1],
  [12, 34, 2],
  [12, 32, 2],
  [12, 31, 2],
  [14, 44, 1],
  [14, 40, 2],
  [14, 38, 2],
  [14, 36, 2],
  [14, 27, 3],
  [16, 44, 1],
  [16, 43, 1],
  [16, 42, 2],
  [16, 40, 2],
  [16, 33, 3],
  [16, 30, 3],
];

export const stage2: readonly Scenario[] = group('stage2', (add) => {
  for (const [granule, bits, startLevel] of SHAPES) {
    const kib = 2 ** granule / 1024;
    add(
      `${kib}k-${bits}-l${startLevel}`,
      `${kib} KiB pages, ${bits} bits of IPA from level ${startLevel}`,
      '5.2',
      (s) => {
        const tree = s.stage2(SID, { granule, inputBits: bits, startLevel });
        const top = (1n << BigInt(bits)) - BigInt(2 ** granule);
        s.page2(tree, 0n, DATA);
        s.page2(tree, top, DATA + 0x2_0000);
        s.on()
          .reads(SID, 0x24n, DATA + 0x24)
          .writes(SID, top + 0x28n, DATA + 0x2_0028);
        s.reads(SID, top + 0x2cn, DATA + 0x2_002c);
        const below = top - BigInt(2 ** granule);
        s.faults(SID, below, 'F_TRANSLATION', ipaOf(below));
      },
    );
  }
  add('beyond-t0sz', 'An IPA beyond S2T0SZ is F_TRANSLATION of stage 2', '3.4.3', (s) => {
    const tree = s.stage2(SID, { inputBits: 40 });
    s.page2(tree, 0n);
    s.on()
      .faults(SID, 1n << 40n, 'F_TRANSLATION', ipaOf(1n << 40n))
      .reads(SID, 0n, DATA);
  });
  add('beyond-ias', 'An address beyond the IPA size with stage 1 bypassed is F_ADDR_SIZE of stage 1', '3.4', (s) => {
    const tree = s.stage2(SID, { inputBits: 44 });
    s.page2(tree, 0n);
    s.on()
      .faults(SID, 1n << 44n, 'F_ADDR_SIZE')
      .faultsWrite(SID, 1n << 60n, 'F_ADDR_SIZE');
  });
  add('t0sz-40', 'S2T0SZ=40 is C_BAD_STE without small tables', '5.2.2', badSte({ S2T0SZ: 40 }));
  add(
    't0sz-small',
    'S2T0SZ below 64 minus the IPA size is C_BAD_STE',
    '5.2.2',
    badSte({ S2T0SZ: 19 }, { inputBits: 44 }),
  );
  add('t0sz-0', 'S2T0SZ=0 is C_BAD_STE', '5.2.2', badSte({ S2T0SZ: 0 }));
  add('t0sz-ps', 'S2T0SZ may be smaller than 64 minus S2PS', '5.2.2', goodSte({ S2PS: 2 }, { inputBits: 44 }));
  add('tg-reserved', 'S2TG=3 is C_BAD_STE', '5.2.2', badSte({ S2TG: 3 }));
  add('sl0-3', 'S2SL0=3 with 4 KiB pages is C_BAD_STE without small tables', '5.2.2', badSte({ S2SL0: 3 }));
  add('sl0-3-64k', 'S2SL0=3 with 64 KiB pages is C_BAD_STE', '5.2.2', badSte({ S2SL0: 3 }, { granule: 16 }));
  add('sl0-low', 'A start level too low for the size is C_BAD_STE', '5.2.2', badSte({ S2SL0: 0 }, { inputBits: 40 }));
  add('sl0-high', 'A start level too high for the size is C_BAD_STE', '5.2.2', badSte({ S2SL0: 2 }, { inputBits: 32 }));
  add(
    'sl0-low-16k',
    '16 KiB: a start level too low for the size is C_BAD_STE',
    '5.2.2',
    badSte({ S2SL0: 0 }, { granule: 14, inputBits: 40 }),
  );
  add(
    'sl0-high-16k',
    '16 KiB: a start level too high for the size is C_BAD_STE',
    '5.2.2',
    badSte({ S2SL0: 2 }, { granule: 14, inputBits: 30 }),
  );
  add(
    'sl0-low-64k',
    '64 KiB: a start level too low for the size is C_BAD_STE',
    '5.2.2',
    badSte({ S2SL0: 0 }, { granule: 16, inputBits: 40 }),
  );
  add('endi', 'S2ENDI=1 where tables are little-endian is C_BAD_STE', '5.2.2', badSte({ S2ENDI: 1 }));
  add('s2s', 'S2S=1 where no stalls exist is C_BAD_STE', '5.2.2', badSte({ S2S: 1 }));
  add('ha', 'S2HA=1 without hardware updates is C_BAD_STE', '5.2.2', badSte({ S2HA: 1 }));
  add('hd', 'S2HD=1 without hardware updates is C_BAD_STE', '5.2.2', badSte({ S2HD: 1 }));
  add('aa64', 'S2AA64=0 without AArch32 tables is C_BAD_STE', '5.2.2', badSte({ S2AA64: 0 }));
  add('ttb-ps', 'S2TTB beyond S2PS is C_BAD_STE', '5.2.2', badSte({ S2PS: 0, S2TTB: 2n ** 32n }));
  add('ttb-oas', 'S2TTB beyond the output size is C_BAD_STE', '5.2.2', badSte({ S2TTB: 2n ** 44n }));
  add('ttb-high', 'No bit of S2TTB beyond the output size is overlooked', '5.2.2', (s) => {
    const tree = s.stage2();
    s.page2(tree, IPA & 0xffff_ffffn);
    s.ste(SID, { V: 1, Config: 6, ...s.plainS2(tree), S2TTB: 2n ** 50n + BigInt(tree.root) });
    s.on().faults(SID, IPA & 0xffff_ffffn, 'C_BAD_STE');
  });
  add('ttb-low', "S2TTB bits below the first table's size act as 0", '5.2', (s) => {
    const tree = s.stage2(SID, { inputBits: 40, startLevel: 1 }); // two tables joined
    s.page2(tree, IPA);
    s.ste(SID, { V: 1, Config: 6, ...s.plainS2(tree), S2TTB: tree.root + 16 });
    s.on().reads(SID, IPA, DATA);
  });
  add('ttb-low-joined', 'S2TTB is aligned to all tables that are joined', '5.2', (s) => {
    const tree = s.stage2(SID, { inputBits: 40, startLevel: 1 }); // two tables joined: 8 KiB
    s.page2(tree, IPA & 0x3f_ffff_ffffn);
    s.ste(SID, { V: 1, Config: 6, ...s.plainS2(tree), S2TTB: tree.root + 4096 });
    s.on().reads(SID, IPA & 0x3f_ffff_ffffn, DATA);
  });
  add(
    's1-fields',
    "With Config=6 stage 1's fields are not looked at",
    '5.2.2',
    goodSte({ S1CDMax: 3, S1Fmt: 2, S1ContextPtr: 2n ** 50n }),
  );
  add('s1stalld', 'With Config=6 S1STALLD is not looked at', '5.2.2', goodSte({ S1STALLD: 1 }));
  add('ps-reserved', 'S2PS beyond the output size acts as the output size', '5.2', goodSte({ S2PS: 6 }));
  add('ps-48', 'S2PS=48 bits on a 44-bit SMMU acts as 44', '5.2', goodSte({ S2PS: 5 }));
  add('affd', 'S2AFFD=1 lets AF=0 pass', '5.2', (s) => {
    const tree = s.stage2(SID, { ste: { S2AFFD: 1 } });
    s.page2(tree, IPA, DATA, S2_RW & ~AF);
    s.on().reads(SID, IPA, DATA);
  });
  add('ptw', 'S2PTW does not matter for data', '5.2', goodSte({ S2PTW: 1 }));
  add('vmid-ffff', '16-bit VMIDs may use all bits', '5.2', goodSte({}, { vmid: 0xffff }));

  for (const granule of [12, 14, 16] as GranuleShift[]) {
    const kib = 2 ** granule / 1024;
    const first = granule === 12 ? 1 : 2;
    for (let level = first; level <= 3; level++) {
      add(
        `invalid-${kib}k-l${level}`,
        `An invalid level ${level} descriptor (${kib} KiB) is F_TRANSLATION of stage 2`,
        '7.3.13',
        (s) => {
          const tree = s.stage2(SID, { granule, inputBits: 40, startLevel: first });
          s.map(tree, IPA, 0n, level);
          s.on()
            .faults(SID, IPA, 'F_TRANSLATION', ipaOf(IPA))
            .faultsWrite(SID, IPA + 0xff8n, 'F_TRANSLATION', ipaOf(IPA));
        },
      );
      add(
        `eabt-${kib}k-l${level}`,
        `An aborted read of a level ${level} descriptor (${kib} KiB) is F_WALK_EABT of stage 2`,
        '7.3.12',
        (s) => {
          const shift = granule + (3 - level) * (granule - 3);
          const bits = level === first ? 40 - shift : granule - 3;
          const index = Number((IPA >> BigInt(shift)) & ((1n << BigInt(bits)) - 1n));
          const nowhere = NOWHERE;
          const tree = s.stage2(SID, {
            granule,
            inputBits: 40,
            startLevel: first,
            ...(level === first ? { root: nowhere } : {}),
          });
          if (level > first) s.map(tree, IPA, BigInt(nowhere) | 3n, level - 1);
          s.on().faults(SID, IPA, 'F_WALK_EABT', { S2: 1, CLASS: 2, Fetch: nowhere + index * 8 });
        },
      );
    }
    add(`page-size-${kib}k`, `A page beyond S2PS (${kib} KiB) is F_ADDR_SIZE of stage 2`, '7.3.14', (s) => {
      const tree = s.stage2(SID, { granule, inputBits: 32, startLevel: granule === 12 ? 1 : 2, ste: { S2PS: 0 } });
      s.page2(tree, LOW, 2 ** 32);
      s.on().faults(SID, LOW, 'F_ADDR_SIZE', ipaOf(LOW));
    });
    add(`table-size-${kib}k`, `A table beyond S2PS (${kib} KiB) is F_ADDR_SIZE of stage 2`, '7.3.14', (s) => {
      const tree = s.stage2(SID, { granule, inputBits: 32, startLevel: granule === 12 ? 1 : 2, ste: { S2PS: 1 } });
      s.map(tree, LOW, (1n << 36n) | 3n, 2);
      s.on().faults(SID, LOW, 'F_ADDR_SIZE', ipaOf(LOW));
    });
  }
  for (const [granule, level, log2] of [
    [12, 2, 21],
    [12, 1, 30],
    [14, 2, 25],
    [16, 2, 29],
  ] as [GranuleShift, number, number][])
    add(`block-${2 ** granule / 1024}k-l${level}`, `A level ${level} block of 2^${log2} bytes`, '3.4', (s) => {
      const tree = s.stage2(SID, { granule, inputBits: 40 });
      const ipa = 0x80_0000_0000n;
      const pa = 0x4800_0000 - (0x4800_0000 % 2 ** log2);
      const offset = 0x4800_0000 - pa;
      s.map(tree, ipa, BigInt(pa) | BLOCK | S2_RW, level);
      s.on()
        .reads(SID, ipa + BigInt(offset), DATA)
        .writes(SID, ipa + BigInt(offset + 0x4_3210), DATA + 0x4_3210);
    });
  add('no-block-16k-l1', 'A level 1 block with 16 KiB pages is F_TRANSLATION', '7.3.13', (s) => {
    const tree = s.stage2(SID, { granule: 14, inputBits: 44, startLevel: 1 });
    s.map(tree, IPA, BLOCK | S2_RW, 1);
    s.on().faults(SID, IPA, 'F_TRANSLATION', ipaOf(IPA));
  });
  add('access', 'A page with AF=0 is F_ACCESS of stage 2', '7.3.15', (s) => {
    const tree = s.stage2();
    s.page2(tree, IPA, DATA, S2_RW & ~AF);
    s.on()
      .faults(SID, IPA, 'F_ACCESS', ipaOf(IPA))
      .faultsWrite(SID, IPA + 4n, 'F_ACCESS', ipaOf(IPA));
  });
  add('read-only', 'A write to a read-only page is F_PERMISSION of stage 2', '7.3.16', (s) => {
    const tree = s.stage2();
    s.page2(tree, IPA, DATA, S2_RO);
    s.on().faultsWrite(SID, IPA, 'F_PERMISSION', ipaOf(IPA)).reads(SID, IPA, DATA);
  });
  add('read-only-cached', 'A write to a read-only page that is cached is F_PERMISSION of stage 2', '7.3.16', (s) => {
    const tree = s.stage2();
    s.page2(tree, IPA, DATA, S2_RO);
    s.on()
      .reads(SID, IPA, DATA)
      .faultsWrite(SID, IPA + 8n, 'F_PERMISSION', ipaOf(IPA));
  });
  add('write-only', 'A read of a write-only page is F_PERMISSION of stage 2', '7.3.16', (s) => {
    const tree = s.stage2();
    s.page2(tree, IPA, DATA, S2_WO);
    s.on().faults(SID, IPA, 'F_PERMISSION', ipaOf(IPA)).writes(SID, IPA, DATA);
  });
  add('write-only-cached', 'A read of a write-only page that is cached is F_PERMISSION of stage 2', '7.3.16', (s) => {
    const tree = s.stage2();
    s.page2(tree, IPA, DATA, S2_WO);
    s.on().writes(SID, IPA, DATA).faults(SID, IPA, 'F_PERMISSION', ipaOf(IPA));
  });
  add('no-access', 'A page without rights is F_PERMISSION of stage 2 both ways', '7.3.16', (s) => {
    const tree = s.stage2();
    s.page2(tree, IPA, DATA, S2_RW & ~(3n << 6n));
    s.on().faults(SID, IPA, 'F_PERMISSION', ipaOf(IPA)).faultsWrite(SID, IPA, 'F_PERMISSION', ipaOf(IPA));
  });
  add('xn', 'Execute-never at stage 2 does not stop data', '7.3.16', (s) => {
    const tree = s.stage2();
    s.page2(tree, IPA, DATA, S2_RW | (3n << 53n));
    s.on().reads(SID, IPA, DATA);
  });
  add('silent', 'S2R=0 aborts stage 2 faults without a record', '5.2', (s) => {
    const tree = s.stage2(SID, { ste: { S2R: 0 } });
    s.page2(tree, IPA, DATA, S2_RO);
    s.on()
      .aborts(SID, IPA + 0x1000n)
      .aborts(SID, IPA, true)
      .reads(SID, IPA, DATA);
  });
  add('silent-not-eabt', 'S2R=0 does not silence F_WALK_EABT', '3.12', (s) => {
    s.stage2(SID, { root: NOWHERE, inputBits: 39, ste: { S2R: 0 } });
    s.on().faults(SID, 0n, 'F_WALK_EABT', { ...S2, CLASS: 2, Fetch: NOWHERE });
  });
  add('silent-not-size', 'S2R=0 does not silence the input size of a bypassed stage 1', '3.4', (s) => {
    s.stage2(SID, { inputBits: 44, ste: { S2R: 0 } });
    s.on().faults(SID, 1n << 45n, 'F_ADDR_SIZE');
  });
  add('no-stage2', 'Config=6 without stage 2 is C_BAD_STE', '5.2.2', (s) => {
    s.need('noStage2').ste(SID, { V: 1, Config: 6, S2AA64: 1, S2T0SZ: 24, S2SL0: 1 });
    s.on().faults(SID, 0n, 'C_BAD_STE');
  });
  add('no-stage2-nested', 'Config=7 without stage 2 is C_BAD_STE', '5.2.2', (s) => {
    s.need('noStage2').ste(SID, { V: 1, Config: 7, S2AA64: 1, S2T0SZ: 24, S2SL0: 1 });
    s.on().faults(SID, 0n, 'C_BAD_STE');
  });
});
