/** What CFGI and TLBI commands must drop, and what may stay. IHI 0070 §3.17, §4.3, §4.4. */
import type { Scenario } from '../scenario.ts';
import { BLOCK, CMD, type Command, PAGE, S1_RW, S2_RW } from '../scene/bits.ts';
import { group } from '../scene/group.ts';
import { DATA, type GranuleShift, type Scene, SID, SID2, TG, type Tree } from '../scene/scene.ts';

const VA = 0x40_0000n;
const OLD = DATA;
const NEW: number = DATA + 0x10_0000;

/** A page is used, then the table is changed; after the command the new one must be used. */
const drops =
  (command: Command, options: { granule?: GranuleShift; asid?: number; vmid?: number } = {}) =>
  (s: Scene): void => {
    const { granule = 12, asid = 1, vmid = 0 } = options;
    const tree = s.stage1(SID, { granule, asid, ste: { S2VMID: vmid } });
    const at = s.page(tree, VA, OLD);
    s.pattern(NEW);
    s.on().reads(SID, VA, OLD);
    s.dword(at, BigInt(NEW) | PAGE | S1_RW);
    s.commands(command).reads(SID, VA, NEW);
  };
/** As above, but the command names something else: the old translation stays (a cache that keeps all it may). */
const keeps =
  (command: Command, options: { asid?: number; vmid?: number; global?: boolean } = {}) =>
  (s: Scene): void => {
    const tree = s.stage1(SID, { asid: options.asid ?? 1, ste: { S2VMID: options.vmid ?? 0 } });
    const at = options.global ? s.globalPage(tree, VA, OLD) : s.page(tree, VA, OLD);
    s.pattern(NEW);
    s.on().reads(SID, VA, OLD);
    s.dword(at, BigInt(NEW) | PAGE | S1_RW);
    s.commands(command).reads(SID, VA, OLD);
  };
/** Stage 2: the same with S2VMID 3. */
const drops2 =
  (command: Command, granule: GranuleShift = 12) =>
  (s: Scene): void => {
    const tree = s.stage2(SID, { granule, vmid: 3 });
    const at = s.page2(tree, VA, OLD);
    s.pattern(NEW);
    s.on().reads(SID, VA, OLD);
    s.dword(at, BigInt(NEW) | PAGE | S2_RW);
    s.commands(command).reads(SID, VA, NEW);
  };
const keeps2 =
  (command: Command) =>
  (s: Scene): void => {
    const tree = s.stage2(SID, { vmid: 3 });
    const at = s.page2(tree, VA, OLD);
    s.pattern(NEW);
    s.on().reads(SID, VA, OLD);
    s.dword(at, BigInt(NEW) | PAGE | S2_RW);
    s.commands(command).reads(SID, VA, OLD);
  };

/** Sixteen pages in a row, all changed; says which were dropped. */
function row(s: Scene, tree: Tree, pages: number): number[] {
  const step = 2 ** tree.granule;
  const places: number[] = [];
  for (let i = 0; i < pages; i++) {
    places.push(s.page(tree, VA + BigInt(i * step), OLD + i * step));
    s.pattern(NEW + i * step);
  }
  s.on();
  for (let i = 0; i < pages; i++) s.reads(SID, VA + BigInt(i * step), OLD + i * step);
  for (const [i, at] of places.entries()) s.dword(at, BigInt(NEW + i * step) | PAGE | S1_RW);
  return places;
}

