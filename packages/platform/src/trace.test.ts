import { describe, expect, it } from 'vitest';
import { Trace } from './trace.ts';

interface Event {
  readonly name: string;
  readonly ph: string;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly id?: number;
  readonly args?: Record<string, unknown>;
}

/** Runs `body` on a trace and reads back what a viewer would. */
function traced(body: (trace: Trace, clock: { now: number }) => void): Event[] {
  let text = '';
  const clock = { now: 0 };
  const trace = new Trace(clock, (piece) => {
    text += piece;
  });
  body(trace, clock);
  trace.end();
  return JSON.parse(text) as Event[];
}

describe('Trace: Chrome trace events in virtual microseconds', () => {
  it('names the five lanes in the order in which a transaction crosses them', () => {
    const names = traced(() => {}).filter(({ name }) => name === 'thread_name');
    expect(names.map(({ args }) => args?.name)).toEqual(['process', 'driver', 'cmdq', 'SMMU', 'device']);
    expect(names.map(({ tid }) => tid)).toEqual([1, 2, 3, 4, 5]);
  });
  it('places instants and spans on their lane', () => {
    const events = traced((trace, clock) => {
      clock.now = 1500;
      trace.instant('driver', 'event', { sid: 8 });
      clock.now = 4000;
      trace.span('device', 'job', 1000);
    });
    expect(events.at(-2)).toMatchObject({ name: 'event', ph: 'i', tid: 2, ts: 1.5, args: { sid: 8 } });
    expect(events.at(-1)).toMatchObject({ name: 'job', ph: 'X', tid: 5, ts: 1, dur: 3 });
  });
  it('lets parallel spans overlap, each told by its id', () => {
    const events = traced((trace, clock) => {
      clock.now = 4000;
      trace.parallelSpan('device', 'job', 7, 1000, { tag: 1 });
      trace.parallelSpan('device', 'job', 8, 2000);
    });
    expect(events.slice(-4)).toMatchObject([
      { name: 'job', cat: 'device', ph: 'b', id: 7, tid: 5, ts: 1, args: { tag: 1 } },
      { name: 'job', cat: 'device', ph: 'e', id: 7, tid: 5, ts: 4 },
      { ph: 'b', id: 8, ts: 2 },
      { ph: 'e', id: 8, ts: 4 },
    ]);
  });
  it('joins the two ends of an arrow by its id, each on a slice', () => {
    const events = traced((trace, clock) => {
      trace.arrowFrom('SMMU', 'stall', 42);
      clock.now = 2000;
      trace.arrowTo('SMMU', 'resume', 42);
    });
    const ends = events.filter(({ id }) => id === 42);
    expect(ends.map(({ ph, ts }) => [ph, ts])).toEqual([
      ['s', 0],
      ['f', 2],
    ]);
    for (const { ts } of ends) expect(events.some((e) => e.ph === 'X' && e.ts === ts)).toBe(true);
  });
});
