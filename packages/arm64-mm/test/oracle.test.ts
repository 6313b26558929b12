/** Random histories of processes, devices and reclaim, against plain arrays of bytes. */
import { Random } from '@smmu/platform';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AccessError, type AreaKind, type Mm } from '../src/index.ts';
import { type ArrayFile, Board, countingFile, Device, NOTHING_LEFT, same } from './board.ts';

const SLOTS = 20; // pages of address space that the histories play in
const FILE_PAGES = 10;
const BASE = 2 ** 40;

/** What one page of a process is, in the simplest terms. */
interface Slot {
  kind: AreaKind;
  readable: boolean;
  write: boolean;
  file: number;
  filePage: number;
  /** Of a private or anonymous page that was written. */
  own: Uint8Array | undefined;
}

interface Process {
  mm: Mm;
  device: Device;
  slots: (Slot | undefined)[];
}

const KINDS: AreaKind[] = ['anonymous', 'private', 'shared', 'guard'];
const OPS = ['mmap', 'mmap', 'munmap', 'mprotect', 'msync', 'fork', 'exit', 'reclaim', 'reclaimRandom'] as const;
const step = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constantFrom(...OPS),
      who: fc.nat(3),
      at: fc.nat(SLOTS - 1),
      pages: fc.integer({ min: 1, max: 9 }),
      x: fc.nat(255),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      op: fc.constantFrom('load', 'store', 'deviceRead', 'deviceWrite', 'deviceWrite', 'prefetch'),
      who: fc.nat(3),
      at: fc.nat(SLOTS - 1),
      pages: fc.nat(2),
      x: fc.nat(255),
    }),
  },
);

class World {
  readonly board: Board;
  readonly page: number;
  readonly files: ArrayFile[];
  /** What shared mappings see; the files themselves may lag behind. */
  readonly contents: Uint8Array[];
  readonly processes: Process[] = [];
  readonly random: Random = new Random(1);
  readonly httu: boolean;
  names = 0;

  constructor(granuleShift: 12 | 14 | 16, dataPages: number, httu: boolean) {
    this.board = new Board({ granuleShift, dataPages });
    this.page = this.board.granule;
    this.httu = httu;
    // The second file ends inside a page, so that its last page has a tail that is not in the file.
    this.files = [FILE_PAGES * this.page, (FILE_PAGES - 3) * this.page + 100].map((size, i) =>
      countingFile(`${i}`, size),
    );
    this.contents = this.files.map(({ bytes }) => {
      const whole = new Uint8Array(Math.ceil(bytes.length / this.page) * this.page);
      whole.set(bytes);
      return whole;
    });
    this.start(this.board.mmu.createProcess('p'), new Array(SLOTS).fill(undefined));
    // Something to begin with: shared and private pages of a file, anonymous ones.
    this.run({ op: 'mmap', who: 0, at: 0, pages: 6, x: 2 });
    this.run({ op: 'mmap', who: 0, at: 8, pages: 3, x: 1 });
    this.run({ op: 'mmap', who: 0, at: 13, pages: 4, x: 0 });
  }

  start(mm: Mm, slots: (Slot | undefined)[]): void {
    const device = new Device(this.board, mm, this.httu);
    device.meanwhile = (va) => device.prefetch(va);
    this.processes.push({ mm, device, slots });
  }

  /** The bytes of a page, as they must be. */
  view(slot: Slot): Uint8Array {
    if (slot.own !== undefined) return slot.own;
    if (slot.kind === 'anonymous') return new Uint8Array(this.page);
    return this.contents[slot.file]!.subarray(slot.filePage * this.page, (slot.filePage + 1) * this.page);
  }

  /** What an access to a page must end in. */
  verdict(slot: Slot | undefined, write: boolean): string {
    if (slot === undefined || slot.kind === 'guard') return 'badAddress';
    if (!slot.readable || (write && !slot.write)) return 'badAccess';
    const ofFile = slot.kind === 'private' || slot.kind === 'shared';
    if (ofFile && slot.own === undefined && slot.filePage * this.page >= this.files[slot.file]!.size) return 'busError';
    return 'done';
  }

