import { PRG_FAILURE, PRG_INVALID, PRG_SUCCESS, Trace } from '@smmu/platform';
import { beforeEach, describe, expect, it } from 'vitest';
import { enableAll, errno, FakeSmmu, makeFunction, NO_SUBSTREAM } from '../test/rig.ts';
import {
  PageRequester,
  type PageRequesterOptions,
  type PageWanted,
  type PciDevice,
  type PciFunction,
  type PciFunctionOptions,
} from './index.ts';

const PRI_STATUS = 0x126; // status half of the PRI capability, behind PASID and ATS
const RF = 0x1; // PCI_PRI_STATUS_RF
const UPRGI = 0x2; // PCI_PRI_STATUS_UPRGI
const STOPPED = 0x100; // PCI_PRI_STATUS_STOPPED
const PASID_REQUIRED = 0x8000; // PCI_PRI_STATUS_PASID

let smmu: FakeSmmu;
let hardware: PciFunction;
let device: PciDevice;
let pages: PageRequester;
let outcomes: string[];
function make(options: Partial<PciFunctionOptions> = {}, more: Partial<PageRequesterOptions> = {}, requests = 8): void {
  smmu = new FakeSmmu();
  ({ hardware, device } = makeFunction(smmu, options));
  pages = new PageRequester({ function: hardware, port: smmu, ...more });
  enableAll(device, 12, requests);
  outcomes = [];
}
beforeEach(() => make());

const status = (): number => hardware.read(PRI_STATUS, 2) & ~PASID_REQUIRED;
const page = (n: number, access: Partial<PageWanted> = {}): PageWanted => ({
  ...{ addressLo: n * 4096 + 0x123, addressHi: 0xffff, read: true, write: false },
  ...access,
});
/** Asks for a group of `count` pages. Its outcome is noted under `name`. */
const ask = (name: string, count = 1, substreamId = 5): boolean =>
  pages.request({
    ...{ substreamId, privileged: false },
    pages: Array.from({ length: count }, (_, n) => page(n)),
    done: (outcome) => outcomes.push(`${name} ${outcome}`),
  });
const indices = (): number[] => smmu.pages.filter(({ last }) => last).map(({ group }) => group);

it('EINVAL without the capability', () => {
  const { hardware: plain } = makeFunction(smmu, { pri: undefined } as object);
  expect(() => new PageRequester({ function: plain, port: smmu })).toThrow(errno('EINVAL'));
});

describe('page requests (PCIe §10.4.1)', () => {
  it('name page, access, group, and which is the last', () => {
    pages.request({
      substreamId: 5,
      privileged: true,
      pages: [page(1), page(2, { write: true }), page(3, { execute: true }), page(4, { read: false, write: true })],
      done: () => {},
    });
    const message = { streamId: 0x77, substreamId: 5, addressHi: 0xffff, privileged: true, group: 0 };
    expect(smmu.pages).toEqual([
      { ...message, addressLo: 0x1000, read: true, write: false, execute: false, last: false },
      { ...message, addressLo: 0x2000, read: true, write: true, execute: false, last: false },
      { ...message, addressLo: 0x3000, read: true, write: false, execute: true, last: false },
      { ...message, addressLo: 0x4000, read: false, write: true, execute: false, last: true },
    ]);
    expect([pages.outstandingGroups, pages.outstandingRequests, pages.queued]).toEqual([1, 4, 0]);
    expect(pages.stats).toMatchObject({ groups: 1, requests: 4 });
  });

  it('without PASID', () => {
    expect(ask('a', 1, NO_SUBSTREAM)).toBe(true);
    expect(smmu.pages[0]).toMatchObject({ substreamId: NO_SUBSTREAM, group: 0, last: true });
  });

  it.each([
    ['no page', []],
    ['a page for nothing', [page(0, { read: false })]],
    ['a page to execute but not to read', [page(0), page(1, { read: false, write: true, execute: true })]],
  ])('EINVAL for a group with %s', (_, wanted) => {
    const group = { substreamId: 5, privileged: false, pages: wanted, done: () => {} };
    expect(() => pages.request(group)).toThrow(errno('EINVAL'));
    expect(smmu.pages).toEqual([]);
  });

  it.each([
    ['a PASID beyond those enabled', { substreamId: 2 ** 16 }],
    ['privilege without PASID', { substreamId: NO_SUBSTREAM, privileged: true }],
    ['execution without PASID', { substreamId: NO_SUBSTREAM, pages: [page(0, { execute: true })] }],
  ])('are not sent with %s', (_, wrong) => {
    const group = { substreamId: 5, privileged: false, pages: [page(0)], done: () => {} };
    expect(pages.request({ ...group, ...wrong })).toBe(false);
    expect(pages.stats.refused).toBe(1);
    expect(smmu.pages).toEqual([]);
  });

  it('are sent without bus mastering: they are messages', () => {
    device.clearMaster();
    expect(ask('a')).toBe(true);
  });

  it('show in a trace', () => {
    let text = '';
    make({}, { trace: new Trace({ now: 0 }, (piece) => (text += piece)) });
    ask('a');
    pages.respond(5, 0, PRG_SUCCESS);
    expect(text).toContain('page request');
    expect(text).toContain('page response');
  });
});

