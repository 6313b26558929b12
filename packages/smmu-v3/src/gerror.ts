/**
 * Global errors: what went wrong outside of any transaction. Each bit of GERROR that differs from GERRORN is one, and
 * copying it acknowledges it. IHI 0070 §7.5; Linux arm-smmu-v3.c, `arm_smmu_gerror_handler`.
 */
import type { Registers } from '@smmu/platform';
import { GERROR, GERRORN } from '@smmu/spec';
import { hex32 } from './internal/hex.ts';
import type { Log } from './internal/log.ts';

const { fields } = GERROR;

/** What the handler needs of the driver. */
export interface GerrorSinks {
  readonly registers: Registers;
  readonly log: Log;
  /** Deals with the command queue's error. Returns false if the error must stay as it is. */
  readonly skipCommand: () => boolean;
  /** Records of stalled transactions may be lost: nobody would ever answer them. */
  readonly eventsLost: () => void;
  /** Service failure mode: the SMMU does nothing any more, so neither shall the driver. */
  readonly disable: () => void;
}

/**
 * Handles and acknowledges all global errors that are active.
 * @returns Whether there was any.
 */
export function handleGerror({ registers, log, skipCommand, eventsLost, disable }: GerrorSinks): boolean {
  const gerror = registers.read32(GERROR.offset);
  const gerrorn = registers.read32(GERRORN.offset);
  const active = (gerror ^ gerrorn) >>> 0;
  if (active === 0) return false;
  log(`unexpected global error reported (${hex32(active)}), this could be serious`);
  if (fields.SFM_ERR.of(active)) {
    log('device has entered Service Failure Mode!');
    disable();
  }
  if (fields.MSI_GERROR_ABT_ERR.of(active)) log('GERROR MSI write aborted');
  if (fields.MSI_PRIQ_ABT_ERR.of(active)) log('PRIQ MSI write aborted');
  if (fields.MSI_EVENTQ_ABT_ERR.of(active)) log('EVTQ MSI write aborted');
  if (fields.MSI_CMDQ_ABT_ERR.of(active)) log('CMDQ MSI write aborted');
  if (fields.PRIQ_ABT_ERR.of(active)) log('PRIQ write aborted -- events may have been lost');
  if (fields.EVENTQ_ABT_ERR.of(active)) {
    log('EVTQ write aborted -- events may have been lost');
    eventsLost();
  }
  let acknowledged = gerror;
  if (fields.CMDQ_ERR.of(active) && !skipCommand())
    acknowledged = ((gerror & ~fields.CMDQ_ERR.mask) | (gerrorn & fields.CMDQ_ERR.mask)) >>> 0;
  registers.write32(GERRORN.offset, acknowledged);
  return true;
}
