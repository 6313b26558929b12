import { Trace } from '@smmu/platform';
import { describe, expect, it } from 'vitest';
import { type FakeBoard, fakeBoard, REG } from '../test/fakeSmmu.ts';
import { CommandQueue } from './cmdq.ts';
import { resume } from './commands/resume.ts';
import { tlbiNhAsid } from './commands/tlbiNhAsid.ts';
import { handleGerror } from './gerror.ts';

const ILL = 1;
const ABT = 2;
const ATC_INV_SYNC = 3;

function make(board: FakeBoard = fakeBoard(), options: { log2?: number; toMemory?: boolean; trace?: Trace } = {}) {
  const cmdq: CommandQueue = new CommandQueue({
    ...board,
    log2Entries: options.log2 ?? 4,
    completeToMemory: options.toMemory ?? false,
    trace: options.trace,
    handleGerror: () => gerror(),
  });
  const gerror = () =>
    handleGerror({ ...board, skipCommand: () => cmdq.skipError(), eventsLost: () => {}, disable: () => {} });
  board.hardware.lines.gerror.connect(gerror);
  board.registers.write64(REG.CMDQ_BASE, cmdq.queue.base + cmdq.queue.log2Entries, 0);
  board.registers.write32(REG.CR0, 8);
  const add = (asid: number) => {
    const at = cmdq.next();
    tlbiNhAsid(cmdq.words, at, asid);
  };
  return { board, cmdq, add, hardware: board.hardware };
}
const asids = (board: FakeBoard) =>
  board.hardware.commands.filter(({ name }) => name === 'CMD_TLBI_NH_ASID').map(({ words }) => words[1]! >>> 16);

