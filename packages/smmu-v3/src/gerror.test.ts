import { describe, expect, it } from 'vitest';
import { fakeBoard, REG } from '../test/fakeSmmu.ts';
import { handleGerror } from './gerror.ts';

const run = (gerror: number, gerrorn = 0, skip = true) => {
  const board = fakeBoard();
  board.hardware.set(REG.GERROR, gerror);
  board.hardware.set(REG.GERRORN, gerrorn);
  const calls: string[] = [];
  const found = handleGerror({
    ...board,
    skipCommand: () => {
      calls.push('skip');
      return skip;
    },
    eventsLost: () => calls.push('lost'),
    disable: () => calls.push('disable'),
  });
  return { found, calls, lines: board.lines, gerrorn: board.hardware.at(REG.GERRORN) };
};

describe('global errors, IHI 0070 §7.5', () => {
  it('nothing active: nothing done', () => {
    expect(run(0x5, 0x5)).toEqual({ found: false, calls: [], lines: [], gerrorn: 0x5 });
  });
  it.each([
    [0, undefined, ['skip']],
    [2, 'EVTQ write aborted -- events may have been lost', ['lost']],
    [3, 'PRIQ write aborted -- events may have been lost', []],
    [4, 'CMDQ MSI write aborted', []],
    [5, 'EVTQ MSI write aborted', []],
    [6, 'PRIQ MSI write aborted', []],
    [7, 'GERROR MSI write aborted', []],
    [8, 'device has entered Service Failure Mode!', ['disable']],
  ] as const)('bit %i is told and acknowledged', (bit, line, calls) => {
    const text = `0x${(1 << bit).toString(16).padStart(8, '0')}`;
    const result = run(1 << bit);
    expect(result.lines).toEqual([
      `unexpected global error reported (${text}), this could be serious`,
      ...(line === undefined ? [] : [line]),
    ]);
    expect(result).toMatchObject({ found: true, calls, gerrorn: 1 << bit });
  });
  it('an error whose bit toggled back to zero is active as well', () => {
    expect(run(0, 4)).toMatchObject({ found: true, gerrorn: 0 });
  });
  it('the command queue’s stays if the queue was given up; the rest is acknowledged', () => {
    expect(run(0x5, 0, false).gerrorn).toBe(0x4);
    expect(run(0x4, 0x1, false).gerrorn).toBe(0x5);
  });
});
