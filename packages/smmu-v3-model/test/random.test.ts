/** Random tables against the oracle, and random everything against "never a crash". */
import { AtsRequest, DMA_OK, DMA_PENDING, NO_SUBSTREAM, Random } from '@smmu/platform';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FULL, LARGE, type ModelFeatures, QEMU, SMALL } from '../src/index.ts';
import { type Regime, type Verdict, walk } from './oracle.ts';
import { CD_PLAIN, CDTAB, CMDQ, EVTQ, RAM, Rig, STE_S1, STE_S2, STE_V, STRTAB } from './rig.ts';

const CODES = { abort: 0x0b, translation: 0x10, size: 0x11, access: 0x12, permission: 0x13 } as const;
const ARENA = RAM + 0x100_0000;
const ARENA_TABLES = 24;

/** Fills an arena of tables with descriptors that mostly point into it, so that walks get somewhere. */
function fill(rig: Rig, random: Random, granule: number): void {
  const table = 2 ** granule;
  for (let t = 0; t < ARENA_TABLES; t++)
    for (let i = 0; i < 64; i++) {
      const kind = random.below(16);
      const target = BigInt(ARENA + random.below(ARENA_TABLES) * table);
      let descriptor = target | 3n;
      if (kind < 4) descriptor = target | BigInt(random.below(1024)) | (BigInt(random.below(16)) << 59n);
      else if (kind < 9) descriptor = target | 0x400n | BigInt(random.below(256));
      else if (kind === 9) descriptor = (BigInt(random.next()) << 32n) | BigInt(random.next());
      else if (kind === 10) descriptor = target | 3n | (1n << 61n);
      else if (kind === 11) descriptor = (BigInt(random.below(2 ** 20)) << 28n) | 3n;
      rig.put(ARENA + t * table + i * 8, descriptor & ~(1n << 52n)); // runs are another test's
    }
}

/** An address whose indexes stay in the part of the tables that is filled. */
function address(random: Random, granule: number, input: number): bigint {
  let value = 0n;
  for (let low = granule; low < input; low += granule - 3) value |= BigInt(random.below(64)) << BigInt(low);
  return (value & ((1n << BigInt(input)) - 1n)) | BigInt(random.below(2 ** granule) & ~7);
}

function agree(rig: Rig, sid: number, regime: Regime, random: Random, extra: { cached: boolean }): void {
  const read = (pa: bigint): bigint | undefined =>
    rig.memory.read64(Number(pa)) ? (BigInt(rig.memory.hi) << 32n) | BigInt(rig.memory.lo) : undefined;
  const { translator } = rig.model;
  for (let i = 0; i < 40; i++) {
    const va = address(random, regime.granule, regime.input);
    const write = random.below(2) === 1;
    const expected: Verdict = walk(regime, va, write, read);
    for (let again = 0; again < (extra.cached ? 2 : 1); again++) {
      const done = translator.translate(sid, NO_SUBSTREAM, Number(va & 0xffff_ffffn), Number(va >> 32n), write ? 1 : 0);
      if ('pa' in expected) expect([va, done && translator.pa]).toEqual([va, Number(expected.pa)]);
      else expect([va, done, translator.fault.code]).toEqual([va, false, CODES[expected.fault]]);
    }
  }
}

