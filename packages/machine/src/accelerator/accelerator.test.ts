import type { DmaRequest } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import {
  ADMIN,
  COMPLETIONS,
  DeviceHarness,
  LOG,
  PASID,
  RAM,
  RECORDS,
  RING,
  SOURCE,
  TARGET,
} from '../../test/deviceHarness.ts';
import {
  ADMIN_OP,
  ADMIN_STATUS,
  DOORBELL_BASE,
  DOORBELL_STRIDE,
  JOB_OP,
  JOB_STATUS,
  MAX_JOB_BYTES,
  MAX_QUEUES,
  REGISTERS,
} from './index.ts';

const page = (address: number) => Math.floor(address / 4096);
/** Requests of jobs that began together come in an order that the seed decides. */
const byAddress = (held: DmaRequest[]) => [...held].sort((a, b) => a.addressLo - b.addressLo);
/** A device with queue 0 enabled. */
function ready(...options: ConstructorParameters<typeof DeviceHarness>): DeviceHarness {
  const h = new DeviceHarness(...options).start();
  h.command({});
  h.run();
  return h;
}

describe('jobs: the device reads the descriptor, the source, and writes the result and the completion record', () => {
  it('compresses from and to any alignment, in requests that end at 4 KiB', () => {
    const h = ready();
    const data = h.fill(SOURCE + 123, 10_000);
    const record = h.job({ source: SOURCE + 123, sourceBytes: 10_000, destination: TARGET + 4095, tag: 77 });
    h.port.log.length = 0;
    h.run();
    expect(h.record(record)).toEqual({
      status: JOB_STATUS.DONE,
      write: false,
      tag: 77,
      bytes: 10_001,
      address: 0n,
    });
    expect([...h.bytes(TARGET + 4095, 10_001)]).toEqual([10_000 & 0xff, ...data]);
    for (const { address, length } of h.port.log) expect(page(address)).toBe(page(address + length - 1));
    expect(h.port.log.filter(({ pasid }) => pasid === PASID).map(({ address, length }) => [address, length])).toEqual([
      [RING, 64],
      [SOURCE + 123, 3973],
      [SOURCE + 4096, 4096],
      [SOURCE + 8192, 1931],
      [TARGET + 4095, 1],
      [TARGET + 4096, 4096],
      [TARGET + 8192, 4096],
      [TARGET + 12288, 1808],
      [record, 32],
    ]);
  });

  it('sends the MSI of the queue after the record, if the descriptor asks for it', () => {
    const h = ready();
    h.port.msis.length = 0;
    h.job({ interrupt: false, op: JOB_OP.NOP });
    h.run();
    expect(h.port.msis).toEqual([]);
    h.job({ interrupt: true, op: JOB_OP.NOP });
    h.run();
    expect(h.port.msis).toEqual([0x21]);
  });

  it('copies, and does nothing, and takes an empty source', () => {
    const h = ready();
    const data = h.fill(SOURCE, 5000);
    const copied = h.job({ op: JOB_OP.COPY, sourceBytes: 5000 });
    const nothing = h.job({ op: JOB_OP.NOP });
    const empty = h.job({ sourceBytes: 0, source: 0, destination: TARGET + 0x10000 });
    h.run();
    expect(h.record(copied)).toMatchObject({ status: JOB_STATUS.DONE, bytes: 5000 });
    expect(h.bytes(TARGET, 5000)).toEqual(data);
    expect(h.record(nothing)).toMatchObject({ status: JOB_STATUS.DONE, bytes: 0 });
    expect(h.record(empty)).toMatchObject({ status: JOB_STATUS.DONE, bytes: 1 });
  });

  it('works on several at once, and on no more than it has slots', () => {
    const h = ready({ slots: 3 });
    h.port.held = [];
    for (let i = 0; i < 5; i += 1) h.job({ sourceBytes: 4096, destination: TARGET + i * 0x10000 });
    h.run();
    expect(h.port.held).toHaveLength(3);
    expect(h.fetched(0)).toBe(0);
    h.port.release();
    h.run();
    expect(h.fetched(0)).toBe(5);
    expect(h.device.stats.jobs).toEqual({ DONE: 5 });
  });

  it('says which descriptors it has read, though later ones may be read first', () => {
    const h = ready({ slots: 2 });
    h.port.held = [];
    h.job({ op: JOB_OP.NOP });
    h.job({ op: JOB_OP.NOP });
    h.run();
    const [first, second] = byAddress(h.port.held);
    h.port.held = null;
    second!.status = 1;
    second!.complete?.(second!);
    expect(h.fetched(0)).toBe(0);
    first!.status = 1;
    first!.complete?.(first!);
    expect(h.fetched(0)).toBe(2);
  });

  it('goes around the ring and around 16 bits of counter', () => {
    const h = new DeviceHarness().start();
    h.command({ log2: 1 });
    h.run();
    for (let i = 0; i < 0x1_0002; i += 1) {
      h.job({ op: JOB_OP.NOP, tag: i, interrupt: false }, 0, RING, 2);
      h.run();
    }
    expect(h.fetched(0)).toBe(2);
    expect(h.device.stats.jobs).toEqual({ DONE: 0x1_0002 });
  });

  it('serves queues in turn', () => {
    const h = ready({ slots: 1 });
    h.command({ queue: 3, ring: RING + 0x1000, vector: 2, pasid: 9 });
    h.run();
    h.port.log.length = 0;
    for (let i = 0; i < 3; i += 1) h.job({ op: JOB_OP.NOP });
    for (let i = 0; i < 3; i += 1) h.job({ op: JOB_OP.NOP }, 3, RING + 0x1000);
    h.run();
    expect(h.port.log.filter(({ length }) => length === 64).map(({ pasid }) => pasid)).toEqual([5, 9, 5, 9, 5, 9]);
  });
});

