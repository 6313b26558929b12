import { type ArmPageTable, allocPgtable, PROT } from '@smmu/io-pgtable-arm';
import { IommuPages } from '@smmu/iommu-pages';
import { FrameAllocator, InterruptLine, type Pa, Registers, Scheduler, SystemMemory } from '@smmu/platform';
import { SmmuV3Model } from '@smmu/smmu-v3-model';
import { CD, CMDQ_BASE, CR0, EVENTQ_BASE, STE, STRTAB_BASE, STRTAB_BASE_CFG } from '@smmu/spec';

const BASE = 2 ** 30;
const SMMU = 0x0905_0000;
const TABLES = 2 ** 28; // RAM for tables
const PAGE = 4096;
const RW = PROT.READ | PROT.WRITE | PROT.CACHE;
const STREAMS_LOG2 = 4;
const CMDQ_LOG2 = 12;
const EVTQ_LOG2 = 7;
export const STREAM = 1;

/**
 * An SMMU with one stream, configured by hand: what the model alone costs, without a driver.
 * `sparse` spreads RAM over more than a flat array holds.
 */
export class SmmuRig {
  readonly scheduler: Scheduler = new Scheduler(1);
  readonly memory: SystemMemory;
  readonly model: SmmuV3Model;
  readonly registers: Registers;
  readonly commandQueue: Pa;
  readonly commandQueueEntries: number = 2 ** CMDQ_LOG2;
  readonly #pages: IommuPages;

  constructor({ sparse = false, nested = false, mapped }: { sparse?: boolean; nested?: boolean; mapped: number }) {
    this.memory = new SystemMemory([{ base: BASE, size: sparse ? 2 ** 35 : 2 ** 29 }]);
    this.#pages = new IommuPages({ memory: this.memory, frames: [new FrameAllocator(BASE, TABLES)] });
    const line = (name: string) => new InterruptLine(this.scheduler, name);
    const interrupts = { eventq: line('eventq'), priq: line('priq'), gerror: line('gerror'), cmdSync: line('sync') };
    this.model = new SmmuV3Model({ memory: this.memory, scheduler: this.scheduler, interrupts });
    this.memory.addWindow(SMMU, this.model.window);
    this.registers = new Registers(this.memory, SMMU);
    const strtab = this.#pages.allocPages(64 << STREAMS_LOG2);
    this.commandQueue = this.#pages.allocPages(16 << CMDQ_LOG2);
    const eventQueue = this.#pages.allocPages(32 << EVTQ_LOG2);
    this.#writeEntry(strtab + STREAM * 64, this.#map(1, mapped, 0, RW), nested ? this.#stage2(mapped) : undefined);
    this.#write64(STRTAB_BASE.offset, strtab);
    this.registers.write32(STRTAB_BASE_CFG.offset, STREAMS_LOG2);
    this.#write64(CMDQ_BASE.offset, queueBase(this.commandQueue, CMDQ_LOG2));
    this.#write64(EVENTQ_BASE.offset, queueBase(eventQueue, EVTQ_LOG2));
    const { SMMUEN, CMDQEN, EVENTQEN } = CR0.fields;
    this.registers.write32(CR0.offset, SMMUEN.mask | CMDQEN.mask | EVENTQEN.mask);
    this.scheduler.run();
  }

  /** A table of 4 levels with `count` pages from `iova` on, which lead past RAM: data is not moved. */
  #map(stage: 1 | 2, count: number, iova: number, prot: number): ArmPageTable {
    const table = allocPgtable({ pages: this.#pages, stage, granuleShift: 12, iasBits: 48, oasBits: 48 });
    for (let i = 0; i < count; i += 512) {
      const at = iova + i * PAGE;
      table.mapPages(at, iova === 0 ? TARGET + at : at, PAGE, Math.min(512, count - i), prot);
    }
    return table;
  }

  /** The same addresses again, for the stage 1 tables and for where they lead. */
  #stage2(mapped: number): ArmPageTable {
    const table = this.#map(2, TABLES / PAGE, BASE, RW);
    for (let i = 0; i < mapped; i += 512) table.mapPages(TARGET + i * PAGE, TARGET + i * PAGE, PAGE, 512, RW);
    return table;
  }

  #writeEntry(ste: Pa, { stage1 }: ArmPageTable, outer: ArmPageTable | undefined): void {
    const cd = this.#pages.allocPages(64);
    let at = this.memory.at(cd);
    let { words } = this.memory;
    CD.T0SZ.set(words, at, stage1.tcr.tsz);
    CD.TG0.set(words, at, stage1.tcr.tg);
    CD.IPS.set(words, at, stage1.tcr.ips);
    CD.EPD1.set(words, at, true);
    CD.AA64.set(words, at, true);
    CD.A.set(words, at, true);
    CD.R.set(words, at, true);
    CD.ASID.set(words, at, 1);
    CD.TTB0.set(words, at, stage1.ttbr);
    CD.MAIR0.set(words, at, stage1.mairLo);
    CD.MAIR1.set(words, at, stage1.mairHi);
    CD.V.set(words, at, true);
    at = this.memory.at(ste);
    ({ words } = this.memory);
    STE.S1ContextPtr.set(words, at, cd);
    STE.Config.set(words, at, outer ? 7 : 5);
    if (outer) {
      const { vttbr, vtcr } = outer.stage2;
      STE.S2T0SZ.set(words, at, vtcr.tsz);
      STE.S2SL0.set(words, at, vtcr.sl);
      STE.S2TG.set(words, at, vtcr.tg);
      STE.S2PS.set(words, at, vtcr.ps);
      STE.S2AA64.set(words, at, true);
      STE.S2R.set(words, at, true);
      STE.S2TTB.set(words, at, vttbr);
    }
    STE.V.set(words, at, true);
  }

  #write64(offset: number, value: number): void {
    this.registers.write64(offset, value >>> 0, Math.floor(value / 2 ** 32));
  }
}

/** Where stage 1 leads. */
const TARGET = 2 ** 36;

const queueBase = (pa: Pa, log2: number): number => pa + log2;
