/** Faults that must end well: the device is told where, and everything that was taken is given back. */
import { describe, expect, it, vi } from 'vitest';
import { BoardHarness } from '../test/boardHarness.ts';
import { MemoryFile, sampleBytes } from '../test/memoryFile.ts';
import { type BoardOptions, type Granule, GzipRun, JobFailedError } from './index.ts';

const GRANULES: readonly Granule[] = ['4k', '16k', '64k'];
const harness = (options?: Partial<BoardOptions>, log2Entries?: number) => new BoardHarness(options, log2Entries);

describe.each(GRANULES)('with pages of %s', (granule) => {
  it('a read of a guard area is aborted where the guard begins', () => {
    const h = harness({ granule });
    const good = h.memory(4 * h.granule);
    const guard = good - 2 * h.granule;
    h.mm.mmap({ bytes: 2 * h.granule, address: guard, kind: 'guard', read: false, write: false });
    const below = h.memory(h.granule); // under the guard: a gap of nothing
    h.mm.writeBytes(good, sampleBytes(2 * h.granule));
    const target = h.memory(2 ** 18);

    const inside = h.finish(h.copy({ source: guard + 0x123, sourceBytes: 100, destination: target }));
    expect(inside).toEqual({ status: 'READ_ABORTED', bytes: 0, address: BigInt(guard + 0x123), write: false });
    const into = h.finish(h.copy({ source: below + 8, sourceBytes: h.granule, destination: target }));
    expect(into).toMatchObject({ status: 'READ_ABORTED', address: BigInt(below + h.granule) });
    const fine = h.finish(h.copy({ source: good, sourceBytes: 4096, destination: target }));
    expect(fine).toMatchObject({ status: 'DONE', bytes: 4096 });
    expect(h.board.sva.faults.refused).toBeGreaterThan(0);
    h.end();
  });

  it('a write to a read-only area is aborted at its first byte there', () => {
    const h = harness({ granule });
    const source = h.memory(h.granule);
    h.mm.writeBytes(source, sampleBytes(4096));
    const constant = h.memory(h.granule, false);
    const completion = h.finish(h.copy({ source, destination: constant + 40 }));
    expect(completion).toEqual({ status: 'WRITE_ABORTED', bytes: 0, address: BigInt(constant + 40), write: true });

    // Also when the page is there and the device has it in its TLB for reading.
    const target = h.memory(h.granule);
    expect(h.finish(h.copy({ source: constant, destination: target }))).toMatchObject({ status: 'DONE' });
    expect(h.finish(h.copy({ source, destination: constant }))).toMatchObject({
      status: 'WRITE_ABORTED',
      address: BigInt(constant),
    });
    expect(h.events.F_PERMISSION).toBeGreaterThan(0);
    const zeros = new Uint8Array(4096);
    h.mm.readBytes(constant, zeros);
    expect(zeros.every((byte) => byte === 0)).toBe(true);
    h.end();
  });

  it('an access past the end of a file is aborted behind its last page; the rest of that page is zeros', () => {
    const h = harness({ granule });
    const bytes = sampleBytes(h.granule + 100);
    const file = new MemoryFile('short', bytes);
    const mapped = h.mm.mmap({ bytes: 4 * h.granule, kind: 'private', file, read: true, write: false });
    const target = h.memory(2 ** 18);

    const last = h.finish(h.copy({ source: mapped + h.granule, sourceBytes: 4096, destination: target }));
    expect(last).toMatchObject({ status: 'DONE', bytes: 4096 });
    const copied = new Uint8Array(4096);
    h.mm.readBytes(target, copied);
    expect(copied.subarray(0, 100)).toEqual(bytes.subarray(h.granule));
    expect(copied.subarray(100).every((byte) => byte === 0)).toBe(true);

    const past = h.finish(h.copy({ source: mapped + 64, sourceBytes: 3 * h.granule, destination: target }));
    expect(past).toMatchObject({ status: 'READ_ABORTED', address: BigInt(mapped + 2 * h.granule) });
    h.end();
  });

  it('a file that cannot be read aborts the read', () => {
    const h = harness({ granule });
    const file = new MemoryFile('broken', sampleBytes(h.granule));
    file.broken = true;
    const mapped = h.mm.mmap({ bytes: h.granule, kind: 'shared', file, read: true, write: false });
    const completion = h.finish(h.copy({ source: mapped, destination: h.memory(h.granule) }));
    expect(completion).toMatchObject({ status: 'READ_ABORTED', address: BigInt(mapped) });
    h.end();
  });

  it('a process that exits mid-job: its transactions abort in silence, the kernel reads of it in the error log', () => {
    const h = harness({ granule });
    const file = new MemoryFile('in', sampleBytes(2 ** 20));
    const source = h.mm.mmap({ bytes: 2 ** 20, kind: 'private', file, read: true, write: false });
    const target = h.memory(2 ** 20);
    const jobs = [0, 1, 2, 3].map((i) =>
      h.copy({ source: source + i * 2 ** 18, sourceBytes: 2 ** 18, destination: target + i * 2 ** 18 }),
    );
    h.stall(20);
    const { F_TRANSLATION: before = 0 } = h.events;
    const silent = h.board.model.stats.silentAborts;
    h.mm.exit();
    h.board.driver.closeQueue(h.queue);
    h.board.scheduler.run();
    // Each job's record could not be written any more: the kernel is told, with the record's address.
    expect(h.board.driver.errors.map(({ code, status, write }) => [code, status, write])).toEqual(
      jobs.map(() => ['COMPLETION_ABORTED', expect.stringMatching(/READ_ABORTED|QUEUE_DISABLED/), true]),
    );
    expect(h.board.driver.errors.map(({ address }) => address).sort()).toEqual(
      jobs.map((job) => BigInt(h.ring.record(job))),
    );
    expect(h.board.model.stats.silentAborts).toBeGreaterThan(silent);
    expect(h.events.F_TRANSLATION).toBeLessThan(before + 40); // those that were on their way, no flood
    expect(Object.keys(h.events).filter((name) => name.startsWith('C_'))).toEqual([]);
    h.end({ closed: true });
  });

  it('a process that exits before its first descriptor is read', () => {
    const h = harness({ granule });
    h.copy({ source: h.memory(4096), destination: h.memory(4096) });
    h.mm.exit();
    h.board.scheduler.run();
    expect(h.board.driver.errors).toMatchObject([
      { code: 'DESCRIPTOR_ABORTED', address: BigInt(h.ring.ring), write: false, pasid: h.queue.pasid },
    ]);
    expect(h.queue.errors).toHaveLength(1);
    h.board.driver.closeQueue(h.queue);
    h.end({ closed: true });
  });

  it('a queue that is closed mid-job: the jobs say that, and where they stopped', () => {
    const h = harness({ granule });
    const file = new MemoryFile('in', sampleBytes(2 ** 19));
    const source = h.mm.mmap({ bytes: 2 ** 19, kind: 'private', file, read: true, write: false });
    const target = h.memory(2 ** 19);
    const jobs = [0, 1].map((i) =>
      h.copy({ source: source + i * 2 ** 18, sourceBytes: 2 ** 18, destination: target + i * 2 ** 18 }),
    );
    h.stall(10);
    h.board.driver.closeQueue(h.queue);
    for (const [i, job] of jobs.entries()) {
      const { status, address, write } = h.ring.poll(job)!;
      expect([status, write]).toEqual(['QUEUE_DISABLED', false]);
      expect(Number(address)).toBeGreaterThan(source + i * 2 ** 18);
      expect(Number(address)).toBeLessThan(source + (i + 1) * 2 ** 18);
    }
    h.end({ closed: true });
  });

  it('a device that is unbound mid-job, behind the back of its driver', () => {
    const h = harness({ granule });
    const file = new MemoryFile('in', sampleBytes(2 ** 18));
    const source = h.mm.mmap({ bytes: 2 ** 18, kind: 'private', file, read: true, write: false });
    const target = h.memory(2 ** 18);
    const job = h.copy({ source, sourceBytes: 2 ** 18, destination: target });
    h.stall(10);
    h.board.sva.unbindDevice(h.queue.bond);
    expect(h.board.left().pendingFaults).toBe(0);
    h.board.scheduler.run();
    expect(h.board.driver.errors).toMatchObject([
      { code: 'COMPLETION_ABORTED', status: 'READ_ABORTED', address: BigInt(h.ring.record(job)) },
    ]);
    expect(h.ring.poll(job)).toBeUndefined();
    // The PASID is gone while the device still uses it: that is a mistake, and the SMMU says so.
    expect(Object.keys(h.events)).toContain('C_BAD_CD');
    vi.spyOn(h.board.sva, 'unbindDevice').mockImplementationOnce(() => {});
    h.end();
  });

  it('a device that never stops faulting on the same page is told to give up', () => {
    const h = harness({ granule });
    const file = new MemoryFile('in', sampleBytes(h.granule));
    const source = h.mm.mmap({ bytes: h.granule, kind: 'shared', file, read: true, write: false });
    const target = h.memory(h.granule);
    // Something takes the page away between each answer and the retry.
    const answer = h.board.smmu.pageResponse.bind(h.board.smmu);
    vi.spyOn(h.board.smmu, 'pageResponse').mockImplementation((device, fault, response) => {
      if (fault.address === Number(source)) h.board.manager.reclaim(1000);
      answer(device, fault, response);
    });
    const completion = h.finish(h.copy({ source, sourceBytes: 100, destination: target }));
    expect(completion).toEqual({ status: 'READ_ABORTED', bytes: 0, address: BigInt(source), write: false });
    expect(h.board.sva.faults.repeated).toBe(1);
    expect(h.board.sva.faults.resolved).toBeGreaterThan(60);
    expect(h.board.sva.faults.resolved).toBeLessThan(80);
    h.end();
  });
});

