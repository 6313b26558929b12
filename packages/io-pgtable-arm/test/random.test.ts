/**
 * Random lives of tables against an interval map, with every translation looked up a second time by a walker that was
 * written from the architecture. The default run is a part; SMMU_OPERATIONS=1000000 makes all.
 */
import { type IommuError, Random } from '@smmu/platform';
import { describe, it } from 'vitest';
import { allocPgtable, type PgtableOptions, PROT } from '../src/index.ts';
import { baseOf, board, SHAPES, type Shape, shapeName } from './board.ts';
import { IntervalMap } from './intervals.ts';
import { accessOf, fetch, leaves, type Regime, regimeOf, translate } from './walker.ts';

const OPERATIONS = Number(process.env.SMMU_OPERATIONS ?? 150_000);
const perShape = Math.ceil(OPERATIONS / SHAPES.length);

const { memory, pages, frames } = board(2 ** 26);

/** What the entry for `va` at the level of `bytes` is, going by the second walker. */
function entryKind(regime: Regime, va: number, bytes: number): string {
  const perLevel = regime.granuleShift - 3;
  let table = regime.base;
  for (let level = regime.startLevel; ; level++) {
    const low = regime.granuleShift + perLevel * (3 - level);
    const index = Math.floor(va / 2 ** low) % (level === regime.startLevel ? 2 ** 20 : 2 ** perLevel);
    const descriptor = fetch(memory, table + BigInt(index * 8));
    if ((descriptor & 1n) === 0n) return 'invalid';
    const isTable = level < 3 && (descriptor & 3n) === 3n;
    if (2 ** low === bytes) return isTable ? 'table' : 'leaf';
    if (!isTable) return 'larger leaf';
    const plain = ((descriptor & 0xffff_ffff_ffffn) >> BigInt(regime.granuleShift)) << BigInt(regime.granuleShift);
    table = plain;
  }
}

/** `expect(…).toBe(…)`, which costs more than what is tested here. */
function same(actual: unknown, expected: unknown): void {
  if (!Object.is(actual, expected)) throw new Error(`${String(actual)} is not ${String(expected)}`);
}

const refusal = (call: () => void): string => {
  try {
    call();
  } catch (error) {
    return (error as IommuError).code;
  }
  return 'no refusal';
};

