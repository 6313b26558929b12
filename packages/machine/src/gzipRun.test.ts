import { gunzipSync, gzipSync } from 'node:zlib';
import { Random } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { NOTHING_LEFT } from '../test/boardHarness.ts';
import { MemoryFile, sampleBytes } from '../test/memoryFile.ts';
import { type Granule, GzipProcess, GzipRun, type GzipRunOptions } from './index.ts';

const engine = (input: Uint8Array, output: Uint8Array): number => {
  const member = gzipSync(input, { level: 1 });
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
  const facts = run.finish();
  expect(facts.left).toEqual(NOTHING_LEFT);
  expect(facts.tablePages.end).toBe(0);
  expect(facts.faults).toMatchObject({ success: facts.faults.total, invalid: 0, failure: 0 });
  expect(run.progress).toEqual({ bytes: bytes.length, total: bytes.length, faults: facts.faults.total });
  return { facts, output: output.data };
}
const GRANULES: readonly Granule[] = ['4k', '16k', '64k'];

describe('a file goes through the accelerator and comes out as gzip', () => {
  describe.each(GRANULES)('pages of %s', (granule) => {
    it.each([0, 1, 4095, 4096, 4097, 2 ** 18, 2 ** 18 + 1, 2 ** 20 + 123])('%i bytes', (length) => {
      const bytes = sampleBytes(length);
      const { facts, output } = gzip(bytes, { granule });
      expect(gunzipSync(output).equals(bytes)).toBe(true);
      expect(facts.jobs).toEqual({
        total: Math.max(1, Math.ceil(length / 2 ** 18)),
        byStatus: { DONE: Math.max(1, Math.ceil(length / 2 ** 18)) },
      });
    });
  });

  it('bytes that do not compress take more room than the input, and get it', () => {
    const random = new Random(1);
    const bytes = Uint8Array.from({ length: 2 ** 20 }, () => random.below(256));
    const { output } = gzip(bytes);
    expect(output.length).toBeGreaterThan(bytes.length);
    expect(gunzipSync(output).equals(bytes)).toBe(true);
  });

  it.each([
    [1000, 1],
    [5000, 3],
    [2 ** 18, 64],
  ])('in jobs of %i bytes, %i at a time', (jobBytes, inFlight) => {
    const bytes = sampleBytes(100_001);
    const { facts, output } = gzip(bytes, { jobBytes, inFlight, slots: 16 });
    expect(gunzipSync(output).equals(bytes)).toBe(true);
    expect(facts.jobs.total).toBe(Math.ceil(100_001 / jobBytes));
  });

  it('says what happened, and the numbers agree', () => {
    const { facts } = gzip(sampleBytes(2 ** 20));
    expect(facts.binding).toEqual({ device: '0000:00:01.0', sid: 8, pasid: 1, asid: 1, granule: '4k' });
    const recorded = Object.values(facts.events).reduce((sum, count) => sum + count, 0);
    expect(recorded).toBe(facts.faults.total);
    expect(facts.commands.CMD_RESUME).toBe(facts.faults.total);
    expect(facts.iotlb.hits + facts.iotlb.misses).toBe(facts.dma.transactions + facts.faults.total);
    expect(facts.pages.read).toBeGreaterThanOrEqual(256);
    expect(facts.faults.total).toBeGreaterThanOrEqual(256);
    expect(facts.tablePages.peak).toBeGreaterThan(facts.tablePages.idle);
    expect(facts.virtualTimeNs).toBeGreaterThan(1_000_000);
  });

  it('EINVAL: jobs larger than the device takes, or more at a time than the ring holds', () => {
    for (const options of [
      { jobBytes: 0 },
      { jobBytes: 2 ** 18 + 1 },
      { jobBytes: 1.5 },
      { inFlight: 0 },
      { inFlight: 65 },
    ])
      expect(() => gzip(new Uint8Array(1), options)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });
});

describe('memory pressure: pages are taken from the running device, and the result is the same', () => {
  const bytes = sampleBytes(6 * 2 ** 20);
  const expected = gzip(bytes).output;

  it.each(GRANULES.flatMap((granule) => [2 ** 22, 2 ** 23].map((memoryBytes) => ({ granule, memoryBytes }))))(
    '%o',
    ({ granule, memoryBytes }) => {
      const { facts, output } = gzip(bytes, { granule, memoryBytes });
      expect(Buffer.compare(output, expected)).toBe(0);
      if (memoryBytes === 2 ** 22) expect(facts.commands.CMD_TLBI_NH_VA).toBeGreaterThan(10);
    },
  );

  it.each([1, 7, 100])('random pages vanish after every %i-th transaction', (reclaimEvery) => {
    const { facts, output } = gzip(bytes.subarray(0, 2 ** 20), { reclaimEvery });
    expect(Buffer.compare(output, expected.subarray(0, output.length))).toBe(0);
    expect(facts.faults.total).toBeGreaterThan(256);
  });
});

describe('a run is a function of its seed and input', () => {
  const bytes = sampleBytes(700_000);
  const traced = (seed: number) => {
    let text = '';
    const { facts, output } = gzip(bytes, { seed, trace: (piece) => (text += piece), reclaimEvery: 20 });
    return { facts, output, text };
  };

  it('same seed: same facts, same trace', () => {
    const first = traced(42);
    const again = traced(42);
    expect(again.facts).toEqual(first.facts);
    expect(again.text === first.text).toBe(true); // megabytes: no difference would be read
  });

  it('ten seeds: ten orders of events, one output', () => {
    const runs = Array.from({ length: 10 }, (_, seed) => gzip(bytes, { seed }));
    const outputs = new Set(runs.map(({ output }) => Buffer.from(output).toString('base64')));
    expect(outputs.size).toBe(1);
    expect(new Set(runs.map(({ facts }) => JSON.stringify({ ...facts, seed: 0 }))).size).toBeGreaterThan(1);
  });

  it('the trace is Chrome trace JSON: five lanes, and for each fault one arrow from the stall to the resume', () => {
    const { facts, text } = traced(3);
    const events = JSON.parse(text) as {
      ph: string;
      id?: number;
      ts: number;
      tid: number;
      name: string;
      args?: { name?: string };
    }[];
    expect(events.filter(({ name }) => name === 'thread_name').map(({ args }) => args?.name)).toEqual([
      'process',
      'driver',
      'cmdq',
      'SMMU',
      'device',
    ]);
    const tails = events.filter(({ ph }) => ph === 's');
    const heads = new Map(events.filter(({ ph }) => ph === 'f').map((event) => [event.id, event]));
    expect(tails).toHaveLength(facts.faults.total);
    expect(new Set(tails.map(({ id }) => id)).size).toBe(tails.length);
    for (const tail of tails) expect(heads.get(tail.id)!.ts).toBeGreaterThanOrEqual(tail.ts);
    expect(new Set(events.map(({ tid }) => tid))).toEqual(new Set([1, 2, 3, 4, 5]));
  });
});

it('a process that is killed before it began leaves nothing', () => {
  const run = new GzipRun({
    memoryBytes: 2 ** 24,
    granule: '4k',
    engine,
    input: new MemoryFile('in', sampleBytes(10)),
    output: new MemoryFile('out'),
  });
  expect(run.process).toBeInstanceOf(GzipProcess);
  expect(run.abort()).toEqual(NOTHING_LEFT);
  expect(run.step()).toBe(false);
});
