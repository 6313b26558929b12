/** Every event that stage 1 and its structures cause, one rule each. IHI 0070 §5.2, §5.4, §7.3. */
import type { Scenario } from '../scenario.ts';
import {
  AF,
  AP_TABLE_NO_USER,
  AP_TABLE_READ_ONLY,
  BLOCK,
  type CdValues,
  INNER,
  NG,
  PAGE,
  READ_ONLY,
  S1_RO,
  S1_RW,
  type SteValues,
  USER,
} from '../scene/bits.ts';
import { group } from '../scene/group.ts';
import { DATA, type GranuleShift, NOWHERE, type Scene, SID, startLevelOf } from '../scene/scene.ts';

const VA = 0x12_3456_7000n;

/** A stream whose STE is not as it should be. */
const badSte =
  (values: SteValues) =>
  (s: Scene): void => {
    const tree = s.stage1(SID, { ste: values });
    s.page(tree, VA);
    s.on().faults(SID, VA, 'C_BAD_STE').faultsWrite(SID, VA, 'C_BAD_STE');
  };
const badCd =
  (values: CdValues) =>
  (s: Scene): void => {
    const tree = s.stage1(SID, { cd: values });
    s.page(tree, VA);
    s.on().faults(SID, VA, 'C_BAD_CD');
  };
/** A CD that looks odd and is legal. */
const goodCd =
  (values: CdValues) =>
  (s: Scene): void => {
    const tree = s.stage1(SID, { cd: values });
    s.page(tree, VA);
    s.on().reads(SID, VA + 8n, DATA + 8);
  };

