/**
 * Real Linux guests under QEMU, caught in use: our model takes over their registers and memory, answers every address as
 * QEMU did, records every provoked fault, and goes through the recorded register accesses. See fixtures/README.md.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { DmaRequest, InterruptLine, NO_SUBSTREAM, Scheduler, SystemMemory } from '@smmu/platform';
import { SmmuV3Model } from '@smmu/smmu-v3-model';
import { eventDifferences, eventText } from './compare.ts';
import { loadSegments, type Segment } from './elf.ts';
import { entries } from './ledger/entries.ts';
import { matches } from './ledger.ts';
import { posedFeatures } from './posedFeatures.ts';

/** Results in the form of `--json`. */
export interface CaptureResult {
  readonly name: string;
  /** Translations that QEMU made, and how many our model made alike, both for reads and writes. */
  readonly rows: number;
  readonly matched: number;
  /** Records of provoked faults; `ledger` of them differ as the ledger says. */
  readonly faults: { readonly run: number; readonly matched: number; readonly ledger: number };
  /** Register accesses replayed, and reads that gave the recorded value. */
  readonly mmio: { readonly run: number; readonly reads: number; readonly matched: number };
  /** What did not match, the first few. */
  readonly wrong: readonly string[];
}

interface Row {
  readonly sid: string;
  readonly iova: string;
  readonly pa: string;
  readonly perm: string;
  readonly stage: number;
}
interface Fault {
  readonly desc: string;
  readonly poke?: readonly { readonly pa: string; readonly new: string }[];
  readonly events: readonly { readonly words: readonly string[] }[];
}
interface Access {
  readonly op: 'r' | 'w';
  readonly off: string;
  readonly val: string;
  readonly size: number;
}

const MOST_WRONG = 8;
const RAM = 0x4000_0000;
const REGISTER_BYTES = 0x20000;

/** A file of a capture, compressed or not. */
function file(folder: string, name: string): Buffer {
  const packed = join(folder, `${name}.gz`);
  return existsSync(packed) ? gunzipSync(readFileSync(packed)) : readFileSync(join(folder, name));
}
function lines<T>(folder: string, name: string): T[] {
  return file(folder, name)
    .toString()
    .split('\n')
    .flatMap((line, i) => {
      if (line.trim() === '') return [];
      try {
        return [JSON.parse(line) as T];
      } catch {
        throw new Error(`${join(folder, name)}, line ${i + 1}: not JSON`);
      }
    });
}

/** Captures in a folder: those that have an ELF core. */
export const captureNames = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => existsSync(join(folder, name, 'guest.core.gz')))
    .sort();

export class Capture {
  readonly name: string;
  readonly #folder: string;
  readonly #segments: readonly Segment[];
  readonly #registers: Uint32Array;