  /** Notes what a successful store did. */
  store(slot: Slot, at: number, bytes: Uint8Array): void {
    if (slot.kind !== 'shared') slot.own ??= this.view(slot).slice();
    this.view(slot).set(bytes, at);
  }

  /** One access inside one page, by CPU or device. */
  access(process: Process, at: number, offset: number, length: number, write: boolean, dma: boolean): void {
    const { mm, device, slots } = process;
    const slot = slots[at];
    if (write && slot?.kind === 'shared') {
      // What is written behind the end of a file stays only as long as the page does: nobody may count on it.
      const valid = this.files[slot.file]!.size - slot.filePage * this.page;
      if (valid > 0 && offset + length > valid) {
        offset %= valid;
        length = Math.min(length, valid - offset);
      }
    }
    const va = BASE + at * this.page + offset;
    const bytes = new Uint8Array(length);
    if (write) for (let i = 0; i < length; i++) bytes[i] = this.random.below(256);
    let result = 'done';
    if (dma) result = device.access(va, bytes, write);
    else
      try {
        if (write) mm.writeBytes(va, bytes);
        else mm.readBytes(va, bytes);
      } catch (error) {
        if (!(error instanceof AccessError)) throw error;
        result = error.result;
      }
    if (result === 'outOfMemory') {
      // Only if nothing was left to take: what may be cached still is the page that was being copied.
      expect(this.board.mmu.cachedPages).toBeLessThanOrEqual(1);
      expect(this.verdict(slot, write)).toBe('done');
      return;
    }
    expect(result).toBe(this.verdict(slot, write));
    if (result !== 'done') return;
    if (write) this.store(slot!, offset, bytes);
    else expect(same(bytes, this.view(slot!).subarray(offset, offset + length))).toBe(true);
  }

  end(process: Process): void {
    process.mm.exit();
    expect(process.device.released).toBe(1);
    this.processes.splice(this.processes.indexOf(process), 1);
  }

  run({ op, who, at, pages, x }: { op: string; who: number; at: number; pages: number; x: number }): void {
    const process = this.processes[who % this.processes.length]!;
    const { mm, device, slots } = process;
    const { page, board } = this;
    const va = BASE + at * page;
    const end = Math.min(SLOTS, at + (op === 'mprotect' ? 1 + (pages & 1) : pages));
    const inside = slots.slice(at, end);
    const bytes = (end - at) * page;
    const readable = (x & 12) !== 12;
    const write = readable && (x & 4) === 0;
    if (op === 'mmap') {
      const kind = KINDS[x & 3]!;
      const ofFile = kind === 'private' || kind === 'shared';
      const file = (x >>> 4) & 1;
      const filePage = (x >>> 5) & 7;
      const options = {
        ...{ address: va, bytes, kind, read: readable, write },
        ...(ofFile && { file: this.files[file]!, fileOffset: filePage * page }),
      };
      if (inside.some(Boolean)) expect(() => mm.mmap(options)).toThrow(expect.objectContaining({ code: 'EEXIST' }));
      else {
        expect(mm.mmap(options)).toBe(va);
        for (let i = at; i < end; i++)
          slots[i] = { kind, readable, write, file, filePage: filePage + i - at, own: undefined };
      }
    } else if (op === 'munmap') {
      mm.munmap(va, bytes);
      slots.fill(undefined, at, end);
    } else if (op === 'mprotect') {
      const refused = inside.some((slot) => slot === undefined || slot.kind === 'guard');
      if (refused) expect(() => mm.mprotect(va, bytes, { read: readable, write })).toThrow();
      else {
        mm.mprotect(va, bytes, { read: readable, write });
        for (const slot of inside) Object.assign(slot!, { readable, write });
      }
    } else if (op === 'msync') {
      if (inside.some((slot) => slot === undefined)) expect(() => mm.msync(va, bytes)).toThrow();
      else {
        mm.msync(va, bytes);
        for (const slot of inside)
          if (slot!.kind === 'shared') {
            const onDisk = this.files[slot!.file]!.bytes.subarray(slot!.filePage * page, (slot!.filePage + 1) * page);
            expect(same(onDisk, this.view(slot!).subarray(0, onDisk.length))).toBe(true);
          }
      }
    } else if (op === 'fork') {
      if (this.processes.length < 4)
        this.start(
          mm.fork(`child ${this.names++}`),
          slots.map((slot) => slot && { ...slot, own: slot.own?.slice() }),
        );
    } else if (op === 'exit') {
      if (this.processes.length > 1) this.end(process);
    } else if (op === 'reclaim') {
      const before = board.mmu.livePages;
      expect(board.mmu.livePages).toBe(before);
      const freed = board.mmu.reclaim(x & 15);
      expect(board.mmu.livePages).toBe(before - freed);
    } else if (op === 'reclaimRandom') {
      const wanted = Math.min(x & 15, board.mmu.cachedPages);
      expect(board.mmu.reclaimRandom(x & 15, this.random)).toBe(wanted);
    } else if (op === 'prefetch') device.prefetch(va);
    else {
      const offset = x * (page / 256) + (x % 16);
      const length = Math.min(page - offset, 1 + x * 3);
      this.access(process, at, offset, length, op === 'store' || op === 'deviceWrite', op.startsWith('device'));
    }
  }

