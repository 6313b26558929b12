/**
 * What stopped a transaction: one reused record, filled where the fault is found, turned into an event where it is
 * reported. IHI 0070 §7.3 lists the codes, §3.12 what follows from them.
 */
import { EVENT } from '@smmu/spec';

/** What was being done when stage 2 refused. Stage 1 faults of the input address are {@link CLASS_IN} as well. */
export const CLASS_CD = 0;
export const CLASS_TT = 1;
export const CLASS_IN = 2;

/** A transaction as the translation sees it: bits that combine. */
export const ACCESS_WRITE = 1;
export const ACCESS_EXECUTE = 2;
export const ACCESS_PRIVILEGED = 4;
/** The three above: what decides which permission is needed. */
export const ACCESS_KIND = 7;
/** No page becomes dirty: a writable-clean one counts as read-only. */
export const ACCESS_KEEPS_CLEAN = 8;
/** Hardware updates nothing in the tables, as if it never did. */
export const ACCESS_NO_UPDATE = 16;

export const NO_FAULT = 0;

export class Fault {
  /** Event code, or {@link NO_FAULT} for a silent abort. */
  code: number = NO_FAULT;
  stage2 = false;
  klass: number = CLASS_IN;
  /** Intermediate address that stage 2 refused. */
  ipa = 0;
  /** Where the external abort was. */
  fetchAddress = 0;
  /** F_PERMISSION of CLASS TT: the table was being read, not updated. */
  tableRead = false;
  /** A bypass whose address is too large: always an abort with a record, whatever the fault bits say. */
  bypass = false;
  /** In words, for people: which field, which value. */
  reason = '';

  /** Starts a new fault. Every other member goes back to what a stage 1 fault of the input address has. */
  set(code: number, reason = ''): void {
    this.code = code;
    this.stage2 = false;
    this.klass = CLASS_IN;
    this.ipa = 0;
    this.fetchAddress = 0;
    this.tableRead = false;
    this.bypass = false;
    this.reason = reason;
  }

  /** An external abort while fetching a structure or descriptor. */
  setFetch(code: number, address: number): void {
    this.set(code, 'external abort');
    this.fetchAddress = address;
  }

  /** A fault of stage 2; the caller of stage 2 says what the address was for. */
  setStage2(code: number, ipa: number, reason = ''): void {
    this.set(code, reason);
    this.stage2 = true;
    this.ipa = ipa;
  }

  /** Translation, address size, access and permission faults: those that a stream's fault bits may stall or silence. */
  get configurable(): boolean {
    const code = this.code;
    return (
      (code === EVENT.F_TRANSLATION ||
        code === EVENT.F_PERMISSION ||
        code === EVENT.F_ACCESS ||
        code === EVENT.F_ADDR_SIZE) &&
      !this.bypass
    );
  }
}