describe('errors name the address in the completion record', () => {
  it('an aborted read: the lowest address that was aborted', () => {
    const h = ready();
    h.port.denied.add(page(SOURCE + 8192)).add(page(SOURCE + 16384));
    h.port.held = [];
    const record = h.job({ source: SOURCE + 100, sourceBytes: 32768 });
    h.run();
    h.port.release(); // the descriptor
    h.port.held = [];
    h.run();
    h.port.held.reverse();
    h.port.release();
    h.run();
    expect(h.record(record)).toEqual({
      status: JOB_STATUS.READ_ABORTED,
      write: false,
      tag: 0,
      bytes: 0,
      address: BigInt(SOURCE + 8192),
    });
  });

  it('an aborted write', () => {
    const h = ready();
    h.port.denied.add(page(TARGET + 4096));
    const record = h.job({ sourceBytes: 9000, destination: TARGET + 8 });
    h.run();
    expect(h.record(record)).toMatchObject({
      status: JOB_STATUS.WRITE_ABORTED,
      write: true,
      bytes: 0,
      address: BigInt(TARGET + 4096),
    });
  });

  it.each([
    ['above 2^48', 0x0123_4567_89ab_c000n],
    ['above 2^53, every bit', 0xfedc_ba98_7654_3211n],
    ['at the top', 0xffff_ffff_ffff_f001n],
  ])('a wild pointer %s is named with all 64 bits', (_, source) => {
    const h = ready();
    const record = h.job({ source, sourceBytes: 100 });
    h.run();
    expect(h.record(record)).toMatchObject({ status: JOB_STATUS.READ_ABORTED, address: source });
  });

  it('no room for the result: the first byte without', () => {
    const h = ready();
    const short = h.job({ sourceBytes: 100, destinationBytes: 100 });
    const copied = h.job({ op: JOB_OP.COPY, sourceBytes: 100, destinationBytes: 99, destination: 0xffff_ffffn });
    h.run();
    expect(h.record(short)).toMatchObject({
      status: JOB_STATUS.OUTPUT_TOO_SMALL,
      write: true,
      address: BigInt(TARGET + 100),
    });
    expect(h.record(copied)).toMatchObject({ status: JOB_STATUS.OUTPUT_TOO_SMALL, address: 0x1_0000_0062n });
  });

  it('an engine that claims more than there is room for writes nothing', () => {
    const h = ready({ engine: (_, output) => output.length + 1 });
    const record = h.job({ sourceBytes: 10, destinationBytes: 10 });
    h.run();
    expect(h.record(record)).toMatchObject({ status: JOB_STATUS.OUTPUT_TOO_SMALL, bytes: 0 });
  });

  it.each([
    ['an unknown operation', { op: 3 }],
    ['a source longer than the device takes', { sourceBytes: MAX_JOB_BYTES + 1 }],
    ['a source that wraps', { source: 2n ** 64n - 10n, sourceBytes: 11 }],
    ['a destination that wraps', { destination: 2n ** 64n - 10n, destinationBytes: 11 }],
  ])('a bad descriptor: %s; the address is its own', (_, fields) => {
    const h = ready();
    h.job({ op: JOB_OP.NOP });
    const record = h.job({ tag: 9, ...fields });
    h.run();
    expect(h.record(record)).toMatchObject({
      status: JOB_STATUS.BAD_DESCRIPTOR,
      tag: 9,
      address: BigInt(RING + 64),
    });
  });

  it('a range that ends at 2^64 is no bad descriptor', () => {
    const h = ready();
    const record = h.job({
      source: 2n ** 64n - 10n,
      sourceBytes: 10,
      destination: 2n ** 64n - 10n,
      destinationBytes: 10,
    });
    h.run();
    expect(h.record(record)).toMatchObject({ status: JOB_STATUS.READ_ABORTED, address: 2n ** 64n - 10n });
  });
});

