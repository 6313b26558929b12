import { describe, expect, it } from 'vitest';
import { isEmpty, isFull, next, slot } from './queue.ts';

describe('queue indexes with their wrap bit (§3.5.1)', () => {
  it('empty: indexes and wraps equal; full: indexes equal, wraps differ', () => {
    expect(isEmpty(0b0_101, 0b0_101, 3)).toBe(true);
    expect(isFull(0b0_101, 0b0_101, 3)).toBe(false);
    expect(isFull(0b1_101, 0b0_101, 3)).toBe(true);
    expect(isEmpty(0b1_101, 0b0_101, 3)).toBe(false);
  });
  it('bits above the wrap bit do not count: an overflow flag is one', () => {
    expect(isEmpty(0x8000_0005, 5, 3)).toBe(true);
    expect(isFull(0x8000_000d, 5, 3)).toBe(true);
  });
  it('the index after the last has the other wrap', () => {
    expect(next(0b0_111, 3)).toBe(0b1_000);
    expect(next(0b1_111, 3)).toBe(0b0_000);
    expect(slot(0b1_000, 3)).toBe(0);
    expect(next(2 ** 20 - 1, 19)).toBe(0);
  });
  it('a queue of one entry has an index of no bits', () => {
    expect(isFull(1, 0, 0)).toBe(true);
    expect(next(1, 0)).toBe(0);
    expect(slot(1, 0)).toBe(0);
  });
});
