/** The Page Request Interface: IHI 0070 §3.9.2, §4.5.2, §8. Records are typed by hand from Linux's header. */
import { type AtsEndpoint, NO_SUBSTREAM, type PageRequestMessage } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { DATA, Rig, type RigOptions, STE_BYPASS, STE_S1, STE_V } from '../test/rig.ts';

const PRIQ = 0x4038_0000;
const PRI: RigOptions = { features: { ats: true, pri: true, atsRecordErrors: true } };

class Endpoint implements AtsEndpoint {
  readonly responses: number[][] = [];
  invalidate(): void {}
  pageResponse(...args: [number, number, number]): void {
    this.responses.push(args);
  }
}

/** A board with a PRI queue of 2^`log2` entries, and an endpoint on stream 1. */
function board(options: RigOptions = PRI, log2 = 2): { rig: Rig; endpoint: Endpoint } {
  const rig = new Rig(options);
  rig.write64(0xc0, BigInt(PRIQ + log2));
  rig.write(0x50, 7);
  rig.write(0x20, 0xf);
  rig.settle();
  rig.ste(1, STE_V | STE_BYPASS);
  const endpoint = new Endpoint();
  rig.model.connect(1, endpoint);
  return { rig, endpoint };
}
const message = (extra: Partial<PageRequestMessage> = {}): PageRequestMessage => ({
  streamId: 1,
  substreamId: NO_SUBSTREAM,
  addressLo: 0x7000_1000,
  addressHi: 0xffff_0000,
  read: true,
  write: false,
  execute: false,
  privileged: false,
  last: true,
  group: 5,
  ...extra,
});
const prod = (rig: Rig): number => rig.read(0x100c8);

describe('records', () => {
  it.each<[string, Partial<PageRequestMessage>, bigint, bigint]>([
    ['a read, the last of its group', {}, 0x5000_0000_0000_0001n, 0xffff_0000_7000_1005n],
    ['PASID, write', { substreamId: 0xf_0003, write: true }, 0xf00f_0003_0000_0001n, 0xffff_0000_7000_1005n],
    [
      'execute, privileged, not the last',
      { execute: true, privileged: true, last: false },
      0x1c00_0000_0000_0001n,
      0xffff_0000_7000_1005n,
    ],
    ['a group of nine bits', { group: 0x1ff }, 0x5000_0000_0000_0001n, 0xffff_0000_7000_11ffn],
    ['a stop marker', { substreamId: 3, read: false, group: 0 }, 0xc000_0003_0000_0001n, 0xffff_0000_7000_1000n],
  ])('%s', (_, extra, first, second) => {
    const { rig, endpoint } = board();
    rig.model.requestPage(message(extra));
    expect([rig.get(PRIQ), rig.get(PRIQ + 8)]).toEqual([first, second]);
    expect([prod(rig), endpoint.responses]).toEqual([1, []]);
    expect(rig.model.stats).toMatchObject({ pageRequests: 1, droppedPageRequests: 0 });
  });

  it('round the queue, with the wrap bit', () => {
    const { rig } = board();
    for (let i = 1; i < 12; i++) {
      rig.model.requestPage(message());
      expect(prod(rig)).toBe(i % 8);
      rig.write(0x100cc, prod(rig));
    }
  });
});

describe('overflow (§8.1)', () => {
  it('toggles OVFLG, and nothing is written until it is acknowledged', () => {
    const { rig, endpoint } = board();
    for (let i = 0; i < 4; i++) rig.model.requestPage(message({ group: i }));
    rig.model.requestPage(message({ group: 4 }));
    expect([prod(rig), endpoint.responses]).toEqual([0x8000_0004, [[NO_SUBSTREAM, 4, 0]]]);
    rig.write(0x100cc, 2); // room, but not acknowledged
    rig.model.requestPage(message({ group: 6 }));
    expect([prod(rig), endpoint.responses.length]).toEqual([0x8000_0004, 2]);
    rig.write(0x100cc, 0x8000_0002);
    rig.model.requestPage(message({ group: 7 }));
    expect([prod(rig), endpoint.responses.length]).toEqual([0x8000_0005, 2]);
    expect(rig.model.stats).toMatchObject({ pageRequests: 5, droppedPageRequests: 2, automaticResponses: 2 });
  });

  const full = (options: RigOptions = PRI): { rig: Rig; endpoint: Endpoint } => {
    const made = board(options, 0);
    made.rig.model.requestPage(message());
    return made;
  };

  it('only the last request of a group is answered, a stop marker never', () => {
    const { rig, endpoint } = full();
    rig.model.requestPage(message({ last: false }));
    rig.model.requestPage(message({ substreamId: 3, read: false }));
    expect(endpoint.responses).toEqual([]);
  });

  it.each<[string, RigOptions, bigint, number]>([
    ['without PPAR the answer has no PASID', PRI, 0n, NO_SUBSTREAM],
    ['with STE.PPAR it has', PRI, 1n << 18n, 9],
    ['with PPS it always has', { features: { ...PRI.features, pasidOnAutoResponse: true } }, 0n, 9],
  ])('%s', (_, options, ste1, ssid) => {
    const { rig, endpoint } = full(options);
    rig.ste(1, STE_V | STE_BYPASS, ste1);
    rig.model.requestPage(message({ substreamId: 9 }));
    expect(endpoint.responses).toEqual([[ssid, 5, 0]]);
  });

  it.each<[string, number, bigint[]]>([
    ['silent', 2, []],
    ['recorded with REC_CFG_ATS', 10, [0x04n]],
  ])('an STE that cannot be read or is illegal: Response Failure without PASID, %s', (_, cr2, codes) => {
    const { rig, endpoint } = full({ ...PRI, cr2 });
    rig.ste(1, STE_S1);
    rig.model.requestPage(message({ substreamId: 9 }));
    expect(endpoint.responses).toEqual([[NO_SUBSTREAM, 5, 15]]);
    expect(rig.events().map((record) => record[0]! & 0xffn)).toEqual(codes);
  });

  it('C_BAD_STREAMID needs RECINVSID as well', () => {
    for (const [cr2, codes] of [
      [8, []],
      [10, [0x02n]],
    ] as const) {
      const { rig } = full({ ...PRI, cr2 });
      rig.model.requestPage(message({ streamId: 99, substreamId: 9 }));
      expect(rig.events().map((record) => record[0]! & 0xffn)).toEqual(codes);
    }
  });
});