describe('the error log: what no completion record can say', () => {
  it('a completion record that cannot be written, with the status it would have had', () => {
    const h = ready();
    h.port.denied.add(page(RECORDS)).add(page(SOURCE));
    h.port.msis.length = 0;
    const record = h.job({ tag: 0x1234_5678, sourceBytes: 16 });
    h.run();
    expect(h.register(REGISTERS.ERROR_PROD)).toBe(1);
    expect(h.error(0)).toEqual({
      code: JOB_STATUS.COMPLETION_ABORTED,
      write: true,
      queue: 0,
      tag: 0x1234_5678,
      pasid: PASID,
      status: JOB_STATUS.READ_ABORTED,
      address: BigInt(record),
    });
    expect(h.port.msis).toEqual([0x20]);
  });

  it('a ring that cannot be read halts its queue and no other', () => {
    const h = ready();
    h.command({ queue: 1, ring: RING + 0x1000 });
    h.run();
    h.port.denied.add(page(RING));
    h.job({ op: JOB_OP.NOP });
    h.job({ op: JOB_OP.NOP });
    h.run();
    h.job({ op: JOB_OP.NOP });
    const other = h.job({ op: JOB_OP.NOP }, 1, RING + 0x1000);
    h.run();
    expect(h.error(0)).toMatchObject({ code: JOB_STATUS.DESCRIPTOR_ABORTED, address: BigInt(RING), queue: 0 });
    expect(h.device.stats.jobs.DESCRIPTOR_ABORTED).toBe(2); // both were being read
    expect(h.record(other)).toMatchObject({ status: JOB_STATUS.DONE });
  });

  it('a completion address that is not a multiple of 32 is not used', () => {
    const h = ready();
    h.job({ completion: RECORDS + 16, tag: 4 });
    h.run();
    expect(h.error(0)).toMatchObject({ code: JOB_STATUS.BAD_DESCRIPTOR, tag: 4, address: BigInt(RING) });
    expect(h.bytes(RECORDS, 64).every((byte) => byte === 0)).toBe(true);
  });

  it('a doorbell that claims more than the ring holds halts the queue', () => {
    const h = ready();
    for (let i = 0; i < 64; i += 1) h.job({ op: JOB_OP.NOP });
    h.run();
    expect(h.register(REGISTERS.ERROR_PROD)).toBe(0);
    h.ring(0, 129);
    h.run();
    expect(h.error(0)).toMatchObject({ code: JOB_STATUS.BAD_DOORBELL, queue: 0, pasid: PASID });
    h.ring(0, 70);
    h.run();
    expect(h.fetched(0)).toBe(64);
  });

  it('loses what does not fit and says so; goes on when the kernel has read', () => {
    const h = ready();
    h.port.denied.add(page(RECORDS));
    for (let i = 0; i < 6; i += 1) h.job({ op: JOB_OP.NOP, tag: i });
    h.run();
    expect(h.register(REGISTERS.ERROR_PROD)).toBe(4);
    expect(h.register(REGISTERS.LOG_OVERFLOW)).toBe(1);
    h.write(REGISTERS.ERROR_CONS, 4);
    h.job({ op: JOB_OP.NOP, tag: 99 });
    h.run();
    expect(h.register(REGISTERS.ERROR_PROD)).toBe(5);
    expect(h.error(0)).toMatchObject({ tag: 99 });
  });

  it('halts the device if it cannot be written', () => {
    const h = ready();
    h.port.denied.add(page(LOG)).add(page(RECORDS));
    h.job({ op: JOB_OP.NOP });
    h.run();
    expect(h.register(REGISTERS.HALTED)).toBe(1);
    expect(h.register(REGISTERS.ERROR_PROD)).toBe(0);
  });
});