describe('answers (PCIe §10.4.2)', () => {
  it.each([
    [PRG_SUCCESS, 'success'],
    [PRG_INVALID, 'invalid'],
  ] as const)('%d ends the group in %s', (response, outcome) => {
    ask('a', 3);
    ask('b');
    pages.respond(5, 0, response);
    expect(outcomes).toEqual([`a ${outcome}`]);
    expect([pages.outstandingGroups, pages.outstandingRequests]).toEqual([1, 1]);
    expect(pages.stats[outcome]).toBe(1);
    expect(status()).toBe(0);
  });

  it('come in any order', () => {
    for (const name of ['a', 'b', 'c']) ask(name);
    for (const index of [2, 0, 1]) pages.respond(5, index, PRG_SUCCESS);
    expect(outcomes).toEqual(['c success', 'a success', 'b success']);
  });

  it.each([
    ['of a group that was never used', 5, 7],
    ['of a group beyond 9 bits', 5, 512],
    ['of another PASID', 6, 0],
    ['without the PASID that is required', NO_SUBSTREAM, 0],
  ])('%s set UPRGI and answer nothing', (_, substreamId, index) => {
    ask('a');
    pages.respond(substreamId, index, PRG_SUCCESS);
    expect(outcomes).toEqual([]);
    expect(status()).toBe(UPRGI);
    expect(pages.stats.unexpected).toBe(1);
    hardware.write(PRI_STATUS, 2, UPRGI); // write 1 to clear
    expect(status()).toBe(0);
    pages.respond(5, 0, PRG_SUCCESS);
    expect(outcomes).toEqual(['a success']);
  });

  it('a second time set UPRGI', () => {
    ask('a');
    pages.respond(5, 0, PRG_SUCCESS);
    pages.respond(5, 0, PRG_SUCCESS);
    expect(outcomes).toEqual(['a success']);
    expect(status()).toBe(UPRGI);
  });

  it('before the last request of the group set UPRGI', () => {
    smmu.duringPage = ({ last, group }) => {
      if (!last) pages.respond(5, group, PRG_SUCCESS);
    };
    ask('a', 2);
    expect(status()).toBe(UPRGI);
    expect(outcomes).toEqual([]);
    expect(pages.outstandingRequests).toBe(2);
  });

  it('may come from inside the last request', () => {
    smmu.duringPage = ({ last, group }) => {
      if (last) pages.respond(5, group, PRG_SUCCESS);
    };
    ask('a', 2);
    ask('b', 8);
    expect(outcomes).toEqual(['a success', 'b success']);
    expect(pages.outstandingGroups).toBe(0);
  });

  it('may make the device ask again from inside, as often as it likes', () => {
    let again = 20_000; // deeper than any stack
    const group = {
      ...{ substreamId: 5, privileged: false, pages: [page(0)] },
      done: () => {
        outcomes.push('a');
        again -= 1;
        if (again > 0) pages.request(group);
      },
    };
    smmu.duringPage = ({ group: index }) => pages.respond(5, index, PRG_SUCCESS);
    pages.request(group);
    expect(outcomes.length).toBe(20_000);
    expect(pages.outstandingGroups).toBe(0);
  });

  it('before PRI was ever enabled set UPRGI', () => {
    const { hardware: fresh } = makeFunction(smmu);
    const early = new PageRequester({ function: fresh, port: smmu });
    early.respond(5, 0, PRG_SUCCESS);
    expect(fresh.read(PRI_STATUS, 2) & ~PASID_REQUIRED).toBe(UPRGI | STOPPED);
    expect(early.stats).toMatchObject({ unexpected: 1, ignored: 0 });
  });
});

