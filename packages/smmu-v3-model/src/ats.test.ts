/** ATS: IHI 0070 §3.9.1, §4.5.1, §13.6, §13.7; PCIe 6.0 §10. */
import {
  ATS_ABORT,
  ATS_SUCCESS,
  ATS_UNSUPPORTED,
  type AtsEndpoint,
  AtsRequest,
  DMA_ABORT,
  DMA_OK,
  NO_SUBSTREAM,
} from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import {
  AF,
  CD_PLAIN,
  CDTAB,
  DATA,
  NG,
  PAGE,
  READ_ONLY,
  Rig,
  type RigOptions,
  S2_PLAIN,
  S2_RW,
  STE_BYPASS,
  STE_NESTED,
  STE_S1,
  STE_S2,
  STE_V,
  USER_RW,
} from '../test/rig.ts';

const ATS: RigOptions = { features: { ats: true, splitStageAts: true, atsRecordErrors: true } };
const FULL_ATS = 1n << 28n; // STE.EATS, bits 93:92
const SPLIT = 2n << 28n;
const REC_CFG_ATS = 8;
const RECINVSID = 2;

/** A stream with stage 1 and full ATS. Returns the table. */
function stream(rig: Rig, cd = CD_PLAIN, ste1 = FULL_ATS): number {
  const ttb = rig.table();
  rig.cd(1, cd | (1n << 48n), BigInt(ttb), 0n, 0xffn);
  rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB + 64), ste1);
  return ttb;
}
interface Ask {
  sid?: number;
  ssid?: number;
  noWrite?: boolean;
  instruction?: boolean;
  privileged?: boolean;
}
function ask(rig: Rig, address: bigint, { sid = 1, ssid = NO_SUBSTREAM, ...rest }: Ask = {}): AtsRequest {
  const request = new AtsRequest();
  request.streamId = sid;
  request.substreamId = ssid;
  request.addressLo = Number(address & 0xffff_ffffn);
  request.addressHi = Number(address >> 32n);
  Object.assign(request, rest);
  expect(rig.model.translate(request)).toBe(request.status);
  return request;
}
const granted = (r: AtsRequest): string => (r.read ? 'R' : '') + (r.write ? 'W' : '') + (r.execute ? 'X' : '');

