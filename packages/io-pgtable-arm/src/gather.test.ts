import { describe, expect, it } from 'vitest';
import { board } from '../test/board.ts';
import { IotlbGather } from './gather.ts';

const { pages } = board();

describe('a gather covers all that was added', () => {
  it('starts empty, and is so again after a reset', () => {
    const gather = new IotlbGather(pages);
    const empty = { start: 0, last: -1, pageBytes: 0, uniform: true };
    expect(gather).toMatchObject(empty);
    gather.add(0x5000, 0x2000, 0x1000);
    gather.reset();
    expect(gather).toMatchObject(empty);
    expect(gather.freelist.empty).toBe(true);
  });

  it.each([
    ['behind', [0x5000, 0x6000], 0x5000, 0x6fff],
    ['before', [0x6000, 0x5000], 0x5000, 0x6fff],
    ['the same again', [0x5000, 0x5000], 0x5000, 0x5fff],
    ['far apart', [0x5000, 0x9000, 0x1000], 0x1000, 0x9fff],
    ['at 0', [0, 0x1000], 0, 0x1fff],
  ])('%s', (_, iovas, start, last) => {
    const gather = new IotlbGather(pages);
    for (const iova of iovas) gather.add(iova, 0x1000, 0x1000);
    expect(gather).toMatchObject({ start, last, pageBytes: 0x1000, uniform: true });
  });

  it('of different sizes it keeps the smaller, and says that they differ', () => {
    const gather = new IotlbGather(pages);
    gather.add(0x20_0000, 0x20_0000, 0x20_0000);
    gather.add(0x40_0000, 0x1000, 0x1000);
    gather.add(0x40_1000, 0x1000, 0x1000);
    expect(gather).toMatchObject({ start: 0x20_0000, last: 0x40_1fff, pageBytes: 0x1000, uniform: false });
  });

  it('with a sync it never covers what was not added', () => {
    const synced: number[][] = [];
    const gather: IotlbGather = new IotlbGather(pages, (full) => {
      synced.push([full.start, full.last, full.pageBytes]);
      full.reset();
    });
    gather.add(0x5000, 0x1000, 0x1000);
    gather.add(0x6000, 0x1000, 0x1000);
    gather.add(0x4000, 0x1000, 0x1000); // adjacent below
    gather.add(0x8000, 0x1000, 0x1000); // apart above
    gather.add(0x1000, 0x1000, 0x1000); // apart below
    gather.add(0x20_0000, 0x20_0000, 0x20_0000); // another size
    expect(synced).toEqual([
      [0x4000, 0x6fff, 0x1000],
      [0x8000, 0x8fff, 0x1000],
      [0x1000, 0x1fff, 0x1000],
    ]);
    expect(gather).toMatchObject({ start: 0x20_0000, last: 0x3f_ffff });
  });

  it('tells of its range when it is reset, if it has one', () => {
    const told: number[][] = [];
    const gather = new IotlbGather(pages);
    gather.onReset = (start, last) => told.push([start, last]);
    gather.reset();
    gather.add(0x5000, 0x1000, 0x1000);
    gather.reset();
    expect(told).toEqual([[0x5000, 0x5fff]]);
  });
});
