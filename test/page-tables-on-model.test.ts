/**
 * Every kind of page table, walked by the SMMU model: two readings of one format, which share the descriptor table of
 * @smmu/spec and nothing else. Configuration goes into the STE and CD as the table itself says.
 */
import { type ArmPageTable, allocPgtable, type PgtableOptions, PROT } from '@smmu/io-pgtable-arm';
import { IommuPages } from '@smmu/iommu-pages';
import {
  FrameAllocator,
  InterruptLine,
  NO_SUBSTREAM,
  Random,
  Registers,
  Scheduler,
  SystemMemory,
} from '@smmu/platform';
import { ACCESS_EXECUTE, ACCESS_PRIVILEGED, ACCESS_WRITE, LARGE, SmmuV3Model } from '@smmu/smmu-v3-model';
import { CD, CR0, CR2, STE, STRTAB_BASE, STRTAB_BASE_CFG } from '@smmu/spec';
import { describe, expect, it } from 'vitest';

const RAM = 0x4000_0000;
const SMMU = 0x905_0000;
const SID = 1;

/** An SMMU that translates stream 1 by `table`. */
function smmuFor(table: ArmPageTable, memory: SystemMemory, pages: IommuPages, stage: 1 | 2): SmmuV3Model {
  const scheduler = new Scheduler(1);
  const line = (name: string): InterruptLine => new InterruptLine(scheduler, name);
  const interrupts = { eventq: line('e'), priq: line('p'), gerror: line('g'), cmdSync: line('s') };
  const model = new SmmuV3Model({ memory, scheduler, interrupts, features: LARGE });
  memory.addWindow(SMMU, model.window);
  const strtab = pages.allocPages(128);
  const cd = pages.allocPages(64);
  const ste = new Uint32Array(16);
  STE.V.set(ste, 0, true);
  if (stage === 1) {
    const { ttbr, tcr, mairLo, mairHi, upper } = table.stage1;
    const words = new Uint32Array(16);
    CD.V.set(words, 0, true);
    CD.AA64.set(words, 0, true);
    CD.IPS.set(words, 0, tcr.ips);
    CD.A.set(words, 0, true);
    CD.R.set(words, 0, true);
    CD.DS.set(words, 0, tcr.ds);
    CD.MAIR0.set(words, 0, mairLo);
    CD.MAIR1.set(words, 0, mairHi);
    CD[upper ? 'T1SZ' : 'T0SZ'].set(words, 0, tcr.tsz);
    CD[upper ? 'TG1' : 'TG0'].set(words, 0, tcr.tg);
    CD[upper ? 'TTB1' : 'TTB0'].set(words, 0, ttbr);
    CD[upper ? 'EPD0' : 'EPD1'].set(words, 0, true);
    write(memory, cd, words);
    STE.Config.set(ste, 0, 5);
    STE.S1ContextPtr.set(ste, 0, cd);
  } else {
    const { vttbr, vtcr } = table.stage2;
    STE.Config.set(ste, 0, 6);
    STE.S2T0SZ.set(ste, 0, vtcr.tsz);
    STE.S2SL0.set(ste, 0, vtcr.sl);
    STE.S2SL0_2.set(ste, 0, vtcr.sl2);
    STE.S2DS.set(ste, 0, vtcr.ds);
    STE.S2TG.set(ste, 0, vtcr.tg);
    STE.S2PS.set(ste, 0, vtcr.ps);
    STE.S2AA64.set(ste, 0, true);
    STE.S2R.set(ste, 0, true);
    STE.S2TTB.set(ste, 0, vttbr);
  }
  write(memory, strtab + 64, ste);
  const registers = new Registers(memory, SMMU);
  registers.write64(STRTAB_BASE.offset, strtab % 2 ** 32, Math.floor(strtab / 2 ** 32));
  registers.write32(STRTAB_BASE_CFG.offset, 1); // two entries, linear
  registers.write32(CR2.offset, 0);
  registers.write32(CR0.offset, CR0.fields.SMMUEN.mask);
  scheduler.run();
  return model;
}

function write(memory: SystemMemory, pa: number, words: Uint32Array): void {
  for (const [i, word] of words.entries()) memory.write32(pa + i * 4, word);
}

type Shape = Pick<PgtableOptions, 'stage' | 'granuleShift' | 'iasBits' | 'oasBits'> & Partial<PgtableOptions>;