describe('random tables: the model and a plain reading of the architecture agree', () => {
  const granules = [
    [12, 0, 0],
    [14, 2, 2],
    [16, 1, 1],
  ] as const;
  it('stage 1', () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.constantFrom(...granules),
        fc.integer({ min: 25, max: 48 }),
        fc.constantFrom(2, 3, 4, 5),
        (seed, [granule, tg0], input, ips) => {
          const rig = new Rig();
          const random = new Random(seed);
          fill(rig, random, granule);
          const cd =
            (CD_PLAIN & ~(0x3fn | (7n << 32n))) | BigInt(64 - input) | (BigInt(tg0) << 6n) | (BigInt(ips) << 32n);
          rig.cd(1, cd, BigInt(ARENA));
          rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB + 64));
          agree(
            rig,
            1,
            { granule, input, output: [32, 36, 40, 42, 44, 48][ips]!, table: BigInt(ARENA), stage: 1 },
            random,
            { cached: true },
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  it('stage 2, every start level', () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.constantFrom(...granules),
        fc.integer({ min: 0, max: 3 }),
        fc.integer({ min: 1, max: 13 }),
        (seed, [granule, , s2tg], level, indexBits) => {
          const input = granule + (3 - level) * (granule - 3) + indexBits;
          const sl0 = granule === 12 ? [2, 1, 0, 3][level]! : 3 - level;
          fc.pre(
            input <= 48 &&
              input >= 25 &&
              indexBits <= granule - 3 &&
              !(granule === 16 && level === 0) &&
              !(granule === 14 && level === 0),
          );
          const rig = new Rig();
          const random = new Random(seed);
          fill(rig, random, granule);
          const dword2 =
            (BigInt(64 - input) << 32n) | (BigInt(sl0) << 38n) | (BigInt(s2tg) << 46n) | (4n << 48n) | (1n << 51n);
          rig.ste(1, STE_V | STE_S2, 0n, dword2, BigInt(ARENA));
          agree(rig, 1, { granule, input, output: 44, table: BigInt(ARENA), stage: 2, start: level }, random, {
            cached: true,
          });
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('never a crash (no memory content, no register write may throw, hang or walk without bound)', () => {
  const dword = (random: Random): bigint => {
    const kind = random.below(4);
    const value = (BigInt(random.next()) << 32n) | BigInt(random.next());
    if (kind === 0) return value;
    if (kind === 1) return value & ((BigInt(random.next()) << 32n) | BigInt(random.next()));
    const pointer = BigInt(RAM + random.below(64) * 0x10_0000 + random.below(256) * 64);
    return kind === 2 ? pointer | BigInt(random.below(64)) : pointer | (BigInt(random.below(2 ** 16)) << 48n) | 3n;
  };
  const PRESETS: readonly Partial<ModelFeatures>[] = [
    FULL,
    { ...FULL, tableEndian: 'mixed', stallMax: 3, bbmLevel: 0, iotlbEntries: 16, walkCacheEntries: 8 },
    { ...FULL, stallModel: 2, lateInvalidation: false },
    { ...FULL, stage1: false, httu: 2 },
    LARGE,
    { ...SMALL, httu: 1 },
    QEMU,
  ];
  /** Offsets that do something, and some that do not. */
  const OFFSETS = [
    0x20, 0x28, 0x2c, 0x44, 0x50, 0x64, 0x68, 0x70, 0x80, 0x84, 0x88, 0x90, 0x94, 0x98, 0x9c, 0xa0, 0xa4, 0xb0, 0xb8,
    0x100a8, 0x100ac, 0xac, 0x100, 0x108, 0x10c, 0x110, 0x114, 0xc0, 0xc4, 0xdc, 0x100cc, 0x38, 0x3000, 0x1fffc,
  ];

  it('random structures, registers, commands and transactions', () => {
    fc.assert(
      fc.property(fc.integer(), fc.constantFrom(...PRESETS), (seed, features) => {
        const random = new Random(seed);
        const rig = new Rig({
          features,
          seed,
          strtabLog2: features.twoLevelStreamTable && random.below(2) ? 0x1_0210 : 6,
        });
        for (const base of [STRTAB, CDTAB, CMDQ, ARENA])
          for (let i = 0; i < 512; i++) rig.put(base + i * 8, dword(random));
        // Some streams that get as far as walking.
        for (const sid of [1, 2, 3]) if (random.below(2)) rig.stage1(sid, CD_PLAIN | (dword(random) & (0x3f3n << 35n)));
        let pending = 0;
        let submitted = 0;
        let answered = 0;
        for (let step = 0; step < 60; step++) {
          const what = random.below(10);
          if (what < 5) {
            const request = rig.request(
              random.below(8) ? random.below(16) : random.next(),
              dword(random),
              random.below(2) === 1,
              random.below(3) ? NO_SUBSTREAM : random.below(2 ** 20),
            );
            request.privileged = random.below(2) === 1;
            request.instruction = random.below(4) === 0;
            request.translated = random.below(8) === 0;
            request.addressLo = (request.addressLo & ~0xf) >>> 0;
            request.complete = () => {
              pending--;
              answered++;
            };
            submitted++;
            const status = rig.model.submit(request);
            if (status === DMA_PENDING) pending++;
            else answered++;
            expect(status <= DMA_PENDING && status >= DMA_OK).toBe(true);
            if (random.below(4) === 0) {
              const ats = new AtsRequest();
              Object.assign(ats, { streamId: request.streamId, substreamId: request.substreamId });
              Object.assign(ats, { addressLo: request.addressLo, addressHi: request.addressHi });
              ats.noWrite = random.below(2) === 1;
              ats.instruction = random.below(2) === 1;
              rig.model.translate(ats);
            }
            if (random.below(4) === 0) {
              const { streamId, substreamId, addressLo, addressHi, write, privileged, instruction } = request;
              const bits = {
                read: !write,
                write,
                execute: instruction,
                privileged,
                last: random.below(2) === 1,
                group: 5,
              };
              rig.model.requestPage({ streamId, substreamId, addressLo, addressHi, ...bits });
            }
            if (random.below(8) === 0)
              rig.model.broadcast({
                operation: 'VAE1',
                asid: random.below(4),
                address: dword(random),
                bytes: random.next(),
              });
          } else if (what < 7) {
            for (let i = random.below(4); i >= 0; i--)
              rig.queue([
                (dword(random) & ~0xffn) |
                  BigInt(
                    random.below(3)
                      ? [
                          1, 2, 3, 4, 5, 6, 0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x22, 0x23, 0x28, 0x2a, 0x30, 0x40,
                          0x41, 0x44, 0x45, 0x46,
                        ][random.below(22)]!
                      : random.below(256),
                  ),
                dword(random),
              ]);
            rig.ring();
          } else if (what < 9) {
            const offset = OFFSETS[random.below(OFFSETS.length)]!;
            rig.write(offset, random.below(2) ? random.next() : Number(dword(random) & 0xffff_ffffn));
            rig.read(offset);
          } else {
            const before = rig.scheduler.steps;
            rig.scheduler.run(() => rig.scheduler.steps - before > 20_000);
            expect(rig.scheduler.steps - before).toBeLessThan(20_000);
            if (random.below(2)) {
              rig.write(0x64, rig.read(0x60)); // acknowledge
              rig.write(0x20, 0x1f);
            }
          }
        }
        rig.settle();
        expect(answered + pending).toBe(submitted);
        expect(rig.model.stats.stalled).toBe(pending);
        // A walk reads at most four levels of each stage for each of its own descriptors, and the CD's.
        const { walks, descriptorReads } = rig.model.stats;
        expect(descriptorReads).toBeLessThanOrEqual(walks * 5);
      }),
      { numRuns: 80 },
    );
  }, 120_000);

  it('every value of every register, one after another', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(...OFFSETS), fc.integer({ min: 0, max: 0xffff_ffff })), { maxLength: 60 }),
        fc.integer(),
        (writes, seed) => {
          const rig = new Rig({ seed });
          for (const [offset, value] of writes) {
            rig.write(offset, value);
            rig.scheduler.step();
          }
          const before = rig.scheduler.steps;
          rig.scheduler.run(() => rig.scheduler.steps - before > 200_000);
          expect(rig.scheduler.idle).toBe(true);
          rig.model.submit(rig.request(1, BigInt(EVTQ)));
        },
      ),
      { numRuns: 100 },
    );
  }, 120_000);
});