  /** @throws Error naming the file, if one is missing or damaged. */
  constructor(folder: string, name: string) {
    this.name = name;
    this.#folder = join(folder, name);
    this.#segments = loadSegments(file(this.#folder, 'guest.core'));
    const bytes = file(this.#folder, 'regs.bin');
    if (bytes.length !== REGISTER_BYTES)
      throw new Error(`${name}/regs.bin: ${bytes.length} bytes, two register pages have ${REGISTER_BYTES}`);
    this.#registers = new Uint32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  }

  /** A board in the state of the capture, or with its registers as after a reset. */
  #board(restored: boolean): { memory: SystemMemory; model: SmmuV3Model; scheduler: Scheduler } {
    const most = this.#segments.reduce((end, { at, bytes }) => Math.max(end, at + bytes.length), RAM + 2 ** 28);
    const memory = new SystemMemory([{ base: RAM, size: Math.ceil((most - RAM) / 2 ** 28) * 2 ** 28 }]);
    for (const { at, bytes } of this.#segments) memory.writeBytes(at, bytes, 0, bytes.length);
    const scheduler = new Scheduler(1);
    const line = (name: string): InterruptLine => new InterruptLine(scheduler, name);
    const interrupts = { eventq: line('eventq'), priq: line('priq'), gerror: line('gerror'), cmdSync: line('sync') };
    const features = posedFeatures([...this.#registers.subarray(0, 8)]);
    const model = new SmmuV3Model({ memory, scheduler, interrupts, features });
    if (restored) model.restore(this.#registers);
    return { memory, model, scheduler };
  }

  run(): CaptureResult {
    const wrong: string[] = [];
    const note = (text: string): void => {
      if (wrong.length < MOST_WRONG) wrong.push(text);
    };
    return { name: this.name, ...this.#truth(note), faults: this.#faults(note), mmio: this.#replay(note), wrong };
  }

  #truth(note: (text: string) => void): { rows: number; matched: number } {
    const { translator } = this.#board(true).model;
    const rows = lines<Row>(this.#folder, 'truth.jsonl');
    let matched = 0;
    for (const row of rows) {
      const iova = BigInt(row.iova);
      const look = (write: number): string =>
        translator.translate(Number(row.sid), NO_SUBSTREAM, Number(iova & 0xffff_ffffn), Number(iova >> 32n), write)
          ? `0x${translator.pa.toString(16)}`
          : 'refused';
      const due = (letter: string): string => (row.perm.includes(letter) ? row.pa : 'refused');
      const [read, write] = [look(0), look(1)];
      // A second look is answered by the cache.
      const right = read === due('r') && write === due('w') && look(0) === read && look(1) === write;
      if (right) matched++;
      else note(`stream ${row.sid}, ${row.iova}: QEMU ${row.perm} ${row.pa}, here read ${read}, write ${write}`);
    }
    return { rows: rows.length, matched };
  }

  #faults(note: (text: string) => void): CaptureResult['faults'] {
    let run = 0;
    let matched = 0;
    let ledger = 0;
    for (const { desc, poke, events } of lines<Fault>(this.#folder, 'faults.jsonl'))
      for (const { words } of events) {
        run++;
        const due = words.flatMap((dword) => [Number(BigInt(dword) & 0xffff_ffffn), Number(BigInt(dword) >> 32n)]);
        const record = this.#provoke(due, poke ?? []);
        const found = eventDifferences(0, record, due);
        const known = found.every(({ kind }) =>
          entries.some((entry) => entry.kinds.some((p) => p !== '*' && matches(p, kind))),
        );
        if (found.length === 0) matched++;
        else if (known) ledger++;
        else note(`${desc}: QEMU recorded ${eventText(due)}, here ${record ? eventText(record) : 'nothing'}`);
      }
    return { run, matched, ledger };
  }

  /** The record that our model writes for the transaction that a record tells of. */
  #provoke(
    due: readonly number[],
    poke: readonly { readonly pa: string; readonly new: string }[],
  ): number[] | undefined {
    const { memory, model, scheduler } = this.#board(true);
    for (const change of poke) {
      const value = BigInt(change.new);
      memory.write64(Number(change.pa), Number(value & 0xffff_ffffn), Number(value >> 32n));
    }
    const carriesAddress = (due[0]! & 0xff) >= 0x0b;
    const request = new DmaRequest(new Uint8Array(4));
    request.streamId = due[1]!;
    request.addressLo = carriesAddress ? (due[4]! & ~3) >>> 0 : 0x1000;
    request.addressHi = carriesAddress ? due[5]! : 0;
    request.write = carriesAddress && (due[3]! & 8) === 0;
    request.length = 4;
    const before = model.window.read32(0x100a8);
    model.submit(request);
    scheduler.run();
    if (model.window.read32(0x100a8) === before) return undefined;
    const log2Size = model.window.read32(0xa0) & 31;
    const base = (model.window.read32(0xa4) & 0xff_ffff) * 2 ** 32 + ((model.window.read32(0xa0) & ~31) >>> 0);
    const at = base + (before & (2 ** log2Size - 1)) * 32;
    return Array.from({ length: 8 }, (_, i) => (memory.read32(at + i * 4) ? memory.lo : 0));
  }

  /** The guest's own register accesses, from its reset to the capture: reads give what they gave, commands all pass. */
  #replay(note: (text: string) => void): CaptureResult['mmio'] {
    const { model, scheduler } = this.#board(false);
    const { window } = model;
    const accesses = lines<Access>(this.#folder, 'mmio.jsonl');
    let reads = 0;
    let matched = 0;
    for (const { op, off, val, size } of accesses) {
      const offset = Number(off);
      const value = BigInt(val);
      const [lo, hi] = [Number(value & 0xffff_ffffn), Number(value >> 32n)];
      if (op === 'w') {
        if (size === 8) window.write64!(offset, lo, hi);
        else window.write32(offset, lo);
        scheduler.run();
        continue;
      }
      reads++;
      const got = window.read32(offset);
      if (got === lo) matched++;
      else note(`read of register ${off}: the guest saw ${val}, here 0x${got.toString(16)}`);
    }
    for (const [name, offset] of [
      ['CMDQ_PROD', 0x98],
      ['CMDQ_CONS', 0x9c],
      ['CR0ACK', 0x24],
      ['GERROR', 0x60],
    ] as const) {
      reads++;
      const [got, due] = [window.read32(offset), this.#registers[offset / 4]!];
      if (got === due) matched++;
      else note(`${name} at the end: 0x${due.toString(16)}, here 0x${got.toString(16)}`);
    }
    return { run: accesses.length, reads, matched };
  }
}
