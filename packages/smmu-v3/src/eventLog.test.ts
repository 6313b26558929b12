/** The lines of a Linux 7.2 guest that took these records (QEMU 10.0.2). */
import { describe, expect, it } from 'vitest';
import { eventName, formatEvent } from './eventLog.ts';

const record = (...dwords: bigint[]) => {
  const words = new BigUint64Array(4);
  words.set(dwords);
  return new Uint32Array(words.buffer);
};

describe('formatEvent prints as the kernel does', () => {
  it('F_TRANSLATION', () => {
    const words = record(0x0000_0018_0000_0010n, 0x0000_0208_0000_0000n, 0x5555_0004n);
    expect(formatEvent(words, '0000:00:03.0')).toEqual([
      'event 0x10 received:',
      '\t0x0000001800000010',
      '\t0x0000020800000000',
      '\t0x0000000055550004',
      '\t0x0000000000000000',
      'event: F_TRANSLATION client: 0000:00:03.0 sid: 0x18 ssid: 0x0 iova: 0x55550004 ipa: 0x0',
      'unpriv data read s1 "Input address caused fault" stag: 0x0',
    ]);
  });
  it.each([
    [
      'a stalled privileged fetch with a PASID, high up',
      record(0x0000_0900_0000_5812n, 0x0000_0206_8000_00abn, 0xffff_0000_1234_5678n),
      'event: F_ACCESS client: (unassigned sid) sid: 0x900 ssid: 0x5 iova: 0xffff000012345678 ipa: 0x0',
      'priv inst write s1 "Input address caused fault" stall stag: 0xab',
    ],
    [
      'stage 2 while walking stage 1',
      record(0x13n, 0x0000_1180_0000_0000n, 0x1000n, 0x8_0000_1000n),
      'event: F_PERMISSION client: (unassigned sid) sid: 0x0 ssid: 0x0 iova: 0x1000 ipa: 0x800001000',
      'unpriv data write s2 "Stage 1 translation table fetch" ttd_read stag: 0x0',
    ],
    [
      'the same, where the walk wrote',
      record(0x13n, 0x0000_0180_0000_0000n),
      'event: F_PERMISSION client: (unassigned sid) sid: 0x0 ssid: 0x0 iova: 0x0 ipa: 0x0',
      'unpriv data write s2 "Stage 1 translation table fetch" ttd_write stag: 0x0',
    ],
    [
      'a CD that could not be fetched',
      record(0x0000_0001_0000_0009n, 0n, 0n, 0x4000_0040n),
      'event: F_CD_FETCH client: (unassigned sid) sid: 0x1 ssid: 0x0 fetch_addr: 0x40000040',
    ],
    ['configuration', record(0x0000_0001_0000_000an), 'event: C_BAD_CD client: (unassigned sid) sid: 0x1 ssid: 0x0'],
    ['what Linux has no name for', record(1n), 'event: F_UUT client: (unassigned sid) sid: 0x0 ssid: 0x0'],
  ])('%s', (_what, words, ...lines) => {
    expect(formatEvent(words, undefined).slice(5)).toEqual(lines);
  });
  it('a code without a name is a number', () => {
    expect(formatEvent(record(0x2fn), undefined).length).toBe(5);
    expect(eventName(0x2f)).toBe('0x2f');
  });
});
