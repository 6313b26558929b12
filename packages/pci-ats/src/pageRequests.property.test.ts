// Whatever software and the other side do in whatever order: never more outstanding than allocated, never one index for
// two groups, each group that was taken ends exactly once, and Stopped says what it says.
import { PRG_FAILURE, PRG_INVALID, PRG_SUCCESS, type PrgResponse } from '@smmu/platform';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FakeSmmu, makeFunction } from '../test/rig.ts';
import { PASID_FEATURE, PageRequester } from './index.ts';

const CONTROL = 0x124; // PCI_PRI_CTRL, the status behind it
const STATUS = 0x126;
const ALLOCATION = 0x12c;
const STOPPED = 0x100;

const pasid = fc.constantFrom(5, 6);
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ op: fc.constant('ask' as const), pasid, count: fc.integer({ min: 1, max: 6 }) }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      ...{ op: fc.constant('answer' as const), nth: fc.nat(7) },
      code: fc.constantFrom<PrgResponse>(PRG_SUCCESS, PRG_SUCCESS, PRG_SUCCESS, PRG_INVALID),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('nonsense' as const), pasid, index: fc.nat(511) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('fail' as const) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('control' as const), value: fc.nat(3), alloc: fc.nat(12) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('stop' as const), pasid, marker: fc.boolean() }) },
);

it('keeps its promises', () => {
  let sent = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 80 }), (steps) => {
      const smmu = new FakeSmmu();
      const { hardware, device } = makeFunction(smmu);
      const pages = new PageRequester({ function: hardware, port: smmu, maxQueued: 4 });
      device.enablePasid(PASID_FEATURE.EXEC);
      device.enablePri(8);
      let allocation = 8;
      const ends: number[] = [];
      /** Groups that the other side has seen and not answered, by index. */
      const open = new Map<number, number>();
      const stopping = new Set<number>();
      smmu.duringPage = ({ last, read, write, group, substreamId }) => {
        if (!read && !write) return; // a stop marker
        if (!last) return;
        expect(open.has(group)).toBe(false);
        open.set(group, substreamId);
      };
      for (const s of steps) {
        if (s.op === 'ask') {
          const id = ends.length;
          const refused = stopping.has(s.pasid);
          const taken = pages.request({
            ...{ substreamId: s.pasid, privileged: false },
            pages: Array.from({ length: s.count }, () => ({ addressLo: 0, addressHi: 0, read: true, write: false })),
            done: () => {
              ends[id]! += 1;
            },
          });
          if (taken) ends.push(0);
          expect(taken && refused).toBe(false);
        } else if (s.op === 'answer') {
          const [index, pasid] = [...open][s.nth] ?? [];
          if (index === undefined) continue;
          open.delete(index); // first: an answer may make room for the next group, with the same index
          pages.respond(pasid!, index, s.code);
        } else if (s.op === 'nonsense') {
          if (!open.has(s.index)) pages.respond(s.pasid, s.index, PRG_SUCCESS);
        } else if (s.op === 'fail') {
          pages.respond(5, 0, PRG_FAILURE);
          open.clear();
        } else if (s.op === 'control') {
          const was = hardware.priEnabled;
          const now = (s.value & 1) !== 0;
          if (!was && now) {
            hardware.write(ALLOCATION, 4, s.alloc);
            allocation = Math.min(s.alloc, 8);
            open.clear();
          }
          if (!now && (s.value & 2) !== 0) open.clear();
          hardware.write(CONTROL, 2, s.value);
        } else if (!stopping.has(s.pasid)) {
          stopping.add(s.pasid);
          pages.stopPasid(s.pasid, s.marker, () => stopping.delete(s.pasid));
        }
        expect(pages.outstandingRequests).toBeLessThanOrEqual(allocation);
        expect(pages.outstandingGroups).toBe(open.size);
        expect(pages.queued).toBeLessThanOrEqual(4);
        if (!hardware.priEnabled) expect((hardware.read(STATUS, 2) & STOPPED) !== 0).toBe(open.size === 0);
        expect(ends.every((times) => times <= 1)).toBe(true);
      }
      sent += pages.stats.groups;
      hardware.write(CONTROL, 2, 2); // disabled and reset: all is over
      expect(ends.every((times) => times === 1)).toBe(true);
      expect([pages.outstandingGroups, pages.outstandingRequests, pages.queued, stopping.size]).toEqual([0, 0, 0, 0]);
    }),
    { numRuns: 300 },
  );
  expect(sent).toBeGreaterThan(500);
});
