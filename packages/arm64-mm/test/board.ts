/** What the tests stand on: memory, files, and a device that walks and caches a process's tables as an SMMU does. */
import { IommuPages } from '@smmu/iommu-pages';
import { FrameAllocator, IommuError, Scheduler, SystemMemory, type Trace } from '@smmu/platform';
import type { BackingFile, CpuTlb, MemoryManagerOptions, Mm, MmuNotifier } from '../src/index.ts';
import { MemoryManager } from '../src/index.ts';

export const RAM = 0x4000_0000;
const TABLE_BYTES = 2 ** 22;

export interface BoardOptions {
  granuleShift?: 12 | 14 | 16;
  /** Granules of data memory. */
  dataPages?: number;
  /** Tables come from the same frames as data. */
  oneZone?: boolean;
  reserveFrames?: number;
  vaBits?: number;
  paBits?: number;
  maxAreas?: number;
  cpuTlb?: CpuTlb;
  trace?: (scheduler: Scheduler) => Trace;
}

export class Board {
  readonly memory: SystemMemory;
  readonly scheduler: Scheduler = new Scheduler(1);
  readonly frames: FrameAllocator;
  readonly tableFrames: FrameAllocator;
  readonly pages: IommuPages;
  readonly mmu: MemoryManager;
  readonly granule: number;
  readonly fileErrors: string[] = [];

  constructor(options: BoardOptions = {}) {
    const { granuleShift = 12, reserveFrames = 0, vaBits = 48, paBits = 48, oneZone = false } = options;
    this.granule = 2 ** granuleShift;
    const { dataPages = 64 } = options;
    const dataBytes = Math.ceil((dataPages * this.granule) / 2 ** 21) * 2 ** 21;
    this.memory = new SystemMemory([{ base: RAM, size: dataBytes + TABLE_BYTES }]);
    this.frames = new FrameAllocator(RAM, dataPages * this.granule);
    this.tableFrames = oneZone ? this.frames : new FrameAllocator(RAM + dataBytes, TABLE_BYTES);
    this.pages = new IommuPages({ memory: this.memory, frames: [this.tableFrames] });
    const all: MemoryManagerOptions = {
      ...{ memory: this.memory, frames: this.frames, pages: this.pages, scheduler: this.scheduler },
      ...{ granuleShift, vaBits, paBits, reserveFrames, asidBits: 8, cpus: 2 },
      ...(options.maxAreas === undefined ? {} : { maxAreas: options.maxAreas }),
      ...(options.cpuTlb === undefined ? {} : { cpuTlb: options.cpuTlb }),
      ...(options.trace === undefined ? {} : { trace: options.trace(this.scheduler) }),
      onFileError: (file, error) => this.fileErrors.push(`${file.name}: ${error.code}`),
    };
    this.mmu = new MemoryManager(all);
  }

  /** What is still in use, in frames of 4 KiB. */
  get left(): { data: number; livePages: number; tables: number; processes: number; cached: number } {
    return {
      data: this.frames.totalFrames - this.frames.freeFrames,
      livePages: this.mmu.livePages,
      tables: this.pages.livePages,
      processes: this.mmu.liveProcesses,
      cached: this.mmu.cachedPages,
    };
  }
}

export const NOTHING_LEFT = { data: 0, livePages: 0, tables: 0, processes: 0, cached: 0 };

/** A file in an array, which can refuse. */
export class ArrayFile implements BackingFile {
  readonly name: string;
  readonly readonly: boolean;
  bytes: Uint8Array;
  /** Offsets in the order in which they were read and written. */
  readonly reads: number[] = [];
  readonly writes: number[] = [];
  refuse: ((what: 'read' | 'write', offset: number) => Error | undefined) | undefined;

  constructor(name: string, bytes: Uint8Array, readonly = false) {
    this.name = name;
    this.bytes = bytes;
    this.readonly = readonly;
  }
  get size(): number {
    return this.bytes.length;
  }
  readPage(offset: number, target: Uint8Array): void {
    const error = this.refuse?.('read', offset);
    if (error) throw error;
    this.reads.push(offset);
    target.set(this.bytes.subarray(offset, offset + target.length));
  }
  writePage(offset: number, source: Uint8Array): void {
    const error = this.refuse?.('write', offset);
    if (error) throw error;
    this.writes.push(offset);
    this.bytes.set(source, offset);
  }
}

/** A file whose every byte tells its place. */
export function countingFile(name: string, size: number, readonly = false): ArrayFile {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++) bytes[i] = (i ^ (i >>> 8) ^ (i >>> 16)) & 0xff;
  return new ArrayFile(name, bytes, readonly);
}

export const diskFull = (): IommuError => new IommuError('ENOSPC', 'the disk is full');

/** What a walk of the tables finds: written from the architecture, not from the code under test. */
export interface Translation {
  entry: number;
  pa: number;
  lo: number;
  hi: number;
}

