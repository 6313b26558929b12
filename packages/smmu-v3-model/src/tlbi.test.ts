/** What each TLB invalidation drops and what it leaves: IHI 0070 §3.17, §4.4. Commands are dwords typed by hand. */
import { describe, expect, it } from 'vitest';
import {
  CD_PLAIN,
  CDTAB,
  DATA,
  NG,
  Rig,
  type RigOptions,
  S2_PLAIN,
  S2_RW,
  STE_NESTED,
  STE_S1,
  STE_S2,
  STE_V,
  USER_RW,
} from '../test/rig.ts';
import { LARGE } from './features.ts';

/**
 * Streams that all map VA 0x1000 (and 0x40_0000 as a block) of their own space to pages of their own:
 * 1 ASID 1 VMID 0, 2 ASID 2 VMID 0, 3 ASID 1 VMID 7, 4 EL2, 5 stage 2 VMID 7, 6 stage 2 VMID 8, 7 nested ASID 1 VMID 9.
 * 0x2000 is a global page of streams 1 and 3.
 */
class Worlds {
  readonly rig: Rig;
  readonly tables: number[] = [0];
  readonly places = new Map<string, number>();
  constructor(options: RigOptions = {}) {
    this.rig = new Rig(options);
    const { rig } = this;
    const cds: [asid: bigint, vmid: bigint, ste1: bigint][] = [
      [1n, 0n, 0n],
      [2n, 0n, 0n],
      [1n, 7n, 0n],
      [0n, 0n, 2n << 30n],
    ];
    for (const [i, [asid, vmid, ste1]] of cds.entries()) {
      const sid = i + 1;
      this.tables.push(rig.table());
      rig.cd(sid, (CD_PLAIN & ~(sid === 4 ? 1n << 30n : 0n)) | (asid << 48n), BigInt(this.tables[sid]!), 0n, 0xffn);
      rig.ste(sid, STE_V | STE_S1 | BigInt(CDTAB + sid * 64), ste1, vmid);
    }
    for (const [sid, vmid] of [
      [5, 7n],
      [6, 8n],
    ] as const) {
      this.tables.push(rig.table());
      rig.ste(sid, STE_V | STE_S2, 0n, S2_PLAIN | vmid, BigInt(this.tables[sid]!));
    }
    const s2 = rig.table();
    rig.map(s2, 0x4000_0000n, 0x4000_0000n | (S2_RW & ~2n), 1);
    this.tables.push(rig.table());
    rig.cd(7, CD_PLAIN | (1n << 48n), BigInt(this.tables[7]!), 0n, 0xffn);
    rig.ste(7, STE_V | STE_NESTED | BigInt(CDTAB + 7 * 64), 0n, S2_PLAIN | 9n, BigInt(s2));
    for (let sid = 1; sid <= 7; sid++) {
      const rw = sid === 5 || sid === 6 ? S2_RW : USER_RW;
      this.places.set(`${sid} page`, rig.map(this.tables[sid]!, 0x1000n, BigInt(this.#old(sid)) | rw));
      this.places.set(`${sid} block`, rig.map(this.tables[sid]!, 0x40_0000n, 0x4800_0000n | (rw & ~2n), 2));
      if (sid === 1 || sid === 3)
        this.places.set(`${sid} global`, rig.map(this.tables[sid]!, 0x2000n, BigInt(this.#old(sid)) | (rw & ~NG)));
    }
    for (const key of this.places.keys()) this.#look(key);
    // Move everything: what still leads to the old place is cached.
    for (const [key, place] of this.places)
      rig.put(place, rig.get(place) + (key.endsWith('block') ? 0x20_0000n : 0x10_0000n));
  }
  #old(sid: number): number {
    return DATA + sid * 0x1000;
  }
  #look(key: string): number {
    const sid = Number(key[0]);
    return this.rig.translate(sid, key.endsWith('page') ? 0x1000n : key.endsWith('block') ? 0x41_2000n : 0x2000n);
  }
  /** What a command dropped. */
  dropped(...commands: [bigint, bigint][]): string[] {
    this.rig.run(...commands);
    return [...this.places.keys()].filter((key) => {
      const sid = Number(key[0]);
      return this.#look(key) !== (key.endsWith('block') ? 0x4801_2000 : this.#old(sid));
    });
  }
}

const command = (
  opcode: number,
  { vmid = 0, asid = 0, address = 0n, leaf = true, num = 0, scale = 0, ttl = 0, tg = 0 } = {},
): [bigint, bigint] => [
  BigInt(opcode) | (BigInt(num) << 12n) | (BigInt(scale) << 20n) | (BigInt(vmid) << 32n) | (BigInt(asid) << 48n),
  (leaf ? 1n : 0n) | (BigInt(ttl) << 8n) | (BigInt(tg) << 10n) | address,
];
const NH_ALL = 0x10;
const NH_ASID = 0x11;
const NH_VA = 0x12;
const NH_VAA = 0x13;
const EL2_ALL = 0x20;
const EL2_ASID = 0x21;
const EL2_VA = 0x22;
const EL2_VAA = 0x23;
const S12_VMALL = 0x28;
const S2_IPA = 0x2a;
const NSNH_ALL = 0x30;

describe('what each command drops', () => {
  it.each<[string, [bigint, bigint], string[]]>([
    ['nothing, if there is no command', [0x46n, 0n], []],
    [
      'NH_ALL: stage 1 of the VMID, global pages too',
      command(NH_ALL),
      ['1 page', '1 block', '1 global', '2 page', '2 block'],
    ],
    ['NH_ALL of another VMID', command(NH_ALL, { vmid: 7 }), ['3 page', '3 block', '3 global']],
    ['NH_ALL of a nested VMID', command(NH_ALL, { vmid: 9 }), ['7 page', '7 block']],
    ['NH_ASID: non-global pages of VMID and ASID', command(NH_ASID, { asid: 1 }), ['1 page', '1 block']],
    ['NH_ASID with a VMID', command(NH_ASID, { vmid: 7, asid: 1 }), ['3 page', '3 block']],
    ['NH_ASID of nobody', command(NH_ASID, { asid: 77 }), []],
    ['NH_VA: one page', command(NH_VA, { asid: 1, address: 0x1000n }), ['1 page']],
    ['NH_VA: low address bits do not count', command(NH_VA, { asid: 2, address: 0x1000n }), ['2 page']],
    ['NH_VA: any address in a block', command(NH_VA, { asid: 1, address: 0x5f_f000n }), ['1 block']],
    ['NH_VA: a global page goes with any ASID', command(NH_VA, { asid: 77, address: 0x2000n }), ['1 global']],
    ['NH_VA of another page', command(NH_VA, { asid: 1, address: 0x3000n }), []],
    ['NH_VA of a nested stream', command(NH_VA, { vmid: 9, asid: 1, address: 0x1000n }), ['7 page']],
    ['NH_VAA: every ASID', command(NH_VAA, { address: 0x1000n }), ['1 page', '2 page']],
    ['NH_VAA with a VMID, a global page', command(NH_VAA, { vmid: 7, address: 0x2000n }), ['3 global']],
    ['NH_VAA in a block', command(NH_VAA, { address: 0x40_0000n }), ['1 block', '2 block']],
    ['EL2_ALL', command(EL2_ALL), ['4 page', '4 block']],
    ['EL2_VA with E2H=0: by address, the ASID ignored', command(EL2_VA, { asid: 5, address: 0x1000n }), ['4 page']],
    ['EL2_VAA', command(EL2_VAA, { address: 0x1000n }), ['4 page']],
    ['EL2_ASID is of E2H only', command(EL2_ASID), []],
    [
      'S12_VMALL: both stages of the VMID',
      command(S12_VMALL, { vmid: 7 }),
      ['3 page', '3 block', '3 global', '5 page', '5 block'],
    ],
    ['S2_IPA: stage 2 of VMID and address', command(S2_IPA, { vmid: 7, address: 0x1000n }), ['5 page']],
    ['S2_IPA in a block', command(S2_IPA, { vmid: 8, address: 0x41_0000n }), ['6 block']],
    ['S2_IPA leaves entries of both stages', command(S2_IPA, { vmid: 9, address: BigInt(DATA + 0x7000) }), []],
    [
      'NSNH_ALL: EL1 at all stages',
      command(NSNH_ALL),
      [
        '1 page',
        '1 block',
        '1 global',
        '2 page',
        '2 block',
        '3 page',
        '3 block',
        '3 global',
        '5 page',
        '5 block',
        '6 page',
        '6 block',
        '7 page',
        '7 block',
      ],
    ],
  ])('%s', (_, dwords, expected) => {
    expect(new Worlds().dropped(dwords)).toEqual(expected);
  });

  it('CFGI_ALL drops no translation (§4.3)', () => {
    expect(new Worlds().dropped([0x04n, 31n])).toEqual([]);
  });

  it('SMMUEN=0 drops none either, and invalidation works then (§3.17)', () => {
    const worlds = new Worlds();
    worlds.rig.write(0x20, 0xc);
    worlds.rig.settle();
    worlds.rig.run(command(NH_ASID, { asid: 2 }));
    worlds.rig.write(0x20, 0xd);
    worlds.rig.settle();
    expect(worlds.dropped()).toEqual(['2 page', '2 block']);
  });

  it('takes effect when a CMD_SYNC completes, not before', () => {
    const worlds = new Worlds();
    worlds.rig.queue(command(NH_ALL));
    worlds.rig.ring();
    worlds.rig.settle();
    expect(worlds.rig.read(0x9c)).toBe(worlds.rig.prod);
    expect(worlds.rig.translate(1, 0x1000n)).toBe(DATA + 0x1000);
    worlds.rig.run();
    expect(worlds.rig.translate(1, 0x1000n)).not.toBe(DATA + 0x1000);
  });

  it('or at once, on an SMMU that says so', () => {
    const worlds = new Worlds({ features: { lateInvalidation: false } });
    worlds.rig.queue(command(NH_ALL));
    worlds.rig.ring();
    worlds.rig.settle();
    expect(worlds.rig.translate(1, 0x1000n)).not.toBe(DATA + 0x1000);
  });

  it('what waits for a CMD_SYNC is done when CMDQEN is cleared, or when there is too much of it', () => {
    const off = new Worlds();
    off.rig.queue(command(NH_ALL));
    off.rig.ring();
    off.rig.settle();
    off.rig.write(0x20, 5);
    off.rig.settle();
    expect(off.rig.translate(1, 0x1000n)).not.toBe(DATA + 0x1000);
    const many = new Worlds();
    many.rig.queue(command(NH_ALL));
    for (let i = 0; i < 1100; i++) {
      many.rig.queue(command(NH_ASID, { asid: 99 }));
      if (i % 200 === 0) {
        many.rig.ring();
        many.rig.settle();
      }
    }
    many.rig.ring();
    many.rig.settle();
    expect(many.rig.translate(1, 0x1000n)).not.toBe(DATA + 0x1000);
  });
});

describe('widths of tags', () => {
  it('an SMMU without stage 2 ignores VMIDs', () => {
    const rig = new Rig({ features: { stage2: false } });
    const ttb = rig.stage1();
    const place = rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
    rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB + 64), 0n, 5n);
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
    rig.put(place, 0n);
    rig.run(command(NH_ALL, { vmid: 9 }));
    expect(rig.translate(1, 0x1000n)).toBe(-0x10);
  });
  it('8-bit ASIDs and VMIDs compare 8 bits', () => {
    expect(
      new Worlds({ features: { asid16: false, vmid16: false } }).dropped(
        command(NH_VA, { asid: 0xff01, vmid: 0xab07, address: 0x1000n }),
      ),
    ).toEqual(['3 page']);
  });
});

describe('E2H (§3.17)', () => {
  it('tags by ASID, and EL2 commands go by it', () => {
    for (const [opcode, asid, drops] of [
      [EL2_ASID, 4, true],
      [EL2_ASID, 5, false],
      [EL2_VA, 4, true],
      [EL2_VA, 5, false],
      [EL2_VAA, 0, true],
      [EL2_ALL, 0, true],
      [NH_ASID, 4, false],
    ] as const) {
      const rig = new Rig({ cr2: 3 });
      const ttb = rig.table();
      rig.cd(1, CD_PLAIN | (4n << 48n), BigInt(ttb));
      rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB + 64), 2n << 30n);
      const place = rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
      expect(rig.translate(1, 0x1000n)).toBe(DATA);
      rig.put(place, 0n);
      rig.run(command(opcode, { asid, address: 0x1000n }));
      expect([opcode, asid, rig.translate(1, 0x1000n) !== DATA]).toEqual([opcode, asid, drops]);
    }
  });
  it('a change of CR2.E2H while off is seen by the next enable', () => {
    const rig = new Rig();
    const ttb = rig.table();
    rig.cd(1, CD_PLAIN & ~(1n << 30n), BigInt(ttb), 0n);
    rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB + 64), 2n << 30n);
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
    rig.write(0x20, 0xc);
    rig.settle();
    rig.write(0x2c, 3);
    rig.write(0x20, 0xd);
    rig.settle();
    expect(rig.translate(1, 0x1000n)).toBe(-0x0a); // TTB1 is enabled now, and its granule is reserved
  });
});

