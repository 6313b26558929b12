import { DmaRequest } from '@smmu/platform';
import { Flight } from './flights.ts';
import { MASK_HI, MASK_LO } from './invalidationScope.ts';

/** A transaction from when it is submitted until it has ended. */
export class Transaction extends Flight {
  readonly sent: DmaRequest = new DmaRequest(new Uint8Array(0));
  /** What the device submitted. */
  request: DmaRequest = this.sent;
  need = 0;
  /** The device was told DMA_PENDING. */
  pending = false;
  asks = 0;
  faults = 0;
  /** The function was reset: the transaction must not leave any more. */
  dead = false;
}

/** Transactions that wait for the same translation, or for the same page. */
export interface Waiting {
  readonly substreamId: number;
  readonly privileged: boolean;
  /** The smallest translation unit around their addresses. */
  readonly lo: number;
  readonly hi: number;
  readonly need: number;
  readonly transactions: Transaction[];
}
/** What a transaction waits for, so that others can wait with it: the smallest translation unit around its address. */
export function waitingFor(transaction: Transaction, stuShift: number): Waiting {
  const { substreamId, privileged, addressLo, addressHi } = transaction.request;
  const lo = (addressLo & MASK_LO[stuShift]!) >>> 0;
  const hi = (addressHi & MASK_HI[stuShift]!) >>> 0;
  return { substreamId, privileged, lo, hi, need: transaction.need, transactions: [transaction] };
}

/** Whom a transaction may wait with: those that need exactly the same. An answer to more would say nothing about less. */
export function findJoinable<T extends Waiting>(
  list: readonly T[],
  { request, need }: Transaction,
  stuShift: number,
): T | undefined {
  return list.find(
    (waiting) =>
      waiting.substreamId === request.substreamId &&
      waiting.privileged === request.privileged &&
      waiting.need === need &&
      ((waiting.lo ^ request.addressLo) & MASK_LO[stuShift]!) === 0 &&
      ((waiting.hi ^ request.addressHi) & MASK_HI[stuShift]!) === 0,
  );
}
