/**
 * A fault as the 32 bytes that software reads. Each kind of event has only the fields that §7.3 gives it; the others
 * stay zero. IHI 0070 §7.3; Linux arm_smmu_decode_event.
 */
import { NO_SUBSTREAM } from '@smmu/platform';
import { C_BAD_SUBSTREAMID, EVENT, EVENT_HEADER, F_PERMISSION, F_TRANSLATION, F_UUT, F_WALK_EABT } from '@smmu/spec';
import { ACCESS_EXECUTE, ACCESS_PRIVILEGED, ACCESS_WRITE, CLASS_TT, type Fault } from './fault.ts';

export const RECORD_WORDS = 8;

/** What a record says of the transaction. */
export interface RecordSubject {
  readonly streamId: number;
  readonly substreamId: number;
  readonly addressLo: number;
  readonly addressHi: number;
}

/**
 * Fills `words` with the record of a fault.
 * @param access - After the stream's overrides.
 * @param stag - The stall's tag, or -1 if the transaction was terminated.
 */
export function fillRecord(
  words: Uint32Array,
  fault: Fault,
  subject: RecordSubject,
  access: number,
  stag: number,
): void {
  words.fill(0);
  const code = fault.code;
  EVENT_HEADER.Code.set(words, 0, code);
  EVENT_HEADER.StreamID.set(words, 0, subject.streamId >>> 0);
  if (subject.substreamId !== NO_SUBSTREAM && code !== EVENT.F_STREAM_DISABLED && code !== EVENT.F_TRANSL_FORBIDDEN) {
    if (code === EVENT.C_BAD_SUBSTREAMID) C_BAD_SUBSTREAMID.SubstreamID.set(words, 0, subject.substreamId);
    else {
      EVENT_HEADER.SSV.set(words, 0, true);
      EVENT_HEADER.SubstreamID.set(words, 0, subject.substreamId);
    }
  }
  if (code === EVENT.F_STE_FETCH || code === EVENT.F_CD_FETCH) F_WALK_EABT.FetchAddr.set(words, 0, fetchAddress(fault));
  if (code === EVENT.F_UUT || code === EVENT.F_TRANSL_FORBIDDEN || code >= EVENT.F_WALK_EABT)
    fillAccess(words, subject, code, access);
  if (code < EVENT.F_WALK_EABT) return;
  F_TRANSLATION.S2.set(words, 0, fault.stage2);
  if (code === EVENT.F_TLB_CONFLICT) {
    if (fault.stage2) F_TRANSLATION.IPA.set(words, 0, page(fault.ipa));
    return;
  }
  F_TRANSLATION.CLASS.set(words, 0, fault.klass);
  if (code === EVENT.F_WALK_EABT) {
    F_WALK_EABT.FetchAddr.set(words, 0, fetchAddress(fault));
    return;
  }
  if (fault.stage2) F_TRANSLATION.IPA.set(words, 0, page(fault.ipa));
  if (code === EVENT.F_PERMISSION && fault.klass === CLASS_TT) F_PERMISSION.TTRnW.set(words, 0, fault.tableRead);
  if (stag < 0) return;
  F_TRANSLATION.Stall.set(words, 0, true);
  F_TRANSLATION.STAG.set(words, 0, stag);
}

function fillAccess(words: Uint32Array, subject: RecordSubject, code: number, access: number): void {
  const write = (access & ACCESS_WRITE) !== 0;
  F_UUT.RnW.set(words, 0, !write);
  F_UUT.InputAddr.set(words, 0, subject.addressLo >>> 0, subject.addressHi >>> 0);
  if (code === EVENT.F_TRANSL_FORBIDDEN) return;
  F_UUT.PnU.set(words, 0, (access & ACCESS_PRIVILEGED) !== 0);
  F_UUT.InD.set(words, 0, !write && (access & ACCESS_EXECUTE) !== 0);
}

const fetchAddress = (fault: Fault): number => (fault.fetchAddress - (fault.fetchAddress % 8)) % 2 ** 56;
const page = (ipa: number): number => (ipa - (ipa % 4096)) % 2 ** 56;
