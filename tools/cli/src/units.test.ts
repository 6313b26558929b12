import { describe, expect, it } from 'vitest';
import { formatBoth, formatBytes, formatCount, formatTime, parseCount, parseSize } from './units.ts';

describe('sizes', () => {
  it.each([
    ['64M', 2 ** 26],
    ['64m', 2 ** 26],
    ['64MiB', 2 ** 26],
    ['64 MB', 2 ** 26],
    ['1.5G', 1.5 * 2 ** 30],
    ['4096', 4096],
    ['4096b', 4096],
    [' 1T ', 2 ** 40],
  ])('%s', (text, bytes) => {
    expect(parseSize('--x', text, 0, 2 ** 40)).toBe(bytes);
  });

  it.each(['', 'M', '-1', '1e9', '0x10', '1..5M', '12 bananas', 'Infinity', 'NaN', '1M1', '9'.repeat(400)])(
    'refuses %j',
    (text) => {
      expect(() => parseSize('--x', text, 0, 2 ** 40)).toThrow(/^--x /);
    },
  );

  it.each([
    [0, '0 bytes'],
    [1, '1 byte'],
    [1023, '1023 bytes'],
    [1024, '1 KiB'],
    [107_224, '104.7 KiB'],
    [2 ** 26, '64 MiB'],
    [2 ** 42, '4 TiB'],
    [2 ** 52, '4096 TiB'],
  ])('%i bytes read as %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it('both ways', () => {
    expect(formatBoth(1)).toBe('1 byte');
    expect(formatBoth(1_234_567)).toBe('1,234,567 bytes (1.2 MiB)');
  });
});

it('counts have separators whatever the locale', () => {
  expect([0, 999, 1000, 1234567].map(formatCount)).toEqual(['0', '999', '1,000', '1,234,567']);
});

it('whole numbers in a range', () => {
  expect(parseCount('--n', '7', 1, 10)).toBe(7);
  for (const text of ['', '0', '11', '1.5', '-1', 'seven', '1e1', ' 7'])
    expect(() => parseCount('--n', text, 1, 10)).toThrow(/^--n /);
});

it('times in a readable unit', () => {
  expect([999, 1500, 2_500_000, 3_000_000_000].map(formatTime)).toEqual(['999 ns', '1.500 µs', '2.500 ms', '3.000 s']);
});
