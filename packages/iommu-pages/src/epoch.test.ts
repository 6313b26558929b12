import { FrameAllocator, Random, SystemMemory } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import type { ReaderToken } from './epoch.ts';
import { IommuPagesList } from './list.ts';
import { IommuPages } from './pages.ts';

const MIB = 2 ** 20;
const code = (name: string) => expect.objectContaining({ code: name });

function board() {
  const memory = new SystemMemory([{ base: 2 ** 30, size: 4 * MIB }]);
  const pages = new IommuPages({ memory, frames: [new FrameAllocator(2 ** 30, 4 * MIB)] });
  const defer = (pa: number): void => {
    const list = new IommuPagesList(pages);
    list.add(pa);
    pages.freeDeferred(list);
    expect(list.empty).toBe(true);
  };
  return { pages, defer };
}

describe('freeing waits for readers', () => {
  it('at once if there are none', () => {
    const { pages, defer } = board();
    defer(pages.allocPages(4096));
    expect([pages.livePages, pages.settled]).toEqual([0, true]);
  });

  it('for those that were inside, not for those that came later', () => {
    const { pages, defer } = board();
    const [first, second] = [pages.allocPages(4096), pages.allocPages(64)];
    const early = pages.enterReader();
    defer(first);
    expect(pages.settled).toBe(false);
    const late = pages.enterReader();
    expect(pages.isLive(first)).toBe(true);
    pages.leaveReader(early);
    expect(pages.isLive(first)).toBe(false);
    defer(second);
    expect(pages.isLive(second)).toBe(true);
    pages.leaveReader(late);
    expect([pages.livePages, pages.settled]).toEqual([0, true]);
  });

  it('what is deferred while something waits goes a round later', () => {
    const { pages, defer } = board();
    const all = Array.from({ length: 3 }, () => pages.allocPages(4096));
    const a = pages.enterReader();
    defer(all[0]!);
    const b = pages.enterReader();
    defer(all[1]!);
    defer(all[2]!);
    expect(all.map((pa) => pages.isLive(pa))).toEqual([true, true, true]);
    pages.leaveReader(b);
    expect(all.map((pa) => pages.isLive(pa))).toEqual([true, true, true]);
    pages.leaveReader(a);
    expect([pages.livePages, pages.settled]).toEqual([0, true]);
  });

  it('nobody leaves who has not entered', () => {
    const { pages } = board();
    expect(() => pages.leaveReader(0)).toThrow(code('EINVAL'));
    const token = pages.enterReader();
    pages.leaveReader(token);
    expect(() => pages.leaveReader(token)).toThrow(code('EINVAL'));
  });

  it('in any order nothing is freed under a reader, and nothing stays for ever', () => {
    for (let seed = 0; seed < 50; seed++) {
      const { pages, defer } = board();
      const random = new Random(seed);
      const readers: { token: ReaderToken; sees: Set<number> }[] = [];
      const linked = new Set<number>();
      for (let step = 0; step < 200; step++) {
        const what = random.below(4);
        if (what === 0) linked.add(pages.allocPages(random.below(2) === 0 ? 64 : 4096));
        else if (what === 1) readers.push({ token: pages.enterReader(), sees: new Set(linked) });
        else if (what === 2 && readers.length > 0)
          pages.leaveReader(readers.splice(random.below(readers.length), 1)[0]!.token);
        else if (linked.size > 0) {
          const pa = [...linked][random.below(linked.size)]!;
          linked.delete(pa);
          defer(pa);
        }
        for (const { sees } of readers) for (const pa of sees) expect(pages.isLive(pa)).toBe(true);
      }
      for (const { token } of readers) pages.leaveReader(token);
      expect(pages.settled).toBe(true);
      for (const pa of linked) pages.freePages(pa);
      expect(pages.livePages).toBe(0);
    }
  });
});
