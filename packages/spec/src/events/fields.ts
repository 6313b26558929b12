/** Fields that several event records share, IHI 0070 §7.3. */
import { addr, bits, choice, flag, wide } from '../field.ts';
import { ACCESS_KIND, DIRECTION, PRIVILEGE, STAGE } from '../values.ts';

export const Code = bits(0, 7, 0, 'event number');
export const SSV = flag(0, 11, 'SubstreamID valid');
export const SubstreamID = bits(0, 31, 12, 'substream of the access');
export const StreamID = bits(0, 63, 32, 'stream of the access');
export const Reason = bits(1, 15, 0, 'implementation defined detail');
export const PnU = flag(1, 33, 'post-override privilege', PRIVILEGE);
export const InD = flag(1, 34, 'post-override kind; 0 for writes', ACCESS_KIND);
export const RnW = flag(1, 35, 'direction', DIRECTION);
export const InputAddr = wide(2, 63, 0, 'address as presented, before TBI stripping');
export const GPCF = flag(1, 16, 'granule protection fault rather than plain abort');
export const FetchAddr = addr(3, 55, 3, 'physical address [55:3] of the failed fetch');
export const S2 = flag(1, 39, 'stage of the fault', STAGE);
export const CLASS = choice(
  1,
  41,
  40,
  { 'CD fetch': 0, 'stage 1 table access': 1, 'input address': 2 },
  'what was being done; only for stage 2',
);
export const STAG = bits(1, 15, 0, 'stall token; meaningful when Stall=1');
export const Stall = flag(1, 31, 'access is stalled', ['terminated', 'stalled']);
export const NSIPA = flag(1, 38, 'IPA space of a Secure stage 2 fault');
export const IPA = addr(3, 55, 12, 'IPA[55:12] of a stage 2 fault');
