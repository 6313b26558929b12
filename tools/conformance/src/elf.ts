/** PT_LOAD segments of a 64-bit little-endian ELF core, as `dump-guest-memory` writes them. Every length is checked. */

export interface Segment {
  /** Physical address of the first byte. */
  readonly at: number;
  readonly bytes: Uint8Array;
}

const MAGIC = 0x464c457f;
const PT_LOAD = 1;
const LARGEST = 2 ** 52;

/** @throws Error naming the place, if the file is not such a core or is cut short. */
export function loadSegments(core: Uint8Array): Segment[] {
  const view = new DataView(core.buffer, core.byteOffset, core.byteLength);
  const refuse = (what: string): never => {
    throw new Error(`not an ELF core that can be read: ${what}`);
  };
  if (core.length < 64) refuse(`${core.length} bytes, a header has 64`);
  if (view.getUint32(0, true) !== MAGIC) refuse('no ELF magic at byte 0');
  if (core[4] !== 2 || core[5] !== 1) refuse('not 64-bit little-endian');
  const table = Number(view.getBigUint64(32, true));
  const size = view.getUint16(54, true);
  const count = view.getUint16(56, true);
  if (size < 56) refuse(`program headers of ${size} bytes`);
  if (table + size * count > core.length) refuse(`${count} program headers at byte ${table} end beyond the file`);
  const segments: Segment[] = [];
  for (let i = 0; i < count; i++) {
    const header = table + i * size;
    if (view.getUint32(header, true) !== PT_LOAD) continue;
    const offset = Number(view.getBigUint64(header + 8, true));
    const at = Number(view.getBigUint64(header + 24, true));
    const length = Number(view.getBigUint64(header + 32, true));
    if (offset + length > core.length) refuse(`segment ${i} ends at byte ${offset + length} of ${core.length}`);
    if (at + length > LARGEST) refuse(`segment ${i} lies at 0x${at.toString(16)}`);
    segments.push({ at, bytes: core.subarray(offset, offset + length) });
  }
  return segments;
}

/** An ELF core of the given segments: what {@link loadSegments} reads. */
export function writeCore(segments: readonly Segment[]): Uint8Array {
  const headers = 64 + 56 * segments.length;
  const total = segments.reduce((sum, { bytes }) => sum + bytes.length, headers);
  const core = new Uint8Array(total);
  const view = new DataView(core.buffer);
  view.setUint32(0, MAGIC, true);
  core.set([2, 1, 1], 4);
  view.setUint16(16, 4, true); // ET_CORE
  view.setUint16(18, 183, true); // AArch64
  view.setUint32(20, 1, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, segments.length, true);
  let place = headers;
  for (const [i, { at, bytes }] of segments.entries()) {
    const header = 64 + 56 * i;
    view.setUint32(header, PT_LOAD, true);
    view.setUint32(header + 4, 6, true);
    view.setBigUint64(header + 8, BigInt(place), true);
    view.setBigUint64(header + 24, BigInt(at), true);
    view.setBigUint64(header + 32, BigInt(bytes.length), true);
    view.setBigUint64(header + 40, BigInt(bytes.length), true);
    core.set(bytes, place);
    place += bytes.length;
  }
  return core;
}