describe('CR0.VMW: low VMID bits are ignored by invalidation, not by look-up (§3.17.6)', () => {
  it.each([
    [0, ['5 page']],
    [1, ['5 page']], // VMIDs 6 and 7
    [4, ['5 page', '6 page']], // 0 to 15
    [7, ['5 page']], // reserved: exact
  ])('VMW=%d, S2_IPA of VMID 7', (vmw, expected) => {
    const worlds = new Worlds();
    worlds.rig.write(0x20, 0xd | (vmw << 6));
    worlds.rig.settle();
    expect(worlds.dropped(command(S2_IPA, { vmid: 7, address: 0x1000n }))).toEqual(expected);
  });
  it('NH_ASID and NH_VA', () => {
    for (const dwords of [
      command(NH_ASID, { vmid: 6, asid: 1 }),
      command(NH_VA, { vmid: 6, asid: 1, address: 0x1000n, leaf: false }),
    ]) {
      const worlds = new Worlds();
      worlds.rig.write(0x20, 0xd | (1 << 6));
      worlds.rig.settle();
      expect(worlds.dropped(dwords)).toContain('3 page');
    }
  });
});

describe('by range (IDR3.RIL, §4.4.1)', () => {
  /** Pages 0 to 63 mapped; which of them a command drops. */
  function pages(dwords: [bigint, bigint], options: RigOptions = {}): number[] {
    const rig = new Rig(options);
    const ttb = rig.stage1();
    const places = Array.from({ length: 64 }, (_, i) =>
      rig.map(ttb, BigInt(i * 0x1000), BigInt(DATA + i * 0x1000) | USER_RW),
    );
    for (let i = 0; i < 64; i++) expect(rig.translate(1, BigInt(i * 0x1000))).toBe(DATA + i * 0x1000);
    for (const place of places) rig.put(place, 0n);
    rig.run(dwords);
    return places.flatMap((_, i) => (rig.translate(1, BigInt(i * 0x1000)) < 0 ? [i] : []));
  }
  const from = (first: number, count: number): number[] => Array.from({ length: count }, (_, i) => first + i);

  it.each<[string, [bigint, bigint], number[]]>([
    ['(NUM+1) × 2^SCALE granules', command(NH_VA, { asid: 1, tg: 1, num: 4, scale: 1, address: 0x8000n }), from(8, 10)],
    ['NUM=0, SCALE=0 with a level', command(NH_VA, { asid: 1, tg: 1, ttl: 3, address: 0x8000n }), [8]],
    ['TTL of another level drops no page', command(NH_VA, { asid: 1, tg: 1, ttl: 2, address: 0x0n, num: 3 }), []],
    ['TG of another granule drops nothing', command(NH_VA, { asid: 1, tg: 3, num: 1, address: 0x0n }), []],
    ['TTL=0: any level', command(NH_VA, { asid: 1, tg: 1, num: 1, ttl: 0 }), [0, 1]],
    ['of every ASID', command(NH_VAA, { tg: 1, num: 2, address: 0x4000n }), [4, 5, 6]],
    [
      'a range so large that each entry is looked at',
      command(NH_VA, { asid: 1, tg: 1, num: 31, scale: 20, address: 0x10000n }),
      from(16, 48),
    ],
    ['the largest there is', command(NH_VA, { asid: 1, tg: 1, num: 31, scale: 31 }), from(0, 64)],
    ['of another ASID', command(NH_VA, { asid: 2, tg: 1, num: 31, scale: 31 }), []],
  ])('%s', (_, dwords, expected) => {
    expect(pages(dwords)).toEqual(expected);
  });

  it('SCALE has a sixth bit with DS only; above 39 acts as 39', () => {
    const scale = command(NH_VA, { asid: 1, tg: 1, scale: 32, address: 0x8000n, num: 1 });
    expect(pages(scale)).toEqual([8, 9]);
    expect(pages(scale, { features: LARGE })).toEqual(from(8, 56));
    expect(pages(command(NH_VA, { asid: 1, tg: 1, scale: 63, address: 0x8000n }), { features: LARGE })).toEqual(
      from(8, 56),
    );
  });

  it('without RIL the fields are reserved: one address', () => {
    expect(
      pages(command(NH_VA, { asid: 1, tg: 1, num: 4, scale: 1, address: 0x8000n }), { features: { rangeInv: false } }),
    ).toEqual([8]);
  });

  it('blocks by their level', () => {
    for (const [ttl, drops] of [
      [2, true],
      [3, false],
      [0, true],
    ] as const) {
      const rig = new Rig();
      const ttb = rig.stage1();
      const place = rig.map(ttb, 0x40_0000n, 0x4800_0000n | (USER_RW & ~2n), 2);
      expect(rig.translate(1, 0x41_0000n)).toBe(0x4801_0000);
      rig.put(place, 0n);
      rig.run(command(NH_VA, { asid: 1, tg: 1, ttl, num: 1, address: 0x40_0000n }));
      expect([ttl, rig.translate(1, 0x41_0000n) < 0]).toEqual([ttl, drops]);
    }
  });

  it('global pages go with a range of any ASID', () => {
    const rig = new Rig();
    const ttb = rig.stage1();
    const place = rig.map(ttb, 0x1000n, BigInt(DATA) | (USER_RW & ~NG));
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
    rig.put(place, 0n);
    rig.run(command(NH_VA, { asid: 9, tg: 1, num: 1, address: 0x2000n }));
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
    rig.run(command(NH_VA, { asid: 9, tg: 1, num: 1, address: 0x1000n }));
    expect(rig.translate(1, 0x1000n)).toBe(-0x10);
  });
});