describe('groups and allocation (PCIe §10.4, §10.5.2.5)', () => {
  it('an index is used again as late as possible', () => {
    make({ pri: { maxRequests: 2 ** 20 } }, {}, 2 ** 20);
    for (let i = 0; i < 511; i += 1) {
      ask('x');
      pages.respond(5, i, PRG_SUCCESS);
    }
    ask('held');
    ask('next');
    expect(indices().slice(-2)).toEqual([511, 0]);
    for (let i = 0; i < 510; i += 1) ask('x');
    expect(pages.outstandingGroups).toBe(512);
    expect(new Set(indices().slice(-512)).size).toBe(512);
    expect(ask('queued')).toBe(true);
    expect(pages.queued).toBe(1);
    pages.respond(5, 300, PRG_SUCCESS);
    expect(indices().at(-1)).toBe(300);
    expect(pages.queued).toBe(0);
  });

  it('a group waits until all of it fits, and later ones wait behind it', () => {
    ask('a', 5);
    ask('b', 4);
    ask('c', 1);
    expect(indices()).toEqual([0]);
    expect(pages.queued).toBe(2);
    pages.respond(5, 0, PRG_SUCCESS);
    expect(indices()).toEqual([0, 1, 2]);
    expect(pages.outstandingRequests).toBe(5);
  });

  it('a group larger than the allocation is refused, as all are without any', () => {
    expect(ask('a', 9)).toBe(false);
    expect(ask('b', 8)).toBe(true);
    make({}, {}, 0);
    expect(ask('c')).toBe(false);
  });

  it('the allocation is the one that software set before it enabled the interface, at most the capacity', () => {
    make({}, {}, 2);
    ask('a');
    hardware.write(0x12c, 4, 100); // PCI_PRI_ALLOC_REQ while enabled: no effect
    ask('b', 2);
    expect(pages.queued).toBe(1);
    device.disablePri();
    pages.respond(5, 0, PRG_SUCCESS);
    hardware.write(0x12c, 4, 100);
    hardware.write(0x124, 2, 1); // PCI_PRI_CTRL_ENABLE
    expect(ask('c', 9)).toBe(false);
    expect(ask('d', 8)).toBe(true);
  });

  it('a queue that is full takes no more', () => {
    make({}, { maxQueued: 2 });
    expect([ask('a', 8), ask('b'), ask('c'), ask('d')]).toEqual([true, true, true, false]);
    expect(pages.stats.refused).toBe(1);
  });
});

describe('Response Failure ends the interface until it is enabled anew (PCIe §10.4.2.1)', () => {
  it.each([PRG_FAILURE, 2, 14])('code %d, whatever its group and PASID', (response) => {
    ask('a', 4);
    ask('b', 4);
    ask('c', 1);
    pages.respond(NO_SUBSTREAM, 99, response);
    expect(outcomes).toEqual(['a failure', 'b failure', 'c failure']);
    expect(status()).toBe(RF);
    expect(pages.enabled).toBe(false);
    expect(ask('d')).toBe(false);
    pages.respond(5, 0, PRG_SUCCESS);
    expect(status()).toBe(RF);
    expect(pages.stats).toMatchObject({ failure: 1, ignored: 1, unexpected: 0 });
    device.disablePri();
    expect(status()).toBe(RF | STOPPED); // nothing is expected any more
    device.enablePri(8);
    expect(status()).toBe(0);
    expect(ask('e')).toBe(true);
  });

  it('from inside the first request of a group: the rest is not sent', () => {
    smmu.duringPage = () => pages.respond(NO_SUBSTREAM, 0, PRG_FAILURE);
    ask('a', 3);
    expect(smmu.pages.length).toBe(1);
    expect(outcomes).toEqual(['a failure']);
    expect(pages.outstandingRequests).toBe(0);
  });

  it('while the interface is stopping, stops it at once', () => {
    ask('a');
    device.disablePri();
    expect(status()).toBe(0);
    pages.respond(5, 0, PRG_FAILURE);
    expect(status()).toBe(RF | STOPPED);
  });

  it('writing the status while enabled clears just what it says', () => {
    pages.respond(5, 99, PRG_SUCCESS);
    pages.respond(5, 0, PRG_FAILURE);
    expect(status()).toBe(RF | UPRGI);
    hardware.write(PRI_STATUS, 2, UPRGI);
    expect(status()).toBe(RF);
    hardware.write(PRI_STATUS, 2, RF);
    expect(status()).toBe(0);
    expect(pages.enabled).toBe(false); // only enabling helps
  });
});

