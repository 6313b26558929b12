/** Boards, files and jobs at random: whatever comes, the data is right, errors name the first bad byte, nothing is left. */
import { gunzipSync, gzipSync } from 'node:zlib';
import { Random } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { BoardHarness, NOTHING_LEFT } from '../test/boardHarness.ts';
import { MemoryFile, sampleBytes } from '../test/memoryFile.ts';
import { type BoardOptions, type Granule, GzipRun } from './index.ts';

const engine = (input: Uint8Array, output: Uint8Array): number => {
  const member = gzipSync(input, { level: 1 });
  if (member.length > output.length) return -1;
  output.set(member);
  return member.length;
};
const pick = <T>(random: Random, choices: readonly T[]): T => choices[random.below(choices.length)]!;

/** A board that somebody might build. */
function randomBoard(random: Random): BoardOptions {
  const yes = () => random.below(2) === 1;
  return {
    engine,
    seed: random.next(),
    granule: pick<Granule>(random, ['4k', '16k', '64k']),
    memoryBytes: pick(random, [2 ** 22, 3 * 2 ** 21, 2 ** 25]),
    slots: 1 + random.below(16),
    evtqEntriesLog2: 1 + random.below(7),
    cmdqEntriesLog2: 3 + random.below(6),
    ...(random.below(3) === 0 && { reclaimEvery: 1 + random.below(64) }),
    smmu: {
      rangeInv: yes(),
      lateInvalidation: yes(),
      cacheInvalidConfig: yes(),
      msi: yes(),
      twoLevelCdTable: yes(),
      httu: pick(random, [0, 1, 2] as const),
      stallMax: pick(random, [1, 3, 4096]),
      iotlbEntries: pick(random, [8, 4096]),
      walkCacheEntries: pick(random, [8, 1024]),
    },
  };
}

it.each(Array.from({ length: 30 }, (_, seed) => seed))('a file on random board %i', (seed) => {
  const random = new Random(seed);
  const bytes = sampleBytes(random.below(pick(random, [20_000, 2 ** 20])), seed);
  const output = new MemoryFile('out');
  const run = new GzipRun({
    ...randomBoard(random),
    input: new MemoryFile('in', bytes),
    output,
    inFlight: 1 + random.below(32),
    jobBytes: pick(random, [2 ** 18, 5000 + random.below(2 ** 17)]),
  });
  if (random.below(5) === 0) {
    for (let steps = random.below(3000); steps > 0 && run.step(); steps -= 1);
    expect(run.abort()).toEqual(NOTHING_LEFT);
    return;
  }
  while (run.step());
  const { left, faults } = run.finish();
  expect(left).toEqual(NOTHING_LEFT);
  expect(faults).toMatchObject({ invalid: 0, failure: 0 });
  expect(Buffer.compare(gunzipSync(output.data), bytes)).toBe(0);
});

