import { describe, expect, it } from 'vitest';
import { board, tableOn } from '../test/board.ts';
import type { PgtableOptions } from './types.ts';

const code = (name: string) => expect.objectContaining({ code: name });

// The second source: worked out by hand from Arm DDI 0487, tables D8-12 to D8-27, and Linux arm_lpae_concat_mandatory.
describe('the root', () => {
  it.each([
    // stage, granule, input, output, join, start level, joined tables, bytes of the root
    [1, 12, 32, 40, false, 1, 1, 64], // 4 entries: never below 64 bytes
    [1, 12, 39, 40, false, 1, 1, 4096],
    [1, 12, 40, 40, false, 0, 1, 64],
    [1, 12, 48, 48, false, 0, 1, 4096],
    [1, 12, 49, 52, false, -1, 1, 64],
    [1, 12, 52, 52, false, -1, 1, 128],
    [1, 14, 32, 40, false, 2, 1, 1024],
    [1, 14, 36, 40, false, 2, 1, 16384],
    [1, 14, 47, 48, false, 1, 1, 16384],
    [1, 14, 48, 48, false, 0, 1, 64],
    [1, 14, 52, 52, false, 0, 1, 256],
    [1, 16, 32, 40, false, 2, 1, 64],
    [1, 16, 42, 42, false, 2, 1, 65536],
    [1, 16, 48, 48, false, 1, 1, 512],
    [1, 16, 52, 52, false, 1, 1, 8192],
    [1, 16, 52, 48, false, 1, 1, 8192],
    // Stage 2 does not join tables by itself ...
    [2, 12, 40, 44, false, 0, 1, 64],
    [2, 12, 43, 48, false, 0, 1, 128],
    [2, 16, 44, 48, false, 1, 1, 64],
    [2, 12, 48, 48, false, 0, 1, 4096],
    [2, 12, 34, 48, false, 1, 1, 128],
    [2, 12, 52, 52, false, -1, 1, 128],
    [2, 14, 52, 52, false, 0, 1, 256],
    [2, 16, 52, 52, false, 1, 1, 8192],
    // ... but where it must: R_SRKBC, R_DXBSH
    [2, 12, 40, 40, false, 1, 2, 8192],
    [2, 12, 42, 42, false, 1, 8, 32768],
    [2, 12, 40, 42, false, 1, 2, 8192],
    [2, 14, 40, 40, false, 2, 16, 262144],
    [2, 14, 37, 40, false, 2, 2, 32768],
    [2, 14, 48, 48, false, 1, 2, 32768],
    // ... or where it is told to and may: at most 16
    [2, 12, 40, 48, true, 1, 2, 8192],
    [2, 12, 43, 48, true, 1, 16, 65536],
    [2, 12, 44, 48, true, 0, 1, 256],
    [2, 12, 34, 48, true, 2, 16, 65536],
    [2, 12, 35, 48, true, 1, 1, 256],
    [2, 12, 52, 52, true, 0, 16, 65536],
    [2, 14, 39, 48, true, 2, 8, 131072],
    [2, 14, 52, 52, true, 0, 1, 256],
    [2, 14, 51, 52, true, 1, 16, 262144],
    [2, 16, 33, 48, true, 3, 16, 1048576],
    [2, 16, 46, 48, true, 2, 16, 1048576],
    [2, 16, 47, 48, true, 1, 1, 256],
  ] as const)(
    'stage %i, 2^%i bytes, %i to %i bits, join %s: level %i, %i tables, %i bytes',
    (stage, granuleShift, iasBits, oasBits, concatenate, level, joined, bytes) => {
      const { pages, memory, frames } = board();
      const table = tableOn({ pages, memory, frames }, { stage, granuleShift, iasBits, oasBits, concatenate });
      expect(table.geometry).toMatchObject({ startLevel: level, joined, rootBytes: bytes });
      expect(pages.sizeOf(table.rootPa)).toBe(bytes);
      expect(table.rootPa % bytes).toBe(0);
    },
  );
});

describe('a table that there is not is refused', () => {
  it.each<[string, Partial<PgtableOptions>]>([
    ['a granule of 8 KiB', { granuleShift: 13 as 12 }],
    ['31 bits of input', { iasBits: 31 }],
    ['53 bits of input', { iasBits: 53 }],
    ['half a bit', { iasBits: 40.5 }],
    ['45 bits of output', { oasBits: 45 }],
    ['56 bits of output', { oasBits: 56 }],
    ['no page size left', { pageSizes: [8192] }],
    ['52 bits of input at stage 2 with 64 KiB pages and 48 of output', { stage: 2, granuleShift: 16, iasBits: 52 }],
    ['LPAE with 16 KiB pages', { format: 'aarch32', granuleShift: 14, iasBits: 32, oasBits: 40 }],
    ['LPAE with 33 bits of input at stage 1', { format: 'aarch32', iasBits: 33, oasBits: 40 }],
    ['LPAE with 42 bits of input at stage 2', { format: 'aarch32', stage: 2, iasBits: 42, oasBits: 40 }],
    ['LPAE with 42 bits of output', { format: 'aarch32', iasBits: 32, oasBits: 42 }],
    ['LPAE with hardware dirty state', { format: 'aarch32', iasBits: 32, oasBits: 40, quirks: { hd: true } }],
    ['LPAE in the upper half', { format: 'aarch32', iasBits: 32, oasBits: 40, quirks: { ttbr1: true } }],
  ])('%s', (_, options) => {
    const { pages, memory, frames } = board();
    expect(() => tableOn({ pages, memory, frames }, options)).toThrow(code('EINVAL'));
    expect(pages.livePages).toBe(0);
  });

  it('and one in memory that is not that of its pages', () => {
    expect(() => tableOn({ ...board(), memory: board().memory })).toThrow(code('EINVAL'));
  });
});

it('the memory is that of the pages if it is left out', () => {
  const { pages, memory } = board();
  const { memory: _, ...options } = { ...tableOn({ pages, memory, frames: undefined as never }).options };
  expect(tableOn({ pages, memory: undefined as never, frames: undefined as never }, options).memory).toBe(memory);
});
