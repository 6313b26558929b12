/** Global errors by name: what each bit of GERROR and GERRORN stands for. IHI 0070 §7.5; Linux arm_smmu_gerror_handler. */

/** One global error. It is active while its bit differs between GERROR and GERRORN. */
export interface GlobalError {
  /** Bit number, the same in both registers; its mask is `GERROR.fields.X.mask`. */
  readonly bit: number;
  readonly meaning: string;
}

/** The global errors by name (IHI 0070 §7.5). */
export const GERROR_BITS = {
  CMDQ_ERR: { bit: 0, meaning: 'command queue stopped' },
  EVENTQ_ABT_ERR: { bit: 2, meaning: 'event queue write aborted; records lost' },
  PRIQ_ABT_ERR: { bit: 3, meaning: 'PRI queue write aborted; requests answered with failure' },
  MSI_CMDQ_ABT_ERR: { bit: 4, meaning: 'CMD_SYNC MSI aborted' },
  MSI_EVENTQ_ABT_ERR: { bit: 5, meaning: 'event queue MSI aborted' },
  MSI_PRIQ_ABT_ERR: { bit: 6, meaning: 'PRI queue MSI aborted' },
  MSI_GERROR_ABT_ERR: { bit: 7, meaning: 'global error MSI aborted; raises no MSI itself' },
  SFM_ERR: { bit: 8, meaning: 'service failure mode' },
  CMDQP_ERR: { bit: 9, meaning: 'enhanced command queue error' },
  DPT_ERR: { bit: 10, meaning: 'device permission table error' },
} as const satisfies Record<string, GlobalError>;
