import { describe, expect, it } from 'vitest';
import { board, tableOn } from '../test/board.ts';
import { type PgtableOptions, PROT } from './types.ts';

const { READ, WRITE, CACHE, NOEXEC, MMIO, PRIV } = PROT;

/** Type and attributes of a page mapped to 0, as one number. */
function entry(prot: number, options: Partial<PgtableOptions> = {}): bigint {
  const table = tableOn(board(), options);
  table.mapPages(0, 0, table.pageSizes[0]!, 1, prot);
  const { lo, hi } = table.walk(0).at(-1)!;
  return (BigInt(hi) << 32n) | BigInt(lo);
}

// The second source: masks as Linux io-pgtable-arm.c writes them.
const TYPE_PAGE = 3n;
const ATTR = (index: bigint): bigint => index << 2n;
const NS = 1n << 5n;
const AP_UNPRIV = 1n << 6n;
const AP_RDONLY = 2n << 6n;
const SH_OS = 2n << 8n;
const SH_IS = 3n << 8n;
const AF = 1n << 10n;
const NG = 1n << 11n;
const DBM = 1n << 51n;
const XN = 3n << 53n;
const HAP_READ = 1n << 6n;
const HAP_WRITE = 2n << 6n;
const BASE1 = TYPE_PAGE | AF | NG;
const BASE2 = TYPE_PAGE | AF;

describe('stage 1 leaves', () => {
  it.each([
    ['read and write, not cached', READ | WRITE, BASE1 | AP_UNPRIV | SH_OS],
    ['write alone can be read too', WRITE, BASE1 | AP_UNPRIV | SH_OS],
    ['read only', READ, BASE1 | AP_UNPRIV | AP_RDONLY | SH_OS],
    ['cached', READ | WRITE | CACHE, BASE1 | AP_UNPRIV | ATTR(1n) | SH_IS],
    ['device memory', READ | WRITE | MMIO, BASE1 | AP_UNPRIV | ATTR(2n) | SH_OS],
    ['device memory, though cached is asked for', READ | WRITE | MMIO | CACHE, BASE1 | AP_UNPRIV | ATTR(2n) | SH_IS],
    ['privileged only', READ | WRITE | PRIV, BASE1 | SH_OS],
    ['never executed', READ | NOEXEC, BASE1 | AP_UNPRIV | AP_RDONLY | SH_OS | XN],
  ])('%s', (_, prot, expected) => {
    expect(entry(prot).toString(16)).toBe(expected.toString(16));
  });

  it('a Secure walk marks leaves and tables Non-secure', () => {
    const table = tableOn(board(), { quirks: { ns: true } });
    table.mapPages(0, 0, 4096, 1, READ);
    const way = table.walk(0);
    expect(way.map(({ hi }) => hi >>> 31)).toEqual([1, 1, 1, 0]);
    expect(entry(READ, { quirks: { ns: true } })).toBe(BASE1 | AP_UNPRIV | AP_RDONLY | SH_OS | NS);
  });

  it('under hardware dirty state a writable leaf starts dirty', () => {
    const quirks = { hd: true };
    expect(entry(READ | WRITE, { quirks })).toBe(BASE1 | AP_UNPRIV | SH_OS | DBM);
    expect(entry(READ, { quirks })).toBe(BASE1 | AP_UNPRIV | AP_RDONLY | SH_OS);
  });

  it('with DS the shareability is not in the leaf', () => {
    expect(entry(READ | WRITE | CACHE, { oasBits: 52 })).toBe(BASE1 | AP_UNPRIV | ATTR(1n));
    expect(entry(READ | WRITE | CACHE, { oasBits: 52, granuleShift: 16 })).toBe(BASE1 | AP_UNPRIV | ATTR(1n) | SH_IS);
  });

  it.each([
    [{}, 0],
    [{ noWrite: true }, 0x4000_0000],
    [{ noUser: true }, 0x2000_0000],
    [{ noExec: true }, 0x1800_0000],
    [{ noPrivilegedExec: true }, 0x0800_0000],
    [{ noWrite: true, noUser: true, noExec: true }, 0x7800_0000],
  ])('limits %j stand in every table entry', (tableLimits, bits) => {
    const table = tableOn(board(), { tableLimits });
    table.mapPages(0, 0, 4096, 1, READ);
    expect(table.walk(0).map(({ hi }) => hi)).toEqual([bits, bits, bits, 0]);
  });

  it('a block is the same with another type', () => {
    const table = tableOn(board());
    table.mapPages(0, 2 ** 21, 2 ** 21, 1, READ | WRITE);
    expect(table.walk(0).at(-1)).toMatchObject({ lo: 0x20_0000 | Number((BASE1 & ~2n) | AP_UNPRIV | SH_OS), hi: 0 });
  });
});

describe('stage 2 leaves', () => {
  it.each([
    ['read and write, not cached', READ | WRITE, {}, BASE2 | HAP_READ | HAP_WRITE | (5n << 2n) | SH_OS],
    ['read', READ, {}, BASE2 | HAP_READ | (5n << 2n) | SH_OS],
    ['write', WRITE, {}, BASE2 | HAP_WRITE | (5n << 2n) | SH_OS],
    ['cached', READ | CACHE, {}, BASE2 | HAP_READ | (15n << 2n) | SH_IS],
    ['cached under forced write-back', READ | CACHE, { s2fwb: true }, BASE2 | HAP_READ | (6n << 2n) | SH_IS],
    ['not cached under forced write-back', READ, { s2fwb: true }, BASE2 | HAP_READ | (5n << 2n) | SH_OS],
    ['device memory', READ | MMIO, {}, BASE2 | HAP_READ | (1n << 2n) | SH_OS],
    ['privilege plays no part', READ | PRIV, {}, BASE2 | HAP_READ | (5n << 2n) | SH_OS],
    ['never executed', READ | NOEXEC, {}, BASE2 | HAP_READ | (5n << 2n) | SH_OS | XN],
    ['hardware dirty state', READ | WRITE, { hd: true }, BASE2 | HAP_READ | HAP_WRITE | (5n << 2n) | SH_OS | DBM],
  ])('%s', (_, prot, quirks, expected) => {
    expect(entry(prot, { stage: 2, quirks }).toString(16)).toBe(expected.toString(16));
  });

  it('table entries say nothing but where', () => {
    const table = tableOn(board(), { stage: 2 });
    table.mapPages(0, 0, 4096, 1, READ);
    expect(
      table
        .walk(0)
        .map(({ lo, hi, pa }) => [lo - pa, hi])
        .slice(0, 3),
    ).toEqual([
      [3, 0],
      [3, 0],
      [3, 0],
    ]);
  });
});

it('all 48 useful combinations differ in what they should only', () => {
  for (const stage of [1, 2] as const) {
    const table = tableOn(board(), { stage });
    for (let prot = 0; prot < 64; prot++) {
      if ((prot & 3) === 0) expect(() => table.mapPages(0, 0, 4096, 1, prot)).toThrow();
      else {
        table.mapPages(0, 0, 4096, 1, prot);
        const { lo, hi } = table.walk(0).at(-1)!;
        expect((hi & 0x60_0000) !== 0).toBe((prot & NOEXEC) !== 0);
        expect((lo & 0x80) !== 0).toBe(stage === 1 ? (prot & WRITE) === 0 : (prot & WRITE) !== 0);
        expect(lo & 0x400).toBe(0x400);
        table.unmapPages(0, 4096, 1);
      }
    }
  }
});
