import { IommuError } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { Board, error, NOTHING_LEFT } from '../test/board.ts';

describe('bindDevice: a bond is counted per device and process', () => {
  it('gives the same bond again, and ends it with the last user', () => {
    const board = new Board();
    const device = board.ready('a0');
    const mm = board.mmu.createProcess('p');
    const bond = board.sva.bindDevice(device, mm);
    expect(board.sva.bindDevice(device, mm)).toBe(bond);
    expect([bond.users, bond.pasid, board.sva.pasidOf(mm)]).toEqual([2, 1, 1]);
    board.sva.unbindDevice(bond);
    expect([...board.driver.domains][0]!.attached).toEqual(['a0/1']);
    board.sva.unbindDevice(bond);
    expect(board.left).toEqual(NOTHING_LEFT);
    expect(board.sva.pasidOf(mm)).toBeUndefined();
    expect(() => board.sva.unbindDevice(bond)).toThrow(error('EINVAL'));
  });

  it('gives a process one PASID, and devices of one IOMMU one domain', () => {
    const board = new Board();
    const mm = board.mmu.createProcess('p');
    const bonds = ['a0', 'a1', 'b0'].map((name) => board.sva.bindDevice(board.ready(name), mm));
    expect(bonds.map(({ pasid }) => pasid)).toEqual([1, 1, 1]);
    expect(bonds[0]!.domain).toBe(bonds[1]!.domain);
    expect(bonds[0]!.domain).not.toBe(bonds[2]!.domain);
    expect(board.left).toEqual({ pasids: 1, bonds: 3, domains: 2 });
    for (const bond of bonds) board.sva.unbindDevice(bond);
    expect(board.left).toEqual(NOTHING_LEFT);
  });

  it('gives a device that cannot share the domain one of its own', () => {
    const board = new Board();
    const mm = board.mmu.createProcess('p');
    const first = board.sva.bindDevice(board.ready('a0'), mm);
    board.driver.incompatible.add('a1');
    const second = board.sva.bindDevice(board.ready('a1'), mm);
    expect(second.domain).not.toBe(first.domain);
    board.sva.unbindDevice(first);
    board.sva.unbindDevice(second);
    expect(board.left).toEqual(NOTHING_LEFT);
  });

  it('attaches the devices of one group together, until the last of them is unbound', () => {
    const board = new Board();
    const mm = board.mmu.createProcess('p');
    const [a, b] = [board.ready('a0', { isolation: 'bridge' }), board.ready('a1', { isolation: 'bridge' })];
    const bonds = [board.sva.bindDevice(a, mm), board.sva.bindDevice(b, mm)];
    const [domain] = board.driver.domains;
    expect(domain!.attached.toSorted()).toEqual(['a0/1', 'a1/1']);
    board.sva.unbindDevice(bonds[0]!);
    expect(domain!.attached).toHaveLength(2);
    board.sva.unbindDevice(bonds[1]!);
    expect(board.left).toEqual(NOTHING_LEFT);
  });

  it('numbers processes within the range of their first device', () => {
    const board = new Board();
    const device = board.device('a0');
    board.sva.deviceInit(device, { features: 0, minPasid: 5, maxPasid: 6 });
    const processes = ['p', 'q', 'r'].map((name) => board.mmu.createProcess(name));
    const bonds = processes.slice(0, 2).map((mm) => board.sva.bindDevice(device, mm));
    expect(bonds.map(({ pasid }) => pasid)).toEqual([5, 6]);
    expect(() => board.sva.bindDevice(device, processes[2]!)).toThrow(error('ENOSPC'));
    board.sva.unbindDevice(bonds[0]!);
    expect(board.sva.bindDevice(device, processes[2]!).pasid).toBe(5);
  });

  it.each([
    ['above', 2, 0],
    ['below', 1, 1],
  ])('refuses a device for which the PASID that the process has lies %s its range', (_, pasid, maxPasid) => {
    const board = new Board();
    const mm = board.mmu.createProcess('p');
    const first = board.device('a0');
    board.sva.deviceInit(first, { features: 0, minPasid: maxPasid === 1 ? 4 : 1 });
    const bond = board.sva.bindDevice(first, mm);
    const second = board.device('a1');
    board.sva.deviceInit(second, { features: 0, minPasid: pasid, maxPasid });
    expect(() => board.sva.bindDevice(second, mm)).toThrow(error('EOVERFLOW'));
    board.sva.unbindDevice(bond);
    expect(board.left).toEqual(NOTHING_LEFT);
  });
});

