import { IopfQueue } from '@smmu/io-pgfault';
import type { Device, IopfFault } from '@smmu/iommu';
import { describe, expect, it } from 'vitest';
import { Board, NOTHING_LEFT, zeros } from '../test/board.ts';
import type { SvaBond } from './index.ts';

const PAGE = 4096;

/** A bound process with an area, and a device that faults. */
function bound(maxRepeats?: number) {
  const board = new Board(maxRepeats === undefined ? {} : { maxRepeats });
  const device = board.ready('a0');
  const queue = new IopfQueue(board.scheduler, 'a');
  queue.addDevice(device, board.driver, board.iommu);
  const mm = board.mmu.createProcess('p');
  const area = mm.mmap({ bytes: 64 * PAGE, kind: 'anonymous', read: true, write: true });
  const bond = board.sva.bindDevice(device, mm);
  return { board, device, queue, mm, area, bond, fault: faultOf(bond, device, queue) };
}

function faultOf(bond: SvaBond, device: Device, queue: IopfQueue) {
  let groupId = 0;
  return (address: number, more: Partial<IopfFault> = {}) => {
    const base = { pasid: bond.pasid, read: true, write: false, exec: false, privileged: false, last: true };
    queue.report(device, { ...base, groupId: groupId++, address, ...more });
  };
}

describe('faults on a bound process', () => {
  it('bring the page in, and are answered with success', () => {
    const { board, mm, area, fault, bond } = bound();
    fault(area, { write: true });
    fault(area + PAGE);
    board.scheduler.run();
    expect(board.driver.responses.map((r) => r[2])).toEqual(['success', 'success']);
    expect([mm.residentPages, board.sva.faults.resolved]).toEqual([2, 2]);
    board.sva.unbindDevice(bond);
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });

  it.each([
    ['where nothing is mapped', (area: number) => area + 64 * PAGE, {}],
    ['beyond the address space', () => 2 ** 63, {}],
    ['that execute where that is not allowed', (area: number) => area, { exec: true, read: false }],
  ])('%s are answered with invalid', (_, where, more) => {
    const { board, area, fault } = bound();
    fault(where(area), more);
    board.scheduler.run();
    expect(board.driver.responses.map((r) => r[2])).toEqual(['invalid']);
    expect(board.sva.faults).toMatchObject({ resolved: 0, refused: 1 });
  });

  it('follow what the area allows, not what the table holds', () => {
    const { board, mm, fault } = bound();
    const readOnly = mm.mmap({ bytes: PAGE, kind: 'private', file: zeros, read: true, write: false });
    fault(readOnly);
    board.scheduler.run();
    fault(readOnly, { write: true });
    board.scheduler.run();
    expect(board.driver.responses.map((r) => r[2])).toEqual(['success', 'invalid']);
  });

  it('of a group share one answer: the first that fails decides, and the rest is not tried', () => {
    const { board, mm, area, fault } = bound();
    const group = { groupId: 77, last: false };
    fault(area, group);
    fault(area + 64 * PAGE, group);
    fault(area + PAGE, { ...group, last: true });
    board.scheduler.run();
    expect(board.driver.responses).toEqual([['a0', 77, 'invalid']]);
    expect(mm.residentPages).toBe(1);
  });

  it('are refused when there is no memory, and everything else goes on', () => {
    const { board, area, fault } = bound();
    board.frames.fail = () => true;
    fault(area, { write: true });
    board.scheduler.run();
    board.frames.fail = null;
    fault(area, { write: true });
    board.scheduler.run();
    expect(board.driver.responses.map((r) => r[2])).toEqual(['invalid', 'success']);
    expect(board.sva.faults).toMatchObject({ outOfMemory: 1, resolved: 1 });
  });

  it('of a process that has exited are refused', () => {
    const { board, mm, area, fault } = bound();
    fault(area);
    mm.exit();
    board.scheduler.run();
    expect(board.driver.responses.map((r) => r[2])).toEqual(['invalid']);
    expect(board.sva.faults.exited).toBe(1);
  });

  it('that arrive before an unbind and are handled after it are refused', () => {
    const { board, bond, area, fault } = bound();
    fault(area);
    board.sva.unbindDevice(bond);
    board.scheduler.run();
    expect(board.driver.responses.map((r) => r[2])).toEqual(['invalid']);
    expect(board.sva.faults.resolved).toBe(0);
    expect(board.left).toEqual(NOTHING_LEFT);
  });

  it('of a device that is unbound while another of its group keeps the PASID attached are refused', () => {
    const board = new Board();
    const [a, b] = [board.ready('a0', { isolation: 'bridge' }), board.ready('a1', { isolation: 'bridge' })];
    const mm = board.mmu.createProcess('p');
    const area = mm.mmap({ bytes: PAGE, kind: 'anonymous', read: true, write: true });
    const [first] = [board.sva.bindDevice(a, mm), board.sva.bindDevice(b, mm)];
    const queue = new IopfQueue(board.scheduler, 'a');
    queue.addDevice(a, board.driver, board.iommu);
    board.sva.unbindDevice(first!);
    faultOf(first!, a, queue)(area);
    board.scheduler.run();
    expect(board.driver.responses.map((r) => r[2])).toEqual(['invalid']);
    expect(board.sva.faults).toMatchObject({ resolved: 0, exited: 1 });
  });
});

describe('a device that faults on the same page for ever', () => {
  it('is told to give up after 64 answers that changed nothing', () => {
    const { board, area, fault } = bound();
    for (let i = 0; i < 66; i++) {
      fault(area);
      board.scheduler.run();
    }
    const answers = board.driver.responses.map((r) => r[2]);
    expect(answers.slice(0, 65)).toEqual(Array(65).fill('success'));
    expect(answers[65]).toBe('invalid');
    expect(board.sva.faults.repeated).toBe(1);
  });

  it('is seen through when it takes turns between a few pages', () => {
    const { board, area, fault } = bound(5);
    for (let i = 0; i < 30; i++) {
      fault(area + (i % 3) * PAGE);
      board.scheduler.run();
    }
    expect(board.sva.faults.repeated).toBeGreaterThan(0);
  });

  it('is not one whose transactions stall on one page together', () => {
    const { board, area, fault } = bound(5);
    for (let i = 0; i < 500; i++) fault(area);
    board.scheduler.run();
    expect(board.sva.faults).toMatchObject({ resolved: 500, repeated: 0 });
  });

  it('is not one that works through its pages and comes back', () => {
    const { board, area, fault } = bound(5);
    for (let i = 0; i < 640; i++) {
      fault(area + (i % 64) * PAGE);
      board.scheduler.run();
    }
    expect(board.sva.faults).toMatchObject({ resolved: 640, repeated: 0 });
  });

  it('gets another chance after it was told', () => {
    const { board, area, fault } = bound(2);
    for (let i = 0; i < 5; i++) {
      fault(area);
      board.scheduler.run();
    }
    expect(board.driver.responses.map((r) => r[2])).toEqual(['success', 'success', 'success', 'invalid', 'success']);
  });
});