describe('translation requests', () => {
  it('a page: address, size, permissions; Global and N are 0', () => {
    const rig = new Rig(ATS);
    const ttb = stream(rig);
    rig.map(ttb, 0x7000_1000n, BigInt(DATA) | USER_RW);
    const r = ask(rig, 0x7000_1000n);
    expect([r.status, r.translated, r.log2Bytes, granted(r)]).toEqual([ATS_SUCCESS, DATA, 12, 'RW']);
    expect([r.global, r.nonSnooped, r.untranslatedOnly]).toEqual([false, false, false]);
    expect(rig.model.stats.atsRequests).toBe(1);
  });

  it('a block: the whole of it', () => {
    const rig = new Rig(ATS);
    const ttb = stream(rig);
    rig.map(ttb, 0x4000_0000n, 0x4820_0000n | (USER_RW & ~2n), 2);
    const r = ask(rig, 0x4001_2000n);
    expect([r.translated, r.log2Bytes]).toEqual([0x4820_0000, 21]);
  });

  it.each<[string, bigint, Ask, string]>([
    ['read-only', USER_RW | READ_ONLY, {}, 'R'],
    ['privileged only: nothing', PAGE | AF | NG, {}, ''],
    ['execution where it is asked for, with a PASID', USER_RW, { ssid: 1, instruction: true }, 'RWX'],
    ['not without a PASID', USER_RW, { instruction: true }, 'RW'],
    ['not where it is forbidden', USER_RW | (1n << 54n), { ssid: 1, instruction: true }, 'RW'],
    ['not where reading is', PAGE | AF | NG, { ssid: 1, instruction: true }, ''],
    ['privileged, with a PASID', PAGE | AF | NG, { ssid: 1, privileged: true }, 'RW'],
    ['privileged without a PASID counts as not', PAGE | AF | NG, { privileged: true }, ''],
  ])('%s', (_, descriptor, extra, expected) => {
    const rig = new Rig(ATS);
    const ttb = rig.table();
    rig.put(CDTAB, CD_PLAIN | (1n << 48n), BigInt(ttb));
    rig.put(CDTAB + 64, CD_PLAIN | (1n << 48n), BigInt(ttb));
    rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB) | (4n << 59n), FULL_ATS | 2n);
    rig.map(ttb, 0x1000n, BigInt(DATA) | descriptor);
    const r = ask(rig, 0x1000n, extra);
    expect([r.status, granted(r)]).toEqual([ATS_SUCCESS, expected]);
    expect(r.privilegedGranted).toBe(extra.privileged === true && extra.ssid !== undefined);
    expect(rig.events()).toEqual([]);
  });

  it('a write-only page of stage 2', () => {
    const rig = new Rig(ATS);
    const s2 = rig.table();
    rig.map(s2, 0x1000n, BigInt(DATA) | (S2_RW & ~(1n << 6n)));
    rig.ste(1, STE_V | STE_S2, FULL_ATS, S2_PLAIN, BigInt(s2));
    const r = ask(rig, 0x1000n);
    expect([granted(r), r.translated]).toEqual(['W', DATA]);
  });

  it.each<[string, bigint]>([
    ['F_TRANSLATION', 0n],
    ['F_ACCESS', BigInt(DATA) | (USER_RW & ~AF)],
    ['F_ADDR_SIZE', (1n << 47n) | USER_RW],
  ])('%s: success that grants nothing, of 4 KiB, without an event', (_, descriptor) => {
    const rig = new Rig(ATS);
    const ttb = stream(rig, (CD_PLAIN & ~(7n << 32n)) | (4n << 32n));
    rig.map(ttb, 0x1000n, descriptor);
    const r = ask(rig, 0x1000n);
    expect([r.status, granted(r), r.log2Bytes, rig.events()]).toEqual([ATS_SUCCESS, '', 12, []]);
  });

  it('both stages: the physical address, the permissions of both, the smaller size', () => {
    const rig = new Rig(ATS);
    const [s1, s2] = [rig.table(), rig.table()];
    rig.map(s2, 0x4000_0000n, 0x4000_0000n | (S2_RW & ~2n), 1);
    rig.map(s2, 0x8000_1000n, BigInt(DATA) | (S2_RW & ~(1n << 7n)));
    rig.map(s1, 0x20_0000n, 0x8000_0000n | (USER_RW & ~2n), 2);
    rig.cd(1, CD_PLAIN | (1n << 48n), BigInt(s1));
    rig.ste(1, STE_V | STE_NESTED | BigInt(CDTAB + 64), FULL_ATS, S2_PLAIN, BigInt(s2));
    const r = ask(rig, 0x20_1000n);
    expect([granted(r), r.translated, r.log2Bytes]).toEqual(['R', DATA, 12]);
    const missing = ask(rig, 0x20_2000n);
    expect([missing.status, granted(missing), rig.events()]).toEqual([ATS_SUCCESS, '', []]);
  });

  it('a CD that stage 2 does not map: success that grants nothing', () => {
    const rig = new Rig(ATS);
    rig.ste(1, STE_V | STE_NESTED | 0x9000_0000n, FULL_ATS, S2_PLAIN, BigInt(rig.table()));
    const r = ask(rig, 0x1000n);
    expect([r.status, granted(r), rig.events()]).toEqual([ATS_SUCCESS, '', []]);
  });

  it('S1DSS=1 without a PASID: the address itself', () => {
    const rig = new Rig(ATS);
    rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB) | (4n << 59n), FULL_ATS | 1n);
    const r = ask(rig, 0x1234_5000n);
    expect([granted(r), r.translated, r.untranslatedOnly]).toEqual(['RW', 0x1234_5000, false]);
    expect(granted(ask(rig, 1n << 50n))).toBe('');
  });
});

