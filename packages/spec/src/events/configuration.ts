/** Events of the configuration look-up: stream table and context descriptors. IHI 0070 §7.3.3 to §7.3.11. */
import { event } from './event.ts';
import { Code, FetchAddr, GPCF, Reason, SSV, StreamID, SubstreamID } from './fields.ts';

export const cBadStreamid = event(
  'C_BAD_STREAMID',
  0x02,
  { section: '7.3.3', meaning: 'StreamID outside the table or leaf', recordedWhen: 'CR2.RECINVSID=1' },
  { Code, SSV, SubstreamID, StreamID },
);

export const fSteFetch = event(
  'F_STE_FETCH',
  0x03,
  { section: '7.3.4', meaning: 'abort reading STE or L1STD' },
  { Code, SSV, SubstreamID, StreamID, Reason, GPCF, FetchAddr },
);

export const cBadSte = event(
  'C_BAD_STE',
  0x04,
  { section: '7.3.5', meaning: 'STE invalid or illegal' },
  { Code, SSV, SubstreamID, StreamID },
);

export const fStreamDisabled = event(
  'F_STREAM_DISABLED',
  0x06,
  { section: '7.3.7', meaning: 'substream use forbidden by S1DSS' },
  { Code, StreamID },
);

export const cBadSubstreamid = event(
  'C_BAD_SUBSTREAMID',
  0x08,
  { section: '7.3.9', meaning: 'SubstreamID out of range, not configured, or L1CD invalid' },
  { Code, SubstreamID, StreamID },
);

export const fCdFetch = event(
  'F_CD_FETCH',
  0x09,
  { section: '7.3.10', meaning: 'abort reading CD or L1CD' },
  { Code, SSV, SubstreamID, StreamID, Reason, GPCF, FetchAddr },
);

export const cBadCd = event(
  'C_BAD_CD',
  0x0a,
  { section: '7.3.11', meaning: 'CD invalid or illegal' },
  { Code, SSV, SubstreamID, StreamID },
);

export const fVmsFetch = event(
  'F_VMS_FETCH',
  0x25,
  { section: '7.3.20', meaning: 'abort reading the VM structure' },
  { Code, SSV, SubstreamID, StreamID, Reason, GPCF, FetchAddr },
);

export const fCfgConflict = event(
  'F_CFG_CONFLICT',
  0x21,
  { section: '7.3.18', meaning: 'overlapping configuration cache entries' },
  { Code, SSV, SubstreamID, StreamID, Reason },
);
