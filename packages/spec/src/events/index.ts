/** All events, by name and by code. IHI 0070 §7.3; Linux arm-smmu-v3.h EVT_ID_*. */
import { type Decoded, layout } from '../layout.ts';
import {
  cBadCd,
  cBadSte,
  cBadStreamid,
  cBadSubstreamid,
  fCdFetch,
  fCfgConflict,
  fSteFetch,
  fStreamDisabled,
  fVmsFetch,
} from './configuration.ts';
import { EVENT_BYTES, type EventLayout } from './event.ts';
import { Code, SSV, StreamID, SubstreamID } from './fields.ts';
import { ePageRequest, fBadAtsTreq, fTranslForbidden, fUut } from './transaction.ts';
import { fAccess, fAddrSize, fPermission, fTlbConflict, fTranslation, fWalkEabt } from './translation.ts';

/** What event records have in common, to look at one whose code is not known yet. */
export const eventHeader = layout('EVENT', EVENT_BYTES, 'IHI 0070 §7.3', { Code, SSV, SubstreamID, StreamID });
export const EVENT_HEADER = eventHeader.fields;
export type EventHeader = Decoded<typeof EVENT_HEADER>;

/** Layout of each event record. */
export const eventLayouts = {
  F_UUT: fUut,
  C_BAD_STREAMID: cBadStreamid,
  F_STE_FETCH: fSteFetch,
  C_BAD_STE: cBadSte,
  F_BAD_ATS_TREQ: fBadAtsTreq,
  F_STREAM_DISABLED: fStreamDisabled,
  F_TRANSL_FORBIDDEN: fTranslForbidden,
  C_BAD_SUBSTREAMID: cBadSubstreamid,
  F_CD_FETCH: fCdFetch,
  C_BAD_CD: cBadCd,
  F_WALK_EABT: fWalkEabt,
  F_TRANSLATION: fTranslation,
  F_ADDR_SIZE: fAddrSize,
  F_ACCESS: fAccess,
  F_PERMISSION: fPermission,
  F_TLB_CONFLICT: fTlbConflict,
  F_CFG_CONFLICT: fCfgConflict,
  E_PAGE_REQUEST: ePageRequest,
  F_VMS_FETCH: fVmsFetch,
};
export type EventName = keyof typeof eventLayouts;

/** Code of each event. */
export const EVENT = {
  F_UUT: fUut.code,
  C_BAD_STREAMID: cBadStreamid.code,
  F_STE_FETCH: fSteFetch.code,
  C_BAD_STE: cBadSte.code,
  F_BAD_ATS_TREQ: fBadAtsTreq.code,
  F_STREAM_DISABLED: fStreamDisabled.code,
  F_TRANSL_FORBIDDEN: fTranslForbidden.code,
  C_BAD_SUBSTREAMID: cBadSubstreamid.code,
  F_CD_FETCH: fCdFetch.code,
  C_BAD_CD: cBadCd.code,
  F_WALK_EABT: fWalkEabt.code,
  F_TRANSLATION: fTranslation.code,
  F_ADDR_SIZE: fAddrSize.code,
  F_ACCESS: fAccess.code,
  F_PERMISSION: fPermission.code,
  F_TLB_CONFLICT: fTlbConflict.code,
  F_CFG_CONFLICT: fCfgConflict.code,
  E_PAGE_REQUEST: ePageRequest.code,
  F_VMS_FETCH: fVmsFetch.code,
} as const satisfies Record<EventName, number>;

/** Codes that implementations may define (IMPDEF_EVENTn, §7.3.21). */
export const IMPDEF_EVENTS = { first: 0xe0, last: 0xef } as const;

const byCode: (EventLayout | undefined)[] = [];
for (const one of Object.values(eventLayouts)) byCode[one.code] = one;

/** The layout of an event record by its code; undefined if the code is reserved or implementation defined. */
export const eventByCode = (code: number): EventLayout | undefined => byCode[code];

// The fields of each event record, for hot code.
export const F_UUT = fUut.fields;
export const C_BAD_STREAMID = cBadStreamid.fields;
export const F_STE_FETCH = fSteFetch.fields;
export const C_BAD_STE = cBadSte.fields;
export const F_BAD_ATS_TREQ = fBadAtsTreq.fields;
export const F_STREAM_DISABLED = fStreamDisabled.fields;
export const F_TRANSL_FORBIDDEN = fTranslForbidden.fields;
export const C_BAD_SUBSTREAMID = cBadSubstreamid.fields;
export const F_CD_FETCH = fCdFetch.fields;
export const C_BAD_CD = cBadCd.fields;
export const F_WALK_EABT = fWalkEabt.fields;
export const F_TRANSLATION = fTranslation.fields;
export const F_ADDR_SIZE = fAddrSize.fields;
export const F_ACCESS = fAccess.fields;
export const F_PERMISSION = fPermission.fields;
export const F_TLB_CONFLICT = fTlbConflict.fields;
export const F_CFG_CONFLICT = fCfgConflict.fields;
export const E_PAGE_REQUEST = ePageRequest.fields;
export const F_VMS_FETCH = fVmsFetch.fields;