describe('descriptors with wild pointers', () => {
  it.each([
    ['null', 0n],
    ['nothing there', 0x0000_7000_dead_bee0n],
    ['just below 2^48', 0x0000_ffff_ffff_f000n],
    ['2^48', 0x0001_0000_0000_0000n],
    ['above 2^48', 0x00ff_1234_5678_9abcn],
    ['above 2^53, odd', 0x0123_4567_89ab_cdefn],
    ['a kernel address', 0xffff_8000_1234_5678n],
    ['the top', 0xffff_ffff_ffff_ff00n],
  ])('%s: the completion names all 64 bits', (_, wild) => {
    const h = harness();
    const good = h.memory(4096);
    h.mm.writeBytes(good, sampleBytes(4096));
    const read = h.finish(h.copy({ source: wild, sourceBytes: 64, destination: good }));
    expect(read).toEqual({ status: 'READ_ABORTED', bytes: 0, address: wild, write: false });
    const write = h.finish(h.copy({ source: good, sourceBytes: 64, destination: wild, destinationBytes: 64 }));
    expect(write).toEqual({ status: 'WRITE_ABORTED', bytes: 0, address: wild, write: true });
    const record = (wild / 32n) * 32n;
    h.copy({ source: good, sourceBytes: 64, destination: good, completion: record });
    h.board.scheduler.run();
    expect(h.queue.errors).toMatchObject([
      { code: 'COMPLETION_ABORTED', status: 'DONE', address: record, write: true },
    ]);
    h.end();
  });
});

