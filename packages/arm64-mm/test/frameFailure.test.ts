/** Memory runs out at every allocation in turn: whatever fails has changed nothing, and nothing leaks. */
import { describe, expect, it } from 'vitest';
import type { Mm } from '../src/index.ts';
import { AccessError } from '../src/index.ts';
import { type ArrayFile, Board, countingFile, Device, load, NOTHING_LEFT, READ, RO, RW, WRITE } from './board.ts';

interface Scene {
  board: Board;
  file: ArrayFile;
  processes: Map<string, Mm>;
  device: Device | undefined;
}

const A = 2 ** 40;
const F = 2 ** 41;
const P = 2 ** 42;
const fault = (scene: Scene, who: string, va: number, access = WRITE): void => {
  const result = scene.processes.get(who)!.handleFault(va, access);
  if (result !== 'done') throw Object.assign(new Error(result), { code: result === 'outOfMemory' ? 'ENOMEM' : result });
};
const byte = (n: number) => new Uint8Array([n]);

/** One of everything that takes memory. */
const STEPS: [string, (scene: Scene, page: number) => void][] = [
  ['create', (s) => s.processes.set('p', s.board.mmu.createProcess('p'))],
  [
    'areas',
    ({ processes, file }, page) => {
      const p = processes.get('p')!;
      p.mmap({ ...RW, bytes: 4 * page, kind: 'anonymous', address: A });
      p.mmap({ ...RW, bytes: 4 * page, kind: 'shared', file, address: F });
      p.mmap({ ...RW, bytes: 4 * page, kind: 'private', file, address: P });
    },
  ],
  [
    'device',
    (s) => {
      s.device = new Device(s.board, s.processes.get('p')!);
    },
  ],
  ['read untouched memory', (s) => fault(s, 'p', A, READ)],
  ['write it', (s) => s.processes.get('p')!.writeBytes(A, byte(1))],
  ['write other memory', (s, page) => s.processes.get('p')!.writeBytes(A + page, byte(2))],
  ['read a file', (s, page) => fault(s, 'p', F + page, READ)],
  ['write a file', (s) => s.processes.get('p')!.writeBytes(F, byte(3))],
  ['read a private page', (s, page) => fault(s, 'p', P + page, READ)],
  ['copy it', (s, page) => s.processes.get('p')!.writeBytes(P + page, byte(4))],
  ['copy a page not read before', (s, page) => s.processes.get('p')!.writeBytes(P + 2 * page, byte(5))],
  [
    'DMA',
    (s, page) => {
      if (s.device!.access(A + 2 * page, byte(6), true) !== 'done')
        throw Object.assign(new Error('DMA'), { code: 'ENOMEM' });
    },
  ],
  ['fork', (s) => s.processes.set('child', s.processes.get('p')!.fork('child'))],
  ['write in the child', (s) => s.processes.get('child')!.writeBytes(A, byte(7))],
  ['read a file in the child', (s) => fault(s, 'child', F, READ)],
  ['protect', (s, page) => s.processes.get('p')!.mprotect(A, 2 * page, RO)],
  ['unmap', (s, page) => s.processes.get('p')!.munmap(P, 2 * page)],
];

const makeScene = (dataPages: number): Scene => {
  const board = new Board({ dataPages, oneZone: true });
  return { board, file: countingFile('f', 4 * board.granule), processes: new Map(), device: undefined };
};
/** What may not change when a step fails. Pages of files may come and go: they are only cached. */
const picture = ({ board, processes }: Scene) => ({
  anonymous: board.mmu.livePages - board.mmu.cachedPages,
  processes: board.mmu.liveProcesses,
  areas: [...processes.values()].map((mm) => [...mm.maps()].map(({ start, end, write }) => [start, end, write])),
});
/** All that can be read in the end. */
const contents = ({ processes }: Scene) =>
  [...processes.values()].map((mm) =>
    [...mm.maps()].flatMap(({ start, end }) => [...load(mm, start, end - start)].filter((_, i) => i % 64 === 0)),
  );
function finish(scene: Scene): void {
  for (const mm of scene.processes.values()) mm.exit();
  expect(scene.board.left).toEqual(NOTHING_LEFT);
}

describe('a frame is refused', () => {
  const clean = makeScene(64);
  for (const [, step] of STEPS) step(clean, clean.board.granule);
  const allocations = clean.board.frames.allocations;
  const expected = contents(clean);
  finish(clean);

  it.each([
    { rule: 'once', lasts: 1, dataPages: 64 },
    { rule: 'three times in a row', lasts: 3, dataPages: 64 },
    { rule: 'from then on, until the step is over', lasts: Number.POSITIVE_INFINITY, dataPages: 64 },
    { rule: 'once, with hardly any memory at all', lasts: 1, dataPages: 30 },
  ])('$rule, at each allocation in turn', ({ lasts, dataPages }) => {
    expect(allocations).toBeGreaterThan(20);
    let failed = 0;
    for (let at = 0; at < allocations; at++) {
      const scene = makeScene(dataPages);
      const { frames } = scene.board;
      const arm = () => {
        frames.fail = (nth) => nth >= at && nth < at + lasts;
      };
      arm();
      for (const [name, step] of STEPS) {
        const before = picture(scene);
        try {
          step(scene, scene.board.granule);
        } catch (error) {
          const { code, result } = error as AccessError;
          expect([name, code]).toEqual([name, 'ENOMEM']);
          if (error instanceof AccessError) expect(result).toBe('outOfMemory');
          expect([name, picture(scene)]).toEqual([name, before]);
          frames.fail = null;
          step(scene, scene.board.granule); // now it works
          failed += 1;
        }
      }
      frames.fail = null;
      expect(contents(scene)).toEqual(expected);
      finish(scene);
    }
    expect(failed).toBeGreaterThan(3);
  });
});