describe.each([false, true])('CommandQueue, completion to memory: %s', (toMemory) => {
  it('a batch is one write of PROD and one CMD_SYNC', () => {
    const { cmdq, add, hardware } = make(fakeBoard(), { toMemory });
    hardware.writes = [];
    add(1);
    add(2);
    expect(hardware.writes).toEqual([]);
    expect(cmdq.sync()).toBe(true);
    expect(hardware.take()).toEqual(['CMD_TLBI_NH_ASID', 'CMD_TLBI_NH_ASID', 'CMD_SYNC']);
    expect(hardware.writes.filter(({ offset }) => offset === REG.CMDQ_PROD)).toEqual([
      { offset: REG.CMDQ_PROD, value: 3 },
    ]);
    expect(cmdq.queue.empty).toBe(true);
  });

  it('wraps as often as one likes', () => {
    const { cmdq, add, board } = make(fakeBoard(), { log2: 2, toMemory });
    for (let i = 0; i < 50; i++) {
      add(i);
      expect(cmdq.sync()).toBe(true);
    }
    expect(asids(board)).toEqual(Array.from({ length: 50 }, (_, i) => i));
  });

  it('waits for room when a batch is longer than the queue', () => {
    const { cmdq, add, board } = make(fakeBoard(), { log2: 2, toMemory });
    for (let i = 0; i < 100; i++) add(i);
    expect(cmdq.sync()).toBe(true);
    expect(asids(board)).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect(cmdq.dropped).toBe(0);
  });

  it('a refused command is replaced by a CMD_SYNC and the error is acknowledged (§7.1)', () => {
    const { cmdq, add, board, hardware } = make(fakeBoard(), { toMemory });
    hardware.verdict = ({ words }) => (words[1]! >>> 16 === 2 ? ILL : 0);
    add(1);
    add(2);
    add(3);
    expect(cmdq.sync()).toBe(true);
    expect(asids(board)).toEqual([1, 3]);
    expect(hardware.take()).toEqual(['CMD_TLBI_NH_ASID', 'CMD_SYNC', 'CMD_TLBI_NH_ASID', 'CMD_SYNC']);
    expect(hardware.at(REG.GERRORN)).toBe(hardware.at(REG.GERROR));
    expect(board.lines).toEqual([
      'unexpected global error reported (0x00000001), this could be serious',
      'CMDQ error (cons 0x01000001): Illegal command',
      'skipping command in error state:',
      '\t0x0002000000000011',
      '\t0x0000000000000000',
    ]);
    board.scheduler.run();
    expect(board.lines.length).toBe(5); // the interrupt finds nothing left to do
    add(4);
    expect(cmdq.sync()).toBe(true); // the stale error code in CONS disturbs nobody
  });

  it('recovers even if the refused command is the CMD_SYNC that is waited for', () => {
    const { cmdq, add, hardware } = make(fakeBoard(), { toMemory });
    let left = 1;
    hardware.verdict = ({ name }) => (name === 'CMD_SYNC' && left-- > 0 ? ILL : 0);
    add(1);
    expect(cmdq.sync()).toBe(true);
  });

  it('every command of a long batch may be refused', () => {
    const { cmdq, add, hardware } = make(fakeBoard(), { log2: 3, toMemory });
    hardware.verdict = ({ name }) => (name === 'CMD_TLBI_NH_ASID' ? ILL : 0);
    for (let i = 0; i < 40; i++) add(i);
    expect(cmdq.sync()).toBe(true);
  });

  it.each([
    [ABT, 'Abort on command fetch'],
    [ATC_INV_SYNC, 'ATC invalidate timeout'],
  ])('error %i is tried again', (code, text) => {
    const { cmdq, add, board, hardware } = make(fakeBoard(), { toMemory });
    hardware.verdict = ({ name }, attempt) => (name === 'CMD_SYNC' && attempt < 3 ? code : 0);
    add(1);
    expect(cmdq.sync()).toBe(true);
    expect(board.lines.filter((line) => line.includes(text)).length).toBe(3);
  });

  it.each([ABT, ATC_INV_SYNC])('error %i that never ends is given up, unacknowledged', (code) => {
    const { cmdq, add, board, hardware } = make(fakeBoard(), { toMemory });
    hardware.verdict = ({ name }) => (name === 'CMD_SYNC' ? code : 0);
    add(1);
    expect(cmdq.sync()).toBe(false);
    expect(cmdq.stuck).toBe(true);
    expect(board.lines.at(-2)).toBe('CMDQ given up after 16 errors at cons 0x00000001');
    expect(hardware.at(REG.GERRORN)).not.toBe(hardware.at(REG.GERROR));
    hardware.verdict = () => 0; // the endpoint is back
    add(2);
    expect(cmdq.sync()).toBe(true);
    expect(cmdq.stuck).toBe(false);
  });

  it('a hung SMMU is given up after a second, and logged as the kernel does', () => {
    const { cmdq, add, board, hardware } = make(fakeBoard(), { toMemory });
    hardware.hung = true;
    add(1);
    const start = board.scheduler.now;
    expect(cmdq.sync()).toBe(false);
    expect(board.scheduler.now - start).toBeGreaterThanOrEqual(1e9);
    expect(board.lines).toEqual(['CMD_SYNC timeout at 0x00000001 [hwprod 0x00000002, hwcons 0x00000000]']);
    expect(cmdq.stuck).toBe(true);
    hardware.hung = false;
    hardware.kick();
    expect(cmdq.sync()).toBe(true);
    expect(cmdq.stuck).toBe(false);
  });

  it('a hung SMMU with a full queue costs commands, never the driver', () => {
    const { cmdq, add, board, hardware } = make(fakeBoard(), { log2: 2, toMemory });
    hardware.hung = true;
    for (let i = 0; i < 6; i++) add(i);
    expect(cmdq.dropped).toBe(2);
    expect(cmdq.sync()).toBe(false);
    expect(board.lines.filter((line) => line === 'CMDQ timeout').length).toBe(3);
    hardware.hung = false;
    hardware.kick();
    expect(cmdq.sync()).toBe(true);
    expect(asids(board)).toEqual([0, 1, 2, 3]);
  });

  it('publishing without waiting is enough for commands that need no CMD_SYNC', () => {
    const { cmdq, board, hardware } = make(fakeBoard(), { toMemory });
    const at = cmdq.next();
    resume(cmdq.words, at, 8, 3, true);
    cmdq.publish();
    cmdq.publish(); // nothing new: no write
    expect(hardware.writes.filter(({ offset }) => offset === REG.CMDQ_PROD).length).toBe(1);
    board.scheduler.run();
    expect(hardware.take()).toEqual(['CMD_RESUME']);
    expect(cmdq.sync()).toBe(true);
  });

  it('an error while nobody waits is the interrupt handler’s', () => {
    const { cmdq, board, hardware } = make(fakeBoard(), { toMemory });
    hardware.verdict = ({ name }) => (name === 'CMD_RESUME' ? ILL : 0);
    const at = cmdq.next();
    resume(cmdq.words, at, 8, 3, true);
    cmdq.publish();
    board.scheduler.run();
    expect(hardware.take()).toEqual(['CMD_SYNC']);
    expect(hardware.at(REG.GERRORN)).toBe(hardware.at(REG.GERROR));
  });
});

