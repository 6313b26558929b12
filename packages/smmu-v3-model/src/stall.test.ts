/** Stalled transactions: IHI 0070 §3.12.2, §4.7, §7.2. */
import { DMA_ABORT, DMA_OK, DMA_PENDING, type DmaRequest, Trace } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { CD_STALL, DATA, Rig, type RigOptions, USER_RW } from '../test/rig.ts';

/** A board with stream 1 stalling, and what completed in which order. */
function board(options: RigOptions = {}): {
  rig: Rig;
  ttb: number;
  done: DmaRequest[];
  go: (address: bigint, write?: boolean) => DmaRequest;
} {
  const rig = new Rig(options);
  const ttb = rig.stage1(1, CD_STALL);
  const done: DmaRequest[] = [];
  const go = (address: bigint, write = false): DmaRequest => {
    const request = rig.request(1, address, write);
    request.complete = (r) => done.push(r);
    expect(rig.model.submit(request)).toBe(DMA_PENDING);
    return request;
  };
  return { rig, ttb, done, go };
}
const resume = (stag: bigint, how: 'retry' | 'abort' | 'terminate', sid = 1n): [bigint, bigint] => [
  0x44n | (how === 'retry' ? 1n << 12n : how === 'abort' ? 1n << 13n : 0n) | (sid << 32n),
  stag,
];
const stagOf = (record: bigint[]): bigint => record[1]! & 0xffffn;

describe('CMD_RESUME (§4.7.1)', () => {
  it('retry: the transaction arrives anew', () => {
    const { rig, ttb, done, go } = board();
    const request = go(0x1000n, true);
    request.data.fill(0x5a, 0, 8);
    const [record] = rig.events();
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
    rig.run(resume(stagOf(record!), 'retry'));
    expect([request.status, done]).toEqual([DMA_OK, [request]]);
    expect(rig.get(DATA)).toBe(0x5a5a_5a5a_5a5a_5a5an);
    expect(rig.model.stats).toMatchObject({ stalled: 0, transactions: 1 });
  });

  it('a retry may fault again, under a tag of its own', () => {
    const { rig, done, go } = board();
    go(0x1000n);
    const [first] = rig.events();
    rig.run(resume(stagOf(first!), 'retry'));
    const [second] = rig.events();
    expect([done, second![2], rig.model.stats.stalled]).toEqual([[], 0x1000n, 1]);
    rig.run(resume(stagOf(second!), 'abort'));
    expect(done[0]!.status).toBe(DMA_ABORT);
  });

  it('abort', () => {
    const { rig, done, go } = board();
    const request = go(0x1000n);
    rig.run(resume(stagOf(rig.events()[0]!), 'abort'));
    expect([request.status, done]).toEqual([DMA_ABORT, [request]]);
  });

  it('terminate: reads as zero, writes are ignored', () => {
    const { rig, done, go } = board();
    const read = go(0x1000n);
    read.data.fill(0xff);
    const write = go(0x2000n, true);
    write.data.fill(0xff);
    const [first, second] = rig.events();
    rig.run(resume(stagOf(first!), 'terminate'), resume(stagOf(second!), 'terminate'));
    expect(done.map((r) => r.status)).toEqual([DMA_OK, DMA_OK]);
    expect([read.data[7], read.data[8], write.data[0]]).toEqual([0, 255, 255]);
  });

  it('terminate is an abort where TERM_MODEL says so', () => {
    const { rig, done, go } = board({ features: { termAbortOnly: true } });
    go(0x1000n);
    rig.run(resume(stagOf(rig.events()[0]!), 'terminate'));
    expect(done[0]!.status).toBe(DMA_ABORT);
  });

  it('an unknown tag, or that of another stream, does nothing', () => {
    const { rig, done, go } = board();
    go(0x1000n);
    const stag = stagOf(rig.events()[0]!);
    rig.run(resume(stag, 'abort', 2n), resume(stag + 1n, 'abort'), resume(0xffffn, 'abort'));
    expect([done, rig.model.stats.stalled]).toEqual([[], 1]);
  });

  it('invalidation by itself does not touch a stalled transaction (§4.3.8)', () => {
    const { rig, ttb, done, go } = board();
    go(0x1000n);
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
    rig.run([0x04n, 31n], [0x30n, 0n]);
    expect(done).toEqual([]);
  });

  it('a request without anybody to tell is finished all the same', () => {
    const { rig } = board();
    const request = rig.request(1, 0x1000n);
    rig.model.submit(request);
    rig.run(resume(stagOf(rig.events()[0]!), 'abort'));
    expect(request.status).toBe(DMA_ABORT);
  });
});

describe('records of stalls', () => {
  it('Stall=1, a tag, and the rest as for any fault', () => {
    const { rig, go } = board();
    go(0x1008n, true);
    go(0x2000n);
    const records = rig.events();
    expect(records.map((record) => record[1]! >> 31n)).toEqual([(0x200n << 1n) | 1n, (0x208n << 1n) | 1n]);
    expect(new Set(records.map(stagOf)).size).toBe(2);
  });
});

