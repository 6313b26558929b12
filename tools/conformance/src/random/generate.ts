/**
 * Random scenarios: a legal configuration of a random shape, with nothing, one or two things made unusual or illegal.
 * What was made so is noted in the scenario's tags, which the ledger's entries ask for.
 */
import type { ModelFeatures } from '@smmu/smmu-v3-model';
import { type Scenario, STREAMS } from '../scenario.ts';
import {
  AP_TABLE_NO_USER,
  AP_TABLE_READ_ONLY,
  BLOCK,
  type CdValues,
  CMD,
  type Command,
  L1STD,
  NG,
  PAGE,
  type SteValues,
} from '../scene/bits.ts';
import { DATA, type GranuleShift, NOWHERE, Scene, STRTAB, TG, type Tree } from '../scene/scene.ts';
import { Draw } from './draw.ts';
import { attributes1, attributes2, badCd, badSte, noise } from './fields.ts';

const LEVEL1 = 0x4050_0000;
/** Blocks that a granule allows: level and log2 of the size. */
const BLOCKS: Record<GranuleShift, readonly (readonly [number, number])[]> = {
  12: [
    [2, 21],
    [1, 30],
  ],
  14: [[2, 25]],
  16: [[2, 29]],
};
/** log2 of addresses that no device of the board answers. */
const FAR = [32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46, 47];
const IPS_BITS = [32, 36, 40, 42, 44, 44];

/** A leaf of a tree and where its first word is. */
interface Leaf {
  readonly tree: Tree;
  readonly stage: 1 | 2;
  readonly address: bigint;
  readonly log2: number;
  readonly pa: number;
  /** Physical address that its first word leads to in the end, or -1. */
  readonly lands: number;
  readonly level: number;
  /** The descriptor's place. */
  readonly at: number;
  readonly global: boolean;
}

class Generator {
  readonly d: Draw;
  readonly s: Scene;
  readonly f: ModelFeatures;
  readonly sid: number;
  readonly leaves: Leaf[] = [];
  asid = 1;
  vmid = 0;
  #used: bigint[] = [];

  constructor(seed: number, index: number, features: ModelFeatures) {
    this.d = new Draw(seed, index);
    this.f = features;
    this.sid = this.d.pick(STREAMS);
    this.s = new Scene(`random/${seed}/${index}`, 'random', '');
  }

  granule(): GranuleShift {
    const all: GranuleShift[] = [];
    if (this.f.granules.includes('4k')) all.push(12, 12);
    if (this.f.granules.includes('16k')) all.push(14);
    if (this.f.granules.includes('64k')) all.push(16);
    return this.d.pick(all);
  }

  run(): Scenario {
    const { d, f } = this;
    const kinds: string[] = ['pass', 'abort', 'table'];
    if (f.stage1) kinds.push(...new Array<string>(9).fill('stage1'));
    if (f.stage2) kinds.push(...new Array<string>(6).fill('stage2'));
    if (f.stage1 && f.stage2) kinds.push(...new Array<string>(6).fill('nested'));
    const kind = d.pick(kinds);
    this.s.tag(kind);
    if (kind === 'stage1') this.stage1();
    else if (kind === 'stage2') this.stage2();
    else if (kind === 'nested') this.nested();
    else if (kind === 'pass') this.s.ste(this.sid, { V: 1, Config: 4, ...noise(d) });
    else if (kind === 'abort') this.s.ste(this.sid, { V: d.chance(80) ? 1 : 0, Config: d.below(4), ...noise(d) });
    else if (d.chance(50)) this.s.ste(this.sid, { V: 1, Config: 4 });
    this.on();
    this.accesses(kind);
    if (this.leaves.length > 0 && d.chance(35)) this.change();
    if (d.chance(10)) this.command();
    return this.s.build(false);
  }

