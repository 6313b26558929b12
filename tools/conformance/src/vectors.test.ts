import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { QEMU_10_ID } from './posedFeatures.ts';
import { fromVector, readVectors, toVector, vectorSchema, writeVectors } from './vectors.ts';
import { written } from './written/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'vectors-'));
afterAll(() => rmSync(folder, { recursive: true }));
const judged = written.map((scenario) => [scenario, scenario.expect!] as const);

describe('JSON vectors', () => {
  it('hold all of a scenario: reading one back gives the same', () => {
    for (const [scenario, outcome] of judged) {
      const text = JSON.stringify(toVector(scenario, outcome));
      expect(fromVector(JSON.parse(text))).toEqual({ ...scenario, expect: { ...outcome } });
    }
  });
  it('lie in a file for each unit, with schema and README', () => {
    const names = writeVectors(folder, QEMU_10_ID.nested, judged);
    expect(names).toContain('invalidation.json');
    expect(readdirSync(folder).sort()).toEqual([...names, 'README.md', 'schema.json'].sort());
    const files = readVectors(folder);
    expect(files.flatMap(({ scenarios }) => scenarios).length).toBe(written.length);
    expect(files[0]!.id).toEqual(QEMU_10_ID.nested);
  });
  it('are what the schema says: members and their kinds', () => {
    const schema = vectorSchema as { $defs: { scenario: { required: string[] } } };
    const first = JSON.parse(readFileSync(join(folder, 'gbpa.json'), 'utf8')).scenarios[0];
    expect(Object.keys(first).sort()).toEqual([...schema.$defs.scenario.required].sort());
  });
  it('that are damaged are refused with the place', () => {
    const [scenario, outcome] = judged[0]!;
    const vector = toVector(scenario, outcome);
    expect(() => fromVector({ ...vector, steps: [{ do: 'write', register: '0x20', value: '12' }] })).toThrow(
      `${scenario.name}, step 0: '12'`,
    );
    expect(() => fromVector({ ...vector, steps: [{ do: 'jump' } as never] })).toThrow("no step is called 'jump'");
    expect(() => fromVector({ ...vector, memory: [{ address: '0x2', words: [] }] })).toThrow(
      'is not a physical address',
    );
    writeFileSync(join(folder, 'gbpa.json'), '{');
    expect(() => readVectors(folder)).toThrow('gbpa.json');
    writeFileSync(join(folder, 'gbpa.json'), '{"format":"other"}');
    expect(() => readVectors(folder)).toThrow("format 'other'");
  });
});