it('a PASID that nobody is bound with: the descriptor cannot be read, the error log names its address', () => {
  const h = harness();
  const { board } = h;
  const { sva, driver } = board;
  // A driver that programs the wrong PASID.
  const bond = sva.bindDevice(h.board.device, h.mm);
  vi.spyOn(sva, 'bindDevice').mockReturnValueOnce({ ...bond, pasid: 999 });
  const unbind = vi.spyOn(sva, 'unbindDevice').mockImplementationOnce(() => {});
  const woken = vi.fn();
  const wrong = driver.openQueue(h.mm, h.ring.ring, 6, woken);
  h.mm.writeBytes(h.ring.ring, new Uint8Array(64)); // a NOP
  wrong.doorbell.write32(0, 1);
  board.scheduler.run();
  expect(wrong.errors).toMatchObject([
    { code: 'DESCRIPTOR_ABORTED', pasid: 999, address: BigInt(h.ring.ring), write: false },
  ]);
  expect(woken).toHaveBeenCalled();
  expect(Object.keys(h.events).filter((name) => name.startsWith('C_BAD'))).not.toEqual([]);
  expect(h.log.some((line) => line.includes('PASID 999') && line.includes('DESCRIPTOR_ABORTED'))).toBe(true);
  driver.closeQueue(wrong);
  unbind.mockRestore();
  sva.unbindDevice(bond);
  h.end();
});

