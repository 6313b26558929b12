import { type Device, Iommu } from '@smmu/iommu';
import { IommuError, NonCoherentDma, Trace } from '@smmu/platform';
import { CD, STE } from '@smmu/spec';
import { SVA_IOPF } from '@smmu/sva-core';
import { describe, expect, it } from 'vitest';
import { FakeMm } from '../test/fakeMm.ts';
import { type FakeBoard, fakeBoard, IDR0, REG } from '../test/fakeSmmu.ts';
import type { SmmuV3Options } from './options.ts';
import type { PagingDomain } from './pagingDomain.ts';
import { SmmuV3 } from './smmu.ts';

const accelerator: Device = { name: '0000:00:01.0', bus: 'pci', streamIds: [8], pasidBits: 16, canStall: true };
const nic: Device = { name: '0000:00:02.0', bus: 'pci', streamIds: [16, 17, 16], pasidBits: 0, canStall: false };

function make(options: Partial<SmmuV3Options> = {}, board: FakeBoard = fakeBoard()) {
  const iommu = new Iommu();
  const smmu = SmmuV3.probe({
    ...board,
    name: 'arm-smmu-v3.0.auto',
    interrupts: board.hardware.lines,
    iommu,
    ...options,
  });
  board.hardware.take();
  return { board, hardware: board.hardware, iommu, smmu };
}
/** With IDR0 bits switched on before it is probed. */
const withIdr0 = (bits: number, board = fakeBoard()): FakeBoard => {
  board.hardware.set(REG.IDR0, board.hardware.at(REG.IDR0) | bits);
  return board;
};
const ste = ({ memory }: FakeBoard, smmu: SmmuV3, sid: number) => {
  const at = memory.at(smmu.strtab.entryAddress(sid));
  const entry = memory.words.slice(at, at + 16);
  return { config: STE.Config.get(entry, 0), s1dss: STE.S1DSS.get(entry, 0), eats: STE.EATS.get(entry, 0), entry };
};
/** The descriptor of a SubstreamID, found as the hardware finds it: STE, level 1, leaf. */
function cd(board: FakeBoard, smmu: SmmuV3, sid: number, ssid: number): Uint32Array {
  const { entry } = ste(board, smmu, sid);
  const { memory } = board;
  let pa = STE.S1ContextPtr.get(entry, 0) + ssid * 64;
  if (STE.S1Fmt.get(entry, 0) === 1) {
    expect(memory.read64(STE.S1ContextPtr.get(entry, 0) + (ssid >> 6) * 8)).toBe(true);
    expect(memory.lo & 1).toBe(1);
    pa = memory.hi * 2 ** 32 + ((memory.lo & 0xffff_f000) >>> 0) + (ssid & 63) * 64;
  }
  const at = memory.at(pa);
  return memory.words.slice(at, at + 16);
}
const code = (expected: string, message?: RegExp) =>
  expect.objectContaining({ code: expected, ...(message && { message: expect.stringMatching(message) }) });

describe('probe and remove', () => {
  it('an SMMU that is probed runs, one that is removed has left nothing', () => {
    const { board, smmu, iommu, hardware } = make();
    expect(hardware.at(REG.CR0ACK)).toBe(0xd);
    expect(board.lines.slice(-2)).toEqual([
      'arm-smmu-v3 arm-smmu-v3.0.auto: v3.2, ias 48-bit, oas 48-bit',
      'arm-smmu-v3 arm-smmu-v3.0.auto: allocated 256 entries for cmdq, 128 for evtq',
    ]);
    smmu.remove();
    expect(board.pages.livePages).toBe(0);
    expect(hardware.at(REG.CR0)).toBe(0);
    expect(hardware.at(REG.GBPA) & 0x10_0000).not.toBe(0); // what still arrives aborts
    expect(() => iommu.unregisterDriver(smmu)).toThrow(code('ENODEV'));
    hardware.lines.eventq.raise(); // nobody is there to answer
    board.scheduler.run();
  });
  it('wherever memory runs out, nothing is left', () => {
    for (let nth = 0; ; nth++) {
      const board = withIdr0(IDR0.ATS + IDR0.PRI);
      board.pages.fail = (n) => n >= nth;
      try {
        make({}, board);
      } catch (error) {
        expect(error).toEqual(code('ENOMEM'));
        expect(board.pages.livePages).toBe(0);
        continue;
      }
      expect(nth).toBe(4); // command, event, PRI queue, level 1 stream table
      break;
    }
  });
  it.each([
    ['does not follow', (board: FakeBoard) => board.hardware.deaf.add(REG.CR0)],
    ['does not take commands', (board: FakeBoard) => (board.hardware.hung = true)],
  ])('an SMMU that %s leaves nothing either', (_what, hurt) => {
    const board = fakeBoard();
    board.hardware.set(REG.CR0ACK, 1);
    hurt(board);
    expect(() => make({}, board)).toThrow(code('ETIMEDOUT'));
    expect(board.pages.livePages).toBe(0);
  });
  it('nor one that the core refuses: it is off again', () => {
    const board = fakeBoard();
    const iommu = new Iommu();
    iommu.registerDriver = () => {
      throw new IommuError('EBUSY', 'no');
    };
    expect(() => make({ iommu }, board)).toThrow(code('EBUSY'));
    expect(board.pages.livePages).toBe(0);
    expect(board.hardware.at(REG.CR0ACK)).toBe(0);
  });
  it.each(['e2h', 'broadcastTlb', 'msiCompletion'] as const)(
    '%s is refused where the SMMU has no such thing',
    (option) => {
      const board = fakeBoard();
      expect(() => make({ [option]: true }, board)).toThrow(code('EINVAL'));
      expect(board.pages.livePages).toBe(0);
    },
  );
  it('MSI completion is the default where it can be had, and can be declined', () => {
    const cs = (options: Partial<SmmuV3Options>) => {
      const { smmu, hardware } = make(options, withIdr0(IDR0.MSI));
      smmu.cmdq.sync();
      return (hardware.commands[0]!.words[0]! >>> 12) & 3;
    };
    expect([cs({}), cs({ msiCompletion: true }), cs({ msiCompletion: false })]).toEqual([1, 1, 0]);
  });
  it('what the board says of coherence counts more than IDR0.COHACC', () => {
    const board = fakeBoard({ coherence: (cpu, device) => new NonCoherentDma(cpu, device) });
    const { smmu } = make({}, board);
    expect(board.lines[0]).toBe('arm-smmu-v3 arm-smmu-v3.0.auto: IDR0.COHACC overridden by FW configuration (false)');
    smmu.remove();
  });
  it('a queue is no longer than the SMMU can have', () => {
    const { smmu } = make({ cmdqEntriesLog2: 19, evtqEntriesLog2: 19 });
    expect([smmu.cmdq.queue.log2Entries, smmu.evtq.queue.log2Entries]).toEqual([8, 7]);
  });
  it('a device that is in use keeps the SMMU', () => {
    const { smmu, iommu, board } = make();
    iommu.probeDevice(accelerator);
    const domain = iommu.allocDomain('unmanaged', accelerator);
    iommu.attachDevice(domain, accelerator);
    expect(() => smmu.remove()).toThrow(code('EBUSY'));
    iommu.detachDevice(domain, accelerator);
    iommu.freeDomain(domain);
    smmu.remove();
    expect(board.pages.livePages).toBe(0);
  });
  it('an SMMU that does not go off is left to itself, with everything given back', () => {
    const { smmu, board, hardware } = make();
    hardware.deaf.add(REG.CR0);
    expect(() => smmu.remove()).toThrow(code('ETIMEDOUT'));
    expect(board.pages.livePages).toBe(0);
  });
  it('service failure mode switches it off', () => {
    const { board, hardware } = make();
    hardware.set(REG.GERROR, 0x100);
    hardware.lines.gerror.raise();
    board.scheduler.run();
    expect(hardware.at(REG.CR0ACK)).toBe(0);
    expect(board.lines.at(-1)).toMatch(/Service Failure Mode/);
  });
  it('one that does not even turn off is left to itself', () => {
    const { board, hardware } = make();
    hardware.deaf.add(REG.CR0);
    hardware.set(REG.GERROR, 0x100);
    hardware.lines.gerror.raise();
    board.scheduler.run();
    expect(board.lines.at(-1)).toMatch(/does not even turn off: CR0 0x00000000 was not followed/);
    expect(hardware.at(REG.GERRORN)).toBe(0x100);
  });
});

