/** What the parts of the driver share about one SMMU (Linux arm-smmu-v3.h, `struct arm_smmu_device`). */
import type { IommuPages } from '@smmu/iommu-pages';
import type { DmaCoherence, Registers, Scheduler, SystemMemory, Trace } from '@smmu/platform';
import type { CommandQueue } from './cmdq.ts';
import type { Log } from './internal/log.ts';
import type { SmmuFeatures } from './probe.ts';

/** The means by which every part of the driver works. */
export interface SmmuDevice {
  /** Instance, as the kernel names it: `arm-smmu-v3.0.auto`. */
  readonly name: string;
  /** The CPU's view of memory. */
  readonly memory: SystemMemory;
  readonly registers: Registers;
  readonly pages: IommuPages;
  /** How the SMMU sees what the CPU stores. */
  readonly coherence: DmaCoherence;
  readonly scheduler: Scheduler;
  readonly features: SmmuFeatures;
  readonly cmdq: CommandQueue;
  /** Stage 1 streams live in the EL2-E2H world, as the kernel itself does with VHE. */
  readonly e2h: boolean;
  /** CPU broadcasts reach the TLB: invalidations of shared ASIDs need no command. */
  readonly broadcastTlb: boolean;
  readonly log: Log;
  readonly trace: Trace | undefined;
}
