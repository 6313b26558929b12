import type { IommuDriver } from '@smmu/iommu';
import { describe, expect, it } from 'vitest';
import { Board, error, FakeDriver } from '../test/board.ts';
import { SVA_IOPF } from './index.ts';

describe('deviceInit: what the series of 2018 left open', () => {
  it('prepares a device, and undoes it', () => {
    const { sva, driver, ...board } = new Board();
    const device = { name: 'a0', bus: 'platform', streamIds: [1], pasidBits: 10, canStall: true } as const;
    expect(() => sva.deviceInit(device, { features: 0 })).toThrow(error('ENODEV')); // not probed yet
    board.iommu.probeDevice(device);
    sva.deviceInit(device, { features: SVA_IOPF });
    sva.deviceShutdown(device);
    expect(driver.log).toEqual(['enable a0 1', 'disable a0']);
    sva.deviceInit(device, { features: 0 });
    expect(driver.log).toHaveLength(3);
  });
  it('is refused for a device that is prepared, before its driver hears of it', () => {
    const board = new Board();
    const device = board.ready('a0');
    expect(() => board.sva.deviceInit(device, { features: 0 })).toThrow(error('EEXIST'));
    expect(board.driver.log).toEqual(['enable a0 0']);
  });
  it('is refused for features that nobody knows', () => {
    const board = new Board();
    expect(() => board.sva.deviceInit(board.device('a0'), { features: SVA_IOPF | 2 })).toThrow(error('EINVAL'));
    expect(board.driver.log).toEqual([]);
  });
  it.each([
    ['zero, which names transactions without one', 0, 5],
    ['upside down', 6, 5],
    ['above what the device can', 1024, 0],
  ])('is refused for a range of PASIDs that is %s', (_, minPasid, maxPasid) => {
    const board = new Board();
    const device = board.device('a0'); // 10 bits
    expect(() => board.sva.deviceInit(device, { features: 0, minPasid, maxPasid })).toThrow(error('EINVAL'));
  });
  it('leaves a device unprepared if its driver throws', () => {
    const board = new Board();
    const device = board.device('a0');
    board.driver.refuseEnable = true;
    expect(() => board.sva.deviceInit(device, { features: 0 })).toThrow(error('ENOMEM'));
    board.driver.refuseEnable = false;
    board.sva.deviceInit(device, { features: 0 });
  });
  it('ends only while nothing is bound', () => {
    const board = new Board();
    const device = board.ready('a0');
    const mm = board.mmu.createProcess('p');
    const bond = board.sva.bindDevice(device, mm);
    expect(() => board.sva.deviceShutdown(device)).toThrow(error('EBUSY'));
    board.sva.unbindDevice(bond);
    board.sva.deviceShutdown(device);
    expect(() => board.sva.deviceShutdown(device)).toThrow(error('ENODEV'));
    expect(() => board.sva.bindDevice(device, mm)).toThrow(error('ENODEV'));
  });
});

describe('whyNot: every reason in words', () => {
  it('has none for a device that can', () => {
    const board = new Board();
    expect(board.sva.whyNot(board.device('a0'))).toEqual([]);
  });
  it('tells of a device behind no IOMMU', () => {
    const board = new Board();
    const device = { name: 'x', bus: 'pci', streamIds: [], pasidBits: 0, canStall: false } as const;
    expect(board.sva.whyNot(device).join()).toContain('x');
    expect(() => board.sva.deviceInit(device, { features: 0 })).toThrow(error('ENODEV'));
  });
  it('tells of a driver that cannot share page tables', () => {
    const board = new Board();
    const { allocSvaDomain: _, ...methods } = new FakeDriver('c');
    const driver = Object.setPrototypeOf(
      { ...methods, name: 'c' },
      {
        ...Object.fromEntries(
          Object.getOwnPropertyNames(FakeDriver.prototype)
            .filter((name) => name !== 'allocSvaDomain' && name !== 'constructor')
            .map((name) => [name, FakeDriver.prototype[name as 'claims']]),
        ),
      },
    ) as IommuDriver;
    board.iommu.registerDriver(driver);
    expect(board.sva.whyNot(board.device('c0'))).toEqual(["driver c cannot share a process's page tables"]);
  });
  it('tells what the driver says, and what the device lacks, together', () => {
    const board = new Board();
    board.driver.why = 'the SMMU has no stage 1';
    const device = board.device('a0', { pasidBits: 0 });
    const reasons = board.sva.whyNot(device);
    expect(reasons).toHaveLength(2);
    expect(reasons[1]).toBe('the SMMU has no stage 1');
    expect(() => board.sva.deviceInit(device, { features: 0 })).toThrow(/; the SMMU has no stage 1/);
  });
});
