/** Scenarios on QEMU's SMMU. State is taken back by programming, not by starting QEMU anew. */
import { readSync, writeSync } from 'node:fs';
import { changedWords, imagePages, type Pages, recordsBetween, softwarePages } from '../pages.ts';
import type { IdWords } from '../posedFeatures.ts';
import {
  type DmaOutcome,
  FINAL_REGISTERS,
  type FinalRegister,
  type Outcome,
  RAM_BASE,
  type Scenario,
  settled,
} from '../scenario.ts';
import type { Target } from '../target.ts';
import { bringUp, countLine, deviceArguments, dmaLines, dumpLines, runDma, SCRATCH, SMMU_BASE } from './board.ts';
import { numberOf, QemuEnded, Qtest } from './qtest.ts';

const hex = (value: number): string => `0x${value.toString(16)}`;
const register = (offset: number): string => hex(SMMU_BASE + offset);
const write = (offset: number, value: number): string => `writel ${register(offset)} ${hex(value)}`;
const read = (offset: number): string => `readl ${register(offset)}`;

/** A command queue of our own, with what takes everything out of the caches: CFGI_ALL, TLBI_NSNH_ALL, SYNC; then one illegal command. */
const FLUSH_QUEUE = SCRATCH - 4096;
const FLUSH_COMMANDS = [4, 0, 31, 0, 0x30, 0, 0, 0, 0x46, 0, 0, 0, 0xff, 0, 0, 0];
/** Nothing answers there. */
const NOWHERE = 0x20_0000_0000;

const CMDQ_ERR = 1;
const EVENTQ_ABT_ERR = 4;

const RESET: readonly string[] = [
  write(0x20, 0),
  write(0x50, 0),
  write(0x28, 0),
  write(0x2c, 0),
  write(0x44, 0x80001000), // GBPA: pass, attributes as they come
  `writeq ${register(0x90)} ${hex(FLUSH_QUEUE + 3)}`,
  write(0x9c, 0),
  write(0x98, 0),
  write(0x20, 8),
  write(0x98, 3),
  write(0x20, 0),
  write(0x98, 0),
  write(0x9c, 0),
  write(0xa8, 0),
  write(0xac, 0),
  `writeq ${register(0x80)} 0x0`,
  write(0x88, 0),
  `writeq ${register(0x90)} 0x0`,
  `writeq ${register(0xa0)} 0x0`,
];

/** Which shape of QEMU's SMMU. */
export type Shape = 'nested' | 'stage1' | 'stage2' | 'default';

export class QemuTarget implements Target {
  readonly name = 'qemu';
  readonly id: IdWords;
  /** Times that QEMU ended and was started again. */
  deaths = 0;
  #qtest: Qtest;
  readonly #start: () => Promise<Qtest>;
  #dirty: Set<number> = new Set();
  #dead = false;

  private constructor(qtest: Qtest, start: () => Promise<Qtest>, id: IdWords) {
    this.#qtest = qtest;
    this.#start = start;
    this.id = id;
  }

  static async start(binary: string, shape: Shape): Promise<QemuTarget> {
    const machine = 'virt,iommu=smmuv3,memory-backend=m,gic-version=3';
    const stage =
      shape === 'default'
        ? []
        : ['-global', `arm-smmuv3.stage=${shape === 'stage1' ? '1' : shape === 'stage2' ? '2' : 'nested'}`];
    // Newer boards set the stage themselves, over the command line's; the board of 9.1 is the last that does not.
    const board = shape === 'stage1' || shape === 'stage2' ? machine.replace('virt', 'virt-9.1') : machine;
    const start = async (): Promise<Qtest> => {
      const qtest = await Qtest.start(binary, ['-machine', board, ...stage, ...deviceArguments()]);
      bringUp(qtest);
      qtest.batch(FLUSH_COMMANDS.map((word, i) => `writel ${hex(FLUSH_QUEUE + i * 4)} ${hex(word)}`));
      qtest.batch(RESET);
      return qtest;
    };
    const qtest = await start();
    const id = qtest.batch([0, 4, 8, 0xc, 0x10, 0x14, 0x18, 0x1c].map(read)).map(numberOf);
    return new QemuTarget(qtest, start, id);
  }