  cdValues(tree: Tree): CdValues {
    const { d, s } = this;
    const values: Record<string, number | bigint> = {
      R: d.chance(80) ? 1 : 0,
      AFFD: d.chance(10) ? 1 : 0,
      WXN: d.chance(10) ? 1 : 0,
      PAN: d.chance(10) ? 1 : 0,
      ASET: d.chance(10) ? 1 : 0,
      IPS: d.chance(70) ? 4 : d.below(6),
      ASID: this.asid,
      IR0: d.below(4),
      OR0: d.below(4),
      SH0: d.pick([0, 2, 3]),
      HAD0: d.chance(10) ? 1 : 0,
      HAD1: d.chance(10) ? 1 : 0,
      TBI0: d.chance(15) ? 1 : 0,
      TBI1: d.chance(15) ? 1 : 0,
    };
    if (values.TBI0 !== values.TBI1) s.tag('tbi-differ');
    if (d.chance(12)) Object.assign(values, badCd(d, s, tree));
    return values as CdValues;
  }

  /** Whether an address is far enough from all others of the tree that no leaf covers two. */
  #free(tree: Tree, address: bigint): boolean {
    const shift = BigInt(tree.granule === 12 ? 30 : tree.granule === 14 ? 25 : 29);
    const key = (BigInt(tree.root) << 64n) | (address >> shift);
    if (this.#used.includes(key)) return false;
    this.#used.push(key);
    return true;
  }

  /** An address in a tree's range. */
  addressIn(tree: Tree): bigint {
    const bits = Math.min(tree.inputBits, 48);
    const low = this.d.chance(15) ? this.d.pick([0n, (1n << BigInt(bits)) - 1n]) : this.d.bits(bits);
    return tree.upper ? ((1n << 64n) - (1n << BigInt(bits))) | low : low;
  }