describe('bindDevice: what fails leaves nothing behind', () => {
  it.each([
    ['the driver has no domain to give', 'ENOSPC', (b: Board) => (b.driver.refuseDomain = true)],
    ['the driver cannot attach', 'ENOMEM', (b: Board) => b.driver.refuse.add('a0')],
  ])('%s', (_, code, breakIt) => {
    const board = new Board();
    const device = board.ready('a0');
    const mm = board.mmu.createProcess('p');
    breakIt(board);
    expect(() => board.sva.bindDevice(device, mm)).toThrow(error(code));
    expect(board.left).toEqual(NOTHING_LEFT);
    expect(mm.notifiers.empty).toBe(true);
    board.driver.refuseDomain = false;
    board.driver.refuse.clear();
    expect(board.sva.bindDevice(device, mm).pasid).toBe(1);
  });
  it('a second device that cannot be attached leaves the first one bound', () => {
    const board = new Board();
    const mm = board.mmu.createProcess('p');
    const bond = board.sva.bindDevice(board.ready('a0'), mm);
    const second = board.ready('a1');
    board.driver.refuse.add('a1');
    expect(() => board.sva.bindDevice(second, mm)).toThrow(error('ENOMEM'));
    expect(board.left).toEqual({ pasids: 1, bonds: 1, domains: 1 });
    board.sva.unbindDevice(bond);
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('a process that has exited', () => {
    const board = new Board();
    const device = board.ready('a0');
    const mm = board.mmu.createProcess('p');
    mm.exit();
    expect(() => board.sva.bindDevice(device, mm)).toThrow(error('ESRCH'));
    expect(board.left).toEqual(NOTHING_LEFT);
  });
});

describe('unbindDevice: others run while the last faults are dealt with', () => {
  it('refuses a bind of the same pair, and of a device of the same group, until it is done', () => {
    const board = new Board();
    const [device, sibling] = [board.ready('a0', { isolation: 'x' }), board.ready('a1', { isolation: 'x' })];
    const mm = board.mmu.createProcess('p');
    const bond = board.sva.bindDevice(device, mm);
    const tried: string[] = [];
    board.driver.whileDetaching = () => {
      board.driver.whileDetaching = undefined;
      for (const wanted of [device, sibling])
        try {
          board.sva.bindDevice(wanted, mm);
        } catch (e) {
          tried.push((e as { code: string }).code);
        }
      expect(() => board.sva.unbindDevice(bond)).toThrow(error('EINVAL'));
    };
    board.sva.unbindDevice(bond);
    expect(tried).toEqual(['EBUSY', 'EBUSY']);
    expect(board.left).toEqual(NOTHING_LEFT);
    expect(board.sva.bindDevice(device, mm).users).toBe(1);
  });
});

describe('others run while a driver waits', () => {
  it('keeps a shared domain alive for a device that is just being attached to it', () => {
    const board = new Board();
    const mm = board.mmu.createProcess('p');
    const first = board.sva.bindDevice(board.ready('a0'), mm);
    const second = board.ready('a1');
    board.driver.whileAttaching = () => {
      board.driver.whileAttaching = undefined;
      board.sva.unbindDevice(first);
    };
    const bond = board.sva.bindDevice(second, mm);
    expect([...board.driver.domains].map(({ attached }) => attached)).toEqual([['a1/1']]);
    board.sva.unbindDevice(bond);
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('does not bind a process that exits meanwhile', () => {
    const board = new Board();
    const device = board.ready('a0');
    const mm = board.mmu.createProcess('p');
    board.driver.whileAttaching = () => mm.exit();
    expect(() => board.sva.bindDevice(device, mm)).toThrow(error('ESRCH'));
    expect(board.left).toEqual(NOTHING_LEFT);
    expect([...board.driver.domains]).toEqual([]);
  });
  it('leaves a bond as it was if the device cannot be detached now', () => {
    const board = new Board();
    const mm = board.mmu.createProcess('p');
    const bond = board.sva.bindDevice(board.ready('a0'), mm);
    const detach = board.iommu.detachDevicePasid;
    board.iommu.detachDevicePasid = () => {
      throw new IommuError('EBUSY', 'the group is being changed');
    };
    expect(() => board.sva.unbindDevice(bond)).toThrow(error('EBUSY'));
    board.iommu.detachDevicePasid = detach;
    expect(bond.users).toBe(1);
    board.sva.unbindDevice(bond);
    expect(board.left).toEqual(NOTHING_LEFT);
  });
});

describe('a process exits while it is bound', () => {
  it('is quiet on every IOMMU before any user is told', () => {
    const board = new Board();
    const mm = board.mmu.createProcess('p');
    const log: string[] = [];
    board.driver.log = log;
    board.other.log = log;
    const bonds = ['a0', 'b0'].map((name) =>
      board.sva.bindDevice(board.ready(name), mm, { onExit: ({ device }) => log.push(`stop ${device.name}`) }),
    );
    log.length = 0;
    mm.exit();
    expect(log).toEqual(['quiet p', 'quiet p', 'stop a0', 'stop b0']);
    expect(() => board.sva.bindDevice(board.ready('a1'), mm)).toThrow(error('ESRCH'));
    for (const bond of bonds) board.sva.unbindDevice(bond);
    expect(board.left).toEqual(NOTHING_LEFT);
  });

  it('is quiet first, then told to every user once; the bond stays until it is unbound', () => {
    const board = new Board();
    const device = board.ready('a0');
    const mm = board.mmu.createProcess('p');
    const { log } = board.driver;
    const bond = board.sva.bindDevice(device, mm, { onExit: ({ pasid }) => log.push(`stop ${pasid}`) });
    board.sva.bindDevice(device, mm, { onExit: () => log.push('stop again') });
    log.length = 0;
    mm.exit();
    expect(log).toEqual(['quiet p', 'stop 1', 'stop again']);
    expect([bond.exited, bond.users, board.pasids.liveCount]).toEqual([true, 2, 1]);
    expect(() => board.sva.bindDevice(device, mm)).toThrow(error('ESRCH'));
    board.sva.unbindDevice(bond);
    board.sva.unbindDevice(bond);
    expect(board.left).toEqual(NOTHING_LEFT);
  });
  it('may be unbound from inside the callback', () => {
    const board = new Board();
    const mm = board.mmu.createProcess('p');
    for (const name of ['a0', 'a1', 'b0'])
      board.sva.bindDevice(board.ready(name), mm, { onExit: (bond) => board.sva.unbindDevice(bond) });
    mm.exit();
    expect(board.left).toEqual(NOTHING_LEFT);
  });
});