describe('CommandQueue', () => {
  it('with completion to memory the CMD_SYNC zeroes its own first word', () => {
    const { cmdq, board, hardware } = make(fakeBoard(), { toMemory: true });
    cmdq.sync();
    const [word0, word1, word2, word3] = hardware.commands[0]!.words;
    expect((word0! >>> 12) & 3).toBe(1);
    expect(word1).toBe(0);
    expect(word2).toBe(cmdq.queue.base);
    expect(word3).toBe(0);
    const at = board.memory.at(cmdq.queue.base);
    expect(board.memory.words[at]).toBe(0);
  });
  it('tells observers of each command before PROD, and the trace its name', () => {
    const board = fakeBoard();
    let text = '';
    const { cmdq, add } = make(board, { trace: new Trace(board.scheduler, (piece) => (text += piece)) });
    const seen: number[] = [];
    board.memory.observer = (pa, bytes) => pa >= cmdq.queue.base && bytes === 16 && seen.push(pa - cmdq.queue.base);
    add(1);
    cmdq.sync();
    expect(seen).toEqual([0, 16]);
    expect(text).toContain('"CMD_TLBI_NH_ASID"');
    expect(text).toContain('"CMD_SYNC"');
  });
  it('traces reserved opcodes by number', () => {
    const board = fakeBoard();
    let text = '';
    const { cmdq } = make(board, { trace: new Trace(board.scheduler, (piece) => (text += piece)) });
    const at = cmdq.next();
    cmdq.words.fill(0xee, at, at + 4);
    cmdq.publish();
    expect(text).toContain('"opcode 238"');
  });
  it('says what it can of an error code that the architecture has no name for', () => {
    const { cmdq, board, hardware } = make();
    let left = 1;
    hardware.verdict = () => (left-- > 0 ? 9 : 0);
    expect(cmdq.sync()).toBe(true);
    expect(board.lines[1]).toBe('CMDQ error (cons 0x09000000): Unknown');
  });
  it('an error without a code is acknowledged and nothing else', () => {
    const { cmdq, board, hardware } = make();
    hardware.set(REG.GERROR, 1);
    expect(cmdq.skipError()).toBe(true);
    expect(board.lines).toEqual(['CMDQ error (cons 0x00000000): No error']);
  });
  it('reset forgets the pointers', () => {
    const { cmdq, add } = make();
    add(1);
    cmdq.sync();
    cmdq.reset();
    expect([cmdq.queue.prod, cmdq.queue.cons]).toEqual([0, 0]);
  });
  it('gives its memory back', () => {
    const { cmdq, board } = make();
    cmdq.free();
    expect(board.pages.livePages).toBe(0);
  });
});
