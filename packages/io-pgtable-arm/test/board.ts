/** A board with memory for tables, and all shapes that a table can have. */
import { IommuPages, type WalkerDma } from '@smmu/iommu-pages';
import { FrameAllocator, SystemMemory } from '@smmu/platform';
import { type ArmPageTable, allocPgtable, type PgtableOptions, PROT } from '../src/index.ts';

export const RW: number = PROT.READ | PROT.WRITE;

export interface Board {
  readonly memory: SystemMemory;
  readonly frames: FrameAllocator;
  readonly pages: IommuPages;
}

export function board(bytes = 2 ** 24, base = 2 ** 30, coherence?: WalkerDma): Board {
  const memory = new SystemMemory([{ base, size: bytes }]);
  const frames = new FrameAllocator(base, bytes);
  return { memory, frames, pages: new IommuPages({ memory, frames: [frames], ...(coherence && { coherence }) }) };
}

/** An `aarch64` stage 1 table with 4 KiB pages and 48 bits, but for what `options` say. */
export function tableOn({ pages, memory }: Board, options: Partial<PgtableOptions> = {}): ArmPageTable {
  return allocPgtable({ pages, memory, stage: 1, granuleShift: 12, iasBits: 48, oasBits: 48, ...options });
}

/** A table's format and root. */
export type Shape = Pick<PgtableOptions, 'stage' | 'granuleShift' | 'iasBits' | 'oasBits'> &
  Partial<Pick<PgtableOptions, 'format' | 'concatenate' | 'quirks'>>;

const granules = [12, 14, 16] as const;
const stages = [1, 2] as const;

export const shapeName = ({ format, stage, granuleShift, iasBits, oasBits, concatenate, quirks }: Shape): string =>
  [
    format === 'aarch32' ? 'LPAE' : 'AArch64',
    `stage ${stage}`,
    `${2 ** (granuleShift - 10)}K`,
    `${iasBits} to ${oasBits} bits`,
    ...(concatenate ? ['joined root'] : []),
    ...(quirks?.ttbr1 ? ['upper half'] : []),
  ].join(', ');

/** Every format, granule and root shape: start levels, joined or not, both halves, 52 bits. */
export const SHAPES: readonly Shape[] = [
  ...stages.flatMap((stage) =>
    granules.flatMap((granuleShift) =>
      [32, 36, 39, 40, 42, 44, 47, 48].map((iasBits) => ({
        stage,
        granuleShift,
        iasBits,
        oasBits: Math.max(iasBits === 47 ? 48 : iasBits === 39 ? 40 : iasBits, 40),
      })),
    ),
  ),
  ...granules.flatMap((granuleShift) =>
    [32, 33, 34, 36, 37, 39, 40, 42, 43, 44, 46, 48].map((iasBits) => ({
      stage: 2 as const,
      granuleShift,
      iasBits,
      oasBits: 48,
      concatenate: true,
    })),
  ),
  ...stages.flatMap((stage) =>
    granules.flatMap((granuleShift) =>
      [48, 49, 50, 52].flatMap((iasBits) => [
        { stage, granuleShift, iasBits, oasBits: 52 },
        ...(stage === 2 ? [{ stage, granuleShift, iasBits, oasBits: 52, concatenate: true }] : []),
      ]),
    ),
  ),
  // LVA without LPA: 52-bit input, 48-bit output, 64 KiB pages.
  { stage: 1, granuleShift: 16, iasBits: 52, oasBits: 48 },
  ...granules.flatMap((granuleShift) =>
    [39, 42, 48, 52].map((iasBits) => ({
      stage: 1 as const,
      granuleShift,
      iasBits,
      oasBits: iasBits === 52 ? 52 : 44,
      quirks: { ttbr1: true },
    })),
  ),
  { format: 'aarch32', stage: 1, granuleShift: 12, iasBits: 32, oasBits: 40 },
  { format: 'aarch32', stage: 1, granuleShift: 12, iasBits: 32, oasBits: 32 },
  { format: 'aarch32', stage: 2, granuleShift: 12, iasBits: 32, oasBits: 40 },
  { format: 'aarch32', stage: 2, granuleShift: 12, iasBits: 40, oasBits: 40 },
  { format: 'aarch32', stage: 2, granuleShift: 12, iasBits: 34, oasBits: 40, concatenate: true },
];

/** The first input address of a shape's table. */
export const baseOf = ({ quirks, iasBits }: Shape): number => (quirks?.ttbr1 ? 2 ** 64 - 2 ** iasBits : 0);