describe('PRI is disabled (PCIe §10.5.2.2, §10.5.2.3)', () => {
  it('Stopped at once if nothing is outstanding', () => {
    device.disablePri();
    expect(status()).toBe(STOPPED);
    expect(ask('a')).toBe(false);
  });

  it('Stopped when the last outstanding group is answered; what was not sent is not', () => {
    ask('a', 4);
    ask('b', 4);
    ask('c', 4);
    device.disablePri();
    expect(outcomes).toEqual(['c failure']);
    expect(status()).toBe(0);
    expect(() => device.enablePri(8)).toThrow(errno('EBUSY'));
    pages.respond(5, 1, PRG_SUCCESS);
    expect(status()).toBe(0);
    pages.respond(5, 0, PRG_INVALID);
    expect(outcomes).toEqual(['c failure', 'b success', 'a invalid']);
    expect(status()).toBe(STOPPED);
    device.enablePri(8);
    expect(status()).toBe(0);
    expect(ask('d')).toBe(true);
  });

  it('a reset forgets what is outstanding; its answers are unexpected then', () => {
    ask('a');
    device.disablePri();
    device.resetPri();
    expect(outcomes).toEqual(['a failure']);
    expect(status()).toBe(STOPPED);
    pages.respond(5, 0, PRG_SUCCESS);
    expect(status()).toBe(STOPPED | UPRGI);
  });

  it('a reset while enabled does nothing, with the write that disables it all', () => {
    ask('a');
    hardware.write(0x124, 2, 3); // PCI_PRI_CTRL_ENABLE | PCI_PRI_CTRL_RESET
    expect(outcomes).toEqual([]);
    hardware.write(0x124, 2, 2);
    expect(outcomes).toEqual(['a failure']);
    expect(status()).toBe(STOPPED);
    expect(hardware.read(0x124, 2)).toBe(0); // R reads 0
  });

  it('enabled again before it stopped forgets what was outstanding', () => {
    ask('a');
    hardware.write(0x124, 2, 0);
    hardware.write(0x124, 2, 1);
    expect(outcomes).toEqual(['a failure']);
    expect(pages.outstandingGroups).toBe(0);
    ask('b');
    expect(indices()).toEqual([0, 1]);
    pages.respond(5, 0, PRG_SUCCESS);
    expect(status()).toBe(UPRGI);
  });

  it('a function level reset forgets all, and Response Failure', () => {
    ask('a', 8);
    ask('b');
    device.reset();
    expect(outcomes).toEqual(['a failure', 'b failure']);
    expect(status()).toBe(STOPPED);
    pages.respond(5, 0, PRG_FAILURE);
    expect(pages.enabled).toBe(false);
    hardware.write(0x88, 2, 0x8000); // PCI_EXP_DEVCTL_BCR_FLR
    expect(status()).toBe(STOPPED);
    pages.respond(5, 0, PRG_SUCCESS);
    expect(status()).toBe(STOPPED | UPRGI);
  });

  it('a requester made when PRI is on already works', () => {
    const late = new PageRequester({ function: hardware, port: smmu });
    expect(late.request({ substreamId: 5, privileged: false, pages: [page(0)], done: () => {} })).toBe(true);
  });
});

