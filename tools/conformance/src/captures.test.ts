import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Capture, captureNames } from './captures.ts';
import { loadSegments, writeCore } from './elf.ts';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));

describe('captured Linux guests', () => {
  it('are two: stage 1, and stage 2 alone', () => {
    expect(captureNames(fixtures)).toEqual(['linux-6.12-s1', 'linux-6.12-s2']);
  });
  it.each([
    { name: 'linux-6.12-s1', rows: 1349, faults: { run: 24, matched: 23, ledger: 1 } },
    { name: 'linux-6.12-s2', rows: 916, faults: { run: 21, matched: 18, ledger: 3 } },
  ])(
    "$name: our model answers every address, records every fault, and goes through the guest's accesses",
    ({ name, rows, faults }) => {
      const result = new Capture(fixtures, name).run();
      expect(result).toMatchObject({ name, rows, matched: rows, faults, wrong: [] });
      expect(result.mmio.run).toBeGreaterThan(4000);
      expect(result.mmio.matched).toBe(result.mmio.reads);
    },
  );
});

describe('ELF cores', () => {
  const segments = [
    { at: 0x4000_0000, bytes: Uint8Array.of(1, 2, 3, 4) },
    { at: 0x8_0000_0000, bytes: Uint8Array.of(5) },
  ];
  it('read back as written', () => {
    expect(loadSegments(writeCore(segments))).toEqual(segments);
  });
  it('that are cut short or no cores are refused with the place', () => {
    const core = writeCore(segments);
    expect(() => loadSegments(core.subarray(0, 20))).toThrow('20 bytes');
    expect(() => loadSegments(core.subarray(0, 100))).toThrow('program headers at byte 64');
    expect(() => loadSegments(core.subarray(0, core.length - 1))).toThrow('segment 1 ends at byte');
    expect(() => loadSegments(new Uint8Array(100))).toThrow('no ELF magic');
    const wrong = core.slice();
    wrong[4] = 1;
    expect(() => loadSegments(wrong)).toThrow('not 64-bit');
  });
});