describe('requests that are refused (§3.9.1)', () => {
  const BAD_ATS = [[(1n << 32n) | 0x05n, 0n, 0n, 0n]];
  it.each<[string, RigOptions, (rig: Rig) => void]>([
    ['SMMUEN=0', { ...ATS, off: true }, (rig) => stream(rig)],
    ['EATS=0', ATS, (rig) => stream(rig, CD_PLAIN, 0n)],
    ['Config=100', ATS, (rig) => rig.ste(1, STE_V | STE_BYPASS, FULL_ATS)],
    ['split-stage while ATSCHK=0', ATS, (rig) => splitStage(rig)],
  ])('%s: Unsupported Request and F_BAD_ATS_TREQ', (_, options, setUp) => {
    const rig = new Rig(options);
    setUp(rig);
    expect(ask(rig, 0x1000n).status).toBe(ATS_UNSUPPORTED);
    expect(rig.events()).toEqual(BAD_ATS);
  });

  it('Config=000: Unsupported Request, no event', () => {
    const rig = new Rig(ATS);
    rig.ste(1, STE_V, FULL_ATS);
    expect([ask(rig, 0n).status, rig.events()]).toEqual([ATS_UNSUPPORTED, []]);
  });

  it('an SMMU without ATS supports none', () => {
    const rig = new Rig({ features: { ats: false, pri: false } });
    stream(rig);
    expect(ask(rig, 0n).status).toBe(ATS_UNSUPPORTED);
  });

  it.each<[string, number, bigint, (rig: Rig) => void]>([
    ['C_BAD_STE', 1, 0x04n, () => {}],
    ['C_BAD_STREAMID', 99, 0x02n, () => {}],
    ['C_BAD_CD', 1, 0x0an, (rig) => rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB + 64), FULL_ATS)],
    ['F_CD_FETCH', 1, 0x09n, (rig) => rig.ste(1, STE_V | STE_S1 | 0x1_0000_0000n, FULL_ATS)],
    ['F_STREAM_DISABLED', 1, 0x06n, (rig) => rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB) | (4n << 59n), FULL_ATS)],
    [
      'F_WALK_EABT',
      1,
      0x0bn,
      (rig) => {
        rig.put(stream(rig), 0x1_0000_0003n);
      },
    ],
  ])('%s: Completer Abort; recorded with REC_CFG_ATS only', (_, sid, code, setUp) => {
    for (const [cr2, records] of [
      [RECINVSID, 0],
      [RECINVSID | REC_CFG_ATS, 1],
    ] as const) {
      const rig = new Rig({ ...ATS, cr2 });
      setUp(rig);
      expect(ask(rig, 0n, { sid }).status).toBe(ATS_ABORT);
      expect(rig.events().map((record) => record[0]! & 0xffn)).toEqual(new Array(records).fill(code));
    }
  });

  it('C_BAD_STREAMID needs RECINVSID as well', () => {
    const rig = new Rig({ ...ATS, cr2: REC_CFG_ATS });
    expect([ask(rig, 0n, { sid: 99 }).status, rig.events()]).toEqual([ATS_ABORT, []]);
  });
});

describe('hardware updates (§3.13)', () => {
  const HTTU: RigOptions = { features: { ...ATS.features, httu: 2 } };
  const CLEAN = (1n << 51n) | READ_ONLY;
  it.each<[string, boolean, string, bigint]>([
    ['NW=0 makes a writable-clean page dirty', false, 'RW', USER_RW | (1n << 51n)],
    ['NW=1 does not, and does not grant writing', true, 'R', USER_RW | CLEAN],
  ])('%s; the access flag is set either way', (_, noWrite, expected, after) => {
    const rig = new Rig(HTTU);
    const ttb = stream(rig, CD_PLAIN | (3n << 42n));
    const place = rig.map(ttb, 0x1000n, BigInt(DATA) | ((USER_RW | CLEAN) & ~AF));
    expect(granted(ask(rig, 0x1000n, { noWrite }))).toBe(expected);
    expect(rig.get(place)).toBe(BigInt(DATA) | after);
  });
  it('a page that is clean in the IOTLB as well', () => {
    const rig = new Rig(HTTU);
    const ttb = stream(rig, CD_PLAIN | (3n << 42n));
    const place = rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW | CLEAN);
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
    expect(granted(ask(rig, 0x1000n, { noWrite: true }))).toBe('R');
    expect(rig.get(place)).toBe(BigInt(DATA) | USER_RW | CLEAN);
    expect(granted(ask(rig, 0x1000n))).toBe('RW');
  });
});

