/** Scenarios on our model, in process. A model of its own for each, so nothing is left of the one before. */
import { DmaRequest, InterruptLine, Scheduler, SystemMemory } from '@smmu/platform';
import { type ModelFeatures, SmmuV3Model } from '@smmu/smmu-v3-model';
import { changedWords, imagePages, PAGE_WORDS, type Pages, recordsBetween, softwarePages } from './pages.ts';
import {
  type DmaOutcome,
  FINAL_REGISTERS,
  type FinalRegister,
  type Outcome,
  RAM_BASE,
  RAM_BYTES,
  type Scenario,
  settled,
} from './scenario.ts';
import type { Target } from './target.ts';

const EVENTQ_PROD = FINAL_REGISTERS.EVENTQ_PROD;

export class ModelTarget implements Target {
  readonly name = 'model';
  readonly #features: ModelFeatures;
  readonly #memory: SystemMemory = new SystemMemory([{ base: RAM_BASE, size: RAM_BYTES }]);
  readonly #dirty: Set<number> = new Set();

  constructor(features: ModelFeatures) {
    this.#features = features;
  }

  run(scenario: Scenario): Outcome {
    const memory = this.#memory;
    for (const number of this.#dirty) memory.zero(number * 4096, 4096);
    this.#dirty.clear();
    const image = imagePages(scenario);
    for (const [number, page] of image) {
      const at = memory.atFrame(number); // sets `words`
      memory.words.set(page, at);
      this.#dirty.add(number);
    }
    const scheduler = new Scheduler(1);
    const line = (name: string): InterruptLine => new InterruptLine(scheduler, name);
    const model = new SmmuV3Model({
      memory,
      scheduler,
      interrupts: { eventq: line('eventq'), priq: line('priq'), gerror: line('gerror'), cmdSync: line('sync') },
      features: this.#features,
    });
    const { window } = model;
    const reads: number[] = [];
    const spans: { data: number; from: number; to: number }[] = [];
    const octets = new Uint8Array(4);
    const word = new Uint32Array(octets.buffer);
    for (const step of scenario.steps) {
      if (step.do === 'write') window.write32(step.offset, step.value);
      else if (step.do === 'write64') window.write64!(step.offset, step.lo, step.hi);
      else if (step.do === 'read') reads.push(window.read32(step.offset));
      else if (step.do === 'store')
        for (const [i, value] of step.words.entries()) memory.write32(step.at + i * 4, value);
      else {
        const request = new DmaRequest(octets);
        request.streamId = step.streamId;
        request.addressLo = step.lo;
        request.addressHi = step.hi;
        request.length = 4;
        request.write = step.write;
        word[0] = step.write ? step.token : 0;
        const from = window.read32(EVENTQ_PROD);
        const aborted = model.submit(request) !== 0;
        scheduler.run();
        spans.push({ data: step.write || aborted ? 0 : word[0]!, from, to: window.read32(EVENTQ_PROD) });
      }
      scheduler.run();
    }
    const after: Pages = new Map();
    for (const number of image.keys()) {
      const at = memory.atFrame(number);
      after.set(number, memory.words.slice(at, at + PAGE_WORDS));
    }
    const registers = Object.fromEntries(
      Object.entries(FINAL_REGISTERS).map(([name, offset]) => [name, window.read32(offset)]),
    ) as Record<FinalRegister, number>;
    const dma: DmaOutcome[] = spans.map(({ data, from, to }) => ({
      data,
      events: recordsBetween(scenario, after, from, to),
    }));
    return {
      reads,
      dma,
      registers: settled(registers),
      stores: changedWords(scenario, softwarePages(scenario, image), after),
    };
  }
}
