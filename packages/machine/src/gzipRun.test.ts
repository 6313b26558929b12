import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { MemoryFile, sampleBytes } from '../test/memoryFile.ts';
import { GzipRun, type GzipRunOptions } from './index.ts';

const engine = (input: Uint8Array, output: Uint8Array): number => {
  const member = gzipSync(input);
  if (member.length > output.length) return -1;
  output.set(member);
  return member.length;
};

function gzip(bytes: Uint8Array, options: Partial<GzipRunOptions> = {}) {
  const output = new MemoryFile('out.gz');
  const run = new GzipRun({
    memoryBytes: 2 ** 25,
    granule: '4k',
    engine,
    input: new MemoryFile('in', bytes),
    output,
    ...options,
  });
  while (run.step());
  return { facts: run.finish(), output: output.data, run };
}
const NOTHING_LEFT = { tablePages: 0, pasids: 0, pinnedAsids: 0, pendingFaults: 0, processes: 0, frames: 0 };

describe('a file goes through the accelerator and comes out as gzip', () => {
  it.each([0, 1, 4095, 4096, 4097, 100_000, 2 ** 20 + 123])('%i bytes', (length) => {
    const bytes = sampleBytes(length);
    const { facts, output } = gzip(bytes);
    expect(gunzipSync(output).equals(bytes)).toBe(true);
    expect(facts.left).toEqual(NOTHING_LEFT);
    expect(facts.jobs.byStatus).toEqual({ DONE: Math.max(1, Math.ceil(length / 2 ** 18)) });
  });
});
