import {
  ATS_ABORT,
  ATS_UNSUPPORTED,
  DMA_ABORT,
  DMA_OK,
  DMA_PENDING,
  type DmaRequest,
  PRG_FAILURE,
  PRG_INVALID,
  PRG_SUCCESS,
  Scheduler,
} from '@smmu/platform';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { dmaRequest, enableAll, errno, FakeSmmu, makeFunction, NO_SUBSTREAM } from '../test/rig.ts';
import { AtsDma, type AtsDmaOptions, type PciDevice, type PciFunction, type PciFunctionOptions } from './index.ts';

const NOTHING = {};
const PAGE = { read: true, write: true, translated: 0x8000_0000 };

let smmu: FakeSmmu;
let hardware: PciFunction;
let device: PciDevice;
let dma: AtsDma;
let scheduler: Scheduler;
let ended: string[];
function make(options: Partial<AtsDmaOptions> = {}, more: Partial<PciFunctionOptions> = {}, stuShift = 12): void {
  smmu = new FakeSmmu();
  scheduler = new Scheduler(1);
  ({ hardware, device } = makeFunction(smmu, more));
  dma = new AtsDma({ function: hardware, ats: smmu, scheduler, ...options });
  enableAll(device, stuShift);
  ended = [];
}
beforeEach(() => make());

/** A request to page `n` that notes its end under `name`. */
const request = (n = 0, fields: Partial<DmaRequest> = {}, name = `${n}`): DmaRequest =>
  dmaRequest({
    addressLo: n * 4096 + 0x10,
    complete: ({ status }) => ended.push(`${name} ${status === DMA_OK ? 'ok' : 'abort'}`),
    ...fields,
  });
const submit = (n?: number, fields?: Partial<DmaRequest>, name?: string) => dma.submit(request(n, fields, name));
const last = () => smmu.seen.at(-1);

describe('a transaction whose translation is there', () => {
  it('goes up translated, without its PASID', () => {
    expect(submit()).toBe(DMA_OK);
    expect(submit(0, { write: true })).toBe(DMA_OK);
    const sent = { translated: true, substreamId: NO_SUBSTREAM, instruction: false, privileged: false };
    expect(smmu.seen).toEqual([
      { ...sent, address: 0x8000_0010, write: false },
      { ...sent, address: 0x8000_0010, write: true },
    ]);
    expect(dma.stats).toMatchObject({ hits: 1, misses: 1, untranslated: 0 }); // the answer permitted writes as well
  });

  it('without PASID, privilege and execution where it had them', () => {
    smmu.completion = { ...PAGE, execute: true, privilegedGranted: true };
    expect(submit(0, { instruction: true, privileged: true })).toBe(DMA_OK);
    expect(last()).toMatchObject({
      translated: true,
      substreamId: NO_SUBSTREAM,
      instruction: false,
      privileged: false,
    });
    expect(smmu.asked[0]).toMatchObject({ substreamId: 5, instruction: true, privileged: true });
  });

  it('moves the data of the request, which stays as the device filled it', () => {
    const data = new Uint8Array(32);
    const mine = request(0, { data, dataStart: 8, length: 4 });
    hardware = makeFunction(smmu).hardware;
    vi.spyOn(smmu, 'submit').mockImplementation((sent) => {
      sent.data.fill(7, sent.dataStart, sent.dataStart + sent.length);
      sent.status = DMA_OK;
      return DMA_OK;
    });
    const before = { ...mine };
    expect(dma.submit(mine)).toBe(DMA_OK);
    expect({ ...mine }).toEqual(before);
    expect([...data].map((byte, i) => (byte === 7 ? i : -1)).filter((i) => i >= 0)).toEqual([8, 9, 10, 11]);
  });

  it('may end later', () => {
    smmu.dmaStatus = DMA_PENDING;
    const one = request(0, {}, 'one');
    expect(dma.submit(one)).toBe(DMA_PENDING);
    expect(one.status).toBe(DMA_PENDING);
    expect(submit(1, {}, 'two')).toBe(DMA_PENDING);
    expect(dma.pending).toBe(2);
    smmu.release();
    smmu.release(DMA_ABORT);
    expect(ended).toEqual(['one ok', 'two abort']);
    expect(one.status).toBe(DMA_OK);
    expect(dma.pending).toBe(0);
  });

  it('is looked for in a cache of the size that was asked for', () => {
    make({ entries: 8 });
    expect(dma.atc.store.capacity).toBe(8);
    expect(() => make({ entries: 3 })).toThrow(errno('EINVAL'));
  });

  it('is aborted if the translated request is', () => {
    smmu.dmaStatus = DMA_ABORT;
    expect(submit()).toBe(DMA_ABORT);
    expect(dma.stats.aborted).toBe(0); // not here
  });
});