describe('copies between random places', () => {
  const PAGES = 6;
  /** What is mapped, from low to high, with two pages of nothing or guard between. */
  class Space {
    readonly h: BoardHarness;
    readonly areas: { start: number; bytes: number; kept: number; writable: boolean; mirror: Uint8Array }[] = [];
    constructor(h: BoardHarness, random: Random) {
      this.h = h;
      const page = h.granule;
      const bytes = PAGES * page;
      for (let at = 0x10_0000_0000; this.areas.length < 5; at += bytes + 2 * page) {
        const kind = pick(random, ['anonymous', 'constant', 'private', 'shared', 'short'] as const);
        const content = sampleBytes(bytes, random.next());
        const length = kind === 'short' ? bytes - page - random.below(2 * page) : bytes;
        const file = new MemoryFile(kind, content.slice(0, length));
        const common = { bytes, address: at, read: true };
        if (kind === 'anonymous') h.mm.mmap({ ...common, kind, write: true });
        else if (kind === 'constant') h.mm.mmap({ ...common, kind: 'anonymous', write: false });
        else if (kind === 'short') h.mm.mmap({ ...common, kind: 'shared', file, write: true });
        else h.mm.mmap({ ...common, kind, file, write: kind === 'private' || random.below(2) === 1 });
        const [area] = [...h.mm.maps()].filter(({ start }) => start === at);
        const whole = kind === 'short' ? Math.ceil(length / page) * page : bytes;
        // Behind the last page of a short file is a bus error; behind its last byte, whatever is there gets lost at times.
        const mirror = new Uint8Array(whole);
        const kept = kind === 'short' ? length : bytes;
        if (kind !== 'anonymous' && kind !== 'constant') mirror.set(file.data.subarray(0, whole));
        this.areas.push({ start: at, bytes: whole, kept, writable: area!.write, mirror });
        if (random.below(2) === 1)
          h.mm.mmap({ bytes: 2 * page, address: at + bytes, kind: 'guard', read: false, write: false });
      }
    }
    areaAt(va: number): Space['areas'][number] {
      return this.areas.find(({ start, bytes }) => va >= start && va < start + bytes)!;
    }
    /** The first byte from `va` on that an access may not have, or -1. */
    firstBad(va: number, bytes: number, write: boolean): number {
      for (let at = va; at < va + bytes; ) {
        const area = this.areas.find(({ start, bytes: size }) => at >= start && at < start + size);
        if (area === undefined || (write && !area.writable)) return at;
        at = area.start + area.bytes;
      }
      return -1;
    }
    somewhere(random: Random): number {
      const { start } = pick(random, this.areas);
      return start + random.below((PAGES + 2) * this.h.granule) - random.below(100);
    }
    /** Expects every byte to be as before but those of one range, whose contents are taken over. */
    check(changed: number, bytes: number): void {
      for (const { start, mirror, kept } of this.areas) {
        const now = new Uint8Array(mirror.length);
        this.h.mm.readBytes(start, now);
        const from = Math.min(Math.max(changed - start, 0), mirror.length);
        const to = Math.min(Math.max(changed + bytes - start, 0), mirror.length);
        mirror.set(now.subarray(from, to), from);
        expect(Buffer.compare(now.subarray(0, kept), mirror.subarray(0, kept))).toBe(0);
        mirror.set(now);
      }
    }
  }

  it.each(Array.from({ length: 20 }, (_, seed) => seed))('seed %i', (seed) => {
    const random = new Random(1000 + seed);
    const h = new BoardHarness({ ...randomBoard(random), memoryBytes: 2 ** 25 });
    const space = new Space(h, random);
    for (let i = 0; i < 25; i += 1) {
      const source = space.somewhere(random);
      const destination = space.somewhere(random);
      const bytes = 1 + random.below(pick(random, [100, 3 * h.granule]));
      if (random.below(4) === 0) h.board.manager.reclaimRandom(random.below(8), random);
      const completion = h.finish(h.copy({ source, sourceBytes: bytes, destination }));
      const [unreadable, unwritable] = [space.firstBad(source, bytes, false), space.firstBad(destination, bytes, true)];
      if (unreadable >= 0) {
        expect(completion).toEqual({ status: 'READ_ABORTED', bytes: 0, address: BigInt(unreadable), write: false });
        space.check(0, 0);
      } else if (unwritable >= 0) {
        expect(completion).toEqual({ status: 'WRITE_ABORTED', bytes: 0, address: BigInt(unwritable), write: true });
        space.check(destination, bytes); // what was written before and beside it stays
      } else {
        expect(completion).toMatchObject({ status: 'DONE', bytes });
        const moved = new Uint8Array(bytes);
        h.mm.readBytes(destination, moved);
        const [from, to] = [space.areaAt(source), space.areaAt(destination)];
        const kept = Math.min(from.start + from.kept - source, to.start + to.kept - destination);
        const known = Math.max(0, Math.min(bytes, kept));
        const expected = from.mirror.subarray(source - from.start).subarray(0, known);
        expect(Buffer.compare(moved.subarray(0, known), expected)).toBe(0);
        space.check(destination, bytes);
      }
    }
    h.end();
  });
});
