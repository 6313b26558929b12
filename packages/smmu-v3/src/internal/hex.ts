/** Numbers as the kernel's log prints them. */

/** A word as `0x%08x`. */
export const hex32 = (value: number): string => `0x${(value >>> 0).toString(16).padStart(8, '0')}`;

/** A dword as `0x%016llx`. */
export const hex64 = (lo: number, hi: number): string =>
  `0x${(hi >>> 0).toString(16).padStart(8, '0')}${(lo >>> 0).toString(16).padStart(8, '0')}`;

/** A dword as `%#llx`: no leading zeros. */
export const hexShort64 = (lo: number, hi: number): string =>
  hi >>> 0 === 0
    ? `0x${(lo >>> 0).toString(16)}`
    : `0x${(hi >>> 0).toString(16)}${(lo >>> 0).toString(16).padStart(8, '0')}`;
