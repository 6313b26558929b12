/**
 * Event records as lines of the kernel's log, so that whoever reads Linux's reads these.
 * Linux arm-smmu-v3.c, `arm_smmu_dump_raw_event` and `arm_smmu_dump_event`; all names are known here.
 */
import { C_BAD_STE, EVENT, EVENT_BYTES, eventByCode, F_PERMISSION, F_STE_FETCH, F_TRANSLATION } from '@smmu/spec';
import { hex64, hexShort64 } from './internal/hex.ts';

/** Words of an event record. */
export const EVENT_WORDS: number = EVENT_BYTES / 4;

const CLASS_TEXT = ['CD fetch', 'Stage 1 translation table fetch', 'Input address caused fault', 'Reserved'] as const;
const CLASS_TABLE = 1;

/** Whether records of this kind name an input address and how it was accessed. */
const isTranslationFault = (code: number): boolean => code >= EVENT.F_TRANSLATION && code <= EVENT.F_PERMISSION;
const isFetchFault = (code: number): boolean =>
  code === EVENT.F_STE_FETCH || code === EVENT.F_CD_FETCH || code === EVENT.F_VMS_FETCH;

/** An event's name, or its number if there is none: `F_TRANSLATION`, `0x2f`. */
export const eventName = (code: number): string => eventByCode(code)?.name ?? `0x${code.toString(16)}`;

/**
 * Formats a record.
 * @param client - Name of the device that the StreamID means, if any.
 */
export function formatEvent(record: Uint32Array, client: string | undefined): string[] {
  const code = C_BAD_STE.Code.get(record, 0);
  const lines = [`event 0x${code.toString(16).padStart(2, '0')} received:`];
  for (let i = 0; i < EVENT_WORDS; i += 2) lines.push(`\t${hex64(record[i]!, record[i + 1]!)}`);
  if (eventByCode(code) === undefined) return lines;
  const sid = C_BAD_STE.StreamID.get(record, 0).toString(16);
  const ssid = C_BAD_STE.SSV.get(record, 0) ? C_BAD_STE.SubstreamID.get(record, 0) : 0;
  const who = `event: ${eventName(code)} client: ${client ?? '(unassigned sid)'} sid: 0x${sid} ssid: 0x${ssid.toString(16)}`;
  if (isTranslationFault(code)) {
    const { InputAddr, IPA } = F_TRANSLATION;
    const iova = hexShort64(InputAddr.getLo(record, 0), InputAddr.getHi(record, 0));
    lines.push(`${who} iova: ${iova} ipa: 0x${IPA.get(record, 0).toString(16)}`, describeAccess(record, code));
  } else if (isFetchFault(code))
    lines.push(`${who} fetch_addr: 0x${F_STE_FETCH.FetchAddr.get(record, 0).toString(16)}`);
  else lines.push(who);
  return lines;
}

function describeAccess(record: Uint32Array, code: number): string {
  const { PnU, InD, RnW, S2, CLASS, Stall, STAG } = F_TRANSLATION;
  const table =
    code === EVENT.F_PERMISSION && CLASS.get(record, 0) === CLASS_TABLE
      ? F_PERMISSION.TTRnW.get(record, 0)
        ? ' ttd_read'
        : ' ttd_write'
      : '';
  return [
    PnU.get(record, 0) ? 'priv' : 'unpriv',
    InD.get(record, 0) ? 'inst' : 'data',
    RnW.get(record, 0) ? 'read' : 'write',
    S2.get(record, 0) ? 's2' : 's1',
    `"${CLASS_TEXT[CLASS.get(record, 0)]}"${table}${Stall.get(record, 0) ? ' stall' : ''}`,
    `stag: 0x${STAG.get(record, 0).toString(16)}`,
  ].join(' ');
}
