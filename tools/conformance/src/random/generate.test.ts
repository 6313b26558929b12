import { describe, expect, it } from 'vitest';
import { ModelTarget } from '../modelTarget.ts';
import { posedFeatures, QEMU_10_ID } from '../posedFeatures.ts';
import { STREAMS } from '../scenario.ts';
import { randomScenario } from './generate.ts';

const features = posedFeatures(QEMU_10_ID.nested);
const many = (seed: number, count: number) =>
  Array.from({ length: count }, (_, i) => randomScenario(seed, i, features));

describe('random scenarios', () => {
  it('are a function of seed and index', () => {
    expect(many(3, 50)).toEqual(many(3, 50));
    expect(many(3, 50)).not.toEqual(many(4, 50));
  });
  it('ask of an SMMU only what it offers', () => {
    const small = posedFeatures(QEMU_10_ID.stage1);
    for (let i = 0; i < 300; i++) {
      const { tags, needs } = randomScenario(1, i, small);
      expect(tags).not.toContain('stage2');
      expect(tags).not.toContain('nested');
      expect(needs).not.toContain('stage2');
    }
  });
  it('use the streams behind which devices sit, word by word', () => {
    for (const { steps } of many(5, 200))
      for (const step of steps)
        if (step.do === 'dma') {
          expect(STREAMS).toContain(step.streamId);
          expect(step.lo % 4).toBe(0);
        }
  });
  it('give all shapes, legal and illegal, and our model survives each', () => {
    const model = new ModelTarget(features);
    const tags = new Set<string>();
    let passed = 0;
    let recorded = 0;
    for (const scenario of many(1, 1500)) {
      for (const tag of scenario.tags) tags.add(tag);
      const { dma } = model.run(scenario);
      passed += dma.filter(({ data }) => data !== 0).length;
      recorded += dma.filter(({ events }) => events.length > 0).length;
    }
    for (const tag of [
      'stage1',
      'stage2',
      'nested',
      'two-level',
      'span',
      'CD.TTB',
      'STE.S2SL0',
      'table-size',
      'command',
    ])
      expect(tags).toContain(tag);
    expect(passed).toBeGreaterThan(300);
    expect(recorded).toBeGreaterThan(300);
  });
});