  /** Adds a leaf, or what should have become one. */
  leaf(tree: Tree, stage: 1 | 2, output?: { address: number; lands: number }): void {
    const { d, s } = this;
    const { granule, startLevel } = tree;
    const want = output === undefined && d.chance(25) ? d.pick(BLOCKS[granule]) : ([3, granule] as const);
    const [level, log2] = want[0] < startLevel ? ([3, granule] as const) : want;
    let address = this.addressIn(tree);
    address -= address & ((1n << BigInt(log2)) - 1n);
    if (!this.#free(tree, address)) return;
    const attributes = stage === 1 ? attributes1(d, s) : attributes2(d, s);
    let tableBits = 0n;
    if (stage === 1 && d.chance(8)) {
      tableBits = d.pick([AP_TABLE_NO_USER, AP_TABLE_READ_ONLY, AP_TABLE_NO_USER | AP_TABLE_READ_ONLY]);
      s.tag('aptable');
    }
    const kind = d.below(100);
    const deepest = level;
    if (kind < 5) {
      // Nothing there, at any level.
      s.map(tree, address, d.chance(50) ? 0n : d.bits(62) << 2n, d.between(startLevel, deepest), tableBits);
      return;
    }
    if (kind < 8 && deepest > startLevel) {
      s.tag('walk-nowhere', 'table-size');
      s.map(tree, address, BigInt(NOWHERE) | 3n, d.between(startLevel, deepest - 1), tableBits);
      return;
    }
    if (kind < 11 && deepest > startLevel) {
      s.tag('table-size');
      s.map(tree, address, (1n << BigInt(d.pick(FAR))) | 3n, d.between(startLevel, deepest - 1), tableBits);
      return;
    }
    if (kind < 14) {
      s.tag('leaf-size');
      const out = 1n << BigInt(d.pick(FAR));
      s.map(tree, address, out | (level === 3 ? PAGE : BLOCK) | attributes, level, tableBits);
      this.leaves.push({ tree, stage, address, log2, pa: -1, lands: -1, level, at: 0, global: true });
      return;
    }
    if (kind < 17) {
      const odd = granule === 12 ? 0 : granule === 14 ? 1 : 1;
      if (d.chance(50) && odd >= startLevel) {
        s.tag('odd-block');
        s.map(tree, address, (1n << 41n) | BLOCK | attributes, odd, tableBits);
      } else s.map(tree, address, BigInt(DATA) | BLOCK | attributes, 3, tableBits);
      return;
    }
    let pa: number;
    if (output !== undefined) pa = output.address;
    else if (level === 3) pa = DATA + d.below(64) * 0x1_0000;
    else pa = DATA - (DATA % 2 ** log2);
    if (level === 3 && output === undefined && d.chance(3)) {
      pa = NOWHERE;
      s.tag('leaf-size');
    }
    const run = stage === 1 && d.chance(6) ? 1n << 52n : 0n;
    const at = s.map(tree, address, BigInt(pa) | (level === 3 ? PAGE : BLOCK) | attributes | run, level, tableBits);
    const global = (attributes & NG) === 0n;
    this.leaves.push({ tree, stage, address, log2, pa, lands: output?.lands ?? pa, level, at, global });
  }

  inputBits1(): number {
    return this.d.chance(50) ? 48 : this.d.between(25, 48);
  }

  stage1(): void {
    const { d, s } = this;
    this.asid = d.pick([0, 1, 2, 255, 256, 0xffff]);
    this.vmid = this.f.stage2 && d.chance(50) ? d.below(65536) : 0;
    const granule = this.granule();
    const upper = d.chance(25);
    if (upper) s.tag('upper');
    const options = { granule, inputBits: this.inputBits1(), upper, asid: this.asid };
    const tree = s.tree1(options);
    const cd = s.placeCd();
    s.cdAt(cd, { ...s.plainCd(tree, options), ...this.cdValues(tree) });
    const bad = d.chance(8) ? badSte(d, s, 5) : {};
    s.ste(this.sid, { V: 1, Config: 5, S1ContextPtr: cd, S2VMID: this.vmid, ...bad });
    for (let i = d.between(1, 4); i > 0; i--) this.leaf(tree, 1);
  }

  /** A stage 2 tree of a legal shape. */
  tree2(): { tree: Tree; ste: SteValues } {
    const { d, s } = this;
    const granule = this.granule();
    const stride = granule - 3;
    for (;;) {
      const inputBits = d.chance(40) ? 40 : d.between(25, 44);
      const startLevel = d.between(granule === 12 ? 0 : 1, granule === 12 ? 2 : 3);
      const index = inputBits - (granule + (3 - startLevel) * stride);
      if (index < 1 || index > stride + 4) continue;
      if (index > stride) s.tag('concatenated');
      const tree = s.tree2({ granule, inputBits, startLevel });
      const ps = d.chance(70) ? 4 : d.below(6);
      if (inputBits > IPS_BITS[ps]!) s.tag('s2-size-above-ps');
      return {
        tree,
        ste: {
          ...s.plainS2(tree),
          S2PS: ps,
          S2R: d.chance(80) ? 1 : 0,
          S2AFFD: d.chance(10) ? 1 : 0,
          S2VMID: this.vmid,
        },
      };
    }
  }

  stage2(): void {
    const { d, s } = this;
    this.vmid = d.pick([0, 1, 255, 256, 0xffff]);
    const { tree, ste } = this.tree2();
    s.ste(this.sid, { V: 1, Config: 6, ...ste, ...(d.chance(10) ? badSte(d, s, 6) : {}) });
    for (let i = d.between(1, 4); i > 0; i--) this.leaf(tree, 2);
  }

  nested(): void {
    const { d, s } = this;
    this.asid = d.pick([0, 1, 0xffff]);
    this.vmid = d.pick([0, 1, 0xffff]);
    // Tables lie in the first 4 GiB, so the IPA range must reach there.
    let shape = this.tree2();
    while (shape.tree.inputBits < 33) shape = this.tree2();
    const { tree: tree2, ste } = shape;
    const granule = this.granule();
    const upper = d.chance(20);
    if (upper) s.tag('upper');
    const options = { granule, inputBits: this.inputBits1(), upper, asid: this.asid };
    const tree = s.tree1(options);
    const cd = s.placeCd();
    const values = this.cdValues(tree);
    s.cdAt(cd, { ...s.plainCd(tree, options), ...values });
    if (values.R !== ste.S2R) s.tag('record-differ');
    if (granule !== 12) s.tag('large-tables');
    if (IPS_BITS[Number(values.IPS)]! < tree2.inputBits) s.tag('s1-size-small');
    const whole = d.chance(90);
    for (const at of [cd, 0x4100_0000, 0x4120_0000]) if (whole || d.chance(60)) s.identity(tree2, at);
    if (!whole) s.tag('tables-unmapped');
    s.ste(this.sid, { V: 1, Config: 7, S1ContextPtr: cd, ...ste, ...(d.chance(10) ? badSte(d, s, 7) : {}) });
    const size = 1n << BigInt(tree2.inputBits);
    this.#used.push(
      ...[0x4000_0000n >> 30n, 0x4000_0000n >> 25n, 0x4100_0000n >> 25n, 0x4120_0000n >> 25n, 0x4000_0000n >> 29n].map(
        (key) => (BigInt(tree2.root) << 64n) | key,
      ),
    );
    for (let i = d.between(1, 3); i > 0; i--) {
      const before = this.leaves.length;
      this.leaf(tree2, 2);
      const target = this.leaves[before];
      const reach = target === undefined ? d.bits(tree2.inputBits) : target.address;
      const page = 2n ** BigInt(granule);
      // Into the data region, where a block of stage 2 is larger than that.
      const into =
        target !== undefined && target.log2 > 20 && target.pa >= 0 && target.pa <= DATA ? DATA - target.pa : 0;
      const out = (reach < size ? reach + BigInt(into) : 0n) & ~(page - 1n);
      this.leaf(tree, 1, {
        address: Number(out),
        lands: target === undefined || target.pa < 0 ? -1 : target.pa + into,
      });
    }
  }

