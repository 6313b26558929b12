/** Stream tables: linear and two-level, their bounds and bases. IHI 0070 §3.3, §5.1, §6.3.24, §6.3.25, §7.3.3. */
import type { Scenario } from '../scenario.ts';
import { CMD, L1STD } from '../scene/bits.ts';
import { group } from '../scene/group.ts';
import { DATA, NOWHERE, type Scene, SID, STRTAB } from '../scene/scene.ts';

const VA = BigInt(DATA);
/** STRTAB_BASE_CFG of a two-level table. */
const twoLevel = (split: number, log2Size: number): number => (1 << 16) | (split << 6) | log2Size;
const LEAF = 0x4050_0000;
/** A two-level table for `sid` whose leaf table starts at LEAF; streams pass. */
const level1 = (s: Scene, sid: number, split: number, span: number): void => {
  s.need('twoLevel').store(STRTAB + (sid >> split) * 8, L1STD(LEAF, span));
  s.steAt(LEAF + (sid & (2 ** split - 1)) * 64, { V: 1, Config: 4 });
};

export const streamTable: readonly Scenario[] = group('stream-table', (add) => {
  add('linear-last', 'The last StreamID of a linear table is found', '6.3.25', (s) => {
    s.ste(0x1f, { V: 1, Config: 4 }).ste(0x12, { V: 1, Config: 4 });
    s.on({ strtabCfg: 5 }).reads(0x12, VA, DATA);
  });
  add('linear-beyond', 'A StreamID beyond LOG2SIZE is C_BAD_STREAMID', '7.3.3', (s) => {
    s.ste(SID, { V: 1, Config: 4 });
    s.on({ strtabCfg: 4 }).faults(SID, VA, 'C_BAD_STREAMID').faultsWrite(SID, VA, 'C_BAD_STREAMID');
  });
  add('linear-beyond-silent', 'With CR2.RECINVSID=0 a bad StreamID aborts without a record', '7.3.3', (s) => {
    s.ste(SID, { V: 1, Config: 4 });
    s.on({ strtabCfg: 4, cr2: 0 }).aborts(SID, VA);
  });
  add('linear-one', 'LOG2SIZE=0 is a table of one stream', '6.3.25', (s) => {
    s.on({ strtabCfg: 0 }).faults(0x08, VA, 'C_BAD_STREAMID');
  });
  add('linear-edge', 'StreamID 2^LOG2SIZE is the first bad one', '6.3.25', (s) => {
    s.ste(0x12, { V: 1, Config: 4 }).ste(0x11, { V: 1, Config: 4 }).ste(0x20, { V: 1, Config: 4 });
    s.on({ strtabCfg: 5 })
      .reads(0x11, VA, DATA)
      .faults(0x20, VA, 'C_BAD_STREAMID')
      .reads(0x12, VA + 4n, DATA + 4);
  });
  add('linear-log2size-large', 'LOG2SIZE above SIDSIZE acts as SIDSIZE', '6.3.25', (s) => {
    // 2^16 STEs are 4 MiB: a base aligned to that.
    s.steAt(0x4040_0000 + SID * 64, { V: 1, Config: 4 });
    s.on({ strtab: 0x4040_0000, strtabCfg: 16 }).reads(SID, VA, DATA);
  });
  add('linear-base-low', 'Base bits [LOG2SIZE+5:0] of a linear table act as 0', '6.3.24', (s) => {
    s.ste(SID, { V: 1, Config: 4 });
    s.on({ strtab: STRTAB + 0x40, strtabCfg: 9 }).reads(SID, VA, DATA);
  });
  add('linear-base-middle', 'Base bit LOG2SIZE+4 of a linear table acts as 0', '6.3.24', (s) => {
    s.ste(SID, { V: 1, Config: 4 });
    s.on({ strtab: STRTAB + 2 ** 13, strtabCfg: 9 }).reads(SID, VA, DATA);
  });
  add('linear-base-top', 'Base bit LOG2SIZE+5 of a linear table acts as 0', '6.3.24', (s) => {
    s.ste(SID, { V: 1, Config: 4 });
    s.on({ strtab: STRTAB + 2 ** 14, strtabCfg: 9 }).reads(SID, VA, DATA);
  });
  add('linear-base-ra', 'STRTAB_BASE.RA is no address bit', '6.3.24', (s) => {
    s.ste(SID, { V: 1, Config: 4 });
    s.write64(0x80, BigInt(STRTAB) | (1n << 62n)).write(0x88, 9);
    s.write(0x20, 1);
    s.reads(SID, VA, DATA);
  });
  for (const [split, log2Size] of [
    [6, 9],
    [8, 9],
    [10, 10],
    [8, 16],
  ] as [number, number][]) {
    const sid = split === 10 ? 0x100 : 0x101;
    add(`two-level-${split}-${log2Size}`, `Two levels, SPLIT=${split}, LOG2SIZE=${log2Size}`, '5.1', (s) => {
      level1(s, sid, split, split + 1);
      s.on({ strtabCfg: twoLevel(split, log2Size) })
        .reads(sid, VA, DATA)
        .writes(sid, VA + 4n, DATA + 4);
    });
    add(
      `two-level-${split}-${log2Size}-v0`,
      `Two levels, SPLIT=${split}, LOG2SIZE=${log2Size}: an empty STE is C_BAD_STE`,
      '5.1',
      (s) => {
        level1(s, sid, split, split + 1);
        s.steAt(LEAF + (sid & (2 ** split - 1)) * 64, { V: 0 });
        s.on({ strtabCfg: twoLevel(split, log2Size) }).faults(sid, VA, 'C_BAD_STE');
      },
    );
  }
  add('two-level-beyond', 'Two levels: a StreamID beyond LOG2SIZE is C_BAD_STREAMID', '7.3.3', (s) => {
    level1(s, 0x100, 8, 9);
    s.on({ strtabCfg: twoLevel(8, 8) }).faults(0x100, VA, 'C_BAD_STREAMID');
  });
  add('two-level-span-0', 'L1STD.Span=0 is C_BAD_STREAMID', '5.1', (s) => {
    level1(s, 0x20, 8, 0);
    s.on({ strtabCfg: twoLevel(8, 9) }).faults(0x20, VA, 'C_BAD_STREAMID');
  });
  add('two-level-span-inside', 'Span=6: the 32 first StreamIDs are in the leaf table', '5.1', (s) => {
    level1(s, 0x12, 8, 6);
    s.on({ strtabCfg: twoLevel(8, 9) }).reads(0x12, VA, DATA);
  });
  add('two-level-span-one', 'Span=1 is a leaf table of one STE', '5.1', (s) => {
    level1(s, 0x100, 8, 1);
    s.on({ strtabCfg: twoLevel(8, 9) }).reads(0x100, VA, DATA);
  });
  add('two-level-span-next', 'Span=6: StreamID 32 is beyond the leaf table', '5.1', (s) => {
    level1(s, 0x20, 8, 6);
    s.on({ strtabCfg: twoLevel(8, 9) }).faults(0x20, VA, 'C_BAD_STREAMID');
  });
  add('two-level-span-far', 'Span=4: StreamID 32 is far beyond the leaf table', '5.1', (s) => {
    level1(s, 0x20, 8, 4);
    s.on({ strtabCfg: twoLevel(8, 9) }).faults(0x20, VA, 'C_BAD_STREAMID');
  });
  add('two-level-span-large', 'Span above SPLIT+1 is C_BAD_STREAMID', '5.1', (s) => {
    level1(s, 0x20, 6, 8);
    s.on({ strtabCfg: twoLevel(6, 9) }).faults(0x20, VA, 'C_BAD_STREAMID');
  });
  add('two-level-span-reserved', 'Span above 11 is reserved: C_BAD_STREAMID', '5.1', (s) => {
    level1(s, 0x20, 8, 13);
    s.on({ strtabCfg: twoLevel(8, 9) }).faults(0x20, VA, 'C_BAD_STREAMID');
  });
  add('two-level-silent', 'With CR2.RECINVSID=0 an absent leaf table aborts without a record', '7.3.3', (s) => {
    level1(s, 0x20, 8, 0);
    s.on({ strtabCfg: twoLevel(8, 9), cr2: 0 }).aborts(0x20, VA);
  });
  add('two-level-l1-fetch', 'An aborted read of an L1STD is F_STE_FETCH', '7.3.4', (s) => {
    s.need('twoLevel');
    s.on({ strtab: NOWHERE, strtabCfg: twoLevel(8, 9) }).faults(0x101, VA, 'F_STE_FETCH', { Fetch: NOWHERE + 8 });
  });
  add('two-level-leaf-fetch', 'An aborted read of an STE of a leaf table is F_STE_FETCH', '7.3.4', (s) => {
    s.need('twoLevel').store(STRTAB, L1STD(NOWHERE, 9));
    s.on({ strtabCfg: twoLevel(8, 9) }).faults(0x20, VA, 'F_STE_FETCH', { Fetch: NOWHERE + 0x20 * 64 });
  });
  add('two-level-split-reserved', 'SPLIT=7 is reserved and acts as 6', '6.3.25', (s) => {
    level1(s, 0x100, 6, 7);
    s.on({ strtabCfg: twoLevel(7, 9) }).reads(0x100, VA, DATA);
  });
  add('two-level-base-low', 'Base bits below the level 1 table size act as 0', '6.3.24', (s) => {
    // LOG2SIZE 16, SPLIT 8: 256 descriptors, 2 KiB.
    level1(s, 0x101, 8, 9);
    s.on({ strtab: STRTAB + 0x100, strtabCfg: twoLevel(8, 16) }).reads(0x101, VA, DATA);
  });
  add('two-level-base-top', 'The highest base bit below the level 1 table size acts as 0', '6.3.24', (s) => {
    level1(s, 0x101, 8, 9);
    s.on({ strtab: STRTAB + 0x400, strtabCfg: twoLevel(8, 16) }).reads(0x101, VA, DATA);
  });
  add('two-level-leaf-align', 'L2Ptr bits below the leaf table size act as 0', '5.1', (s) => {
    s.need('twoLevel').store(STRTAB, L1STD(LEAF + 0x40, 9));
    s.steAt(LEAF + 0x20 * 64, { V: 1, Config: 4 });
    s.on({ strtabCfg: twoLevel(8, 9) }).reads(0x20, VA, DATA);
  });
  add('two-level-many', 'Many level 1 descriptors lead to leaf tables of their own', '5.1', (s) => {
    s.need('twoLevel')
      .store(STRTAB, L1STD(LEAF, 7))
      .store(STRTAB + 4 * 8, L1STD(LEAF + 0x1000, 7));
    s.steAt(LEAF + 0x20 * 64, { V: 1, Config: 4 }).steAt(LEAF + 0x1000, { V: 1, Config: 0 });
    s.on({ strtabCfg: twoLevel(6, 9) })
      .reads(0x20, VA, DATA)
      .aborts(0x100, VA)
      .faults(0x101, VA, 'C_BAD_STE');
  });
  add('two-level-then-linear', 'FMT may change from two levels back to linear', '6.3.25', (s) => {
    level1(s, 0x20, 8, 9);
    const linear = 0x4060_0000;
    s.steAt(linear + 0x101 * 64, { V: 1, Config: 4 });
    s.on({ strtabCfg: twoLevel(8, 9) }).reads(0x20, VA, DATA);
    s.write(0x20, 0xc).write64(0x80, linear).write(0x88, 9);
    s.commands(CMD.cfgiAll());
    s.write(0x20, 0xd).reads(0x101, VA + 4n, DATA + 4);
  });
});
