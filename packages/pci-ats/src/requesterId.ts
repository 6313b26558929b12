import { hex, IommuError } from '@smmu/platform';

/** Where a function sits. A requester ID is the last three in 16 bits. */
export interface PciAddress {
  readonly segment: number;
  readonly bus: number;
  readonly device: number;
  readonly function: number;
}

/**
 * The 16 bits that name a function in each of its requests. PCI Express Base §2.2.6.2; Linux `PCI_DEVID`.
 * @throws {@link IommuError} `EINVAL` if bus, device or function is out of range.
 */
export function requesterId(address: PciAddress): number {
  const { bus, device, function: fn } = address;
  if (!(within(bus, 8) && within(device, 5) && within(fn, 3)))
    throw new IommuError('EINVAL', `${bus}/${device}/${fn}: bus, device and function have 8, 5 and 3 bits`);
  return bus * 256 + device * 8 + fn;
}

/** Formats an address as Linux does: `0000:00:01.0`. */
export function formatPciAddress({ segment, bus, device, function: fn }: PciAddress): string {
  const digits = (value: number, width: number): string => value.toString(16).padStart(width, '0');
  return `${digits(segment, 4)}:${digits(bus, 2)}:${digits(device, 2)}.${fn.toString(16)}`;
}

/** One row of a firmware table (IORT ID mapping, device tree `iommu-map`): a run of requester IDs and their StreamIDs. */
export interface StreamIdRange {
  readonly requesterId: number;
  readonly streamId: number;
  /** How many IDs in a row. */
  readonly count: number;
}

/** Which StreamID the SMMU sees for each requester ID behind one root complex. Linux drivers/acpi/arm64/iort.c, of/base.c. */
export class StreamIdMap {
  readonly #ranges: readonly StreamIdRange[];

  /** @throws {@link IommuError} `EINVAL` if a range is empty, leaves 16 or 32 bits, or shares an ID with another. */
  constructor(ranges: readonly StreamIdRange[]) {
    for (const [i, range] of ranges.entries()) {
      const { requesterId: rid, streamId: sid, count } = range;
      if (!(count > 0 && rid >= 0 && rid + count <= 2 ** 16 && sid >= 0 && sid + count <= 2 ** 32))
        throw new IommuError('EINVAL', `${show(range)}: empty, or beyond 16 bits of requester ID or 32 of StreamID`);
      for (const other of ranges.slice(0, i))
        if (overlap(rid, other.requesterId, count, other.count) || overlap(sid, other.streamId, count, other.count))
          throw new IommuError('EINVAL', `${show(range)} overlaps ${show(other)}`);
    }
    this.#ranges = ranges;
  }

  /** @throws {@link IommuError} `ENODEV` if the firmware gives the function no StreamID. */
  toStreamId(rid: number): number {
    const range = this.#ranges.find((r) => rid >= r.requesterId && rid < r.requesterId + r.count);
    if (range === undefined) throw new IommuError('ENODEV', `requester ID ${hex(rid)}: no range has a StreamID for it`);
    return range.streamId + rid - range.requesterId;
  }

  /** The way back: who is behind a StreamID of an event record. Returns -1 if nobody is. */
  toRequesterId(streamId: number): number {
    const range = this.#ranges.find((r) => streamId >= r.streamId && streamId < r.streamId + r.count);
    return range === undefined ? -1 : range.requesterId + streamId - range.streamId;
  }
}

const within = (value: number, width: number): boolean => Number.isInteger(value) && value >= 0 && value < 2 ** width;
const overlap = (a: number, b: number, aCount: number, bCount: number): boolean => a < b + bCount && b < a + aCount;
const show = ({ requesterId: rid, streamId: sid, count }: StreamIdRange): string =>
  `range of ${count} from requester ID ${hex(rid)} to StreamID ${hex(sid)}`;