describe('a transaction goes up as it is', () => {
  const untranslated = { translated: false, substreamId: 5, address: 0x10 };

  it('while ATS is off', () => {
    device.disableAts();
    expect(submit()).toBe(DMA_OK);
    expect(last()).toMatchObject(untranslated);
    expect(smmu.asked).toEqual([]);
    smmu.dmaStatus = DMA_PENDING; // an SMMU may stall it
    expect(submit(0, { instruction: true, privileged: true })).toBe(DMA_PENDING);
    expect(last()).toMatchObject({ ...untranslated, instruction: true, privileged: true });
    smmu.release();
    expect(ended).toEqual(['0 ok']);
  });

  it('if the translation says U, each time', () => {
    smmu.completion = { read: true, untranslatedOnly: true };
    submit();
    submit();
    expect(last()).toMatchObject(untranslated);
    expect(smmu.asked.length).toBe(1);
    expect(dma.stats).toMatchObject({ hits: 1, untranslated: 2 });
  });

  it('from an Unsupported Request on', () => {
    smmu.status = ATS_UNSUPPORTED;
    expect(submit()).toBe(DMA_OK);
    expect(submit(1)).toBe(DMA_OK);
    expect(smmu.asked.length).toBe(1);
    expect(smmu.seen.map(({ translated }) => translated)).toEqual([false, false]);
  });

  it('if the device calls it translated: whether that holds is for the SMMU to say', () => {
    expect(submit(7, { translated: true })).toBe(DMA_OK);
    expect(last()).toMatchObject({ translated: true, address: 0x7010 });
    device.disableAts();
    expect(submit(7, { translated: true })).toBe(DMA_ABORT); // but not while ATS is off
  });

  it('if invalidations overtake every answer', () => {
    make({ maxAsks: 3 });
    smmu.during = () => dma.invalidate(5, false, 0, 0, 64, () => {});
    expect(submit()).toBe(DMA_OK);
    expect(last()).toMatchObject(untranslated);
    expect(smmu.asked.length).toBe(3);
    expect(dma.atc.stats.stale).toBe(3);
  });
});

describe('a transaction is aborted', () => {
  it.each([
    ['a PASID that is not enabled', { substreamId: 2 ** 16 }],
    ['privilege without PASID', { substreamId: NO_SUBSTREAM, privileged: true }],
  ])('that the gate refuses: %s', (_, fields) => {
    expect(submit(0, fields)).toBe(DMA_ABORT);
    expect(hardware.refused).toBe(1);
    expect(smmu.asked).toEqual([]);
  });

  it('by Completer Abort', () => {
    smmu.status = ATS_ABORT;
    expect(submit()).toBe(DMA_ABORT);
    expect(smmu.seen).toEqual([]);
    expect(dma.stats.aborted).toBe(1);
  });

  it('that faults while PRI is off', () => {
    smmu.completion = NOTHING;
    device.disablePri();
    expect(submit()).toBe(DMA_ABORT);
    expect(smmu.pages).toEqual([]);
  });

  it('that faults in a function without PRI; that function can stop PASIDs all the same', () => {
    smmu = new FakeSmmu();
    ({ hardware, device } = makeFunction(smmu, { pri: undefined } as object));
    dma = new AtsDma({ function: hardware, ats: smmu, scheduler });
    device.setMaster();
    device.enablePasid();
    device.enableAts(12);
    smmu.completion = NOTHING;
    expect(dma.pages).toBeUndefined();
    expect(submit()).toBe(DMA_ABORT);
    dma.pageResponse(5, 0, PRG_SUCCESS);
    const done = vi.fn();
    dma.stopPasid(5, true, done);
    expect(done).toHaveBeenCalledTimes(1);
  });
});

