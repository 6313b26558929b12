/**
 * From whatever state the SMMU is in to one that works, and back to off.
 * IHI 0070 §6.3.9, §6.3.14 and §6.3.16; Linux arm-smmu-v3.c, `arm_smmu_device_reset`, `arm_smmu_device_disable`.
 */
import { IommuError, type Pa, type Registers, type Scheduler } from '@smmu/platform';
import {
  CMDQ_BASE,
  CMDQ_CONS,
  CMDQ_PROD,
  CR0,
  CR0ACK,
  CR1,
  CR2,
  EVENTQ_BASE,
  EVENTQ_CONS,
  EVENTQ_IRQ_CFG0,
  EVENTQ_IRQ_CFG1,
  EVENTQ_IRQ_CFG2,
  EVENTQ_PROD,
  GBPA,
  GERROR,
  GERROR_IRQ_CFG0,
  GERROR_IRQ_CFG1,
  GERROR_IRQ_CFG2,
  GERRORN,
  IRQ_CTRL,
  IRQ_CTRLACK,
  PRIQ_BASE,
  PRIQ_CONS,
  PRIQ_IRQ_CFG0,
  PRIQ_IRQ_CFG1,
  PRIQ_IRQ_CFG2,
  PRIQ_PROD,
  STRTAB_BASE,
  STRTAB_BASE_CFG,
} from '@smmu/spec';
import { cfgiAll } from './commands/cfgiSteRange.ts';
import { tlbiEl2All, tlbiNsnhAll } from './commands/tlbiAll.ts';
import type { SmmuDevice } from './device.ts';
import { hex32 } from './internal/hex.ts';
import type { Queue } from './queue.ts';
import type { StreamTable } from './strtab.ts';

/** How long a register may take to follow its control: 1 s of virtual time, as Linux. */
export const REGISTER_TIMEOUT_NS = 1_000_000_000;
const WRITE_BACK = 1;
const SHARED_INNER = 3;
const DEVICE_nGnRE = 1;

const scratch: Uint32Array = new Uint32Array(2);
const word = (encode: (words: Uint32Array) => void): number => {
  encode(scratch);
  return scratch[0]!;
};

/** Where an interrupt of the SMMU goes as a message. */
export interface MsiTarget {
  readonly address: Pa;
  readonly data: number;
}

/** What is turned on. */
export interface ResetOptions {
  readonly strtab: StreamTable;
  readonly evtq: Queue;
  /** Only of an SMMU with PRI. */
  readonly priq: Queue | undefined;
  /** Interrupts as messages instead of by wire. */
  readonly msis?: { readonly eventq: MsiTarget; readonly priq: MsiTarget; readonly gerror: MsiTarget } | undefined;
  /** Whom to have the interrupts' handlers connected by, just before they are enabled. */
  readonly connectInterrupts: () => void;
}

/** Writes a control register and waits until its copy says that the change is complete. */
function writeAndWait(
  { registers, scheduler }: { readonly registers: Registers; readonly scheduler: Scheduler },
  register: { readonly name: string; readonly offset: number },
  ack: { readonly offset: number },
  value: number,
): void {
  registers.write32(register.offset, value);
  const followed = scheduler.spin(() => registers.read32(ack.offset) === value, REGISTER_TIMEOUT_NS);
  if (!followed)
    throw new IommuError(
      'ETIMEDOUT',
      `${register.name} ${hex32(value)} was not followed: its copy reads ${hex32(registers.read32(ack.offset))}`,
    );
}

/** Changes GBPA, which takes effect by a handshake of its own (Linux `arm_smmu_update_gbpa`). */
export function updateGbpa(smmu: Pick<SmmuDevice, 'registers' | 'scheduler'>, set: number, clear: number): void {
  const { registers, scheduler } = smmu;
  const { Update } = GBPA.fields;
  const settled = (): boolean => !Update.of(registers.read32(GBPA.offset));
  if (scheduler.spin(settled, REGISTER_TIMEOUT_NS)) {
    const value = (registers.read32(GBPA.offset) & ~clear) | set;
    registers.write32(GBPA.offset, (value | Update.mask) >>> 0);
    if (scheduler.spin(settled, REGISTER_TIMEOUT_NS)) return;
  }
  throw new IommuError('ETIMEDOUT', 'GBPA not responding to update');
}

/**
 * Turns everything off: traffic is then subject to GBPA.
 * @throws {@link IommuError} `ETIMEDOUT` if the SMMU does not follow.
 */
export function disableDevice(smmu: Pick<SmmuDevice, 'registers' | 'scheduler'>): void {
  writeAndWait(smmu, IRQ_CTRL, IRQ_CTRLACK, 0);
  writeAndWait(smmu, CR0, CR0ACK, 0);
}

/**
 * Resets the SMMU and turns it on.
 * @throws {@link IommuError} `ETIMEDOUT` if it does not follow or does not take commands.
 */
