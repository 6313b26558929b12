/** Events about the kind of transaction: unsupported ones, ATS misuse, page-in hints. IHI 0070 §7.3.2, §7.3.6, §7.3.8, §7.3.19. */
import { bits, flag, wide } from '../field.ts';
import { event } from './event.ts';
import { Code, InD, InputAddr, PnU, Reason, RnW, SSV, StreamID, SubstreamID } from './fields.ts';

export const fUut = event(
  'F_UUT',
  0x01,
  { section: '7.3.2', meaning: 'client access type the SMMU cannot handle' },
  { Code, SSV, SubstreamID, StreamID, Reason, PnU, InD, RnW, InputAddr },
);

export const fBadAtsTreq = event(
  'F_BAD_ATS_TREQ',
  0x05,
  { section: '7.3.6', meaning: 'translation request while ATS is not allowed; answered UR' },
  { Code, SSV, SubstreamID, StreamID },
);

export const fTranslForbidden = event(
  'F_TRANSL_FORBIDDEN',
  0x07,
  { section: '7.3.8', meaning: 'Translated access while ATS is not allowed' },
  { Code, StreamID, RnW, InputAddr },
);

export const ePageRequest = event(
  'E_PAGE_REQUEST',
  0x24,
  { section: '7.3.19', meaning: 'speculative page-in hint' },
  {
    Code,
    SSV,
    SubstreamID,
    StreamID,
    uX: flag(1, 33, 'unprivileged execute wanted'),
    uW: flag(1, 34, 'unprivileged write wanted'),
    uR: flag(1, 35, 'unprivileged read wanted'),
    pX: flag(1, 37, 'privileged execute wanted'),
    pW: flag(1, 38, 'privileged write wanted'),
    pR: flag(1, 39, 'privileged read wanted'),
    Span: bits(1, 51, 44, 'size wanted, Span*4096 bytes'),
    InputAddr: wide(2, 63, 12, 'address [63:12]'),
  },
);