  on(): void {
    const { d, s } = this;
    const { sid } = this;
    const cr2 = d.chance(90) ? 2 : 0;
    if (cr2 === 0) s.tag('no-recinvsid');
    const evtqLog2 = d.chance(97) ? 5 : d.below(2);
    if (evtqLog2 < 2) s.tag('small-evtq');
    const common = { cr2, evtqLog2, cmdqLog2: d.between(2, 7) };
    if (!d.chance(25) || !this.f.twoLevelStreamTable) {
      const log2 = d.chance(92) ? 9 : d.below(10);
      s.on({ ...common, strtabCfg: log2 });
      return;
    }
    s.need('twoLevel').tag('two-level');
    const split = d.pick([6, 8, 10]);
    const leaf = STRTAB + ((sid >> split) << split) * 64;
    const span = d.chance(85) ? split + 1 : d.below(14);
    if (span !== split + 1) s.tag('span');
    s.store(LEVEL1 + (sid >> split) * 8, L1STD(leaf - (leaf % 64), span));
    s.on({ ...common, strtab: LEVEL1, strtabCfg: (1 << 16) | (split << 6) | d.between(9, 16) });
  }

  /** One access: at a leaf, near it, or anywhere. */
  access(): void {
    const { d, s, sid } = this;
    const write = d.chance(40);
    const leaf = this.leaves.length > 0 && d.chance(80) ? d.pick(this.leaves) : undefined;
    let address: bigint;
    if (leaf !== undefined && !(s.tags.includes('nested') && leaf.stage === 2)) {
      const offset = this.offset(leaf);
      address = leaf.address + offset;
      if (leaf.lands >= 0) this.expose(leaf.lands + Number(offset));
      const far = leaf.stage === 1 ? 55 : 45;
      if (d.chance(5)) address ^= 1n << BigInt(d.between(leaf.log2, far));
      if (d.chance(leaf.stage === 1 ? 6 : 1)) address ^= d.bits(8) << 56n;
    } else if (this.leaves.length === 0) address = d.chance(90) ? BigInt(DATA) + (d.bits(16) & ~3n) : d.bits(64) & ~3n;
    else address = d.bits(d.pick([32, 40, 40, 44, 44, 48, 64])) & ~3n;
    if (this.leaves.length === 0) this.expose(Number(address));
    address = BigInt.asUintN(64, address);
    if (address >> 48n !== 0n) s.tag('wide-address');
    s.access(sid, address, write);
  }

  /** Offset of a word in a leaf that leads into the data region. */
  offset(leaf: Leaf): bigint {
    const within = BigInt(this.d.below(Math.min(2 ** leaf.log2, 0x10_0000))) & ~3n;
    return leaf.log2 > 20 && leaf.pa >= 0 && leaf.pa <= DATA ? BigInt(DATA - leaf.pa) + within : within;
  }