describe('the admin ring', () => {
  it('answers commands in order, around the ring', () => {
    const h = new DeviceHarness().start();
    for (let i = 0; i < 20; i += 1) {
      const id = h.command({ op: i % 2 === 0 ? ADMIN_OP.ENABLE_QUEUE : ADMIN_OP.DISABLE_QUEUE, queue: 7 });
      h.run();
      expect(h.completion(i)).toEqual({ id, status: ADMIN_STATUS.DONE, queue: 7 });
    }
    expect(h.register(REGISTERS.COMPLETION_PROD)).toBe(20);
    expect(h.register(REGISTERS.ADMIN_CONS)).toBe(20);
    expect(h.port.msis).toEqual(Array(20).fill(0x20));
    expect(h.port.log.every(({ pasid }) => pasid === -1)).toBe(true);
  });

  it.each([
    ['a queue that does not exist', { queue: MAX_QUEUES }, ADMIN_STATUS.BAD_QUEUE],
    ['an unknown command', { op: 3 }, ADMIN_STATUS.BAD_COMMAND],
    ['a misaligned ring', { ring: RING + 32 }, ADMIN_STATUS.BAD_COMMAND],
    ['a vector that does not exist', { vector: 8 }, ADMIN_STATUS.BAD_COMMAND],
    ['reserved bits', { reserved: 1 }, ADMIN_STATUS.BAD_COMMAND],
    ['disabling what is not enabled', { op: ADMIN_OP.DISABLE_QUEUE }, ADMIN_STATUS.NOT_ENABLED],
  ])('refuses %s', (_, fields, status) => {
    const h = new DeviceHarness().start();
    h.command(fields);
    h.run();
    expect(h.completion(0).status).toBe(status);
  });

  it('refuses to enable a queue twice', () => {
    const h = ready();
    h.command({});
    h.run();
    expect(h.completion(1).status).toBe(ADMIN_STATUS.BUSY);
  });

  it('disabling mid-job: the jobs say so and where they stopped, and the command ends after their last request', () => {
    const h = ready({ slots: 2 });
    h.port.held = [];
    const read = h.job({ sourceBytes: 65536 });
    const fetch = h.job({ sourceBytes: 65536, source: SOURCE + 0x1_0000 });
    const waiting = h.job({ op: JOB_OP.NOP });
    h.run();
    const [first, second] = byAddress(h.port.held);
    h.port.held = [second!];
    first!.status = 0;
    h.memory.readBytes(RING, first!.data, 0, 64);
    first!.complete?.(first!); // the first job reads its source now, the second is still being fetched
    for (let i = 0; i < 5; i += 1) h.scheduler.step();
    const issued = h.port.held.length - 1;
    h.command({ op: ADMIN_OP.DISABLE_QUEUE });
    h.command({ op: ADMIN_OP.DISABLE_QUEUE });
    h.run();
    expect(h.register(REGISTERS.COMPLETION_PROD)).toBe(2);
    expect(h.completion(1)).toMatchObject({ id: 2, status: ADMIN_STATUS.NOT_ENABLED }); // it is being disabled
    h.port.release();
    h.run();
    expect(h.completion(2)).toEqual({ id: 1, status: ADMIN_STATUS.DONE, queue: 0 });
    expect(h.record(read)).toMatchObject({ status: JOB_STATUS.QUEUE_DISABLED, write: false });
    expect(Number(h.record(read).address)).toBeGreaterThanOrEqual(SOURCE + issued * 4096);
    expect(h.record(fetch)).toMatchObject({
      status: JOB_STATUS.QUEUE_DISABLED,
      address: BigInt(SOURCE + 0x1_0000),
    });
    expect(h.record(waiting).status).toBe(JOB_STATUS.PENDING);
    h.job({ op: JOB_OP.NOP });
    h.run();
    expect(h.device.stats.jobs).toEqual({ QUEUE_DISABLED: 2 });
  });

  it('disabling between reading and writing, and while writing', () => {
    for (const [steps, expected] of [
      ['work', TARGET],
      ['write', TARGET + 4096],
    ] as const) {
      let worked = false;
      const h = ready({
        timing: { byteNs: 1000 },
        engine: (input, output) => {
          worked = true;
          output.set(input);
          return input.length;
        },
      });
      const record = h.job({ sourceBytes: 8192 });
      if (steps === 'write') {
        h.scheduler.run(() => worked);
        h.port.held = [];
        h.scheduler.run(() => h.port.held!.length > 0);
      } else h.scheduler.run(() => h.port.log.some(({ address }) => address === SOURCE + 4096));
      h.command({ op: ADMIN_OP.DISABLE_QUEUE });
      const until = h.scheduler.now + 200;
      h.scheduler.wait(() => false, until - h.scheduler.now);
      h.port.release();
      h.run();
      expect(h.record(record)).toMatchObject({ status: JOB_STATUS.QUEUE_DISABLED, write: true });
      expect(Number(h.record(record).address)).toBeGreaterThanOrEqual(expected);
      expect(h.completion(1).status).toBe(ADMIN_STATUS.DONE);
    }
  });

  it.each([
    ['commands', ADMIN],
    ['completions', COMPLETIONS],
  ])('halts if it cannot reach its %s, and works again after a reset', (_, address) => {
    const h = new DeviceHarness().start();
    h.port.denied.add(page(address));
    h.command({});
    h.run();
    expect(h.register(REGISTERS.HALTED)).toBe(1);
    h.port.denied.clear();
    h.write(REGISTERS.ENABLE, 0);
    expect(h.register(REGISTERS.HALTED)).toBe(0);
    const again = new DeviceHarness().start();
    again.command({});
    again.run();
    expect(again.completion(0).status).toBe(ADMIN_STATUS.DONE);
  });
});