describe('a queue that takes none', () => {
  const FAILURE = [[NO_SUBSTREAM, 5, 15]];
  it('PRIQEN=0 or SMMUEN=0: Response Failure without PASID', () => {
    for (const cr0 of [0xd, 0xe]) {
      const { rig, endpoint } = board();
      rig.write(0x20, cr0);
      rig.settle();
      rig.model.requestPage(message({ substreamId: 4 }));
      expect([prod(rig), endpoint.responses]).toEqual([0, FAILURE]);
    }
  });
  it('a write that aborts: GERROR.PRIQ_ABT_ERR, and failure until it is acknowledged', () => {
    const { rig, endpoint } = board();
    rig.write(0x20, 0xd);
    rig.settle();
    rig.write64(0xc0, 0x1_0000_0002n);
    rig.write(0x20, 0xf);
    rig.settle();
    rig.model.requestPage(message());
    rig.model.requestPage(message());
    expect([rig.read(0x60), prod(rig), endpoint.responses]).toEqual([1 << 3, 0, [...FAILURE, ...FAILURE]]);
    rig.write(0x64, 1 << 3);
    rig.model.requestPage(message());
    expect(rig.read(0x60)).toBe(0);
  });
  it('nobody to answer is no trouble', () => {
    const { rig } = board();
    rig.model.disconnect(1);
    rig.write(0x20, 0xd);
    rig.settle();
    rig.model.requestPage(message());
    expect(rig.model.stats.automaticResponses).toBe(1);
  });
});

describe('interrupts', () => {
  it('when the queue turns non-empty; with LO=1 for each last request', () => {
    const { rig } = board();
    rig.model.requestPage(message({ last: false }));
    rig.model.requestPage(message());
    expect(rig.lines.priq.raised).toBe(1);
    const other = board().rig;
    other.write(0x50, 5);
    other.settle();
    other.write(0xdc, 0x8000_0000);
    other.write(0x50, 7);
    other.settle();
    other.model.requestPage(message({ last: false }));
    other.model.requestPage(message());
    other.model.requestPage(message());
    expect(other.lines.priq.raised).toBe(2);
  });
  it('by message; an abort of it is GERROR.MSI_PRIQ_ABT_ERR', () => {
    for (const [address, data, gerror] of [
      [BigInt(DATA), 0x77n, 0],
      [0x1_0000_0000n, 0n, 1 << 6],
    ] as const) {
      const { rig } = board();
      rig.write(0x50, 5);
      rig.settle();
      rig.write64(0xd0, address);
      rig.write(0xd8, 0x77);
      rig.write(0x50, 7);
      rig.settle();
      rig.model.requestPage(message());
      expect([rig.get(DATA), rig.read(0x60), rig.lines.priq.raised]).toEqual([data, gerror, 1]);
    }
  });
});

describe('CMD_PRI_RESP (§4.5.2)', () => {
  it.each([
    [0n, 15],
    [1n, 1],
    [2n, 0],
  ])('Resp=%d is PCIe code %d', (resp, code) => {
    const { rig, endpoint } = board();
    rig.run(
      [0x41n | (1n << 32n) | (1n << 11n) | (3n << 12n), 0x123n | (resp << 12n)],
      [0x41n | (1n << 32n), 0x1ffn | (resp << 12n)],
      [0x41n | (2n << 32n), resp << 12n],
    );
    expect(endpoint.responses).toEqual([
      [3, 0x123, code],
      [NO_SUBSTREAM, 0x1ff, code],
    ]);
  });
  it('Resp=3 is CERROR_ILL; while SMMUEN=0 it is ignored', () => {
    const { rig, endpoint } = board();
    rig.write(0x20, 0xe);
    rig.settle();
    rig.run([0x41n | (1n << 32n), 2n << 12n]);
    expect([endpoint.responses, rig.read(0x9c)]).toEqual([[], 2]);
    rig.run([0x41n | (1n << 32n), 3n << 12n]);
    expect(rig.read(0x9c)).toBe(2 | (1 << 24));
  });
});

it('a request that arrives while the SMMU stores waits for a moment', () => {
  const { rig } = board();
  rig.memory.observer = () => {
    rig.memory.observer = null;
    rig.model.requestPage(message());
  };
  rig.dma(7, 0n);
  rig.settle();
  expect(prod(rig)).toBe(1);
});

it('the queue’s base and size are locked while it is on; bits below its size count as zero', () => {
  const { rig } = board();
  rig.write(0xc0, 0);
  expect(rig.read(0xc0)).toBe(PRIQ + 2);
  rig.write(0x100c8, 3);
  expect(prod(rig)).toBe(0);
  rig.write(0x20, 0xd);
  rig.settle();
  rig.write64(0xc0, BigInt(PRIQ + 0x20 + 2));
  rig.write(0x20, 0xf);
  rig.settle();
  rig.model.requestPage(message());
  expect(rig.get(PRIQ)).not.toBe(0n);
});
