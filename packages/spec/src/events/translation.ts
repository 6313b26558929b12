/** Events of translation. IHI 0070 §7.3.12 to §7.3.17; Linux arm-smmu-v3.h EVTQ_*. */
import { flag } from '../field.ts';
import { DIRECTION } from '../values.ts';
import { event } from './event.ts';
import {
  CLASS,
  Code,
  FetchAddr,
  GPCF,
  InD,
  InputAddr,
  IPA,
  NSIPA,
  PnU,
  Reason,
  RnW,
  S2,
  SSV,
  STAG,
  Stall,
  StreamID,
  SubstreamID,
} from './fields.ts';

export const fWalkEabt = event(
  'F_WALK_EABT',
  0x0b,
  { section: '7.3.12', meaning: 'abort on a translation table access' },
  { Code, SSV, SubstreamID, StreamID, Reason, GPCF, PnU, InD, RnW, S2, CLASS, InputAddr, FetchAddr },
);

export const fTranslation = event(
  'F_TRANSLATION',
  0x10,
  { section: '7.3.13', meaning: 'no valid descriptor, out-of-range input, disabled range, or E0PD', stallable: true },
  { Code, SSV, SubstreamID, StreamID, STAG, Stall, PnU, InD, RnW, NSIPA, S2, CLASS, InputAddr, IPA },
);

export const fAddrSize = event(
  'F_ADDR_SIZE',
  0x11,
  {
    section: '7.3.14',
    meaning: 'output or next-table address too large; also bypass input too large (never stalls)',
    stallable: true,
  },
  { Code, SSV, SubstreamID, StreamID, STAG, Stall, PnU, InD, RnW, NSIPA, S2, CLASS, InputAddr, IPA },
);

export const fAccess = event(
  'F_ACCESS',
  0x12,
  { section: '7.3.15', meaning: 'AF=0 without hardware update or AFFD', stallable: true },
  { Code, SSV, SubstreamID, StreamID, STAG, Stall, PnU, InD, RnW, NSIPA, S2, CLASS, InputAddr, IPA },
);

export const fPermission = event(
  'F_PERMISSION',
  0x13,
  { section: '7.3.16', meaning: 'access not permitted', stallable: true },
  {
    Code,
    SSV,
    SubstreamID,
    StreamID,
    STAG,
    Stall,
    PnU,
    InD,
    RnW,
    NSIPA,
    S2,
    CLASS,
    InputAddr,
    IPA,
    TTRnW: flag(1, 44, 'direction of the table access, valid for CLASS=1', DIRECTION),
  },
);

export const fTlbConflict = event(
  'F_TLB_CONFLICT',
  0x20,
  { section: '7.3.17', meaning: 'overlapping TLB entries' },
  { Code, SSV, SubstreamID, StreamID, Reason, PnU, InD, RnW, S2, InputAddr, IPA },
);