describe('4,096 transactions stall at once', () => {
  const JOBS = 64;
  it.each([
    ['and all their pages come in', false],
    ['and half of them fall into a guard area', true],
  ])('with an event queue of 32 entries %s', (_, guarded) => {
    const h = harness({ slots: JOBS, evtqEntriesLog2: 5, memoryBytes: 2 ** 27 });
    const file = new MemoryFile('in', sampleBytes(JOBS * 2 ** 18));
    const half = (JOBS / 2) * 2 ** 18;
    const address = 0x10_0000_0000;
    const mapping = { kind: 'shared', file, read: true, write: false } as const;
    h.mm.mmap({ ...mapping, bytes: half, address });
    if (guarded) h.mm.mmap({ bytes: half, address: address + half, kind: 'guard', read: false, write: false });
    else h.mm.mmap({ ...mapping, bytes: half, address: address + half, fileOffset: half });
    const target = h.memory(JOBS * 2 ** 18);
    const jobs = Array.from({ length: JOBS }, (_, i) =>
      h.ring.push({
        op: 2,
        source: address + i * 2 ** 18,
        sourceBytes: 2 ** 18,
        destination: target + i * 2 ** 18,
        destinationBytes: 2 ** 18,
      }),
    );
    h.ring.ringDoorbell();
    // The CPU is busy: only hardware goes on, until each job's 64 requests wait.
    expect(h.board.scheduler.spin(() => h.board.model.stats.stalled === 4096, 1e9)).toBe(true);
    expect(h.board.model.stats.waiting).toBe(4096 - 32);
    expect(h.board.left().pendingFaults).toBe(4096);
    for (const [i, job] of jobs.entries()) {
      const completion = h.finish(job);
      if (guarded && i >= JOBS / 2)
        expect(completion).toMatchObject({ status: 'READ_ABORTED', address: BigInt(address + i * 2 ** 18) });
      else expect(completion).toMatchObject({ status: 'DONE', bytes: 2 ** 18 });
    }
    const copied = new Uint8Array(half);
    h.mm.readBytes(target, copied);
    expect(Buffer.compare(copied, file.data.subarray(0, half))).toBe(0);
    expect(h.board.model.stats.unrecordedEvents).toBe(0);
    h.end();
  });
});