describe('a transaction whose page is not there', () => {
  beforeEach(() => {
    smmu.completion = NOTHING;
  });
  const respond = (group: number, response: 0 | 1 | 15, substreamId = 5) =>
    dma.pageResponse(substreamId, group, response);

  it.each([
    ['read', {}, { read: true, write: false, execute: false, privileged: false }],
    ['write', { write: true }, { read: false, write: true, execute: false, privileged: false }],
    ['execute', { instruction: true }, { read: true, write: false, execute: true, privileged: false }],
    ['privileged read', { privileged: true }, { read: true, write: false, execute: false, privileged: true }],
  ])('asks for it, waits, and goes on after Success: %s', (_, fields, asked) => {
    const mine = request(3, fields, 'mine');
    expect(dma.submit(mine)).toBe(DMA_PENDING);
    expect(mine.status).toBe(DMA_PENDING);
    expect(smmu.pages).toEqual([
      { streamId: 0x77, substreamId: 5, addressLo: 0x3000, addressHi: 0, last: true, group: 0, ...asked },
    ]);
    smmu.completion = { ...PAGE, execute: asked.execute, privilegedGranted: asked.privileged };
    respond(0, PRG_SUCCESS);
    expect(ended).toEqual([]);
    scheduler.run();
    expect(ended).toEqual(['mine ok']);
    expect(last()).toMatchObject({ translated: true, address: 0x8000_0010 });
    expect(dma.stats).toMatchObject({ pageFaults: 1, aborted: 0 });
  });

  it('asks for the smallest translation unit around it', () => {
    make({}, {}, 16);
    smmu.completion = { log2Bytes: 16 };
    submit(0x13, { addressHi: 7 });
    expect(smmu.pages[0]).toMatchObject({ addressLo: 0x1_0000, addressHi: 7 });
  });

  it.each([
    ['Invalid Request', PRG_INVALID],
    ['Response Failure', PRG_FAILURE],
  ] as const)('is aborted after %s', (_, response) => {
    submit();
    respond(0, response);
    scheduler.run();
    expect(ended).toEqual(['0 abort']);
    expect(smmu.seen).toEqual([]);
    expect(dma.pending).toBe(0);
  });

  it('asks again if Success did not help, waiting longer each time, but not for ever', () => {
    make({ maxFaults: 4, retryNs: 100 });
    smmu.completion = NOTHING;
    const times: number[] = [];
    smmu.duringPage = ({ group }) => {
      times.push(scheduler.now);
      respond(group, PRG_SUCCESS); // as an SMMU whose queue overflows does
    };
    expect(submit()).toBe(DMA_PENDING);
    expect(ended).toEqual([]);
    scheduler.run();
    expect(times).toEqual([0, 100, 300, 700]);
    expect(ended).toEqual(['0 abort']);
    expect(scheduler.now).toBe(1500);
  });

  it('joins the request for the same page and the same access, of the same PASID and privilege', () => {
    submit(0, {}, 'a');
    submit(0, { addressLo: 0xff0 }, 'b');
    submit(0, { write: true }, 'write');
    submit(0, { substreamId: 6 }, 'pasid');
    submit(0, { privileged: true }, 'privileged');
    submit(1, {}, 'page');
    submit(0, { addressHi: 1 }, 'upper');
    expect(smmu.pages.length).toBe(6);
    expect(dma.stats.joined).toBe(1);
    smmu.completion = PAGE;
    respond(0, PRG_SUCCESS);
    scheduler.run();
    expect(ended).toEqual(['a ok', 'b ok']);
    expect(smmu.seen.map(({ address }) => address)).toEqual([0x8000_0010, 0x8000_0ff0]);
  });

  it('is aborted if no page can be asked for: too many wait', () => {
    for (let n = 0; n < 8 + 512; n += 1) expect(submit(n)).toBe(DMA_PENDING);
    expect(submit(600)).toBe(DMA_ABORT);
    expect(submit(3, {}, 'joins')).toBe(DMA_PENDING);
    expect(dma.pages!.stats.refused).toBe(1);
    expect(ended).toEqual([]);
  });

  it('goes on after a failed interface was enabled anew', () => {
    submit();
    respond(0, PRG_FAILURE);
    scheduler.run();
    expect(submit()).toBe(DMA_ABORT);
    device.disablePri();
    device.enablePri(8);
    expect(submit()).toBe(DMA_PENDING);
  });

  it('does not hold up invalidations', () => {
    submit();
    const complete = vi.fn();
    dma.invalidate(5, false, 0, 0, 64, complete);
    expect(complete).toHaveBeenCalledTimes(1);
  });

  it('is aborted if it may not be sent any more when the page is there', () => {
    submit(0, {}, 'master');
    device.clearMaster();
    respond(0, PRG_SUCCESS);
    scheduler.run();
    expect(ended).toEqual(['master abort']);
  });

  it('goes up as it is if ATS is off when the page is there', () => {
    submit();
    device.disableAts();
    respond(0, PRG_SUCCESS);
    scheduler.run();
    expect(ended).toEqual(['0 ok']);
    expect(last()).toMatchObject({ translated: false, substreamId: 5 });
  });

  it('does not leave after a function level reset, however soon all is enabled again', () => {
    submit(0, {}, 'asked');
    submit(1, {}, 'answered');
    respond(1, PRG_SUCCESS);
    device.reset();
    device = makeDeviceAnew();
    smmu.completion = PAGE;
    scheduler.run();
    expect(ended.sort()).toEqual(['answered abort', 'asked abort']);
    expect(smmu.seen).toEqual([]);
    expect(submit()).toBe(DMA_OK);
  });

  function makeDeviceAnew(): PciDevice {
    const Device = device.constructor as typeof PciDevice;
    const anew = new Device(hardware, device.address);
    enableAll(anew);
    return anew;
  }
});

