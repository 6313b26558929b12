import { describe, expect, it } from 'vitest';
import {
  GRANULES,
  type GranuleName,
  MAX_JOINED_TABLES,
  SL0_LEVEL,
  STAGE1_START,
  STAGE2_START,
  sl0Of,
  stage1Start,
  stage2Start,
} from '../index.ts';

const names: readonly GranuleName[] = ['4KB', '16KB', '64KB'];
const sizes = Array.from({ length: 64 }, (_, txsz) => txsz);

describe('stage 1 starts at the level whose index holds the top input bit', () => {
  it.each(names)('%s', (name) => {
    const { shift, bitsPerLevel } = GRANULES[name];
    const last = name === '64KB' ? 47 : 48;
    for (const txsz of sizes) {
      const found = stage1Start(name, txsz);
      if (txsz < 12 || txsz > last) expect(found, `TxSZ ${txsz}`).toBeUndefined();
      else expect(found?.level, `TxSZ ${txsz}`).toBe(4 - Math.ceil((64 - txsz - shift) / bitsPerLevel));
    }
  });

  it.each(names)('%s: more than 48 bits and less than 25 need a feature', (name) => {
    for (const txsz of sizes) {
      const found = stage1Start(name, txsz);
      if (!found) continue;
      const large = name === '64KB' ? 'LVA' : 'DS';
      expect(found.needs, `TxSZ ${txsz}`).toBe(txsz < 16 ? large : txsz > 39 ? 'STT' : undefined);
      expect(found.joined).toBe(1);
    }
  });

  it.each(names)('%s: the table has each size once, ascending', (name) => {
    const listed = STAGE1_START[name].flatMap(({ first, last }) => sizes.slice(first, last + 1));
    expect(listed).toEqual(sizes.slice(12, name === '64KB' ? 48 : 49));
  });
});

describe('stage 2 starts where SL0 says, with up to 16 tables joined', () => {
  const levels: Readonly<Record<GranuleName, readonly number[]>> = {
    '4KB': [-1, 0, 1, 2, 3],
    '16KB': [0, 1, 2, 3],
    '64KB': [1, 2, 3],
  };

  it.each(names)('%s', (name) => {
    const { shift, bitsPerLevel } = GRANULES[name];
    for (const level of levels[name])
      for (const t0sz of sizes.slice(12)) {
        const { sl0, sl02 } = sl0Of(name, level)!;
        const found = stage2Start(name, t0sz, sl0, sl02);
        const tableBits = shift + bitsPerLevel * (4 - level); // input bits that one table and those below it cover
        const joinedBits = 64 - t0sz - tableBits;
        const tooFew = 64 - t0sz <= tableBits - bitsPerLevel;
        const bottom = t0sz > (name === '64KB' ? 47 : 48);
        const top = level === -1 || (name === '16KB' && level === 0);
        if (tooFew || bottom || joinedBits > 4 || (top && joinedBits > 0)) {
          expect(found, `level ${level} T0SZ ${t0sz}`).toBeUndefined();
          continue;
        }
        expect(found, `level ${level} T0SZ ${t0sz}`).toMatchObject({ level, joined: 2 ** Math.max(0, joinedBits) });
        const small = t0sz > 39 || (name === '4KB' && level === 3) ? 'STT' : undefined;
        const large = t0sz < 16 || (name === '16KB' && level === 0) ? (name === '64KB' ? 'LPA' : 'DS') : undefined;
        expect(found!.needs, `level ${level} T0SZ ${t0sz}`).toBe(small ?? large);
      }
  });

  it.each(names)('%s: the table has no combination twice and joins at most 16', (name) => {
    const seen = STAGE2_START[name].flatMap(({ level, first, last }) =>
      sizes.slice(first, last + 1).map((t0sz) => `${level}/${t0sz}`),
    );
    expect(new Set(seen).size).toBe(seen.length);
    expect(Math.max(...STAGE2_START[name].map(({ joined }) => joined))).toBe(MAX_JOINED_TABLES);
  });

  // Linux arm_64_lpae_alloc_pgtable_s2: sl = 2, 3, 3 minus the level for 4KB, 16KB, 64KB, with 3 as SL0 of 4KB level 3
  it('encodes levels as Linux does', () => {
    for (const level of [0, 1, 2]) expect(sl0Of('4KB', level)).toEqual({ sl0: 2 - level, sl02: false });
    for (const level of [0, 1, 2, 3]) expect(sl0Of('16KB', level)).toEqual({ sl0: 3 - level, sl02: false });
    for (const level of [1, 2, 3]) expect(sl0Of('64KB', level)).toEqual({ sl0: 3 - level, sl02: false });
    expect(sl0Of('4KB', 3)).toEqual({ sl0: 3, sl02: false });
    expect(sl0Of('4KB', -1)).toEqual({ sl0: 0, sl02: true });
    expect([sl0Of('64KB', 0), sl0Of('16KB', -1), SL0_LEVEL['64KB'][3]]).toEqual([undefined, undefined, undefined]);
  });

  it('refuses reserved encodings', () => {
    expect(stage2Start('4KB', 16, 1, true)).toBeUndefined();
    expect(stage2Start('64KB', 24, 3)).toBeUndefined();
    expect(stage2Start('16KB', 20, 2, true)).toMatchObject({ level: 1 }); // S2SL0_2 is for 4KB only
  });
});