  /** Everybody ends; then nothing is in use, and the files hold what shared mappings showed. */
  finish(): void {
    for (const process of [...this.processes]) {
      for (let at = 0; at < SLOTS; at++)
        for (const dma of [false, true]) this.access(process, at, 0, this.page, false, dma);
      this.end(process);
    }
    expect(this.board.left).toEqual(NOTHING_LEFT);
    for (const [i, { bytes }] of this.files.entries())
      expect(same(bytes, this.contents[i]!.subarray(0, bytes.length))).toBe(true);
    expect(this.board.mmu.counters).toMatchObject({ pagesLost: 0, writeErrors: 0 });
  }
}

describe.each([
  { granuleShift: 12, dataPages: 200, httu: false, numRuns: 25, memory: 'plenty of memory' },
  { granuleShift: 12, dataPages: 14, httu: false, numRuns: 20, memory: 'little memory' },
  { granuleShift: 12, dataPages: 14, httu: true, numRuns: 40, memory: 'little memory and hardware flags' },
  { granuleShift: 14, dataPages: 14, httu: false, numRuns: 20, memory: 'little memory' },
  { granuleShift: 16, dataPages: 14, httu: true, numRuns: 12, memory: 'little memory and hardware flags' },
] as const)('granule 2^$granuleShift, $memory', ({ granuleShift, dataPages, httu, numRuns }) => {
  it('every byte that a CPU or a device sees is the one that was written last, and nothing leaks', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 300, size: 'max' }), (steps) => {
        const world = new World(granuleShift, dataPages, httu);
        for (const one of steps) world.run(one);
        world.finish();
      }),
      { numRuns },
    );
  });
});

describe('hardware that looks after every store', () => {
  it.each([false, true])(
    'never sees one address lead to two pages, nor a page that is gone (hardware flags: %s)',
    (httu) => {
      fc.assert(
        fc.property(fc.array(step, { minLength: 1, maxLength: 200, size: 'max' }), fc.nat(2 ** 30), (steps, seed) => {
          const world = new World(12, 14, httu);
          const look = new Random(seed);
          const { memory } = world.board;
          const observer = () => {
            const { lo, hi } = memory; // belongs to whom the hardware interrupts
            memory.observer = null;
            const { device } = world.processes[look.below(world.processes.length)]!;
            for (let i = 0; i < 3; i++) device.prefetch(BASE + look.below(SLOTS) * world.page);
            memory.observer = observer;
            memory.lo = lo;
            memory.hi = hi;
          };
          for (const one of steps) {
            memory.observer = observer;
            world.run(one);
            memory.observer = null;
          }
          world.finish();
        }),
        { numRuns: 30 },
      );
    },
  );
});