describe('table pointers (Leaf, §4.4.1)', () => {
  /** Gives the page another last-level table after its pointer is cached. */
  function moved(dwords: [bigint, bigint] | null, granule = { tg0: 0n, shift: 12, start: 0 }): boolean {
    const rig = new Rig();
    const ttb = rig.table(2 ** granule.shift);
    rig.cd(1, CD_PLAIN | (granule.tg0 << 6n) | (1n << 48n), BigInt(ttb), 0n, 0xffn);
    rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB + 64));
    const size = BigInt(2 ** granule.shift);
    const place = rig.map(ttb, 0n, BigInt(DATA) | USER_RW, 3, granule.shift, granule.start);
    expect(rig.translate(1, 0n)).toBe(DATA);
    const other = rig.table(2 ** granule.shift);
    rig.put(other + 8, BigInt(DATA) | USER_RW);
    // Level 2's entry is found by its content.
    let table = ttb;
    for (let level = granule.start; level < 2; level++) table = Number(rig.get(table) & 0xffff_ffff_f000n);
    expect(rig.get(table)).toBe(BigInt(place) | 3n);
    rig.put(table, BigInt(other) | 3n);
    if (dwords !== null) rig.run(dwords);
    return rig.translate(1, size) === DATA;
  }

  it.each<[string, [bigint, bigint] | null, boolean]>([
    ['stay without an invalidation', null, false],
    ['stay with Leaf=1', command(NH_VA, { asid: 1 }), false],
    ['go with Leaf=0', command(NH_VA, { asid: 1, leaf: false }), true],
    ['go with Leaf=0 of any address below them', command(NH_VA, { asid: 1, leaf: false, address: 0x1f_f000n }), true],
    ['stay with an address elsewhere', command(NH_VA, { asid: 1, leaf: false, address: 0x4000_0000n }), false],
    ['stay with another ASID', command(NH_VA, { asid: 2, leaf: false }), false],
    ['go with NH_VAA Leaf=0', command(NH_VAA, { leaf: false }), true],
    ['go with NH_ASID', command(NH_ASID, { asid: 1 }), true],
    ['stay with NH_ASID of another', command(NH_ASID, { asid: 2 }), false],
    ['go with NH_ALL', command(NH_ALL), true],
    ['go with NSNH_ALL', command(NSNH_ALL), true],
    ['go with a range, Leaf=0', command(NH_VA, { asid: 1, leaf: false, tg: 1, num: 1 }), true],
    ['stay with a range of another granule', command(NH_VA, { asid: 1, leaf: false, tg: 2, num: 1 }), false],
    ['go with a range and TTL=3: they are above it', command(NH_VA, { asid: 1, leaf: false, tg: 1, ttl: 3 }), true],
    [
      'stay with TTL=2: a pointer of level 2 is not above level 2',
      command(NH_VA, { asid: 1, leaf: false, tg: 1, ttl: 2 }),
      false,
    ],
  ])('%s', (_, dwords, expected) => {
    expect(moved(dwords)).toBe(expected);
  });

  it.each([
    { tg0: 2n, shift: 14, start: 0, tg: 2 },
    { tg0: 1n, shift: 16, start: 1, tg: 3 },
  ])('with granule shift $shift', (granule) => {
    expect(moved(null, granule)).toBe(false);
    expect(moved(command(NH_VA, { asid: 1, leaf: false }), granule)).toBe(true);
    expect(moved(command(NH_VA, { asid: 1, leaf: false, tg: granule.tg, ttl: 3 }), granule)).toBe(true);
    expect(moved(command(NH_VA, { asid: 1, leaf: false, tg: granule.tg, ttl: 2, num: 1 }), granule)).toBe(false);
  });

  it('stage 2 pointers go with S2_IPA Leaf=0 and S12_VMALL', () => {
    for (const [dwords, expected] of [
      [command(S2_IPA, { vmid: 3 }), false],
      [command(S2_IPA, { vmid: 3, leaf: false }), true],
      [command(S2_IPA, { vmid: 3, leaf: false, tg: 1, num: 1 }), true],
      [command(S2_IPA, { vmid: 4, leaf: false }), false],
      [command(S12_VMALL, { vmid: 3 }), true],
      [command(NH_ALL, { vmid: 3 }), false],
    ] as const) {
      const rig = new Rig();
      const table = rig.table();
      rig.ste(1, STE_V | STE_S2, 0n, S2_PLAIN | 3n, BigInt(table));
      const place = rig.map(table, 0n, BigInt(DATA) | S2_RW);
      expect(rig.translate(1, 0n)).toBe(DATA);
      const other = rig.table();
      rig.put(other + 8, BigInt(DATA) | S2_RW);
      const level1 = Number(rig.get(table) & ~0xfffn);
      const level2 = Number(rig.get(level1) & ~0xfffn);
      expect(rig.get(level2)).toBe(BigInt(place) | 3n);
      rig.put(level2, BigInt(other) | 3n);
      rig.run(dwords);
      expect([dwords, rig.translate(1, 0x1000n) === DATA]).toEqual([dwords, expected]);
    }
  });
});