/** Walks a process's tables as hardware does. Returns the level 3 entry if it is valid. */
export function walk(board: Board, mm: Mm, va: number): Translation | undefined {
  const { ttbr, tcr } = mm.stage1;
  const shift = [12, 16, 14][tcr.tg]!; // CD.TG0: 0 4K, 1 64K, 2 16K
  const perLevel = shift - 3;
  const levels = Math.ceil((64 - tcr.tsz - shift) / perLevel);
  let table = ttbr;
  for (let i = levels - 1; ; i--) {
    const index = Math.floor(va / 2 ** (shift + i * perLevel)) % 2 ** perLevel;
    const entry = table + index * 8;
    if (!board.memory.read64(entry)) throw new Error(`no memory at ${entry.toString(16)}`);
    const { lo, hi } = board.memory;
    if ((lo & 3) !== 3) return undefined;
    const pa = (hi & 0xffff) * 2 ** 32 + (lo - (lo % 2 ** shift));
    if (i === 0) return { entry, pa, lo, hi };
    table = pa;
  }
}

const AF = 1 << 10;
const READ_ONLY = 1 << 7;
const DBM = 1 << 19; // of the high word

/**
 * A device with SVA: it caches translations until it is told to forget them, fills its cache early, and asks for pages
 * by faults. It notices a page table that breaks the rules: an entry replaced without going through invalid.
 */
export class Device implements MmuNotifier {
  readonly board: Board;
  readonly mm: Mm;
  readonly tlb: Map<number, Translation> = new Map();
  readonly calls: [start: number, last: number][] = [];
  /** Sets access flags and dirty state itself (HTTU). */
  readonly httu: boolean;
  released = 0;
  faults = 0;
  /** What the hardware does while a CPU waits for its invalidation. */
  meanwhile: ((start: number) => void) | undefined;

  constructor(board: Board, mm: Mm, httu = false) {
    this.board = board;
    this.mm = mm;
    this.httu = httu;
    mm.registerNotifier(this);
  }
  invalidateSecondaryTlbs(_mm: Mm, start: number, last: number): void {
    this.calls.push([start, last]);
    for (const va of this.tlb.keys()) if (va + this.board.granule > start && va <= last) this.tlb.delete(va);
    this.meanwhile?.(start);
  }
  release(): void {
    this.released += 1;
    this.tlb.clear();
  }

  /** Fills the cache if the tables allow, as hardware may at any time. */
  prefetch(va: number): Translation | undefined {
    if (this.released > 0) return undefined;
    const page = va - (va % this.board.granule);
    const found = walk(this.board, this.mm, page);
    if (found === undefined) return undefined;
    if ((found.lo & AF) === 0) {
      if (!this.httu) return undefined;
      found.lo |= AF;
      this.board.memory.compareExchange64(found.entry, this.board.memory.lo, this.board.memory.hi, found.lo, found.hi);
    }
    const old = this.tlb.get(page);
    if (old !== undefined && old.pa !== found.pa)
      throw new Error(`break-before-make: ${page.toString(16)} leads to ${old.pa} and to ${found.pa}`);
    if (old === undefined) this.tlb.set(page, found); // what it has, it keeps
    return this.tlb.get(page);
  }

  /** One DMA inside one page. Returns how the last fault ended, if one refused it. */
  access(va: number, bytes: Uint8Array, write: boolean): string {
    for (let tries = 0; tries < 8; tries++) {
      const page = va - (va % this.board.granule);
      const hit = this.tlb.get(page) ?? this.prefetch(va);
      if (hit !== undefined && write && (hit.lo & READ_ONLY) !== 0 && (hit.hi & DBM) !== 0 && this.httu) {
        const { memory } = this.board;
        memory.read64(hit.entry); // hardware works on the entry in memory
        if ((memory.lo & 1) !== 0 && (memory.hi & DBM) !== 0) {
          const { lo, hi } = memory;
          memory.compareExchange64(hit.entry, lo, hi, lo & ~READ_ONLY, hi);
          hit.lo &= ~READ_ONLY;
        }
      }
      if (hit !== undefined && !(write && (hit.lo & READ_ONLY) !== 0)) {
        const pa = hit.pa + (va - page);
        if (write) this.board.memory.writeBytes(pa, bytes, 0, bytes.length);
        else this.board.memory.readBytes(pa, bytes, 0, bytes.length);
        return 'done';
      }
      this.faults += 1;
      const result = this.mm.handleFault(page, { read: !write, write, exec: false, user: true });
      if (result !== 'done') return result;
    }
    throw new Error(`the device faults for ever at ${va.toString(16)}`);
  }
}

export const RW = { read: true, write: true };
export const RO = { read: true, write: false };
export const READ = { read: true, write: false, exec: false, user: true };
export const WRITE = { read: false, write: true, exec: false, user: true };
export const EXEC = { read: false, write: false, exec: true, user: true };

/** Bytes of a process, as its CPU sees them. */
export function load(mm: Mm, va: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  mm.readBytes(va, bytes);
  return bytes;
}

/** Compares long arrays quickly. */
export const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/** Matches an error by its code, for `toThrow`. */
export const error = (code: string): Error =>
  ({ asymmetricMatch: (thrown: { code?: string }) => thrown.code === code }) as unknown as Error;