function translated(rig: Rig, address: bigint, write = false, sid = 1): number {
  const request = rig.request(sid, address, write);
  request.translated = true;
  return rig.model.submit(request);
}
const atschk = (rig: Rig): void => {
  rig.write(0x20, rig.read(0x20) | 0x10);
  rig.settle();
};

describe('Translated transactions (§3.9.1.3)', () => {
  it('ATSCHK=0: pass', () => {
    const rig = new Rig(ATS);
    rig.put(DATA, 5n);
    const request = rig.request(1, BigInt(DATA));
    request.translated = true;
    expect([rig.model.submit(request), request.data[0]]).toEqual([DMA_OK, 5]);
    expect(translated(rig, 1n << 50n)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([]);
  });

  it('SMMUEN=0: F_TRANSL_FORBIDDEN', () => {
    const rig = new Rig({ ...ATS, off: true });
    expect(translated(rig, BigInt(DATA), true)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([[(1n << 32n) | 0x07n, 0n, BigInt(DATA), 0n]]);
  });

  it('one that leaves its 4 KiB is aborted in silence', () => {
    const rig = new Rig(ATS);
    expect(translated(rig, BigInt(DATA + 0xffc))).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([]);
  });

  describe('ATSCHK=1', () => {
    it('EATS=1: pass', () => {
      const rig = new Rig(ATS);
      stream(rig);
      atschk(rig);
      expect(translated(rig, BigInt(DATA))).toBe(DMA_OK);
    });
    it.each<[string, (rig: Rig) => void]>([
      ['EATS=0', (rig) => stream(rig, CD_PLAIN, 0n)],
      ['Config=100', (rig) => rig.ste(1, STE_V | STE_BYPASS, FULL_ATS)],
    ])('%s: F_TRANSL_FORBIDDEN', (_, setUp) => {
      const rig = new Rig(ATS);
      setUp(rig);
      atschk(rig);
      expect(translated(rig, BigInt(DATA))).toBe(DMA_ABORT);
      expect(rig.events()).toEqual([[(1n << 32n) | 0x07n, 8n << 32n, BigInt(DATA), 0n]]);
    });
    it('Config=000: silent abort', () => {
      const rig = new Rig(ATS);
      rig.ste(1, STE_V);
      atschk(rig);
      expect([translated(rig, BigInt(DATA)), rig.events()]).toEqual([DMA_ABORT, []]);
    });
    it('configuration errors are recorded with REC_CFG_ATS only; RECINVSID does not count', () => {
      for (const [cr2, records] of [
        [RECINVSID, []],
        [REC_CFG_ATS, [0x04n, 0x02n]],
      ] as const) {
        const rig = new Rig({ ...ATS, cr2 });
        atschk(rig);
        expect([translated(rig, 0n), translated(rig, 0n, false, 99)]).toEqual([DMA_ABORT, DMA_ABORT]);
        expect(rig.events().map((record) => record[0]! & 0xffn)).toEqual(records);
      }
    });
  });
});

/** A nested stream in split-stage use: IPA 0x8000_1000 is DATA. */
function splitStage(rig: Rig): { s1: number; s2: number } {
  const [s1, s2] = [rig.table(), rig.table()];
  rig.map(s2, 0x4000_0000n, 0x4000_0000n | (S2_RW & ~2n), 1);
  rig.map(s2, 0x8000_1000n, BigInt(DATA) | (S2_RW & ~(1n << 7n)));
  rig.map(s1, 0x7000_0000n, 0x8000_1000n | USER_RW);
  rig.cd(1, CD_PLAIN | (1n << 48n), BigInt(s1));
  rig.ste(1, STE_V | STE_NESTED | BigInt(CDTAB + 64), SPLIT, S2_PLAIN, BigInt(s2));
  return { s1, s2 };
}

describe('split-stage ATS (EATS=2)', () => {
  it('the endpoint gets the intermediate address with the permissions of both stages', () => {
    const rig = new Rig(ATS);
    splitStage(rig);
    atschk(rig);
    const r = ask(rig, 0x7000_0000n);
    expect([granted(r), r.translated]).toEqual(['R', 0x8000_1000]);
  });
  it('its transactions take stage 2, and fault there as others do', () => {
    const rig = new Rig(ATS);
    splitStage(rig);
    atschk(rig);
    rig.put(DATA, 9n);
    const request = rig.request(1, 0x8000_1000n);
    request.translated = true;
    expect([rig.model.submit(request), request.data[0]]).toEqual([DMA_OK, 9]);
    expect(translated(rig, 0x8000_1008n, true)).toBe(DMA_ABORT);
    expect(translated(rig, 0x8000_5008n)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([
      [(1n << 32n) | 0x13n, (2n << 40n) | (0x80n << 32n), 0x8000_1008n, 0x8000_1000n],
      [(1n << 32n) | 0x10n, (2n << 40n) | (0x88n << 32n), 0x8000_5008n, 0x8000_5000n],
    ]);
  });
  it('an address beyond the intermediate size is F_ADDR_SIZE of stage 1', () => {
    const rig = new Rig(ATS);
    splitStage(rig);
    atschk(rig);
    expect(translated(rig, 1n << 50n)).toBe(DMA_ABORT);
    expect(rig.events()).toEqual([[(1n << 32n) | 0x11n, (2n << 40n) | (8n << 32n), 1n << 50n, 0n]]);
  });
});

/** An endpoint that notes what it is told and completes when asked to. */
class Endpoint implements AtsEndpoint {
  readonly told: unknown[][] = [];
  readonly completions: (() => void)[] = [];
  atOnce = false;
  invalidate(...args: [number, boolean, number, number, number, () => void]): void {
    this.told.push(args.slice(0, 5));
    if (this.atOnce) args[5]();
    else this.completions.push(args[5]);
  }
  pageResponse(...args: [number, number, number]): void {
    this.told.push(args);
  }
}
const SID1 = 1n << 32n;

describe('CMD_ATC_INV (§4.5.1)', () => {
  it.each<[string, [bigint, bigint], unknown[]]>([
    ['a page without PASID', [0x40n | SID1, 0x7000_1000n], [NO_SUBSTREAM, false, 0x7000_1000, 0, 12]],
    ['of a PASID', [0x40n | SID1 | (1n << 11n) | (5n << 12n), 0x7000_1000n], [5, false, 0x7000_1000, 0, 12]],
    [
      'Global, with a PASID',
      [0x40n | SID1 | (1n << 9n) | (1n << 11n) | (5n << 12n), 0x1000n],
      [5, true, 0x1000, 0, 12],
    ],
    ['Global does not count without one', [0x40n | SID1 | (1n << 9n), 0x1000n], [NO_SUBSTREAM, false, 0x1000, 0, 12]],
    ['2 MiB, aligned down', [0x40n | SID1, 0x7012_3000n | 9n], [NO_SUBSTREAM, false, 0x7000_0000, 0, 21]],
    [
      '2^40 bytes, aligned down',
      [0x40n | SID1, 0x1234_5678_9abc_d000n | 28n],
      [NO_SUBSTREAM, false, 0, 0x1234_5600, 40],
    ],
    ['everything', [0x40n | SID1, 0xffff_ffff_ffff_f000n | 52n], [NO_SUBSTREAM, false, 0, 0, 64]],
  ])('%s', (_, command, expected) => {
    const rig = new Rig(ATS);
    const endpoint = new Endpoint();
    endpoint.atOnce = true;
    rig.model.connect(1, endpoint);
    rig.run(command);
    expect(endpoint.told).toEqual([expected]);
    expect([rig.read(0x9c), rig.read(0x60)]).toEqual([2, 0]);
  });

  it('CMD_SYNC waits for the endpoint', () => {
    const rig = new Rig(ATS);
    const endpoint = new Endpoint();
    rig.model.connect(1, endpoint);
    rig.queue([0x40n | SID1, 0n], [0x40n | SID1, 0x1000n], [0x46n, 0n], [0x30n, 0n]);
    rig.ring();
    rig.scheduler.spin(() => false, 10_000);
    expect(rig.read(0x9c)).toBe(2);
    endpoint.completions[1]!();
    endpoint.completions[1]!(); // twice does not count
    rig.scheduler.spin(() => false, 10_000);
    expect(rig.read(0x9c)).toBe(2);
    endpoint.completions[0]!();
    rig.settle();
    expect(rig.read(0x9c)).toBe(4);
  });

  it('an endpoint that does not answer: CERROR_ATC_INV_SYNC on the CMD_SYNC, which signals nothing', () => {
    const rig = new Rig(ATS);
    const endpoint = new Endpoint();
    rig.model.connect(1, endpoint);
    rig.queue([0x40n | SID1, 0n], [0x46n | (1n << 12n), 0n]);
    rig.ring();
    rig.settle();
    expect([rig.read(0x9c), rig.read(0x60), rig.lines.cmdSync.raised]).toEqual([1 | (3 << 24), 1, 0]);
    expect(rig.scheduler.now).toBeGreaterThanOrEqual(100_000_000);
    endpoint.completions[0]!(); // too late
    rig.write(0x64, 1);
    rig.settle();
    expect([rig.read(0x9c), rig.lines.cmdSync.raised]).toEqual([2, 1]);
  });

  it('nobody there, or nobody any more, counts as done', () => {
    const rig = new Rig(ATS);
    const endpoint = new Endpoint();
    rig.model.connect(1, endpoint);
    rig.model.disconnect(1);
    rig.run([0x40n | SID1, 0n]);
    expect([rig.read(0x9c), endpoint.told]).toEqual([2, []]);
  });

  it('is ignored while SMMUEN=0; Size above 52 is CERROR_ILL', () => {
    const rig = new Rig({ ...ATS, off: true });
    const endpoint = new Endpoint();
    rig.model.connect(1, endpoint);
    rig.run([0x40n | SID1, 0n]);
    expect([endpoint.told, rig.read(0x9c)]).toEqual([[], 2]);
    rig.run([0x40n | SID1, 53n]);
    expect(rig.read(0x9c)).toBe(2 | (1 << 24));
  });

  it('a queue that is switched off waits for nobody', () => {
    const rig = new Rig(ATS);
    rig.model.connect(1, new Endpoint());
    rig.queue([0x40n | SID1, 0n], [0x46n, 0n]);
    rig.ring();
    rig.scheduler.spin(() => rig.read(0x9c) === 1, 10_000);
    rig.write(0x20, 5);
    rig.settle();
    expect([rig.read(0x60), rig.scheduler.now < 1_000_000]).toEqual([0, true]);
  });
});

it('a request that arrives while the SMMU stores is granted nothing, and may be asked again', () => {
  const rig = new Rig(ATS);
  const ttb = stream(rig);
  rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
  let inner = '?';
  rig.memory.observer = () => {
    rig.memory.observer = null;
    const r = ask(rig, 0x1000n);
    inner = `${r.status} ${granted(r)}`;
  };
  expect(rig.dma(1, 0x5000n)).toBe(DMA_ABORT);
  expect(inner).toBe('0 ');
  expect(granted(ask(rig, 0x1000n))).toBe('RW');
});