describe('no physical memory in the fault handler', () => {
  it('a write that finds no frame is aborted; the process lives on with what it has', () => {
    const h = harness({ memoryBytes: 2 ** 22 });
    const source = h.memory(2 ** 18);
    h.mm.writeBytes(source, sampleBytes(2 ** 18));
    const target = h.memory(2 ** 24);
    const results = [];
    for (let at = 0; at < 2 ** 24; at += 2 ** 18) {
      const completion = h.finish(h.copy({ source, sourceBytes: 2 ** 18, destination: target + at }));
      results.push(completion.status);
      if (completion.status !== 'DONE') {
        expect(completion).toMatchObject({ status: 'WRITE_ABORTED', bytes: 0, write: true });
        expect(Number(completion.address)).toBeGreaterThanOrEqual(target + at);
        expect(Number(completion.address)).toBeLessThan(target + at + 2 ** 18);
        break;
      }
    }
    expect(results.length).toBeGreaterThan(5);
    expect(results.at(-1)).toBe('WRITE_ABORTED');
    expect(h.board.sva.faults.outOfMemory).toBeGreaterThan(0);
    // What it gives up can be used again.
    h.mm.munmap(target, 2 ** 22);
    expect(h.finish(h.copy({ source, sourceBytes: 2 ** 18, destination: target + 2 ** 23 }))).toMatchObject({
      status: 'DONE',
    });
    h.end();
  });

  it.each(GRANULES)('whichever allocation fails, data or table, with pages of %s', (granule) => {
    for (let failing = 0; failing < 12; failing += 1) {
      const h = harness({ granule });
      const source = h.memory(h.granule);
      h.mm.writeBytes(source, sampleBytes(4096));
      const target = h.mm.mmap({
        bytes: h.granule,
        address: 0x1234_0000_0000,
        kind: 'anonymous',
        read: true,
        write: true,
      });
      const job = h.copy({ source, destination: target });
      const first = h.board.frames.allocations;
      h.board.frames.fail = (nth) => nth >= first + failing;
      const completion = h.finish(job);
      h.board.frames.fail = null;
      if (completion.status !== 'DONE')
        expect(completion).toEqual({ status: 'WRITE_ABORTED', bytes: 0, address: BigInt(target), write: true });
      else expect(failing).toBeGreaterThan(0);
      expect(h.finish(h.copy({ source, destination: target }))).toMatchObject({ status: 'DONE' });
      h.end();
    }
  });
});

describe('a compression that fails', () => {
  const run = (options: Partial<ConstructorParameters<typeof GzipRun>[0]> = {}) =>
    new GzipRun({
      memoryBytes: 2 ** 24,
      granule: '4k',
      engine: (input, output) => {
        output.set(input.subarray(0, 1000));
        return Math.min(1000, input.length);
      },
      input: new MemoryFile('in', sampleBytes(2 ** 20)),
      output: new MemoryFile('out'),
      ...options,
    });
  const end = (gzip: GzipRun) => {
    expect(gzip.abort()).toEqual({
      tablePages: 0,
      pasids: 0,
      pinnedAsids: 0,
      pendingFaults: 0,
      processes: 0,
      frames: 0,
    });
  };
  const drive = (gzip: GzipRun) => {
    while (gzip.step());
  };

  it('because a page cannot be read: the process says which', () => {
    const input = new MemoryFile('in', sampleBytes(2 ** 20));
    input.broken = true;
    const gzip = run({ input });
    expect(() => drive(gzip)).toThrow(JobFailedError);
    expect(gzip.process.error).toMatchObject({ code: 'EIO', completion: { status: 'READ_ABORTED', write: false } });
    end(gzip);
  });

  it('because the disk is full', () => {
    const output = new MemoryFile('out');
    output.limit = 1024;
    const gzip = run({ output });
    expect(() => drive(gzip)).toThrow(expect.objectContaining({ code: 'ENOSPC' }));
    end(gzip);
  });

  it('because the engine finds no room', () => {
    const gzip = run({ engine: () => -1 });
    expect(() => drive(gzip)).toThrow(/OUTPUT_TOO_SMALL/);
    end(gzip);
  });

  it('because the output cannot be made as long', () => {
    const output = new MemoryFile('out');
    vi.spyOn(output, 'resize').mockImplementation(() => {
      throw new Error('no');
    });
    const gzip = run({ output });
    expect(() => drive(gzip)).toThrow('no');
    end(gzip);
  });

  it('because nothing is left to happen', () => {
    const gzip = run();
    vi.spyOn(gzip.board.scheduler, 'step').mockReturnValue(false);
    expect(() => drive(gzip)).toThrow(expect.objectContaining({ code: 'EDEADLK' }));
    vi.restoreAllMocks();
    end(gzip);
  });

  it('because it is stopped after any number of steps', () => {
    for (let steps = 0; steps < 3000; steps = steps * 2 + 1) {
      const gzip = run();
      for (let i = 0; i < steps && gzip.step(); i += 1);
      end(gzip);
    }
  });
});