  /** A known word at a physical address that somebody might reach. */
  expose(pa: number): void {
    if (pa >= DATA && pa < 0x4f00_0000) this.s.pattern(pa - (pa % 4));
  }

  accesses(kind: string): void {
    const { d } = this;
    for (let i = kind === 'pass' || kind === 'abort' ? 2 : d.between(2, 6); i > 0; i--) this.access();
  }

  /** Changes a leaf and invalidates it. */
  change(): void {
    const { d, s } = this;
    const leaf = d.pick(this.leaves);
    if (leaf.at === 0) return;
    const attributes = leaf.stage === 1 ? attributes1(d, s) : attributes2(d, s);
    const pa =
      leaf.level === 3 && leaf.pa >= DATA && leaf.pa < NOWHERE && !s.tags.includes('nested')
        ? DATA + d.below(64) * 0x1_0000
        : leaf.pa;
    const gone = d.chance(25);
    s.dword(leaf.at, gone ? 0n : BigInt(pa) | (leaf.level === 3 ? PAGE : BLOCK) | attributes);
    s.commands(...this.covering(leaf));
    if (!gone) this.leaves.push({ ...leaf, pa, lands: leaf.lands === leaf.pa ? pa : leaf.lands });
    for (let i = d.between(1, 3); i > 0; i--) this.access();
  }

  /** Commands that drop whatever a leaf may have left in a cache. */
  covering(leaf: Leaf): Command[] {
    const { d, asid, vmid } = this;
    const rangeInv = this.f.rangeInv;
    const stage2Vmid = this.f.stage2 ? vmid : 0;
    const all: Command[][] = [[CMD.nsnhAll()]];
    if (this.f.stage2) all.push([CMD.s12Vmall(stage2Vmid)]);
    if (leaf.stage === 1) {
      all.push(
        [CMD.nhAll(stage2Vmid)],
        [CMD.nhVaa(leaf.address, { vmid: stage2Vmid })],
        [CMD.nhVa(leaf.address, { asid, vmid: stage2Vmid })],
      );
      if (!leaf.global) all.push([CMD.nhAsid(asid, stage2Vmid)]);
      if (rangeInv) {
        const pages = Math.max(0, Math.min(31, 2 ** (leaf.log2 - leaf.tree.granule) - 1));
        const scale = leaf.log2 > leaf.tree.granule + 5 ? leaf.log2 - leaf.tree.granule - 5 : 0;
        const tg = TG[leaf.tree.granule];
        all.push([CMD.nhVa(leaf.address, { asid, vmid: stage2Vmid, tg, ttl: leaf.level, num: pages, scale })]);
        all.push([CMD.nhVaa(leaf.address, { vmid: stage2Vmid, tg, num: pages === 0 ? 1 : pages, scale })]);
      }
    } else {
      const more = this.s.tags.includes('nested') ? [CMD.nhAll(vmid)] : [];
      all.push([CMD.s2Ipa(leaf.address, { vmid }), ...more]);
    }
    return d.pick(all);
  }

  /** A last command of any kind. */
  command(): void {
    const { d, s, sid } = this;
    const opcode = d.below(256);
    const [name, command] = d.pick<[string, Command]>([
      ['raw', [opcode, d.below(2 ** 32), d.below(2 ** 32), d.below(2 ** 32)]],
      ['sync', CMD.sync(d.below(4))],
      ['cfgi', CMD.cfgiSte(sid)],
      ['prefetch', CMD.prefetchConfig(sid)],
    ]);
    const [first] = command;
    s.tag('command', `opcode-0x${(first & 0xff).toString(16)}`);
    if (name === 'raw') s.tag('raw-command');
    if (name === 'sync' && ((first >>> 12) & 3) === 3) s.tag('sync-cs-3');
    s.queue(command).write(0x98, s.prod);
  }
}

/**
 * The scenario of a seed and index.
 * @param features - What the SMMU under test offers: nothing else is asked of it.
 */
export const randomScenario = (seed: number, index: number, features: ModelFeatures): Scenario =>
  new Generator(seed, index, features).run();
