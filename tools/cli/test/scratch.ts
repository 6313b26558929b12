/** A directory for one test file, and the command as a test calls it. */
import { mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Random } from '@smmu/platform';
import { afterAll } from 'vitest';
import { main } from '../src/program.ts';

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class Scratch {
  readonly directory: string = realpathSync(mkdtempSync(join(tmpdir(), 'smmu-')));

  constructor() {
    afterAll(() => rmSync(this.directory, { recursive: true, force: true }));
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  write(name: string, bytes: Uint8Array | string): string {
    writeFileSync(this.path(name), bytes);
    return name;
  }

  /** All names in it, hidden ones too. */
  list(): string[] {
    return readdirSync(this.directory).sort();
  }

  /** Runs the command in this process. */
  async smmu(
    args: readonly string[],
    { isTTY = false, env = {} }: { isTTY?: boolean; env?: Record<string, string> } = {},
  ): Promise<Result> {
    const text = { stdout: '', stderr: '' };
    const stream = (name: keyof typeof text) => ({
      isTTY,
      columns: 100,
      write: (piece: string) => {
        text[name] += piece;
        return true;
      },
      // What a progress bar asks of a terminal.
      cursorTo: () => true,
      moveCursor: () => true,
      clearLine: () => true,
      on: () => {},
    });
    const code = await main(args, { stdout: stream('stdout'), stderr: stream('stderr'), cwd: this.directory, env });
    return { code, ...text };
  }
}

/** Bytes that do not compress. */
export function noise(length: number, seed = 1): Uint8Array {
  const random = new Random(seed);
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < words.length; i += 1) words[i] = random.next();
  return new Uint8Array(words.buffer, 0, length);
}

/** Bytes that do. */
export function prose(length: number): Uint8Array {
  const line = 'A device with SVA uses the pointers of a process. ';
  return Buffer.from(
    Array.from({ length: Math.ceil(length / line.length) }, (_, i) => `${i} ${line}`).join(''),
  ).subarray(0, length);
}