export function resetDevice(smmu: SmmuDevice, options: ResetOptions): void {
  const { registers, features, cmdq, log } = smmu;
  if (CR0.fields.SMMUEN.of(registers.read32(CR0.offset))) log('SMMU currently enabled! Resetting...');
  // Until the tables are in force, and after they are gone, nothing shall pass.
  updateGbpa(smmu, GBPA.fields.ABORT.mask, 0);
  disableDevice(smmu);

  registers.write32(
    CR1.offset,
    word((words) =>
      CR1.encode(
        {
          TABLE_SH: SHARED_INNER,
          TABLE_OC: WRITE_BACK,
          TABLE_IC: WRITE_BACK,
          QUEUE_SH: SHARED_INNER,
          QUEUE_OC: WRITE_BACK,
          QUEUE_IC: WRITE_BACK,
        },
        words,
      ),
    ),
  );
  registers.write32(
    CR2.offset,
    word((words) => CR2.encode({ PTM: !smmu.broadcastTlb, RECINVSID: true, E2H: smmu.e2h }, words)),
  );
  const { baseLo, baseHi, config } = options.strtab.registers;
  registers.write64(STRTAB_BASE.offset, baseLo, baseHi);
  registers.write32(STRTAB_BASE_CFG.offset, config);
  acknowledgeOldErrors(registers);

  cmdq.reset();
  placeQueue(registers, cmdq.queue, CMDQ_BASE, CMDQ_PROD, CMDQ_CONS, 'RA');
  let enables = CR0.fields.CMDQEN.mask;
  writeAndWait(smmu, CR0, CR0ACK, enables);

  // Nothing that an earlier owner left cached may be used. Commands work before SMMUEN.
  invalidateAll(smmu);

  placeQueue(registers, options.evtq, EVENTQ_BASE, EVENTQ_PROD, EVENTQ_CONS, 'WA');
  enables |= CR0.fields.EVENTQEN.mask;
  writeAndWait(smmu, CR0, CR0ACK, enables);
  if (options.priq !== undefined) {
    placeQueue(registers, options.priq, PRIQ_BASE, PRIQ_PROD, PRIQ_CONS, 'WA');
    enables |= CR0.fields.PRIQEN.mask;
    writeAndWait(smmu, CR0, CR0ACK, enables);
  }
  if (features.ats) {
    enables |= CR0.fields.ATSCHK.mask;
    writeAndWait(smmu, CR0, CR0ACK, enables);
  }
  enableInterrupts(smmu, options);
  writeAndWait(smmu, CR0, CR0ACK, enables | CR0.fields.SMMUEN.mask);
}

function invalidateAll({ name, cmdq, features }: SmmuDevice): void {
  let at = cmdq.next();
  cfgiAll(cmdq.words, at);
  let completed = cmdq.sync();
  if (features.hyp) {
    at = cmdq.next();
    tlbiEl2All(cmdq.words, at);
  }
  at = cmdq.next();
  tlbiNsnhAll(cmdq.words, at);
  completed = cmdq.sync() && completed;
  if (!completed) throw new IommuError('ETIMEDOUT', `${name} does not take commands`);
}

/** Whatever error is active is the last owner's: the command queue would not start with one. */
function acknowledgeOldErrors(registers: Registers): void {
  registers.write32(GERRORN.offset, registers.read32(GERROR.offset));
}

interface QueueBase {
  readonly offset: number;
  readonly encode: (value: never, words: Uint32Array) => void;
}

function placeQueue(
  registers: Registers,
  queue: Queue,
  base: QueueBase,
  prod: { readonly offset: number },
  cons: { readonly offset: number },
  hint: 'RA' | 'WA',
): void {
  base.encode({ [hint]: true, ADDR: queue.base, LOG2SIZE: queue.log2Entries } as never, scratch);
  registers.write64(base.offset, scratch[0]!, scratch[1]!);
  queue.prod = 0;
  queue.cons = 0;
  registers.write32(prod.offset, 0);
  registers.write32(cons.offset, 0);
}

/** Linux `arm_smmu_setup_irqs` and `arm_smmu_setup_msis`. */
function enableInterrupts(smmu: SmmuDevice, { msis, priq, connectInterrupts }: ResetOptions): void {
  const { registers, features } = smmu;
  if (features.msi) {
    placeMsi(registers, GERROR_IRQ_CFG0, GERROR_IRQ_CFG1, GERROR_IRQ_CFG2, msis?.gerror);
    placeMsi(registers, EVENTQ_IRQ_CFG0, EVENTQ_IRQ_CFG1, EVENTQ_IRQ_CFG2, msis?.eventq);
    if (priq !== undefined) placeMsi(registers, PRIQ_IRQ_CFG0, PRIQ_IRQ_CFG1, PRIQ_IRQ_CFG2, msis?.priq);
  }
  connectInterrupts();
  const enables = IRQ_CTRL.fields.EVENTQ_IRQEN.mask | IRQ_CTRL.fields.GERROR_IRQEN.mask;
  writeAndWait(smmu, IRQ_CTRL, IRQ_CTRLACK, priq === undefined ? enables : enables | IRQ_CTRL.fields.PRIQ_IRQEN.mask);
}

/** Names an interrupt's message, or none: address zero. */
function placeMsi(
  registers: Registers,
  cfg0: { readonly offset: number },
  cfg1: { readonly offset: number },
  cfg2: typeof EVENTQ_IRQ_CFG2 | typeof PRIQ_IRQ_CFG2 | typeof GERROR_IRQ_CFG2,
  target: MsiTarget | undefined,
): void {
  const address = target?.address ?? 0;
  registers.write64(cfg0.offset, address >>> 0, Math.floor(address / 2 ** 32));
  if (target === undefined) return;
  registers.write32(cfg1.offset, target.data);
  registers.write32(
    cfg2.offset,
    word((words) => cfg2.encode({ MemAttr: DEVICE_nGnRE }, words)),
  );
}
