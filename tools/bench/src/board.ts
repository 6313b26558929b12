import { IommuPages } from '@smmu/iommu-pages';
import { FrameAllocator, SystemMemory } from '@smmu/platform';

const MIB = 2 ** 20;
const BASE = 2 ** 30;

/** Flat RAM with table memory from its upper part, as the table workloads want it. */
export function tableMemory(megabytes = 512): { memory: SystemMemory; frames: FrameAllocator; pages: IommuPages } {
  const memory = new SystemMemory([{ base: BASE, size: megabytes * MIB }]);
  const frames = new FrameAllocator(BASE, megabytes * MIB);
  return { memory, frames, pages: new IommuPages({ memory, frames: [frames] }) };
}