it('a large page of stage 1 that is kept in pieces goes as a whole (§3.17)', () => {
  for (const address of [0x7000_3000n, 0x7010_0000n, 0x701f_f000n]) {
    const rig = new Rig();
    const [s1, s2] = [rig.table(), rig.table()];
    rig.map(s2, 0x4000_0000n, 0x4000_0000n | (S2_RW & ~2n), 1);
    rig.map(s2, 0x8000_3000n, BigInt(DATA) | S2_RW);
    rig.map(s2, 0x8000_4000n, BigInt(DATA + 0x1000) | S2_RW);
    const place = rig.map(s1, 0x7000_0000n, 0x8000_0000n | (USER_RW & ~2n), 2);
    rig.cd(1, CD_PLAIN | (1n << 48n), BigInt(s1));
    rig.ste(1, STE_V | STE_NESTED | BigInt(CDTAB + 64), 0n, S2_PLAIN | 5n, BigInt(s2));
    expect([rig.translate(1, 0x7000_3000n), rig.translate(1, 0x7000_4000n)]).toEqual([DATA, DATA + 0x1000]);
    rig.put(place, 0n);
    rig.run(command(NH_VA, { vmid: 5, asid: 1, address }));
    expect([rig.translate(1, 0x7000_3000n), rig.translate(1, 0x7000_4000n)]).toEqual([-0x10, -0x10]);
  }
});