describe('the use of a PASID stops (PCIe §10.4.1.2)', () => {
  const stop = (name: string, marker: boolean, substreamId = 5) =>
    pages.stopPasid(substreamId, marker, () => outcomes.push(name));

  it('without marker, when all answers are there', () => {
    ask('a', 4);
    ask('other', 4, 6);
    ask('b', 4);
    stop('stopped', false);
    expect(outcomes).toEqual(['b failure']);
    expect(ask('c')).toBe(false);
    expect(ask('d', 1, 7)).toBe(true);
    pages.respond(6, 1, PRG_SUCCESS);
    pages.respond(5, 0, PRG_SUCCESS);
    expect(outcomes).toEqual(['b failure', 'other success', 'a success', 'stopped']);
    expect(ask('e')).toBe(true);
    expect(pages.stats.stopMarkers).toBe(0);
  });

  it('with a marker, at once: answers that come later give back what they hold and mean nothing', () => {
    ask('a', 4);
    ask('other', 4, 6);
    stop('stopped', true);
    expect(outcomes).toEqual(['a failure', 'stopped']);
    expect(smmu.pages.at(-1)).toEqual({
      ...{ streamId: 0x77, substreamId: 5, addressLo: 0, addressHi: 0, group: 0 },
      ...{ read: false, write: false, execute: false, privileged: false, last: true },
    });
    expect(pages.outstandingRequests).toBe(8); // the marker takes nothing, the stale group keeps its own
    expect(ask('new', 1)).toBe(true);
    expect(pages.queued).toBe(1);
    pages.respond(5, 0, PRG_SUCCESS);
    expect(outcomes).toEqual(['a failure', 'stopped']);
    expect(pages.stats.stale).toBe(1);
    expect(indices().at(-1)).toBe(2);
    pages.respond(5, 2, PRG_SUCCESS);
    expect(outcomes).toEqual(['a failure', 'stopped', 'new success']);
  });

  it('behind what was sent before: the marker follows every request of the PASID', () => {
    ask('a', 3);
    stop('stopped', true);
    expect(smmu.pages.map(({ last, read }) => [last, read])).toEqual([
      [false, true],
      [false, true],
      [true, true],
      [true, false],
    ]);
  });

  it('twice: stale groups hold up nothing', () => {
    ask('a');
    stop('first', true);
    ask('b');
    stop('second', false);
    expect(outcomes).toEqual(['a failure', 'first']);
    pages.respond(5, 1, PRG_SUCCESS);
    expect(outcomes).toEqual(['a failure', 'first', 'b success', 'second']);
    stop('third', true);
    expect(pages.stats.stale).toBe(0);
  });

  it('at once if nothing is outstanding, and without a marker if PRI is off', () => {
    stop('a', false);
    device.disablePri();
    stop('b', true);
    expect(outcomes).toEqual(['a', 'b']);
    expect(smmu.pages).toEqual([]);
  });

  it('when the interface fails or is reset meanwhile', () => {
    ask('a');
    ask('b', 1, 6);
    stop('stopped', false);
    stop('too', false, 6);
    pages.respond(5, 0, PRG_FAILURE);
    expect(outcomes).toEqual(['a failure', 'b failure', 'stopped', 'too']);
  });

  it('and is used anew from inside the message that says so', () => {
    ask('a');
    pages.stopPasid(5, true, () => void ask('b'));
    expect(pages.outstandingGroups).toBe(2);
    expect(outcomes).toEqual(['a failure']);
  });

  it('EINVAL without PASID, EBUSY while it is being stopped', () => {
    ask('a');
    stop('stopped', false);
    expect(() => stop('again', true)).toThrow(errno('EBUSY'));
    expect(() => stop('none', true, NO_SUBSTREAM)).toThrow(errno('EINVAL'));
  });
});

it('a function without PASIDs matches answers by group alone', () => {
  smmu = new FakeSmmu();
  ({ hardware, device } = makeFunction(smmu, { pasid: undefined } as object));
  pages = new PageRequester({ function: hardware, port: smmu });
  outcomes = [];
  device.enablePri(8);
  ask('a', 1, NO_SUBSTREAM);
  pages.respond(5, 0, PRG_SUCCESS);
  expect(outcomes).toEqual(['a success']);
});