describe('devices', () => {
  it('a stream aborts until its device is attached; released, it aborts again and nothing is left', () => {
    const { board, smmu, iommu, hardware } = make();
    const before = board.pages.livePages;
    smmu.probeDevice(accelerator);
    expect(ste(board, smmu, 8).config).toBe(0);
    expect(hardware.take()).toEqual(['CMD_CFGI_STE', 'CMD_SYNC']); // the leaf table is new: Leaf=0
    smmu.releaseDevice(accelerator);
    iommu.probeDevice(accelerator);
    expect(ste(board, smmu, 8)).toMatchObject({ config: 5, s1dss: 2 });
    iommu.releaseDevice(accelerator);
    expect(ste(board, smmu, 8).config).toBe(0);
    expect(hardware.take()).toContain('CMD_STALL_TERM');
    expect(board.pages.livePages).toBe(before + 4); // the leaf stream table stays
    smmu.remove();
    expect(board.pages.livePages).toBe(0);
  });
  it('two devices with one StreamID are refused: nobody could tell their faults apart', () => {
    const { smmu } = make();
    smmu.probeDevice(nic);
    expect(() => smmu.probeDevice({ ...accelerator, streamIds: [7, 17] })).toThrow(
      code('EEXIST', /0x11 of 0000:00:01.0 is 0000:00:02.0's/),
    );
    smmu.probeDevice({ ...accelerator, streamIds: [7] }); // nothing of the refused one is left
  });
  it.each([
    ['EBUSY', nic, nic],
    ['EINVAL', undefined, { ...nic, streamIds: [] }],
    ['ERANGE', undefined, { ...nic, streamIds: [1, 0x10000] }],
  ])('%s', (expected, first, device) => {
    const { smmu } = make();
    if (first) smmu.probeDevice(first);
    expect(() => smmu.probeDevice(device)).toThrow(code(expected));
    if (!first) expect(() => smmu.releaseDevice(device)).toThrow(code('ENODEV'));
  });
  it('claims the devices that the board gives it, or all whose streams it reaches', () => {
    const { smmu } = make();
    expect([smmu.claims(nic), smmu.claims({ ...nic, streamIds: [0x10000] })]).toEqual([true, false]);
    expect(make({ claims: (device) => device === nic }).smmu.claims(accelerator)).toBe(false);
  });
  it('PASIDs are enabled at the function, and off where that fails', () => {
    const calls: string[] = [];
    const pci = { enablePasid: () => calls.push('on'), disablePasid: () => calls.push('off') };
    const { smmu, board } = make();
    const good = { ...accelerator, pci };
    smmu.probeDevice(good);
    expect(smmu.maxPasids(good)).toBe(65536);
    smmu.releaseDevice(good);
    expect(calls).toEqual(['on', 'off']);
    const refuse = () => {
      throw new IommuError('EINVAL', 'no prefix can travel');
    };
    const bad = { ...accelerator, pci: { ...pci, enablePasid: refuse } };
    smmu.probeDevice(bad);
    expect(smmu.maxPasids(bad)).toBe(0);
    expect(smmu.svaSupport(bad)).toMatch(/could not be enabled/);
    expect(board.lines.at(-1)).toMatch(/failed to enable PASIDs of 0000:00:01.0: no prefix can travel/);
    const broken = {
      ...accelerator,
      pci: {
        ...pci,
        enablePasid: () => {
          throw new Error('bug');
        },
      },
    };
    smmu.releaseDevice(bad);
    expect(() => smmu.probeDevice(broken)).toThrow('bug');
    smmu.probeDevice(good);
  });
  it('wherever memory runs out while a device is probed and attached, all is as before', () => {
    for (let nth = 0; ; nth++) {
      const { board, iommu, smmu } = make();
      const asids = smmu.asids.used;
      const start = board.pages.allocations;
      board.pages.fail = (n) => n >= start + nth;
      let failed = false;
      try {
        iommu.probeDevice(accelerator);
      } catch (error) {
        failed = true;
        expect(error).toEqual(code('ENOMEM'));
        expect(smmu.asids.used).toBe(asids);
      }
      board.pages.fail = null;
      if (failed) iommu.probeDevice(accelerator);
      smmu.remove();
      expect(board.pages.livePages).toBe(0);
      if (!failed) {
        expect(nth).toBe(4); // leaf STEs, page table root, level 1 CDs, leaf CDs
        break;
      }
    }
  });
  it('a stuck command queue takes no device', () => {
    const { smmu, hardware } = make();
    smmu.probeDevice(accelerator);
    hardware.hung = true;
    smmu.cmdq.sync();
    expect(() => smmu.identityDomain.attachDevice(accelerator)).toThrow(code('EIO'));
    expect(() => smmu.blockedDomain.attachDevice(nic)).toThrow(code('ENODEV'));
    hardware.hung = false;
    hardware.kick();
    smmu.identityDomain.attachDevice(accelerator);
  });
  it('reserves the window for interrupt doorbells', () => {
    expect(make().smmu.reservedRegions()).toEqual([{ type: 'software-msi', start: 0x800_0000, length: 0x10_0000 }]);
  });
});

describe('domains', () => {
  const attached = (options: Partial<SmmuV3Options> = {}, board?: FakeBoard) => {
    const made = make(options, board);
    made.iommu.probeDevice(accelerator);
    made.hardware.take();
    return { ...made, domain: made.iommu.domainOf(accelerator) };
  };
  it('a DMA domain is stage 1 with the descriptor of SubstreamID 0 and a private ASID', () => {
    const { board, smmu } = attached();
    const entry = cd(board, smmu, 8, 0);
    expect(CD.V.get(entry, 0)).toBe(true);
    expect(CD.ASET.get(entry, 0)).toBe(true);
    expect(CD.ASID.get(entry, 0)).toBe(65535);
    expect(CD.S.get(entry, 0)).toBe(true);
    expect(CD.EPD1.get(entry, 0)).toBe(true);
    expect(STE.S1CDMax.get(ste(board, smmu, 8).entry, 0)).toBe(16);
  });
  it('unmapping invalidates once a sync', () => {
    const { iommu, domain, hardware, smmu } = attached();
    iommu.map(domain, 0x10_0000, 0x8020_0000, 0x3000, 3);
    expect(hardware.take()).toEqual([]);
    expect(iommu.iovaToPhys(domain, 0x10_1234)).toBe(0x8020_1234);
    expect(iommu.unmap(domain, 0x10_0000, 0x3000)).toBe(0x3000);
    expect(hardware.take()).toEqual([...Array(3).fill('CMD_TLBI_NH_VA'), 'CMD_SYNC']);
    expect(smmu.asids.used).toBe(1);
    domain.flushIotlbAll!();
    expect(hardware.take()).toEqual(['CMD_TLBI_NH_ASID', 'CMD_SYNC']);
  });
  it('far pages in one gather are invalidated one after the other', () => {
    const { iommu, domain, hardware } = attached();
    iommu.map(domain, 0x10_0000, 0x8020_0000, 0x1000, 3);
    iommu.map(domain, 0x4000_0000, 0x8020_0000, 0x1000, 3);
    const gather = domain.newGather!();
    iommu.unmapFast(domain, 0x10_0000, 0x1000, gather);
    iommu.unmapFast(domain, 0x4000_0000, 0x1000, gather);
    expect(hardware.take()).toEqual(['CMD_TLBI_NH_VA', 'CMD_SYNC']);
    domain.iotlbSync!(gather);
    expect(hardware.take()).toEqual(['CMD_TLBI_NH_VA', 'CMD_SYNC']);
    domain.iotlbSync!(gather); // nothing left
    expect(hardware.take()).toEqual([]);
  });
  it('replacing a table by a block invalidates at every level, and frees the table', () => {
    const { iommu, domain, hardware, board } = attached();
    const before = board.pages.livePages;
    iommu.map(domain, 2 ** 30, 0x8020_0000, 0x1000, 3);
    iommu.unmap(domain, 2 ** 30, 0x1000);
    hardware.take();
    iommu.map(domain, 2 ** 30, 0x8020_0000, 2 ** 21, 3);
    expect(hardware.take().length).toBeGreaterThan(0);
    iommu.unmap(domain, 2 ** 30, 2 ** 21);
    expect(board.pages.livePages).toBeLessThanOrEqual(before + 3);
  });
  it('a second domain has tables and an ASID of its own; moving there drops the first’s translations', () => {
    const { iommu, smmu, board, hardware, domain } = attached();
    const other = iommu.allocDomain('unmanaged', accelerator);
    iommu.attachDevice(other, accelerator);
    expect(CD.ASID.get(cd(board, smmu, 8, 0), 0)).toBe(65534);
    const dropped = hardware.commands
      .filter(({ name }) => name === 'CMD_TLBI_NH_ASID')
      .map(({ words }) => words[1]! >>> 16);
    expect(dropped).toEqual([65535]);
    expect(() => other.free()).toThrow(code('EBUSY'));
    hardware.take();
    other.attachDevice(accelerator); // there already
    expect(hardware.take()).toEqual([]);
    iommu.detachDevice(other, accelerator);
    iommu.freeDomain(other);
    expect(smmu.asids.used).toBe(1);
    expect(iommu.domainOf(accelerator)).toBe(domain);
  });
  it('identity and blocked are plain entries', () => {
    const { smmu, board } = attached();
    smmu.identityDomain.attachDevice(accelerator);
    expect(ste(board, smmu, 8).config).toBe(4);
    smmu.blockedDomain.attachDevice(accelerator);
    expect(ste(board, smmu, 8).config).toBe(0);
    smmu.identityDomain.free();
  });
  it('all streams of a device get the same entry', () => {
    const { smmu, iommu, board } = make();
    iommu.probeDevice(nic);
    expect(ste(board, smmu, 16).entry).toEqual(ste(board, smmu, 17).entry);
    expect(STE.S1STALLD.get(ste(board, smmu, 16).entry, 0)).toBe(true); // it cannot wait
    expect(STE.S1CDMax.get(ste(board, smmu, 16).entry, 0)).toBe(0);
  });
  it('tables have the page size of the CPUs, the one asked for, or the smallest', () => {
    const smallest = (options: Partial<SmmuV3Options>) => Math.min(...attached(options).domain.pageSizes!);
    expect(smallest({})).toBe(4096);
    expect(smallest({ granuleShift: 14 })).toBe(16384);
    expect(smallest({ cpu: { granuleShift: 16, vaBits: 48, paBits: 48, asidBits: 16 } })).toBe(65536);
    const board = fakeBoard();
    board.hardware.set(REG.IDR5, 5 | (1 << 4));
    expect(() => attached({ granuleShift: 16 }, board)).toThrow(code('EINVAL'));
  });
  it('an SMMU with stage 2 alone has its domains there', () => {
    const board = fakeBoard();
    board.hardware.set(REG.IDR0, board.hardware.at(REG.IDR0) & ~2);
    const { smmu, iommu, domain, hardware } = attached({}, board);
    expect(ste(board, smmu, 8).config).toBe(6);
    expect(STE.S2VMID.get(ste(board, smmu, 8).entry, 0)).toBe(1);
    iommu.map(domain, 0x10_0000, 0x8020_0000, 0x1000, 3);
    iommu.unmap(domain, 0x10_0000, 0x1000);
    expect(hardware.take()).toEqual(['CMD_TLBI_S2_IPA', 'CMD_SYNC']);
    expect(smmu.svaSupport(accelerator)).toMatch(/no stage 1/);
    expect(smmu.maxPasids(accelerator)).toBe(0);
    smmu.remove();
    expect(board.pages.livePages).toBe(0);
  });
  it('…or where it is asked to; PASIDs then have no place', () => {
    const { smmu, domain } = attached({ pagingStage: 2 });
    smmu.enableSva(accelerator, SVA_IOPF);
    const process = smmu.allocSvaDomain(accelerator, new FakeMm(7).mm);
    expect(() => process.attachPasid(accelerator, 5, undefined)).toThrow(
      code('EINVAL', /without PASID are at stage 2/),
    );
    expect(() => domain.attachPasid!(accelerator, 5, undefined)).toThrow(code('EINVAL', /needs a stage 1 domain/));
    expect(() => process.makeSte()).toThrow(code('EINVAL'));
    smmu.identityDomain.attachDevice(accelerator);
    process.attachPasid(accelerator, 5, undefined);
    expect(() => domain.attachDevice(accelerator)).toThrow(code('EBUSY', /1 PASIDs attached/));
  });
  it.each([1, 2] as const)('stage %i is refused where the SMMU lacks it', (pagingStage) => {
    const board = fakeBoard();
    board.hardware.set(REG.IDR0, board.hardware.at(REG.IDR0) & ~(pagingStage === 1 ? 2 : 1));
    expect(() => attached({ pagingStage }, board)).toThrow(code('EINVAL', /has no stage/));
  });
  it('without a free ASID there is no domain, and no table is left', () => {
    const board = fakeBoard();
    board.hardware.set(REG.IDR0, board.hardware.at(REG.IDR0) & ~0x1000); // 8-bit ASIDs
    const { iommu } = attached({}, board);
    const domains = Array.from({ length: 254 }, () => iommu.allocDomain('unmanaged', accelerator));
    const before = board.pages.livePages;
    expect(() => iommu.allocDomain('unmanaged', accelerator)).toThrow(code('ENOSPC'));
    expect(board.pages.livePages).toBe(before);
    for (const domain of domains) iommu.freeDomain(domain);
  });
  it('a table that drops everything at once drops the tag', () => {
    const { domain, hardware } = attached();
    (domain as PagingDomain).table.tlb!.flushAll();
    expect(hardware.take()).toEqual(['CMD_TLBI_NH_ASID', 'CMD_SYNC']);
  });
  it('a domain of one SMMU is not for a device of another', () => {
    const { smmu } = attached();
    const other = attached();
    expect(() => other.domain.attachDevice(accelerator)).not.toThrow();
    smmu.probeDevice(nic);
    expect(() => other.domain.attachDevice(nic)).toThrow(code('ENODEV'));
  });
});

describe('SVA', () => {
  const cpu = { granuleShift: 12, vaBits: 48, paBits: 48, asidBits: 16 } as const;
  const ready = (options: Partial<SmmuV3Options> = {}, board?: FakeBoard) => {
    const made = make({ cpu, ...options }, board);
    made.iommu.probeDevice(accelerator);
    made.smmu.enableSva(accelerator, SVA_IOPF);
    made.hardware.take();
    return made;
  };
  const bound = (asid = 7, pasid = 5) => {
    const made = ready();
    const mm = new FakeMm(asid);
    const domain = made.smmu.allocSvaDomain(accelerator, mm.mm);
    made.iommu.attachDevicePasid(domain, accelerator, pasid);
    return { ...made, mm, domain, pasid };
  };

  it('binds: the process’s tables and ASID, beside the DMA domain (S1DSS=2)', () => {
    const { board, smmu, mm, hardware } = bound();
    const entry = cd(board, smmu, 8, 5);
    expect(CD.V.get(entry, 0)).toBe(true);
    expect(CD.TTB0.get(entry, 0)).toBe(mm.stage1.ttbr);
    expect(CD.ASID.get(entry, 0)).toBe(7);
    expect(CD.ASET.get(entry, 0)).toBe(false);
    expect(CD.S.get(entry, 0)).toBe(true);
    expect(CD.AFFD.get(entry, 0)).toBe(false);
    expect(ste(board, smmu, 8)).toMatchObject({ config: 5, s1dss: 2 });
    expect(CD.V.get(cd(board, smmu, 8, 0), 0)).toBe(true);
    expect(mm.pins).toBe(1);
    expect(hardware.take()).toEqual(['CMD_CFGI_CD', 'CMD_SYNC', 'CMD_CFGI_CD', 'CMD_SYNC']);
  });
  it('unbinds: descriptor cleared, then the TLB, then the faults', () => {
    const { board, smmu, mm, hardware, iommu, domain, pasid } = bound();
    hardware.take();
    iommu.detachDevicePasid(domain, accelerator, pasid);
    expect(CD.V.get(cd(board, smmu, 8, 5), 0)).toBe(false);
    expect(hardware.take()).toEqual(['CMD_CFGI_CD', 'CMD_SYNC', 'CMD_TLBI_NH_ASID', 'CMD_SYNC']);
    iommu.freeDomain(domain);
    expect([mm.pins, mm.notifiers.length, smmu.asids.used]).toEqual([0, 0, 1]);
    smmu.disableSva(accelerator);
    smmu.remove();
    expect(board.pages.livePages).toBe(0);
  });
  it('transactions that waited for a place in the event queue are let go by: they abort, and that is recorded', () => {
    const { board, smmu, hardware, iommu, domain, pasid } = bound();
    domain.iopfHandler = () => {}; // puts its answer off
    hardware.put('eventq', [0x5810, 8, 0x8000_0003, 8, 0x1000, 0, 0, 0]);
    let waiting = 3;
    hardware.onCommand = ({ name }) => {
      if (name !== 'CMD_RESUME' && name !== 'CMD_SYNC') return;
      board.scheduler.post(
        'hardware',
        () => waiting-- > 0 && hardware.put('eventq', [0x580a, 8, 0, 0, 0, 0, 0, 0]),
        5000,
      );
    };
    iommu.detachDevicePasid(domain, accelerator, pasid);
    expect(waiting).toBeLessThanOrEqual(0);
    expect(smmu.faultQueue.pending).toBe(0);
    expect(hardware.at(REG.EVENTQ_CONS)).toBe(4);
    expect(hardware.take().filter((name) => name === 'CMD_RESUME').length).toBe(1);
  });
  it('a device that never stops cannot hold an unbind up for ever', () => {
    const { board, hardware, iommu, domain, pasid } = bound();
    hardware.put('eventq', [0x580a, 8, 0, 0, 0, 0, 0, 0]);
    const storm = () => {
      hardware.put('eventq', [0x580a, 8, 0, 0, 0, 0, 0, 0], false);
      board.scheduler.post('hardware', storm, 1000);
    };
    storm();
    iommu.detachDevicePasid(domain, accelerator, pasid);
    expect(iommu.domainForPasid(accelerator, pasid)).toBeUndefined();
  });
  it('a domain that another device still uses keeps its translations', () => {
    const made = bound();
    const second = { ...accelerator, name: '0000:00:03.0', streamIds: [24] };
    made.iommu.probeDevice(second);
    made.smmu.enableSva(second, SVA_IOPF);
    made.iommu.attachDevicePasid(made.domain, second, made.pasid);
    made.hardware.take();
    made.iommu.detachDevicePasid(made.domain, accelerator, made.pasid);
    expect(made.hardware.take()).toEqual(['CMD_CFGI_CD', 'CMD_SYNC']);
    made.iommu.detachDevicePasid(made.domain, second, made.pasid);
    expect(made.hardware.take()).toEqual(['CMD_CFGI_CD', 'CMD_SYNC', 'CMD_TLBI_NH_ASID', 'CMD_SYNC']);
  });
  it('changes of the process’s tables are invalidated before the notifier returns', () => {
    const { mm, hardware } = bound();
    hardware.take();
    mm.invalidate(0x5000, 0x6fff);
    expect(hardware.take()).toEqual(['CMD_TLBI_NH_VA', 'CMD_TLBI_NH_VA', 'CMD_SYNC']);
    mm.invalidate(0, 2 ** 48 - 1);
    expect(hardware.take()).toEqual(['CMD_TLBI_NH_ASID', 'CMD_SYNC']);
  });
  it('with broadcasts the TLB needs no command', () => {
    const board = withIdr0(IDR0.BTM);
    const { smmu, iommu, hardware } = ready({ broadcastTlb: true }, board);
    const mm = new FakeMm(7);
    const domain = smmu.allocSvaDomain(accelerator, mm.mm);
    iommu.attachDevicePasid(domain, accelerator, 5);
    hardware.take();
    mm.invalidate(0x5000, 0x6fff);
    expect(hardware.take()).toEqual([]);
  });
  it('process exit: the descriptor stays valid without tables, silently aborting, and the TLB is dropped', () => {
    const { board, smmu, mm, hardware, iommu, domain, pasid } = bound();
    hardware.take();
    mm.exit();
    const entry = cd(board, smmu, 8, 5);
    expect([CD.V, CD.EPD0, CD.A, CD.R, CD.S].map((field) => field.get(entry, 0))).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
    expect(CD.TTB0.get(entry, 0)).toBe(0);
    expect(hardware.take().slice(-2)).toEqual(['CMD_TLBI_NH_ASID', 'CMD_SYNC']);
    const { commands } = hardware;
    expect(commands).toEqual([]);
    expect(() => domain.attachPasid!(accelerator, 6, undefined)).toThrow(code('ESRCH'));
    iommu.detachDevicePasid(domain, accelerator, pasid);
    iommu.freeDomain(domain);
    expect(mm.pins).toBe(0);
    expect(smmu.asids.used).toBe(1);
    (domain as unknown as { release(): void }).release(); // once is enough
  });
  it('a process with the number of a DMA domain: the domain moves, its translations are dropped', () => {
    const { board, smmu, iommu, hardware } = ready();
    const dma = iommu.domainOf(accelerator);
    iommu.map(dma, 0x10_0000, 0x8020_0000, 0x1000, 3);
    expect(CD.ASID.get(cd(board, smmu, 8, 0), 0)).toBe(65535);
    const domain = smmu.allocSvaDomain(accelerator, new FakeMm(65535).mm);
    const entry = cd(board, smmu, 8, 0);
    expect(CD.ASID.get(entry, 0)).toBe(65534);
    expect(CD.V.get(entry, 0)).toBe(true);
    const [cfgi, , tlbi] = hardware.commands;
    expect([cfgi!.name, tlbi!.name, tlbi!.words[1]! >>> 16]).toEqual(['CMD_CFGI_CD', 'CMD_TLBI_NH_ASID', 65535]);
    hardware.take();
    iommu.unmap(dma, 0x10_0000, 0x1000); // is invalidated under the new number
    expect(hardware.commands[0]!.words[1]! >>> 16).toBe(65534);
    iommu.attachDevicePasid(domain, accelerator, 5);
    expect(CD.ASID.get(cd(board, smmu, 8, 5), 0)).toBe(65535);
  });
  it.each([
    ['ENOSPC', /as many ASIDs as may be are pinned/, new FakeMm(0)],
    ['EOPNOTSUPP', /pages of 16 KiB/, new FakeMm(7, { granuleShift: 14 })],
    ['EOPNOTSUPP', /52-bit addresses, the SMMU translates 48/, new FakeMm(7, { tcr: { tsz: 12 } })],
    ['EOPNOTSUPP', /52-bit layout/, new FakeMm(7, { tcr: { ds: true } })],
    ['EOPNOTSUPP', /52-bit addresses, the SMMU puts out 48/, new FakeMm(7, { tcr: { ips: 6 } })],
  ])('a process that cannot be shared: %s %s', (expected, message, mm) => {
    const board = fakeBoard();
    board.hardware.set(REG.IDR5, (1024 << 16) | (1 << 4) | 5); // 4 KiB alone
    const { smmu } = ready({}, board);
    expect(() => smmu.allocSvaDomain(accelerator, mm.mm)).toThrow(code(expected, message));
    expect([mm.pins, mm.notifiers.length, smmu.asids.used]).toEqual([0, 0, 1]);
  });
  it('an ASID that is another process’s, or a notifier that is refused: nothing is left', () => {
    const { smmu } = bound(7);
    const twin = new FakeMm(7);
    expect(() => smmu.allocSvaDomain(accelerator, twin.mm)).toThrow(code('EBUSY'));
    expect(twin.pins).toBe(0);
    const dead = new FakeMm(8);
    dead.exited = true;
    expect(() => smmu.allocSvaDomain(accelerator, dead.mm)).toThrow(code('ESRCH'));
    expect([dead.pins, smmu.asids.used]).toEqual([0, 2]);
  });
  it('hardware updates are used where both sides can', () => {
    const board = fakeBoard(); // HTTU 2
    const { smmu, iommu } = ready({}, board);
    const mm = Object.assign(new FakeMm(7), { hardwareAccessFlag: true, hardwareDirty: true });
    iommu.attachDevicePasid(smmu.allocSvaDomain(accelerator, mm.mm), accelerator, 5);
    const entry = cd(board, smmu, 8, 5);
    expect([CD.HA.get(entry, 0), CD.HD.get(entry, 0)]).toEqual([true, true]);
  });
  it('PASIDs that cannot be are refused with nothing changed', () => {
    const { smmu, iommu, hardware } = ready();
    const domain = smmu.allocSvaDomain(accelerator, new FakeMm(7).mm);
    for (const pasid of [0, -1, 65536, 1.5])
      expect(() => domain.attachPasid!(accelerator, pasid, undefined)).toThrow(code('EINVAL'));
    expect(() => domain.attachPasid!(nic, 5, undefined)).toThrow(code('ENODEV'));
    expect(() => domain.attachDevice()).toThrow(code('EINVAL'));
    expect(hardware.take()).toEqual([]);
    expect(() => iommu.freeDomain(domain)).not.toThrow();
  });
  it('without memory for a descriptor nothing changes', () => {
    const { smmu, iommu, board } = ready();
    const domain = smmu.allocSvaDomain(accelerator, new FakeMm(7).mm);
    const before = board.pages.livePages;
    board.frames.fail = () => true;
    expect(() => iommu.attachDevicePasid(domain, accelerator, 1000)).toThrow(code('ENOMEM'));
    board.frames.fail = null;
    expect(board.pages.livePages).toBe(before);
    iommu.attachDevicePasid(domain, accelerator, 1000);
    expect(() => domain.free()).toThrow(code('EBUSY'));
  });
  it('beside an identity or blocked domain the stream table entry gets a CD table, and loses it with the last PASID', () => {
    const { smmu, board } = ready();
    const domain = smmu.allocSvaDomain(accelerator, new FakeMm(7).mm);
    for (const [plain, config, s1dss] of [
      [smmu.identityDomain, 4, 1],
      [smmu.blockedDomain, 0, 0],
    ] as const) {
      plain.attachDevice(accelerator);
      expect(ste(board, smmu, 8).config).toBe(config);
      domain.attachPasid!(accelerator, 5, undefined);
      expect(ste(board, smmu, 8)).toMatchObject({ config: 5, s1dss });
      domain.detachPasid!(accelerator, 5);
      expect(ste(board, smmu, 8).config).toBe(config);
    }
    domain.attachPasid!(accelerator, 5, undefined);
    smmu.identityDomain.attachDevice(accelerator); // while a PASID is in use
    expect(ste(board, smmu, 8)).toMatchObject({ config: 5, s1dss: 1 });
  });
  it('a PASID can be in a domain of the driver’s own, and change over', () => {
    const { smmu, iommu, board, hardware } = ready();
    const mine = iommu.allocDomain('unmanaged', accelerator);
    iommu.attachDevicePasid(mine, accelerator, 5);
    expect(CD.ASID.get(cd(board, smmu, 8, 5), 0)).toBe(65534);
    const process = smmu.allocSvaDomain(accelerator, new FakeMm(7).mm);
    hardware.take();
    iommu.replaceDevicePasid(process, accelerator, 5);
    expect(CD.ASID.get(cd(board, smmu, 8, 5), 0)).toBe(7);
    expect(hardware.take().slice(-2)).toEqual(['CMD_TLBI_NH_ASID', 'CMD_SYNC']);
    iommu.freeDomain(mine);
  });
  it('answers end stalls: again, or abort', () => {
    const board = fakeBoard();
    let text = '';
    const { smmu, hardware } = ready({ trace: new Trace(board.scheduler, (piece) => (text += piece)) }, board);
    const fault = {
      pasid: 5,
      groupId: 3,
      address: 0,
      read: true,
      write: false,
      exec: false,
      privileged: false,
      last: true,
    };
    for (const response of ['success', 'invalid', 'failure'] as const) smmu.pageResponse(accelerator, fault, response);
    board.scheduler.run();
    expect(hardware.commands.map(({ words }) => (words[0]! >>> 12) & 3)).toEqual([1, 2, 2]);
    expect(hardware.commands.every(({ words }) => words[1] === 8 && words[2] === 3)).toBe(true);
    expect(text).toContain('page response success');
  });
  it('a stall of a stranger is aborted at once', () => {
    const { board, hardware } = ready();
    hardware.put('eventq', [0x810, 99, 0x8000_0004, 8, 0, 0, 0, 0]);
    board.scheduler.run();
    expect(hardware.take()).toEqual(['CMD_RESUME']);
  });
  it('after event records were lost all stalls are aborted, because nobody would answer the lost ones (§7.2.2)', () => {
    const { board, smmu, hardware, mm, domain } = bound();
    smmu.probeDevice(nic); // does not stall: is left alone
    domain.iopfHandler = () => {}; // never answers
    hardware.put('eventq', [0x5810, 8, 0x8000_0003, 8, 0x1000, 0, 0, 0]);
    board.scheduler.run();
    hardware.take();
    const during: number[] = [];
    hardware.onCommand = ({ name }) => {
      if (name === 'CMD_STALL_TERM') during.push(ste(board, smmu, 8).config);
    };
    hardware.set(REG.GERROR, 4);
    hardware.lines.gerror.raise();
    board.scheduler.run();
    expect(during).toEqual([0]); // the stream aborts meanwhile, as the command demands (§4.7.2)
    expect(hardware.take().filter((name) => !/CFGI|SYNC/.test(name))).toEqual(['CMD_STALL_TERM', 'CMD_RESUME']);
    expect(smmu.faultQueue.pending).toBe(0);
    expect(ste(board, smmu, 8)).toMatchObject({ config: 5, s1dss: 2 });
    expect(CD.TTB0.get(cd(board, smmu, 8, 5), 0)).toBe(mm.stage1.ttbr);
  });
  it('an unrecoverable fault is told to whoever listens to the domain', () => {
    const { board, hardware, iommu } = ready();
    const told: string[] = [];
    iommu.setFaultHandler(iommu.domainOf(accelerator), (_device, { reason }) => told.push(reason) > 0);
    const lines = board.lines.length;
    hardware.put('eventq', [0x10, 8, 0, 8, 0x5000, 0, 0, 0]);
    board.scheduler.run();
    expect(told).toEqual(['F_TRANSLATION']);
    expect(board.lines.length).toBe(lines);
  });
});

describe('svaSupport and enableSva', () => {
  it('says why a device cannot share processes', () => {
    const board = fakeBoard();
    const cpu = { granuleShift: 12, vaBits: 48, paBits: 48, asidBits: 16 } as const;
    const why = (
      options: Partial<SmmuV3Options>,
      device = accelerator,
      hurt: (board: FakeBoard) => void = () => {},
    ) => {
      const fresh = fakeBoard(options.coherence === undefined ? {} : { coherence: () => options.coherence! });
      hurt(fresh);
      const { smmu } = make(options, fresh);
      smmu.probeDevice(device);
      return smmu.svaSupport(device);
    };
    expect(why({ cpu })).toBeUndefined();
    expect(why({ coherence: new NonCoherentDma(board.memory, board.memory) })).toMatch(/does not snoop/);
    expect(why({}, accelerator, ({ hardware }) => hardware.set(REG.IDR1, (8 << 21) | (7 << 16) | 16))).toMatch(
      /SSIDSIZE/,
    );
    expect(why({ cpu }, accelerator, ({ hardware }) => hardware.set(REG.IDR5, 5 | (1 << 6)))).toMatch(/pages of 4 KiB/);
    expect(why({ cpu: { ...cpu, vaBits: 52 } })).toMatch(/52-bit addresses, the SMMU translates 48/);
    expect(why({ cpu: { ...cpu, paBits: 52 } })).toMatch(/memory has 52-bit/);
    expect(
      why({ cpu }, accelerator, ({ hardware }) => hardware.set(REG.IDR0, hardware.at(REG.IDR0) & ~0x1000)),
    ).toMatch(/16-bit ASIDs, the SMMU tags with 8/);
    expect(why({ cpu }, nic)).toMatch(/sends no PASIDs/);
    const { smmu } = make();
    expect(smmu.svaSupport(nic)).toMatch(/is not behind/);
  });
  it('prepares a device once, and not while it is bound', () => {
    const { smmu, iommu } = make();
    iommu.probeDevice(nic);
    iommu.probeDevice(accelerator);
    expect(() => smmu.enableSva(nic, 0)).toThrow(code('ENODEV'));
    smmu.enableSva(accelerator, SVA_IOPF);
    expect(() => smmu.enableSva(accelerator, SVA_IOPF)).toThrow(code('EEXIST'));
    const domain = smmu.allocSvaDomain(accelerator, new FakeMm(7).mm);
    iommu.attachDevicePasid(domain, accelerator, 5);
    expect(() => smmu.disableSva(accelerator)).toThrow(code('EBUSY'));
    iommu.detachDevicePasid(domain, accelerator, 5);
    smmu.disableSva(accelerator);
    smmu.disableSva(accelerator); // it was not
    smmu.enableSva(accelerator, SVA_IOPF);
    iommu.releaseDevice(accelerator); // which ends it
    iommu.probeDevice(accelerator);
    smmu.enableSva(accelerator, 0); // no faults wanted: nothing to prepare
    smmu.enableSva(accelerator, SVA_IOPF);
  });
  it('recoverable faults need a device that can wait, with one StreamID', () => {
    const { smmu, iommu } = make();
    const rigid = { ...accelerator, canStall: false };
    iommu.probeDevice(rigid);
    expect(() => smmu.enableSva(rigid, SVA_IOPF)).toThrow(code('EOPNOTSUPP', /neither stall nor request pages/));
    const many = { ...accelerator, streamIds: [32, 33] };
    iommu.probeDevice(many);
    expect(() => smmu.enableSva(many, SVA_IOPF)).toThrow(code('EOPNOTSUPP', /2 StreamIDs/));
  });
});

describe('ATS and PRI', () => {
  function ports(fail: { ats?: boolean; pri?: boolean; noPasid?: boolean } = {}) {
    const calls: string[] = [];
    const maybe = (broken: boolean | undefined, call: string) => {
      if (broken) throw new IommuError('EINVAL', `${call} refused`);
      calls.push(call);
    };
    const pci = {
      atsSupported: true,
      priSupported: true,
      enablePasid: () => calls.push('pasid'),
      disablePasid: () => {},
      enableAts: (shift: number) => maybe(fail.ats, `ats ${shift}`),
      disableAts: () => calls.push('ats off'),
      resetPri: () => calls.push('pri reset'),
      enablePri: (requests: number) => maybe(fail.pri, `pri ${requests}`),
      disablePri: () => calls.push('pri off'),
      prgResponsePasidRequired: () => !fail.noPasid,
    };
    const endpoint: Device = { ...accelerator, canStall: false, pci };
    return { calls, endpoint };
  }
  const ats = () => withIdr0(IDR0.ATS + IDR0.PRI);
  it('ATS is on after the entry allows it and off before it does not, with the cache empty in between', () => {
    const { calls, endpoint } = ports();
    const { smmu, iommu, board, hardware } = make({}, ats());
    hardware.onCommand = ({ name }) => calls.push(name);
    iommu.probeDevice(endpoint);
    expect(calls[0]).toBe('pasid'); // it may not be switched while ATS is on
    expect(calls.slice(-3)).toEqual(['CMD_ATC_INV', 'CMD_SYNC', 'ats 12']);
    expect(ste(board, smmu, 8).eats).toBe(1);
    calls.length = 0;
    smmu.identityDomain.attachDevice(endpoint);
    expect(calls[0]).toBe('ats off');
    expect(ste(board, smmu, 8).eats).toBe(0);
    expect(calls).toContain('CMD_ATC_INV'); // what the device held of the domain it left
  });
  it('unmapping tells the TLB first, then the device', () => {
    const { endpoint } = ports();
    const { iommu, hardware } = make({}, ats());
    iommu.probeDevice(endpoint);
    const domain = iommu.domainOf(endpoint);
    iommu.map(domain, 0x10_0000, 0x8020_0000, 0x1000, 3);
    hardware.take();
    iommu.unmap(domain, 0x10_0000, 0x1000);
    expect(hardware.take()).toEqual(['CMD_TLBI_NH_VA', 'CMD_SYNC', 'CMD_ATC_INV', 'CMD_SYNC']);
  });
  it('processes beside an identity domain use ATS as long as there are any', () => {
    const { calls, endpoint } = ports();
    const { smmu, board, hardware } = make({}, ats());
    smmu.probeDevice(endpoint);
    smmu.identityDomain.attachDevice(endpoint);
    const mm = new FakeMm(7);
    const domain = smmu.allocSvaDomain(endpoint, mm.mm);
    domain.attachPasid!(endpoint, 5, undefined);
    expect([ste(board, smmu, 8).eats, calls.at(-1)]).toEqual([1, 'ats 12']);
    hardware.take();
    mm.invalidate(0x5000, 0x5fff);
    expect(hardware.commands.at(-2)!.words.slice(0, 3)).toEqual([0x5840, 8, 0x5000]);
    mm.exit();
    expect(hardware.commands.at(-2)!.words.slice(0, 3)).toEqual([0x5840, 8, 52]);
    domain.detachPasid!(endpoint, 5);
    expect([ste(board, smmu, 8).eats, calls.at(-1)]).toEqual([0, 'ats off']);
  });
  it('stage 2 that stalls forbids it (§5.2.2: S2S=1 with EATS=1 is illegal)', () => {
    const { calls, endpoint } = ports();
    const stalling = { ...endpoint, canStall: true };
    const { iommu, board, smmu } = make({ pagingStage: 2 }, ats());
    iommu.probeDevice(stalling);
    expect(ste(board, smmu, 8)).toMatchObject({ config: 6, eats: 0 });
    expect(calls).toEqual(['pasid']);
  });
  it('a function that refuses works without', () => {
    const { endpoint } = ports({ ats: true });
    const { iommu, board } = make({}, ats());
    iommu.probeDevice(endpoint);
    expect(board.lines.at(-1)).toMatch(/failed to enable ATS of 0000:00:01.0: ats 12 refused/);
  });
  it('a port that is broken is not papered over', () => {
    const { endpoint } = ports();
    const { smmu } = make({}, ats());
    (endpoint.pci as unknown as { enableAts: () => void }).enableAts = () => {
      throw new Error('bug');
    };
    smmu.probeDevice(endpoint);
    expect(() => smmu.allocDomain('dma', endpoint).attachDevice(endpoint)).toThrow('bug');
  });
  it('it can be left off', () => {
    const { calls, endpoint } = ports();
    const { iommu } = make({ ats: false }, ats());
    iommu.probeDevice(endpoint);
    expect(calls).toEqual(['pasid']);
  });
  const R_LAST_SSV = [8, 5 | (1 << 28) | (3 << 30)];
  it('page requests are answered as the handler says, others are denied', () => {
    const { calls, endpoint } = ports();
    const { smmu, iommu, board, hardware } = make({}, ats());
    iommu.probeDevice(endpoint);
    hardware.put('priq', [...R_LAST_SSV, 9, 0x1234_5000]);
    board.scheduler.run();
    expect(hardware.commands.at(-1)).toMatchObject({ name: 'CMD_PRI_RESP', words: [0x5841, 8, 9, 0] });
    smmu.enableSva(endpoint, SVA_IOPF);
    expect(calls.slice(-2)).toEqual(['pri reset', 'pri 32']);
    const domain = smmu.allocSvaDomain(endpoint, new FakeMm(7).mm);
    domain.iopfHandler = (group) => void group.respond('success');
    iommu.attachDevicePasid(domain, endpoint, 5);
    hardware.put('priq', [...R_LAST_SSV, 9, 0x1234_5000]);
    board.scheduler.run();
    expect(hardware.commands.at(-1)).toMatchObject({ name: 'CMD_PRI_RESP', words: [0x5841, 8, 0x2009, 0] });
    iommu.detachDevicePasid(domain, endpoint, 5);
    smmu.disableSva(endpoint);
    expect(calls.at(-1)).toBe('pri off');
  });
  it('answers carry the PASID if the function expects it, the SMMU’s own too (STE.PPAR), and else do not', () => {
    for (const noPasid of [false, true]) {
      const { endpoint } = ports({ noPasid });
      const { iommu, board, smmu, hardware } = make({}, ats());
      iommu.probeDevice(endpoint);
      expect(STE.PPAR.get(ste(board, smmu, 8).entry, 0)).toBe(!noPasid);
      smmu.enableSva(endpoint, SVA_IOPF);
      hardware.put('priq', [...R_LAST_SSV, 9, 0x1234_5000]); // bound to nothing: refused
      board.scheduler.run();
      expect(hardware.commands.at(-1)!.words).toEqual([noPasid ? 0x41 : 0x5841, 8, 0x1009, 0]);
    }
  });
  it('after an overflow incomplete groups are dropped', () => {
    const { endpoint } = ports();
    const { smmu, iommu, board, hardware } = make({ priqEntriesLog2: 1 }, ats());
    iommu.probeDevice(endpoint);
    smmu.enableSva(endpoint, SVA_IOPF);
    for (let i = 0; i < 3; i++) hardware.put('priq', [8, 5 | (1 << 28) | (1 << 31), 9, 0]);
    board.scheduler.run();
    expect(smmu.faultQueue.partial).toBe(0);
    expect(board.lines.at(-1)).toMatch(/PRIQ overflow/);
  });
  it('a function that refuses page requests cannot have processes', () => {
    const { endpoint } = ports({ pri: true });
    const { smmu, iommu } = make({}, ats());
    iommu.probeDevice(endpoint);
    expect(() => smmu.enableSva(endpoint, SVA_IOPF)).toThrow(code('EINVAL', /pri 32 refused/));
    expect(() => smmu.enableSva(endpoint, SVA_IOPF)).toThrow(code('EINVAL')); // nothing is left of the first try
  });
});
