import { FrameAllocator, NonCoherentDma, SystemMemory } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import type { WalkerDma } from './incoherent.ts';
import { IommuPagesList } from './list.ts';
import { IommuPages } from './pages.ts';

const MIB = 2 ** 20;
const code = (name: string) => expect.objectContaining({ code: name });

/** A port that notes what it is told, and cannot map what `refuse` names. */
function port(refuse: (pa: number) => number = (pa) => pa) {
  const calls: string[] = [];
  const dma: WalkerDma = {
    coherent: false,
    syncForDevice: (_pa, bytes) => void calls.push(`sync ${bytes}`),
    syncForCpu() {},
    map: (pa, bytes) => {
      calls.push(`map ${bytes}`);
      return refuse(pa);
    },
    unmap: (_pa, bytes) => void calls.push(`unmap ${bytes}`),
  };
  return { dma, calls };
}

function board(coherence?: WalkerDma) {
  const memory = new SystemMemory([{ base: 2 ** 30, size: 4 * MIB }]);
  const frames = new FrameAllocator(2 ** 30, 4 * MIB);
  return { memory, frames, pages: new IommuPages({ memory, frames: [frames], ...(coherence && { coherence }) }) };
}

describe('memory for a walker that does not snoop', () => {
  it.each([64, 4096, 16384])('%i bytes: mapped and cleaned whole, synced in parts, unmapped, freed', (bytes) => {
    const { dma, calls } = port();
    const { pages } = board(dma);
    const pa = pages.allocPages(bytes);
    expect(pages.isIncoherent(pa)).toBe(false);
    pages.startIncoherent(pa);
    expect(pages.isIncoherent(pa)).toBe(true);
    pages.flushIncoherent(pa + 8, 8);
    pages.stopIncoherent(pa);
    expect(pages.isIncoherent(pa)).toBe(false);
    pages.stopIncoherent(pa); // no second time
    expect(calls).toEqual([`map ${bytes}`, `sync ${bytes}`, 'sync 8', `unmap ${bytes}`]);
    pages.freePages(pa);
    expect(pages.livePages).toBe(0);
  });

  it('what the CPU wrote before is seen once it starts, and later stores once they are flushed', () => {
    const regions = [{ base: 2 ** 30, size: 4 * MIB }];
    const [cpu, device] = [new SystemMemory(regions), new SystemMemory(regions)];
    const pages = new IommuPages({
      memory: cpu,
      frames: [new FrameAllocator(2 ** 30, 4 * MIB)],
      coherence: new NonCoherentDma(cpu, device),
    });
    const pa = pages.allocPages(4096);
    device.write64(pa + 16, 7, 7); // left over from somebody
    cpu.write64(pa, 1, 2);
    pages.startIncoherent(pa);
    const read = (at: number): number[] => {
      device.read64(at);
      return [device.lo, device.hi];
    };
    expect([read(pa), read(pa + 16)]).toEqual([
      [1, 2],
      [0, 0],
    ]);
    cpu.write64(pa + 8, 3, 4);
    expect(read(pa + 8)).toEqual([0, 0]);
    pages.flushIncoherent(pa + 8, 8);
    expect(read(pa + 8)).toEqual([3, 4]);
  });

  it('is not freed before that stops', () => {
    const { pages } = board(port().dma);
    const pa = pages.allocPages(4096);
    pages.startIncoherent(pa);
    const list = new IommuPagesList(pages);
    expect(() => pages.freePages(pa)).toThrow(code('EBUSY'));
    list.add(pages.allocPages(64));
    list.add(pa);
    expect(() => pages.putPagesList(list)).toThrow(code('EBUSY'));
    expect(() => pages.freeDeferred(list)).toThrow(code('EBUSY'));
    expect(pages.livePages).toBe(2);
    pages.stopIncoherentList(list);
    pages.putPagesList(list);
    expect(pages.livePages).toBe(0);
    const again = pages.allocPages(4096);
    pages.startIncoherent(again);
    pages.freeIncoherent(again);
    pages.freeIncoherent(pages.allocPages(4096)); // though it never was
    expect(pages.livePages).toBe(0);
  });

  it('is started once', () => {
    const { pages } = board(port().dma);
    const pa = pages.allocPages(4096);
    pages.startIncoherent(pa);
    expect(() => pages.startIncoherent(pa)).toThrow(code('EINVAL'));
    expect(pages.isIncoherent(pa)).toBe(true);
  });

  it('the walker cannot reach it: EINVAL, nothing to undo', () => {
    const { dma, calls } = port(() => -1);
    const { pages } = board(dma);
    const pa = pages.allocPages(4096);
    expect(() => pages.startIncoherent(pa)).toThrow(code('EINVAL'));
    expect(calls).toEqual(['map 4096']);
    pages.freePages(pa);
  });

  it('the walker finds it elsewhere: EOPNOTSUPP, and it is unmapped again', () => {
    const { dma, calls } = port((pa) => pa + 2 ** 32);
    const { pages } = board(dma);
    const pa = pages.allocPages(4096);
    expect(() => pages.startIncoherent(pa)).toThrow(code('EOPNOTSUPP'));
    expect(calls).toEqual(['map 4096', 'unmap 4096']);
    pages.freePages(pa);
    const { unmap: _, ...mapOnly } = dma;
    const alone = pages.allocPages(4096);
    expect(() => pages.startIncoherent(alone, mapOnly)).toThrow(code('EOPNOTSUPP'));
  });

  it.each(['startIncoherent', 'stopIncoherent', 'isIncoherent', 'freeIncoherent'] as const)(
    '%s wants an allocation',
    (call) => {
      const { pages } = board(port().dma);
      expect(() => pages[call](2 ** 30)).toThrow(code('EINVAL'));
    },
  );
});

describe('a whole list starts or none of it', () => {
  it('and the one that fails in the middle stops those before it, not those that were in use already', () => {
    let broken = -1;
    const { dma, calls } = port((pa) => (pa === broken ? -1 : pa));
    const { pages } = board(dma);
    const list = new IommuPagesList(pages);
    const all = Array.from({ length: 5 }, () => pages.allocPages(4096));
    for (const pa of all) list.add(pa);
    pages.startIncoherent(all[1]!);
    broken = all[3]!;
    expect(() => pages.startIncoherentList(list)).toThrow(code('EINVAL'));
    expect(all.map((pa) => pages.isIncoherent(pa))).toEqual([false, true, false, false, false]);
    expect(calls.filter((call) => call.startsWith('unmap')).length).toBe(2);
    broken = -1;
    pages.startIncoherentList(list);
    expect(all.every((pa) => pages.isIncoherent(pa))).toBe(true);
    pages.stopIncoherentList(list);
    pages.putPagesList(list);
    expect(pages.livePages).toBe(0);
  });

  it('each call may name the walker', () => {
    const { dma, calls } = port();
    const { pages } = board(); // coherent by itself
    const list = new IommuPagesList(pages);
    const pa = pages.allocPages(64);
    list.add(pa);
    pages.startIncoherentList(list, dma);
    pages.flushIncoherent(pa, 8, dma);
    pages.stopIncoherentList(list, dma);
    expect(calls).toEqual(['map 64', 'sync 64', 'sync 8', 'unmap 64']);
    const { map: _, unmap: __, ...plain } = dma;
    pages.startIncoherent(pa, plain);
    pages.stopIncoherent(pa, plain);
    pages.putPagesList(list);
  });
});
