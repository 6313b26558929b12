/**
 * Making and ending areas, and what they allow (Linux mm/mmap.c, mm/vma.c, mm/mprotect.c, mm/msync.c).
 *
 * No page moves here but by a fault: mmap only says what an address means. Each call does all of it or, when it throws,
 * none.
 */
import { IommuPagesList } from '@smmu/iommu-pages';
import { hex, IommuError, type Va } from '@smmu/platform';
import { Area, type AreaKind, type Protection, span } from './area.ts';
import type { BackingFile } from './backingFile.ts';
import { protectRange, zapRange } from './entries.ts';
import type { Mm } from './mm.ts';
import type { Page } from './page.ts';
import { protectEverywhere } from './rmap.ts';
import { TlbBatch, TlbGather } from './tlb.ts';

/** Nothing may be mapped below, so that a null pointer faults (sysctl vm.mmap_min_addr). */
const LOWEST_ADDRESS = 0x1_0000;
/** What chosen addresses leave free at the top, where a stack would grow (Linux `mmap_base`). */
const STACK_GAP = 2 ** 27;

/** Parameters of {@link Mm.mmap}. */
export interface MmapOptions extends Protection {
  /** Bytes, rounded up to the granule. */
  readonly bytes: number;
  /** Where, a multiple of the granule (MAP_FIXED_NOREPLACE). Left out: the highest gap that is large enough. */
  readonly address?: Va;
  readonly kind: AreaKind;
  /** Of `private` and `shared`. */
  readonly file?: BackingFile;
  /** First byte of the file, a multiple of the granule; 0 if left out. */
  readonly fileOffset?: number;
}

/** Does what {@link Mm.mmap} says. */
export function mmap(mm: Mm, options: MmapOptions): Va {
  const { zone, areas } = mm;
  const { granuleBytes } = zone;
  const { address, kind, file, fileOffset = 0 } = options;
  const bytes = wholeGranules(options.bytes, granuleBytes);
  const ofFile = kind === 'private' || kind === 'shared';
  if (ofFile !== (file !== undefined) || !['anonymous', 'private', 'shared', 'guard'].includes(kind))
    throw new IommuError('EINVAL', `mmap of kind ${kind} ${file ? `with file ${file.name}` : 'without a file'}`);
  if (!isMultiple(fileOffset, granuleBytes))
    throw new IommuError('EINVAL', `mmap at file offset ${fileOffset}: must be a multiple of ${granuleBytes}`);
  if (!Number.isSafeInteger(fileOffset + bytes))
    throw new IommuError('EOVERFLOW', `mmap of ${bytes} bytes at file offset ${fileOffset}: ends beyond 2^53`);
  if (kind === 'shared' && options.write && file?.readonly)
    throw new IommuError('EPERM', `writable shared mapping of ${file.name}, which is read-only`);
  const start = address === undefined ? chooseAddress(mm, bytes) : checkAddress(mm, address, bytes);
  areas.reserve(1);
  areas.insert(
    new Area(start, start + bytes, kind, options, file ? zone.cacheOf(file) : null, ofFile ? fileOffset : 0),
  );
  return start;
}

/** Does what {@link Mm.munmap} says. */
export function munmap(mm: Mm, va: Va, length: number): void {
  const { areas } = mm;
  const end = va + checkRange(mm, 'munmap', va, length);
  const splits = areas.splitsFor(va, end);
  if (splits === 2) areas.reserve(1); // a hole in the middle of one: one area more than before
  areas.split(va);
  areas.split(end);
  const removed = areas.cut(va, end);
  if (removed.length === 0) return;
  const gather = new TlbGather();
  for (const area of removed) zapRange(mm, area.start, area.end, gather);
  // Tables that serve no other area go too, back to the neighbours on both sides (Linux `free_pgtables`).
  const index = areas.indexFrom(va);
  const tables = new IommuPagesList(mm.pages);
  const from: number = areas.at(index - 1)?.end ?? 0;
  const to: number = areas.at(index)?.start ?? mm.vaEnd;
  if (mm.tables.detachTables(from, to - 1, tables)) gather.touch(removed[0]!.start, removed.at(-1)!.end);
  gather.finish(mm);
  mm.pages.putPagesList(tables);
  for (const { cache } of removed) cache?.put();
}