function live(shape: Shape, extra: Partial<PgtableOptions>, seed: number, operations: number): void {
  const table = allocPgtable({ pages, memory, ...shape, ...extra });
  const regime = regimeOf(table, shape.stage);
  same(regime.inputBits, shape.iasBits);
  const random = new Random(seed);
  const float = (): number => random.next() / 2 ** 32;
  const pick = <T>(from: readonly T[]): T => from[random.below(from.length)]!;
  const map = new IntervalMap();
  const base = baseOf(shape);
  const limit = 2 ** shape.iasBits;
  const outputs = 2 ** shape.oasBits;
  const gather = table.newGather();
  const sizes = table.pageSizes;
  const levelSizes = [3, 2, 1, 0].map((level) => 2 ** (shape.granuleShift + (shape.granuleShift - 3) * (3 - level)));
  // A few neighbourhoods, so that operations meet: the bottom, the top, and some in between.
  const largest = sizes.at(-1)!;
  const spots = [0, limit - largest, ...[1, 2, 3].map(() => Math.floor(float() * (limit / largest)) * largest)];

  const place = (bytes: number): number => {
    const spot = pick(spots);
    const near = spot + Math.floor((float() * Math.min(largest, bytes * 600)) / bytes) * bytes;
    return Math.max(0, Math.min(near - (near % bytes), limit - bytes));
  };
  const check = (va: number): void => {
    const pa = map.get(va);
    same(table.iovaToPhys(base + va), pa);
    const leaf = translate(memory, regime, BigInt(base) + BigInt(va));
    same(leaf === undefined ? -1 : Number(leaf.pa), pa);
    if (leaf === undefined) return;
    const { prot, leafBytes } = map.find(va)!;
    same(Number(leaf.bytes), leafBytes);
    const access = accessOf(regime, leaf);
    if (shape.stage === 2) same(access.read, (prot & PROT.READ) !== 0);
    same(access.write, (prot & PROT.WRITE) !== 0);
    same(access.exec, (prot & PROT.NOEXEC) === 0);
    same(access.privilegedOnly, shape.stage === 1 && (prot & PROT.PRIV) !== 0);
  };

  for (let i = 0; i < operations; i++) {
    const bytes = pick(sizes);
    const va = place(bytes);
    const many = float() < 0.5 ? 1 : random.below(bytes === sizes[0] ? 600 : 40) + 1;
    const count = Math.min(many, (limit - va) / bytes);
    const end = va + bytes * count;
    if (float() < 0.55) {
      const pa = Math.min(Math.floor((float() * outputs) / bytes) * bytes, outputs - bytes * count);
      const aligned = float() < 0.5 ? pa : Math.max(0, Math.min(va, outputs - bytes * count)); // equal offsets: runs
      const prot = (random.below(64) & ~3) | (random.below(3) + 1);
      if (aligned < 0) continue;
      const conflict = map.firstMapped(va, end);
      if (conflict < 0) {
        same(table.mapPages(base + va, aligned, bytes, count, prot), bytes * count);
        map.add({ start: va, end, pa: aligned, prot, leafBytes: bytes });
      } else
        same(
          refusal(() => table.mapPages(base + va, aligned, bytes, count, prot)),
          'EEXIST',
        );
    } else {
      // What should go: leaf by leaf, as the documentation of unmapPages says.
      let at = va;
      while (at < end) {
        const one = map.find(at);
        const kind = entryKind(regime, at, bytes);
        if (kind === 'table') {
          at += bytes;
          continue;
        }
        if (one === undefined) break;
        if (one.leafBytes > bytes && (at % one.leafBytes !== 0 || end - at < one.leafBytes)) {
          if (extra.partialUnmap !== 'split') break;
          // Splitting goes down one level at a time.
          map.split(at, one.leafBytes, levelSizes[levelSizes.indexOf(one.leafBytes) - 1]!);
          continue;
        }
        at += Math.max(one.leafBytes, bytes);
        map.remove(at - Math.max(one.leafBytes, bytes), at);
      }
      map.remove(va, at);
      const done = table.unmapPages(base + va, bytes, count, float() < 0.5 ? gather : undefined);
      same(done, at - va);
      gather.reset();
      pages.putPagesList(gather.freelist);
    }
    for (const probe of [va, end - bytes, place(sizes[0]!)]) check(probe);
  }

  // Everything again, from the bytes of all tables.
  const all = leaves(memory, regime);
  let mapped = 0;
  for (const leaf of all.leaves) {
    const va = Number(leaf.va - BigInt(base));
    same(map.get(va), Number(leaf.pa));
    same(Number(leaf.bytes), map.find(va)!.leafBytes);
    mapped += Number(leaf.bytes);
  }
  same(
    mapped,
    map.list.reduce((sum, { start, end }) => sum + end - start, 0),
  );
  table.free();
  same(pages.livePages, 0);
  same(frames.freeFrames, frames.totalFrames);
}

describe('a random life agrees with an interval map, and leaves no page', () => {
  it.each(SHAPES.map((shape, i) => [shapeName(shape), shape, i] as const))('%s', (_, shape, i) => {
    const kinds: Partial<PgtableOptions>[] = [
      {},
      { partialUnmap: 'split' },
      { contiguous: true, partialUnmap: 'split' },
      { contiguous: true, partialUnmap: 'split', bbmLevel: 2 },
    ];
    for (const [k, extra] of kinds.entries()) live(shape, extra, i * 10 + k, Math.ceil(perShape / kinds.length));
  });
});