describe('an invalidation completes after the translated transactions that used what it drops', () => {
  it('end, and not before', () => {
    smmu.dmaStatus = DMA_PENDING;
    submit(0, {}, 'old');
    const complete = vi.fn();
    dma.invalidate(5, false, 0, 0, 12, complete);
    smmu.completion = { ...PAGE, translated: 0x9000_0000 };
    submit(0, {}, 'new');
    expect(complete).not.toHaveBeenCalled();
    smmu.release();
    expect(complete).toHaveBeenCalledTimes(1);
    expect(smmu.seen.map(({ address }) => address)).toEqual([0x8000_0010, 0x9000_0010]);
    smmu.release();
    expect(ended).toEqual(['old ok', 'new ok']);
  });

  it('also if it comes while one is being carried out', () => {
    const order: string[] = [];
    smmu.duringDma = () => {
      smmu.duringDma = undefined;
      dma.invalidate(5, false, 0, 0, 12, () => order.push('completed'));
      order.push('carried out');
    };
    expect(submit()).toBe(DMA_OK);
    expect(order).toEqual(['carried out', 'completed']);
  });
});

describe('translations that take their time', () => {
  beforeEach(() => make({ translationNs: 500 }));

  it('hold the transaction meanwhile; others for the same one do not ask again', () => {
    expect(submit(0, {}, 'a')).toBe(DMA_PENDING);
    expect(submit(0, {}, 'b')).toBe(DMA_PENDING);
    expect(submit(0, { write: true }, 'write')).toBe(DMA_PENDING);
    expect(submit(1, {}, 'page')).toBe(DMA_PENDING);
    expect(smmu.asked.length).toBe(3);
    scheduler.run();
    expect(scheduler.now).toBe(500);
    expect(ended.sort()).toEqual(['a ok', 'b ok', 'page ok', 'write ok']);
    expect(submit()).toBe(DMA_OK);
  });

  it('are discarded if an invalidation overtakes them, and asked for again', () => {
    submit();
    const complete = vi.fn();
    dma.invalidate(5, false, 0, 0, 12, complete);
    expect(complete).toHaveBeenCalledTimes(1);
    smmu.completion = { ...PAGE, translated: 0x9000_0000 };
    scheduler.run();
    expect(scheduler.now).toBe(1000);
    expect(smmu.seen.map(({ address }) => address)).toEqual([0x9000_0010]);
    expect(ended).toEqual(['0 ok']);
  });

  it.each([
    ['Completer Abort', ATS_ABORT, '0 abort', 0],
    ['Unsupported Request', ATS_UNSUPPORTED, '0 ok', 1],
  ])('may fail: %s', (_, status, end, sent) => {
    smmu.status = status as 1 | 4;
    submit();
    scheduler.run();
    expect(ended).toEqual([end]);
    expect(smmu.seen.length).toBe(sent);
  });

  it('may tell a page fault', () => {
    smmu.completion = NOTHING;
    submit();
    scheduler.run();
    smmu.completion = PAGE;
    dma.pageResponse(5, 0, PRG_SUCCESS);
    scheduler.run();
    expect(ended).toEqual(['0 ok']);
  });

  it('never come after a function level reset', () => {
    submit();
    device.reset();
    scheduler.run();
    expect(ended).toEqual(['0 abort']);
    expect(smmu.seen).toEqual([]);
  });
});

