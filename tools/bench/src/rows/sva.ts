import type { Mm } from '@smmu/arm64-mm';
import { Board } from '@smmu/machine';
import { DMA_OK, DMA_PENDING, DmaRequest } from '@smmu/platform';
import type { SvaBond } from '@smmu/sva-core';
import type { Row } from '../row.ts';

const PAGE = 4096;
const PAGES = 4096;
const BINDS = 1024;
/** Access flag, bit 10 of a level 3 entry: without it the next access faults although the page is there. */
const AF = 1 << 10;

/** Hardware that leaves the access flag to software, or there would be nothing to fault on. */
const board = () => new Board({ memoryBytes: 2 ** 29, granule: '4k', engine: () => 0, smmu: { httu: 0 } });

/** A process with resident pages. */
function resident(on: Board): { mm: Mm; area: number } {
  const mm = on.createProcess('bench');
  const area = mm.mmap({ bytes: PAGES * PAGE, kind: 'anonymous', read: true, write: true });
  for (let i = 0; i < PAGES; i++) mm.writeBytes(area + i * PAGE, Uint8Array.of(1));
  return { mm, area };
}

export const svaRows: readonly Row[] = [
  {
    name: 'stall fault round trip, page already there',
    goal: 2500,
    prepare() {
      const on = board();
      const { mm, area } = resident(on);
      const bond = on.sva.bindDevice(on.device, mm);
      const request = new DmaRequest(new Uint8Array(8));
      request.streamId = on.device.streamIds[0]!;
      request.substreamId = bond.pasid;
      request.length = 8;
      let pending = false;
      request.complete = () => {
        pending = false;
      };
      return {
        operations: PAGES,
        reset() {
          for (let i = 0; i < PAGES; i++) {
            const entry = mm.tables.entryAt(area + i * PAGE, false);
            on.memory.read64(entry);
            on.memory.write64(entry, on.memory.lo & ~AF, on.memory.hi);
          }
          mm.notifiers.invalidate(mm, area, area + PAGES * PAGE - 1);
        },
        round() {
          for (let i = 0; i < PAGES; i++) {
            const address = area + i * PAGE;
            request.addressLo = address >>> 0;
            request.addressHi = Math.floor(address / 2 ** 32);
            if (on.model.submit(request) !== DMA_PENDING) throw new Error('did not fault');
            pending = true;
            on.scheduler.run(() => !pending);
            if (request.status !== DMA_OK) throw new Error('the fault was not resolved');
          }
        },
      };
    },
  },
  {
    name: 'bind + unbind of a process that is bound elsewhere',
    goal: 1500,
    prepare() {
      const on = board();
      const mm = on.createProcess('bench');
      on.sva.bindDevice(on.device, mm);
      const other = { name: 'other', bus: 'platform', streamIds: [16], pasidBits: 16, canStall: true } as const;
      on.iommu.probeDevice(other);
      on.sva.deviceInit(other, { features: 1 });
      return {
        operations: BINDS,
        round() {
          for (let i = 0; i < BINDS; i++) on.sva.unbindDevice(on.sva.bindDevice(other, mm));
        },
      };
    },
  },
  {
    name: 'first bind of a process',
    goal: 6000,
    prepare() {
      const on = board();
      const processes = Array.from({ length: BINDS }, (_, i) => on.createProcess(`p${i}`));
      let bonds: SvaBond[] = [];
      return {
        operations: BINDS,
        reset() {
          for (const bond of bonds) on.sva.unbindDevice(bond);
          bonds = [];
        },
        round() {
          for (const mm of processes) bonds.push(on.sva.bindDevice(on.device, mm));
        },
      };
    },
  },
];