it('global pages are shared inside one ASID set only (§3.17)', () => {
  const rig = new Rig();
  const tables = [rig.table(), rig.table(), rig.table()];
  const aset = [0n, 0n, 1n << 47n];
  for (let i = 0; i < 3; i++) {
    rig.cd(i + 1, CD_PLAIN | aset[i]! | (BigInt(i + 1) << 48n), BigInt(tables[i]!), 0n, 0xffn);
    rig.ste(i + 1, STE_V | STE_S1 | BigInt(CDTAB + (i + 1) * 64));
    rig.map(tables[i]!, 0x1000n, BigInt(DATA + i * 0x1000) | (USER_RW & ~NG));
  }
  expect(rig.translate(1, 0x1000n)).toBe(DATA);
  expect(rig.translate(2, 0x1000n)).toBe(DATA); // stream 1's entry: both say that it is global
  expect(rig.translate(3, 0x1000n)).toBe(DATA + 0x2000);
  rig.run(command(NH_VA, { asid: 3, address: 0x1000n }));
  expect(rig.translate(2, 0x1000n)).toBe(DATA + 0x1000);
});

it('more ASIDs and VMIDs than there are tag numbers: everything is dropped, and goes on', () => {
  const rig = new Rig();
  const ttb = rig.table();
  const place = rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
  const cds = 0x5000_0000;
  const count = 33_000;
  for (let ssid = 0; ssid < count; ssid++) rig.put(cds + ssid * 64, CD_PLAIN | (BigInt(ssid) << 48n), BigInt(ttb));
  for (const sid of [1, 2]) rig.ste(sid, STE_V | STE_S1 | BigInt(cds) | (16n << 59n), 0n, BigInt(sid));
  expect(rig.translate(1, 0x1000n, false, 5)).toBe(DATA);
  rig.put(place, BigInt(DATA + 0x1000) | USER_RW);
  const { translator } = rig.model;
  for (const sid of [1, 2])
    for (let ssid = 0; ssid < count; ssid++)
      if (!translator.translate(sid, ssid, 0x1000, 0, 0)) throw new Error(`${sid} ${ssid}: ${translator.fault.reason}`);
  expect(rig.translate(1, 0x1000n, false, 5)).toBe(DATA + 0x1000);
  // The numbers that are given out again are not mixed up.
  rig.put(place, BigInt(DATA) | USER_RW);
  rig.run(command(NH_ASID, { vmid: 2, asid: count - 1 }));
  expect(rig.translate(2, 0x1000n, false, count - 1)).toBe(DATA);
  expect(rig.translate(2, 0x1000n, false, count - 2)).toBe(DATA + 0x1000);
});
