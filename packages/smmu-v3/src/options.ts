/** What a board says about an SMMU and what it wants of its driver. */
import type { Device, Iommu } from '@smmu/iommu';
import type { IommuPages } from '@smmu/iommu-pages';
import type { DmaCoherence, InterruptLine, Registers, Scheduler, SystemMemory, Trace } from '@smmu/platform';
import type { Log } from './internal/log.ts';
import type { GranuleShift } from './probe.ts';
import type { ResetOptions } from './reset.ts';
import type { CpuFeatures } from './sva.ts';

/** What a board gives to the driver of an SMMU. */
export interface SmmuV3Options {
  /** Instance, as the kernel names it: `arm-smmu-v3.0.auto`. */
  readonly name: string;
  /** The CPU's view of memory. */
  readonly memory: SystemMemory;
  readonly registers: Registers;
  /** Where tables and queues come from. */
  readonly pages: IommuPages;
  /** How the SMMU sees what the CPU stores; coherently if left out. */
  readonly coherence?: DmaCoherence;
  readonly scheduler: Scheduler;
  readonly interrupts: { readonly eventq: InterruptLine; readonly priq: InterruptLine; readonly gerror: InterruptLine };
  /** The core that this driver registers itself with. */
  readonly iommu: Iommu;
  readonly trace?: Trace | undefined;
  /** Takes a line of the driver's log. */
  readonly log?: Log;
  /** Which devices are behind this SMMU; all whose StreamIDs the stream table reaches if left out. */
  readonly claims?: (device: Device) => boolean;
  /** Entries of the queues, as powers of two. */
  readonly cmdqEntriesLog2?: number;
  readonly evtqEntriesLog2?: number;
  readonly priqEntriesLog2?: number;
  /** Wait for CMD_SYNC on a word in memory; on if the SMMU has MSIs and is coherent. */
  readonly msiCompletion?: boolean;
  /** Interrupts as messages instead of by wire. */
  readonly msis?: ResetOptions['msis'];
  /** Streams live in the EL2-E2H world, as the kernel does with VHE. Needs IDR0.Hyp. */
  readonly e2h?: boolean;
  /** The CPUs' TLB broadcasts reach the SMMU (IDR0.BTM) and cover processes. */
  readonly broadcastTlb?: boolean;
  /** Let PCI functions ask for translations, where both sides can; on if left out. */
  readonly ats?: boolean;
  /** What processes are made with, to tell beforehand why they could not be shared. */
  readonly cpu?: CpuFeatures;
  /** Page size of DMA domains; that of the CPUs, or the SMMU's smallest, if left out. */
  readonly granuleShift?: GranuleShift;
  /** Where DMA and unmanaged domains translate; stage 1, if the SMMU has it, if left out. PASIDs need stage 1. */
  readonly pagingStage?: 1 | 2;
  /** Size of leaf CD tables. */
  readonly cdtabLeaf?: '4k' | '64k';
}