export const invalidation: readonly Scenario[] = group('invalidation', (add) => {
  add('stale', 'Without an invalidation a cached translation may be used', '3.17', (s) => {
    const tree = s.stage1();
    const at = s.page(tree, VA, OLD);
    s.pattern(NEW);
    s.on().reads(SID, VA, OLD);
    s.dword(at, BigInt(NEW) | PAGE | S1_RW);
    s.reads(SID, VA, OLD);
  });
  add('no-fault-cached', 'A translation fault is not cached', '3.17', (s) => {
    const tree = s.stage1();
    const at = s.map(tree, VA, 0n);
    s.pattern(OLD);
    s.on().faults(SID, VA, 'F_TRANSLATION');
    s.dword(at, BigInt(OLD) | PAGE | S1_RW);
    s.reads(SID, VA, OLD);
  });
  add('no-access-cached', 'An entry whose access flag is clear is not cached', '3.17', (s) => {
    const tree = s.stage1();
    const at = s.page(tree, VA, OLD, S1_RW & ~(1n << 10n));
    s.on().faults(SID, VA, 'F_ACCESS');
    s.dword(at, BigInt(OLD) | PAGE | S1_RW);
    s.reads(SID, VA, OLD);
  });
  add('nh-all', "CMD_TLBI_NH_ALL drops a VMID's stage 1", '4.4.2.1', drops(CMD.nhAll()));
  add('nsnh-all', 'CMD_TLBI_NSNH_ALL drops everything', '4.4.4.1', drops(CMD.nsnhAll()));
  add('nh-asid', 'CMD_TLBI_NH_ASID drops an ASID', '4.4.2.2', drops(CMD.nhAsid(1)));
  add('nh-asid-ffff', 'CMD_TLBI_NH_ASID drops ASID 0xffff', '4.4.2.2', drops(CMD.nhAsid(0xffff), { asid: 0xffff }));
  add('nh-asid-other', 'CMD_TLBI_NH_ASID of another ASID may keep', '4.4.2.2', keeps(CMD.nhAsid(2)));
  add('nh-asid-global', 'CMD_TLBI_NH_ASID may keep global entries', '4.4.2.2', keeps(CMD.nhAsid(1), { global: true }));
  add('nh-va', 'CMD_TLBI_NH_VA drops a page', '4.4.2.4', drops(CMD.nhVa(VA, { asid: 1 })));
  add('nh-va-leaf', 'CMD_TLBI_NH_VA with Leaf=1 drops a page', '4.4.2.4', drops(CMD.nhVa(VA, { asid: 1, leaf: true })));
  add(
    'nh-va-other-page',
    'CMD_TLBI_NH_VA of another page may keep',
    '4.4.2.4',
    keeps(CMD.nhVa(VA + 0x1000n, { asid: 1 })),
  );
  add('nh-va-other-asid', 'CMD_TLBI_NH_VA of another ASID may keep', '4.4.2.4', keeps(CMD.nhVa(VA, { asid: 2 })));
  add('nh-va-global', 'CMD_TLBI_NH_VA of another ASID drops a global page', '4.4.2.4', (s) => {
    const tree = s.stage1(SID, { asid: 1 });
    const at = s.globalPage(tree, VA, OLD);
    s.pattern(NEW);
    s.on().reads(SID, VA, OLD);
    s.dword(at, BigInt(NEW) | PAGE | (S1_RW & ~(1n << 11n)));
    s.commands(CMD.nhVa(VA, { asid: 2 })).reads(SID, VA, NEW);
  });
  add('nh-vaa', 'CMD_TLBI_NH_VAA drops a page of every ASID', '4.4.2.3', drops(CMD.nhVaa(VA), { asid: 77 }));
  add('nh-vaa-other', 'CMD_TLBI_NH_VAA of another page may keep', '4.4.2.3', keeps(CMD.nhVaa(VA - 0x1000n)));
  for (const granule of [12, 14, 16] as GranuleShift[]) {
    const kib = 2 ** granule / 1024;
    add(
      `nh-va-${kib}k`,
      `CMD_TLBI_NH_VA without TG drops a ${kib} KiB page`,
      '4.4.2.4',
      drops(CMD.nhVa(VA, { asid: 1 }), { granule }),
    );
    add(
      `nh-va-${kib}k-inside`,
      `CMD_TLBI_NH_VA of any address in a ${kib} KiB page drops it`,
      '4.4.1',
      drops(CMD.nhVa(VA + BigInt(2 ** granule - 4096), { asid: 1 }), { granule }),
    );
    add(`nh-va-${kib}k-tg`, `CMD_TLBI_NH_VA with TG and TTL=3 drops a ${kib} KiB page`, '4.4.1.1', (s) => {
      s.need('rangeInv');
      drops(CMD.nhVa(VA, { asid: 1, tg: TG[granule], ttl: 3, leaf: true }), { granule })(s);
    });
    for (const [num, scale] of [
      [0, 1],
      [3, 0],
      [2, 1],
      [7, 1],
    ] as [number, number][])
      add(
        `range-${kib}k-${num}-${scale}`,
        `A range of ${(num + 1) * 2 ** scale} pages of ${kib} KiB is dropped, the next page may stay`,
        '4.4.1.1',
        (s) => {
          s.need('rangeInv');
          const pages = Math.min(20, (num + 1) * 2 ** scale + 1);
          const tree = s.stage1(SID, { granule });
          row(s, tree, pages);
          s.commands(CMD.nhVa(VA, { asid: 1, tg: TG[granule], num, scale }));
          for (let i = 0; i < pages; i++)
            s.reads(SID, VA + BigInt(i * 2 ** granule), (i + 1 < pages || pages === 20 ? NEW : OLD) + i * 2 ** granule);
        },
      );
    add(`range-all-${kib}k`, `The longest range drops ${kib} KiB pages`, '4.4.1.1', (s) => {
      s.need('rangeInv');
      const tree = s.stage1(SID, { granule });
      row(s, tree, 3);
      s.commands(CMD.nhVa(0n, { asid: 1, tg: TG[granule], num: 31, scale: 20 }));
      for (let i = 0; i < 3; i++) s.reads(SID, VA + BigInt(i * 2 ** granule), NEW + i * 2 ** granule);
    });
  }
  add('range-vaa', 'CMD_TLBI_NH_VAA by range drops every ASID', '4.4.1.1', (s) => {
    s.need('rangeInv');
    const tree = s.stage1(SID, { asid: 9 });
    row(s, tree, 4);
    s.commands(CMD.nhVaa(VA, { tg: 1, num: 3 }));
    for (let i = 0; i < 4; i++) s.reads(SID, VA + BigInt(i * 4096), NEW + i * 4096);
  });
  for (const [level, log2] of [
    [2, 21],
    [1, 30],
  ] as [number, number][])
    add(`nh-va-block-l${level}`, `CMD_TLBI_NH_VA of any address in a level ${level} block drops it`, '4.4.1', (s) => {
      const tree = s.stage1();
      const base = 0x80_0000_0000n;
      const pa = 0x4800_0000 - (0x4800_0000 % 2 ** log2);
      const offset = BigInt(0x4800_0000 - pa);
      const at = s.map(tree, base, BigInt(pa) | BLOCK | S1_RW, level);
      s.on().reads(SID, base + offset, DATA);
      s.dword(at, 0n);
      s.commands(CMD.nhVa(base + 0x10_0000n, { asid: 1 })).faults(SID, base + offset, 'F_TRANSLATION');
    });
  add('nh-va-block-ttl', 'CMD_TLBI_NH_VA with TTL=2 drops a level 2 block', '4.4.1.1', (s) => {
    s.need('rangeInv');
    const tree = s.stage1();
    const at = s.map(tree, 0x20_0000n, 0x4800_0000n | BLOCK | S1_RW, 2);
    s.on().reads(SID, 0x20_0000n, DATA);
    s.dword(at, 0n);
    s.commands(CMD.nhVa(0x20_0000n, { asid: 1, tg: 1, ttl: 2, leaf: true })).faults(SID, 0x20_0000n, 'F_TRANSLATION');
  });
  add('table-change', 'CMD_TLBI_NH_VA with Leaf=0 drops table pointers too', '4.4.2.4', (s) => {
    const tree = s.stage1();
    s.page(tree, VA, OLD);
    const other = s.table();
    s.dword(other + Number((VA >> 12n) & 511n) * 8, BigInt(NEW) | PAGE | S1_RW);
    s.pattern(NEW);
    s.on().reads(SID, VA, OLD);
    s.map(tree, VA, BigInt(other) | 3n, 2);
    s.commands(CMD.nhVa(VA, { asid: 1 })).reads(SID, VA, NEW);
  });
  add('vmid', 'CMD_TLBI_NH_ALL drops stage 1 of its VMID', '4.4.2.1', (s) => {
    s.need('stage2');
    drops(CMD.nhAll(5), { vmid: 5 })(s);
  });
  add('vmid-other', 'CMD_TLBI_NH_ALL of another VMID may keep', '4.4.2.1', (s) => {
    s.need('stage2');
    keeps(CMD.nhAll(6), { vmid: 5 })(s);
  });
  add('vmid-asid-other', 'CMD_TLBI_NH_ASID of another VMID may keep', '4.4.2.2', (s) => {
    s.need('stage2');
    keeps(CMD.nhAsid(1, 6), { vmid: 5 })(s);
  });
  add('vmid-va-other', 'CMD_TLBI_NH_VA of another VMID may keep', '4.4.2.4', (s) => {
    s.need('stage2');
    keeps(CMD.nhVa(VA, { asid: 1, vmid: 6 }), { vmid: 5 })(s);
  });
  add('s12-vmall-1', 'CMD_TLBI_S12_VMALL drops stage 1 of a VMID', '4.4.3.2', (s) => {
    s.need('stage2');
    drops(CMD.s12Vmall(5), { vmid: 5 })(s);
  });
  add('s12-vmall', 'CMD_TLBI_S12_VMALL drops stage 2 of a VMID', '4.4.3.2', drops2(CMD.s12Vmall(3)));
  add('s12-vmall-other', 'CMD_TLBI_S12_VMALL of another VMID may keep', '4.4.3.2', keeps2(CMD.s12Vmall(4)));
  add('s2-nsnh-all', 'CMD_TLBI_NSNH_ALL drops stage 2', '4.4.4.1', drops2(CMD.nsnhAll()));
  add('s2-ipa', 'CMD_TLBI_S2_IPA drops a page', '4.4.3.1', drops2(CMD.s2Ipa(VA, { vmid: 3 })));
  add(
    's2-ipa-leaf',
    'CMD_TLBI_S2_IPA with Leaf=1 drops a page',
    '4.4.3.1',
    drops2(CMD.s2Ipa(VA, { vmid: 3, leaf: true })),
  );
  add(
    's2-ipa-other',
    'CMD_TLBI_S2_IPA of another page may keep',
    '4.4.3.1',
    keeps2(CMD.s2Ipa(VA + 0x1000n, { vmid: 3 })),
  );
  add('s2-ipa-vmid', 'CMD_TLBI_S2_IPA of another VMID may keep', '4.4.3.1', keeps2(CMD.s2Ipa(VA, { vmid: 4 })));
  for (const granule of [12, 14, 16] as GranuleShift[])
    add(
      `s2-ipa-tg-${2 ** granule / 1024}k`,
      `CMD_TLBI_S2_IPA by range drops ${2 ** granule / 1024} KiB pages`,
      '4.4.1.1',
      (s) => {
        s.need('rangeInv');
        drops2(CMD.s2Ipa(VA, { vmid: 3, tg: TG[granule], num: 1 }), granule)(s);
      },
    );
  add('two-asids', "An ASID's invalidation may leave another's page", '4.4.2.2', (s) => {
    const one = s.stage1(SID, { asid: 1 });
    const two = s.stage1(SID2, { asid: 2 });
    const a = s.page(one, VA, OLD);
    const b = s.page(two, VA, OLD + 0x1000);
    s.pattern(NEW, NEW + 0x1000);
    s.on()
      .reads(SID, VA, OLD)
      .reads(SID2, VA, OLD + 0x1000);
    s.dword(a, BigInt(NEW) | PAGE | S1_RW).dword(b, BigInt(NEW + 0x1000) | PAGE | S1_RW);
    s.commands(CMD.nhAsid(1))
      .reads(SID, VA, NEW)
      .reads(SID2, VA, OLD + 0x1000);
    s.commands(CMD.nhAsid(2)).reads(SID2, VA, NEW + 0x1000);
  });

  const steKept = (s: Scene): void => {
    s.ste(SID, { V: 1, Config: 4 });
    s.on().reads(SID, BigInt(DATA), DATA);
    s.ste(SID, { V: 1, Config: 0 });
  };
  add('ste-stale', 'Without a CFGI a cached STE may be used', '4.3', (s) => {
    steKept(s);
    s.reads(SID, BigInt(DATA + 4), DATA + 4);
  });
  for (const [name, command, title] of [
    ['cfgi-ste', CMD.cfgiSte(SID), 'CMD_CFGI_STE drops an STE'],
    ['cfgi-ste-l1', CMD.cfgiSte(SID, false), 'CMD_CFGI_STE with Leaf=0 drops an STE'],
    ['cfgi-range', CMD.cfgiSteRange(SID, 0), 'CMD_CFGI_STE_RANGE drops an STE in the range'],
    ['cfgi-range-around', CMD.cfgiSteRange(SID + 3, 3), 'CMD_CFGI_STE_RANGE aligns its StreamID'],
    ['cfgi-all', CMD.cfgiAll(), 'CMD_CFGI_ALL drops every STE'],
  ] as [string, Command, string][])
    add(name, title, '4.3', (s) => {
      steKept(s);
      s.commands(command).aborts(SID, BigInt(DATA));
    });
  for (const [name, command, title] of [
    ['cfgi-ste-other', CMD.cfgiSte(SID + 1), 'CMD_CFGI_STE of another stream may keep'],
    ['cfgi-range-other', CMD.cfgiSteRange(SID + 2, 0), 'CMD_CFGI_STE_RANGE of other streams may keep'],
    ['cfgi-tlbi', CMD.nsnhAll(), 'A TLBI may keep an STE'],
  ] as [string, Command, string][])
    add(name, title, '4.3', (s) => {
      steKept(s);
      s.commands(command).reads(SID, BigInt(DATA), DATA);
    });
  for (const [name, command, title] of [
    ['cfgi-cd', CMD.cfgiCd(SID), 'CMD_CFGI_CD drops a CD'],
    ['cfgi-cd-l1', CMD.cfgiCd(SID, 0, false), 'CMD_CFGI_CD with Leaf=0 drops a CD'],
    ['cfgi-cd-all', CMD.cfgiCdAll(SID), "CMD_CFGI_CD_ALL drops a stream's CDs"],
    ['cfgi-cd-ste', CMD.cfgiSte(SID), 'CMD_CFGI_STE drops the CDs reached through it'],
  ] as [string, Command, string][])
    add(name, title, '4.3', (s) => {
      const tree = s.stage1();
      s.page(tree, VA, OLD);
      s.on().reads(SID, VA, OLD);
      s.cdAt(tree.cd, { V: 0 });
      s.commands(command, CMD.nsnhAll()).faults(SID, VA, 'C_BAD_CD');
    });
  add('cd-stale', 'Without a CFGI a cached CD may be used', '4.3', (s) => {
    const tree = s.stage1();
    s.page(tree, VA, OLD);
    s.on().reads(SID, VA, OLD);
    s.cdAt(tree.cd, { V: 0 });
    s.commands(CMD.nsnhAll()).reads(SID, VA, OLD);
  });
  add('new-ttb', 'A new table takes CFGI_CD and TLBI', '4.3.6', (s) => {
    const tree = s.stage1();
    s.page(tree, VA, OLD);
    const other = s.tree1();
    s.page(other, VA, NEW);
    s.pattern(NEW);
    s.on().reads(SID, VA, OLD);
    s.cdAt(tree.cd, s.plainCd(other));
    s.reads(SID, VA, OLD);
    s.commands(CMD.cfgiCd(SID), CMD.nhAsid(1)).reads(SID, VA, NEW);
  });
  add('new-asid', 'A CD with another ASID sees no old translation', '4.3.6', (s) => {
    const tree = s.stage1();
    const at = s.page(tree, VA, OLD);
    s.pattern(NEW);
    s.on().reads(SID, VA, OLD);
    s.dword(at, BigInt(NEW) | PAGE | S1_RW);
    s.cdAt(tree.cd, { ...s.plainCd(tree), ASID: 2 });
    s.commands(CMD.cfgiCd(SID)).reads(SID, VA, NEW);
  });
  add('ste-bad-then-good', 'An STE that became valid is used after CFGI_STE', '4.3', (s) => {
    s.ste(SID, { V: 0 });
    s.on().faults(SID, BigInt(DATA), 'C_BAD_STE');
    s.ste(SID, { V: 1, Config: 4 });
    s.commands(CMD.cfgiSte(SID)).reads(SID, BigInt(DATA), DATA);
  });
  add('smmuen-keeps', 'Clearing SMMUEN drops nothing', '3.17', (s) => {
    const tree = s.stage1();
    const at = s.page(tree, VA, OLD);
    s.pattern(NEW);
    s.on().reads(SID, VA, OLD);
    s.dword(at, BigInt(NEW) | PAGE | S1_RW);
    s.write(0x20, 0xc).write(0x20, 0xd).reads(SID, VA, OLD);
  });
  add('smmuen-invalidates', 'Invalidations work while SMMUEN=0', '3.17', (s) => {
    const tree = s.stage1();
    const at = s.page(tree, VA, OLD);
    s.pattern(NEW);
    s.on().reads(SID, VA, OLD);
    s.dword(at, BigInt(NEW) | PAGE | S1_RW);
    s.write(0x20, 0xc).commands(CMD.nsnhAll());
    s.write(0x20, 0xd).reads(SID, VA, NEW);
  });
});
