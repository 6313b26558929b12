/**
 * Takes a capture of a QEMU's SMMU in use, in the layout of fixtures/: a board with several streams and hundreds of pages
 * is programmed, devices go over every page and into some holes, and what QEMU did is written down.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { writeCore } from './elf.ts';
import { imagePages, softwarePages } from './pages.ts';
import { offers, posedFeatures } from './posedFeatures.ts';
import { type FoundQemu, shapesOf } from './qemu/find.ts';
import { QemuTarget } from './qemu/target.ts';
import type { Scenario } from './scenario.ts';
import { BLOCK, CMD, S1_RO, S1_RW, S2_RO, S2_RW } from './scene/bits.ts';
import { DATA, patternOf, Scene, type Tree } from './scene/scene.ts';

const PAGES = 24;
const SIDS = [0x08, 0x10, 0x20, 0x100];

interface Mapping {
  readonly sid: number;
  readonly iova: bigint;
  readonly pa: number;
  readonly writable: boolean;
  readonly bytes: number;
}

/** The board that is captured: streams with tables of their own, pages apart in memory, some read-only, some blocks. */
function board(stage: 1 | 2): { scenario: Scenario; mappings: Mapping[] } {
  const s = new Scene(`capture/stage${stage}`, 'A board in use', '');
  const mappings: Mapping[] = [];
  for (const [n, sid] of SIDS.entries()) {
    const tree: Tree = stage === 1 ? s.stage1(sid, { asid: n + 1 }) : s.stage2(sid, { inputBits: 39, vmid: n + 1 });
    const base = 0x10_0000_0000n + BigInt(n) * 0x4000_0000n;
    for (let i = 0; i < PAGES; i++) {
      const iova = base + BigInt(i * 4096);
      const pa = DATA + ((i * 37 + n * 11) % 256) * 4096 + n * 0x10_0000;
      const writable = i % 5 !== 0;
      if (stage === 1) s.page(tree, iova, pa, writable ? S1_RW : S1_RO);
      else s.page2(tree, iova, pa, writable ? S2_RW : S2_RO);
      mappings.push({ sid, iova, pa, writable, bytes: 4096 });
    }
    const block = base + 0x2000_0000n;
    s.map(tree, block, 0x4a00_0000n | BLOCK | (stage === 1 ? S1_RW : S2_RW), 2);
    mappings.push({ sid, iova: block, pa: 0x4a00_0000, writable: true, bytes: 0x20_0000 });
  }
  s.on().commands(CMD.cfgiAll(), CMD.nsnhAll());
  for (const { sid, iova, pa } of mappings) s.reads(sid, iova, pa);
  // Only what the read-only pages refuse at the first touch is recorded by every release.
  for (const sid of SIDS) s.access(sid, 0x7f_0000_0000n + BigInt(sid) * 4096n, false);
  s.commands(CMD.sync());
  return { scenario: s.build(false), mappings };
}

/**
 * Writes a capture to a folder.
 * @returns Lines for people: what was taken.
 * @throws Error if QEMU cannot be started.
 */
export async function takeCapture(qemu: FoundQemu, folder: string): Promise<string[]> {
  const said: string[] = [];
  for (const shape of shapesOf(qemu.version).filter((one) => one !== 'nested')) {
    const stage = shape === 'stage2' ? 2 : 1;
    const target = await QemuTarget.start(qemu.binary, shape);
    try {
      const { scenario, mappings } = board(stage);
      if (!offers(posedFeatures(target.id), scenario.needs)) continue;
      let registers = new Uint32Array(0);
      const outcome = target.run(scenario, () => {
        registers = target.registers() as Uint32Array<ArrayBuffer>;
      });
      const name = `qemu-${qemu.version}-s${stage}`;
      const path = join(folder, name);
      mkdirSync(path, { recursive: true });
      const pages = softwarePages(scenario, imagePages(scenario));
      const segments = [...pages]
        .sort((a, b) => a[0] - b[0])
        .map(([number, page]) => ({ at: number * 4096, bytes: new Uint8Array(page.buffer) }));
      writeFileSync(join(path, 'guest.core.gz'), gzipSync(writeCore(segments)));
      writeFileSync(join(path, 'regs.bin.gz'), gzipSync(new Uint8Array(registers.buffer)));
      const rows = mappings.flatMap(({ sid, iova, pa, writable, bytes }, i) =>
        outcome.dma[i]!.data === patternOf(pa)
          ? [
              {
                sid: hex(sid),
                iova: hex(iova),
                pa: hex(pa),
                perm: writable ? 'rw' : 'r',
                page: bytes,
                stage,
                uses: 1,
                status: 'live',
              },
            ]
          : [],
      );
      writeFileSync(join(path, 'truth.jsonl.gz'), gzipSync(jsonLines(rows)));
      const faults = outcome.dma.flatMap(({ events }) =>
        events.map((words) => ({
          desc: 'DMA to a page that is not mapped',
          how: 'genuine',
          events: [{ words: dwords(words) }],
        })),
      );
      writeFileSync(join(path, 'faults.jsonl'), jsonLines(faults));
      writeFileSync(join(path, 'mmio.jsonl.gz'), gzipSync(jsonLines(accesses(scenario))));
      said.push(`${path}: ${rows.length} translations, ${faults.length} faults, ${segments.length} pages`);
    } finally {
      target.close();
    }
  }
  return said;
}

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;
const jsonLines = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
const dwords = (words: readonly number[]): string[] =>
  [0, 2, 4, 6].map((i) => `0x${((BigInt(words[i + 1]!) << 32n) | BigInt(words[i]!)).toString(16).padStart(16, '0')}`);

/** Register writes of a scenario in order. */
const accesses = (scenario: Scenario): object[] =>
  scenario.steps.flatMap((step, line) => {
    if (step.do === 'write') return [{ line, op: 'w', off: hex(step.offset), val: hex(step.value), size: 4 }];
    if (step.do !== 'write64') return [];
    return [{ line, op: 'w', off: hex(step.offset), val: hex((BigInt(step.hi) << 32n) | BigInt(step.lo)), size: 8 }];
  });
