import { describe, expect, it } from 'vitest';
import { differences } from '../compare.ts';
import { ModelTarget } from '../modelTarget.ts';
import { offers, posedFeatures, QEMU_10_ID } from '../posedFeatures.ts';
import { written } from './index.ts';

describe('hand-written scenarios', () => {
  it('are many, and each has a name of its own, a rule and a section', () => {
    expect(written.length).toBeGreaterThanOrEqual(500);
    expect(new Set(written.map(({ name }) => name)).size).toBe(written.length);
    for (const { name, title, section, expect: due } of written) {
      expect(name).toMatch(/^[a-z0-9-]+\/[A-Za-z0-9_-]+$/);
      expect(title).not.toBe('');
      expect(section).toMatch(/^\d+(\.\d+)*$/);
      expect(due).toBeDefined();
    }
  });

  it.each(Object.entries(QEMU_10_ID))('our model, posed as an SMMU with %s, does what each asks for', (_, id) => {
    const features = posedFeatures(id);
    const model = new ModelTarget(features);
    const chosen = written.filter(({ needs }) => offers(features, needs));
    expect(chosen.length).toBeGreaterThan(200);
    const wrong = chosen.flatMap((scenario) =>
      differences(scenario, scenario.expect!, model.run(scenario)).map(({ detail }) => `${scenario.name}: ${detail}`),
    );
    expect(wrong).toEqual([]);
  });
});
