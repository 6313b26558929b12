/** The model takes over the registers and memory of Linux guests under QEMU and answers as QEMU did. See fixtures/README.md. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { DMA_ABORT, DmaRequest, InterruptLine, NO_SUBSTREAM, Scheduler, SystemMemory } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { QEMU, SmmuV3Model } from '../src/index.ts';

interface Fault {
  desc: string;
  poke: { pa: string; old: string; new: string }[];
  events: string[][];
}

const file = (capture: string, name: string): Buffer =>
  readFileSync(new URL(`fixtures/${capture}/${name}`, import.meta.url));
const lines = <T>(capture: string, name: string): T[] =>
  file(capture, name)
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as T);

/** RAM of QEMU's virt board, with the pages of an ELF core in it. */
function memoryOf(capture: string): SystemMemory {
  const memory = new SystemMemory([{ base: 0x4000_0000, size: 0x4000_0000 }]);
  const core = gunzipSync(file(capture, 'guest.core.gz'));
  const headers = Number(core.readBigUInt64LE(32));
  for (let i = 0; i < core.readUInt16LE(56); i++) {
    const at = headers + i * core.readUInt16LE(54);
    if (core.readUInt32LE(at) !== 1) continue; // PT_LOAD
    const offset = Number(core.readBigUInt64LE(at + 8));
    const bytes = Number(core.readBigUInt64LE(at + 32));
    memory.writeBytes(Number(core.readBigUInt64LE(at + 24)), core, offset, bytes);
  }
  return memory;
}

function take(capture: string, stage1: boolean): { memory: SystemMemory; model: SmmuV3Model } {
  const memory = memoryOf(capture);
  const scheduler = new Scheduler(1);
  const line = (name: string): InterruptLine => new InterruptLine(scheduler, name);
  const interrupts = { eventq: line('e'), priq: line('p'), gerror: line('g'), cmdSync: line('s') };
  const features = { ...QEMU, stage1, stage2: true };
  const model = new SmmuV3Model({ memory, scheduler, interrupts, features });
  const registers = gunzipSync(file(capture, 'regs.bin.gz'));
  model.restore(new Uint32Array(registers.buffer.slice(registers.byteOffset, registers.byteOffset + registers.length)));
  return { memory, model };
}

const CAPTURES = [
  { capture: 'linux-6.12-s1', stage1: true },
  { capture: 'linux-6.12-s2', stage1: false },
];

describe.each(CAPTURES)('$capture: a Linux guest under QEMU, caught in use', ({ capture, stage1 }) => {
  it('translates every address as QEMU did', () => {
    const { model } = take(capture, stage1);
    const { translator } = model;
    const rows = lines<{ sid: string; iova: string; pa: string; perm: string }>(capture, 'truth.jsonl');
    expect(rows.length).toBeGreaterThan(200);
    for (const row of rows) {
      const [sid, iova] = [Number(row.sid), Number(row.iova)];
      const look = (access: number): boolean =>
        translator.translate(sid, NO_SUBSTREAM, iova >>> 0, Math.floor(iova / 2 ** 32), access);
      for (let again = 0; again < 2; again++) {
        expect([row, look(0) && translator.pa]).toEqual([row, row.perm.includes('r') && Number(row.pa)]);
        expect([row, look(1) && translator.pa]).toEqual([row, row.perm.includes('w') && Number(row.pa)]);
      }
    }
  });

  it.each(lines<Fault>(capture, 'faults.jsonl').filter(({ events }) => events.length > 0))(
    'records as QEMU did: $desc',
    ({ desc, poke, events }) => {
      for (const words of events) {
        // A fresh model each time: the guest's own invalidations between the faults are not part of the capture.
        const { memory, model } = take(capture, stage1);
        for (const change of poke) {
          const value = BigInt(change.new);
          memory.write64(Number(change.pa), Number(value & 0xffff_ffffn), Number(value >> 32n));
        }
        const expected = words.map((dword) => BigInt(dword));
        const request = new DmaRequest(new Uint8Array(8));
        request.streamId = Number(expected[0]! >> 32n);
        const carriesAddress = (expected[0]! & 0xffn) >= 0xbn;
        request.addressLo = carriesAddress ? Number(expected[2]! & 0xffff_ffffn) : 0x1000;
        request.addressHi = carriesAddress ? Number(expected[2]! >> 32n) : 0;
        request.write = carriesAddress && (expected[1]! & (1n << 35n)) === 0n;
        request.length = 4;
        const place = eventPlace(model);
        expect(model.submit(request)).toBe(DMA_ABORT);
        const record = [0, 8, 16, 24].map((at) => {
          memory.read64(place + at);
          return (BigInt(memory.hi) << 32n) | BigInt(memory.lo);
        });
        expect(record.map((dword) => `0x${dword.toString(16).padStart(16, '0')}`)).toEqual(asArchitecture(desc, words));
      }
    },
  );
});

/** Where QEMU's answer is not the architecture's. */
function asArchitecture(desc: string, words: string[]): string[] {
  const [header, flags, input, other] = words as [string, string, string, string];
  const code = BigInt(header) & 0xffn;
  // §7.3.10: FetchAddr is in dword 3; QEMU puts it in dword 2.
  if (code === 0x09n) return [header, flags, other, input];
  // §5.2: an S2TTB beyond the output size makes the STE illegal; QEMU walks with a part of it.
  if (desc === 'STE.S2TTB bits beyond the output size')
    return [header.replace(/10$/, '04'), ...new Array<string>(3).fill('0x0000000000000000')];
  // §7.3.13: IPA is [55:12]; QEMU records the low bits as well.
  if (code >= 0x10n && (BigInt(flags) & (1n << 39n)) !== 0n)
    return [header, flags, input, other.replace(/...$/, '000')];
  return words;
}

function eventPlace(model: SmmuV3Model): number {
  const base = (model.window.read32(0xa4) & 0xffff) * 2 ** 32 + ((model.window.read32(0xa0) & ~0x1f) >>> 0);
  return base + (model.window.read32(0x100a8) & 0x7fff) * 32;
}

describe('linux-6.12-s1: the registers read back', () => {
  it('has the identification words of QEMU, and the bases and indexes that Linux wrote', () => {
    const { window } = take('linux-6.12-s1', true).model;
    const read = [
      0x0, 0x4, 0xc, 0x14, 0x1c, 0x20, 0x24, 0x28, 0x88, 0x80, 0x84, 0x90, 0x94, 0x98, 0x9c, 0x100a8, 0x100ac,
    ];
    expect(read.map((offset) => window.read32(offset))).toEqual([
      0x0d44101b, 0x02730010, 0x1414, 0x74, 0x1, 0xd, 0xd, 0xd75, 0x10210, 0x48296000, 0x40000000, 0x7ab00010,
      0x40000000, 0x4622, 0x4622, 0x18, 0x18,
    ]);
  });
});
