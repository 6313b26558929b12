/** Both stages: what stage 2 says of stage 1's tables, CDs and results. IHI 0070 §3.3, §7.3, §7.3.22. */
import type { Scenario } from '../scenario.ts';
import {
  AF,
  BLOCK,
  CLASS,
  CMD,
  type Command,
  PAGE,
  READ_ONLY,
  S1_RO,
  S1_RW,
  S2_RO,
  S2_RW,
  S2_WO,
} from '../scene/bits.ts';
import { group } from '../scene/group.ts';
import { CDTAB, DATA, type GranuleShift, NOWHERE, SID } from '../scene/scene.ts';

const VA = 0x12_3456_7000n;
const IPA = 0x8_0000_0000n;
/** Leads to the last quarter of a 16 KiB table. */
const HIGH = 0x1c0_0000n;
const OTHER = 0x7_0000_0000;

export const nested: readonly Scenario[] = group('nested', (add) => {
  add('pass', 'Stage 1 leads to an IPA, stage 2 to memory', '3.3', (s) => {
    const { s1, s2 } = s.nested();
    s.page(s1, VA, Number(IPA));
    s.page2(s2, IPA, DATA);
    s.on()
      .reads(SID, VA + 4n, DATA + 4)
      .writes(SID, VA + 8n, DATA + 8)
      .reads(SID, VA + 12n, DATA + 12);
  });
  for (const g1 of [12, 14, 16] as GranuleShift[])
    for (const g2 of [12, 14, 16] as GranuleShift[])
      add(
        `pass-${2 ** g1 / 1024}k-${2 ** g2 / 1024}k`,
        `${2 ** g1 / 1024} KiB pages of stage 1 over ${2 ** g2 / 1024} KiB pages of stage 2`,
        '3.3',
        (s) => {
          const { s1, s2 } = s.nested(SID, { s1: { granule: g1 }, s2: { granule: g2 } });
          s.page(s1, 0x12_3456_0000n, Number(IPA));
          const step = 2 ** Math.min(g1, g2);
          for (let at = 0; at < 2 ** g1; at += 2 ** g2) s.page2(s2, IPA + BigInt(at), DATA + at);
          s.on();
          for (let at = 0; at < 2 ** Math.max(g1, 12); at += step)
            s.reads(SID, 0x12_3456_0000n + BigInt(at + 8), DATA + at + 8);
        },
      );
  add('block-over-pages', 'A block of stage 1 over pages of stage 2', '3.3', (s) => {
    const { s1, s2 } = s.nested();
    s.map(s1, 0x4000_0000n, IPA | BLOCK | S1_RW, 2);
    s.page2(s2, IPA, DATA);
    s.page2(s2, IPA + 0x1000n, DATA + 0x8000);
    s.on()
      .reads(SID, 0x4000_0000n, DATA)
      .reads(SID, 0x4000_1000n, DATA + 0x8000);
    s.faults(SID, 0x4000_2000n, 'F_TRANSLATION', { S2: 1, CLASS: CLASS.IN, IPA: IPA + 0x2000n });
  });
  add('pages-over-block', 'Pages of stage 1 over a block of stage 2', '3.3', (s) => {
    const { s1, s2 } = s.nested();
    s.page(s1, VA, Number(IPA) + 0x5000);
    s.map(s2, IPA, 0x4800_0000n | BLOCK | S2_RW, 2);
    s.on()
      .reads(SID, VA, 0x4800_5000)
      .writes(SID, VA + 4n, 0x4800_5004);
  });
  add('s2-translation', 'No stage 2 page for the result is F_TRANSLATION, CLASS IN', '7.3.13', (s) => {
    const { s1 } = s.nested();
    s.page(s1, VA, Number(IPA));
    s.on().faults(SID, VA + 0x123cn - 0x1000n, 'F_TRANSLATION', { S2: 1, CLASS: CLASS.IN, IPA });
  });
  add('s2-access', 'AF=0 at stage 2 is F_ACCESS, CLASS IN', '7.3.15', (s) => {
    const { s1, s2 } = s.nested();
    s.page(s1, VA, Number(IPA));
    s.page2(s2, IPA, DATA, S2_RW & ~AF);
    s.on().faults(SID, VA, 'F_ACCESS', { S2: 1, CLASS: CLASS.IN, IPA });
  });
  add('s2-permission', 'A read-only stage 2 page refuses writes: F_PERMISSION, CLASS IN', '7.3.16', (s) => {
    const { s1, s2 } = s.nested();
    s.page(s1, VA, Number(IPA));
    s.page2(s2, IPA, DATA, S2_RO);
    s.on().faultsWrite(SID, VA, 'F_PERMISSION', { S2: 1, CLASS: CLASS.IN, IPA }).reads(SID, VA, DATA);
    s.faultsWrite(SID, VA, 'F_PERMISSION', { S2: 1, CLASS: CLASS.IN, IPA });
  });
  add('s2-write-only', 'A write-only stage 2 page refuses reads', '7.3.16', (s) => {
    const { s1, s2 } = s.nested();
    s.page(s1, VA, Number(IPA));
    s.page2(s2, IPA, DATA, S2_WO);
    s.on().faults(SID, VA, 'F_PERMISSION', { S2: 1, CLASS: CLASS.IN, IPA });
  });
  add(
    's2-write-only-cached',
    'A write-only stage 2 page refuses reads after a write was cached, too',
    '7.3.16',
    (s) => {
      const { s1, s2 } = s.nested();
      s.page(s1, VA, Number(IPA));
      s.page2(s2, IPA, DATA, S2_WO);
      s.on().writes(SID, VA, DATA).faults(SID, VA, 'F_PERMISSION', { S2: 1, CLASS: CLASS.IN, IPA });
    },
  );
  add('s2-size', 'An output beyond S2PS is F_ADDR_SIZE, CLASS IN', '7.3.14', (s) => {
    const { s1, s2 } = s.nested(SID, { s2: { inputBits: 32, startLevel: 1, ste: { S2PS: 0 } } });
    s.page(s1, VA, 0x8000_0000);
    s.page2(s2, 0x8000_0000n, 2 ** 32);
    s.on().faults(SID, VA, 'F_ADDR_SIZE', { S2: 1, CLASS: CLASS.IN, IPA: 0x8000_0000 });
  });
  add('s1-permission', "Stage 1's refusal comes before stage 2 of the result", '7.3.22', (s) => {
    const { s1 } = s.nested();
    s.page(s1, VA, Number(IPA), S1_RO);
    s.on().faultsWrite(SID, VA, 'F_PERMISSION');
  });
  add('s1-access', "Stage 1's access flag comes before stage 2 of the result", '7.3.22', (s) => {
    const { s1 } = s.nested();
    s.page(s1, VA, Number(IPA), S1_RW & ~AF);
    s.on().faults(SID, VA, 'F_ACCESS');
  });
  add('s1-translation', "A missing stage 1 page is stage 1's F_TRANSLATION", '7.3.22', (s) => {
    const { s1 } = s.nested();
    s.page(s1, VA + 0x1000n, Number(IPA));
    s.on().faults(SID, VA, 'F_TRANSLATION');
  });
  add('both-permission', "Stage 1 read-only and stage 2 read-only: stage 1's F_PERMISSION", '7.3.22', (s) => {
    const { s1, s2 } = s.nested();
    s.page(s1, VA, Number(IPA), S1_RW | READ_ONLY);
    s.page2(s2, IPA, DATA, S2_RO);
    s.on().faultsWrite(SID, VA, 'F_PERMISSION').reads(SID, VA, DATA);
  });
  add('cd-translation', 'A CD that stage 2 does not map is F_TRANSLATION, CLASS CD', '7.3.13', (s) => {
    s.nested(SID, { identity: false });
    s.on().faults(SID, VA, 'F_TRANSLATION', { S2: 1, CLASS: CLASS.CD, IPA: CDTAB });
  });
  add('cd-permission', 'A CD in a write-only page is F_PERMISSION, CLASS CD', '7.3.16', (s) => {
    const { s2 } = s.nested(SID, { identity: false });
    s.page2(s2, BigInt(CDTAB), CDTAB, S2_WO);
    s.on().faults(SID, VA, 'F_PERMISSION', { S2: 1, CLASS: CLASS.CD, IPA: CDTAB });
  });
  add('cd-access', 'A CD in a page with AF=0 is F_ACCESS, CLASS CD', '7.3.15', (s) => {
    const { s2 } = s.nested(SID, { identity: false });
    s.page2(s2, BigInt(CDTAB), CDTAB, S2_RW & ~AF);
    s.on().faults(SID, VA, 'F_ACCESS', { S2: 1, CLASS: CLASS.CD, IPA: CDTAB });
  });
  add('cd-fetch', 'A CD that stage 2 maps to nowhere is F_CD_FETCH', '7.3.10', (s) => {
    const { s2 } = s.nested(SID, { identity: false });
    s.page2(s2, BigInt(CDTAB), NOWHERE);
    s.on().faults(SID, VA, 'F_CD_FETCH', { Fetch: NOWHERE });
  });
  add('cd-elsewhere', 'S1ContextPtr is an IPA', '5.2', (s) => {
    const { s1, s2 } = s.nested();
    s.page(s1, VA, Number(IPA));
    s.page2(s2, IPA, DATA);
    s.page2(s2, BigInt(OTHER), CDTAB);
    s.ste(SID, { V: 1, Config: 7, ...s.plainS2(s2), S1ContextPtr: OTHER });
    s.on().reads(SID, VA, DATA);
  });
  add('cd-bad', 'An illegal CD of a nested stream is C_BAD_CD', '5.4.2', (s) => {
    s.nested(SID, { s1: { cd: { A: 0 } } });
    s.on().faults(SID, VA, 'C_BAD_CD');
  });
  add('ttb-translation', 'A first table that stage 2 does not map is F_TRANSLATION, CLASS TT', '7.3.13', (s) => {
    const { s1 } = s.nested(SID, { s1: { root: OTHER } });
    const index = Number((VA >> 39n) & 511n);
    s.on().faults(SID, VA, 'F_TRANSLATION', { S2: 1, CLASS: CLASS.TT, IPA: BigInt(s1.root + index * 8) & ~0xfffn });
  });
  add('cd-translation-write', "RnW tells of the transaction, not of the CD's fetch", '7.3.13', (s) => {
    s.nested(SID, { identity: false });
    s.on().faultsWrite(SID, VA, 'F_TRANSLATION', { S2: 1, CLASS: CLASS.CD, IPA: CDTAB });
  });
  add('ttb-late', 'An address beyond the input range needs no table, mapped or not', '7.3.22', (s) => {
    s.nested(SID, { s1: { root: OTHER, inputBits: 39 } });
    s.on().faults(SID, 1n << 40n, 'F_TRANSLATION');
  });
  add('ttb-late-epd', "The other half's table is not needed", '7.3.22', (s) => {
    const { s1, s2 } = s.nested();
    s.page(s1, VA, Number(IPA));
    s.page2(s2, IPA, DATA);
    s.cdAt(s1.cd, { ...s.plainCd(s1), EPD1: 0, T1SZ: 16, TG1: 2, TTB1: OTHER });
    s.on().reads(SID, VA, DATA);
  });
  add('table-silent', 'Stage 2 faults on tables are recorded as S2R says', '3.12', (s) => {
    const { s1 } = s.nested(SID, { s2: { ste: { S2R: 0 } } });
    s.map(s1, VA, BigInt(OTHER) | 3n, 1);
    s.on().aborts(SID, VA);
  });
  add('table-silent-s1', 'CD.R=0 does not silence stage 2 faults on tables', '3.12', (s) => {
    const { s1 } = s.nested(SID, { s1: { cd: { R: 0 } } });
    s.map(s1, VA, BigInt(OTHER) | 3n, 1);
    s.on().faults(SID, VA, 'F_TRANSLATION', { S2: 1, CLASS: CLASS.TT, IPA: OTHER });
  });
  add('table-ipa', "The record names the descriptor's page, not the table's", '7.3.13', (s) => {
    const { s1 } = s.nested(SID, { s1: { granule: 14 } });
    s.map(s1, HIGH, BigInt(OTHER) | 3n, 2);
    const index = (HIGH >> 14n) & 2047n;
    s.on().faults(SID, HIGH, 'F_TRANSLATION', { S2: 1, CLASS: CLASS.TT, IPA: (BigInt(OTHER) + index * 8n) & ~0xfffn });
  });
  add('table-split', 'The pages of a large table may lie apart in memory', '3.3', (s) => {
    const { s1, s2 } = s.nested(SID, { s1: { granule: 14 } });
    s.map(s1, HIGH, BigInt(OTHER) | 3n, 2);
    const index = Number((HIGH >> 14n) & 2047n);
    const page = s.table();
    s.table();
    s.table();
    const first = s.table();
    const second = index >> 9;
    for (let i = 0; i < 4; i++) s.page2(s2, BigInt(OTHER + i * 4096), i === second ? page : first);
    s.dword(page + (index & 511) * 8, IPA | PAGE | S1_RW);
    for (let i = 0; i < 4; i++) s.page2(s2, IPA + BigInt(i * 4096), DATA + i * 4096);
    s.on().reads(SID, HIGH, DATA + Number(HIGH & 0x3fffn));
  });
  add('table-translation', 'A next table that stage 2 does not map is F_TRANSLATION, CLASS TT', '7.3.13', (s) => {
    const { s1 } = s.nested();
    s.map(s1, VA, BigInt(OTHER) | 3n, 1);
    s.on().faults(SID, VA, 'F_TRANSLATION', { S2: 1, CLASS: CLASS.TT, IPA: OTHER });
  });
  add('table-permission', 'A table in a write-only page is F_PERMISSION, CLASS TT', '7.3.16', (s) => {
    const { s1, s2 } = s.nested();
    s.map(s1, VA, BigInt(OTHER) | 3n, 2);
    s.page2(s2, BigInt(OTHER), s.table(), S2_WO);
    s.on().faults(SID, VA, 'F_PERMISSION', { S2: 1, CLASS: CLASS.TT, TTRnW: 1, IPA: OTHER });
  });
  add(
    'table-permission-write',
    "A write's table read that stage 2 refuses records TTRnW=1 and RnW=0",
    '7.3.16',
    (s) => {
      const { s1, s2 } = s.nested();
      s.map(s1, VA, BigInt(OTHER) | 3n, 2);
      s.page2(s2, BigInt(OTHER), s.table(), S2_WO);
      s.on().faultsWrite(SID, VA, 'F_PERMISSION', { S2: 1, CLASS: CLASS.TT, TTRnW: 1, IPA: OTHER });
    },
  );
  add('table-access', 'A table in a page with AF=0 is F_ACCESS, CLASS TT', '7.3.15', (s) => {
    const { s1, s2 } = s.nested();
    s.map(s1, VA, BigInt(OTHER) | 3n, 2);
    s.page2(s2, BigInt(OTHER), s.table(), S2_RW & ~AF);
    s.on().faults(SID, VA, 'F_ACCESS', { S2: 1, CLASS: CLASS.TT, IPA: OTHER });
  });
  add('table-read-only', 'A table in a read-only page is read, for writes as well', '7.3.16', (s) => {
    const { s1, s2 } = s.nested();
    const table = s.table();
    s.map(s1, VA, BigInt(OTHER) | 3n, 2);
    s.dword(table + Number((VA >> 12n) & 511n) * 8, IPA | PAGE | S1_RW);
    s.page2(s2, BigInt(OTHER), table, S2_RO);
    s.page2(s2, IPA, DATA);
    s.on()
      .writes(SID, VA, DATA)
      .reads(SID, VA + 4n, DATA + 4);
  });
  add('table-eabt', "A stage 1 descriptor that aborts is stage 1's F_WALK_EABT", '7.3.12', (s) => {
    const { s1, s2 } = s.nested();
    s.map(s1, VA, BigInt(OTHER) | 3n, 2);
    s.page2(s2, BigInt(OTHER), NOWHERE);
    s.on().faults(SID, VA, 'F_WALK_EABT', { Fetch: NOWHERE + Number((VA >> 12n) & 511n) * 8 });
  });
  add('table-eabt-s2', 'A stage 2 descriptor that aborts for a table is F_WALK_EABT, S2, CLASS TT', '7.3.12', (s) => {
    const { s1, s2 } = s.nested();
    s.map(s1, VA, BigInt(OTHER) | 3n, 2);
    s.map(s2, BigInt(OTHER), BigInt(NOWHERE) | 3n, 2);
    const index = Number((BigInt(OTHER) >> 12n) & 511n);
    s.on().faults(SID, VA, 'F_WALK_EABT', { S2: 1, CLASS: CLASS.TT, Fetch: NOWHERE + index * 8 });
  });
  add('data-eabt-s2', 'A stage 2 descriptor that aborts for the result is F_WALK_EABT, S2, CLASS IN', '7.3.12', (s) => {
    const { s1, s2 } = s.nested();
    s.page(s1, VA, Number(IPA));
    s.map(s2, IPA, BigInt(NOWHERE) | 3n, 2);
    s.on().faults(SID, VA, 'F_WALK_EABT', { S2: 1, CLASS: CLASS.IN, Fetch: NOWHERE });
  });
  add('cd-eabt-s2', 'A stage 2 descriptor that aborts for a CD is F_WALK_EABT, S2, CLASS CD', '7.3.12', (s) => {
    const { s2 } = s.nested(SID, { identity: false });
    s.map(s2, BigInt(CDTAB), BigInt(NOWHERE) | 3n, 2);
    const index = Number((BigInt(CDTAB) >> 12n) & 511n);
    s.on().faults(SID, VA, 'F_WALK_EABT', { S2: 1, CLASS: CLASS.CD, Fetch: NOWHERE + index * 8 });
  });
  add('ipa-beyond', 'A stage 1 output beyond S2T0SZ is F_TRANSLATION of stage 2', '3.4.3', (s) => {
    const { s1 } = s.nested();
    s.page(s1, VA, 2 ** 40);
    s.on().faults(SID, VA, 'F_TRANSLATION', { S2: 1, CLASS: CLASS.IN, IPA: 2n ** 40n });
  });
  add('ttb-beyond-ips', 'TTB0 beyond CD.IPS is C_BAD_CD', '5.4.2', (s) => {
    s.nested(SID, { s1: { root: 0x4100_0000, cd: { IPS: 0, TTB0: 2n ** 33n } } });
    s.on().faults(SID, VA, 'C_BAD_CD');
  });
  add('s1-silent', 'CD.R=0 silences stage 1, S2R=1 records stage 2', '3.12', (s) => {
    const { s1 } = s.nested(SID, { s1: { cd: { R: 0 } } });
    s.page(s1, VA, Number(IPA));
    s.on()
      .aborts(SID, VA + 0x1000n)
      .faults(SID, VA, 'F_TRANSLATION', { S2: 1, CLASS: CLASS.IN, IPA });
  });
  add('s2-silent', 'S2R=0 silences stage 2, CD.R=1 records stage 1', '3.12', (s) => {
    const { s1 } = s.nested(SID, { s2: { ste: { S2R: 0 } } });
    s.page(s1, VA, Number(IPA));
    s.on()
      .faults(SID, VA + 0x1000n, 'F_TRANSLATION')
      .aborts(SID, VA);
  });
  add('cd-silent', 'S2R=0 silences stage 2 faults of CD fetches', '3.12', (s) => {
    s.nested(SID, { identity: false, s2: { ste: { S2R: 0 } } });
    s.on().aborts(SID, VA);
  });
  const stale = (name: string, title: string, commands: readonly Command[], expectNew: boolean): void =>
    add(name, title, '4.4.3', (s) => {
      const { s1, s2 } = s.nested(SID, { s2: { vmid: 3 } });
      s.page(s1, VA, Number(IPA));
      const at = s.page2(s2, IPA, DATA);
      s.pattern(DATA + 0x1000);
      s.on().reads(SID, VA, DATA);
      s.dword(at, BigInt(DATA + 0x1000) | PAGE | S2_RW);
      s.commands(...commands);
      s.reads(SID, VA, expectNew ? DATA + 0x1000 : DATA);
    });
  stale('inv-s12', 'CMD_TLBI_S12_VMALL drops nested translations', [CMD.s12Vmall(3)], true);
  stale(
    'inv-s2-nh-all',
    'CMD_TLBI_S2_IPA with CMD_TLBI_NH_ALL drops nested translations',
    [CMD.s2Ipa(IPA, { vmid: 3 }), CMD.nhAll(3)],
    true,
  );
  stale(
    'inv-s2-vaa',
    'CMD_TLBI_S2_IPA with CMD_TLBI_NH_VAA drops nested translations',
    [CMD.s2Ipa(IPA, { vmid: 3 }), CMD.nhVaa(VA, { vmid: 3 })],
    true,
  );
  stale('inv-s2-alone', 'CMD_TLBI_S2_IPA alone may keep nested translations', [CMD.s2Ipa(IPA, { vmid: 3 })], false);
  stale('inv-s12-other', 'CMD_TLBI_S12_VMALL of another VMID may keep', [CMD.s12Vmall(4)], false);
  stale('inv-nsnh', 'CMD_TLBI_NSNH_ALL drops nested translations', [CMD.nsnhAll()], true);
  add('inv-s1', 'CMD_TLBI_NH_VA drops a nested translation when stage 1 changes', '4.4.2.4', (s) => {
    const { s1, s2 } = s.nested(SID, { s2: { vmid: 3 } });
    const at = s.page(s1, VA, Number(IPA));
    s.page2(s2, IPA, DATA);
    s.page2(s2, IPA + 0x1000n, DATA + 0x1000);
    s.on().reads(SID, VA, DATA);
    s.dword(at, (IPA + 0x1000n) | PAGE | S1_RW);
    s.commands(CMD.nhVa(VA, { asid: 1, vmid: 3 })).reads(SID, VA, DATA + 0x1000);
  });
  add('bypass-s1dss', 'S1CDMax=0 makes S1DSS meaningless', '5.2', (s) => {
    const { s1, s2 } = s.nested(SID, { s1: { ste: { S1DSS: 1 } } });
    s.page(s1, VA, Number(IPA));
    s.page2(s2, IPA, DATA);
    s.on().reads(SID, VA, DATA);
  });
});