describe('capacity (IDR5.STALL_MAX)', () => {
  it('further stalls wait for a tag, in their order, and none is lost', () => {
    const { rig, ttb, done, go } = board({ features: { stallMax: 2 } });
    const all = [1n, 2n, 3n, 4n, 5n].map((page) => go(page << 12n));
    expect(rig.model.stats).toMatchObject({ stalled: 5, waiting: 3 });
    for (let left = 5; left > 0; ) {
      const records = rig.events();
      expect(records.length).toBeGreaterThan(0);
      for (const record of records) {
        left--;
        rig.map(ttb, record[2]!, BigInt(DATA) | USER_RW);
        rig.run(resume(stagOf(record), 'retry'));
      }
    }
    expect(done).toEqual(all);
    expect(rig.model.stats.stalled).toBe(0);
  });

  it('a waiting one whose page came meanwhile goes through without a record', () => {
    const { rig, ttb, done, go } = board({ features: { stallMax: 1 } });
    go(0x1000n);
    go(0x1008n);
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
    const records = rig.events();
    rig.run(resume(stagOf(records[0]!), 'retry'));
    expect([records.length, rig.events().length, done.length]).toEqual([1, 0, 2]);
  });
});

describe('an event queue that cannot be written (§7.2)', () => {
  it('4,096 stalls on a queue of four: each is recorded once there is room, and none overflows', () => {
    const { rig, ttb, done, go } = board({ evtqLog2: 2 });
    for (let i = 0; i < 4096; i++) go(BigInt(i + 1) << 12n);
    expect(rig.model.stats).toMatchObject({ stalled: 4096, waiting: 4092 });
    expect(rig.read(0x100a8) >>> 31).toBe(0);
    let seen = 0;
    while (done.length < 4096) {
      rig.settle();
      const records = rig.events();
      if (records.length === 0) throw new Error(`stuck after ${seen}`);
      for (const record of records) {
        rig.map(ttb, record[2]!, BigInt(DATA) | USER_RW);
        rig.queue(resume(stagOf(record), 'retry'));
      }
      seen += records.length;
      rig.run();
    }
    expect([seen, done.every((r) => r.status === DMA_OK), rig.read(0x100a8) >>> 31]).toEqual([4096, true, 0]);
    expect(rig.model.stats).toMatchObject({ stalled: 0, unrecordedEvents: 0 });
  });

  it('EVENTQEN=0: they wait until it is on again', () => {
    const { rig, go } = board();
    rig.write(0x20, 9);
    rig.settle();
    go(0x1000n);
    rig.settle();
    expect(rig.events()).toEqual([]);
    rig.write(0x20, 0xd);
    rig.settle();
    expect(rig.events().length).toBe(1);
  });
});

describe('the end of stalls', () => {
  it('CMD_STALL_TERM aborts every stalled transaction of a stream, waiting ones too (§4.7.2)', () => {
    const { rig, done, go } = board({ features: { stallMax: 2 } });
    rig.stage1(2, CD_STALL, 2);
    const all = [1n, 2n, 3n].map((page) => go(page << 12n));
    const other = rig.request(2, 0x1000n);
    rig.model.submit(other);
    rig.run([0x45n | (1n << 32n), 0n]);
    expect(new Set(done)).toEqual(new Set(all));
    expect(done.every((r) => r.status === DMA_ABORT)).toBe(true);
    expect([other.status, rig.model.stats.stalled]).toEqual([DMA_PENDING, 1]);
  });

  it('SMMUEN=0 aborts what is stalled; what waits finds the SMMU off', () => {
    const { rig, done, go } = board({ features: { stallMax: 1 } });
    const stalled = go(0x1000n);
    const waiting = go(BigInt(DATA));
    rig.write(0x20, 0xc);
    rig.settle();
    expect(new Set(done)).toEqual(new Set([stalled, waiting]));
    expect([stalled.status, waiting.status, rig.model.stats.stalled]).toEqual([DMA_ABORT, DMA_OK, 0]);
  });

  it('restore aborts what is stalled', () => {
    const { rig, done, go } = board();
    go(0x1000n);
    rig.model.restore(rig.model.save());
    rig.settle();
    expect(done[0]!.status).toBe(DMA_ABORT);
  });
});

describe('the trace', () => {
  it('has one arrow for each stall, from stall to resume, and the commands on their lane', () => {
    let text = '';
    const { rig, ttb, go } = board({
      trace: (clock) =>
        new Trace(clock, (piece) => {
          text += piece;
        }),
    });
    go(0x1234_5000n);
    go(0x2000n);
    const [first, second] = rig.events();
    rig.map(ttb, 0x1234_5000n, BigInt(DATA) | USER_RW);
    rig.run(resume(stagOf(first!), 'retry'), resume(stagOf(second!), 'abort'), [0xffn, 0n]);
    rig.write(0x64, 1);
    rig.settle();
    const events = JSON.parse(`${text}]`) as { name: string; ph: string; id?: number; args?: object }[];
    expect(events.filter((e) => e.ph === 's').map((e) => [e.name, e.id])).toEqual([
      ['stall F_TRANSLATION', 1],
      ['stall F_TRANSLATION', 2],
    ]);
    expect(events.filter((e) => e.ph === 'f').map((e) => [e.name, e.id])).toEqual([
      ['retry', 1],
      ['terminate', 2],
    ]);
    expect(events.find((e) => e.name === 'stall F_TRANSLATION')!.args).toMatchObject({
      streamId: 1,
      address: '0x12345000',
    });
    expect(events.filter((e) => e.name === 'commands').length).toBeGreaterThan(0);
    expect(events.some((e) => e.name.startsWith('CERROR_ILL'))).toBe(true);
  });
});
