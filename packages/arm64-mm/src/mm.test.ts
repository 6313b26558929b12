import { describe, expect, it } from 'vitest';
import { Board, countingFile, Device, error, load, NOTHING_LEFT, READ, RW, walk } from '../test/board.ts';

const setUp = (options: ConstructorParameters<typeof Board>[0] = {}) => {
  const board = new Board({ dataPages: 64, ...options });
  return { board, mm: board.mmu.createProcess('p'), page: board.granule };
};

describe('a process’s tables are what a CD asks for', () => {
  it.each([
    { granuleShift: 12, vaBits: 48, tg: 0, tsz: 16 },
    { granuleShift: 12, vaBits: 39, tg: 0, tsz: 25 },
    { granuleShift: 14, vaBits: 48, tg: 2, tsz: 16 },
    { granuleShift: 16, vaBits: 48, tg: 1, tsz: 16 },
    { granuleShift: 16, vaBits: 42, tg: 1, tsz: 22 },
  ] as const)('granule 2^$granuleShift, $vaBits bits', ({ granuleShift, vaBits, tg, tsz }) => {
    const { board, mm, page } = setUp({ granuleShift, vaBits });
    expect(mm.stage1.tcr).toMatchObject({ tg, tsz });
    expect(mm.root).toBe(mm.stage1.ttbr);
    expect(mm.granuleShift).toBe(granuleShift);
    expect((mm.stage1.mairLo >>> 8) & 0xff).toBe(0xff); // entries name byte 1: write-back
    const va = mm.mmap({ ...RW, bytes: page, kind: 'anonymous' });
    expect(va).toBe(2 ** vaBits - 2 ** 27 - page);
    mm.writeBytes(va, new Uint8Array([1]));
    expect((walk(board, mm, va)!.lo >>> 2) & 7).toBe(1);
    const top = mm.mmap({ ...RW, bytes: page, kind: 'anonymous', address: 2 ** vaBits - page });
    mm.writeBytes(top, new Uint8Array([1]));
    expect(mm.handleFault(2 ** vaBits, READ)).toBe('badAddress');
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('52 bits of address with a granule of 64 KiB', () => {
    const { board, mm, page } = setUp({ granuleShift: 16, paBits: 52 });
    const va = mm.mmap({ ...RW, bytes: page, kind: 'anonymous' });
    mm.writeBytes(va, new Uint8Array([7]));
    expect(load(mm, va, 1)[0]).toBe(7);
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
});

describe('the end of an address space (kernel/fork.c mmput, exit_mmap)', () => {
  it('release first, with everything still there; then pages, then tables', () => {
    const { board, mm, page } = setUp();
    const file = countingFile('f', page);
    const va = mm.mmap({ ...RW, bytes: page, kind: 'shared', file });
    mm.writeBytes(va, new Uint8Array([1]));
    const seen: unknown[] = [];
    mm.registerNotifier({
      invalidateSecondaryTlbs: () => seen.push('told'),
      release: () => seen.push([mm.users, walk(board, mm, va) !== undefined, mm.tryGet(), mm.handleFault(va, READ)]),
    });
    mm.exit();
    expect(seen).toEqual([[0, true, false, 'badAddress']]);
    expect(board.left).toEqual(NOTHING_LEFT);
    expect(file.bytes[0]).toBe(1);
  });
  it('comes with the last user, whoever that is', () => {
    const { board, mm, page } = setUp();
    const device = new Device(board, mm);
    const va = mm.mmap({ ...RW, bytes: page, kind: 'anonymous' });
    expect([mm.tryGet(), mm.tryGet(), mm.users]).toEqual([true, true, 3]);
    mm.exit();
    mm.exit(); // once is enough
    expect([mm.users, device.released, device.access(va, new Uint8Array([1]), true)]).toEqual([2, 0, 'done']);
    mm.put();
    expect([mm.users, device.released]).toEqual([1, 0]);
    mm.put();
    expect([mm.users, device.released]).toEqual([0, 1]);
    expect(board.left).toEqual(NOTHING_LEFT);
    expect(mm.tryGet()).toBe(false);
    expect(() => mm.put()).toThrow(error('EINVAL'));
  });
  it('cannot come before the process exits: a put without a tryGet is refused', () => {
    const { mm } = setUp();
    const device = new Device(new Board(), mm);
    expect(() => mm.put()).toThrow(error('EINVAL'));
    mm.tryGet();
    mm.put();
    expect(() => mm.put()).toThrow(error('EINVAL'));
    expect([device.released, mm.users]).toEqual([0, 1]);
  });
  it('release may sleep and use other processes', () => {
    const { board, mm, page } = setUp();
    const other = board.mmu.createProcess('q');
    mm.registerNotifier({
      invalidateSecondaryTlbs() {},
      release: () => {
        board.scheduler.post('software', () => other.mmap({ ...RW, bytes: page, kind: 'anonymous' }));
        board.scheduler.wait(() => [...other.maps()].length > 0);
      },
    });
    mm.exit();
    expect([...other.maps()].length).toBe(1);
    other.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('after it every call says ESRCH, and a fault badAddress', () => {
    const { mm, page } = setUp();
    const device = new Device(new Board(), mm);
    const va = mm.mmap({ ...RW, bytes: page, kind: 'anonymous' });
    mm.exit();
    for (const call of [
      () => mm.mmap({ ...RW, bytes: page, kind: 'anonymous' }),
      () => mm.munmap(va, page),
      () => mm.mprotect(va, page, RW),
      () => mm.msync(va, page),
      () => load(mm, va, 1),
      () => mm.writeBytes(va, new Uint8Array(1)),
      () => mm.fork('child'),
      () => mm.registerNotifier(device),
    ])
      expect(call).toThrow(error('ESRCH'));
    expect(mm.handleFault(va, READ)).toBe('badAddress');
    mm.unregisterNotifier(device); // it was released: nothing to do
    expect([...mm.maps()]).toEqual([]);
  });
  it('an unregistered notifier hears nothing, not even release', () => {
    const { board, mm, page } = setUp();
    const device = new Device(board, mm);
    const va = mm.mmap({ ...RW, bytes: page, kind: 'anonymous' });
    device.access(va, new Uint8Array([1]), true);
    mm.unregisterNotifier(device);
    expect(() => mm.unregisterNotifier(device)).toThrow(error('ENOENT'));
    mm.munmap(va, page);
    mm.exit();
    expect([device.calls, device.released]).toEqual([[], 0]);
  });
});

describe('the ASID of a process', () => {
  it('can be pinned beyond its end', () => {
    const { board, mm } = setUp();
    expect([mm.pinAsid(), mm.pinAsid(), board.mmu.asids.pinnedCount]).toEqual([1, 1, 1]);
    mm.exit();
    mm.unpinAsid();
    expect(board.mmu.asids.pinnedCount).toBe(1);
    mm.unpinAsid();
    expect(board.mmu.asids.pinnedCount).toBe(0);
    expect(() => mm.unpinAsid()).toThrow(error('EINVAL'));
    expect(board.left).toEqual(NOTHING_LEFT);
  });
});