const shapes: Shape[] = [12, 14, 16].flatMap((shift) => {
  const granuleShift = shift as 12 | 14 | 16;
  return [
    ...[32, 36, 39, 42, 47, 48].flatMap((iasBits) => [
      { stage: 1 as const, granuleShift, iasBits, oasBits: 48 },
      { stage: 1 as const, granuleShift, iasBits, oasBits: 48, quirks: { ttbr1: true } },
      { stage: 2 as const, granuleShift, iasBits, oasBits: 48 },
      { stage: 2 as const, granuleShift, iasBits, oasBits: 48, concatenate: true },
    ]),
    ...[40, 42].map((bits) => ({ stage: 2 as const, granuleShift, iasBits: bits, oasBits: bits })),
    ...[48, 50, 52].flatMap((iasBits) => [
      { stage: 1 as const, granuleShift, iasBits, oasBits: 52 },
      { stage: 1 as const, granuleShift, iasBits, oasBits: 52, quirks: { ttbr1: true } },
      { stage: 2 as const, granuleShift, iasBits, oasBits: 52 },
      { stage: 2 as const, granuleShift, iasBits, oasBits: 52, concatenate: true },
    ]),
  ];
});

describe('the model finds in a table what was put there', () => {
  it.each(shapes)(
    'stage $stage, 2^$granuleShift bytes, $iasBits to $oasBits bits, $quirks, joined $concatenate',
    (shape) => {
      const memory = new SystemMemory([{ base: RAM, size: 2 ** 25 }]);
      const pages = new IommuPages({ memory, frames: [new FrameAllocator(RAM, 2 ** 25)] });
      const table = allocPgtable({ ...shape, pages, contiguous: true, partialUnmap: 'split' });
      const upper = shape.quirks?.ttbr1 === true;
      const base = upper ? 2 ** 64 - 2 ** shape.iasBits : 0;
      const random = new Random(shape.iasBits * 3 + shape.granuleShift);
      const mapped: { va: number; pa: number; bytes: number; prot: number }[] = [];
      for (let i = 0; i < 60; i++) {
        const bytes = table.pageSizes[random.below(table.pageSizes.length)]!;
        const count = random.below(3) === 0 ? 40 : 1;
        const places = 2 ** shape.iasBits / bytes;
        const va = Math.floor((random.next() / 2 ** 32) * places) * bytes;
        const pa = Math.floor((random.next() / 2 ** 32) * (2 ** shape.oasBits / bytes)) * bytes;
        const prot = (random.below(64) & ~3) | (random.below(3) + 1);
        if (va + bytes * count > 2 ** shape.iasBits || pa + bytes * count > 2 ** shape.oasBits) continue;
        try {
          table.mapPages(base + va, pa, bytes, count, prot);
        } catch {
          continue; // something is there already
        }
        mapped.push({ va, pa, bytes: bytes * count, prot });
      }
      const [page] = table.pageSizes as [number];
      const half = mapped.pop()!; // and one goes again in part
      const kept = Math.floor(half.bytes / page / 2) * page;
      expect(table.unmap(base + half.va + kept, half.bytes - kept)).toBe(half.bytes - kept);

      const { translator } = smmuFor(table, memory, pages, shape.stage);
      const look = (va: number, access: number): number => {
        const high = upper ? Math.floor((va - 2 ** shape.iasBits) / 2 ** 32) >>> 0 : Math.floor(va / 2 ** 32);
        return translator.translate(SID, NO_SUBSTREAM, va >>> 0, high, access) ? translator.pa : -1;
      };
      expect(mapped.length).toBeGreaterThan(20);
      for (const { va, pa, bytes, prot } of mapped)
        for (const offset of [0, 42, bytes - 8, Math.floor(((random.next() / 2 ** 32) * bytes) / 8) * 8]) {
          const write = (prot & PROT.WRITE) !== 0;
          const read = shape.stage === 1 || (prot & PROT.READ) !== 0;
          const onlyPrivileged = shape.stage === 1 && (prot & PROT.PRIV) !== 0;
          const found = pa + offset;
          expect(look(va + offset, ACCESS_PRIVILEGED)).toBe(read ? found : -1);
          expect(look(va + offset, 0)).toBe(read && !onlyPrivileged ? found : -1);
          expect(look(va + offset, ACCESS_WRITE)).toBe(write && !onlyPrivileged ? found : -1);
          // What unprivileged software may write is never privileged code (D8.4).
          if ((prot & PROT.NOEXEC) !== 0) expect(look(va + offset, ACCESS_EXECUTE)).toBe(-1);
          else if (!onlyPrivileged && read) expect(look(va + offset, ACCESS_EXECUTE)).toBe(found);
        }
      expect(look(half.va + half.bytes - 8, 0)).toBe(-1);
      if (kept > 0 && (half.prot & PROT.READ) !== 0)
        expect(look(half.va + kept - 8, ACCESS_PRIVILEGED)).toBe(half.pa + kept - 8);
      for (let i = 0; i < 200; i++) {
        const va = Math.floor((random.next() / 2 ** 32) * (2 ** shape.iasBits / page)) * page;
        const inside = [...mapped, { ...half, bytes: kept }].some((one) => va >= one.va && va < one.va + one.bytes);
        if (!inside) expect(look(va, ACCESS_PRIVILEGED)).toBe(-1);
      }
    },
  );
});