describe('registers and reset', () => {
  it('tells what it is and can do', () => {
    const h = new DeviceHarness();
    expect(h.register(REGISTERS.VERSION)).toBe(1);
    expect(h.register(REGISTERS.QUEUES)).toBe(64);
    expect(h.register(REGISTERS.LOG2_JOB_BYTES)).toBe(18);
    h.device.write32(0, 0xffff_ffff);
    expect(h.register(REGISTERS.VERSION)).toBe(1);
  });

  it('keeps its rings where they are while enabled, and does nothing while not', () => {
    const h = new DeviceHarness();
    h.command({});
    h.run();
    expect(h.port.log).toEqual([]);
    h.start();
    h.write(REGISTERS.ADMIN_RING, 0);
    h.write(REGISTERS.ENABLE, 1);
    h.run();
    expect(h.completion(0).status).toBe(ADMIN_STATUS.DONE);
  });

  it('has nothing between the registers and the doorbells, and ignores doorbells of queues that are not enabled', () => {
    const h = new DeviceHarness().start();
    h.device.write32(0x1000, 1);
    expect(h.device.read32(0x1000)).toBe(0);
    h.ring(5, 1);
    h.device.write32(DOORBELL_BASE + 64 * DOORBELL_STRIDE, 1);
    h.run();
    expect(h.port.log).toEqual([]);
    expect(h.device.read32(DOORBELL_BASE + 64 * DOORBELL_STRIDE)).toBe(0);
    expect(h.device.read32(DOORBELL_BASE + 8)).toBe(0);
    expect(h.device.read32(DOORBELL_BASE)).toBe(0);
  });

  it.each(['register', 'function level reset'])('a reset by %s ends everything without another write', (how) => {
    const h = ready();
    h.port.denied.add(page(RECORDS + 0x1000));
    h.port.held = [];
    h.job({ sourceBytes: 65536 });
    h.job({ sourceBytes: 65536 });
    h.run();
    h.command({ op: ADMIN_OP.DISABLE_QUEUE });
    if (how === 'register') h.write(REGISTERS.ENABLE, 0);
    else h.pci.reset();
    const before = h.port.log.length;
    h.port.release();
    h.run();
    expect(h.port.log.slice(before).filter(({ write }) => write)).toEqual([]);
    expect(h.device.stats.jobs).toEqual({});
    expect(h.scheduler.idle).toBe(true);
  });

  it('stops jobs at every point of their life', () => {
    for (let steps = 0; steps < 60; steps += 1) {
      const h = ready();
      h.port.denied.add(page(RECORDS));
      for (let i = 0; i < 3; i += 1) h.job({ sourceBytes: 20_000, completion: RECORDS + 32 * i });
      for (let i = 0; i < steps; i += 1) h.scheduler.step();
      h.write(REGISTERS.ENABLE, 0);
      const before = h.port.log.length;
      h.run();
      expect(h.port.log.length).toBe(before);
    }
  });
});

it('the memory map of the test fits', () => {
  expect(TARGET + 0x5_0000).toBeLessThan(RAM.base + RAM.size);
});
