import { UsageError } from './errors.ts';

const POWERS: Readonly<Record<string, number>> = { '': 0, k: 1, m: 2, g: 3, t: 4 };
const NAMES = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];

/**
 * Reads a size such as `64M`, `1.5g`, `4096`, `512 KiB`. Units are powers of 1,024.
 * @throws UsageError if it is none, or outside [`min`, `max`].
 */
export function parseSize(option: string, text: string, min: number, max: number): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text.trim());
  const bytes = match ? Math.round(Number(match[1]) * 1024 ** POWERS[match[2]!.toLowerCase()]!) : Number.NaN;
  if (!(bytes >= min && bytes <= max))
    throw new UsageError(
      `${option} ${text}: not a size that will do; give one from ${formatBytes(min)} to ${formatBytes(max)}, such as 64M`,
    );
  return bytes;
}

/** Reads a whole number. @throws UsageError if it is none, or outside [`min`, `max`]. */
export function parseCount(option: string, text: string, min: number, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max))
    throw new UsageError(`${option} ${text}: not a number that will do; give a whole one from ${min} to ${max}`);
  return value;
}

/** `1234567` as `1,234,567`, whatever the locale. */
export function formatCount(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** A size in the largest unit that it fills: `103.7 KiB`, `64 MiB`, `1 byte`. */
export function formatBytes(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < NAMES.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = Number.isInteger(value) || unit === 0 ? String(value) : value.toFixed(1);
  return `${digits} ${bytes === 1 ? 'byte' : NAMES[unit]}`;
}

/** A size in both ways: `107,224 bytes (104.7 KiB)`. */
export function formatBoth(bytes: number): string {
  const exact = `${formatCount(bytes)} ${bytes === 1 ? 'byte' : 'bytes'}`;
  return bytes < 1024 ? exact : `${exact} (${formatBytes(bytes)})`;
}

/** Virtual time in a readable unit: `1.234 ms`. */
export function formatTime(nanoseconds: number): string {
  for (const [unit, ns] of [
    ['s', 1e9],
    ['ms', 1e6],
    ['µs', 1e3],
  ] as const)
    if (nanoseconds >= ns) return `${(nanoseconds / ns).toFixed(3)} ${unit}`;
  return `${nanoseconds} ns`;
}
