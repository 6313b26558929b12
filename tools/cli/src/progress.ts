import cliProgress from 'cli-progress';
import type { Stream } from './terminal.ts';
import { formatBytes, formatCount } from './units.ts';

/** Told how far things are. */
export interface Progress {
  update(stage: string, bytes: number, faults: number): void;
  /** Takes the bar away again. */
  stop(): void;
}

const NONE: Progress = { update() {}, stop() {} };

/** A bar on a terminal; nothing anywhere else. */
export function startProgress(stream: Stream, totalBytes: number): Progress {
  if (stream.isTTY !== true || totalBytes === 0) return NONE;
  const bar = new cliProgress.SingleBar({
    stream: stream as NodeJS.WritableStream,
    format: '{stage} [{bar}] {percentage} % · {done} of {size} · {faults} page faults',
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 24,
    clearOnComplete: true,
    hideCursor: true,
    gracefulExit: false, // who ends the program takes the bar away
    etaAsynchronousUpdate: false,
    fps: 15,
  });
  const size = formatBytes(totalBytes);
  const payload = (stage: string, bytes: number, faults: number): object => ({
    stage: stage.padEnd(11),
    done: formatBytes(bytes),
    size,
    faults: formatCount(faults),
  });
  bar.start(totalBytes, 0, payload('compressing', 0, 0));
  return {
    update: (stage, bytes, faults) => bar.update(bytes, payload(stage, bytes, faults)),
    stop: () => bar.stop(),
  };
}