describe('the use of a PASID stops', () => {
  const stop = (marker: boolean, substreamId = 5) => dma.stopPasid(substreamId, marker, () => ended.push('stopped'));

  it('at once if nobody uses it; its translations are gone', () => {
    submit();
    submit(0, { substreamId: 6 });
    stop(true);
    expect(ended).toEqual(['stopped']);
    expect(dma.atc.store.count).toBe(1);
    expect(smmu.pages).toMatchObject([{ substreamId: 5, read: false, write: false, last: true }]);
  });

  it('when its transactions have ended; what comes meanwhile is aborted', () => {
    smmu.dmaStatus = DMA_PENDING;
    submit(0, {}, 'mine');
    submit(0, { substreamId: 6 }, 'other');
    stop(true);
    expect(submit()).toBe(DMA_ABORT);
    expect(submit(1, { substreamId: 6 }, 'another')).toBe(DMA_PENDING);
    smmu.release();
    expect(ended).toEqual(['mine ok', 'stopped']);
    smmu.release();
    smmu.release();
    expect(submit(0, {}, 'again')).toBe(DMA_PENDING);
  });

  it('without marker when its pages are answered, and what waited for them has gone on', () => {
    smmu.completion = NOTHING;
    submit(0, {}, 'helped');
    submit(1, {}, 'not helped');
    stop(false);
    dma.pageResponse(5, 0, PRG_SUCCESS);
    dma.pageResponse(5, 1, PRG_SUCCESS);
    smmu.during = () => {
      smmu.during = undefined;
      smmu.completion = NOTHING;
    };
    smmu.completion = PAGE;
    scheduler.run();
    expect(ended.slice().sort()).toEqual(['helped ok', 'not helped abort', 'stopped']);
    expect(ended.at(-1)).toBe('stopped');
    expect(smmu.pages.length).toBe(2); // no third: its use stops
  });

  it('with a marker without waiting for pages: what needs them is aborted', () => {
    smmu.completion = NOTHING;
    submit(0, {}, 'mine');
    submit(0, { substreamId: 6 }, 'other');
    stop(true);
    scheduler.run();
    expect(ended).toEqual(['mine abort', 'stopped']);
    smmu.completion = PAGE;
    expect(submit(0, {}, 'new use')).toBe(DMA_OK);
    dma.pageResponse(5, 0, PRG_SUCCESS); // of the old use: gives back its credit, means nothing
    dma.pageResponse(6, 1, PRG_SUCCESS);
    scheduler.run();
    expect(ended).toEqual(['mine abort', 'stopped', 'other ok']);
  });

  it('while translations are on their way', () => {
    make({ translationNs: 500 });
    smmu.completion = NOTHING;
    submit();
    stop(true);
    expect(ended).toEqual([]);
    scheduler.run();
    expect(ended).toEqual(['0 abort', 'stopped']);
  });

  it('several at once', () => {
    smmu.dmaStatus = DMA_PENDING;
    submit(0, {}, 'five');
    submit(0, { substreamId: 6 }, 'six');
    dma.stopPasid(5, true, () => ended.push('stopped five'));
    dma.stopPasid(6, false, () => ended.push('stopped six'));
    smmu.release();
    smmu.release();
    expect(ended).toEqual(['five ok', 'stopped five', 'six ok', 'stopped six']);
  });

  it('EINVAL without PASID, EBUSY while it is being stopped', () => {
    smmu.dmaStatus = DMA_PENDING;
    submit();
    stop(true);
    expect(() => stop(true)).toThrow(errno('EBUSY'));
    expect(() => stop(true, NO_SUBSTREAM)).toThrow(errno('EINVAL'));
  });
});

it('a device may submit the next request from inside the end of the last', () => {
  smmu.completion = NOTHING;
  const chain: number[] = [];
  const next = (n: number) =>
    dma.submit(
      request(n, {
        complete: () => {
          chain.push(n);
          if (n < 5) next(n + 1);
        },
      }),
    );
  smmu.duringPage = ({ group }) => {
    smmu.completion = PAGE;
    dma.pageResponse(5, group, PRG_SUCCESS);
  };
  smmu.duringDma = () => {
    smmu.completion = NOTHING;
  };
  next(0);
  scheduler.run();
  expect(chain).toEqual([0, 1, 2, 3, 4, 5]);
  expect(dma.pending).toBe(0);
});