export const stage1Faults: readonly Scenario[] = group('stage1-faults', (add) => {
  add('ste-v0', 'STE.V=0 is C_BAD_STE, for reads and writes', '5.2.2', badSte({ V: 0 }));
  add('ste-s1cdmax', 'STE.S1CDMax above IDR1.SSIDSIZE is C_BAD_STE', '5.2.2', badSte({ S1CDMax: 1 }));
  add('ste-s1stalld', 'STE.S1STALLD=1 where no stalls exist is C_BAD_STE', '5.2.2', badSte({ S1STALLD: 1 }));
  add('ste-s1contextptr-oas', 'S1ContextPtr beyond the output size is C_BAD_STE from SMMUv3.1 on', '5.2.2', (s) => {
    const tree = s.stage1(SID, { ste: { S1ContextPtr: 2n ** 44n } });
    s.page(tree, VA);
    s.on().faults(SID, VA, 'C_BAD_STE');
  });
  for (const config of [0, 1, 2, 3])
    add(`ste-config-${config}`, `STE.Config=${config} aborts without a record`, '5.2', (s) => {
      s.need('stage1');
      s.ste(SID, { V: 1, Config: config });
      s.on().aborts(SID, VA).aborts(SID, VA, true);
    });
  add('ste-config-0-rest', 'With Config=0 the rest of an STE does not matter', '5.2.2', (s) => {
    s.ste(SID, { V: 1, Config: 0, S1CDMax: 31, S1STALLD: 1, S2AA64: 0, S2T0SZ: 63 });
    s.on().aborts(SID, VA);
  });
  add('ste-bypass', 'Config=4 passes addresses on', '5.2', (s) => {
    s.ste(SID, { V: 1, Config: 4 });
    s.on()
      .reads(SID, BigInt(DATA), DATA)
      .writes(SID, BigInt(DATA + 4), DATA + 4);
  });
  add('ste-bypass-rest', 'With Config=4 neither stage of an STE is looked at', '5.2.2', (s) => {
    s.ste(SID, { V: 1, Config: 4, S1CDMax: 31, S1STALLD: 1, S2T0SZ: 63, S2TG: 3 });
    s.on().reads(SID, BigInt(DATA), DATA);
  });
  add('ste-bypass-beyond-oas', 'Config=4 with an address beyond the output size is F_ADDR_SIZE', '3.4', (s) => {
    s.ste(SID, { V: 1, Config: 4 });
    s.on()
      .faults(SID, 2n ** 44n, 'F_ADDR_SIZE')
      .faultsWrite(SID, 2n ** 50n, 'F_ADDR_SIZE');
  });
  add('ste-fetch', 'An aborted read of an STE is F_STE_FETCH with its address', '7.3.4', (s) => {
    s.on({ strtab: NOWHERE }).faults(SID, VA, 'F_STE_FETCH', { Fetch: NOWHERE + SID * 64 });
  });
  add('cd-fetch', 'An aborted read of a CD is F_CD_FETCH with its address', '7.3.10', (s) => {
    s.need('stage1').ste(SID, { V: 1, Config: 5, S1ContextPtr: NOWHERE + 0x40 });
    s.on().faults(SID, VA, 'F_CD_FETCH', { Fetch: NOWHERE + 0x40 });
  });

  add('cd-v0', 'CD.V=0 is C_BAD_CD', '5.4.2', badCd({ V: 0 }));
  add('cd-aa64-0', 'CD.AA64=0 without AArch32 tables is C_BAD_CD', '5.4.2', badCd({ AA64: 0 }));
  add('cd-a-0', 'CD.A=0 where terminated accesses always abort is C_BAD_CD', '5.4.2', badCd({ A: 0 }));
  add('cd-s', 'CD.S=1 where no stalls exist is C_BAD_CD', '5.4.2', badCd({ S: 1 }));
  add('cd-ha', 'CD.HA=1 without hardware updates is C_BAD_CD', '5.4.2', badCd({ HA: 1 }));
  add('cd-hd', 'CD.HD=1 without hardware updates is C_BAD_CD', '5.4.2', badCd({ HD: 1 }));
  add('cd-endi', 'CD.ENDI=1 where tables are little-endian is C_BAD_CD', '5.4.2', badCd({ ENDI: 1 }));
  add('cd-t0sz-small', 'T0SZ=15 is C_BAD_CD without 52-bit addresses', '5.4.2', badCd({ T0SZ: 15 }));
  add('cd-t0sz-large', 'T0SZ=40 is C_BAD_CD without small tables', '5.4.2', badCd({ T0SZ: 40 }));
  add('cd-t0sz-0', 'T0SZ=0 is C_BAD_CD', '5.4.2', badCd({ T0SZ: 0 }));
  add('cd-tg0-reserved', 'TG0=3 is C_BAD_CD', '5.4.2', badCd({ TG0: 3 }));
  add('cd-tg1-reserved', 'TG1=0 is C_BAD_CD while TTB1 is in use', '5.4.2', badCd({ EPD1: 0, T1SZ: 16, TG1: 0 }));
  add('cd-t1sz', 'T1SZ=0 is C_BAD_CD while TTB1 is in use', '5.4.2', badCd({ EPD1: 0, T1SZ: 0, TG1: 2 }));
  add('cd-ttb0-ips', 'TTB0 beyond CD.IPS is C_BAD_CD', '5.4.2', badCd({ IPS: 0, TTB0: 2n ** 32n }));
  add('cd-ttb0-oas', 'TTB0 beyond the output size is C_BAD_CD', '5.4.2', badCd({ IPS: 5, TTB0: 2n ** 44n }));
  add('cd-ttb0-bit-51', 'No bit of TTB0 beyond the output size is overlooked', '5.4.2', (s) => {
    const tree = s.stage1();
    s.page(tree, VA);
    s.cdAt(tree.cd, { ...s.plainCd(tree), TTB0: 2n ** 51n + BigInt(tree.root) });
    s.on().faults(SID, VA, 'C_BAD_CD');
  });
  add(
    'cd-ttb1-ips',
    'TTB1 beyond CD.IPS is C_BAD_CD',
    '5.4.2',
    badCd({ IPS: 1, EPD1: 0, T1SZ: 16, TG1: 2, TTB1: 2n ** 36n }),
  );
  add(
    'cd-epd1-ignores',
    'With EPD1=1 T1SZ, TG1 and TTB1 are not looked at',
    '5.4',
    goodCd({ T1SZ: 0, TG1: 0, TTB1: 2n ** 50n }),
  );
  add('cd-ips-reserved', 'IPS beyond the output size acts as the output size', '5.4', goodCd({ IPS: 6 }));
  add('cd-ips-48', 'IPS=48 bits on a 44-bit SMMU acts as 44', '5.4', goodCd({ IPS: 5 }));
  add('cd-aset', 'ASET changes nothing for a translation', '5.4', goodCd({ ASET: 1 }));
  add('cd-asid-ffff', '16-bit ASIDs may use all bits', '5.4', goodCd({ ASID: 0xffff }));
  add(
    'cd-attributes',
    'Walk attributes change nothing here',
    '5.4',
    goodCd({ IR0: 1, OR0: 1, SH0: 3, IR1: 3, OR1: 2, SH1: 2 }),
  );
  add('cd-wxn', 'WXN does not stop data accesses', '5.4', goodCd({ WXN: 1, UWXN: 1 }));
  add('cd-pan', 'PAN does not stop unprivileged accesses', '5.4', goodCd({ PAN: 1 }));

  add('epd0', 'An access to a half with EPDx=1 is F_TRANSLATION', '5.4', (s) => {
    const tree = s.stage1(SID, { cd: { EPD0: 1, EPD1: 0, T1SZ: 16, TG1: 2, TTB1: 0x4100_0000 } });
    s.page(tree, VA);
    s.on().faults(SID, VA, 'F_TRANSLATION');
  });
  add('epd0-ignores', 'With EPD0=1 T0SZ, TG0 and TTB0 are not looked at', '5.4', (s) => {
    const tree = s.stage1(SID, { upper: true, cd: { T0SZ: 0, TG0: 3, TTB0: 2n ** 50n } });
    s.page(tree, 0xffff_0000_0000_0000n);
    s.on().reads(SID, 0xffff_0000_0000_0000n, DATA).faults(SID, VA, 'F_TRANSLATION');
  });
  add('epd1', 'The upper half with EPD1=1 is F_TRANSLATION', '5.4', (s) => {
    const tree = s.stage1();
    s.page(tree, VA);
    s.on().faults(SID, 0xffff_ffff_ffff_f000n, 'F_TRANSLATION').reads(SID, VA, DATA);
  });
  add('epd-both', 'With both EPD=1 every access is F_TRANSLATION', '5.4', (s) => {
    s.stage1(SID, { cd: { EPD0: 1, EPD1: 1 } });
    s.on().faults(SID, VA, 'F_TRANSLATION').faultsWrite(SID, 0xffff_ffff_ffff_f000n, 'F_TRANSLATION');
  });
  add('input-range', 'An address beyond T0SZ is F_TRANSLATION', '3.4.1', (s) => {
    const tree = s.stage1(SID, { inputBits: 39 });
    s.page(tree, 0x7f_ffff_f000n);
    s.on()
      .reads(SID, 0x7f_ffff_fff8n, DATA + 0xff8)
      .faults(SID, 0x80_0000_0000n, 'F_TRANSLATION')
      .faults(SID, 0x7f_ffff_ff00n | (1n << 54n), 'F_TRANSLATION');
  });
  add('input-gap', 'An address between the halves is F_TRANSLATION', '3.4.1', (s) => {
    const tree = s.stage1(SID, { cd: { EPD1: 0, T1SZ: 25, TG1: 2, TTB1: 0x4100_0000 } });
    s.page(tree, VA);
    s.on()
      .faults(SID, 0x0001_0000_0000_0000n, 'F_TRANSLATION')
      .faults(SID, 0xfffe_0000_0000_0000n, 'F_TRANSLATION')
      .reads(SID, VA, DATA);
  });
  add('top-byte', 'Without TBI the top byte counts', '3.4.1', (s) => {
    const tree = s.stage1();
    s.page(tree, VA);
    s.on().faults(SID, VA | (0xabn << 56n), 'F_TRANSLATION');
  });
  add('tbi0', 'With TBI0 the top byte does not count, and the record has it', '5.4', (s) => {
    const tree = s.stage1(SID, { cd: { TBI0: 1 } });
    s.page(tree, VA);
    s.on()
      .reads(SID, VA | (0xabn << 56n), DATA)
      .writes(SID, (VA + 4n) | (1n << 63n), DATA + 4)
      .faults(SID, (VA + 0x1000n) | (0xabn << 56n), 'F_TRANSLATION');
  });
  add('tbi1', 'With TBI1 the top byte of the upper half does not count', '5.4', (s) => {
    const tree = s.stage1(SID, { upper: true, cd: { TBI1: 1 } });
    s.page(tree, 0xffff_0000_0012_3000n);
    s.on()
      .reads(SID, 0xffff_0000_0012_3000n, DATA)
      .reads(SID, 0x12ff_0000_0012_3010n, DATA + 16)
      .faults(SID, 0x1200_0000_0012_3010n, 'F_TRANSLATION');
  });

  for (const granule of [12, 14, 16] as GranuleShift[]) {
    const kib = 2 ** granule / 1024;
    const first = startLevelOf(granule, 48);
    for (let level = first; level <= 3; level++) {
      add(
        `invalid-${kib}k-l${level}`,
        `An invalid level ${level} descriptor (${kib} KiB) is F_TRANSLATION`,
        '7.3.13',
        (s) => {
          const tree = s.stage1(SID, { granule });
          s.map(tree, VA, 0n, level);
          s.on()
            .faults(SID, VA + 0x18n, 'F_TRANSLATION')
            .faultsWrite(SID, VA, 'F_TRANSLATION');
        },
      );
      add(
        `eabt-${kib}k-l${level}`,
        `An aborted read of a level ${level} descriptor (${kib} KiB) is F_WALK_EABT`,
        '7.3.12',
        (s) => {
          const index = Number((VA >> BigInt(granule + (3 - level) * (granule - 3))) & BigInt(2 ** (granule - 3) - 1));
          const nowhere = NOWHERE - (NOWHERE % 2 ** granule);
          const tree = level === first ? s.stage1(SID, { granule, root: nowhere }) : s.stage1(SID, { granule });
          if (level > first) s.map(tree, VA, BigInt(nowhere) | 3n, level - 1);
          s.on().faults(SID, VA, 'F_WALK_EABT', { Fetch: nowhere + index * 8 });
        },
      );
      if (level < 3)
        add(
          `table-size-${kib}k-l${level}`,
          `A level ${level} descriptor that points beyond IPS is F_ADDR_SIZE`,
          '7.3.14',
          (s) => {
            const tree = s.stage1(SID, { granule, cd: { IPS: 1 } });
            s.map(tree, VA, (1n << 36n) | 3n, level);
            s.on().faults(SID, VA, 'F_ADDR_SIZE');
          },
        );
    }
    add(`page-size-${kib}k`, `A page beyond IPS (${kib} KiB) is F_ADDR_SIZE`, '7.3.14', (s) => {
      const tree = s.stage1(SID, { granule, cd: { IPS: 0 } });
      s.page(tree, VA, 2 ** 32);
      s.on()
        .faults(SID, VA, 'F_ADDR_SIZE')
        .faultsWrite(SID, VA + 4n, 'F_ADDR_SIZE');
    });
    add(`reserved-l3-${kib}k`, `Descriptor type 0b01 at level 3 (${kib} KiB) is F_TRANSLATION`, '7.3.13', (s) => {
      const tree = s.stage1(SID, { granule });
      s.map(tree, VA, BigInt(DATA) | BLOCK | S1_RW, 3);
      s.on().faults(SID, VA, 'F_TRANSLATION');
    });
    const noBlock = granule === 12 ? 0 : 1;
    if (noBlock >= first)
      add(
        `no-block-${kib}k-l${noBlock}`,
        `A block at level ${noBlock} (${kib} KiB) is F_TRANSLATION`,
        '7.3.13',
        (s) => {
          const tree = s.stage1(SID, { granule });
          s.map(tree, VA, BLOCK | S1_RW, noBlock);
          s.on().faults(SID, VA, 'F_TRANSLATION');
        },
      );
    add(`access-${kib}k`, `A page with AF=0 (${kib} KiB) is F_ACCESS`, '7.3.15', (s) => {
      const tree = s.stage1(SID, { granule });
      s.page(tree, VA, DATA, S1_RW & ~AF);
      s.on()
        .faults(SID, VA, 'F_ACCESS')
        .faultsWrite(SID, VA + 4n, 'F_ACCESS');
    });
  }
  add('affd', 'CD.AFFD=1 lets AF=0 pass', '5.4', (s) => {
    const tree = s.stage1(SID, { cd: { AFFD: 1 } });
    s.page(tree, VA, DATA, S1_RW & ~AF);
    s.on()
      .reads(SID, VA, DATA)
      .writes(SID, VA + 4n, DATA + 4);
  });
  add('access-block', 'A block with AF=0 is F_ACCESS', '7.3.15', (s) => {
    const tree = s.stage1();
    s.map(tree, VA, 0x4800_0000n | BLOCK | (S1_RW & ~AF), 2);
    s.on().faults(SID, VA, 'F_ACCESS');
  });
  add('permission-read-only', 'A write to a read-only page is F_PERMISSION; a read passes', '7.3.16', (s) => {
    const tree = s.stage1();
    s.page(tree, VA, DATA, S1_RO);
    s.on()
      .faultsWrite(SID, VA, 'F_PERMISSION')
      .reads(SID, VA, DATA)
      .faultsWrite(SID, VA + 0xff0n, 'F_PERMISSION');
  });
  add('permission-cached', 'A write to a read-only page that is cached is F_PERMISSION too', '7.3.16', (s) => {
    const tree = s.stage1();
    s.page(tree, VA, DATA, S1_RO);
    s.on()
      .reads(SID, VA, DATA)
      .faultsWrite(SID, VA + 8n, 'F_PERMISSION')
      .reads(SID, VA + 8n, DATA + 8);
  });
  add(
    'permission-privileged',
    'A page without user access is F_PERMISSION for unprivileged transactions',
    '7.3.16',
    (s) => {
      const tree = s.stage1();
      s.page(tree, VA, DATA, S1_RW & ~USER);
      s.on().faults(SID, VA, 'F_PERMISSION').faultsWrite(SID, VA, 'F_PERMISSION');
    },
  );
  add('permission-privileged-ro', 'A read-only page without user access refuses reads too', '7.3.16', (s) => {
    const tree = s.stage1();
    s.page(tree, VA, DATA, S1_RO & ~USER);
    s.on().faults(SID, VA, 'F_PERMISSION');
  });
  add('permission-block', 'A write to a read-only block is F_PERMISSION', '7.3.16', (s) => {
    const tree = s.stage1();
    s.map(tree, VA, 0x4800_0000n | BLOCK | S1_RO, 2);
    s.on()
      .faultsWrite(SID, VA, 'F_PERMISSION')
      .reads(SID, VA, 0x4800_0000 + Number(VA & 0x1f_ffffn));
  });
  add('aptable-read-only', 'APTable=2 takes write access from everything below', '7.3.16', (s) => {
    const tree = s.stage1();
    s.map(tree, VA, BigInt(DATA) | PAGE | S1_RW, 3, AP_TABLE_READ_ONLY);
    s.on().faultsWrite(SID, VA, 'F_PERMISSION').reads(SID, VA, DATA);
  });
  add('aptable-no-user', 'APTable=1 takes unprivileged access from everything below', '7.3.16', (s) => {
    const tree = s.stage1();
    s.map(tree, VA, BigInt(DATA) | PAGE | S1_RW, 3, AP_TABLE_NO_USER);
    s.on().faults(SID, VA, 'F_PERMISSION');
  });
  add('aptable-had', 'HAD0 switches hierarchical permissions off', '5.4', (s) => {
    const tree = s.stage1(SID, { cd: { HAD0: 1 } });
    s.map(tree, VA, BigInt(DATA) | PAGE | S1_RW, 3, AP_TABLE_READ_ONLY);
    s.on()
      .writes(SID, VA, DATA)
      .reads(SID, VA + 4n, DATA + 4);
  });
  add('xn', 'Execute-never does not stop data accesses', '7.3.16', (s) => {
    const tree = s.stage1();
    s.page(tree, VA, DATA, S1_RW | (3n << 53n));
    s.on()
      .reads(SID, VA, DATA)
      .writes(SID, VA + 4n, DATA + 4);
  });
  for (const share of [0n, 2n, 3n])
    add(`shareability-${share}`, `Shareability ${share} changes nothing for a translation`, '13.1', (s) => {
      const tree = s.stage1();
      s.page(tree, VA, DATA, AF | NG | USER | (share << 8n));
      s.on().reads(SID, VA, DATA);
    });
  add('software-bits', 'Bits that belong to software are not looked at', '3.4', (s) => {
    const tree = s.stage1();
    s.page(tree, VA, DATA, S1_RW | (15n << 55n));
    s.on().reads(SID, VA, DATA);
  });
  add('global', 'A global page translates for every ASID', '3.17', (s) => {
    const tree = s.stage1();
    s.globalPage(tree, VA);
    s.on().reads(SID, VA, DATA);
  });
  add('contiguous', 'A contiguous run translates page by page', '3.4', (s) => {
    const tree = s.stage1();
    for (let i = 0; i < 16; i++) s.page(tree, 0x10_0000n + BigInt(i * 4096), DATA + i * 4096, S1_RW | (1n << 52n));
    s.on();
    for (const i of [0, 7, 15]) s.reads(SID, 0x10_0000n + BigInt(i * 4096 + 4), DATA + i * 4096 + 4);
  });

  add('silent-translation', 'CD.R=0 aborts a translation fault without a record', '3.12', (s) => {
    s.stage1(SID, { cd: { R: 0 } });
    s.on().aborts(SID, VA).aborts(SID, VA, true);
  });
  add('silent-access', 'CD.R=0 aborts an access fault without a record', '3.12', (s) => {
    const tree = s.stage1(SID, { cd: { R: 0 } });
    s.page(tree, VA, DATA, S1_RW & ~AF);
    s.on().aborts(SID, VA);
  });
  add('silent-permission', 'CD.R=0 aborts a permission fault without a record', '3.12', (s) => {
    const tree = s.stage1(SID, { cd: { R: 0 } });
    s.page(tree, VA, DATA, S1_RO);
    s.on().aborts(SID, VA, true).reads(SID, VA, DATA);
  });
  add('silent-size', 'CD.R=0 aborts an address size fault without a record', '3.12', (s) => {
    const tree = s.stage1(SID, { cd: { R: 0, IPS: 0 } });
    s.page(tree, VA, 2 ** 32);
    s.on().aborts(SID, VA);
  });
  add('silent-not-eabt', 'CD.R=0 does not silence F_WALK_EABT', '3.12', (s) => {
    const tree = s.stage1(SID, { cd: { R: 0 } });
    s.map(tree, VA, BigInt(NOWHERE) | 3n, 2);
    const index = Number((VA >> 12n) & 511n);
    s.on().faults(SID, VA, 'F_WALK_EABT', { Fetch: NOWHERE + index * 8 });
  });
  add('silent-range', 'CD.R=0 aborts an address beyond T0SZ without a record', '3.12', (s) => {
    s.stage1(SID, { inputBits: 39, cd: { R: 0 } });
    s.on().aborts(SID, 1n << 40n);
  });
  add('order-access-permission', 'F_ACCESS comes before F_PERMISSION', '3.13.7', (s) => {
    const tree = s.stage1();
    s.page(tree, VA, DATA, S1_RO & ~AF);
    s.on().faultsWrite(SID, VA, 'F_ACCESS');
  });
  add('order-size-access', 'F_ADDR_SIZE comes before F_ACCESS', '7.3.22', (s) => {
    const tree = s.stage1(SID, { cd: { IPS: 0 } });
    s.page(tree, VA, 2 ** 32, S1_RO & ~AF);
    s.on().faultsWrite(SID, VA, 'F_ADDR_SIZE');
  });
  add('order-size-permission', 'F_ADDR_SIZE comes before F_PERMISSION', '7.3.22', (s) => {
    const tree = s.stage1(SID, { cd: { IPS: 0 } });
    s.page(tree, VA, 2 ** 32, AF | NG | INNER | READ_ONLY);
    s.on().faultsWrite(SID, VA, 'F_ADDR_SIZE');
  });
  add('order-ste-cd', 'C_BAD_STE comes before anything about the CD', '7.3.22', (s) => {
    s.stage1(SID, { cd: { V: 0 }, ste: { S1STALLD: 1 } });
    s.on().faults(SID, VA, 'C_BAD_STE');
  });
  add('order-cd-range', 'C_BAD_CD comes before the input range', '7.3.22', (s) => {
    s.stage1(SID, { cd: { A: 0 }, inputBits: 39 });
    s.on().faults(SID, 1n << 60n, 'C_BAD_CD');
  });
  add('order-aptable-translation', 'A missing page below a read-only table is F_TRANSLATION', '7.3.22', (s) => {
    const tree = s.stage1();
    s.map(tree, VA, 0n, 3, AP_TABLE_READ_ONLY);
    s.on().faultsWrite(SID, VA, 'F_TRANSLATION');
  });
  add('data-abort', "An abort of the data itself is the device's to know: no record", '3.12', (s) => {
    const tree = s.stage1();
    s.page(tree, VA, NOWHERE);
    s.on().aborts(SID, VA).aborts(SID, VA, true);
  });
});