/** Does what {@link Mm.mprotect} says. */
export function mprotect(mm: Mm, va: Va, length: number, protection: Protection): void {
  const { areas } = mm;
  const end = va + checkRange(mm, 'mprotect', va, length);
  if (!areas.covers(va, end)) throw new IommuError('ENOMEM', `mprotect of ${span(va, end - va)}: not all is mapped`);
  const first = areas.indexFrom(va);
  for (let i = first; i < areas.count && areas.at(i)!.start < end; i++) {
    const { kind, cache } = areas.at(i)!;
    if (kind === 'guard') throw new IommuError('EINVAL', `mprotect of ${span(va, end - va)}: a guard is in it`);
    if (protection.write && kind === 'shared' && cache!.file.readonly)
      throw new IommuError('EPERM', `mprotect to writable of ${cache!.file.name}, which is read-only`);
  }
  areas.reserve(areas.splitsFor(va, end));
  areas.split(va);
  areas.split(end);
  const gather = new TlbGather();
  for (let i = areas.indexFrom(va); i < areas.count && areas.at(i)!.start < end; i++) {
    const area = areas.at(i)!;
    area.protect(protection);
    protectRange(mm, area, gather);
  }
  areas.merge(va, end);
  gather.finish(mm);
}

/** Does what {@link Mm.msync} says. */
export function msync(mm: Mm, va: Va, length: number): void {
  const { areas } = mm;
  const end = va + checkRange(mm, 'msync', va, length);
  if (!areas.covers(va, end)) throw new IommuError('ENOMEM', `msync of ${span(va, end - va)}: not all is mapped`);
  const batch = new TlbBatch();
  const dirty: Page[] = [];
  for (let i = areas.indexFrom(va); i < areas.count && areas.at(i)!.start < end; i++) {
    const area = areas.at(i)!;
    if (area.kind !== 'shared') continue;
    const from = area.offsetOf(Math.max(va, area.start));
    const to = area.offsetOf(Math.min(end, area.end));
    for (const page of area.cache!.pagesIn(from, to)) if (protectEverywhere(page, batch)) dirty.push(page);
  }
  batch.flush(); // who writes from now on faults, and the page is dirty again
  let refused: IommuError | undefined;
  for (const page of dirty) if (page.dirty) refused = page.cache!.writeBack(page) ?? refused;
  if (refused !== undefined) throw refused;
}

/** Checks a range that a caller names. Returns its length in whole granules. */
function checkRange(mm: Mm, what: string, va: Va, length: number): number {
  const { granuleBytes } = mm.zone;
  if (!isMultiple(va, granuleBytes))
    throw new IommuError('EINVAL', `${what} at ${hex(va)}: must be a multiple of ${granuleBytes}`);
  const bytes = wholeGranules(length, granuleBytes);
  if (va + bytes > mm.vaEnd) throw new IommuError('EINVAL', `${what} of ${span(va, bytes)}: ends at ${hex(mm.vaEnd)}`);
  return bytes;
}

function wholeGranules(bytes: number, granuleBytes: number): number {
  if (!Number.isSafeInteger(bytes) || bytes <= 0)
    throw new IommuError('EINVAL', `${bytes} bytes: must be a positive integer`);
  return Math.ceil(bytes / granuleBytes) * granuleBytes;
}

const isMultiple = (value: number, granuleBytes: number): boolean => value >= 0 && value % granuleBytes === 0;

function chooseAddress(mm: Mm, bytes: number): Va {
  const start = mm.areas.gap(bytes, LOWEST_ADDRESS, mm.vaEnd - STACK_GAP);
  if (start < 0) throw new IommuError('ENOMEM', `no ${hex(bytes)} bytes of address space are free in one piece`);
  return start;
}

function checkAddress(mm: Mm, address: Va, bytes: number): Va {
  if (!isMultiple(address, mm.zone.granuleBytes))
    throw new IommuError('EINVAL', `mmap at ${hex(address)}: must be a multiple of ${mm.zone.granuleBytes}`);
  if (address < LOWEST_ADDRESS)
    throw new IommuError('EPERM', `mmap at ${hex(address)}: nothing may be below ${hex(LOWEST_ADDRESS)}`);
  if (address + bytes > mm.vaEnd)
    throw new IommuError('ENOMEM', `mmap of ${span(address, bytes)}: addresses end at ${hex(mm.vaEnd)}`);
  if (mm.areas.overlaps(address, address + bytes))
    throw new IommuError('EEXIST', `mmap of ${span(address, bytes)}: something is there already`);
  return address;
}