  /** Starts QEMU again if it ended. */
  async revive(): Promise<void> {
    if (!this.#dead) return;
    this.#qtest.close();
    this.#qtest = await this.#start();
    this.#dirty = new Set();
    this.#dead = false;
  }

  close(): void {
    this.#qtest.close();
  }

  /** All 32,768 words of both register pages. Ask from `inspect` of {@link run}. */
  registers(): Uint32Array {
    const lines = Array.from({ length: 0x20000 / 4 }, (_, i) => read(i * 4));
    return Uint32Array.from(this.#qtest.batch(lines).map(numberOf));
  }

  /**
   * After an outcome with `died`, call {@link revive} before the next.
   * @param inspect - Called when all is done and nothing is taken back yet.
   */
  run(scenario: Scenario, inspect?: () => void): Outcome {
    try {
      return this.#run(scenario, inspect);
    } catch (error) {
      if (!(error instanceof QemuEnded)) throw error;
      this.#dead = true;
      this.deaths++;
      return { died: error.message, reads: [], dma: [], registers: {} as Outcome['registers'], stores: [] };
    }
  }

  #run(scenario: Scenario, inspect?: () => void): Outcome {
    const qtest = this.#qtest;
    const image = imagePages(scenario);
    this.#load(image);
    const reads: number[] = [];
    const spans: { place: { streamId: number; n: number } | null; from: number; to: number }[] = [];
    const readsOf = new Map<number, number>();
    let pending: string[] = [];
    let asked: number[] = []; // indexes in `pending` whose answers are register reads
    let writes = 0;
    let prod = 0;
    const keep = (answers: readonly string[]): void => {
      for (const index of asked) reads.push(numberOf(answers[index]!));
      pending = [];
      asked = [];
    };
    for (const step of scenario.steps) {
      if (step.do === 'write') {
        pending.push(write(step.offset, step.value));
        if (step.offset === FINAL_REGISTERS.EVENTQ_PROD || step.offset === 0xa8) prod = step.value;
      } else if (step.do === 'write64')
        pending.push(`writeq ${register(step.offset)} 0x${((BigInt(step.hi) << 32n) | BigInt(step.lo)).toString(16)}`);
      else if (step.do === 'read') {
        asked.push(pending.length);
        pending.push(read(step.offset));
      } else if (step.do === 'store')
        for (const [i, value] of step.words.entries()) pending.push(`writel ${hex(step.at + i * 4)} ${hex(value)}`);
      else {
        const address = (BigInt(step.hi) << 32n) | BigInt(step.lo);
        const n = step.write ? writes++ : (readsOf.get(step.streamId) ?? 0);
        if (!step.write) readsOf.set(step.streamId, n + 1);
        const start = dmaLines(step.streamId, address, step.write, n);
        const got = runDma(qtest, step.streamId, pending, start, [read(FINAL_REGISTERS.EVENTQ_PROD)]);
        keep(got.before);
        const now = numberOf(got.last[0]!);
        spans.push({ place: step.write ? null : { streamId: step.streamId, n }, from: prod, to: now });
        prod = now;
      }
    }
    const names = Object.keys(FINAL_REGISTERS) as FinalRegister[];
    const final = names.map((name) => read(FINAL_REGISTERS[name]));
    const answers = qtest.batch([...pending, ...final]);
    const values = answers.slice(pending.length).map(numberOf);
    keep(answers);
    const registers = Object.fromEntries(names.map((name, i) => [name, values[i]!])) as Record<FinalRegister, number>;
    inspect?.();
    this.#reset(registers.GERROR);
    const data = this.#dump(readsOf);
    const after = this.#read(image);
    const dma: DmaOutcome[] = spans.map(({ place, from, to }) => ({
      data: place === null ? 0 : data.get(place.streamId)![place.n]!,
      events: recordsBetween(scenario, after, from, to),
    }));
    return {
      reads,
      dma,
      registers: settled(registers),
      stores: changedWords(scenario, softwarePages(scenario, image), after),
    };
  }

  /** Puts the image into RAM and zeroes what an earlier one left. */
  #load(image: Pages): void {
    const { ram } = this.#qtest;
    const zeros = new Uint32Array(1024);
    for (const number of this.#dirty)
      if (!image.has(number)) writeSync(ram, new Uint8Array(zeros.buffer), 0, 4096, number * 4096 - RAM_BASE);
    for (const [number, page] of image) writeSync(ram, new Uint8Array(page.buffer), 0, 4096, number * 4096 - RAM_BASE);
    this.#dirty = new Set(image.keys());
  }

  #read(image: Pages): Pages {
    const after: Pages = new Map();
    for (const number of image.keys()) {
      const page = new Uint32Array(1024);
      readSync(this.#qtest.ram, new Uint8Array(page.buffer), 0, 4096, number * 4096 - RAM_BASE);
      after.set(number, page);
    }
    return after;
  }

  /** What each device read, by StreamID. */
  #dump(readsOf: ReadonlyMap<number, number>): Map<number, Uint32Array> {
    const data = new Map<number, Uint32Array>();
    for (const [streamId, words] of readsOf) {
      runDma(this.#qtest, streamId, [], dumpLines(streamId, words), []);
      const page = new Uint32Array(words);
      readSync(this.#qtest.ram, new Uint8Array(page.buffer), 0, words * 4, SCRATCH - RAM_BASE);
      data.set(streamId, page);
    }
    if (readsOf.size > 0) this.#qtest.batch([...readsOf.keys()].map(countLine));
    return data;
  }

  /** Everything off and forgotten, and GERROR back to zero: its bits toggle, so what was raised is raised once more. */
  #reset(gerror: number): void {
    const qtest = this.#qtest;
    qtest.batch([write(0x20, 0), write(0x64, gerror), ...RESET]); // off first: an acknowledge restarts the queue
    if ((gerror & CMDQ_ERR) !== 0)
      qtest.batch([
        `writeq ${register(0x90)} ${hex(FLUSH_QUEUE + 3)}`,
        write(0x20, 8),
        write(0x9c, 3),
        write(0x98, 4),
        write(0x20, 0),
        write(0x64, gerror & ~CMDQ_ERR),
        ...RESET,
      ]);
    if ((gerror & EVENTQ_ABT_ERR) !== 0) this.#raiseEventAbort();
  }

  /** A record that cannot be written, of a stream that is not in the table. */
  #raiseEventAbort(): void {
    const before = [
      `writeq ${register(0xa0)} ${hex(NOWHERE + 1)}`,
      write(0x88, 0), // one stream, so every other is a bad one
      write(0x2c, 2),
      write(0x20, 5),
    ];
    runDma(this.#qtest, 0x10, before, dmaLines(0x10, 0n, true, 0), []);
    this.#qtest.batch([write(0x64, 0), ...RESET]);
  }
}
