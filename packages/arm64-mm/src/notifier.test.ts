import { describe, expect, it } from 'vitest';
import type { Mm } from './mm.ts';
import { type MmuNotifier, MmuNotifierList } from './notifier.ts';

const mm = { name: 'a process' } as Mm; // only handed through
const recorder = (name: string, log: string[], then: () => void = () => {}): MmuNotifier => ({
  invalidateSecondaryTlbs: (_, start, last) => {
    log.push(`${name} ${start} ${last}`);
    then();
  },
  release: () => {
    log.push(`${name} released`);
    then();
  },
});

describe('MMU notifiers (mm/mmu_notifier.c)', () => {
  it('are told in the order of registration', () => {
    const log: string[] = [];
    const list = new MmuNotifierList();
    list.add(recorder('first', log));
    list.add(recorder('second', log));
    list.invalidate(mm, 0x1000, 0x1fff);
    list.release(mm);
    expect(log).toEqual(['first 4096 8191', 'second 4096 8191', 'first released', 'second released']);
  });
  it('are released once', () => {
    const log: string[] = [];
    const list = new MmuNotifierList();
    list.add(recorder('one', log));
    list.release(mm);
    list.release(mm);
    list.invalidate(mm, 0, 1);
    expect([log, list.empty]).toEqual([['one released'], true]);
  });
  it.each(['invalidate', 'release'] as const)('may take off itself and others from inside %s', (call) => {
    const log: string[] = [];
    const list = new MmuNotifierList();
    const third = recorder('third', log);
    const first: MmuNotifier = recorder('first', log, () => {
      if (call === 'invalidate') list.remove(first);
      list.remove(third);
    });
    list.add(first);
    list.add(recorder('second', log));
    list.add(third);
    if (call === 'invalidate') list.invalidate(mm, 0, 1);
    else list.release(mm);
    expect(log.map((line) => line.split(' ')[0])).toEqual(['first', 'second']);
    expect(list.empty).toBe(call === 'release');
    if (call === 'invalidate') list.invalidate(mm, 0, 1);
    expect(log.length).toBe(call === 'invalidate' ? 3 : 2);
  });
  it('that register from inside a callback are told from the next time on', () => {
    const log: string[] = [];
    const list = new MmuNotifierList();
    const late = recorder('late', log);
    let once = true;
    const early = recorder('early', log, () => {
      if (once) list.add(late);
      once = false;
    });
    list.add(early);
    list.invalidate(mm, 1, 2);
    expect(log).toEqual(['early 1 2']);
    list.invalidate(mm, 3, 4);
    expect(log.slice(1)).toEqual(['early 3 4', 'late 3 4']);
  });
  it('are still all there after one threw', () => {
    const log: string[] = [];
    const list = new MmuNotifierList();
    list.add(
      recorder('broken', log, () => {
        throw new Error('no answer');
      }),
    );
    expect(() => list.invalidate(mm, 0, 1)).toThrow('no answer');
    expect(list.empty).toBe(false);
    expect(() => list.release(mm)).toThrow('no answer');
    expect(list.empty).toBe(true);
  });
  it('can register once, and be taken off once', () => {
    const list = new MmuNotifierList();
    const one = recorder('one', []);
    list.add(one);
    expect(() => list.add(one)).toThrow(expect.objectContaining({ code: 'EEXIST' }));
    list.remove(one);
    expect(() => list.remove(one)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  });
});
